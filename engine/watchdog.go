package engine

import (
	"runtime"
	"time"
)

// stacksMax is how many bytes of stacks are logged when a loop stalls.
const stacksMax = 256 << 10

// A watchdog finds loops that have stalled: that take no turn. It is for the
// clock's goroutine only; the counts for others are atomic fields of Engine.
type watchdog struct {
	stalled []bool // for each loop: it had stalled at the last look
}

// watchLoops is called on each tick. Between two ticks every loop that has not
// stalled takes a turn.
func (e *Engine) watchLoops(now uint32) {
	limit := inTicks(e.config.StallTimeout)
	if limit == 0 {
		return
	}
	if e.watchdog.stalled == nil {
		e.watchdog.stalled = make([]bool, len(e.loops))
	}
	for i, l := range e.loops {
		since := now - l.beat.Load()
		switch stalled := &e.watchdog.stalled[i]; {
		case !*stalled && since > limit:
			*stalled = true
			e.stalled.Add(1)
			e.stalls.Add(1)
			e.log().Error("event loop stalled", "loop", i, "since", (time.Duration(since) * tick).String(), "stacks", stacks())
		case *stalled && since <= limit:
			*stalled = false
			e.stalled.Add(-1)
			e.log().Warn("event loop recovered", "loop", i)
		}
	}
}

// stacks returns the stacks of all goroutines.
func stacks() string {
	b := make([]byte, stacksMax)
	return string(b[:runtime.Stack(b, true)])
}

// Stalled returns how many loops are stalled now: they take no turn, and their
// connections are not served. A process that stays in this state should be
// replaced. Any goroutine.
func (e *Engine) Stalled() int { return int(e.stalled.Load()) }

// Stalls returns how often a loop has stalled. Any goroutine.
func (e *Engine) Stalls() uint64 { return e.stalls.Load() }
