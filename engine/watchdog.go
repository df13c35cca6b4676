package engine

import (
	"runtime"
	"time"
)

// stacksMax is how many bytes of stacks are logged when a loop does not get on.
const stacksMax = 256 << 10

// A watchdog looks after the loops. The clock's goroutine only, but for what is
// atomic in Engine.
type watchdog struct {
	stuck []bool // loops that did not get on when it looked last
}

// watchLoops is called on each tick, after which every loop takes a turn if it
// can.
func (e *Engine) watchLoops(now uint32) {
	limit := inTicks(e.config.StallTimeout)
	if limit == 0 {
		return
	}
	if e.watchdog.stuck == nil {
		e.watchdog.stuck = make([]bool, len(e.loops))
	}
	for i, l := range e.loops {
		since := now - l.beat.Load()
		switch stuck := &e.watchdog.stuck[i]; {
		case !*stuck && since > limit:
			*stuck = true
			e.stalled.Add(1)
			e.stalls.Add(1)
			e.log().Error("a loop does not get on", "loop", i, "since", (time.Duration(since) * tick).String(), "stacks", stacks())
		case *stuck && since <= limit:
			*stuck = false
			e.stalled.Add(-1)
			e.log().Warn("a loop gets on again", "loop", i)
		}
	}
}

// stacks returns what all goroutines are doing.
func stacks() string {
	b := make([]byte, stacksMax)
	return string(b[:runtime.Stack(b, true)])
}

// Stalled returns how many loops do not get on at the moment: their connections
// are not served, and a process that stays so is better replaced. Any goroutine.
func (e *Engine) Stalled() int { return int(e.stalled.Load()) }

// Stalls returns how often a loop did not get on. Any goroutine.
func (e *Engine) Stalls() uint64 { return e.stalls.Load() }
