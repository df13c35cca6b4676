package engine

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// writeMax is how many bytes of frames are joined into one write.
const writeMax = 64 << 10

// What a frame that waits takes beside its bytes: a slice with the room to grow
// and, if it is small, its share of an allocation; and what it is about, where
// that is noted.
const (
	frameCost = 40
	topicCost = 40
)

// outbox is what waits to be written to one connection.
type outbox struct {
	sealed  []byte   // encrypted, and goes first; with TLS only
	frames  [][]byte // the first may be sent in part
	lag     *lag     // which of them may be dropped, nil if none
	sent    int      // bytes of it that are
	bytes   int      // of frames that wait
	dirty   bool     // the loop will write at the end of its turn
	blocked bool     // the socket takes nothing; the loop will learn when it does
}

// Send queues a message or control frame. The payload is copied. A message that
// is not shorter than the endpoint's CompressionThreshold is compressed if the
// client has agreed to that and it gets shorter.
func (c *Conn) Send(op codec.Opcode, payload []byte) {
	c.loop.own("Conn.Send")
	if c.state != open {
		return
	}
	frame := c.deflated(op, payload)
	if frame == nil {
		frame = codec.AppendFrame(nil, op, payload)
	}
	c.sendFrame(frame)
}

// SendFrame queues a frame, as codec.AppendFrame makes it. It is kept until it
// is written and must not be modified any more; it may be shared by many
// connections. What is queued within one turn of the loop leaves in one write.
// Nothing is sent once the connection is closing.
func (c *Conn) SendFrame(frame []byte) {
	c.loop.own("Conn.SendFrame")
	c.sendFrame(frame)
}

func (c *Conn) sendFrame(frame []byte) {
	if c.state != open {
		return
	}
	if !codec.Opcode(frame[0] & 0x0f).IsControl() {
		c.loop.counts.MessagesOut++
	}
	c.push(frame)
	c.limit()
}

// push queues a frame whatever the state.
func (c *Conn) push(frame []byte) {
	c.unbatch()
	o := c.outbox()
	o.frames = append(o.frames, frame)
	o.bytes += len(frame)
	c.loop.touch(c)
}

func (c *Conn) outbox() *outbox {
	if c.out == nil {
		c.out = c.loop.getOutbox()
		c.loop.hold(c)
	}
	return c.out
}

// limit ends a connection for which too much waits although the socket has been
// given all that it takes. The first frame does not count: one may always wait.
func (c *Conn) limit() {
	if !c.tooMuch() {
		return
	}
	if !c.out.blocked {
		c.flush()
	}
	if c.state == open && c.tooMuch() && !c.thinOut() {
		c.loop.counts.slow("disconnect")
		c.out.cut()
		c.fail(c.endpoint.tooSlow())
	}
}

func (c *Conn) tooMuch() bool {
	return c.out != nil && c.out.behind() > c.endpoint.room()
}

// behind returns how many bytes wait behind the first frame.
func (o *outbox) behind() int {
	n := len(o.frames) - 1
	if n < 1 {
		return 0
	}
	cost := frameCost
	if o.lag != nil {
		cost += topicCost
	}
	return o.bytes - (len(o.frames[0]) - o.sent) + n*cost
}

// size returns how many bytes wait in all.
func (o *outbox) size() int { return len(o.sealed) + o.bytes }

// cut forgets the frames of which nothing has been sent.
func (o *outbox) cut() {
	keep := 0
	if o.sent > 0 {
		keep = 1
	}
	for _, f := range o.frames[keep:] {
		o.bytes -= len(f)
	}
	clear(o.frames[keep:])
	o.frames = o.frames[:keep]
	o.lag = nil
}

// unbatch does the write of c that is in the batch, if there is one.
func (c *Conn) unbatch() {
	if c.loop.batch.members.has(c.slot) {
		c.loop.submit()
	}
}

// flush writes what waits, as far as the socket takes it.
func (c *Conn) flush() {
	if all, err := c.pour(); !all {
		c.blocked(err)
		return
	}
	c.freeOutbox()
	c.written()
}

// pour writes what waits, and tells whether the socket took all of it, or why not:
// nil if it took a part.
func (c *Conn) pour() (all bool, err error) {
	for {
		b, err := c.next()
		if err != nil || len(b) == 0 {
			return err == nil, err
		}
		n, err := c.loop.sockets.write(c.file(), b)
		c.took(b, n)
		if n < len(b) {
			return false, err
		}
	}
}

// offer is flush, by way of the batch.
func (c *Conn) offer() {
	b, err := c.next()
	switch {
	case err != nil:
		c.abort(err)
	case len(b) == 0:
		c.freeOutbox()
		c.written()
	default:
		c.loop.keep(b)
		c.loop.enqueue(sending{bytes: b, fd: c.file(), slot: c.slot})
	}
}

// waits tells whether there is anything to write.
func (c *Conn) waits() bool {
	return len(c.out.sealed) > 0 || c.more()
}

// next returns the bytes of the next write, none if nothing waits.
func (c *Conn) next() ([]byte, error) {
	if c.transport.secured() {
		return c.nextSealed()
	}
	if !c.more() {
		return nil, nil
	}
	return c.out.next(c.loop.scratch[c.loop.batch.joined:]), nil
}

// took notes that the socket has taken n bytes of what next returned.
func (c *Conn) took(b []byte, n int) {
	c.loop.counts.sent(0, n)
	switch o := c.out; {
	case !c.transport.secured():
		o.advance(n)
	case len(o.sealed) > n:
		o.sealed = o.sealed[n:]
	case len(o.sealed) > 0:
		o.sealed = nil
	case n < len(b):
		o.sealed = bytes.Clone(b[n:])
	}
	if c.parked && c.endpoint.SlowReaders == Replay && c.ahead() == 0 {
		c.unpark()
	}
}

// blocked arranges for the rest to be written once the socket takes more.
func (c *Conn) blocked(err error) bool {
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		c.abort(err)
		return false
	}
	c.out.blocked = true
	if err := c.loop.sockets.watch(c); err != nil {
		c.abort(err)
		return false
	}
	return true
}

// next returns the bytes of the next write, joined in scratch if they are of
// several frames. There must be one.
func (o *outbox) next(scratch []byte) []byte {
	frames := o.frames
	if o.lag.untold() {
		frames = frames[:o.lag.front]
	}
	first := frames[0][o.sent:]
	if len(frames) == 1 || len(first) >= writeMax {
		return first
	}
	b := append(scratch[:0], first...)
	for _, f := range frames[1:] {
		if len(b)+len(f) > writeMax {
			break
		}
		b = append(b, f...)
	}
	return b
}

// advance notes that n bytes have been written.
func (o *outbox) advance(n int) {
	o.bytes -= n
	n += o.sent
	done := 0
	for done < len(o.frames) && n >= len(o.frames[done]) {
		n -= len(o.frames[done])
		o.forget(done)
		done++
	}
	o.sent = n
	o.lag.shift(done)
	rest := copy(o.frames, o.frames[done:])
	clear(o.frames[rest:])
	o.frames = o.frames[:rest]
}

func (c *Conn) freeOutbox() {
	if c.out != nil {
		c.loop.putOutbox(c.out)
		c.out = nil
		c.loop.hold(c)
	}
}

// Deliver gives a run to each of the connections ids, whose OnClose has not
// returned, and returns how many it has served: not all if the loop's slice of
// time is used up, but at least one.
//
// A connection that nothing else waits for gets the run in one write at once;
// unless it has the bit delivery.Several and the run is not alone in this turn.
func (l *Loop) Deliver(ids []uint64, run *delivery.Run) int {
	l.own("Loop.Deliver")
	r := l.batch.run(run)
	defer l.leave(r)
	for i, id := range ids {
		slot := uint32(id)
		if l.batch.members.has(slot) {
			l.submit()
		}
		if l.held.has(slot) || id&delivery.Several != 0 && !run.Alone {
			l.conns[slot].deliver(r, id&delivery.Several == 0 || run.Alone)
		} else {
			l.enqueue(sending{bytes: r.joined, fd: int32(id &^ delivery.Several >> 32), slot: slot, run: r})
		}
		if i&15 == 15 && l.sliceOver() {
			return i + 1
		}
	}
	return len(ids)
}

// deliver is Deliver for a connection that is held.
func (c *Conn) deliver(r *run, alone bool) {
	if alone && c.state == open && c.out == nil && c.transport.secured() && len(r.joined) <= writeMax {
		c.deliverSealed(r)
		return
	}
	if c.state == open && c.endpoint.SlowReaders != Disconnect {
		c.sendDroppable(r.items)
		return
	}
	for i := range r.items {
		c.sendFrame(r.items[i].Frame)
	}
}

// unwritten queues the rest of a run of which the socket took n bytes.
func (c *Conn) unwritten(items []delivery.Item, n int, err error) {
	o := c.outbox()
	if !c.blocked(err) {
		return
	}
	for len(items) > 0 && n >= len(items[0].Frame) {
		n -= len(items[0].Frame)
		items = items[1:]
	}
	for i := range items {
		if c.fallsBack(&items[i]) {
			continue
		}
		o.frames = append(o.frames, items[i].Frame)
		o.bytes += len(items[i].Frame)
		if c.endpoint.SlowReaders != Disconnect {
			o.mark(items[i : i+1])
		}
	}
	o.advance(n)
	c.limit()
	c.loop.tellFalls()
}
