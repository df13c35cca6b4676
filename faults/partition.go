package faults

import (
	"context"
	"time"
)

// abnormal is what a server counts when a connection ends without a closing handshake.
var abnormal = counter{"rocket_disconnects_total", "code", "1006"}

// partition cuts some clients off for less time than it takes to find that out, then for more, beside others that are
// not cut off.
func partition(ctx context.Context, t *trial) error {
	ping, pong := scaled(t, 5*time.Second, time.Second), scaled(t, 5*time.Second, 2*time.Second)
	s, near, end, err := t.serve(ctx, gathering{channel: "near", members: scaled(t, 500, 100)}, pace{rate: 20, size: 200},
		"-ping-interval", ping.String(), "-pong-timeout", pong.String())
	if err != nil {
		return err
	}
	defer end()
	far, err := t.gather(ctx, gathering{
		channel: "far", members: scaled(t, 500, 100), returns: true,
		dialer: dialer{addr: s.addr, from: elsewhere, silence: ping + pong/2},
	})
	if err != nil {
		return err
	}
	defer far.end()
	p := parted{t: t, s: s, far: far, found: ping + pong, pace: pace{dialer: dialer{addr: s.addr}, rate: 20, size: 200}}
	calm := near.listenFor(ctx, scaled(t, 5*time.Second, time.Second))
	near.forget()
	if err := p.short(ctx, scaled(t, 2*time.Second, time.Second/2)); err != nil {
		return err
	}
	if err := p.long(ctx); err != nil {
		return err
	}
	with := summarize(near.forget())
	t.checkSpeed(unharmed(with, calm), "clients that are not cut off hear events with "+unharmedText, "without: %v; with: %v", calm, with)
	near.checkHeard(ctx, "clients that are not cut off")
	return nil
}

// parted is an audience that is cut off from its publisher.
type parted struct {
	t     *trial
	s     *server
	far   *audience
	pace  pace
	found time.Duration // in which the server finds out at the latest, but for a tick
}

// short cuts off for so short a time that only the delay shows it.
func (p *parted) short(ctx context.Context, length time.Duration) error {
	if err := p.far.load.publish(ctx, p.pace); err != nil {
		return err
	}
	rest(ctx, time.Second/2)
	p.far.forget()
	if err := cutOff(elsewhere); err != nil {
		return err
	}
	rest(ctx, length)
	if err := heal(); err != nil {
		return err
	}
	rest(ctx, time.Second/2)
	heard := p.far.settle(ctx)
	longest := summarize(p.far.forget()).max
	m, err := p.s.metrics()
	if err != nil {
		return err
	}
	p.t.check(longest >= length*9/10 && heard.right() && heard.ended == 0 && m.sum("rocket_ping_timeouts_total") == 0,
		"cut off for less than the ping time-out: all stay, and hear what came meanwhile once, in order, after it",
		"cut off for %v; %d events heard, at most %.1f s late; %d lost, %d doubled, %d connections ended",
		length, heard.delivered, longest.Seconds(), heard.lost, heard.doubled, heard.ended)
	return ctx.Err()
}

// long cuts off until the server has found out.
func (p *parted) long(ctx context.Context) error {
	if err := p.far.load.publish(ctx, p.pace); err != nil {
		return err
	}
	rest(ctx, time.Second/2)
	members := p.far.gathering.members
	before := p.s.count(abnormal)
	if err := cutOff(elsewhere); err != nil {
		return err
	}
	p.t.checkFound(ctx, p.s, members, before, p.found)
	if err := heal(); err != nil {
		return err
	}
	healed := now()
	err := p.t.until(ctx, patience, "they come back", func() bool { return p.far.connected.Load() == int64(members) })
	took := now() - healed
	rest(ctx, scaled(p.t, time.Second, time.Second/4))
	heard := p.far.settle(ctx)
	p.t.check(err == nil && heard.right() && heard.ended == int64(members),
		"and they come back, and hear each event once, in order, while they are connected",
		"%d of %d, after %.1f s; %d events heard, %d lost, %d doubled", p.far.connected.Load(), members, took.Seconds(), heard.delivered, heard.lost, heard.doubled)
	return ctx.Err()
}

// checkFound waits until a server has found that so many clients have been cut off since now, and leaves findings. It had
// counted abnormal ends before.
func (t *trial) checkFound(ctx context.Context, s *server, clients int, before float64, limit time.Duration) {
	cut := now()
	timeouts := func() float64 { return s.read("rocket_ping_timeouts_total") }
	_ = s.until(ctx, limit+patience, "time-outs", func() bool { return timeouts() >= float64(clients) }) // the findings say it
	took := now() - cut
	found, ended := timeouts(), s.count(abnormal)-before
	t.check(found == float64(clients) && ended == found,
		"the server finds all that are cut off, once, and counts them as time-outs and as ends with 1006",
		"%d clients, %.0f time-outs, %.0f ends", clients, found, ended)
	t.checkSpeed(took < limit+tick+time.Second/2, "within PingInterval and PongTimeout, which are exact to "+tick.String(),
		"all after %.2f of %.2f s", took.Seconds(), limit.Seconds())
}
