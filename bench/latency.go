package bench

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is the longest latency that is recorded: all above count as this.
const maxLatency = int64(120e9)

// latency records durations in nanoseconds with three digits.
type latency struct {
	all    *hdrhistogram.Histogram
	second *hdrhistogram.Histogram // since the last tick
	from   int64                   // only what was scheduled in [from, to) goes to all
	to     int64
}

func newLatency() latency {
	return latency{
		all:    newHistogram(),
		second: newHistogram(),
		from:   math.MaxInt64,
		to:     math.MaxInt64,
	}
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency, 3) }

// record takes n deliveries that were scheduled at and read at now.
func (l *latency) record(at, now, n int64) {
	d := min(max(now-at, 0), maxLatency)
	_ = l.second.RecordValues(d, n) // it is in range
	if at >= l.from && at < l.to {
		_ = l.all.RecordValues(d, n)
	}
}

// Latency is a distribution in milliseconds.
type Latency struct {
	Count  int64   `json:"count"`
	Mean   float64 `json:"mean"`
	P50    float64 `json:"p50"`
	P90    float64 `json:"p90"`
	P99    float64 `json:"p99"`
	P999   float64 `json:"p99.9"`
	Max    float64 `json:"max"`
	Points []Point `json:"points,omitempty"`
}

// Point says that this share of all, in percent, took at most Millis.
type Point struct {
	Percentile float64 `json:"percentile"`
	Millis     float64 `json:"ms"`
}

func summarize(h *hdrhistogram.Histogram) Latency {
	l := Latency{Count: h.TotalCount()}
	if l.Count == 0 {
		return l
	}
	at := func(p float64) float64 { return float64(h.ValueAtPercentile(p)) / 1e6 }
	l.Mean, l.Max = h.Mean()/1e6, float64(h.Max())/1e6
	l.P50, l.P90, l.P99, l.P999 = at(50), at(90), at(99), at(99.9)
	for _, b := range h.CumulativeDistributionWithTicks(2) {
		l.Points = append(l.Points, Point{b.Quantile, float64(b.ValueAt) / 1e6})
	}
	return l
}

// Second is one second of a run.
type Second struct {
	Deliveries int64   `json:"deliveries"`
	P50        float64 `json:"p50"` // milliseconds
	P99        float64 `json:"p99"`
	Max        float64 `json:"max"`
}
