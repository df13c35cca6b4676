package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// Drain stops accepting connections, and closes the open ones with 1001 (RFC
// 6455 §7.4.1), spread evenly over the window; 0 closes all at once. It returns
// nil when no connection is left, or an error with their number when ctx is
// done. The loops run on until Shutdown.
//
// Connections whose TCP handshake has begun are still accepted and served for a
// moment. Then the port is closed, and connections to it get no answer from
// this process. With Config.ReusePort Drain waits for that too. Calls after the
// first only wait. Any goroutine but a loop's.
func (e *Engine) Drain(ctx context.Context, window time.Duration) error {
	if !e.started() {
		return nil
	}
	e.life.drainOnce.Do(func() {
		e.life.draining.Store(true)
		e.closeFiles()
		e.web.drain()
		for _, l := range e.loops {
			l.Post(func() { l.drainOver(inTicks(window)) })
		}
	})
	if e.config.ReusePort {
		select {
		case <-e.life.portsClosed:
		case <-e.life.stopped:
		case <-ctx.Done():
		}
	}
	return e.drained(ctx)
}

// Draining reports whether Drain or Shutdown has been called: then a load
// balancer should send no more clients here. Any goroutine.
func (e *Engine) Draining() bool { return e.life.draining.Load() || e.life.stopping.Load() }

// closePorts is called on each tick while the engine drains.
func (e *Engine) closePorts() {
	gone, err := e.ports.leave()
	if err != nil {
		e.log().Error("the port cannot be closed", "error", err)
	}
	if gone {
		e.life.portsOnce.Do(e.countLast)
	}
}

// countLast closes life.portsClosed once every loop has taken a turn: a loop
// may have accepted a connection that it has not counted yet.
func (e *Engine) countLast() {
	left := new(atomic.Int32)
	left.Store(int32(len(e.loops)))
	for _, l := range e.loops {
		l.Post(func() {
			if left.Add(-1) == 0 {
				close(e.life.portsClosed)
			}
		})
	}
}

// drained waits until no connection is left, of HTTP neither.
func (e *Engine) drained(ctx context.Context) error {
	defer e.noteClosed() // for other goroutines that wait here
	for e.Connections()+e.web.connections() > 0 {
		select {
		case <-e.life.connClosed:
		case <-e.life.stopped:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("engine: %d connections were cut off: %w", e.Connections()+e.web.connections(), ctx.Err())
		}
	}
	return nil
}

// A drain closes the connections of a loop, spread over a time.
type drain struct {
	begun, window uint32 // ticks; the connections that were open at begun are closed within the window
	end           uint32 // ticks after begun when all others are closed too; 0: no drain
	total, closed uint64 // connections open at begun, and how many of them have been closed
	cursor        int    // the slot to look at next
}

// How long, in ticks, a drain waits for the connections that are accepted
// during lastCall, so that they are not refused in the middle of the opening
// handshake.
const (
	drainMin   = lastCall + 3 // at least, before those that have completed it are closed
	drainGrace = 8            // after the end, for those that have not
)

// drainOver begins to close all connections, within so many ticks from now.
func (l *Loop) drainOver(window uint32) {
	l.drain = drain{begun: l.beat.Load(), window: window, end: max(window, drainMin)}
	for _, c := range l.conns {
		if c != nil && c.state != opening {
			l.drain.total++
		}
	}
	l.drainMore()
}

// drainMore closes as many connections as are due. Each loop begins a little
// before the next, so that they do not all close a connection on the same tick.
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
			if d.window > 0 {
				c.moveOn()
			} else {
				c.goAway()
			}
		}
	}
}

// closeAll begins the closing handshake of all connections, or, if spare is
// true, of those that have completed the opening handshake.
func (l *Loop) closeAll(spare bool) {
	for _, c := range l.conns {
		if c != nil && !(spare && c.state == opening) {
			c.goAway()
		}
	}
}

var errGoingAway = &codec.CloseError{Code: codec.StatusGoingAway, Reason: "server is stopping"}

// moveOn is goAway for a connection whose turn has come in a drain.
func (c *Conn) moveOn() {
	if c.state == open {
		c.Close(c.endpoint.Moving.Code, c.endpoint.Moving.Reason)
		return
	}
	c.goAway()
}

// goAway begins the closing handshake because the server is stopping.
func (c *Conn) goAway() {
	switch c.state {
	case opening:
		c.refuse(errStopping, c.begun())
	case open:
		c.Close(c.endpoint.GoingAway.Code, c.endpoint.GoingAway.Reason)
	}
}
