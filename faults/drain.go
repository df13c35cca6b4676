package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// drain ends a server that closes its clients little by little.
func drain(ctx context.Context, t *trial) error {
	for _, part := range []func(context.Context, *trial) error{drainEvenly, drainTwice, drainUntilEmpty, takeOver} {
		if err := part(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// drained is a server that is drained under load.
type drained struct {
	t      *trial
	s      *server
	quick  *audience
	slow   *audience
	window time.Duration
	begun  time.Duration // since epoch: when the signal was sent
}

// drainEvenly ends a server with SIGTERM while it is busy.
func drainEvenly(ctx context.Context, t *trial) error {
	d := &drained{t: t, window: scaled(t, 10*time.Second, 2*time.Second)}
	var err error
	d.s, err = t.startServer(ctx, "-drain", d.window.String(), "-send-buffer", "16384")
	if err != nil {
		return err
	}
	defer d.s.stop()
	at := dialer{addr: d.s.addr}
	// The slow ones come first, so that they are sent away first, when most is queued for them; the publisher comes last.
	d.slow, err = t.gather(ctx, gathering{
		channel: "slow", members: scaled(t, 50, 20), lag: scaled(t, 4*time.Second, 1500*time.Millisecond),
		dialer: dialer{addr: d.s.addr, buffer: 4 << 10},
	})
	if err != nil {
		return err
	}
	defer d.slow.end()
	if d.quick, err = t.gather(ctx, gathering{channel: "quick", members: scaled(t, 3000, 600), dialer: at}); err != nil {
		return err
	}
	defer d.quick.end()
	queued, err := d.fill(ctx)
	if err != nil {
		return err
	}
	if err := d.quick.load.publish(ctx, pace{dialer: at, rate: quickRate, size: 200}); err != nil {
		return err
	}
	rest(ctx, time.Second/4)
	if err := d.terminate(ctx); err != nil {
		return err
	}
	d.checkCloses()
	d.checkDelivery(queued)
	return nil
}

// quickRate is how many events a second each member hears while the server drains.
const quickRate = 10

// fill publishes what the slow ones have not read when the drain begins. It returns how much the server keeps for them.
func (d *drained) fill(ctx context.Context) (queued float64, err error) {
	load := d.slow.load
	if err := load.publish(ctx, pace{dialer: dialer{addr: d.s.addr}, rate: 50, size: 4000}); err != nil {
		return 0, err
	}
	rest(ctx, d.slow.lag*3/4)
	load.stop()
	return d.s.read("rocket_queue_bytes"), nil
}

// terminate sends SIGTERM, and looks at the doors until the end.
func (d *drained) terminate(ctx context.Context) error {
	d.begun = now()
	if err := d.s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := d.t.until(ctx, patience, "the server is not ready", func() bool { return d.s.says("/readyz") == http.StatusServiceUnavailable })
	if err != nil {
		return err
	}
	d.t.check(now()-d.begun < time.Second, "/readyz says 503 within a second", "after %s", millis(now()-d.begun))
	doors := d.watchDoors(ctx)
	status, err := d.s.waitEnd(ctx, d.window+patience)
	if err != nil {
		return err
	}
	took := now() - d.begun
	d.t.check(status == 0 && took < d.window+10*time.Second, "it ends with status 0, at the latest 10 s after the window",
		"status %d after %.1f s", status, took.Seconds())
	let, refusals, shutAt := doors()
	d.t.check(refusals > 0 && let == 0, "clients that connect later than that, and a last call of a second, are refused",
		"the port was closed after %s; then %d were refused, %d let in", millis(shutAt-d.begun), refusals, let)
	return nil
}

// watchDoors connects again and again until the server has ended. The function that it returns waits for that, and
// returns when the first connection was refused and what happened to the others.
func (d *drained) watchDoors(ctx context.Context) func() (let, refusals int, shutAt time.Duration) {
	var let, refusals int
	var shutAt time.Duration
	var watching sync.WaitGroup
	at := dialer{addr: d.s.addr}
	watching.Go(func() {
		for !d.s.hasEnded() && ctx.Err() == nil {
			conn, err := at.dialTCP(ctx)
			switch {
			case err == nil:
				conn.Close()
				if shutAt > 0 {
					let++
				}
			case errors.Is(err, syscall.ECONNREFUSED):
				if shutAt == 0 {
					shutAt = now()
				}
				refusals++
			}
			rest(ctx, 50*time.Millisecond)
		}
	})
	return func() (int, int, time.Duration) {
		watching.Wait()
		return let, refusals, shutAt
	}
}

// checkCloses looks at when clients were closed.
func (d *drained) checkCloses() {
	ends := d.quick.ends()
	var times []time.Duration
	for _, e := range ends {
		if e.code == 1001 {
			times = append(times, e.at-d.begun)
		}
	}
	all := d.quick.gathering.members
	d.t.check(len(times) == all && len(ends) == all, "everybody gets a Close frame with 1001", "%d of %d clients", len(times), all)
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	tenths := shares(times, d.window, 10)
	d.t.checkSpeed(slices.Max(tenths) <= 2*len(times)/10 && slices.Min(tenths) > 0,
		"closes are spread over the window: each tenth has some, and none more than twice its share",
		"shares of a thousand: %v", perMille(tenths))
	first, last := times[0], times[len(times)-1]
	d.t.checkSpeed(first < d.window/10 && last < d.window+time.Second/2,
		"the first comes within a tenth of the window, the last half a second after it at the latest",
		"after %s and %s of %v", millis(first), millis(last), d.window)
	halves := shares(times, d.window, 2)
	d.t.check(halves[0] > 0 && halves[1] > 0, "closes come in both halves of the window", "%d and %d", halves[0], halves[1])
}

// shares counts how many of the times are in each of n equal parts of the window. What is outside counts for the nearest.
func shares(times []time.Duration, window time.Duration, n int) []int {
	counts := make([]int, n)
	for _, at := range times {
		counts[min(max(int(at*time.Duration(n)/window), 0), n-1)]++
	}
	return counts
}

// perMille is each count's share of all of them.
func perMille(counts []int) []int {
	total := 0
	for _, n := range counts {
		total += n
	}
	parts := make([]int, len(counts))
	for i, n := range counts {
		parts[i] = n * 1000 / max(total, 1)
	}
	return parts
}

// checkDelivery looks at what came before the Close frames.
func (d *drained) checkDelivery(queued float64) {
	quick := d.quick.tally(0)
	var oldest time.Duration
	for _, e := range d.quick.ends() {
		oldest = max(oldest, e.at-e.heard.due)
	}
	const allowed = time.Second/quickRate + time.Second
	d.t.check(quick.right() && oldest < allowed,
		"everybody hears every event until the Close frame, once, in order: the last is at most a second older than the rate explains",
		"%d events heard, %d lost, %d doubled; the last one at most %s before the Close frame",
		quick.delivered, quick.lost, quick.doubled, millis(oldest))
	sent, whole, closed := d.slow.load.sent.Load(), 0, 0
	for _, e := range d.slow.ends() {
		if e.heard.number == sent {
			whole++
		}
		if e.code == 1001 {
			closed++
		}
	}
	slow, all := d.slow.tally(0), d.slow.gathering.members
	d.t.check(slow.right() && whole == all && closed == all && queued > 0,
		"slow readers get all that was queued for them, then the Close frame with 1001",
		"%d of %d heard all %d events, %d a Close frame; %.1f MiB were queued when the drain began",
		whole, all, sent, closed, mib(int64(queued)))
}

// drainTwice sends SIGTERM a second time during a drain.
func drainTwice(ctx context.Context, t *trial) error {
	s, err := t.startServer(ctx, "-drain", "60s")
	if err != nil {
		return err
	}
	defer s.stop()
	a, err := t.gather(ctx, gathering{channel: "c", members: 200, dialer: dialer{addr: s.addr}})
	if err != nil {
		return err
	}
	defer a.end()
	if err := s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := t.until(ctx, patience, "the drain has begun", func() bool { return !s.isReady() }); err != nil {
		return err
	}
	began := time.Now()
	if err := s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	status, err := s.waitEnd(ctx, patience)
	if err != nil {
		return err
	}
	took := time.Since(began)
	t.check(status == 1 && took < 5*time.Second, "a second SIGTERM ends it at once, with status 1", "status %d after %s", status, millis(took))
	return nil
}

// drainUntilEmpty drains with SIGUSR2 while a client does not answer its Close frame. SIGTERM would not wait so long.
func drainUntilEmpty(ctx context.Context, t *trial) error {
	patient := scaled(t, 13*time.Second, time.Second)
	s, err := t.startServer(ctx, "-drain", "1s", "-close-timeout", patient.String())
	if err != nil {
		return err
	}
	defer s.stop()
	a, err := t.gather(ctx, gathering{channel: "c", members: 300, dialer: dialer{addr: s.addr}})
	if err != nil {
		return err
	}
	defer a.end()
	deaf, err := dialer{addr: s.addr}.join(ctx, "c", "")
	if err != nil {
		return err
	}
	defer deaf.abort()
	began := time.Now()
	if err := s.signal(syscall.SIGUSR2); err != nil {
		return err
	}
	err = t.until(ctx, patience, "everybody but one has gone", func() bool { return a.connected.Load() == 0 && s.read("rocket_connections") == 1 })
	if err != nil {
		return err
	}
	left := time.Since(began)
	status, err := s.waitEnd(ctx, patient+patience)
	if err != nil {
		return err
	}
	took := time.Since(began)
	t.check(status == 0 && took >= patient,
		fmt.Sprintf("SIGUSR2: it ends when the last client has gone, which has %v for the closing handshake, with status 0", patient),
		"all but one had gone after %s; status %d after %s", millis(left), status, millis(took))
	return nil
}
