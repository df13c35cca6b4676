package engine

import "slices"

// losses are the events that a client has lost. It takes no more than the
// channels of one connection.
type losses struct {
	queue []*loss          // in the order of the first event that each has lost
	of    map[string]*loss // by channel
}

// A loss is how many events of a channel were dropped.
type loss struct {
	channel string
	n       int
}

// add counts an event that was dropped.
func (l *losses) add(channel string) {
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
}

// take returns the first loss, and forgets it.
func (l *losses) take() *loss {
	one := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	delete(l.of, one.channel)
	return one
}

// more tells whether there are frames to write. Before what came after them, the
// client is told of losses, unless there are no words for them.
func (c *Conn) more() bool {
	if c.out == nil {
		return false
	}
	if c.out.lag.untold() && c.out.lag.front <= 1 {
		c.tell()
	}
	return len(c.out.frames) > 0
}

// tell queues notices of losses where the lost events would have been: before all
// that was not dropped, but for the first frame. They take the eighth of the room
// that is kept for them, or are one; the others follow when these are sent.
func (c *Conn) tell() {
	defer c.guard()
	o, g := c.out, c.out.lag
	lost := g.lost
	g.lost = losses{} // if notice panics, it is not asked again
	var notices [][]byte
	size := 0
	for room := c.endpoint.MaxQueuedBytes / eighths; len(lost.queue) > 0 && (room > 0 || notices == nil); {
		one := lost.take()
		b := g.notice(one.channel, one.n)
		notices = append(notices, b)
		size += len(b)
		room -= len(b) + frameCost + topicCost
	}
	o.bytes += size
	o.frames = slices.Insert(o.frames, g.front, notices...)
	if g.front < len(g.topics) {
		g.topics = slices.Insert(g.topics, g.front, make([]topic, len(notices))...)
	}
	g.front += len(notices)
	g.lost = lost
}
