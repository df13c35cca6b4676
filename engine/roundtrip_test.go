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
