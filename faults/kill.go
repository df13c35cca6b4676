package faults

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// killed is a server that is killed and started again while clients come back.
type killed struct {
	t    *trial
	s    *server
	a    *audience
	unix string // the socket's file, which a killed server leaves behind
	pid  string // the pid file, too

	unclean []string // what was not as it should be after a start
	ready   []time.Duration
	served  []time.Duration
}

// kill kills the server again and again.
func kill(ctx context.Context, t *trial) error {
	times, members := scaled(t, 50, 5), scaled(t, 1000, 200)
	k := &killed{t: t, unix: filepath.Join(t.dir, "socket"), pid: filepath.Join(t.dir, "pid")}
	var end func()
	var err error
	k.s, k.a, end, err = t.serve(ctx, gathering{channel: "c", members: members, returns: true}, pace{rate: 20, size: 200, returns: true},
		"-unix", k.unix, "-pid-file", k.pid)
	if err != nil {
		return err
	}
	defer end()
	if err := k.awaitServed(ctx, k.a.load.sent.Load()); err != nil {
		return err
	}
	for i := range times {
		if err := k.round(ctx, i%5 == 4); err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
	}
	k.report(ctx, times)
	return nil
}

// round kills the server and waits until everybody is served again. Twice is a kill in the middle of that, too.
func (k *killed) round(ctx context.Context, twice bool) error {
	mark, began, err := k.restart(ctx)
	if err != nil {
		return err
	}
	if twice {
		if err := k.t.until(ctx, patience, "the publisher is back", func() bool { return k.a.load.sent.Load() > mark }); err != nil {
			return err
		}
		if mark, began, err = k.restart(ctx); err != nil {
			return err
		}
	}
	if err := k.awaitServed(ctx, mark); err != nil {
		return err
	}
	k.served = append(k.served, time.Since(began))
	return k.inspect(ctx)
}

// restart kills the server and starts it again. It returns the number of the last event before, and when it was started.
func (k *killed) restart(ctx context.Context) (mark int64, began time.Time, err error) {
	failed := k.a.load.failed.Load()
	if err := k.s.signal(syscall.SIGKILL); err != nil {
		return 0, began, err
	}
	<-k.s.ended
	// The publisher counts events that it cannot deliver: it must know of the new connection before a member listens
	// again.
	err = k.t.until(ctx, patience, "the publisher knows", func() bool { return k.a.load.failed.Load() > failed })
	if err != nil {
		return 0, began, err
	}
	mark, began = k.a.load.sent.Load(), time.Now()
	if err := k.s.start(ctx); err != nil {
		return 0, began, err
	}
	k.ready = append(k.ready, time.Since(began))
	return mark, began, nil
}

// awaitServed waits until everybody is connected and hears what is published.
func (k *killed) awaitServed(ctx context.Context, mark int64) error {
	return k.t.until(ctx, 2*patience, "everybody is served", func() bool { return k.a.allAbove(mark) })
}

// inspect looks whether the server is as after a clean start, and counts as we do.
func (k *killed) inspect(ctx context.Context) error {
	if !k.s.log.isCalm() {
		k.unclean = append(k.unclean, "its log: "+k.s.log.String())
	}
	if b, err := os.ReadFile(k.pid); err != nil || strings.TrimSpace(string(b)) != fmt.Sprint(k.s.pid()) {
		k.unclean = append(k.unclean, fmt.Sprintf("the pid file says %q: %s", b, said(err, "not its pid")))
	}
	m, err := k.s.metrics()
	if err != nil {
		return err
	}
	members := float64(k.a.gathering.members)
	for _, want := range []struct {
		name  string
		value float64
	}{
		{"rocket_connections", members + 1},
		{"rocket_connections_accepted_total", members + 1},
		{"rocket_subscriptions", members},
		{"rocket_channels", 1},
		{"rocket_disconnects_total", 0},
	} {
		if got := m.sum(want.name); got != want.value {
			k.unclean = append(k.unclean, fmt.Sprintf("%s is %v, not %v", want.name, got, want.value))
		}
	}
	if err := k.knock(ctx); err != nil {
		k.unclean = append(k.unclean, "the socket's file: "+err.Error())
	}
	return nil
}

// knock asks the socket's file for a connection.
func (k *killed) knock(ctx context.Context) error {
	var nd net.Dialer
	conn, err := nd.DialContext(ctx, "unix", k.unix)
	if err != nil {
		return err
	}
	c := &client{conn: conn, in: bufio.NewReader(conn)}
	defer c.abort()
	return c.upgrade(dialer{addr: "localhost"})
}

func (k *killed) report(ctx context.Context, times int) {
	kills := fmt.Sprintf("%d kills", len(k.ready))
	if len(k.unclean) > 0 {
		k.t.notef("not clean: %v", k.unclean)
	}
	k.t.check(len(k.served) == times && len(k.unclean) == 0,
		"each time it starts clean at the same address, its files left over, and counts all clients and subscriptions once",
		"%s, %d starts not clean", kills, len(k.unclean))
	k.t.checkSpeed(slices.Max(k.ready) < 2*time.Second, "it is ready 2 s after its start", "%s", spread(k.ready))
	k.t.checkSpeed(slices.Max(k.served) < 5*time.Second,
		"all clients, which wait up to a second before each attempt, are served again 5 s after the start", "%s", spread(k.served))
	tally := k.a.settle(ctx)
	k.t.check(tally.right(), "on each connection events come once, in order, without a gap",
		"%d events heard on %d connections, %d lost, %d doubled",
		tally.delivered, int64(k.a.gathering.members)+k.a.rejoined.Load(), tally.lost, tally.doubled)
}

// spread is a summary of times for the table.
func spread(times []time.Duration) string {
	sorted := slices.Sorted(slices.Values(times))
	return fmt.Sprintf("median %s, at most %s", millis(sorted[len(sorted)/2]), millis(sorted[len(sorted)-1]))
}
