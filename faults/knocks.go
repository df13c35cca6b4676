package faults

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// knocks are clients that connect, shake hands and leave, one after the other, each when it is due.
type knocks struct {
	mu     sync.Mutex              // of what follows
	took   *hdrhistogram.Histogram // from when one was due until it was let in
	failed int64                   // how many were not let in
	last   error                   // why the last of them was not

	quit    context.CancelFunc
	running sync.WaitGroup
}

// knock begins to connect so many times a second, until stop.
func knock(ctx context.Context, d dialer, rate float64) *knocks {
	ctx, quit := context.WithCancel(ctx)
	k := &knocks{quit: quit, took: hdrhistogram.New(1, maxLatency, 3)}
	k.running.Go(func() {
		interval := time.Duration(float64(time.Second) / rate)
		for due := now(); ; due += interval {
			rest(ctx, due-now())
			if ctx.Err() != nil {
				return
			}
			k.running.Go(func() { k.try(ctx, d, due) })
		}
	})
	return k
}

func (k *knocks) try(ctx context.Context, d dialer, due time.Duration) {
	c, err := d.open(ctx)
	took := now() - due
	if err == nil {
		c.abort()
	}
	if ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.failed++
		k.last = err
		return
	}
	_ = k.took.RecordValue(min(max(int64(took), 1), maxLatency)) // it is in range
}

// forget empties what has been measured and returns what it was.
func (k *knocks) forget() latency {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := summarize(k.took)
	k.took.Reset()
	return l
}

// stop waits for the clients that are connecting. After that no other goroutine uses failed and last.
func (k *knocks) stop() {
	k.quit()
	k.running.Wait()
}
