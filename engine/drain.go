package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// Drain lets nobody in any more, and closes those who are there with 1001
// (RFC 6455 §7.4.1), spread evenly over the window; 0 is all at once. It returns
// nil once everybody has gone, or how many are left when ctx is done; the loops
// run on until Shutdown. Who knocked before is still served for a moment, and
// nobody gets an answer afterwards: the port is closed, and if others share it
// (Config.ReusePort) that is waited for. Calls after the first only wait. Any
// goroutine but a loop's.
func (e *Engine) Drain(ctx context.Context, window time.Duration) error {
	if !e.started() {
		return nil
	}
	e.emptying.Do(func() {
		e.leaving.Store(true)
		e.closeFiles()
		for _, l := range e.loops {
			l.Post(func() { l.drainOver(inTicks(window)) })
		}
	})
	if e.config.ReusePort {
		select {
		case <-e.shut:
		case <-e.stopped:
		case <-ctx.Done():
		}
	}
	return e.drained(ctx)
}

// Draining tells whether Drain or Shutdown has been called: then nobody should
// be sent here any more. Any goroutine.
func (e *Engine) Draining() bool { return e.leaving.Load() || e.stopping.Load() }

// closePorts is called on each tick while the engine drains.
func (e *Engine) closePorts() {
	gone, err := e.ports.leave()
	if err != nil {
		e.log().Error("the port cannot be closed", "error", err)
	}
	if gone {
		e.shutting.Do(e.countLast)
	}
}

// countLast closes shut once every loop has taken a turn: one may have accepted
// somebody who is not counted yet, however long ago.
func (e *Engine) countLast() {
	left := new(atomic.Int32)
	left.Store(int32(len(e.loops)))
	for _, l := range e.loops {
		l.Post(func() {
			if left.Add(-1) == 0 {
				close(e.shut)
			}
		})
	}
}

// drained waits until no connection is left.
func (e *Engine) drained(ctx context.Context) error {
	defer e.oneGone() // others may wait
	for e.conns.Load() > 0 {
		select {
		case <-e.gone:
		case <-e.stopped:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("engine: %d connections were cut off: %w", e.conns.Load(), ctx.Err())
		}
	}
	return nil
}

// A drain closes the connections of a loop little by little.
type drain struct {
	begun, window uint32 // ticks; those who were there are closed within the window
	end           uint32 // ticks after which the others are too; 0: no drain
	total, closed uint64 // connections there were, and that have been closed
	cursor        int    // the slot to look at next
}

// How long, in ticks, a drain waits for those who are let in at the last call:
// they shall not be sent away in the middle of the opening handshake.
const (
	drainMin   = lastCall + 3 // for those who have ended it meanwhile
	drainGrace = 8            // after the end, for who has not
)

// drainOver closes everybody within so many ticks from now.
func (l *Loop) drainOver(window uint32) {
	l.drain = drain{begun: l.beat.Load(), window: window, end: max(window, drainMin)}
	for _, c := range l.conns {
		if c != nil && c.state != opening {
			l.drain.total++
		}
	}
	l.drainMore()
}

// drainMore closes as many as are due. Each loop begins a little before the next,
// so that they do not all close one on the same tick.
func (l *Loop) drainMore() {
	d := &l.drain
	if d.end == 0 {
		return
	}
	passed := l.beat.Load() - d.begun
	if passed >= d.end {
		l.closeAll(passed < d.end+drainGrace)
		return
	}
	due := d.total
	if passed < d.window {
		phase := uint64(d.window) * uint64(l.index) / uint64(l.engine.config.Loops)
		due = (d.total*uint64(passed) + phase) / uint64(d.window)
	}
	for ; d.closed < due && d.cursor < len(l.conns); d.cursor++ {
		if c := l.conns[d.cursor]; c != nil && c.state != opening {
			d.closed++
			c.goAway()
		}
	}
}

// closeAll begins the closing handshake with everybody, but may spare those who
// have not ended the opening one.
func (l *Loop) closeAll(spare bool) {
	for _, c := range l.conns {
		if c != nil && !(spare && c.state == opening) {
			c.goAway()
		}
	}
}

// goAway begins the closing handshake because the server is stopping.
func (c *Conn) goAway() {
	if c.state == opening {
		c.refuse(errStopping, c.begun())
		return
	}
	c.Close(codec.StatusGoingAway, "server is stopping")
}
