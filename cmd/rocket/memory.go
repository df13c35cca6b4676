package main

import (
	"log/slog"
	"math"
	"runtime/debug"
)

// gcPercent is how much the heap may grow before the next garbage collection,
// unless GOGC says otherwise. An idle connection with a subscription lives in
// about 546 bytes; 75 is the round number that keeps what is resident below
// 1,024. docs/scaling.md has what it costs.
const gcPercent = 75

// gcSettings are the settings of the garbage collector.
type gcSettings struct {
	percent int   // 0: as the environment says
	limit   int64 // bytes; 0: as the environment says, or there is none
}

// gcSettingsFor returns the settings for a machine. Where a control group limits
// the memory, a quarter of it is left for what the kernel has for the sockets,
// which counts there too.
func gcSettingsFor(getenv func(string) string, m machine) gcSettings {
	var s gcSettings
	if getenv("GOGC") == "" {
		s.percent = gcPercent
	}
	if getenv("GOMEMLIMIT") == "" {
		s.limit = int64(min(m.cgroupMemory/4*3, math.MaxInt64))
	}
	return s
}

func (s gcSettings) apply(log *slog.Logger) {
	if s.percent > 0 {
		debug.SetGCPercent(s.percent)
	}
	if s.limit > 0 {
		debug.SetMemoryLimit(s.limit)
		log.Info("the control group limits the memory", "garbageCollectorLimit", s.limit)
	}
}

// applyMemoryLimit gives the Go runtime the limit of the configuration, or its own
// where that has none, and returns what it had before.
func applyMemoryLimit(limit, own int64) (before int64) {
	if limit <= 0 {
		limit = own
	}
	return debug.SetMemoryLimit(limit)
}
