package pubsub

import (
	"sort"
	"unsafe"
)

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
// encodings keep. The stripe guards it.
//
// The log itself counts offsets: it holds those in (top-n, top]. Or they come from a Source:
// then they grow, but with gaps, and the log holds those in (floor, top] that there are.
//
// This file alone knows which offset the next message has: whatever else is done with
// offsets only compares them.
type log struct {
	ring  []entry // width entries for each message; it grows up to size messages
	top   uint64  // offset of the newest message that there was
	head  uint32  // place of the oldest message, counted in messages
	n     uint32  // messages
	bytes uint32  // of their entries
	place uint32  // in the stripe's list of logs that keep something, from 1; 0: in none

	// width is how many entries a message has: one for each form and, if sparse is set,
	// another one, without a frame, for the offset of the message before it. So logs that
	// count by themselves pay nothing for the others.
	width  uint16
	sparse bool // offsets come from a Source

	// Limits.
	size    uint32 // messages
	ttl     uint32 // seconds
	byteMax uint32
}

// before returns the position of a reader whose next message is the one at offset.
func before(offset uint64) uint64 { return offset - 1 }

// next is the offset of the message that is added next, if the log counts.
func (l *log) next() uint64 { return l.top + 1 }

// floor is the lowest position that can be gone on from: all behind it is kept.
func (l *log) floor() uint64 {
	switch {
	case !l.sparse:
		return l.top - uint64(l.n)
	case l.n == 0:
		return l.top
	}
	return l.prior(0)
}

// first is the offset from which on all messages are kept. If none is, it is behind top.
func (l *log) first() uint64 { return l.floor() + 1 }

// prior is what top was before the i-th oldest message came, of a sparse log.
func (l *log) prior(i uint32) uint64 {
	e := &l.slot(i)[l.width-1]
	return uint64(e.len)<<32 | uint64(e.at)
}

// offset is that of the i-th oldest message.
func (l *log) offset(i uint32) uint64 {
	switch {
	case !l.sparse:
		return l.first() + uint64(i)
	case i+1 < l.n:
		return l.prior(i + 1)
	}
	return l.top
}

// upTo returns how many messages are kept whose offset is not above a position.
func (l *log) upTo(position uint64) uint32 {
	switch {
	case position >= l.top:
		return l.n
	case position <= l.floor():
		return 0
	case !l.sparse:
		return uint32(position - l.floor())
	}
	return uint32(sort.Search(int(l.n), func(i int) bool { return l.offset(uint32(i)) > position }))
}

// back returns the position behind which there are the n newest messages, or as many
// as are kept.
func (l *log) back(n int) uint64 {
	k := uint32(min(n, int(l.n)))
	switch {
	case k == 0:
		return l.top
	case l.sparse:
		return l.prior(l.n - k)
	}
	return l.top - uint64(k)
}

// reason says why what is behind p cannot be had, "" if it can. What is behind base
// need not be kept: it is pending. There has been nothing behind top.
func (l *log) reason(epoch string, p Position, base, top uint64) Reason {
	switch {
	case p.Epoch != epoch:
		return ReasonEpoch
	case p.Offset > top:
		return ReasonAhead
	case p.Offset < base && p.Offset < l.floor():
		return ReasonExpired
	}
	return ""
}

// capacity is how many messages the ring has room for.
func (l *log) capacity() uint32 {
	if l.width == 0 {
		return 0
	}
	return uint32(len(l.ring)) / uint32(l.width)
}

// slot returns the entries of the i-th oldest message. There must be room for it.
func (l *log) slot(i uint32) []entry {
	i += l.head
	if c := l.capacity(); i >= c {
		i -= c
	}
	return l.ring[i*uint32(l.width):][:l.width]
}

// frame returns a frame of the i-th oldest message: that of the form with this number
// among those that are kept.
func (l *log) frame(i uint32, form int) []byte { return l.slot(i)[form].bytes() }

// add gives the log its next message, which has an offset above top. What there is no
// room for goes, the oldest first; a message that is larger than the whole log goes at
// once.
func (l *log) add(made *forms, kept []Form, now uint32, offset uint64) {
	l.fit(len(kept))
	prior := l.top
	l.top = offset
	size := uint64(0)
	for _, f := range kept {
		size += uint64(len(made[f])) + uint64(unsafe.Sizeof(entry{}))
	}
	if l.sparse {
		size += uint64(unsafe.Sizeof(entry{}))
	}
	for l.n > 0 && (l.n >= l.size || uint64(l.bytes)+size > uint64(l.byteMax)) {
		l.drop()
	}
	if len(kept) == 0 || size > uint64(l.byteMax) {
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
	if l.sparse {
		slot[len(kept)] = entry{len: uint32(prior >> 32), at: uint32(prior)}
	}
	l.n++
	l.bytes += uint32(size)
}

// fit makes the log keep so many forms of each message. One that has kept another
// number begins anew, empty.
func (l *log) fit(forms int) {
	width := uint16(forms)
	if l.sparse && forms > 0 {
		width++
	}
	if l.width != width {
		l.ring, l.head, l.n, l.bytes, l.width = nil, 0, 0, 0, width
	}
}

// drop forgets the oldest message. There must be one.
func (l *log) drop() {
	slot := l.slot(0)
	for i := range slot {
		if slot[i].frame == nil { // it is an offset
			slot[i].len = 0
		}
		l.bytes -= slot[i].size()
		slot[i] = entry{}
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
func (l *log) skip() { l.clear(l.top + 1) }

// clear forgets all messages. The next one is behind the offset top.
func (l *log) clear(top uint64) {
	for l.n > 0 {
		l.drop()
	}
	l.top = top
}

// resize gives the ring room for so many messages, at least for those that are
// there.
func (l *log) resize(capacity uint32) {
	width := uint32(l.width)
	ring := make([]entry, capacity*width)
	for i := range l.n {
		copy(ring[i*width:], l.slot(i))
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
