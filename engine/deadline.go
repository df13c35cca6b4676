package engine

import (
	"fmt"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// tick is how exact deadlines are.
const tick = 250 * time.Millisecond

// ticks are the times of Config, in ticks; 0 is never.
type ticks struct {
	opening, ping, pong, message, closing uint32
}

func ticksOf(c Config) ticks {
	return ticks{
		opening: inTicks(c.HandshakeTimeout),
		ping:    inTicks(c.PingInterval),
		pong:    inTicks(c.PongTimeout),
		message: inTicks(c.MessageTimeout),
		closing: inTicks(c.CloseTimeout),
	}
}

// of returns how long c may be silent in the state that it is in, 0 for ever.
// Pings of connections that fell silent together are spread over an eighth of
// the interval.
func (t *ticks) of(c *Conn) uint32 {
	switch {
	case c.state == opening:
		return t.opening
	case c.state == open && c.pinged:
		return t.pong
	case c.state == open:
		return t.ping - c.slot%(t.ping/8+1)
	case c.state == dead:
		return 0
	}
	return t.closing
}

func inTicks(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min((d-1)/tick+1, 1<<31))
}

// wait sets the deadline of c for the state that it is in now, in place of an
// earlier one.
func (c *Conn) wait() {
	n := c.loop.ticks.of(c)
	if n > 0 {
		n += c.loop.now
	}
	c.loop.due[c.slot] = n
}

// retime applies other times, also to silences that have begun. A deadline that
// is the same by both is not put off, however often retime is called.
func (l *Loop) retime(times ticks) {
	old := l.ticks
	if times == old {
		return
	}
	l.ticks = times
	for _, c := range l.conns {
		if c != nil {
			c.retime(&old)
		}
	}
}

// retime sets the deadline of c when other times than old apply. A longer time
// counts from the beginning of the silence. A shorter one counts from now:
// otherwise all clients that have been silent for that long would be pinged or
// timed out at once.
func (c *Conn) retime(old *ticks) {
	due, before, after := &c.loop.due[c.slot], old.of(c), c.loop.ticks.of(c)
	was := *due
	c.wait()
	ofMessage := c.state == open && c.in != nil && old.message > 0 && was == c.in.since+old.message
	if before > 0 && after > 0 && !ofMessage {
		*due = min(*due, max(was, was-before+after))
	}
	c.hurry()
}

// alive notes that a whole frame of the client has arrived.
func (c *Conn) alive() {
	if c.state != open {
		return
	}
	c.pinged = false
	c.wait()
	c.hurry()
}

// arriving notes that a part of a frame has come. A client that was pinged
// cannot answer before the frame ends, so PongTimeout counts from the last
// part, up to the deadline of the message. Without such a deadline it counts
// from the ping: otherwise one byte now and then would keep a connection open
// for ever.
func (c *Conn) arriving() {
	if c.pinged && c.state == open && c.loop.ticks.message > 0 {
		c.wait()
		c.hurry()
	}
}

// hurry brings the deadline forward to that of a message that has begun.
func (c *Conn) hurry() {
	limit := c.loop.ticks.message
	if c.in == nil || c.state != open || limit == 0 {
		return
	}
	due := &c.loop.due[c.slot]
	if last := c.in.since + limit; *due == 0 || *due > last {
		*due = last
	}
}

// PingInterval returns how long a client may be silent before it is pinged, in whole
// ticks of 250 ms; 0 if it never is. A reload may change it. Loop only.
func (l *Loop) PingInterval() time.Duration {
	l.own("Loop.PingInterval")
	return time.Duration(l.ticks.ping) * tick
}

// late reports whether a message that has begun should have arrived by now.
func (c *Conn) late() bool {
	limit := c.loop.ticks.message
	return c.in != nil && limit > 0 && c.loop.now-c.in.since >= limit
}

// lateMax is how many ticks may pass between two turns. If there are more, the
// loop was stalled or the process stopped, and what clients have sent meanwhile
// is still to be read. So that time does not count for their deadlines:
// otherwise all clients that had been pinged would be timed out, although they
// have answered.
const lateMax = 4

// expireMax is how many deadlines a turn acts on: about as many pings as take a
// millisecond. If more are due, many thousands perhaps, the others wait until
// the loop has read again.
const expireMax = 256

// advance lets time pass: clock is in ticks since the engine began.
func (l *Loop) advance(clock uint32) {
	if late := clock - l.beat.Load(); late > lateMax {
		l.missed += late - 1
	}
	l.now = clock - l.missed
	l.beat.Store(clock)
	l.unseen = len(l.due)
	l.expireSome()
	l.drainMore()
}

// expireSome acts on deadlines that have passed. It goes through the table of
// deadlines, four bytes for each connection, once for each tick, and continues
// where the last call ended.
func (l *Loop) expireSome() {
	for n := 0; l.unseen > 0 && n < expireMax; l.unseen-- {
		if l.seen >= len(l.due) {
			l.seen = 0
		}
		slot := l.seen
		l.seen++
		if due := l.due[slot]; due != 0 && due <= l.now {
			l.conns[slot].expire()
			n++
		}
	}
}

// expire acts on a deadline.
func (c *Conn) expire() {
	switch c.state {
	case opening:
		c.refuse(errTooSlow, c.begun())
	case open:
		if c.loop.paused[c] != nil { // what it sends is not read
			c.wait()
			return
		}
		if c.late() {
			c.fail(c.endpoint.Unfinished)
			return
		}
		if c.pinged {
			c.pongTimeout()
			return
		}
		c.pinged = true
		c.wait()
		c.hurry()
		c.Send(codec.OpPing, nil)
	default:
		c.loop.sockets.abandon(c.file())
		c.abort(nil)
	}
}

// pongTimeout ends a connection that has not answered a ping.
func (c *Conn) pongTimeout() {
	if code := c.endpoint.Silent; code != nil {
		c.fail(fmt.Errorf("%w (%w)", code, ErrTimeout))
		return
	}
	c.loop.sockets.abandon(c.file())
	c.abort(ErrTimeout)
}
