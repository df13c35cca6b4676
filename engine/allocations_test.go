//go:build !race

// The race detector makes pools forget what they have, and keeps functions from being
// inlined, which costs allocations.

package engine_test

import (
	"runtime"
	"testing"

	"github.com/nu7hatch/webrocket/hub"
)

// A publish allocates the event's frame. In a channel with a history its reply has an offset, and takes one more.
func TestAllocationsOfARoundTrip(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules []hub.Rule
		most  float64
	}{{"plain", nil, 1}, {"with a history", []hub.Rule{keepsAll}, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoundTrips(t, tt.rules...)
			for range 110 * len(r.publishes) / batch { // until the logs are full
				r.turn()
			}
			const ofTurn = 0.2 // for each: what a turn itself allocates
			if got := testing.AllocsPerRun(50, r.turn) / batch; got > tt.most+ofTurn {
				t.Errorf("got %.2f allocations for each publish, want %v", got, tt.most)
			}
		})
	}
}

// What it takes to connect, log in and subscribe: a Conn, a session, the answer 101, the
// reply to auth and the client's name in it.
func TestAllocationsOfConnecting(t *testing.T) {
	const n, most = 20_000, 5.1
	c := newCrowd(t)
	c.grow(1000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.grow(n)
	runtime.ReadMemStats(&after)
	if got := float64(after.Mallocs-before.Mallocs) / n; got > most {
		t.Errorf("a connection makes %.2f allocations, want at most %v", got, most)
	}
}
