package engine

import (
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// aheadMax is how many bytes of a replay may wait for one connection.
const aheadMax = 64 << 10

// A Resumer is a Worker that gives a connection more as soon as there is room.
type Resumer interface {
	// Resume is called on the loop when a connection for which Room returned 0 or
	// less has nothing waiting any more.
	Resume(id uint64)
}

// Room returns how many bytes of a replay the connection takes now, so that at
// most 64 KiB, or a quarter of MaxQueuedBytes, wait for its socket. If it is 0 or
// less, the Worker's Resume is called when there is room again. Loop only.
func (l *Loop) Room(id uint64) int {
	l.own("Loop.Room")
	c := l.conns[uint32(id)]
	if c == nil || c.state != open {
		return 0
	}
	_, queued := c.Queued()
	room := min(aheadMax, c.endpoint.MaxQueuedBytes/4) - queued
	if room <= 0 {
		c.parked = true
	}
	return room
}

// unpark tells the Worker that there is room again, if it wants to know.
func (c *Conn) unpark() {
	if !c.parked {
		return
	}
	c.parked = false
	if r, ok := c.loop.worker.(Resumer); ok && c.state == open {
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
	if c != nil && c.state == open && c.endpoint.Lost != nil {
		c.sendFrame(c.endpoint.Lost(lost))
	}
}
