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

	// Replay queues no events of channels with a history when too many wait: the Worker,
	// a Replayer, gives them again when the client has read those. Of other channels it
	// drops events as DropOldest does.
	Replay
)

// A topic is what an event is about. A frame that is no event has no channel. The
// event is "" if it is not known.
type topic struct{ channel, event string }

// A label is the topic of a frame, and the place of its event in the channel's
// history, 0 if it cannot be given again.
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
	again  again
}

// again is what a lag knows of events that can be given again.
type again struct {
	waits   int    // bytes of them, with what each costs
	falls   []fall // that the Worker has not been told of
	refused int    // what the last one costs that was not queued, 0 since Room has found room for it
}

// A fall is the first event of a channel that a slow reader is to be given again.
type fall struct {
	channel string
	offset  uint64
}

// fallen reports whether there is a fall in a channel.
func (g *lag) fallen(channel string) bool {
	return g != nil && slices.ContainsFunc(g.again.falls, func(f fall) bool { return f.channel == channel })
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
		if items[i].Offset > 0 {
			o.lag.again.waits += costOf(items[i].Frame)
		}
	}
}

// costOf is what a frame that is an event takes while it waits.
func costOf(frame []byte) int { return len(frame) + frameCost + topicCost }

// forget notes that the i-th frame does not wait any more.
func (o *outbox) forget(i int) {
	if o.topic(i).offset > 0 {
		o.lag.again.waits -= costOf(o.frames[i])
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
		if c.fallsBack(&items[i]) {
			continue
		}
		c.loop.counts.sent(1, 0)
		c.push(items[i].Frame)
		c.out.mark(items[i : i+1])
		if c.endpoint.SlowReaders == Conflate && c.out.blocked && len(c.out.frames) > max(c.out.lag.calm, calmMin) {
			c.conflate()
		}
		c.limit()
	}
	c.loop.tellFalls()
}

// Of MaxQueuedBytes, in eighths: what may wait where events are dropped, since the
// notices of that need room too; what dropping leaves; how much may be left
// that cannot be dropped; and what may wait of events that can be given again, which
// leaves room for replies. Without the distance between them each event would cost
// a look at all that waits.
const (
	eighths   = 8
	mostKept  = 7
	leftOver  = 5
	mostStuck = 6
	mostAgain = 2
)

// room is how many bytes may wait.
func (e *Endpoint) room() int {
	if e.SlowReaders == DropOldest || e.SlowReaders == Replay {
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
		c.dropOldest("drop-oldest")
	case c.endpoint.SlowReaders == Replay:
		c.dropOldest("replay")
	case c.endpoint.SlowReaders == Conflate:
		c.conflate()
	}
	return c.out.behind() <= c.endpoint.MaxQueuedBytes/eighths*mostStuck
}

// again is how many bytes of events that can be given again may wait.
func (e *Endpoint) again() int { return e.MaxQueuedBytes / eighths * mostAgain }

// fallsBack reports whether an event is not to be queued, because it will be given
// again.
func (c *Conn) fallsBack(item *delivery.Item) bool {
	if c.endpoint.SlowReaders != Replay || item.Offset == 0 || c.out == nil {
		return false
	}
	if c.out.lag.fallen(item.Channel) {
		return true
	}
	cost := costOf(item.Frame)
	if c.fits(cost) {
		return false
	}
	if !c.out.blocked {
		if c.flush(); c.state != open || c.fits(cost) {
			return c.state != open
		}
	}
	if c.out.lag == nil {
		c.out.lag = new(lag)
	}
	a := &c.out.lag.again
	if len(a.falls) == 0 {
		c.loop.counts.slow("replay")
		c.loop.fallen = append(c.loop.fallen, c)
	}
	a.falls = append(a.falls, fall{item.Channel, item.Offset})
	a.refused = cost
	return true
}

// fits reports whether an event that can be given again may wait. If nothing else
// waits, any may.
func (c *Conn) fits(cost int) bool {
	o := c.out
	if o == nil || len(o.frames) == 0 {
		return true
	}
	waits := 0
	if o.lag != nil {
		waits = o.lag.again.waits
	}
	return waits+cost <= c.endpoint.again() && o.behind()+cost <= c.endpoint.room()
}

// tellFalls tells the Worker which events connections are to be given again. While it
// works it cannot be told: it may be in the middle of a delivery.
func (l *Loop) tellFalls() {
	if l.working {
		return
	}
	r, _ := l.worker.(Replayer)
	for i := 0; i < len(l.fallen); i++ {
		c := l.fallen[i]
		l.fallen[i] = nil
		if c.state != open || c.out == nil || c.out.lag == nil {
			continue // it is closing
		}
		falls := c.out.lag.again.falls
		c.out.lag.again.falls = nil
		for _, f := range falls {
			if r != nil {
				r.FallBehind(c.ID(), f.channel, f.offset)
			}
		}
	}
	l.fallen = l.fallen[:0]
}

// dropOldest drops the events that have waited longest, and counts them for the
// policy. With Replay those that can be given again stay, as far as so many may wait:
// more have been left by another policy, or by a larger limit, before a reload.
func (c *Conn) dropOldest(policy string) {
	o := c.out
	before := len(o.frames)
	excess := o.behind() - c.endpoint.MaxQueuedBytes/eighths*leftOver
	o.drop(func(i int) bool {
		t := o.topic(i)
		stays := c.endpoint.SlowReaders == Replay && t.offset > 0 && o.lag.again.waits <= c.endpoint.again()
		if excess <= 0 || t.channel == "" || stays {
			return false
		}
		excess -= costOf(o.frames[i])
		if t.event != delivery.Notice {
			o.lag.lost.add(t.channel, t.offset)
		}
		return true
	})
	o.lag.front = max(o.lag.front, 1)
	o.lag.notice = c.endpoint.Lost // a later endpoint may have none
	c.loop.counts.dropped(policy, before-len(o.frames))
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
			o.forget(i)
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
