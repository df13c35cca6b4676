package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// A ledger is what a node makes of the messages of a log, one after the other. It knows no
// clock and no network: ledgers that have applied the same messages are the same, on every
// node. That is what makes offsets, order and duplicates the same there.
type ledger struct {
	epoch epoch
	first uint64 // number of the message that was applied first
	next  uint64 // and of the one that is applied next; 0: none is known yet

	// sure is the time of the log from which on all keys are known that count: a window
	// behind the first message, unless that has begun the epoch.
	sure int64

	clock   int64              // time of the log, in nanoseconds: that of the newest message, never going back
	stamps  [stampsMax]int64   // times of the last messages, by the low bits of their numbers
	origins map[uint64]*origin // by incarnation
	keys    logKeys

	// Room for the next message.
	read    []nodeBatch
	events  []logEvent
	ends    []int
	placed  []placed
	applied []appliedBatch
}

// stampsMax is how many messages a ledger can tell from others of the same number.
const stampsMax = 1 << 12

// originFor is how long, by the time of the log, a node is remembered that sends nothing.
const originFor = int64(10 * time.Minute)

// An origin is a node as a log knows it.
type origin struct {
	number uint64 // of its last batch
	at     int64
}

// A placed is an event with its place in the log.
type placed struct {
	logEvent
	index     int    // in its message
	offset    uint64 // of the first, if it is a duplicate
	duplicate bool
}

// An applied is what a message of the log means. It is valid until the next one.
type applied struct {
	logHead
	began  bool  // an epoch begins with it, and nothing before it counts
	ended  epoch // the epoch that the present one goes on from since this message; none: no new one begins
	unsure bool  // some of the events may be duplicates

	batches []appliedBatch
}

// An appliedBatch is what the batch of one node means. It has no events if it has been applied before,
// or was given up by the node.
type appliedBatch struct {
	batchHead
	events []placed
}

// apply takes the next message, with the time that the log gave it. Keys count for a window, and
// copies of a batch are stored within copies.
func (l *ledger) apply(seq uint64, at int64, b []byte, window, copies time.Duration, keysMax int) (a applied, err error) {
	if l.first == 0 {
		l.first = seq
	}
	l.stamps[seq%stampsMax] = at
	l.next = seq + 1
	l.clock = max(l.clock, at)
	head, batches, err := parseLogMessage(l.read[:0], b)
	if seq == l.first {
		l.sure = l.clock + int64(max(window, copies))
	}
	if head.epoch.seq == seq && head.after == 0 {
		l.sure = 0
	}
	a.unsure = l.clock < l.sure
	if err != nil {
		return a, err
	}
	events, ends := l.events[:0], l.ends[:0]
	for i := range batches {
		if events, err = parseLogEvents(events, batches[i].events); err != nil {
			return a, err
		}
		ends = append(ends, len(events))
	}
	l.read, l.events, l.ends = batches, events, ends
	a.logHead = head
	switch begins := head.epoch.seq == seq; {
	case !l.newer(seq, head.epoch):
	case begins && head.after != 0 && head.after == l.epoch.id:
		a.ended, l.epoch = l.epoch, head.epoch
	default:
		if begins && head.after == 0 {
			// A node that has begun later knows nothing of what was before; all must agree.
			l.origins, l.keys = nil, logKeys{}
		}
		l.epoch = head.epoch
		a.began = true
	}
	l.keys.expire(l.clock - int64(window))
	l.placed, l.applied = slices.Grow(l.placed[:0], len(events)), l.applied[:0] // a part of placed stays where it is
	begins := 0
	for i := range batches {
		b := appliedBatch{batchHead: batches[i].batchHead}
		if l.counts(b.batchHead) {
			b.events = l.place(seq, begins, events[begins:ends[i]], keysMax)
		}
		l.applied, begins = append(l.applied, b), ends[i]
	}
	a.batches = l.applied
	return a, nil
}

// counts notes the batch of a node. It reports whether that is a new one.
func (l *ledger) counts(b batchHead) bool {
	o := l.origins[b.from]
	if o == nil {
		o = new(origin)
		if l.origins == nil {
			l.origins = make(map[uint64]*origin)
		}
		l.origins[b.from] = o
		l.forgetOrigins()
	}
	o.at = l.clock
	if b.number <= o.number {
		return false
	}
	o.number = b.number
	return true
}

// place gives the events of a batch their places, from this one on in the message.
func (l *ledger) place(seq uint64, index int, events []logEvent, keysMax int) []placed {
	had := len(l.placed)
	for i := range events {
		p := placed{logEvent: events[i], index: index + i, offset: l.epoch.offset(seq, index+i)}
		if p.key != nil {
			p.offset, p.duplicate = l.keys.use(keyDigest(p.channel, p.key), p.offset, l.clock, keysMax)
		}
		l.placed = append(l.placed, p)
	}
	return l.placed[had:]
}

// newer reports whether a message says that an epoch has begun that is not known here: with
// this message, or before the first that was applied. What other messages say is out of date.
func (l *ledger) newer(seq uint64, e epoch) bool {
	if e.id == l.epoch.id || e.seq == 0 || e.seq > seq {
		return false
	}
	return l.epoch.id == 0 || e.seq == seq || e.seq > l.epoch.seq && e.seq < l.first
}

// has reports whether a message is one that was applied: its time is the same. Of what came
// before the ledger began this is not known; then the message must not be newer than others.
func (l *ledger) has(seq uint64, at int64) bool {
	switch {
	case seq >= l.next || seq+stampsMax < l.next:
		return false
	case seq < l.first:
		return at <= l.clock
	}
	return l.stamps[seq%stampsMax] == at
}

func (l *ledger) forgetOrigins() {
	for id, o := range l.origins {
		if o.at != 0 && l.clock-o.at > originFor {
			delete(l.origins, id)
		}
	}
}

// A digest stands for a channel and a key.
type digest [16]byte

func keyDigest(channel, key []byte) digest {
	b := binary.AppendUvarint(make([]byte, 0, 256), uint64(len(channel)))
	sum := sha256.Sum256(append(append(b, channel...), key...))
	return digest(sum[:])
}

// logKeys are the keys of events, in the order of their last uses. A key counts for a window
// after its last use, so that which messages came before a window does not matter.
type logKeys struct {
	used  map[digest]use
	queue []queuedKey
	first int // of the queue that counts
}

// A use is the last one of a key.
type use struct {
	offset uint64 // of the event that has used it first
	at     int64
}

type queuedKey struct {
	digest digest
	at     int64
}

// use returns the offset of the event that has used a key first: this one, if it is new.
func (k *logKeys) use(d digest, offset uint64, at int64, most int) (first uint64, duplicate bool) {
	before, duplicate := k.used[d]
	if duplicate {
		offset = before.offset
	}
	if k.used == nil {
		k.used = make(map[digest]use)
	}
	k.used[d] = use{offset, at}
	k.queue = append(k.queue, queuedKey{d, at})
	for len(k.queue)-k.first > most {
		k.drop()
	}
	return offset, duplicate
}

// expire forgets the keys that were not used after then.
func (k *logKeys) expire(then int64) {
	for k.first < len(k.queue) && k.queue[k.first].at <= then {
		k.drop()
	}
}

// drop forgets the first of the queue, unless that was used again.
func (k *logKeys) drop() {
	if q := k.queue[k.first]; k.used[q.digest].at <= q.at {
		delete(k.used, q.digest)
	}
	if k.first++; 2*k.first >= len(k.queue) {
		k.queue = append(k.queue[:0], k.queue[k.first:]...)
		k.first = 0
	}
}
