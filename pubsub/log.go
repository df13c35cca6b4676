package pubsub

import "unsafe"

// An entry is a frame that a log keeps. It is a third smaller than a slice with a
// time beside it.
type entry struct {
	frame *byte
	len   uint32
	at    uint32 // seconds
}

func (e *entry) bytes() []byte { return unsafe.Slice(e.frame, e.len) }

// size is what an entry counts for where bytes are limited.
func (e *entry) size() uint32 { return e.len + uint32(unsafe.Sizeof(entry{})) }

// A log is the newest messages of a channel, each in the forms that the hub's
// encodings keep. It holds the offsets in (top-n, top]. The stripe guards it.
//
// This file alone knows that the offset of the next message is one more: whatever
// else is done with offsets only compares them.
type log struct {
	ring  []entry // width entries for each message; it grows up to size messages
	top   uint64  // offset of the newest message that there was
	head  uint32  // place of the oldest message, counted in messages
	n     uint32  // messages
	bytes uint32  // of their entries
	place uint32  // in the stripe's list of logs that keep something, from 1; 0: in none
	width uint32  // forms of each message

	// Limits.
	size    uint32 // messages
	ttl     uint32 // seconds
	byteMax uint32
}

// before returns the position of a reader whose next message is the one at offset.
func before(offset uint64) uint64 { return offset - 1 }

// between returns how many messages there are in (from, to].
func between(from, to uint64) uint64 { return to - from }

// next is the offset of the message that is added next.
func (l *log) next() uint64 { return l.top + 1 }

// first is the offset of the oldest message that is kept. If none is, it is the
// offset of the next one.
func (l *log) first() uint64 { return l.top + 1 - uint64(l.n) }

// after returns the offset of the first message behind a position.
func (l *log) after(position uint64) uint64 { return position + 1 }

// back returns the position behind which there are the n newest messages, or as many
// as are kept.
func (l *log) back(n int) uint64 {
	return l.top - uint64(min(n, int(l.n)))
}

// reason says why what is behind p cannot be had, "" if it can. What is behind base
// need not be kept: it is pending.
func (l *log) reason(epoch string, p Position, base uint64) Reason {
	switch {
	case p.Epoch != epoch:
		return ReasonEpoch
	case p.Offset > l.top:
		return ReasonAhead
	case p.Offset < base && l.after(p.Offset) < l.first():
		return ReasonExpired
	}
	return ""
}

// capacity is how many messages the ring has room for.
func (l *log) capacity() uint32 {
	if l.width == 0 {
		return 0
	}
	return uint32(len(l.ring)) / l.width
}

// slot returns the entries of the i-th oldest message. There must be room for it.
func (l *log) slot(i uint32) []entry {
	i += l.head
	if c := l.capacity(); i >= c {
		i -= c
	}
	return l.ring[i*l.width:][:l.width]
}

// at returns a frame of the message at offset, which must be kept: that of the
// form with this number among those that are kept.
func (l *log) at(offset uint64, form int) []byte {
	return l.slot(uint32(offset - l.first()))[form].bytes()
}

// add gives the log its next message. What there is no room for goes, the oldest
// first; a message that is larger than the whole log goes at once.
func (l *log) add(made *forms, kept []Form, now uint32) {
	l.fit(uint32(len(kept)))
	l.top++
	size := uint64(0)
	for _, f := range kept {
		size += uint64(len(made[f])) + uint64(unsafe.Sizeof(entry{}))
	}
	for l.n > 0 && (l.n >= l.size || uint64(l.bytes)+size > uint64(l.byteMax)) {
		l.drop()
	}
	if size == 0 || size > uint64(l.byteMax) {
		return
	}
	if l.n == l.capacity() {
		l.resize(min(max(4, 2*l.n), l.size))
	}
	if l.n > 0 { // publishers on several loops have clocks that differ a little
		now = max(now, l.slot(l.n - 1)[0].at)
	}
	slot := l.slot(l.n)
	for i, f := range kept {
		slot[i] = entry{unsafe.SliceData(made[f]), uint32(len(made[f])), now}
	}
	l.n++
	l.bytes += uint32(size)
}

// fit makes the log keep so many forms of each message. One that has kept another
// number begins anew, empty.
func (l *log) fit(width uint32) {
	if l.width != width {
		l.ring, l.head, l.n, l.bytes, l.width = nil, 0, 0, 0, width
	}
}

// drop forgets the oldest message. There must be one.
func (l *log) drop() {
	for i := range l.slot(0) {
		e := &l.slot(0)[i]
		l.bytes -= e.size()
		*e = entry{}
	}
	l.n--
	if l.head++; l.head == l.capacity() {
		l.head = 0
	}
}

// expire forgets what is older than the log keeps it.
func (l *log) expire(now uint32) {
	for l.n > 0 {
		if at := l.slot(0)[0].at; now <= at || now-at <= l.ttl {
			return
		}
		l.drop()
	}
}

// skip forgets all messages, and gives the next offset to a message that is not kept.
func (l *log) skip() {
	for l.n > 0 {
		l.drop()
	}
	l.top++
}

// resize gives the ring room for so many messages, at least for those that are
// there.
func (l *log) resize(capacity uint32) {
	ring := make([]entry, capacity*l.width)
	for i := range l.n {
		copy(ring[i*l.width:], l.slot(i))
	}
	l.ring, l.head = ring, 0
}

// limit changes what the log keeps.
func (l *log) limit(h History) {
	l.size, l.ttl, l.byteMax = h.size(), h.seconds(), h.bytes()
	for l.n > 0 && (l.n > l.size || l.bytes > l.byteMax) {
		l.drop()
	}
	if l.capacity() > l.size {
		l.resize(l.size)
	}
}
