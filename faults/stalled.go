package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// stalled lets subscribers stop to read while everybody else goes on.
func stalled(ctx context.Context, t *trial) error {
	members := scaled(t, 4999, 899)
	s, a, end, err := t.serve(ctx, gathering{channel: "c", members: members}, pace{rate: scaled(t, 5.0, 20), size: stallEvent},
		"-max-queued-bytes", fmt.Sprint(stallCap), "-send-buffer", "4096", "-close-timeout", "60s")
	if err != nil {
		return err
	}
	defer end()
	window := scaled(t, 15*time.Second, 2*time.Second)
	rest(ctx, window/4)
	watch := s.watch(ctx)
	calm := a.listenFor(ctx, window)
	before := watch()
	for _, share := range []stallShare{{"1 stalls", 1}, {"1 in 10 stalls", (members + 1) / 10}} {
		if err := share.try(ctx, t, s, a, window, calm, before); err != nil {
			return err
		}
	}
	a.checkHeard(ctx, "the others")
	return nil
}

// Bytes of a stall.
const (
	stallEvent  = 2000     // the data of each event
	stallCap    = 64 << 10 // what may wait for each one that stalls
	stallMargin = 8 << 20  // what may grow beside that: garbage, which the others' events leave
)

// stallShare is how many stall.
type stallShare struct {
	name   string
	stalls int
}

// try lets them stall, longer than it takes to reach their cap, and read on when they have been thrown out.
func (h stallShare) try(ctx context.Context, t *trial, s *server, a *audience, window time.Duration, calm latency, before peaks) error {
	start, err := s.metrics()
	if err != nil {
		return err
	}
	crowd, err := t.stall(ctx, a.dialer, h.stalls, func(int) string { return a.channel })
	if err != nil {
		return err
	}
	defer crowd.end()
	watch := s.watch(ctx)
	with := a.listenFor(ctx, window)
	slow := func() int64 { return int64(s.read("rocket_slow_readers_total", "policy", "disconnect")) }
	wasSlow := int64(start.sum("rocket_slow_readers_total", "policy", "disconnect"))
	err = t.until(ctx, patience, "slow readers are closed", func() bool { return slow() >= wasSlow+int64(h.stalls) })
	peak := watch()
	if err != nil {
		return err
	}
	t.checkSpeed(unharmed(with, calm), h.name+": the others have "+unharmedText, "without: %v; with: %v", calm, with)
	grown, caps := peak.resident-before.resident, int64(h.stalls)*stallCap
	t.check(grown < caps+stallMargin, h.name+": memory grows by less than the caps of those that stall, and 8 MiB",
		"at most %.1f MiB of %.1f", mib(grown), mib(caps+stallMargin))
	return h.count(t, s, crowd, start, peak)
}

// count compares what the readers that stalled hear with what the server has counted.
func (h stallShare) count(t *trial, s *server, crowd *sleepers, start metrics, peak peaks) error {
	most := int64(h.stalls) * (stallCap + stallEvent + 100) // one event may be on its way beside what waits
	woken := crowd.wake(codec.StatusTryAgainLater)
	end, err := s.metrics()
	if err != nil {
		return err
	}
	grew := func(name string, labels ...string) int64 {
		return int64(end.sum(name, labels...) - start.sum(name, labels...))
	}
	slow := grew("rocket_slow_readers_total", "policy", "disconnect")
	closes := grew("rocket_disconnects_total", "code", "1013")
	all := int64(h.stalls)
	t.check(peak.queued <= most, h.name+": what waits is at most their caps", "at most %d bytes of %d", peak.queued, most)
	t.check(woken.told == all && slow == all && closes == all, h.name+": each is told 1013 and why, and counted once",
		"%d of %d are told%s, %d slow readers, %d disconnects", woken.told, all, woken.why(), slow, closes)
	t.check(woken.gaps == 0 && woken.events > 0, h.name+": what they hear before has no gap", "%d events, %d gaps", woken.events, woken.gaps)
	return nil
}
