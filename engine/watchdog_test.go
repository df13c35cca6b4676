package engine

import (
	"log/slog"
	"strings"
	"testing"
)

// A stalled loop is logged once, and again when it has recovered.
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
	e := New(Config{Loops: 2, StallTimeout: tick, Log: slog.New(log)}, at("/", Endpoint{Protocol: echo}))
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
	if got := wantLoop("event loop stalled")["stacks"]; !strings.Contains(got, "engine.waitInTestStall(") {
		t.Errorf("the stacks lack what blocks the loop:\n%s", got)
	}
	if n := e.Stalled(); n < 1 {
		t.Errorf("%d loops are stalled, want 1", n)
	}
	close(block)
	wantLoop("event loop recovered")
	waitFor(t, func() bool { return e.Stalled() == 0 })
}

//go:noinline
func waitInTestStall(block chan struct{}) { <-block }
