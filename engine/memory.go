package engine

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// How much of the memory limit is in use when new connections are refused, and
// when they are admitted again, in percent. The rest is for messages and
// garbage.
const (
	refuseAt = 80
	admitAt  = 75
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

// memoryInUse returns the bytes that the last garbage collection found in use,
// and those of the stacks now.
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

// watchMemory is called on each tick. While memory is short, new connections
// are refused.
func (e *Engine) watchMemory(used int64) {
	limit := e.caps.Load().memory
	percent := 0.0
	if limit > 0 {
		percent = float64(used) / float64(limit) * 100
	}
	switch short := e.memoryShort.Load(); {
	case !short && percent >= refuseAt:
		e.memoryShort.Store(true)
		e.log().Error("memory is short; new connections are refused", "limit", limit, "used", used)
	case short && percent < admitAt:
		e.memoryShort.Store(false)
		e.log().Warn("memory is no longer short; new connections are admitted", "limit", limit, "used", used)
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

// A cleaner collects garbage while memory is short. How much memory is in use
// is known only from the last collection. A server that refuses new connections
// allocates little, so the runtime would let two minutes pass before the next
// collection, and the server would refuse for as long. The fields are for the
// clock's goroutine only, except busy.
type cleaner struct {
	collect func() // runtime.GC

	cycles uint64 // collections until the last look
	due    uint32 // the tick from which on the cleaner collects
	began  uint32 // the tick at which its last collection began
	took   uint32 // ticks that this collection has taken so far

	busy    atomic.Bool
	working sync.WaitGroup
}

// cleanAfter is how long after a collection the next one is due. After a
// collection that took longer than a tick the pause is longer, cleanShare times
// that, so that collecting takes a twentieth of the time at most.
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
