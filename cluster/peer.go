package cluster

import (
	"slices"
	"time"
)

// Times of the exchange.
const (
	beatEvery = 250 * time.Millisecond
	askEvery  = 50 * time.Millisecond // the same batches are not asked for more often
	gapMax    = 3 * time.Second       // after which a gap that nobody mends is given up, if there is more behind it
	goneAfter = 10 * time.Second      // of silence, after which a node is taken for lost; or that nobody mends a gap
	knownFor  = time.Hour             // that a node which is gone is remembered, in case that it comes back
)

// heldMax is how many bytes are kept of one node that came after a gap. A batch counts for
// heldCost more than its records: so there are 4,096 of them at most, which gap looks at.
const (
	heldMax  = 8 << 20
	heldCost = 2 << 10
)

// A peer is what is known of another node.
type peer struct {
	id    uint64 // incarnation
	name  string
	next  uint64            // number of the batch that is applied next
	top   uint64            // highest number that the node is known to have sent
	held  map[uint64][]byte // records of batches after a gap, by number
	bytes int               // of held

	standing uint64        // questions that it has learned
	skew     time.Duration // by which its clock is ahead

	began    time.Duration // when it was heard of first
	heard    time.Duration // when it was heard of last
	progress time.Duration // when a gap began, or became smaller
	asked    time.Duration // when it was asked last, 0 if it may be asked at once
	answered int           // bytes that have come since
	gone     bool          // it has been taken for lost, and that was told
	left     bool          // nothing follows: it has said so, or is replaced
	replaced bool          // another node has its name since
}

// gap returns the numbers of the first batches in a row that are missing.
func (p *peer) gap() (first, last uint64, ok bool) {
	if p.next > p.top {
		return 0, 0, false
	}
	last = p.top
	for n := range p.held {
		last = min(last, n-1)
	}
	return p.next, last, last >= p.next
}

// hold keeps a batch that came after a gap, if there is room for it.
func (p *peer) hold(number uint64, records []byte) {
	if p.held[number] != nil || p.bytes+heldCost+len(records) > heldMax {
		return
	}
	if p.held == nil {
		p.held = make(map[uint64][]byte)
	}
	p.held[number] = slices.Clone(records)
	p.bytes += heldCost + len(records)
}

// release returns the batch that is applied next, if it is held.
func (p *peer) release() (records []byte, ok bool) {
	records, ok = p.held[p.next]
	if ok {
		delete(p.held, p.next)
		p.bytes -= heldCost + len(records)
	}
	return records, ok
}

// skip goes on behind a number.
func (p *peer) skip(number uint64) {
	p.next = max(p.next, number+1)
	for n, records := range p.held {
		if n < p.next {
			delete(p.held, n)
			p.bytes -= heldCost + len(records)
		}
	}
}
