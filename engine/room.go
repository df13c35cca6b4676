package engine

import (
	"math"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// aheadMax is how many bytes of a replay may wait for one connection.
const aheadMax = 64 << 10

// A Replayer is a Worker that can give connections events again.
type Replayer interface {
	// Resume is called on the loop when a connection for which Room returned 0 or
	// less has nothing waiting any more.
	Resume(id uint64)

	// FallBehind is called on the loop, but not within Work, when a slow reader has
	// not been given the events of a channel from this offset on: the Worker is to
	// deliver them again, as Room allows. See Replay.
	FallBehind(id uint64, channel string, offset uint64)
}

// aheadMax is how many bytes of a replay may wait. With Replay they must fit into what
// may wait of all events that can be given again, with what each costs.
func (e *Endpoint) aheadMax() int {
	if e.SlowReaders == Replay {
		return min(aheadMax, e.MaxQueuedBytes/8)
	}
	return min(aheadMax, e.MaxQueuedBytes/4)
}

// Room returns how many bytes of a replay the connection takes now, so that at
// most 64 KiB, or a quarter of MaxQueuedBytes, wait for its socket: an eighth with Replay. If it is 0 or
// less, the Worker's Resume is called when there is room again. Loop only.
func (l *Loop) Room(id uint64) int {
	l.own("Loop.Room")
	c := l.conns[uint32(id)]
	if c == nil || c.state != open {
		return 0
	}
	room := c.endpoint.aheadMax() - c.ahead()
	if room <= 0 {
		c.parked = true
	}
	return room
}

// ahead returns how many bytes wait that a replay has to let go first.
func (c *Conn) ahead() int {
	_, queued := c.Queued()
	if c.endpoint.SlowReaders != Replay || c.out == nil || c.out.lag == nil {
		return queued
	}
	a := &c.out.lag.again
	if a.refused > 0 && (a.waits > 0 || !c.fits(a.refused)) {
		return math.MaxInt32 // the next event has no room yet: it would be refused again
	}
	a.refused = 0
	return a.waits
}

// unpark tells the Worker that there is room again, if it wants to know.
func (c *Conn) unpark() {
	if !c.parked {
		return
	}
	c.parked = false
	if r, ok := c.loop.worker.(Replayer); ok && c.state == open {
		r.Resume(c.ID())
		c.loop.Wake()
	}
}

// TimeLeft returns how much is left of the time that the turn may take. Loop only.
func (l *Loop) TimeLeft() time.Duration {
	l.own("Loop.TimeLeft")
	return time.Until(l.sliceEnd)
}

// Lost tells the client of a connection what it does not get, with the words of its
// endpoint. Loop only.
func (l *Loop) Lost(id uint64, lost delivery.Lost) {
	l.own("Loop.Lost")
	c := l.conns[uint32(id)]
	if c == nil || c.state != open || c.endpoint.Lost == nil {
		return
	}
	if c.out != nil && c.out.lag.fallen(lost.Channel) {
		return // it is going to be given what it has lost
	}
	c.sendFrame(c.endpoint.Lost(lost))
}
