package faults

import (
	"context"
	"fmt"
	"time"
)

// vanished lets clients go without a word, and publishes to them.
func vanished(ctx context.Context, t *trial) error {
	ping, pong := scaled(t, 5*time.Second, time.Second), scaled(t, 5*time.Second, 2*time.Second)
	s, a, end, err := t.serve(ctx, gathering{channel: "c", members: scaled(t, 500, 100)}, pace{rate: 20, size: 1000},
		"-ping-interval", ping.String(), "-pong-timeout", pong.String(), "-send-buffer", "16384", "-admin-profiling", "on")
	if err != nil {
		return err
	}
	defer end()
	rest(ctx, time.Second)
	before, err := s.holds()
	if err != nil {
		return err
	}
	gone, err := t.gather(ctx, gathering{channel: "c", members: scaled(t, 1000, 200), dialer: dialer{addr: s.addr, from: elsewhere}})
	if err != nil {
		return err
	}
	defer gone.end()
	calm := a.listenFor(ctx, scaled(t, 5*time.Second, time.Second))
	a.forget()
	abnormals := s.count(abnormal)
	if err := cutOff(elsewhere); err != nil {
		return err
	}
	gone.end()
	waiting := s.highest(ctx, "rocket_queue_bytes")
	t.checkFound(ctx, s, gone.gathering.members, abnormals, ping+pong)
	most := waiting()
	with := summarize(a.forget())
	t.checkSpeed(unharmed(with, calm), "clients that are still there hear events with "+unharmedText, "without: %v; with: %v", calm, with)
	t.checkHolds(ctx, s, before, most)
	if err := t.checkKernel(ctx, s); err != nil {
		return err
	}
	a.checkHeard(ctx, "clients that are still there")
	return nil
}

// checkHolds waits until a server has no more than before. waited are the bytes that have waited meanwhile.
func (t *trial) checkHolds(ctx context.Context, s *server, before holdings, waited float64) {
	var after holdings
	err := s.until(ctx, patience, "what they took is free", func() bool {
		var err error
		after, err = s.holds()
		return err == nil && after.within(before)
	})
	t.check(err == nil, "nothing of them stays: connections and open files are as before, live memory within 2 MiB, and nothing waits to be written",
		"before: %v; after: %v; at most %.1f MiB waited", before, after, waited/(1<<20))
}

// checkKernel waits until the kernel has dropped the connections of the clients that vanished. It tries for 10 s after
// the server has given up, and then until it would send again.
func (t *trial) checkKernel(ctx context.Context, s *server) error {
	const limit = 40 * time.Second
	var all sockets
	most := 0
	began := now()
	err := t.until(ctx, limit, "the kernel gives up", func() bool {
		var err error
		all, err = readSockets()
		most = max(most, all.abandoned(s.port()))
		return err == nil && all.abandoned(s.port()) == 0
	})
	t.check(err == nil && most > 0, "the kernel, too, forgets them, within 40 s", "%d of its sockets, %d left after %s",
		most, all.abandoned(s.port()), millis(now()-began))
	return ctx.Err()
}

// holdings are what a server has.
type holdings struct {
	files               int
	connections, queued float64
	live                int64
}

// holds asks for the files first: to be asked takes one.
func (s *server) holds() (h holdings, err error) {
	h.files = s.files()
	h.connections, h.queued = s.read("rocket_connections"), s.read("rocket_queue_bytes")
	h.live, err = s.live()
	return h, err
}

// within reports whether a server has no more than it had before. Some events may be on their way.
func (h holdings) within(before holdings) bool {
	const onTheirWay = 64 << 10
	return h.connections <= before.connections && h.files <= before.files && h.queued <= onTheirWay && h.live <= before.live+2<<20
}

func (h holdings) String() string {
	return fmt.Sprintf("%.0f connections, %d files, %.1f MiB live, %.0f bytes queued", h.connections, h.files, mib(h.live), h.queued)
}
