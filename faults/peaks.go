package faults

import (
	"context"
	"sync"
	"time"
)

// peaks are the highest values of a server while it was watched, in bytes.
type peaks struct {
	resident int64 // of its memory that is in RAM
	queued   int64 // what waited for its clients, as its metrics say
}

// How often a watch looks: the metrics cost the server something.
const (
	lookAtMemory  = 20 * time.Millisecond
	lookAtMetrics = 200 * time.Millisecond
)

// watch looks at the server until stop is called, which returns the peaks.
func (s *server) watch(ctx context.Context) (stop func() peaks) {
	ctx, cancel := context.WithCancel(ctx)
	var p peaks
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			p.resident = max(p.resident, s.resident())
			rest(ctx, lookAtMemory)
		}
	})
	watching.Go(func() {
		for ctx.Err() == nil {
			p.queued = max(p.queued, int64(s.read("rocket_queue_bytes")))
			rest(ctx, lookAtMetrics)
		}
	})
	return func() peaks {
		cancel()
		watching.Wait()
		return p
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
