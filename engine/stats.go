package engine

import (
	"cmp"
	"errors"
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

	IOUring bool   // the loop sends through io_uring
	Batches uint64 // system calls with which it did
	Batched uint64 // writes that these were

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
	if k, ok := l.sockets.(*kernel); ok {
		s.IOUring = k.ring != nil
	}
	for c := range l.waiting {
		s.Waiting++
		s.QueuedBytes += c.out.size()
	}
	return s
}

// Time returns how long the loop has run, in steps of 250 ms: what limits rates
// and ends sessions counts in it. In a Simulation it passes in Advance alone.
// Loop only.
func (l *Loop) Time() time.Duration {
	l.own("Loop.Time")
	return l.elapsed()
}

// elapsed is Time for the loop itself, whose turns need no check of the
// goroutine.
func (l *Loop) elapsed() time.Duration { return time.Duration(l.beat.Load()) * tick }

// Began returns when the loop began the work that it is doing, by the clock of
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

// Queued returns how many frames and bytes wait to be written. What is
// encrypted already is no frame any more.
func (c *Conn) Queued() (frames, bytes int) {
	c.loop.own("Conn.Queued")
	if c.out == nil {
		return 0, 0
	}
	return len(c.out.frames), c.out.size()
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

// errLeft counts a client that closed before its opening handshake was
// complete.
var errLeft = &codec.HandshakeError{Label: "gone"}

// refused counts an opening handshake that did not complete. Errors that are no
// HandshakeError come from TLS or a PROXY header.
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
	if errors.Is(reason, ErrTimeout) {
		k.Timeouts++
	}
	if errors.As(reason, &closeError) {
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

// dropped counts n events that were dropped for a slow reader. 0 counts
// nothing.
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
