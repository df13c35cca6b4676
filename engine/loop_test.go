package engine

import (
	"context"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
)

// turns are what a loop asks gnet for.
type turns struct {
	gnet.EventLoop
	asked int
}

func (s *turns) Execute(context.Context, gnet.Runnable) error {
	s.asked++
	return nil
}

func (s *turns) want(t *testing.T, n int) {
	t.Helper()
	if s.asked != n {
		t.Fatalf("asked for %d turns, want %d", s.asked, n)
	}
	s.asked = 0
}

// attachTurns gives the loop a gnet that only counts.
func attachTurns(tl *testLoop) *turns {
	s := new(turns)
	tl.attach(s)
	return s
}

// addPump gives the loop a pump, and a way to tell whether it has been used.
func addPump(t *testing.T, tl *testLoop) (pushed func() bool) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	tl.pump = &pump{fd: fds[0]}
	t.Cleanup(func() {
		tl.pump.close()
		_ = unix.Close(fds[1])
	})
	return func() bool {
		n, _ := unix.Read(fds[1], make([]byte, 10))
		return n > 0
	}
}

func TestManyWakesMakeOneTurn(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	asked := attachTurns(tl)
	done := 0
	for range 10 {
		tl.Wake()
		tl.Post(func() { done++ })
	}
	asked.want(t, 1)
	tl.turn()
	asked.want(t, 0)
	if done != 10 {
		t.Errorf("%d of 10 done", done)
	}
	tl.Wake()
	asked.want(t, 1)
}

func TestWakeBeforeAttach(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tl.Wake()
	asked := attachTurns(tl)
	asked.want(t, 1)
}

// What a turn finds to do by itself needs no other one.
func TestTurnNeedsNoWake(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tc := tl.open()
	tl.phase.Store(asleep)
	asked := attachTurns(tl)
	tl.Post(func() { tc.SendFrame(text("hello")); tc.Close(1000, "") })
	asked.want(t, 1)
	tl.turn()
	asked.want(t, 0)
}

// What a connection is given outside of a turn asks for one.
func TestSendAsksForATurn(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    func(*testConn)
	}{
		{"SendFrame", func(tc *testConn) { tc.SendFrame(text("hello")) }},
		{"Close", func(tc *testConn) { tc.Close(1000, "") }},
		{"drop", func(tc *testConn) { tc.abort(errReset) }},
		{"hung up", func(tc *testConn) { tc.hangUp(errReset) }},
		{"message", func(tc *testConn) { tc.send(masked(codec.OpPing, "")) }},
		{"writable", func(tc *testConn) { tc.tl.writable(tc.slot) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestConn(t)
			tc.tl.phase.Store(asleep)
			asked := attachTurns(tc.tl)
			tt.f(tc)
			asked.want(t, 1)
		})
	}
}

// A wake during a turn makes one more. It follows at once if there is time.
func TestWakeInATurn(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	asked := attachTurns(tl)
	pushed := addPump(t, tl)
	second := false
	tl.Post(func() {
		for range 10 {
			tl.Post(func() { second = true })
		}
		tl.sliceEnd = time.Now().Add(time.Hour)
		asked.want(t, 1)
	})
	tl.turn()
	asked.want(t, 1)
	end := tl.sliceEnd
	tl.turn()
	asked.want(t, 0)
	if !second {
		t.Error("what was posted in the turn was not done in the next")
	}
	if tl.sliceEnd != end {
		t.Error("the turn that followed at once had a slice of its own")
	}
	tl.turn()
	if tl.sliceEnd == end {
		t.Error("a later turn has no slice of its own")
	}
	if pushed() {
		t.Error("the pump was used")
	}
}

// Without time, or if the worker has more to do, a round of input and output
// comes first.
func TestPumpedTurn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pause time.Duration
		wake  bool
		pumps bool
	}{
		{"the slice is over", -1, true, true},
		{"more to do", 0, false, true},
		{"more to do after a pause", 1, false, true},
		{"more to do, and woken", 0, true, true},
		{"nothing to do", -1, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tl := newTestLoop(t, Config{}, Endpoint{})
			asked := attachTurns(tl)
			pushed := addPump(t, tl)
			tl.work = func() time.Duration {
				tl.sliceEnd = time.Time{}
				if tt.wake {
					tl.Wake()
				}
				return tt.pause
			}
			tl.turn()
			asked.want(t, 0)
			if got := pushed(); got != tt.pumps {
				t.Errorf("pumped: got %t, want %t", got, tt.pumps)
			}
		})
	}
}

// A worker that panics does not end the loop, and works in the next turn.
func TestWorkerPanics(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	works := 0
	tl.work = func() time.Duration {
		if works++; works == 1 {
			panic("out of order")
		}
		return -1
	}
	tc := tl.open()
	tc.write(masked(1, "hello"))
	tc.wantMessage("hello")
	if n := tl.Stats().Panics; n != 1 || works < 2 {
		t.Errorf("%d panics and %d turns, want one and more", n, works)
	}
}
