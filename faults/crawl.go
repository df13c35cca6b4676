package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// crawl lets readers take 1 KB a second, at a hub that gives slow readers the events of its history later.
func crawl(ctx context.Context, t *trial) error {
	file := filepath.Join(t.dir, "rocket.json")
	all := policyHub{Path: "/all", SlowReaders: "replay", MaxQueuedBytes: policyCap}
	all.keep(streamChannels, 100_000)
	few := policyHub{Path: "/few", SlowReaders: "replay", MaxQueuedBytes: policyCap}
	few.keep(streamChannels, 100)
	b, err := json.Marshal(struct{ Hubs []policyHub }{[]policyHub{all, few}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	// A client that takes minutes for what waits answers no ping in time.
	s, err := t.startServer(ctx, file, "-send-buffer", "4096", "-ping-interval", "off")
	if err != nil {
		return err
	}
	defer s.stop()
	for _, c := range []*crawlTrial{{keeps: "all is kept", path: all.Path}, {keeps: "100 events are kept", path: few.Path, losing: true}} {
		c.policyTrial = policyTrial{t: t, s: s, name: c.keeps, hub: dialer{addr: s.addr, path: c.path}}
		err := c.try(ctx)
		c.end()
		if err != nil {
			return fmt.Errorf("%s: %w", c.keeps, err)
		}
	}
	return nil
}

// crawlTrial is a stream at one hub, with readers that read it at once, and readers that crawl.
type crawlTrial struct {
	policyTrial
	keeps, path string
	losing      bool // the history moves on under the readers
	reading     sync.WaitGroup
}

func (c *crawlTrial) try(ctx context.Context) error {
	crawlers := scaled(c.t, 100, 30)
	if err := c.joinSome(ctx, 5, crawlers); err != nil {
		return err
	}
	var err error
	if c.before, err = c.s.metrics(); err != nil {
		return err
	}
	events := scaled(c.t, 2500, 1000) // of 2 KB
	var fast atomic.Bool
	failed := make([]error, crawlers)
	for i, l := range c.slow {
		l.crawl(&fast)
		c.reading.Go(func() { failed[i] = l.hear(events) })
	}
	idle := c.s.resident()
	watch := c.s.watch(ctx)
	err = c.publish(events)
	rest(ctx, scaled(c.t, 10*time.Second, 2*time.Second))
	peak := watch()
	fast.Store(true)
	if err != nil {
		c.end() // nobody waits for the rest
	}
	c.reading.Wait()
	if err := errors.Join(err, errors.Join(failed...)); err != nil {
		return err
	}
	return c.judge(idle, peak)
}

func (c *crawlTrial) judge(idle int64, peak peaks) error {
	grew, err := c.grown()
	if err != nil {
		return err
	}
	var sum hearing
	right := 0
	for _, l := range c.slow {
		sum.add(&l.hearing)
		if l.inOrder() && l.skipped == 0 && l.heard+l.lost == c.published && (l.lost > 0) == c.losing {
			right++
		}
	}
	must := "each hears every event, once, in order"
	if c.losing {
		must = "each hears events once, in order; with those that it is told are lost they are all"
	}
	fell := grew("rocket_slow_readers_total", "policy", "replay")
	c.check(right == len(c.slow) && fell >= len(c.slow), must, "%d of %d, %d events: %d heard, %d lost in %d notices; they fell back %d times",
		right, len(c.slow), c.published*len(c.slow), sum.heard, sum.lost, sum.notices, fell)
	closes := grew("rocket_disconnects_total")
	c.check(closes == 0, "no client is disconnected", "%d are", closes)
	most := int64(len(c.slow)) * (policyCap/4 + streamLongest + 100)
	c.check(peak.queued <= most, "what waits is at most a quarter of their caps and an event each", "at most %d bytes of %d", peak.queued, most)
	c.check(peak.resident-idle < 18<<20, "memory grows by less than twice what is published, and 8 MiB",
		"at most %.1f MiB of 18", mib(peak.resident-idle))
	quick := 0
	for _, l := range c.quick {
		if l.gapless() && l.heard == c.published {
			quick++
		}
	}
	c.check(quick == len(c.quick), "the others hear everything, once, in order", "%d of %d hear %d events", quick, len(c.quick), c.published)
	return nil
}

// crawl makes a listener take 1 KB a second from now on, until fast is set.
func (l *listener) crawl(fast *atomic.Bool) {
	l.in = bufio.NewReaderSize(crawling{l.conn, fast}, 2<<10)
}

// crawling is a connection that is read slowly.
type crawling struct {
	net.Conn
	fast *atomic.Bool
}

func (c crawling) Read(b []byte) (int, error) {
	if !c.fast.Load() {
		time.Sleep(100 * time.Millisecond)
		b = b[:min(len(b), 100)]
	}
	return c.Conn.Read(b)
}
