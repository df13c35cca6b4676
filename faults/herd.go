package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// herd lets very many followers drop at once and come back at once, while publishes to their channels go on.
func herd(ctx context.Context, t *trial) error {
	file, err := t.keeping(`{"Match": "herd:*", "History": {"Size": 1000, "TTL": "5m"}}`)
	if err != nil {
		return err
	}
	s, others, end, err := t.serve(ctx, gathering{channel: "others", members: scaled(t, 500, 200)}, pace{rate: 50, size: 100}, file,
		"-handshake-timeout", "1m") // all send their handshakes before the first reads its answer
	if err != nil {
		return err
	}
	defer end()
	n := scaled(t, 15_000, 1_500)
	h := &herding{t: t, s: s, all: make([]*follower, n)}
	for i := range h.all {
		h.all[i] = &follower{dialer: dialer{addr: s.addr}, channel: sprayChannel(i % (n / 10))}
	}
	defer h.scatter()
	if err := h.gather(ctx); err != nil {
		return err
	}
	if h.spray, err = startSpray(ctx, dialer{addr: s.addr}, n/10, scaled(t, 500.0, 200)); err != nil {
		return err
	}
	defer func() { _ = h.spray.stop() }() // the report has its error
	window := scaled(t, 5*time.Second, time.Second)
	rest(ctx, window/4)
	calm := others.listenFor(ctx, window)
	for range scaled(t, 3, 1) {
		if err := h.once(ctx, others, calm); err != nil {
			return err
		}
	}
	h.report(t)
	others.checkHeard(ctx, "the others")
	return nil
}

// herding is followers that all do the same at the same time. A few goroutines serve all of them, as in a crowd.
type herding struct {
	t     *trial
	s     *server
	all   []*follower
	spray *spray
	times int // that they came back
}

// gather lets all come: first all send their opening handshake, and only then the answers are read.
func (h *herding) gather(ctx context.Context) error {
	steps := []func(f *follower) error{
		func(f *follower) (err error) {
			f.conn, err = f.dialer.knock(ctx)
			return err
		},
		func(f *follower) error { return f.conn.enter() },
		func(f *follower) error { return f.conn.send(login("read-only", "")) },
		func(f *follower) error { return f.conn.reply("login") },
		func(f *follower) error { return f.conn.send(f.subscribeCommand()) },
		(*follower).reply,
	}
	for _, step := range steps {
		if err := each(len(h.all), func(i int) error { return step(h.all[i]) }); err != nil {
			return err
		}
	}
	return nil
}

// scatter ends all connections with resets.
func (h *herding) scatter() {
	for _, f := range h.all {
		f.leave()
	}
}

// once lets all drop and come back, and hear what is published meanwhile.
func (h *herding) once(ctx context.Context, others *audience, calm latency) error {
	if err := h.hear(); err != nil {
		return err
	}
	before := h.s.resident()
	others.forget()
	stop := h.s.watch(ctx)
	began := now()
	h.scatter()
	err := h.gather(ctx)
	if err == nil {
		err = h.hear()
	}
	took := now() - began
	meanwhile, most := summarize(others.forget()), stop()
	if err != nil {
		return err
	}
	h.times++
	n := int64(len(h.all))
	h.t.checkSpeed(took < 2*stormTakes, "all are back, each with what it has missed, within 30 s", "%d dropped; all back after %s", n, millis(took))
	h.t.checkSpeed(meanwhile.count > 0 && meanwhile.max < stormDelays, "the others wait 1 s at most meanwhile", "before: %v; meanwhile: %v", calm, meanwhile)
	h.t.check(most.resident-before < n*replayAhead && most.queued < n*replayAhead, "replays wait in the log and not in queues: memory grows by less than 64 KiB for each client",
		"%.1f MiB before, at most %.1f MiB, of which %.1f KiB waited for clients", mib(before), mib(most.resident), float64(most.queued)/(1<<10))
	return nil
}

// replayAhead is how much of a replay may wait for a client.
const replayAhead = 64 << 10

// hear lets each follower hear what has been published by now.
func (h *herding) hear() error {
	return each(len(h.all), func(i int) error {
		return h.all[i].hear(h.spray.sent[i%len(h.spray.sent)].Load())
	})
}

// report ends the publishing, and leaves findings on what all have heard.
func (h *herding) report(t *trial) {
	err := errors.Join(h.spray.stop(), h.hear())
	var all followed
	for _, f := range h.all {
		all.add(&f.followed)
	}
	want := int64(h.times * len(h.all))
	t.check(err == nil && all.recovered == want && len(all.told) == 0 && all.notices == 0, "each client recovers, each time",
		"%d of %d recovered; told: %v%s", all.recovered, want, all.told, said(err, ""))
	t.checkFollowed(&all, "they")
}

// spray publishes to channels in turn. The events of each are numbered from 1.
type spray struct {
	conn    *client
	sent    []atomic.Int64 // by channel
	failed  error          // after running
	quit    context.CancelFunc
	running sync.WaitGroup
}

func sprayChannel(i int) string { return fmt.Sprintf("herd:%d", i) }

// startSpray publishes at a rate over all channels, until stop.
func startSpray(ctx context.Context, d dialer, channels int, rate float64) (*spray, error) {
	conn, err := pace{dialer: d}.open(ctx)
	if err != nil {
		return nil, err
	}
	p := &spray{conn: conn, sent: make([]atomic.Int64, channels)}
	ctx, p.quit = context.WithCancel(ctx)
	p.running.Go(func() {
		began := now()
		for n := 0; p.failed == nil; n++ {
			due := began + time.Duration(float64(n)/rate*float64(time.Second))
			rest(ctx, due-now())
			if ctx.Err() != nil {
				return
			}
			i := n % channels
			number := p.sent[i].Load() + 1
			if p.failed = conn.do(publishCommand(sprayChannel(i), stamp{number, due}, nil)); p.failed == nil {
				p.sent[i].Store(number)
			}
		}
	})
	return p, nil
}

// stop ends the publishing, and returns what went wrong.
func (p *spray) stop() error {
	p.quit()
	p.running.Wait()
	p.conn.abort()
	return p.failed
}
