package faults

import (
	"context"
	"time"
)

// storm lets subscribers drop and come back, all at the same time, while others go on.
func storm(ctx context.Context, t *trial) error {
	s, others, end, err := t.serve(ctx, gathering{channel: "others", members: scaled(t, 500, 200)}, pace{rate: 50, size: 100})
	if err != nil {
		return err
	}
	defer end()
	c := newCrowd(dialer{addr: s.addr}, "crowd", scaled(t, 15_000, 2_000))
	defer c.scatter()
	if err := c.gather(ctx); err != nil {
		return err
	}
	window := scaled(t, 5*time.Second, time.Second)
	rest(ctx, window/4)
	calm := others.listenFor(ctx, window)
	for range scaled(t, 3, 1) {
		if err := t.stormOnce(ctx, s, others, c, calm); err != nil {
			return err
		}
	}
	others.checkHeard(ctx, "the others")
	return nil
}

// Bounds of a storm, with its clients on the same cores.
const (
	stormTakes  = 15 * time.Second
	stormDelays = time.Second
)

// stormOnce is one storm, until everybody is subscribed again.
func (t *trial) stormOnce(ctx context.Context, s *server, others *audience, c *crowd, calm latency) error {
	others.forget()
	began := now()
	c.scatter()
	dropped := now() - began
	if err := c.gather(ctx); err != nil {
		return err
	}
	took := now() - began
	meanwhile := summarize(others.forget())
	all := len(c.clients)
	t.checkSpeed(took < stormTakes, "all are subscribed again within 15 s", "%d dropped within %s; all back after %s", all, millis(dropped), millis(took))
	t.checkSpeed(meanwhile.count > 0 && meanwhile.max < stormDelays, "the others wait 1 s at most meanwhile", "before: %v; meanwhile: %v", calm, meanwhile)
	return t.stormIsOver(ctx, s, c, len(others.members))
}

// stormIsOver compares what the server has counted with the clients that came back, and publishes to them.
func (t *trial) stormIsOver(ctx context.Context, s *server, c *crowd, others int) error {
	all := len(c.clients)
	counted := func() int { return int(s.read("rocket_subscriptions")) }
	// If they do not get as many the check fails.
	_ = t.until(ctx, patience, "subscriptions", func() bool { return counted() == all+others })
	m, err := s.metrics()
	if err != nil {
		return err
	}
	subscriptions, refusals := int(m.sum("rocket_subscriptions")), m.sum("rocket_connections_refused_total")
	t.check(subscriptions == all+others && refusals == 0, "there are as many subscriptions as before, and no client was refused",
		"%d of %d, %.0f refused", subscriptions, all+others, refusals)
	heard, err := c.hear(ctx)
	if err != nil {
		return err
	}
	t.check(heard == all, "an event reaches all that have come back", "%d of %d hear it", heard, all)
	return nil
}
