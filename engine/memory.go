package engine

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
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
