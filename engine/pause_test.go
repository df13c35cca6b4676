package engine

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket/codec"
)

// pausing echoes messages, and stops the input behind each "stop", until it is told to go on.
func pausing(conns chan<- *Conn) hooks {
	return hooks{message: func(c *Conn, op codec.Opcode, payload []byte) {
		c.Send(op, payload)
		if string(payload) == "stop" {
			c.Pause()
			conns <- c
		}
	}}
}

func say(t *testing.T, ws *websocket.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func hear(t *testing.T, ws *websocket.Conn, messages ...string) {
	t.Helper()
	for _, want := range messages {
		if _, got, err := ws.Read(t.Context()); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

// What comes while the input is paused is taken in order when that goes on, until it is
// paused again.
func TestPause(t *testing.T) {
	conns := make(chan *Conn, 10)
	e := start(t, Config{}, Endpoint{Protocol: pausing(conns)})
	ws := dial(t, e)
	say(t, ws, "1", "stop", "2", "stop", "3")
	hear(t, ws, "1", "stop")
	c := receive(t, conns)
	c.loop.Post(func() { c.Send(codec.OpText, []byte("between")); c.Resume() })
	hear(t, ws, "between", "2", "stop")
	c = receive(t, conns)
	c.loop.Post(c.Resume)
	hear(t, ws, "3")
}

// A connection whose input is paused is closed as any other one: at once, when the client has
// answered, and not when its time for that is over.
func TestCloseWhilePaused(t *testing.T) {
	conns := make(chan *Conn, 1)
	e := start(t, Config{CloseTimeout: 24 * time.Hour}, Endpoint{Protocol: pausing(conns)})
	ws := dial(t, e)
	say(t, ws, "stop", "2")
	hear(t, ws, "stop")
	c := receive(t, conns)
	c.loop.Post(func() { c.Close(4000, "enough") })
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != 4000 {
		t.Fatalf("got %v, want 4000", err)
	}
	waitFor(t, func() bool { return e.Connections() == 0 })
}

// A client that sends much while its input is paused has to wait: little is kept here, and nothing
// is lost when that goes on.
func TestMuchWhilePaused(t *testing.T) {
	conns := make(chan *Conn, 1)
	count := 0
	const n, size = 1000, 16 << 10 // 16 MiB, more than sockets have room for
	e := start(t, Config{Loops: 1}, Endpoint{Protocol: hooks{message: func(c *Conn, op codec.Opcode, payload []byte) {
		switch {
		case string(payload) == "stop":
			c.Pause()
			conns <- c
			c.Send(op, payload)
		case len(payload) == size:
			if count++; count == n {
				c.Send(op, []byte("all"))
			}
		}
	}}})
	ws := dial(t, e)
	say(t, ws, "stop")
	hear(t, ws, "stop")
	c := receive(t, conns)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range n {
			_ = ws.Write(t.Context(), websocket.MessageBinary, make([]byte, size)) // if it fails not all arrives
		}
	}()
	kept := func() (n int) {
		done := make(chan struct{})
		c.loop.Post(func() { n = len(c.loop.paused[c].came); close(done) })
		<-done
		return n
	}
	other := dial(t, e)
	say(t, other, "1") // the loop does not turn in vain, nor stops
	for range 1000 {
		if got := kept(); got > pausedMax/4 {
			t.Fatalf("%d bytes are kept", got)
		}
	}
	select {
	case <-sent:
		t.Fatal("the client could send all of it")
	default:
	}
	c.loop.Post(c.Resume)
	hear(t, ws, "all")
}

// sayRaw sends a frame.
func sayRaw(c net.Conn, op codec.Opcode, payload string) error {
	_, err := c.Write(append([]byte{0x80 | byte(op), 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
	return err
}

// owing is a protocol that owes an answer to each message.
type owing struct {
	hooks
	owed map[*Conn]int
}

func (o *owing) Owes(c *Conn) bool { return o.owed[c] > 0 }

// A client that says that it will send no more gets the answers that are owed to it first.
func TestEndWaitsForAnswers(t *testing.T) {
	for _, tt := range []struct {
		name string
		tls  bool
		end  func(net.Conn) error
		last string // what comes behind the answers
	}{
		{"a Close frame", false, func(c net.Conn) error { return sayRaw(c, codec.OpClose, "\x03\xe8") }, "\x88\x02\x03\xe8"},
		{"a close_notify", true, func(c net.Conn) error { return c.(*tls.Conn).CloseWrite() }, ""},
		{"the end of its side", false, func(c net.Conn) error { return c.(*net.TCPConn).CloseWrite() }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			come, closed := make(chan *Conn, 3), make(chan error, 1)
			o := &owing{owed: make(map[*Conn]int)}
			o.hooks = hooks{message: func(c *Conn, _ codec.Opcode, _ []byte) {
				o.owed[c]++
				come <- c
			}, close: func(_ *Conn, reason error) { closed <- reason }}
			config, endpoint := Config{CloseTimeout: 24 * time.Hour, Loops: 1}, Endpoint{Protocol: o}
			var e *Engine
			var ws net.Conn
			if tt.tls {
				e = startTLS(t, config, endpoint)
				ws = openTLS(t, e, clientTLS())
			} else {
				e = start(t, config, endpoint)
				ws = dialDeaf(t, e)
			}
			for range 3 {
				if err := sayRaw(ws, codec.OpText, "x"); err != nil {
					t.Fatal(err)
				}
			}
			c := receive(t, come)
			receive(t, come)
			receive(t, come)
			id := c.ID()
			if err := tt.end(ws); err != nil {
				t.Fatal(err)
			}
			var other *websocket.Conn
			if !tt.tls {
				other = dial(t, e)
			}
			for i := range 3 {
				if other != nil {
					say(t, other, "y") // the loop has seen the end
					receive(t, come)
				}
				found := make(chan *Conn, 1)
				c.loop.Post(func() { found <- c.loop.Conn(id) })
				if receive(t, found) != c {
					t.Error("the connection is not found by its ID")
				}
				c.loop.Post(func() {
					c.Send(codec.OpText, []byte{'0' + byte(i)})
					o.owed[c]--
					c.Resume()
				})
			}
			want := "\x81\x010\x81\x011\x81\x012" + tt.last
			_ = ws.SetReadDeadline(time.Now().Add(longWait))
			if got, err := io.ReadAll(ws); err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if err := receive(t, closed); err == nil {
				t.Error("OnClose has no reason")
			}
			waitFor(t, func() bool { return e.Connections() == 0 || other != nil && e.Connections() == 1 })
		})
	}
}

// Where reading cannot be stopped, a client that sends too much while its input is paused is
// closed.
func TestTooMuchWhilePaused(t *testing.T) {
	conns := make(chan *Conn, 1)
	e := start(t, Config{}, Endpoint{Protocol: pausing(conns), MaxMessageSize: 2 * pausedMax})
	ws := dial(t, e)
	say(t, ws, "0")
	hear(t, ws, "0")
	for _, l := range e.loops {
		done := make(chan struct{})
		l.Post(func() { l.epoll = 0; close(done) })
		<-done
	}
	say(t, ws, "stop")
	hear(t, ws, "stop")
	go func() { _ = ws.Write(t.Context(), websocket.MessageBinary, bytes.Repeat([]byte("x"), pausedMax+1)) }()
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
		t.Fatalf("got %v, want 1013", err)
	}
}
