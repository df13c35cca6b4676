package engine

import (
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, tt := range []struct {
		name             string
		setting, runtime int64
		want             int64
	}{
		{"a setting", 1000, math.MaxInt64, 1000},
		{"the setting counts", 1000, 1 << 40, 1000},
		{"none", 0, math.MaxInt64, 0},
		{"the runtime's", 0, 1 << 40, 1 << 40},
		{"off", -1, 1 << 40, 0},
	} {
		debug.SetMemoryLimit(tt.runtime)
		if got := memoryLimit(Config{MemoryLimit: tt.setting}); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// Newcomers are refused from 80 % on, and let in again below 75 %.
func TestMemoryIsShort(t *testing.T) {
	log := newLines(t)
	e := New(Config{Log: slog.New(log)}, nil)
	e.caps.Store(&caps{memory: 1000})
	for _, step := range []struct {
		used    int64
		crowded bool
	}{{799, false}, {800, true}, {751, true}, {749, false}, {799, false}, {5000, true}} {
		e.watchMemory(step.used)
		if got := e.memoryShort.Load(); got != step.crowded {
			t.Errorf("at %d of 1000: got %t, want %t", step.used, got, step.crowded)
		}
	}
	if n := len(log.records); n != 3 {
		t.Errorf("%d lines are logged, want one for each change", n)
	}
	if memoryInUse() <= 0 {
		t.Error("no memory is in use")
	}
}

// While memory is short, garbage is collected two seconds after the last time,
// later if that has taken long, and by nobody else meanwhile.
func TestCleaner(t *testing.T) {
	const pause = uint32(cleanAfter / tick)
	done := make(chan struct{})
	cycles, began := uint64(7), 0
	c := &cleaner{collect: func() { <-done }}
	look := func(from, to uint32) {
		for now := from; now < to; now++ {
			before := c.busy.Load()
			c.look(now, cycles)
			if !before && c.busy.Load() {
				began++
			}
		}
	}
	want := func(when string, n int) {
		t.Helper()
		if began != n {
			t.Fatalf("%s: %d collections have begun, want %d", when, began, n)
		}
	}
	look(100, 100+pause)
	want("soon after memory got short", 0)
	cycles++
	look(100+pause, 100+2*pause)
	want("soon after another collection", 0)
	look(100+2*pause, 1000)
	want("later", 1)
	select {
	case done <- struct{}{}:
	case <-time.After(longWait):
		t.Fatal("nobody collects")
	}
	c.working.Wait()
	cycles++
	took := 999 - (100 + 2*pause)
	next := 1000 + pause + cleanShare*took
	look(1000, next)
	want("soon after one that took long", 1)
	look(next, next+1)
	want("long after one that took long", 2)
	close(done)
	c.working.Wait()
	if collections() == 0 {
		runtime.GC()
		if collections() == 0 {
			t.Error("a garbage collection is not counted")
		}
	}
}
