package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
)

func TestClientCloses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload string
		answer  uint16
		reason  string
	}{
		{"empty", "", codec.StatusNoStatus, ""},
		{"normal", "\x03\xe8", 1000, ""},
		{"going away", "\x03\xe9bye", 1001, "bye"},
		{"of the application", "\x0b\xb8", 3000, ""},
		{"private", "\x13\x87" + strings.Repeat("x", 123), 4999, strings.Repeat("x", 123)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestConn(t)
			tc.write(masked(codec.OpClose, tt.payload))
			tc.wantClose(tt.answer)
			tc.wantOnClose(tt.answer, tt.reason)
			tc.wantClosed()
		})
	}
}

// A Close frame that cannot be sent is a violation, or bad text.
func TestClientClosesWrongly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload string
		want    uint16
	}{
		{"one byte", "\x03", 1002},
		{"code 0", "\x00\x00", 1002},
		{"code 999", "\x03\xe7", 1002},
		{"code 1004", "\x03\xec", 1002},
		{"code 1005", "\x03\xed", 1002},
		{"code 1006", "\x03\xee", 1002},
		{"code 1015", "\x03\xf7", 1002},
		{"code 2999", "\x0b\xb7", 1002},
		{"code 5000", "\x13\x88", 1002},
		{"reason not UTF-8", "\x03\xe8\xff", 1007},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestConn(t)
			tc.write(masked(codec.OpClose, tt.payload))
			tc.wantClose(tt.want)
			tc.wantFinished()
			if len(tc.events) != 1 || !strings.HasPrefix(tc.events[0], "close: ") {
				t.Errorf("Protocol was told %q, want one close", tc.events)
			}
		})
	}
}

func TestServerCloses(t *testing.T) {
	tc := newTestConn(t)
	tc.Send(codec.OpText, []byte("last words"))
	tc.Close(codec.StatusGoingAway, "bye")
	tc.Close(codec.StatusNormal, "again")
	tc.Send(codec.OpText, []byte("too late"))
	tc.tl.turn()
	tc.wantText("last words")
	tc.wantFrame("1 000 1000 0 0000101", "\x03\xe9bye")
	tc.wantNothing()
	tc.wantOnClose(codec.StatusGoingAway, "bye")
	tc.wantOpen()

	// What the client sent before it knew is read and dropped.
	tc.write(masked(codec.OpText, "hello"))
	tc.wantEvents()
	tc.wantNothing()

	// But pings are answered.
	tc.write(masked(codec.OpPing, "p"))
	tc.wantFrame("1 000 1010 0 0000001", "p")

	tc.write(closeFrame(codec.StatusGoingAway, ""))
	tc.wantNothing()
	tc.wantEvents()
	tc.wantClosed()
}

// Both sides send a Close frame before they have read the other's.
func TestBothClose(t *testing.T) {
	tc := newTestConn(t)
	tc.Close(codec.StatusGoingAway, "server")
	tc.write(closeFrame(codec.StatusNormal, "client"))
	tc.wantClose(codec.StatusGoingAway)
	tc.wantOnClose(codec.StatusGoingAway, "server")
	tc.wantClosed()
}

func TestServerClosesInHandler(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tl.script.onMessage = func(c *Conn, _ codec.Opcode, payload []byte) {
		c.Send(codec.OpText, payload)
		c.Close(codec.StatusUnsupportedData, "")
	}
	tc := tl.open()
	tc.write(masked(codec.OpText, "one"), masked(codec.OpText, "two"))
	tc.wantText("one")
	tc.wantClose(codec.StatusUnsupportedData)
	reason := (&codec.CloseError{Code: codec.StatusUnsupportedData}).Error()
	tc.wantEvents("1 one", "close: "+reason)
}

func TestServerClosesInOnOpen(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tl.script.onOpen = func(c *Conn) { c.Close(codec.StatusPolicyViolation, "") }
	tc := tl.dial()
	tc.write(request, masked(codec.OpText, "one"))
	tc.want([]byte(welcome))
	tc.wantClose(codec.StatusPolicyViolation)
	reason := (&codec.CloseError{Code: codec.StatusPolicyViolation}).Error()
	tc.wantEvents("open", "close: "+reason)
}

// "After both sending and receiving a Close message, an endpoint considers the
// WebSocket connection closed" (RFC 6455 §5.5.1).
func TestNothingAfterClose(t *testing.T) {
	tc := newTestConn(t)
	tc.send(closeFrame(codec.StatusNormal, ""), masked(codec.OpText, "hello"), masked(codec.OpPing, ""), "0 111 1111")
	tc.write(masked(codec.OpText, "hello"))
	tc.wantClose(codec.StatusNormal)
	tc.wantOnClose(codec.StatusNormal, "")
	tc.wantClosed()
}

// A violation while the other side's Close frame is awaited needs no second
// one.
func TestViolationWhileClosing(t *testing.T) {
	tc := newTestConn(t)
	tc.Close(codec.StatusGoingAway, "")
	tc.write("1 111 1111")
	tc.wantClose(codec.StatusGoingAway)
	tc.wantOnClose(codec.StatusGoingAway, "")
	tc.wantFinished()
}

func TestHungUp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(tc *testConn)
		want    []string
	}{
		{"idle", func(*testConn) {}, []string{"close: " + errReset.Error()}},
		{"within a frame", func(tc *testConn) {
			tc.write("1 000 0001 1 0000101", mask, "Hel")
		}, []string{"close: " + errReset.Error()}},
		{"something waits", func(tc *testConn) {
			tc.room = 3
			tc.Send(codec.OpText, []byte("hello"))
			tc.tl.turn()
		}, []string{"close: " + errReset.Error()}},
		{"something is queued", func(tc *testConn) {
			tc.Send(codec.OpText, []byte("hello"))
		}, []string{"close: " + errReset.Error()}},
		{"we are closing", func(tc *testConn) {
			tc.Close(1000, "")
		}, []string{"close: " + (&codec.CloseError{Code: 1000}).Error()}},
		{"it has closed", func(tc *testConn) {
			tc.send(closeFrame(1001, ""))
		}, []string{"close: " + (&codec.CloseError{Code: 1001}).Error()}},
		{"without a reason", func(tc *testConn) {
			tc.hangUp(nil)
		}, []string{"close: " + ErrStopped.Error()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestConn(t)
			tt.prepare(tc)
			if !tc.closed {
				tc.hangUp(errReset)
			}
			tc.tl.turn()
			tc.wantEvents(tt.want...)
			if len(tc.tl.free) != 1 || tc.tl.conns[tc.slot] != nil || tc.in != nil || tc.out != nil {
				t.Errorf("its slot, input or outbox is not free")
			}
			tc.Send(codec.OpText, []byte("too late"))
			tc.Close(1000, "")
			tc.tl.turn()
			tc.wantEvents()
		})
	}
}

// The connection breaks where it is written to.
func TestWriteFails(t *testing.T) {
	tc := newTestConn(t)
	tc.broken = unix.EPIPE
	tc.Send(codec.OpText, []byte("hello"))
	tc.Send(codec.OpText, []byte("again"))
	tc.tl.turn()
	tc.wantEvents("close: " + unix.EPIPE.Error())
	tc.wantClosed()
}

// A panic costs its connection and nobody else's.
func TestPanic(t *testing.T) {
	oops := func() { panic("oops") }
	internal := (&codec.CloseError{Code: codec.StatusInternalError, Reason: "internal error"}).Error()
	for _, tt := range []struct {
		name   string
		script script
		events []string
	}{
		{
			"OnOpen",
			script{onOpen: func(*Conn) { oops() }},
			[]string{"open", "close: " + internal},
		},
		{
			"OnMessage",
			script{onMessage: func(*Conn, codec.Opcode, []byte) { oops() }},
			[]string{"open", "1 hello", "close: " + internal},
		},
		{
			"OnMessage and OnClose",
			script{
				onMessage: func(*Conn, codec.Opcode, []byte) { oops() },
				onClose:   func(*Conn, error) { oops() },
			},
			[]string{"open", "1 hello", "close: " + internal},
		},
	} {
		for n := range 30 {
			t.Run(fmt.Sprint(tt.name, n), func(t *testing.T) {
				var log bytes.Buffer
				tl := newTestLoop(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, Endpoint{})
				other := tl.open()
				tl.script = tt.script
				tc := tl.dial()
				for _, piece := range cut(draw(request, masked(codec.OpText, "hello"), masked(codec.OpText, "more")), n+1) {
					tc.write(rawBytes(piece)...)
				}
				tc.want([]byte(welcome))
				tc.wantClose(codec.StatusInternalError)
				tc.wantEvents(tt.events...)
				tc.wantFinished()
				if !strings.Contains(log.String(), "oops") || !strings.Contains(log.String(), "close_test.go") {
					t.Errorf("log: got %q, want the panic and where it was", log.String())
				}

				tl.script = script{}
				other.write(masked(codec.OpText, "hello"))
				other.wantMessage("hello")
			})
		}
	}
}

// A connection that has broken is not revived by a panic.
func TestPanicAfterBreaking(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10})
	tl.script.onMessage = func(c *Conn, _ codec.Opcode, _ []byte) {
		for range 3 {
			c.Send(codec.OpText, []byte("hello"))
		}
		panic("oops")
	}
	tc := tl.open()
	tc.broken = unix.EPIPE
	tc.write(masked(codec.OpText, "hello"))
	tc.wantEvents("1 hello", "close: "+unix.EPIPE.Error())
	tc.wantClosed()
}

// A panic in OnClose, or in posted work, keeps nobody from anything.
func TestPanicElsewhere(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	one, two := tl.open(), tl.open()
	tl.script.onClose = func(*Conn, error) { panic("oops") }
	one.Close(1000, "")
	two.Send(codec.OpText, []byte("hello"))
	tl.Post(func() { panic("oops") })
	tl.Post(func() { two.Send(codec.OpText, []byte("again")) })
	tl.turn()
	one.wantClose(1000)
	two.wantText("hello")
	two.wantText("again")
	one.write(closeFrame(1000, ""))
	one.wantClosed()
	if len(tl.free) != 1 {
		t.Errorf("%d free slots, want 1", len(tl.free))
	}
}

// OnClose may use the connection and others.
func TestOnCloseSends(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	one, two := tl.open(), tl.open()
	tl.script.onClose = func(c *Conn, _ error) {
		c.Send(codec.OpText, []byte("too late"))
		two.Send(codec.OpText, []byte("one has left"))
		two.Close(1000, "")
	}
	one.hangUp(errReset)
	tl.turn()
	one.wantNothing()
	two.wantText("one has left")
	two.wantClose(1000)
	two.wantOnClose(1000, "")
}

func TestReasonOfASlowReader(t *testing.T) {
	var reason error
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10})
	tl.script.onClose = func(_ *Conn, err error) { reason = err }
	tc := tl.open()
	tc.room = 0
	for range 10 {
		tc.Send(codec.OpText, []byte("hello"))
	}
	tl.turn()
	if !errors.Is(reason, ErrSlowReader) {
		t.Errorf("got %v, want ErrSlowReader", reason)
	}
}

// Who has shut down only its sending side still reads what waits, as far as
// its socket takes it at once.
func TestHalfClosed(t *testing.T) {
	tc := newTestConn(t)
	tc.room = 10
	tc.send(masked(codec.OpPing, "ping"))
	tc.Send(codec.OpText, []byte("a text of 18 bytes"))
	tc.hangUp(os.NewSyscallError("read", io.EOF))
	tc.wantFrame("1 000 1010 0 0000100", "ping")
	tc.wantFrame("1 000 0001 0 0010010", "a ")
	tc.tl.turn()
	tc.wantNothing()
	tc.wantEvents("close: read: EOF")
}

// Pongs of a client that does not read wait only up to the limit, also once the
// connection is closing.
func TestPingsWhileClosing(t *testing.T) {
	tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 100}).open()
	tc.room = 0
	tc.Close(codec.StatusGoingAway, "")
	for range 100 {
		tc.write(masked(codec.OpPing, "ping"))
	}
	if n := tc.out.behind(); n > 150 {
		t.Errorf("%d bytes wait", n)
	}
}
