package faults

import (
	"context"
	"fmt"
	"time"
)

// stalled lets subscribers stop to read while everybody else goes on.
func stalled(ctx context.Context, t *trial) error {
	const cap = 64 << 10
	members := scaled(t, 4999, 900)
	s, err := t.startServer(ctx, "-max-queued-bytes", fmt.Sprint(cap), "-send-buffer", "16384")
	if err != nil {
		return err
	}
	defer s.stop()
	a, err := t.gather(ctx, gathering{channel: "c", members: members, dialer: dialer{addr: s.addr}})
	if err != nil {
		return err
	}
	defer a.end()
	if err := a.load.publish(ctx, pace{dialer: dialer{addr: s.addr}, rate: 10, size: 1000}); err != nil {
		return err
	}
	window := scaled(t, 15*time.Second, 3*time.Second)
	rest(ctx, window/4)
	calm := a.listenFor(ctx, window)
	before := s.resident()
	for _, share := range []struct {
		name  string
		stall int
	}{{"1 stalls", 1}, {"1 in 10 stalls", members / 10}} {
		crowd, err := t.stall(ctx, s, share.stall)
		if err != nil {
			return err
		}
		with := a.listenFor(ctx, window)
		grown := s.resident() - before
		t.checkSpeed(unharmed(with, calm), share.name+": the others have "+unharmedText, "without: %v; with: %v", calm, with)
		allowed := int64(share.stall)*cap + 32<<20
		t.check(grown < allowed, share.name+": memory grows by less than the caps of those who stall, and 32 MiB",
			"%.1f MiB of %.1f", mib(grown), mib(allowed))
		if err := crowd.awaitEnd(ctx, t, s); err != nil {
			return err
		}
	}
	tally := a.settle(ctx)
	t.check(tally.right() && tally.ended == 0, "the others hear each event once, in order, and stay connected",
		"%d events heard, %d lost, %d doubled, %d connections ended", tally.delivered, tally.lost, tally.doubled, tally.ended)
	return nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// sleepers are subscribers that do not read.
type sleepers struct{ clients []*client }

// stall adds subscribers that stop to read once they are subscribed. Their sockets take little.
func (t *trial) stall(ctx context.Context, s *server, n int) (*sleepers, error) {
	var crowd sleepers
	for range n {
		c, err := dialer{addr: s.addr, buffer: 4 << 10}.join(ctx, "c", "")
		if err != nil {
			return nil, err
		}
		crowd.clients = append(crowd.clients, c)
	}
	return &crowd, nil
}

// awaitEnd waits until the server has thrown all of them out.
func (w *sleepers) awaitEnd(ctx context.Context, t *trial, s *server) error {
	defer func() {
		for _, c := range w.clients {
			c.abort()
		}
	}()
	return t.until(ctx, patience, "slow readers are closed", func() bool {
		return s.read("rocket_slow_readers_total", "policy", "disconnect") >= float64(len(w.clients))
	})
}
