// Package rate answers the question: does this come too often?
//
// A Bucket limits one kind of thing; a Meter limits messages and their bytes.
// Both know no clock: the caller passes the time. They have no locks: one
// goroutine uses each of them at a time.
package rate

import "time"

// Tick is how exact the limits are: a bucket is filled in steps of this length.
const Tick = 250 * time.Millisecond

// ticksPerSecond is how often a bucket is filled.
const ticksPerSecond = uint64(time.Second / Tick)

// A Bucket limits how often something may happen: at most a second's worth at
// once (a token bucket). It stores when it will be full again, not what is in
// it, so that a change of the rate makes no client wait for longer than before.
// The zero value is full.
type Bucket struct {
	full uint64 // when, in grains
}

// A second has 2^34 grains, so that 2^32 ticks fit.
const (
	grainsPerSecond = uint64(1) << 34
	grainsPerTick   = grainsPerSecond / ticksPerSecond
)

// Max is the highest rate of a Bucket, so that no sum overflows.
const Max = 1 << 27

// Take spends n at a rate per second, at most Max, if at least one is left, and
// reports whether it was. More may be spent than is left; that is waited for too.
// now never goes back.
func (b *Bucket) Take(now time.Duration, n, rate int) bool {
	at, price := grains(now), grainsPerSecond/uint64(rate)
	b.full = max(b.full, at)
	if b.full-at+price > grainsPerSecond {
		return false
	}
	b.spend(n, rate)
	return true
}

func (b *Bucket) spend(n, rate int) { b.full += uint64(min(n, Max)) * grainsPerSecond / uint64(rate) }

// Full reports whether the bucket is full, and so no different from a new one.
func (b *Bucket) Full(now time.Duration) bool { return b.full <= grains(now) }

func grains(now time.Duration) uint64 { return uint64(now/Tick) * grainsPerTick }

// A Meter limits messages and the bytes that they have. The zero value is full.
type Meter struct{ messages, bytes Bucket }

// Full reports whether the meter is full, and so no different from a new one.
func (m *Meter) Full(now time.Duration) bool { return m.messages.Full(now) && m.bytes.Full(now) }

// Within reports whether a message of size bytes comes no faster than so many
// messages and bytes may come in a second; 0 is any number. One that comes too
// fast is not counted.
func (m *Meter) Within(now time.Duration, size, messages, bytes int) bool {
	return (messages == 0 || m.messages.Take(now, 1, messages)) && (bytes == 0 || m.bytes.Take(now, size, bytes))
}

// Spend counts n messages more that belong to the last one within the rate: they are
// waited for too.
func (m *Meter) Spend(n, messages int) { m.messages.spend(n, messages) }
