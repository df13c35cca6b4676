package cluster

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/nu7hatch/webrocket/hub"
)

// Facts are what holds at one node for as long as it says so, and what all others know:
// who is present there, for one. They are soft state. The node that they hold at, the
// owner, has them in shards; each change makes the version of its shard greater by one,
// and goes to all. A node obeys the change that is next, and no other. The owner tells the
// versions of its shards several times a second: who is behind asks for these shards, and gets
// them whole, in the same stream as the changes. So whatever is lost is repaired at
// the next beat, and a new node learns all in the same way. The facts of an owner that is
// not heard of for a few seconds are over.
const (
	// kindFacts is a number of changes: shard, version after it, whether the fact holds,
	// the fact. To all.
	kindFacts kind = 'P'

	// kindVersions is the beat: flags and the version of each shard. To all.
	kindVersions kind = 'V'

	// kindWant asks the owner for shards: a bit for each.
	kindWant kind = 'W'

	// kindShard is a part of a shard: its number, the version, the number of the part,
	// whether it is the last one, and facts. To all.
	kindShard kind = 'D'
)

// shards is how many shards an owner has: as many as a uint64 has bits.
const shards = 64

// Limits of facts.
const (
	factsBatch   = 64 << 10 // bytes of one message, beside its first fact
	factsWaiting = 4 << 20  // of changes that wait to be sent; if there are more, shards are sent
	factsEach    = 4 << 20  // of shards that are sent between two beats
)

// factsBye is the flag of the last beat: nothing of the owner holds any more.
const factsBye = 1

// A factKey names a fact among those of an owner.
type factKey struct {
	hub, channel, name string
	kind               byte
}

func keyOf(h string, f *hub.Fact) factKey { return factKey{h, f.Channel, f.Name, f.Kind} }

func (k *factKey) fact(value string) hub.Fact {
	return hub.Fact{Kind: k.kind, Channel: k.channel, Name: k.name, Value: value}
}

// factSeed spreads facts over shards. Others need not know it.
var factSeed = maphash.MakeSeed()

func (k factKey) shard() int { return int(maphash.Comparable(factSeed, k) % shards) }

// size is at most what appendFact needs.
func (k *factKey) size(value string) int {
	return 1 + 4*binary.MaxVarintLen32 + len(k.hub) + len(k.channel) + len(k.name) + len(value)
}

func appendFact(dst []byte, k *factKey, value string) []byte {
	dst = append(dst, k.kind)
	return appendText(appendText(appendText(appendText(dst, k.hub), k.channel), k.name), value)
}

// parseFact reads a fact from the beginning of b, and returns the rest.
func parseFact(b []byte) (k factKey, value string, rest []byte, err error) {
	if len(b) == 0 {
		return factKey{}, "", nil, errFrame
	}
	k.kind, rest = b[0], b[1:]
	for _, to := range []*string{&k.hub, &k.channel, &k.name, &value} {
		text, more, ok := cutText(rest)
		if !ok {
			return factKey{}, "", nil, errFrame
		}
		*to, rest = string(text), more
	}
	return k, value, rest, nil
}

// A change is one in kindFacts.
type change struct {
	shard   byte
	version uint64
	holds   bool
	key     factKey
	value   string
}

func appendChange(dst []byte, c *change) []byte {
	flags := c.shard
	if c.holds {
		flags |= changeHolds
	}
	return appendFact(binary.AppendUvarint(append(dst, flags), c.version), &c.key, c.value)
}

// changeHolds is added to the shard of a change where the fact holds.
const changeHolds = shards

func parseChange(b []byte) (c change, rest []byte, err error) {
	if len(b) == 0 || b[0] >= 2*changeHolds {
		return change{}, nil, errFrame
	}
	version, size := binary.Uvarint(b[1:])
	if size <= 0 {
		return change{}, nil, errFrame
	}
	c = change{shard: b[0] % shards, version: version, holds: b[0] >= changeHolds}
	c.key, c.value, rest, err = parseFact(b[1+size:])
	return c, rest, err
}

func appendVersions(dst []byte, from uint64, flags byte, versions *[shards]uint64) []byte {
	dst = append(appendHead(dst, kindVersions, from), flags)
	for _, v := range versions {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func parseVersions(b []byte) (flags byte, versions [shards]uint64, err error) {
	if len(b) == 0 {
		return 0, versions, errFrame
	}
	flags, b = b[0], b[1:]
	for i := range versions {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return 0, versions, errFrame
		}
		versions[i], b = v, b[size:]
	}
	return flags, versions, nil
}

// A part is what kindShard has before the facts.
type part struct {
	shard   byte
	last    bool
	version uint64
	number  uint64
}

func appendPart(dst []byte, from uint64, p part) []byte {
	flags := p.shard
	if p.last {
		flags |= partLast
	}
	dst = append(appendHead(dst, kindShard, from), flags)
	return binary.AppendUvarint(binary.AppendUvarint(dst, p.version), p.number)
}

// partLast is added to the shard of the last part.
const partLast = shards

func parsePart(b []byte) (p part, facts []byte, err error) {
	if len(b) == 0 || b[0] >= 2*partLast {
		return part{}, nil, errFrame
	}
	p = part{shard: b[0] % shards, last: b[0] >= partLast}
	b = b[1:]
	for _, to := range []*uint64{&p.version, &p.number} {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return part{}, nil, errFrame
		}
		*to, b = v, b[size:]
	}
	return p, b, nil
}

func appendWant(dst []byte, from, mask uint64) []byte {
	return binary.LittleEndian.AppendUint64(appendHead(dst, kindWant, from), mask)
}
