package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/measure"
)

// Stats is what a loop has counted since it began, and what it holds now.
// Loops count in fields of their own; nothing is shared until it is read.
type Stats struct {
	Connections int // open, those in a handshake included
	Waiting     int // connections for which something waits to be written
	QueuedBytes int // that wait to be written

	Accepted uint64            // opening handshakes that came to their end
	Refused  map[string]uint64 // the others, by a word for the reason
	Closed   map[uint16]uint64 // ends by close code; 1006 where there was none
	Slow     map[string]uint64 // slow readers by what was done to them
	Dropped  map[string]uint64 // events that were dropped for them, by the same words
	Timeouts uint64            // ends because no sign of life came in time
	Panics   uint64            // of handlers and posted work

	MessagesIn, MessagesOut uint64 // text and binary messages
	BytesIn, BytesOut       uint64 // on the socket, handshakes included

	Busy  time.Duration     // time in which the loop did not wait for events
	Turns measure.Histogram // how long it was busy at a time
}

// counters are the counting part of Stats. The loop owns them.
type counters struct {
	Stats
	since time.Duration // when the loop got busy, 0 while it waits
}

// Stats returns a copy of what the loop has counted. It looks at each
// connection for which something waits. Loop only.
func (l *Loop) Stats() Stats {
	l.own("Loop.Stats")
	s := l.counts.Stats
	s.Refused = maps.Clone(s.Refused)
	s.Closed = maps.Clone(s.Closed)
	s.Slow = maps.Clone(s.Slow)
	s.Dropped = maps.Clone(s.Dropped)
	s.Connections = len(l.conns) - len(l.free)
	for c := range l.waiting {
		s.Waiting++
		s.QueuedBytes += c.out.size()
	}
	return s
}

// Began returns when the loop got busy with what it is doing, by the clock of
// measure.Now. Loop only.
func (l *Loop) Began() time.Duration {
	l.own("Loop.Began")
	return l.counts.since
}

// waiting yields the connections for which something waits to be written.
func (l *Loop) waiting(yield func(*Conn) bool) {
	for i, word := range l.held {
		for ; word != 0; word &= word - 1 {
			slot := i*64 + bits.TrailingZeros64(word)
			if c := l.conns[slot]; c != nil && c.out != nil && !yield(c) {
				return
			}
		}
	}
}

// Slowest returns the n connections for which most waits to be written, most
// first, or fewer if nothing waits for the others. Loop only.
func (l *Loop) Slowest(n int) []*Conn {
	l.own("Loop.Slowest")
	var slow []*Conn
	for c := range l.waiting {
		slow = append(slow, c)
	}
	slices.SortFunc(slow, func(a, b *Conn) int { return b.out.size() - a.out.size() })
	return slow[:min(n, len(slow))]
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

// sliceSlots is how many places of connections Slice looks at.
const sliceSlots = 512

// Slice calls f for open connections of the loop until f returns false, beginning
// at a place in the loop's table, from 0. It looks at 512 places at most, so that a
// walk over very many connections, in one slice after another, does not keep the
// loop from its work. It returns the place to go on from, and whether there are
// more. A connection keeps its place: a walk meets each that is open all the while
// exactly once. Loop only.
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

// Queued returns how many frames and bytes wait to be written. What is encrypted
// already is no frame any more.
func (c *Conn) Queued() (frames, bytes int) {
	c.loop.own("Conn.Queued")
	if c.out == nil {
		return 0, 0
	}
	return len(c.out.frames), c.out.size()
}

// ErrBusy is what Each returns where a loop has not answered in time.
var ErrBusy = errors.New("engine: a loop does not answer")

// Each calls f once on each loop and waits for all of them. A loop that has not
// begun with f when ctx is done will not call it: the error wraps ErrBusy then,
// or is ErrStopped. Any goroutine but a loop's.
func (e *Engine) Each(ctx context.Context, f func(*Loop)) error {
	calls := make([]*call, len(e.loops))
	for i, l := range e.loops {
		calls[i] = newCall()
		l.Post(func() { calls[i].run(func() { f(l) }) })
	}
	var err error
	for i, c := range calls {
		if !c.wait(ctx, e.stopped) {
			err = e.unanswered(i)
		}
	}
	return err
}

// On is Each for one loop, by its index. The others are not asked, and may be
// stalled.
func (e *Engine) On(ctx context.Context, loop int, f func(*Loop)) error {
	c := newCall()
	l := e.loops[loop]
	l.Post(func() { c.run(func() { f(l) }) })
	if !c.wait(ctx, e.stopped) {
		return e.unanswered(loop)
	}
	return nil
}

func (e *Engine) unanswered(loop int) error {
	select {
	case <-e.stopped:
		return ErrStopped
	default:
		return fmt.Errorf("%w: loop %d", ErrBusy, loop)
	}
}

// A call is work on a loop that somebody waits for, and may give up.
type call struct {
	begin chan struct{} // has one element, for who begins or gives up
	done  chan struct{}
}

func newCall() *call {
	c := &call{begin: make(chan struct{}, 1), done: make(chan struct{})}
	c.begin <- struct{}{}
	return c
}

// run calls f, unless nobody waits any more.
func (c *call) run(f func()) {
	select {
	case <-c.begin:
		defer close(c.done)
		f()
	default:
	}
}

// wait tells whether run has come to its end.
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

// busy notes that events have come.
func (k *counters) busy() {
	if k.since == 0 {
		k.since = measure.Now()
	}
}

// idle notes that all has been done that the events made necessary.
func (k *counters) idle() {
	d := measure.Now() - k.since
	k.since = 0
	k.Busy += d
	k.Turns.Observe(d)
}

// sent counts frames of messages, and bytes that a socket has taken.
func (k *counters) sent(frames, bytes int) {
	k.MessagesOut += uint64(frames)
	k.BytesOut += uint64(bytes)
}

// errLeft says that the client did not wait for the end of its handshake.
var errLeft = &codec.HandshakeError{Label: "gone"}

// refused counts an opening handshake that did not come to its end. What is no
// error of the handshake itself is one of TLS or of a balancer's header.
func (k *counters) refused(err error) {
	if k.Refused == nil {
		k.Refused = make(map[string]uint64)
	}
	label := "transport"
	var refusal *codec.HandshakeError
	if errors.As(err, &refusal) {
		label = cmp.Or(refusal.Label, "invalid")
	}
	k.Refused[label]++
}

// closed counts the end of an open connection.
func (k *counters) closed(reason error) {
	code := uint16(codec.StatusAbnormal)
	var closeError *codec.CloseError
	switch {
	case errors.Is(reason, ErrTimeout):
		k.Timeouts++
	case errors.As(reason, &closeError):
		code = closeError.Code
	}
	if k.Closed == nil {
		k.Closed = make(map[uint16]uint64)
	}
	k.Closed[code]++
}

// slow counts a slow reader.
func (k *counters) slow(policy string) {
	if k.Slow == nil {
		k.Slow = make(map[string]uint64)
	}
	k.Slow[policy]++
}

// dropped counts n events that a slow reader is not given. 0 is none.
func (k *counters) dropped(policy string, n int) {
	if n == 0 {
		return
	}
	k.slow(policy)
	if k.Dropped == nil {
		k.Dropped = make(map[string]uint64)
	}
	k.Dropped[policy] += uint64(n)
}
