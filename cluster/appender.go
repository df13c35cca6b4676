package cluster

import (
	"encoding/binary"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
)

// An appender sends this node's events to a log: in batches, one of which is on its way at a
// time, so that the order is that of the publishers even if one has to be sent again. It
// knows no network. Event loops call append; the lock is never held for long.
type appender struct {
	id      uint64        // incarnation
	timeout time.Duration // after which an event is given up
	wake    func()        // there is something for next
	full    atomic.Bool   // much waits

	mu      sync.Mutex
	queue   []*waiting // events that no batch has
	bytes   int        // of them
	most    int        // bytes of a message without its headers
	flight  *flight    // the batch that is on its way
	number  uint64     // of the last batch
	epoch   epoch      // none: nothing can be sent
	asking  bool       // no event is sent, but a question: who has followed the log for longer?
	due     bool       // a batch is to be sent now, be it empty
	owed    []uint64   // nodes that are to be answered
	closed  bool
	room    []collected // batches of other nodes that are to go along
	vain    bool        // a batch was given up that another node had
	seen    time.Duration
	counts  appended
	latency func(time.Duration) // is called with the time that an event took
}

// appended is what an appender has counted.
type appended struct {
	batches, events, unavailable, collected uint64
}

// A waiting is an event that is not stored yet.
type waiting struct {
	record []byte
	at     time.Duration
	except *pubsub.Subscriber
	done   func(hub.Published, error) // nil: it has been given up
}

// A flight is a batch that is on its way.
type flight struct {
	number  uint64
	id      string // by which NATS knows that it has it; another one in each epoch, which may not count what was before
	data    []byte
	events  []*waiting
	answers uint64 // a node
	others  int    // batches of other nodes that go along
	began   time.Duration
	sent    time.Duration // last
	tries   int
	given   bool // to another node, which lets it go along
}

// Limits of an appender.
const (
	logBatchMax = 64 << 10               // bytes of a batch, unless one event has more
	queueMax    = 8 << 20                // bytes of events that wait
	queueBehind = 1 << 20                // bytes from which publishers are slowed
	againAfter  = 500 * time.Millisecond // without an answer a batch is sent again
	tickEvery   = time.Second            // without a batch of its own a node sends an empty one
	cutAfter    = 3 * time.Second        // without its own batches it is cut off
	owedMax     = 64                     // answers to other nodes that wait

	logHeadersMax = 512 // bytes of the headers that NATS gets with a batch, which count
)

// append takes an event.
func (a *appender) append(now time.Duration, m *pubsub.Message, done func(hub.Published, error)) {
	e := logEvent{channel: m.Channel, event: m.Event, data: m.Data, key: m.Key}
	if m.User != "" {
		e.user = []byte(m.User)
	}
	if m.ExceptName != "" {
		e.except = []byte(m.ExceptName)
	}
	w := &waiting{record: appendLogEvent(make([]byte, 0, e.sizeMax()), &e), at: now, except: m.Except, done: done}
	if err := a.enqueue(now, w); err != nil {
		done(hub.Published{}, err)
	}
}

func (a *appender) enqueue(now time.Duration, w *waiting) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case logHeadSize+binary.MaxVarintLen32+len(w.record) > a.most:
		return hub.ErrTooLarge
	case a.closed || now-a.seen > max(a.timeout, cutAfter): // waiting would be in vain
		a.counts.unavailable++
		return hub.ErrUnavailable
	case a.bytes > queueMax:
		return hub.ErrOverloaded
	}
	a.queue = append(a.queue, w)
	a.bytes += len(w.record)
	a.full.Store(a.bytes > queueBehind)
	if a.flight == nil {
		a.wake()
	}
	return nil
}

// next returns a batch that is to be sent now, nil if there is none.
func (a *appender) next(now time.Duration) *flight {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.epoch.id == 0:
		return nil
	case a.flight != nil:
		if now-a.flight.sent < againAfter {
			return nil
		}
	case a.due, len(a.owed) > 0, len(a.queue) > 0 && !a.asking, len(a.room) > 0, now-a.seen >= tickEvery:
		a.fill(now)
	default:
		return nil
	}
	f := a.flight
	f.sent = now
	f.tries++
	f.id = token(a.id) + "." + strconv.FormatUint(f.number, 10) + "." + token(a.epoch.id)
	appendLogHead(f.data[:0], logHead{batchHead: batchHead{a.id, f.number, f.answers}, epoch: a.epoch})
	return f
}

// fill makes the next batch of the events that wait, and lets those that were collected go along. mu
// is held.
func (a *appender) fill(now time.Duration) {
	a.number++
	f := &flight{number: a.number, began: now}
	a.due = false
	if a.asking {
		f.answers = a.id
	} else if len(a.owed) > 0 {
		f.answers, a.owed = a.owed[0], a.owed[1:]
	}
	most, first := a.most-logHeadSize-binary.MaxVarintLen32, 0
	if len(a.queue) > 0 && !a.asking {
		first = len(a.queue[0].record)
	}
	others, taken, size := a.along(most - first)
	most = min(logBatchMax, most-size) // what others have does not make a message of this node's own smaller
	n, own := 0, 0
	for ; n < len(a.queue) && n < eventsMax-taken && !a.asking; n++ {
		if n > 0 && own+len(a.queue[n].record) > most {
			break
		}
		own += len(a.queue[n].record)
	}
	f.data = appendLogHead(make([]byte, 0, logHeadSize+binary.MaxVarintLen32+own+size), logHead{})
	f.data = binary.AppendUvarint(f.data, uint64(own))
	for _, w := range a.queue[:n] {
		f.data = append(f.data, w.record...)
	}
	for i := range others {
		f.data = appendCollected(f.data, &others[i].nodeBatch)
	}
	a.bytes -= own
	a.full.Store(a.bytes > queueBehind)
	f.events, f.others = append(f.events, a.queue[:n]...), len(others)
	clear(a.queue[:n])
	if a.queue = a.queue[n:]; len(a.queue) == 0 {
		a.queue = nil
	}
	a.flight = f
	a.counts.batches++
	a.counts.events += uint64(n)
	a.counts.collected += uint64(len(others))
}

// again makes next return the batch on its way after a pause: it was refused. If another node has
// refused to let it go along, at once.
func (a *appender) again(now, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch f := a.flight; {
	case f == nil:
	case f.given:
		f.sent = now - againAfter
		a.wake()
	default:
		f.sent = now - againAfter + pause
	}
}

// stored answers the events of a batch of this node that has come back from the log, and
// returns them.
func (a *appender) stored(now time.Duration, number uint64, events []placed) (mine []*waiting) {
	a.mu.Lock()
	f := a.flight
	a.seen = now
	if f == nil || f.number != number {
		a.mu.Unlock()
		return nil
	}
	a.flight = nil
	more := a.due || len(a.queue) > 0 || len(a.owed) > 0 || len(a.room) > 0
	dones := make([]func(hub.Published, error), len(f.events))
	for i, w := range f.events {
		dones[i], w.done = w.done, nil
	}
	a.mu.Unlock()
	if more {
		a.wake()
	}
	for i, w := range f.events {
		switch done := dones[i]; {
		case done == nil:
		case i >= len(events):
			done(hub.Published{}, hub.ErrUnavailable) // the batch was applied before
		default:
			a.latency(now - w.at)
			done(hub.Published{Offset: events[i].offset, Duplicate: events[i].duplicate}, nil)
		}
	}
	return f.events
}

// finish returns what is to be called for an event that has not been given up.
func (a *appender) finish(w *waiting) (done func(hub.Published, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	done, w.done = w.done, nil
	return done
}

// expire gives up what has waited for too long. A batch of which nothing waits any more gets
// no other try: if it comes back, it does so before the next one, or never.
func (a *appender) expire(now time.Duration) {
	var over []func(hub.Published, error)
	a.mu.Lock()
	give := func(list []*waiting) (left int) {
		for _, w := range list {
			switch {
			case w.done == nil:
			case now-w.at >= a.timeout:
				over = append(over, w.done)
				w.done = nil
			default:
				left++
			}
		}
		return left
	}
	if f := a.flight; f != nil && give(f.events) == 0 && (len(f.events) > 0 || f.others > 0 && now-f.began >= a.timeout) {
		a.flight = nil
		a.vain = a.vain || f.given
	}
	a.forgetCollected(now)
	give(a.queue)
	n := 0
	for ; n < len(a.queue) && a.queue[n].done == nil; n++ {
		a.bytes -= len(a.queue[n].record)
	}
	a.queue = a.queue[n:]
	a.counts.unavailable += uint64(len(over))
	a.mu.Unlock()
	for _, done := range over {
		done(hub.Published{}, hub.ErrUnavailable)
	}
}

// counted sets what the appender has counted.
func (a *appender) counted(l *LogStats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l.Batches, l.BatchEvents, l.Unavailable, l.Collected = a.counts.batches, a.counts.events, a.counts.unavailable, a.counts.collected
}

// use sets the epoch that batches are sent with; none: nothing is sent.
func (a *appender) use(e epoch) {
	a.mu.Lock()
	a.epoch, a.asking, a.due, a.owed, a.room = e, false, false, nil, nil
	a.mu.Unlock()
	a.wake()
}

// ask makes next return an empty batch at once, and again with each tick, which asks who has
// followed the log for longer, until use is called.
func (a *appender) ask(e epoch) {
	a.mu.Lock()
	a.epoch, a.asking, a.due, a.room = e, true, true, nil
	a.mu.Unlock()
	a.wake()
}

// answer makes the next batch, be it empty, answer a node that has asked.
func (a *appender) answer(node uint64) {
	a.mu.Lock()
	if len(a.owed) < owedMax { // else it asks again
		a.owed = append(a.owed, node)
	}
	a.mu.Unlock()
	a.wake()
}

// reach notes what a message may have, headers and all.
func (a *appender) reach(most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.most = most - logHeadersMax
}

// cut reports whether nothing of this node has come back for some time.
func (a *appender) cut(now time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.epoch.id == 0 || a.asking || now-a.seen > cutAfter
}

// behind reports whether publishers are to be slowed: there is much to send, and it goes on.
func (a *appender) behind(now time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes > queueBehind && now-a.seen < againAfter
}

// close gives up everything, and what comes later.
func (a *appender) close() {
	a.mu.Lock()
	list := a.queue
	if a.flight != nil {
		list = append(a.flight.events, list...)
	}
	a.queue, a.flight, a.epoch, a.room, a.closed = nil, nil, epoch{}, nil, true
	a.mu.Unlock()
	for _, w := range list {
		if done := a.finish(w); done != nil {
			done(hub.Published{}, hub.ErrUnavailable)
		}
	}
}
