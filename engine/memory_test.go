package engine

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"
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
		if got := e.crowded.Load(); got != step.crowded {
			t.Errorf("at %d of 1000: got %t, want %t", step.used, got, step.crowded)
		}
	}
	if n := len(log.messages); n != 3 {
		t.Errorf("%d lines are logged, want one for each change", n)
	}
	if memoryInUse() <= 0 {
		t.Error("no memory is in use")
	}
}
