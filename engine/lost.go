package engine

import (
	"slices"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// losses are the events that were dropped for a client and of which it has not
// been told. Its size is limited by the number of the connection's channels.
type losses struct {
	queue []*loss          // in the order in which the first event of each was dropped
	of    map[string]*loss // by channel
}

// A loss is how many events of a channel were dropped.
type loss struct {
	channel string
	n       uint64
	offset  uint64 // of the last one, 0 where the channel has no history
}

// add counts an event that was dropped.
func (l *losses) add(channel string, offset uint64) {
	one := l.of[channel]
	if one == nil {
		if l.of == nil {
			l.of = make(map[string]*loss)
		}
		one = &loss{channel: channel}
		l.of[channel] = one
		l.queue = append(l.queue, one)
	}
	one.n++
	one.offset = offset
}

// take returns the first loss, and forgets it.
func (l *losses) take() *loss {
	one := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	delete(l.of, one.channel)
	return one
}

// more reports whether there are frames to write. If events were dropped, and
// what was queued before them has been written, it first queues the notices of
// them (tell), so that they come before all later events.
func (c *Conn) more() bool {
	if c.out == nil {
		return false
	}
	if c.out.lag.untold() && c.out.lag.front <= 1 {
		c.tell()
	}
	return len(c.out.frames) > 0
}

// tell queues the notices of dropped events in the place of these events:
// before all frames that were not dropped, but behind the first, which may be
// sent in part. The notices fill at most the eighth of MaxQueuedBytes that is
// reserved for them, but there is at least one. The others follow when these
// have been sent.
func (c *Conn) tell() {
	defer c.guard()
	o, g := c.out, c.out.lag
	lost := g.lost
	g.lost = losses{} // if notice panics it is not called again
	var notices [][]byte
	size := 0
	for room := c.endpoint.MaxQueuedBytes / eighths; len(lost.queue) > 0 && (room > 0 || notices == nil); {
		one := lost.take()
		b := g.notice(delivery.Lost{Channel: one.channel, N: one.n, Offset: one.offset})
		notices = append(notices, b)
		size += len(b)
		room -= len(b) + frameCost + topicCost
	}
	o.bytes += size
	o.frames = slices.Insert(o.frames, g.front, notices...)
	if g.front < len(g.topics) {
		g.topics = slices.Insert(g.topics, g.front, make([]label, len(notices))...)
	}
	g.front += len(notices)
	g.lost = lost
}
