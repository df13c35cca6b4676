package engine

import (
	"runtime"
	"testing"
)

// One loop for each core, and one worker for two of them.
func TestDefaultsFollowTheCores(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, tt := range []struct{ cores, loops, workers int }{{1, 1, 1}, {2, 2, 1}, {3, 3, 1}, {8, 8, 4}} {
		runtime.GOMAXPROCS(tt.cores)
		if c := (Config{}).withDefaults(); c.Loops != tt.loops || c.HandshakeWorkers != tt.workers {
			t.Errorf("%d cores: got %d loops and %d workers, want %d and %d", tt.cores, c.Loops, c.HandshakeWorkers, tt.loops, tt.workers)
		}
	}
}
