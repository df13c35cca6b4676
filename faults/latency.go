package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latency is how late events came.
type latency struct {
	count         int64
	p50, p99, max time.Duration
}

func summarize(h *hdrhistogram.Histogram) latency {
	return latency{
		count: h.TotalCount(),
		p50:   time.Duration(h.ValueAtPercentile(50)),
		p99:   time.Duration(h.ValueAtPercentile(99)),
		max:   time.Duration(h.Max()),
	}
}

func (l latency) String() string {
	return fmt.Sprintf("p50 %s, p99 %s, max %s", millis(l.p50), millis(l.p99), millis(l.max))
}

// millis is a duration as the table shows it.
func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms >= 99.5 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2g ms", ms)
}

// listen returns the latencies of the next d.
func (a *audience) listenFor(ctx context.Context, d time.Duration) latency {
	a.forget()
	rest(ctx, d)
	return summarize(a.forget())
}

// unharmedText is what unharmed means, for the table.
const unharmedText = "p99 at most twice that without, or 10 ms more"

// unharmed compares latencies with a fault with those without.
func unharmed(with, without latency) bool {
	return with.count > 0 && without.count > 0 && with.p99 <= max(2*without.p99, without.p99+10*time.Millisecond)
}
