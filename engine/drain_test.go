package engine

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
)

// The connections of a loop are closed evenly over the window.
func TestDrainIsEven(t *testing.T) {
	for _, tt := range []struct {
		n      int
		window time.Duration
	}{
		{0, 10 * time.Second},
		{1, 10 * time.Second},
		{7, 10 * time.Second},
		{100, 10 * time.Second},
		{1000, 10 * time.Second},
		{5, 500 * time.Millisecond},
		{1000, tick},
	} {
		n, window := tt.n, tt.window
		tl := newTestLoop(t, Config{Loops: 1, CloseTimeout: -1}, Endpoint{})
		var conns []*testConn
		for range n {
			conns = append(conns, tl.open())
		}
		tl.Post(func() { tl.drainOver(inTicks(window)) })
		tl.turn()
		for passed := time.Duration(0); ; passed += tick {
			closed := 0
			for _, tc := range conns {
				if tc.state != open {
					closed++
				}
			}
			if want := int(int64(n) * int64(passed) / int64(window)); closed != want {
				t.Fatalf("%d connections, after %v: %d are closed, want %d", n, passed, closed, want)
			}
			if passed == window {
				break
			}
			tl.advance(tick)
		}
		for _, tc := range conns {
			tc.wantClose(codec.StatusGoingAway)
		}
	}
}

// An endpoint may have a code of its own for connections that are closed one after the
// other: a client that comes back at once meets no crowd. Those that are closed
// together, at the end or because there is no window, get the other one.
func TestDrainMoving(t *testing.T) {
	endpoint := Endpoint{
		GoingAway: &codec.CloseError{Code: 4100, Reason: "later"},
		Moving:    &codec.CloseError{Code: 4200, Reason: "at once"},
	}
	tl := newTestLoop(t, Config{Loops: 1}, endpoint)
	tc := tl.open()
	tl.Post(func() { tl.drainOver(inTicks(time.Second)) })
	tl.turn()
	tl.advance(time.Second)
	tc.wantClose(4200)
	late := tl.open()
	tl.advance(drainMin * tick)
	late.wantClose(4100)

	tl = newTestLoop(t, Config{Loops: 1}, endpoint)
	tc = tl.open()
	tl.Post(func() { tl.drainOver(0) })
	tl.turn()
	tc.wantClose(4100)

	endpoint.Moving = nil
	tl = newTestLoop(t, Config{Loops: 1}, endpoint)
	tc = tl.open()
	tl.Post(func() { tl.drainOver(inTicks(time.Second)) })
	tl.turn()
	tl.advance(time.Second)
	tc.wantClose(4100)
}

// Loops that have one connection each do not all close it on the same tick.
func TestDrainOfSeveralLoops(t *testing.T) {
	const window = 10 * time.Second
	tl := newTestLoop(t, Config{Loops: 4, CloseTimeout: -1}, Endpoint{})
	loops := []*testLoop{tl}
	for i := 1; i < 4; i++ {
		other := *tl
		other.Loop = newLoop(tl.engine, i, wires{tl})
		loops = append(loops, &other)
	}
	var conns []*testConn
	for _, l := range loops {
		conns = append(conns, l.open())
		l.Post(func() { l.drainOver(inTicks(window)) })
		l.turn()
	}
	for passed := tick; passed <= window; passed += tick {
		tl.engine.clock.Add(1)
		for i, l := range loops {
			l.turn()
			due := window - time.Duration(i)*window/4
			if closed := conns[i].state != open; closed != (passed >= due) {
				t.Fatalf("loop %d, after %v: closed %t, want it closed after %v", i, passed, closed, due)
			}
		}
	}
}

// What was queued is sent before the Close frame, and who comes late is sent
// away too.
func TestDrainSendsWhatIsQueued(t *testing.T) {
	tl := newTestLoop(t, Config{Loops: 1}, Endpoint{})
	slow := tl.open()
	slow.room = 3
	slow.SendFrame(text("hello"))
	tl.turn()
	tl.Post(func() { tl.drainOver(0) })
	tl.turn()
	late, half := tl.open(), tl.dial()
	tl.advance(drainMin * tick)
	late.wantClose(codec.StatusGoingAway)
	half.wantNothing()
	tl.advance(drainGrace * tick)
	half.want([]byte("HTTP/1.1 503 "))
	if !bytes.Contains(half.got, []byte("\r\nRetry-After: 1\r\n")) {
		t.Errorf("got %q, want when to come again", half.got)
	}
	slow.read(unlimited)
	slow.wantText("hello")
	slow.wantClose(codec.StatusGoingAway)
}

// A loop may be about to count somebody whom it has accepted when the port is
// closed: a drain waits for it.
func TestDrainCountsWhoCameLast(t *testing.T) {
	tl := newTestLoop(t, Config{Loops: 2}, Endpoint{})
	e := tl.engine
	other := newLoop(e, 1, wires{tl})
	e.loops = []*Loop{tl.Loop, other}
	for range 2 { // the port is closed already
		e.closePorts()
	}
	tl.turn()
	select {
	case <-e.life.portsClosed:
		t.Error("a loop has not been waited for")
	default:
	}
	other.turn()
	<-e.life.portsClosed
}

// wantDrained fails unless the port is closed and Drain returns.
func wantDrained(t *testing.T, e *Engine, done <-chan error) {
	t.Helper()
	if err := receive(t, done); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if !e.Draining() {
		t.Error("it does not say that it drains")
	}
	if conn, err := net.Dial("tcp", e.Addr().String()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("Dial after Drain: got %v, %v, want that it is refused", conn, err)
	}
}

func TestDrain(t *testing.T) {
	e := start(t, Config{Loops: 2}, Endpoint{Protocol: echo})
	var clients []*websocket.Conn
	for range 20 {
		clients = append(clients, dial(t, e))
	}
	done := make(chan error, 1)
	go func() { done <- e.Drain(t.Context(), time.Second) }()
	ctx, cancel := context.WithTimeout(t.Context(), longWait)
	defer cancel()
	for _, ws := range clients {
		if _, _, err := ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("got %v, want 1001", err)
		}
	}
	wantDrained(t, e, done)
	if err := e.Drain(t.Context(), time.Hour); err != nil {
		t.Errorf("the second Drain: %v", err)
	}
}

// Who does not go is counted when the time is up.
func TestDrainGivesUp(t *testing.T) {
	e := start(t, Config{Loops: 1, CloseTimeout: time.Second}, Endpoint{Protocol: echo})
	dialDeaf(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Drain(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain: got %v, want that a connection is left", err)
	}
	if n := e.Connections(); n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
}

// A second engine takes over a port while clients come and go: none is refused.
func TestTakeOverWithoutRefusal(t *testing.T) {
	one := start(t, Config{Loops: 2, ReusePort: true}, Endpoint{Protocol: echo})
	var stop atomic.Bool
	clients := make(chan error)
	for range 4 {
		go func() {
			var err error
			for err == nil && !stop.Load() {
				err = visit(t, one)
			}
			clients <- err
		}()
	}
	two := New(Config{Loops: 2, ReusePort: true}, at("/", Endpoint{Protocol: echo}))
	if err := two.Start(one.Addr().String()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	defer func() { _ = two.Shutdown(context.Background()) }()
	if err := one.Drain(t.Context(), 0); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if err := one.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for range 3 {
		if err := visit(t, two); err != nil {
			t.Errorf("after the change: %v", err)
		}
	}
	stop.Store(true)
	for range 4 {
		if err := <-clients; err != nil {
			t.Errorf("a client: %v", err)
		}
	}
}

// visit connects, gets an echo and leaves. A Close frame with 1001 is no error.
func visit(t *testing.T, e *Engine) error {
	ws, _, err := websocket.Dial(t.Context(), "ws://"+e.Addr().String()+"/", nil)
	if err != nil {
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		return err
	}
	if _, _, err = ws.Read(t.Context()); websocket.CloseStatus(err) == websocket.StatusGoingAway {
		err = nil
	}
	return err
}

// Only who says so shares a port.
func TestPortIsNotShared(t *testing.T) {
	e := start(t, Config{Loops: 1, ReusePort: true}, Endpoint{Protocol: echo})
	other := New(Config{Loops: 1}, at("/", Endpoint{Protocol: echo}))
	if err := other.Start(e.Addr().String()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("Start: got %v, want that the port is taken", err)
		_ = other.Shutdown(t.Context())
	}
}

// All who wait for the connections to be gone hear that they are.
func TestDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Config{}, nil)
		e.conns.Store(2)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := e.drained(t.Context()); err != nil {
					t.Errorf("drained: %v", err)
				}
			})
		}
		for range 2 {
			synctest.Wait()
			e.conns.Add(-1)
			e.noteClosed()
		}
		wg.Wait()
	})
}
