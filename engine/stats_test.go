package engine

import (
	"maps"
	"net"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/codec"
)

func TestStatsOfMessages(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	a, b := tl.open(), tl.open()
	before := tl.Stats()
	if before.Accepted != 2 || before.Connections != 2 || before.MessagesIn != 0 {
		t.Fatalf("after two handshakes: got %+v", before)
	}
	a.send(masked(codec.OpText, "one"), masked(codec.OpPing, "two"))
	frame := text("three")
	tl.Deliver([]uint64{a.ID(), b.ID()}, runOf(true, "c", "", frame, frame))
	b.SendFrame(frame)
	tl.turn()
	got := tl.Stats()
	if got.MessagesIn != 1 {
		t.Errorf("got %d messages in, want 1: control frames are none", got.MessagesIn)
	}
	if n := got.MessagesOut - before.MessagesOut; n != 5 {
		t.Errorf("got %d messages out, want 5", n)
	}
	if n, want := got.BytesIn-before.BytesIn, len(masked(codec.OpText, "one"))+len(masked(codec.OpPing, "two")); n != uint64(want) {
		t.Errorf("got %d bytes in, want %d", n, want)
	}
	if n, want := got.BytesOut-before.BytesOut, len(a.got)+len(b.got); n != uint64(want) {
		t.Errorf("got %d bytes out, want %d", n, want)
	}
	if got.Turns.Count() == 0 || got.Busy <= 0 {
		t.Errorf("no turn is counted: %+v", got)
	}
}

func TestStatsOfSlowReaders(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000})
	slow, slower, gone := tl.open(), tl.open(), tl.open()
	tl.turn()
	for i, tc := range []*testConn{slow, slower, gone} {
		tc.room = 0
		for range (i + 1) * 2 {
			tc.SendFrame(make([]byte, 200))
			tl.turn()
		}
	}
	s := tl.Stats()
	if s.Waiting != 3 || s.Slow["disconnect"] != 1 || s.Closed[codec.StatusTryAgainLater] != 1 {
		t.Errorf("got %+v", s)
	}
	_, last := gone.Queued()
	if s.QueuedBytes != 400+800+last {
		t.Errorf("got %d bytes waiting, want 400, 800 and %d", s.QueuedBytes, last)
	}
	if got := tl.Slowest(1); len(got) != 1 || got[0] != slower.Conn {
		t.Errorf("the slowest is not the second: %v", got)
	}
	if frames, bytes := slower.Queued(); frames != 4 || bytes != 800 {
		t.Errorf("got %d frames with %d bytes, want 4 with 800", frames, bytes)
	}
}

// What is done to slow readers beside disconnecting them is counted, and so are
// events that may be dropped.
func TestStatsOfDroppedEvents(t *testing.T) {
	for slow, name := range map[SlowPolicy]string{DropOldest: "drop-oldest", Conflate: "conflate", Replay: "replay"} {
		tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: slow, Lost: lossNotice})
		tc := tl.open()
		tc.room = 0
		before := tl.Stats().MessagesOut
		for range 100 {
			tc.publish("c", "e", pad("event"))
		}
		s := tl.Stats()
		if s.Slow[name] == 0 || len(s.Slow) != 1 {
			t.Errorf("%s: got %v", name, s.Slow)
		}
		if n := s.MessagesOut - before; n != 100 {
			t.Errorf("%s: got %d messages out, want 100", name, n)
		}
		waiting, _ := tc.Queued()
		if n, want := s.Dropped[name], uint64(100-waiting); n != want || len(s.Dropped) != 1 {
			t.Errorf("%s: got %v events dropped, want %d", name, s.Dropped, want)
		}
	}
}

func TestStatsOfEnds(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{Origins: []string{"https://example.com"}})
	tl.script.onMessage = func(c *Conn, _ codec.Opcode, payload []byte) {
		if string(payload) == "panic" {
			panic("a test's")
		}
	}
	tl.open().send(closeFrame(4321, ""))
	tl.open().hangUp(errReset)
	tl.open().send(masked(codec.OpText, "panic"))
	silent := tl.open()
	tl.dial().hangUp(nil)
	tl.dial().send([]byte("nonsense\r\n\r\n"))
	tl.dial().abort(errNoTLS)
	other := tl.dial()
	tl.turn()
	silent.advance(DefaultPingInterval)
	silent.advance(DefaultPongTimeout)
	s := tl.Stats()
	if want := map[uint16]uint64{4321: 1, 1006: 2, 1011: 1}; !maps.Equal(s.Closed, want) {
		t.Errorf("closed: got %v, want %v", s.Closed, want)
	}
	if want := map[string]uint64{"gone": 1, "invalid": 1, "timeout": 1, "transport": 1}; !maps.Equal(s.Refused, want) {
		t.Errorf("refused: got %v, want %v", s.Refused, want)
	}
	if s.Timeouts != 1 || s.Panics != 1 {
		t.Errorf("got %d time-outs and %d panics, want one of each", s.Timeouts, s.Panics)
	}
	if got := tl.Loop.Conn(other.ID()); got != nil {
		t.Error("a connection that is not open is found")
	}
}

// Each reason for which somebody is not let in has a name of its own.
func TestStatsOfRefusals(t *testing.T) {
	for _, tt := range []struct {
		want string
		do   func(*testConn)
	}{
		{"full", func(tc *testConn) { tc.refused = full; tc.write(request) }},
		{"no_memory", func(tc *testConn) { tc.refused = noMemory; tc.write(request) }},
		{"too_many", func(tc *testConn) { tc.refused = tooMany; tc.write(request) }},
		{"stopping", func(tc *testConn) { tc.goAway() }},
		{"origin", func(tc *testConn) { tc.write("GET / HTTP/1.1\r\n" + fields + "Origin: https://evil.example\r\n\r\n") }},
		{"not_found", func(tc *testConn) { tc.write("GET /nowhere HTTP/1.1\r\n" + fields + "\r\n") }},
		{"invalid", func(tc *testConn) { tc.write("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n") }},
		{"too_long", func(tc *testConn) { tc.write(padded(maxHandshake + 1)) }},
		{"timeout", func(tc *testConn) { tc.advance(DefaultHandshakeTimeout) }},
		{"gone", func(tc *testConn) { tc.hangUp(errReset) }},
		{"transport", func(tc *testConn) { tc.abort(errNoTLS) }},
		{"forwarded", func(tc *testConn) {
			tc.transport = &transport{conn: tc.Conn, listener: newListener(Listener{ForwardedFrom: forwarders}), remote: from("10.0.0.1").(*net.TCPAddr), stage: established}
			tc.write(with("Forwarded: for=192.0.2.7\r\nX-Forwarded-For: 192.0.2.8"))
		}},
	} {
		t.Run(tt.want, func(t *testing.T) {
			tl := newTestLoop(t, Config{}, Endpoint{Origins: []string{"https://example.com"}})
			tt.do(tl.dial())
			tl.turn()
			if got := tl.Stats().Refused; !maps.Equal(got, map[string]uint64{tt.want: 1}) {
				t.Errorf("got %v, want one %s", got, tt.want)
			}
		})
	}
}

// So it is over TLS, and nobody is counted twice.
func TestStatsOfRefusalsOverTLS(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		do         func(*testLoop) *testConn
	}{
		{"close_notify", "gone", func(tl *testLoop) *testConn {
			tc, client, wire := tl.dialSealed()
			_ = client.CloseWrite()
			tc.write(wire.sent())
			return tc
		}},
		{"no record", "transport", func(tl *testLoop) *testConn {
			tc, _, _ := tl.dialSealed()
			tc.write("\x17\x03\x03\x00\x20" + strings.Repeat("x", 32))
			return tc
		}},
		{"an alert", "transport", func(tl *testLoop) *testConn {
			tc, client, wire := tl.dialSealed()
			keys := wire.takeOver(tl.t, client, 0)
			tc.write(keys.record(21, 2, 80)) // internal_error
			return tc
		}},
		{"reset", "gone", func(tl *testLoop) *testConn {
			tc, _, _ := tl.dialSealed()
			tc.hangUp(errReset)
			return tc
		}},
		{"HTTP", "transport", func(tl *testLoop) *testConn {
			tc := tl.dial()
			tc.transport = &transport{conn: tc.Conn, listener: newListener(Listener{TLS: serverTLS()}), stage: awaitingHello}
			tc.write("GET / HTTP/1.1\r\n\r\n")
			tc.wantRefusal(400)
			return tc
		}},
		{"neither", "transport", func(tl *testLoop) *testConn {
			tc := tl.dial()
			tc.transport = &transport{conn: tc.Conn, listener: newListener(Listener{TLS: serverTLS()}), stage: awaitingHello}
			tc.write("\x80\x2e\x01")
			return tc
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tl := newTestLoop(t, Config{}, Endpoint{})
			if tc := tt.do(tl); !tc.closed {
				tc.hangUp(errReset)
			}
			tl.turn()
			if got := tl.Stats().Refused; !maps.Equal(got, map[string]uint64{tt.want: 1}) {
				t.Errorf("got %v, want one %s", got, tt.want)
			}
		})
	}
}
