package engine

import (
	"slices"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// SlowPolicy is what happens to a slow reader.
type SlowPolicy uint8

const (
	// Disconnect closes it with 1013.
	Disconnect SlowPolicy = iota

	// DropOldest drops the events that have waited longest, and tells the client
	// how many of which channel.
	DropOldest

	// Conflate keeps, from when the socket takes nothing more, only the newest
	// event of each channel and name.
	Conflate
)

// A topic is what an event is about. A frame that is no event has no channel. The
// event is "" if it is not known.
type topic struct{ channel, event string }

// A label is the topic of a frame, and the place of its event in the channel's
// history, 0 for none.
type label struct {
	topic
	offset uint64
}

// A lag is what an outbox has beside where events may be dropped. nil is an empty
// one.
type lag struct {
	topics []label // of the outbox's frames; those that are missing are no events
	calm   int     // frames below which it is not worth while to look for old ones
	lost   losses  // that the client has not been told of
	front  int     // frames that go before the next notice of that
	notice func(delivery.Lost) []byte
}

// untold reports whether events were dropped of which the client has to be told
// before it gets later ones.
func (g *lag) untold() bool { return g != nil && len(g.lost.queue) > 0 }

// mark notes that the last frames are these messages.
func (o *outbox) mark(items []delivery.Item) {
	if o.lag == nil {
		o.lag = new(lag)
	}
	first := len(o.frames) - len(items)
	for len(o.lag.topics) < first {
		o.lag.topics = append(o.lag.topics, label{})
	}
	for i := range items {
		o.lag.topics = append(o.lag.topics, label{topic{items[i].Channel, items[i].Event}, items[i].Offset})
	}
}

// shift forgets the first n frames.
func (g *lag) shift(n int) {
	if g != nil {
		g.topics = slices.Delete(g.topics, 0, min(n, len(g.topics)))
		g.front = max(g.front-n, 0)
	}
}

// topic returns what the i-th frame is about.
func (o *outbox) topic(i int) label {
	if o.lag == nil || i >= len(o.lag.topics) {
		return label{}
	}
	return o.lag.topics[i]
}

// calmMin is how many frames may wait before Conflate looks for old ones.
const calmMin = 32

// sendDroppable is SendFrame for events where the hub has a way with slow readers.
func (c *Conn) sendDroppable(items []delivery.Item) {
	for i := range items {
		if c.state != open {
			return
		}
		c.loop.counts.sent(1, 0)
		c.push(items[i].Frame)
		c.out.mark(items[i : i+1])
		if c.endpoint.SlowReaders == Conflate && c.out.blocked && len(c.out.frames) > max(c.out.lag.calm, calmMin) {
			c.conflate()
		}
		c.limit()
	}
}

// Of MaxQueuedBytes, in eighths: what may wait where events are dropped, since the
// notices of that need room too; what dropping leaves; and how much may be left
// that cannot be dropped. Without the distance between them each event would cost
// a look at all that waits.
const (
	eighths   = 8
	mostKept  = 7
	leftOver  = 5
	mostStuck = 6
)

// room is how many bytes may wait.
func (e *Endpoint) room() int {
	if e.SlowReaders == DropOldest {
		return e.MaxQueuedBytes / eighths * mostKept
	}
	return e.MaxQueuedBytes
}

// thinOut drops events of a connection for which too much waits, and tells
// whether that was enough.
func (c *Conn) thinOut() bool {
	switch {
	case c.out.lag == nil:
		return false
	case c.endpoint.SlowReaders == DropOldest:
		c.dropOldest()
	case c.endpoint.SlowReaders == Conflate:
		c.conflate()
	}
	return c.out.behind() <= c.endpoint.MaxQueuedBytes/eighths*mostStuck
}

// dropOldest drops the events that have waited longest.
func (c *Conn) dropOldest() {
	o := c.out
	before := len(o.frames)
	excess := o.behind() - c.endpoint.MaxQueuedBytes/eighths*leftOver
	o.drop(func(i int) bool {
		t := o.topic(i)
		if excess <= 0 || t.channel == "" {
			return false
		}
		excess -= len(o.frames[i]) + frameCost + topicCost
		o.lag.lost.add(t.channel, t.offset)
		return true
	})
	o.lag.front = max(o.lag.front, 1)
	o.lag.notice = c.endpoint.Lost // a later endpoint may have none
	c.loop.counts.dropped("drop-oldest", before-len(o.frames))
}

// conflate drops each event after which another one of the same topic waits.
func (c *Conn) conflate() {
	o, l := c.out, c.loop
	if l.newest == nil {
		l.newest = make(map[topic]struct{})
	}
	old := make([]bool, len(o.frames))
	for i := len(o.frames) - 1; i > 0; i-- {
		t := o.topic(i)
		if t.channel == "" || t.event == "" {
			continue
		}
		if _, old[i] = l.newest[t.topic]; !old[i] {
			l.newest[t.topic] = struct{}{}
		}
	}
	clear(l.newest)
	before := len(o.frames)
	o.drop(func(i int) bool { return old[i] })
	l.counts.dropped("conflate", before-len(o.frames))
	o.lag.calm = 2 * len(o.frames)
}

// drop removes the frames that f chooses, in order, but never the first, of which
// a part may have been sent.
func (o *outbox) drop(f func(i int) bool) {
	kept := min(1, len(o.frames))
	for i := kept; i < len(o.frames); i++ {
		if f(i) {
			o.bytes -= len(o.frames[i])
			continue
		}
		o.frames[kept] = o.frames[i]
		if kept < len(o.lag.topics) {
			o.lag.topics[kept] = o.topic(i)
		}
		kept++
	}
	clear(o.frames[kept:])
	o.frames = o.frames[:kept]
	if len(o.lag.topics) > kept {
		clear(o.lag.topics[kept:])
		o.lag.topics = o.lag.topics[:kept]
	}
}

// catchUp prepares what waits for a socket that takes more: what is old is left
// out.
func (c *Conn) catchUp() {
	if c.out.lag != nil && c.state <= closing && c.endpoint.SlowReaders == Conflate {
		c.conflate()
	}
}
