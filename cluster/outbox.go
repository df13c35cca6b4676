package cluster

import (
	"slices"
	"sync"
)

// Limits of an outbox, in bytes.
const (
	batchMax  = 64 << 10  // of a batch, unless one event is larger
	ringMax   = 8 << 20   // of the batches that are kept
	traceMax  = 1 << 20   // of what is remembered of batches that are not
	answerMax = 1 << 20   // that an ask is answered with at a time
	behindMax = 1 << 20   // that may wait to be sent before publishers are slowed
	goneMax   = 256 << 10 // that say what is gone; if it were more, nothing is said of it
)

// An outbox is what a node sends: batches, numbered from 1, of which it keeps the newest.
// Of those before it remembers for a while how many events they had for which channel. Its
// methods may be called from any goroutine.
type outbox struct {
	from uint64 // incarnation of the node
	max  int    // bytes of a message

	mu     sync.Mutex
	open   []byte // batch that is being filled, without its number; nil if there is none
	first  uint64 // number of the oldest batch that is kept
	next   uint64 // number of the next batch
	sent   uint64 // number of the last batch that has been sent
	ring   [][]byte
	bytes  int      // of ring
	wait   int      // bytes that wait to be sent
	traces []trace  // of batches before first, without a gap
	traced int      // bytes of traces
	counts outCount // what was put in
}

// outCount is what an outbox has counted.
type outCount struct{ events, bytes, tooLarge uint64 }

// A trace is what is remembered of a batch: its records, as losses.
type trace struct {
	number uint64
	losses []byte
}

func newOutbox(from uint64) *outbox {
	return &outbox{from: from, max: 1 << 20, first: 1, next: 1}
}

// setMax sets how many bytes a message may have.
func (o *outbox) setMax(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.max = n
}

// room returns how many bytes a message may have.
func (o *outbox) room() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.max
}

// put adds an event to the batch that is being filled. One that is too large for a message
// is replaced by the notice that it is missing.
func (o *outbox) put(r *record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if headSize+8+r.size() > o.max {
		o.counts.tooLarge++
		r = &record{hub: r.hub, channel: r.channel, lost: 1}
	}
	if size := len(o.open) + r.size(); o.open != nil && size > min(batchMax, o.max) {
		o.closeBatch()
	}
	if o.open == nil {
		o.open = appendNumbered(make([]byte, 0, 1<<10), kindBatch, o.from, o.next)
	}
	before := len(o.open)
	o.open = appendRecord(o.open, r)
	o.wait += len(o.open) - before
	o.counts.events++
	o.counts.bytes += uint64(len(o.open) - before)
}

// closeBatch moves the batch that is being filled to those that are kept. mu is held.
func (o *outbox) closeBatch() {
	o.ring = append(o.ring, slices.Clip(o.open))
	o.bytes += len(o.open)
	o.open = nil
	o.next++
	for o.bytes > ringMax && len(o.ring) > 1 {
		o.forget()
	}
}

// forget drops the oldest batch that is kept, and remembers what was in it. mu is held.
func (o *outbox) forget() {
	b := o.ring[0]
	o.ring[0] = nil
	o.ring = o.ring[1:]
	o.bytes -= len(b)
	if o.first > o.sent { // it was never sent
		o.sent = o.first
		o.wait -= len(b)
	}
	var lost losses
	_ = parseRecords(b[headSize+8:], lost.add)
	t := trace{o.first, lost.append(nil)}
	o.first++
	o.traces = append(o.traces, t)
	o.traced += len(t.losses)
	for o.traced > traceMax {
		o.traced -= len(o.traces[0].losses)
		o.traces[0] = trace{}
		o.traces = o.traces[1:]
	}
}

// take returns the batches that have not been sent, and the one that is being filled.
func (o *outbox) take() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open != nil {
		o.closeBatch()
	}
	batches := slices.Clone(o.ring[max(o.sent+1, o.first)-o.first:])
	o.sent, o.wait = o.next-1, 0
	return batches
}

// top returns the number of the last batch that has been sent.
func (o *outbox) top() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

// behind reports whether much waits to be sent.
func (o *outbox) behind() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wait > behindMax
}

// answer returns messages for a node that lacks the batches from first to last: the first
// of these batches, or what is known of those that are gone.
func (o *outbox) answer(first, last uint64) (messages [][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	last = min(last, o.sent)
	if first < o.first && first <= last {
		messages = append(messages, o.gone(first))
		first = o.first
	}
	for size := 0; first <= last && size < answerMax; first++ {
		b := o.ring[first-o.first]
		size += len(b)
		messages = append(messages, b)
	}
	return messages
}

// gone says what was in the batches from first on that are not kept any more. mu is held.
func (o *outbox) gone(first uint64) []byte {
	b := appendNumbered(nil, kindGone, o.from, o.first-1)
	if len(o.traces) == 0 || first < o.traces[0].number {
		return b
	}
	var lost losses
	for _, t := range o.traces[first-o.traces[0].number:] {
		_ = parseRecords(t.losses, lost.add)
	}
	if all := lost.append(b); len(all) <= min(goneMax, o.max) {
		return all
	}
	return b
}

// losses are numbers of events by channel, in the order in which the channels came.
type losses struct {
	order []*record
	of    map[[2]string]*record
}

// add counts a record: an event, or so many that are lost.
func (l *losses) add(r *record) {
	key := [2]string{string(r.hub), string(r.channel)}
	one := l.of[key]
	if one == nil {
		one = &record{hub: []byte(key[0]), channel: []byte(key[1])}
		if l.of == nil {
			l.of = make(map[[2]string]*record)
		}
		l.of[key] = one
		l.order = append(l.order, one)
	}
	one.lost += max(r.lost, 1)
}

// append extends dst by a record for each channel.
func (l *losses) append(dst []byte) []byte {
	for _, r := range l.order {
		dst = appendRecord(dst, r)
	}
	return dst
}
