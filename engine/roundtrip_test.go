package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/hub"
)

// roundTrips is clients each of which publishes to a channel of its own, and gets the reply and the event: everything but
// the kernel and gnet.
type roundTrips struct {
	*crowd
	publishes [4 * batch][]byte
	next      int
}

// keepsAll is a rule under which every channel keeps events.
var keepsAll = hub.Rule{Match: "**", History: hub.History{Size: 100, TTL: time.Hour}}

func newRoundTrips(tb testing.TB, rules ...hub.Rule) *roundTrips {
	r := &roundTrips{crowd: newCrowd(tb, rules...)}
	upgrade, login := []byte(upgrade), message(login)
	r.each(0, len(r.publishes), func(i int) {
		r.Add()
		r.Feed(i, upgrade)
		r.Feed(i, login)
		r.Feed(i, subscribe(fmt.Sprintf("c%07d", i)))
		r.publishes[i] = message(fmt.Sprintf(`{"publish":{"event":"e","channel":"c%07d","data":%s}}`, i, payload))
	})
	return r
}

// turn lets the next clients publish, within one turn of the loop.
func (r *roundTrips) turn() {
	r.do(func() {
		for range batch {
			r.Feed(r.next, r.publishes[r.next])
			r.next = (r.next + 1) % len(r.publishes)
		}
	})
}

// A publish allocates the event's frame. In a channel with a history its reply has an offset, and takes two more.
func TestAllocationsOfARoundTrip(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules []hub.Rule
		most  float64
	}{{"plain", nil, 1}, {"with a history", []hub.Rule{keepsAll}, 3}} {
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

func BenchmarkRoundTrip(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkRoundTrip(b, newRoundTrips(b)) })
	b.Run("history", func(b *testing.B) { benchmarkRoundTrip(b, newRoundTrips(b, keepsAll)) })
}

func benchmarkRoundTrip(b *testing.B, r *roundTrips) {
	b.ReportAllocs()
	cpu := cpuTime()
	for b.Loop() {
		r.turn()
	}
	report(b, "cpu-ns/trip", float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/batch)
}
