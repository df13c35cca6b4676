package cluster

import (
	"encoding/binary"
	"errors"
)

// What nodes send each other. All begins with the version, the kind and the incarnation of
// the sender; numbers are in little endian, texts have their length before them.
const version = 1

type kind byte

const (
	// kindBatch is a batch of records with its number. To all, or again to one that has
	// asked.
	kindBatch kind = 'B'

	// kindBeat says how far the sender has come: name, number of the last batch, and
	// flags, how many questions that stand it has learned, and its clock. To all.
	kindBeat kind = 'H'

	// kindAsk asks for the batches from one number to another. To their origin.
	kindAsk kind = 'A'

	// kindGone is the answer where batches are not kept any more: the number of the last
	// of those, and records of kind lost, or none if nobody knows what was in them.
	kindGone kind = 'G'
)

// Flags of a beat.
const (
	beatHello = 1 << iota // all are to answer with a beat of their own
	beatBye               // the last one: nothing follows
)

const headSize = 1 + 1 + 8

var errFrame = errors.New("cluster: not a message of this version")

// appendHead begins a message.
func appendHead(dst []byte, k kind, from uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, version, byte(k)), from)
}

// parseHead returns the kind and the sender of a message, and the rest of it.
func parseHead(b []byte) (k kind, from uint64, rest []byte, err error) {
	if len(b) < headSize || b[0] != version {
		return 0, 0, nil, errFrame
	}
	return kind(b[1]), binary.LittleEndian.Uint64(b[2:]), b[headSize:], nil
}

// A beat is what kindBeat says.
type beat struct {
	name     string
	top      uint64
	flags    byte
	standing uint64 // how many questions that stand the node has learned
	wall     int64  // its clock, in milliseconds since 1970
}

func appendBeat(dst []byte, from uint64, b beat) []byte {
	dst = append(appendHead(dst, kindBeat, from), b.flags)
	dst = binary.LittleEndian.AppendUint64(dst, b.top)
	return binary.AppendVarint(binary.AppendUvarint(appendText(dst, b.name), b.standing), b.wall)
}

func parseBeat(b []byte) (beat, error) {
	if len(b) < 9 {
		return beat{}, errFrame
	}
	name, rest, ok := cutText(b[9:])
	standing, size := binary.Uvarint(rest)
	if !ok || size <= 0 {
		return beat{}, errFrame
	}
	wall, size := binary.Varint(rest[size:])
	if size <= 0 {
		return beat{}, errFrame
	}
	top := binary.LittleEndian.Uint64(b[1:])
	if top > numberMax || CheckName(string(name)) != nil {
		return beat{}, errFrame
	}
	return beat{string(name), top, b[0], standing, wall}, nil
}

// appendAsk asks for the batches from first to last.
func appendAsk(dst []byte, from, first, last uint64) []byte {
	dst = binary.LittleEndian.AppendUint64(appendHead(dst, kindAsk, from), first)
	return binary.LittleEndian.AppendUint64(dst, last)
}

func parseAsk(b []byte) (first, last uint64, err error) {
	if len(b) != 16 {
		return 0, 0, errFrame
	}
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), nil
}

// numberMax is more batches than a node can send.
const numberMax = 1 << 62

// parseNumbered returns the number that a batch, or what is gone, begins with.
func parseNumbered(b []byte) (number uint64, records []byte, err error) {
	if len(b) < 8 {
		return 0, nil, errFrame
	}
	return binary.LittleEndian.Uint64(b), b[8:], nil
}

// appendNumbered begins a batch, or what is gone.
func appendNumbered(dst []byte, k kind, from, number uint64) []byte {
	return binary.LittleEndian.AppendUint64(appendHead(dst, k, from), number)
}

// A record is one event in a batch, or a number of events that are missing. Its slices are
// parts of the batch.
type record struct {
	hub, channel []byte
	lost         uint64 // events that are missing; 0: this is an event

	event, data, key []byte // data and key may be nil
	user, except     []byte // who has published it, and the connection that does not get it; nil for none
}

// Flags of a record.
const (
	recordLost = 1 << iota
	recordData
	recordKey
	recordUser
	recordExcept
)

func (r *record) flags() (flags byte) {
	if r.lost > 0 {
		flags |= recordLost
	}
	if r.data != nil {
		flags |= recordData
	}
	if r.key != nil {
		flags |= recordKey
	}
	if len(r.user) > 0 {
		flags |= recordUser
	}
	if len(r.except) > 0 {
		flags |= recordExcept
	}
	return flags
}

// size returns what appendRecord needs at most.
func (r *record) size() int {
	return 1 + 7*binary.MaxVarintLen32 + len(r.hub) + len(r.channel) + len(r.event) + len(r.data) + len(r.key) + len(r.user) + len(r.except)
}

func appendRecord(dst []byte, r *record) []byte {
	dst = append(dst, r.flags())
	dst = appendText(appendText(dst, r.hub), r.channel)
	if r.lost > 0 {
		return binary.AppendUvarint(dst, r.lost)
	}
	dst = appendText(dst, r.event)
	if r.data != nil {
		dst = appendText(dst, r.data)
	}
	if r.key != nil {
		dst = appendText(dst, r.key)
	}
	if len(r.user) > 0 {
		dst = appendText(dst, r.user)
	}
	if len(r.except) > 0 {
		dst = appendText(dst, r.except)
	}
	return dst
}

// parseRecord reads a record from the beginning of b, and returns the rest.
func parseRecord(b []byte) (r record, rest []byte, err error) {
	if len(b) == 0 {
		return record{}, nil, errFrame
	}
	flags, rest := b[0], b[1:]
	ok := true
	text := func(wanted bool) (s []byte) {
		if ok && wanted {
			s, rest, ok = cutText(rest)
		}
		return s
	}
	r.hub, r.channel = text(true), text(true)
	if flags&recordLost != 0 {
		n, size := binary.Uvarint(rest)
		if !ok || size <= 0 || n == 0 {
			return record{}, nil, errFrame
		}
		r.lost = n
		return r, rest[size:], nil
	}
	r.event, r.data, r.key = text(true), text(flags&recordData != 0), text(flags&recordKey != 0)
	r.user, r.except = text(flags&recordUser != 0), text(flags&recordExcept != 0)
	if !ok {
		return record{}, nil, errFrame
	}
	return r, rest, nil
}

// parseRecords calls f with each record. A message that cannot be read has none.
func parseRecords(b []byte, f func(*record)) error {
	for rest := b; len(rest) > 0; {
		var err error
		if _, rest, err = parseRecord(rest); err != nil {
			return err
		}
	}
	for len(b) > 0 {
		var r record
		r, b, _ = parseRecord(b)
		f(&r)
	}
	return nil
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// cutText returns a text at the beginning of b, never nil, and what follows it.
func cutText(b []byte) (s, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	end := size + int(n)
	return b[size:end:end], b[end:], true
}
