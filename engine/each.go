package engine

import (
	"context"
	"errors"
	"fmt"
)

// ErrBusy is what Each and On return if a loop has not begun in time.
var ErrBusy = errors.New("engine: a loop does not answer")

// Each calls f once on each loop and waits until all have returned. A loop that
// has not begun to run f when ctx is done will not run it: then the error wraps
// ErrBusy. If the engine has stopped it is ErrStopped. Any goroutine but a
// loop's.
func (e *Engine) Each(ctx context.Context, f func(*Loop)) error {
	calls := make([]*call, len(e.loops))
	for i, l := range e.loops {
		calls[i] = newCall()
		l.Post(func() { calls[i].run(func() { f(l) }) })
	}
	var err error
	for i, c := range calls {
		if !c.wait(ctx, e.life.stopped) {
			err = e.unanswered(i)
		}
	}
	return err
}

// On is Each for one loop, by its index. It works while other loops are
// stalled.
func (e *Engine) On(ctx context.Context, loop int, f func(*Loop)) error {
	c := newCall()
	l := e.loops[loop]
	l.Post(func() { c.run(func() { f(l) }) })
	if !c.wait(ctx, e.life.stopped) {
		return e.unanswered(loop)
	}
	return nil
}

// unanswered returns why a loop has not run a call.
func (e *Engine) unanswered(loop int) error {
	select {
	case <-e.life.stopped:
		return ErrStopped
	default:
		return fmt.Errorf("%w: loop %d", ErrBusy, loop)
	}
}

// A call is a function that runs on a loop while another goroutine waits for
// it, until it gives up.
type call struct {
	begin chan struct{} // holds one element: run takes it to begin, wait takes it to give up
	done  chan struct{}
}

func newCall() *call {
	c := &call{begin: make(chan struct{}, 1), done: make(chan struct{})}
	c.begin <- struct{}{}
	return c
}

// run calls f, unless wait has given up.
func (c *call) run(f func()) {
	select {
	case <-c.begin:
		defer close(c.done)
		f()
	default:
	}
}

// wait waits until run has returned, and returns true. It gives up and returns
// false if f has not begun when ctx is done or the engine has stopped.
func (c *call) wait(ctx context.Context, stopped <-chan struct{}) bool {
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
	case <-stopped:
	}
	select {
	case <-c.begin:
		return false
	default:
		<-c.done
		return true
	}
}

// Conn returns the connection with that ID, nil if it is not open. Loop only.
func (l *Loop) Conn(id uint64) *Conn {
	l.own("Loop.Conn")
	slot := int(uint32(id))
	if slot >= len(l.conns) {
		return nil
	}
	if c := l.conns[slot]; c != nil && c.ID() == id && c.state == open {
		return c
	}
	return nil
}

// Each calls f for every open connection of the loop. Loop only.
func (l *Loop) Each(f func(*Conn)) {
	l.own("Loop.Each")
	for _, c := range l.conns {
		if c != nil && c.state == open {
			f(c)
		}
	}
}

// sliceSlots is how many slots Slice looks at.
const sliceSlots = 512

// Slice calls f for open connections of the loop until f returns false. It
// begins at a place in the loop's table, 0 for the first, and looks at 512
// places at most, so that a walk over very many connections can be cut into
// slices between which the loop does other work. It returns the place where the
// next slice begins, and whether there is one. A connection keeps its place, so
// a walk visits each connection that is open during all of it exactly once.
// Loop only.
func (l *Loop) Slice(place int, f func(*Conn) bool) (next int, more bool) {
	l.own("Loop.Slice")
	end := min(place+sliceSlots, len(l.conns))
	for more = true; place < end && more; place++ {
		if c := l.conns[place]; c != nil && c.state == open {
			more = f(c)
		}
	}
	return place, place < len(l.conns)
}
