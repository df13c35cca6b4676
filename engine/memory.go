package engine

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// What is in use of the memory limit when newcomers are refused, and when they
// are let in again, in percent. What is above is for messages and garbage.
const (
	crowdedAt = 80
	roomyAt   = 75
)

// memoryLimit returns the limit in bytes, 0 for none.
func memoryLimit(c Config) int64 {
	switch {
	case c.MemoryLimit > 0:
		return c.MemoryLimit
	case c.MemoryLimit < 0:
		return 0
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// memoryInUse returns what the last garbage collection found in use, with the
// stacks of today, in bytes.
func memoryInUse() int64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	sum := uint64(0)
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return int64(sum)
}

// watchMemory is called on each tick. It refuses newcomers while memory is short.
func (e *Engine) watchMemory(used int64) {
	limit := e.caps.Load().memory
	percent := 0.0
	if limit > 0 {
		percent = float64(used) / float64(limit) * 100
	}
	switch crowded := e.crowded.Load(); {
	case !crowded && percent >= crowdedAt:
		e.crowded.Store(true)
		e.log().Error("memory is short; newcomers are refused", "limit", limit, "used", used)
	case crowded && percent < roomyAt:
		e.crowded.Store(false)
		e.log().Warn("there is memory again", "limit", limit, "used", used)
	}
}

// collections returns how many garbage collections there have been.
func collections() uint64 {
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// A cleaner collects garbage while memory is short. What is in use is known from
// the last collection only, and a server that has lost its clients, and refuses
// others, has little reason for the next: the runtime lets two minutes pass.
// The clock's goroutine only, but for what it waits for.
type cleaner struct {
	collect func() // runtime.GC

	cycles uint64 // collections that there had been when it looked last
	due    uint32 // the tick from which on it collects itself
	began  uint32 // the tick at which it did
	took   uint32 // ticks that it has been at it

	busy    atomic.Bool
	working sync.WaitGroup
}

// cleanAfter is how long after a collection the next is due. One that takes
// longer than a tick is given more time, so that it costs a twentieth at most.
const (
	cleanAfter = 2 * time.Second
	cleanShare = 20
)

// look is called on each tick while memory is short.
func (c *cleaner) look(now uint32, cycles uint64) {
	switch {
	case c.busy.Load():
		c.took = now - c.began
	case cycles != c.cycles:
		c.cycles, c.due, c.took = cycles, now+inTicks(cleanAfter)+cleanShare*c.took, 0
	case now >= c.due:
		c.began = now
		c.busy.Store(true)
		c.working.Go(func() {
			c.collect()
			c.busy.Store(false)
		})
	}
}
