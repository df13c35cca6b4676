package cluster

import (
	"encoding/binary"
	"strconv"
)

// kindLog is a message of a log: a head, the batch of events of its sender, and the batches
// that the sender has collected from other nodes (collect.go).
const kindLog kind = 'L'

// logHeadSize is what a message of a log has before its batches.
const logHeadSize = headSize + 8 + epochSize + 2*8

// eventsMax is how many events a message has at most: what offsets have room for.
const eventsMax = 1 << indexBits

const indexBits = 10

// An epoch is one numbering of the events of a log. It begins with a message of the log that
// says so, and every later message repeats it. One that goes on from another has the same
// shift: what was stored before keeps its offset. The zero value is none.
type epoch struct {
	id    uint64
	seq   uint64 // of the message that it begins with
	shift uint64 // what is added to offsets, so that they grow from epoch to epoch
}

const epochSize = 3 * 8

// offset is the offset of an event: the number of its message in the log, and its place
// there.
func (e epoch) offset(seq uint64, index int) uint64 {
	return e.shift + seq<<indexBits + uint64(index)
}

// before is the position in front of all events of a message.
func (e epoch) before(seq uint64) uint64 { return e.offset(seq, 0) - 1 }

// String is how clients know the epoch.
func (e epoch) String() string { return strconv.FormatUint(e.id, 36) }

// A logHead is what a message of a log begins with.
type logHead struct {
	batchHead        // of the sender
	epoch     epoch  // as the sender knows it
	after     uint64 // where an epoch begins that goes on from another: the id of that; 0: it does not
}

// A batchHead says whose a batch is.
type batchHead struct {
	from, number uint64 // incarnation of the node, and the number of the batch among its own
	answers      uint64 // the node whose question this one has applied, and answers; itself: it asks; 0: none
}

// A nodeBatch is the batch of one node in a message.
type nodeBatch struct {
	batchHead
	events []byte // part of the message
}

// batchHeadSize is what a collected batch has before its events and their length.
const batchHeadSize = 3 * 8

func appendLogHead(dst []byte, h logHead) []byte {
	dst = appendNumbered(dst, kindLog, h.from, h.number)
	for _, n := range []uint64{h.epoch.id, h.epoch.seq, h.epoch.shift, h.answers, h.after} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return dst
}

// asks reports whether the node asks who has followed the log for longer than itself.
func (h *batchHead) asks() bool { return h.answers == h.from }

// parseLogHead returns what a message begins with, and the rest of it.
func parseLogHead(b []byte) (h logHead, rest []byte, err error) {
	k, from, rest, err := parseHead(b)
	if err != nil || k != kindLog || len(rest) < logHeadSize-headSize {
		return logHead{}, nil, errFrame
	}
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(rest[8*i:]) }
	return logHead{batchHead{from, at(0), at(4)}, epoch{at(1), at(2), at(3)}, at(5)}, rest[logHeadSize-headSize:], nil
}

// emptyMessage returns a message without events.
func emptyMessage(h logHead) []byte { return appendText(appendLogHead(nil, h), "") }

// appendCollected appends a batch of another node to a message.
func appendCollected(dst []byte, b *nodeBatch) []byte {
	for _, n := range []uint64{b.from, b.number, b.answers} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return appendText(dst, b.events)
}

// parseLogMessage returns the head of a message, and appends its batches to dst: that of the sender
// first.
func parseLogMessage(dst []nodeBatch, b []byte) (h logHead, batches []nodeBatch, err error) {
	began := len(dst)
	h, rest, err := parseLogHead(b)
	if err != nil {
		return logHead{}, dst, err
	}
	for next := h.batchHead; ; {
		events, after, ok := cutText(rest)
		if !ok {
			return logHead{}, dst[:began], errFrame
		}
		dst = append(dst, nodeBatch{next, events})
		switch {
		case len(after) == 0:
			return h, dst, nil
		case len(after) < batchHeadSize, len(dst)-began > collectedMost:
			return logHead{}, dst[:began], errFrame
		}
		at := func(i int) uint64 { return binary.LittleEndian.Uint64(after[8*i:]) }
		next, rest = batchHead{at(0), at(1), at(2)}, after[batchHeadSize:]
	}
}

// A logEvent is one event in a batch. Its slices are parts of the batch.
type logEvent struct {
	channel, event  []byte
	data, key, user []byte // may be nil
	except          []byte // the connection of another node that does not get it, nil for none
}

// Flags of a logEvent.
const (
	withData = 1 << iota
	withKey
	withUser
	withExcept
)

// sizeMax is at least how many bytes an event has in a batch.
func (e *logEvent) sizeMax() int {
	return 1 + 6*binary.MaxVarintLen32 + len(e.channel) + len(e.event) + len(e.data) + len(e.key) + len(e.user) + len(e.except)
}

func appendLogEvent(dst []byte, e *logEvent) []byte {
	var flags byte
	if e.data != nil {
		flags |= withData
	}
	if e.key != nil {
		flags |= withKey
	}
	if e.user != nil {
		flags |= withUser
	}
	if e.except != nil {
		flags |= withExcept
	}
	dst = appendText(appendText(append(dst, flags), e.channel), e.event)
	for _, text := range [][]byte{e.data, e.key, e.user, e.except} {
		if text != nil {
			dst = appendText(dst, text)
		}
	}
	return dst
}

// parseLogEvents appends the events of a batch to dst, which has those of the same message that
// come before. A batch that cannot be read has none.
func parseLogEvents(dst []logEvent, b []byte) ([]logEvent, error) {
	began := len(dst)
	for len(b) > 0 {
		flags, rest := b[0], b[1:]
		ok := flags&^(withData|withKey|withUser|withExcept) == 0
		text := func(wanted bool) (s []byte) {
			if ok && wanted {
				s, rest, ok = cutText(rest)
			}
			return s
		}
		e := logEvent{channel: text(true), event: text(true), data: text(flags&withData != 0), key: text(flags&withKey != 0), user: text(flags&withUser != 0)}
		e.except = text(flags&withExcept != 0)
		if !ok || len(dst) == eventsMax {
			return dst[:began], errFrame
		}
		dst, b = append(dst, e), rest
	}
	return dst, nil
}
