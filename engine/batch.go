package engine

import (
	"bytes"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A sending is what one socket is given, and what it took of that.
type sending struct {
	bytes []byte
	fd    int32
	slot  uint32
	run   *run // that they are; nil: they are of the connection's outbox
	n     int  // bytes that the socket took
	err   error
}

// A run is the delivery.Run that Deliver was called with.
type run struct {
	items  []delivery.Item
	joined []byte

	item [1]delivery.Item // of items, once it is kept
}

// A batch is the writes that a loop has yet to do, to a socket each. Where the
// kernel takes many at once (uring.go), they are one system call; elsewhere a batch
// is one write, which is done at once.
//
// No write waits when anything else happens to its connection, a socket is closed,
// or the turn ends: submit comes first. So the frames of a connection keep their
// order, no socket is in a batch twice, and the file descriptors in it are those of
// the connections that they were.
type batch struct {
	max     int // writes
	sends   []sending
	members bitset // the connections in it
	sent    bool   // the results are there
	acted   int    // on so many of them
	runs    []*run // that it needs
	spare   []*run
	joined  int // bytes of Loop.scratch that it needs
	sealed  int // and of Loop.sealed
}

// runsMax is how many runs may wait in a batch.
const runsMax = 64

// sendTime is what a send takes at least. A turn ends when what waits in the batch
// will use up the rest of its slice.
const sendTime = 4 * time.Microsecond

// widen lets the loop do so many writes at once.
func (b *batch) widen(most int) { b.max, b.sends = most, make([]sending, 0, most) }

// enqueue adds a write to the batch, which its connection must not be in.
func (l *Loop) enqueue(s sending) {
	b := &l.batch
	b.sends = append(b.sends, s)
	b.members.set(s.slot, true)
	if len(b.sends) >= b.max {
		l.submit()
	}
}

// submit does the writes of the batch and acts on their results, one by one. That
// may lead here again: then those that are left come first.
func (l *Loop) submit() {
	b := &l.batch
	if len(b.sends) == 0 {
		return
	}
	if !b.sent {
		if l.sockets.writeAll(b.sends) {
			l.counts.Batches++
			l.counts.Batched += uint64(len(b.sends))
		}
		b.sent = true
	}
	for b.acted < len(b.sends) {
		s := &b.sends[b.acted]
		b.acted++
		b.members.set(s.slot, false)
		if s.run != nil && s.n == len(s.bytes) {
			l.counts.sent(len(s.run.items), s.n)
			continue
		}
		l.act(*s)
		if !b.sent {
			return
		}
	}
	l.reset()
}

// act does what the result of a write makes necessary.
func (l *Loop) act(s sending) {
	c := l.conns[s.slot]
	if s.run == nil {
		c.took(s.bytes, s.n)
	} else {
		l.counts.sent(len(s.run.items), s.n)
	}
	switch {
	case c.state == dead:
	case s.run != nil:
		c.unwrittenRun(s)
	case s.n < len(s.bytes):
		c.blocked(s.err)
	case c.waits():
		l.touch(c)
	default:
		c.freeOutbox()
		c.written()
	}
}

// reset empties the batch.
func (l *Loop) reset() {
	b := &l.batch
	l.sealed = l.sealed[:0]
	clear(b.sends)
	b.sends = b.sends[:0]
	b.sent, b.acted, b.joined, b.sealed = false, 0, 0, 0
	for i, r := range b.runs {
		b.free(r)
		b.runs[i] = nil
	}
	b.runs = b.runs[:0]
}

// run returns what holds a run while it is in the batch.
func (b *batch) run(d *delivery.Run) *run {
	var r *run
	if n := len(b.spare); n > 0 {
		r, b.spare = b.spare[n-1], b.spare[:n-1]
	} else {
		r = new(run)
	}
	r.items, r.joined = d.Items, d.Joined
	if len(r.items) == 1 {
		r.joined = r.items[0].Frame // which may be kept
	}
	return r
}

func (b *batch) free(r *run) {
	*r = run{}
	b.spare = append(b.spare, r)
}

// leave is called when Deliver returns: after that its arguments may not be used.
// A run of one frame, which is immutable, may wait in the batch for others, so that
// small audiences are one batch together.
func (l *Loop) leave(r *run) {
	b := &l.batch
	if n := len(b.sends); n > 0 && b.sends[n-1].run == r {
		if len(r.items) == 1 && len(b.runs) < runsMax {
			r.item[0] = r.items[0]
			r.items = r.item[:]
			b.runs = append(b.runs, r)
			return
		}
		l.submit()
	}
	b.free(r)
}

// keep leaves bytes where they are, in one of the loop's buffers perhaps, until they
// have been sent: the batch is about to have them.
func (l *Loop) keep(bytes []byte) {
	b := &l.batch
	switch {
	case b.joined < len(l.scratch) && &bytes[0] == &l.scratch[b.joined]:
		b.joined += len(bytes)
	case b.sealed < cap(l.sealed) && &bytes[0] == &l.sealed[:b.sealed+1][b.sealed]:
		b.sealed += len(bytes)
		l.sealed = l.sealed[:b.sealed]
	}
}

// room submits the batch if what c is to be sent next does not fit beside it in the
// loop's buffers.
func (l *Loop) room(c *Conn) {
	b := &l.batch
	if len(b.sends) == 0 || c.out == nil {
		return
	}
	n := min(c.out.bytes, writeMax)
	if len(c.out.frames) > 1 && b.joined+n > writeMax ||
		c.transport.secured() && b.sealed+n > writeMax {
		l.submit()
	}
}

// unwrittenRun queues the rest of a run.
func (c *Conn) unwrittenRun(s sending) {
	n := s.n
	if c.transport.secured() {
		c.outbox().sealed = bytes.Clone(s.bytes[n:])
		n = len(s.run.joined)
	}
	c.unwritten(s.run.items, n, s.err)
}
