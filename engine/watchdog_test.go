package engine

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A loop that does not get on is told of once, and again when it does.
func TestWatchdog(t *testing.T) {
	log := newLines(t)
	e := New(Config{Loops: 2, StallTimeout: 10 * tick, Log: slog.New(log)}, nil)
	e.loops = []*Loop{newLoop(e, 0, nil), newLoop(e, 1, nil)}
	want := func(now uint32, stalled int, stalls uint64, lines int) {
		t.Helper()
		e.watchLoops(now)
		if e.Stalled() != stalled || e.Stalls() != stalls || len(log.records) != lines {
			t.Errorf("at %d: %d loops are stalled, for the %d. time, %d lines are logged, want %d, %d, %d",
				now, e.Stalled(), e.Stalls(), len(log.records), stalled, stalls, lines)
		}
	}
	want(10, 0, 0, 0)
	e.loops[0].advance(5)
	want(11, 1, 1, 1) // the second
	want(12, 1, 1, 1)
	want(16, 2, 2, 2)
	e.loops[0].advance(16)
	e.loops[1].advance(16)
	want(17, 0, 2, 4)
	want(30, 2, 4, 6)
}

// The whole of it: work that blocks its loop, and is to be seen in the stacks.
// The other loop may be held up as well where the machine is busy.
func TestStall(t *testing.T) {
	log := newLines(t)
	e := New(Config{Loops: 2, StallTimeout: tick, Log: slog.New(log)}, at("/", Endpoint{Handler: echo}))
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Shutdown(t.Context()) }()
	block := make(chan struct{})
	e.Loops()[1].Post(func() { waitInTestStall(block) })
	wantLoop := func(message string) map[string]string {
		for {
			if attrs := log.want(t, message); attrs["loop"] == "1" {
				return attrs
			}
		}
	}
	if got := wantLoop("a loop does not get on")["stacks"]; !strings.Contains(got, "engine.waitInTestStall(") {
		t.Errorf("the stacks lack what blocks the loop:\n%s", got)
	}
	if n := e.Stalled(); n < 1 {
		t.Errorf("%d loops are stalled, want 1", n)
	}
	close(block)
	wantLoop("a loop gets on again")
	waitFor(t, func() bool { return e.Stalled() == 0 })
}

//go:noinline
func waitInTestStall(block chan struct{}) { <-block }

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

// A panic of Lost costs the connection that was to be told.
func TestLostPanics(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 100, Slow: DropOldest, Lost: func(string, int) []byte { panic("no words") }})
	broken, good := tl.open(), tl.open()
	broken.room = 0
	for range 10 {
		broken.publish("c", "e", "hello")
		good.publish("c", "e", "hello")
	}
	broken.read(unlimited)
	broken.wantOnClose(1011, "internal error")
	for range 10 {
		good.wantText("hello")
	}
	good.wantOpen()
	if n := tl.Stats().Panics; n != 1 {
		t.Errorf("%d panics, want 1", n)
	}
}

// So does one of who has said over TLS that it leaves, and for whom nothing else
// waits: it hears of none.
func TestLostPanicsOverTLS(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, Slow: DropOldest, Lost: func(channel string, _ int) []byte {
		if channel == "b" {
			panic("no words")
		}
		return text(pad("lost"))
	}})
	tc, client, wire := tl.openSealed()
	tc.room = 0
	tc.publish("a", "e", "first")
	tc.publish("a", "e", "second")
	tc.publish("a", "e", strings.Repeat("x", 2000))
	tc.publish("b", "e", strings.Repeat("x", 2000))
	_ = client.CloseWrite()
	tc.write(wire.sent())
	tc.wantOpen()
	tc.read(unlimited)
	tc.wantSealed(client, wire, bytes.Join([][]byte{text("first"), text("second"), text(pad("lost"))}, nil), nil)
	tc.wantEvents("close: EOF")
	tc.wantClosed()
	if n := tl.Stats().Panics; n != 1 {
		t.Errorf("%d panics, want 1", n)
	}
}
