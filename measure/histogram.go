// Package measure answers the question: how long do things take?
//
// It has a Histogram in which counting a duration takes a few instructions. A
// Histogram shares nothing: one loop owns it, and gives copies to others.
package measure

import (
	"math/bits"
	"time"
)

// Buckets is how many bounded buckets a Histogram has. The bound of bucket i is
// 16 µs shifted left by i: the last one is 8.4 s.
const Buckets = 20

// least is the bound of the first bucket.
const least = 16 * time.Microsecond

// A Histogram counts durations. The zero value is empty. It belongs to one
// goroutine; a copy is a snapshot.
type Histogram struct {
	Counts [Buckets + 1]uint64 // of each bucket alone; the last has no bound
	Sum    time.Duration
}

// Bound returns the upper bound of bucket i, which is not in the bucket.
func Bound(i int) time.Duration { return least << i }

// Observe counts a duration. A negative one counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := min(bits.Len64(uint64(d/least)), Buckets)
	h.Counts[i]++
	h.Sum += d
}

// Add counts what o has counted.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.Counts {
		h.Counts[i] += n
	}
	h.Sum += o.Sum
}

// Count returns how many durations have been counted.
func (h *Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// start is what Now counts from.
var start = time.Now()

// Now returns the time since the process began, by a clock that never jumps.
func Now() time.Duration { return time.Since(start) }
