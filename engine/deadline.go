package engine

import (
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

// retime makes other times count, also for the silence that there is. It puts no
// deadline off that is the same by both, however often it is called.
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

// retime sets the deadline of c when other times than old count. A longer time
// counts from the beginning of the silence, a shorter one from now: otherwise all
// who have been silent for so long would be pinged or given up at once.
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

// alive notes that the other side has shown itself.
func (c *Conn) alive() {
	if c.state != open {
		return
	}
	c.pinged = false
	c.wait()
	c.hurry()
}

// arriving notes that a part of a frame has come. A client that was pinged cannot
// answer before the frame ends, so PongTimeout counts from the last part, up to the
// deadline of the message. Without such a deadline it counts from the ping:
// otherwise one byte now and then would keep a connection for ever.
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

// late tells whether a message that has begun should have arrived by now.
func (c *Conn) late() bool {
	limit := c.loop.ticks.message
	return c.in != nil && limit > 0 && c.loop.now-c.in.since >= limit
}

// lateMax is how many ticks may come at once. If there are more, the loop did not
// get on meanwhile, and what clients have sent still waits to be read: this time
// does not count for their deadlines. Otherwise all who had been pinged would be
// thrown out, though they have answered.
const lateMax = 4

// expireMax is how many deadlines a turn acts on: about a millisecond's worth of
// pings. Of those that are due at once, many thousands perhaps, the others have to
// wait until the loop has read again.
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

// expireSome acts on deadlines that have passed. It looks at four bytes for each
// connection, from where it was when it ended, and goes round once for each tick.
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
		if c.late() {
			c.fail(errHalfSent)
			return
		}
		if c.pinged {
			c.loop.sockets.abandon(c.fd)
			c.drop(ErrTimeout)
			return
		}
		c.pinged = true
		c.wait()
		c.hurry()
		c.Send(codec.OpPing, nil)
	default:
		c.loop.sockets.abandon(c.fd)
		c.drop(nil)
	}
}
