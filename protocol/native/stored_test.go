package native

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

var storedChannels = flag.Int("channels", 10_000, "channels of BenchmarkStored")

const (
	storedEvents = 10  // of each channel
	storedData   = 128 // bytes of an event's data
	storedTTL    = time.Hour
	storedAt     = time.Minute // when they are published
)

// BenchmarkStored fills very many channels, in which nobody is subscribed, with ten events each, and sweeps them. "make
// stored" runs it with a million.
func BenchmarkStored(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(75)) // as rocket does
	s := newStored(*storedChannels)
	memory, collections := s.fill(b), collect()
	s.hub.Sweep(storedAt) // the first one looks at all: there has been none for a while
	nothing := s.sweep(b, storedAt)
	if got := s.hub.Len(); got != len(s.names) {
		b.Errorf("%d channels are left, want %d", got, len(s.names))
	}
	kept := storedAt + storedTTL + 900*time.Millisecond // ages are counted in whole seconds
	s.hub.Sweep(kept)
	everything := s.sweep(b, kept)
	if got := s.hub.HistoryStats().Evicted; got > 0 {
		b.Errorf("%d events were evicted", got)
	}
	for _, part := range []struct {
		name  string
		found findings
	}{{"Memory", memory}, {"Collect", collections}, {"SweepNothing", nothing}, {"SweepAll", everything}} {
		b.Run(part.name, func(b *testing.B) {
			for unit, value := range part.found {
				b.ReportMetric(value, unit)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// What an event with 128 bytes of data takes as it is kept: its frame, its place in the log, and a tenth of a channel with
// its log.
func TestBytesOfAStoredEvent(t *testing.T) {
	s := newStored(5000)
	if got := s.fill(t)["B/event"]; got > 270 {
		t.Errorf("got %.0f bytes for each event, want at most 270", got)
	}
	runtime.KeepAlive(s)
}

// findings are values by their units.
type findings map[string]float64

// stored is a table of channels that keep events, in the frames of the native protocol.
type stored struct {
	hub   *pubsub.Hub
	names [][]byte
	data  []byte
}

func newStored(n int) *stored {
	s := &stored{hub: pubsub.NewHub(), names: make([][]byte, n), data: []byte(`"` + strings.Repeat("x", storedData-2) + `"`)}
	s.hub.AddForm(pubsub.Encoding{Base: pubsub.Itself, Kept: true, Encode: func(m pubsub.Message, _ []byte) []byte {
		return codec.AppendEventFrame(codec.JSON{}, codec.Event{Channel: m.Channel, Event: m.Event, Data: m.Data, Offset: m.Offset})
	}})
	s.hub.SetHistory(func(string) pubsub.History { return pubsub.History{Size: storedEvents, TTL: storedTTL} })
	s.hub.LimitHistory(1 << 40)
	for i := range s.names {
		s.names[i] = fmt.Appendf(nil, "channel:%07d", i)
	}
	return s
}

func (s *stored) publish(b testing.TB, i int) {
	m := pubsub.Message{Channel: s.names[i%len(s.names)], Event: []byte("e"), Data: s.data, At: storedAt}
	if _, err := s.hub.Publish(m, pubsub.Always); err != nil {
		b.Error(err)
	}
}

// fill reports what the events take.
func (s *stored) fill(b testing.TB) findings {
	before, began := liveBytes(), time.Now()
	for i := range len(s.names) * storedEvents {
		s.publish(b, i)
	}
	took, resident := time.Since(began), residentBytes(b)
	live, events := float64(liveBytes()-before), float64(len(s.names)*storedEvents)
	return findings{
		"ns/publish": took.Seconds() * 1e9 / events, "resident-MB": float64(resident) / 1e6, "live-MB": live / 1e6,
		"B/channel": live / float64(len(s.names)), "B/event": live / events,
	}
}

// collect reports what garbage collections take.
func collect() findings {
	const cycles = 5
	cpu := metricOf("/cpu/classes/gc/total:cpu-seconds").Float64()
	pauses := metricOf("/sched/pauses/total/gc:seconds").Float64Histogram()
	began := time.Now()
	for range cycles {
		runtime.GC()
	}
	took := time.Since(began)
	return findings{
		"gc-ms/cycle":      took.Seconds() * 1e3 / cycles,
		"gc-cpu-ms/cycle":  (metricOf("/cpu/classes/gc/total:cpu-seconds").Float64() - cpu) * 1e3 / cycles,
		"longest-pause-µs": longest(pauses, metricOf("/sched/pauses/total/gc:seconds").Float64Histogram()) * 1e6,
	}
}

// sweep makes a round of Sweep behind the last one, as a server does, while another goroutine publishes.
func (s *stored) sweep(b *testing.B, last time.Duration) findings {
	const step, round = 250 * time.Millisecond, time.Minute
	var over atomic.Bool
	published := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		for i := 0; !over.Load(); i += 7919 {
			began := time.Now()
			s.publish(b, i)
			took = append(took, time.Since(began))
			runtime.Gosched()
		}
		published <- took
	}()
	var all, longest time.Duration
	for now := last + step; now <= last+round+step; now += step {
		began := time.Now()
		s.hub.Sweep(now)
		took := time.Since(began)
		all, longest = all+took, max(longest, took)
	}
	over.Store(true)
	publishes := <-published
	slices.Sort(publishes)
	return findings{
		"ms/round": all.Seconds() * 1e3, "longest-step-ms": longest.Seconds() * 1e3,
		"publish-p99.9-µs":   float64(publishes[len(publishes)*999/1000].Nanoseconds()) / 1e3,
		"longest-publish-µs": float64(publishes[len(publishes)-1].Nanoseconds()) / 1e3,
	}
}

func liveBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// residentBytes is the memory of this process that is in RAM.
func residentBytes(b testing.TB) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(text)[1]), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func metricOf(name string) metrics.Value {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value
}

// longest is an upper bound of the longest pause between two readings.
func longest(before, after *metrics.Float64Histogram) float64 {
	for i := len(after.Counts) - 1; i >= 0; i-- {
		if after.Counts[i] > before.Counts[i] {
			return after.Buckets[i+1]
		}
	}
	return 0
}
