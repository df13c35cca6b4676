//go:build !race

// The race detector makes pools forget what they have, which costs allocations.

package engine_test

import (
	"testing"

	"github.com/nu7hatch/webrocket/hub"
)

// Not with the race detector: it makes pools forget what they have.

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
