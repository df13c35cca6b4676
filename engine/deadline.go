package engine

import (
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// tick is how exact deadlines are.
const tick = 250 * time.Millisecond

// ticks are the times of Config, in ticks; 0 is never.
type ticks struct {
	opening, ping, pong, closing uint32
}

func ticksOf(c Config) ticks {
	return ticks{
		opening: inTicks(c.HandshakeTimeout),
		ping:    inTicks(c.PingInterval),
		pong:    inTicks(c.PongTimeout),
		closing: inTicks(c.CloseTimeout),
	}
}

func inTicks(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min((d-1)/tick+1, 1<<31))
}

// expireIn sets the deadline of c, in place of an earlier one. 0 is none.
func (c *Conn) expireIn(n uint32) {
	if n > 0 {
		n += c.loop.now
	}
	c.loop.due[c.slot] = n
}

// alive notes that the other side has shown itself. Pings of connections that
// fell silent together are spread over an eighth of the interval.
func (c *Conn) alive() {
	if c.state != open {
		return
	}
	c.pinged = false
	ping := c.loop.engine.ticks.ping
	c.expireIn(ping - c.slot%(ping/8+1))
}

// advance lets time pass: now is in ticks since the engine began. It looks at
// four bytes for each connection.
func (l *Loop) advance(now uint32) {
	l.now = now
	for slot, due := range l.due {
		if due != 0 && due <= now {
			l.conns[slot].expire()
		}
	}
}

// expire acts on a deadline.
func (c *Conn) expire() {
	switch c.state {
	case opening:
		c.refuse(errTooSlow)
	case open:
		if c.pinged {
			c.drop(ErrTimeout)
			return
		}
		c.pinged = true
		c.expireIn(c.loop.engine.ticks.pong)
		c.Send(codec.OpPing, nil)
	default:
		c.drop(nil)
	}
}
