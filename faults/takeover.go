package faults

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// takeOver starts a second server at the port of a first one, and drains the first, while clients connect.
func takeOver(ctx context.Context, t *trial) error {
	window := scaled(t, 5*time.Second, time.Second)
	old, err := t.startServer(ctx, "-reuse-port", "-drain", window.String())
	if err != nil {
		return err
	}
	defer old.stop()
	at := dialer{addr: old.addr}
	a, err := t.gather(ctx, gathering{channel: "c", members: scaled(t, 1000, 200), dialer: at, returns: true})
	if err != nil {
		return err
	}
	defer a.end()
	v := invite(ctx, at, 8)
	defer v.end()
	next := old.successor()
	if err := next.start(ctx); err != nil {
		return err
	}
	defer next.stop()
	moment := scaled(t, time.Second/2, time.Second/10)
	rest(ctx, moment)
	status, err := old.yieldTo(ctx, next, a, window)
	if err != nil {
		return err
	}
	rest(ctx, moment)
	v.end()
	m, err := next.metrics()
	if err != nil {
		return err
	}
	v.check(t, status)
	ended, let := a.tally(0).code[1001], m.sum("rocket_connections_accepted_total")
	t.check(ended > 0 && ended <= int64(len(a.members)) && let >= float64(ended),
		"the clients that the old one closes come to the new one", "%d closed with 1001, %d connected; the new one has let in %v",
		ended, a.connected.Load(), let)
	return nil
}

// yieldTo drains the server, and waits until everybody has come to the next one. It returns its exit status.
func (s *server) yieldTo(ctx context.Context, next *server, a *audience, window time.Duration) (status int, err error) {
	if err := s.signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	if status, err = s.waitEnd(ctx, window+patience); err != nil {
		return 0, err
	}
	members := len(a.members)
	return status, s.t.until(ctx, patience, "everybody has come to the new server", func() bool {
		return next.read("rocket_subscriptions") >= float64(members) && a.connected.Load() == int64(members)
	})
}

// check leaves findings on how visitors were received. status is that of the server that has ended meanwhile.
func (v *visitors) check(t *trial, status int) {
	t.check(len(v.refused) == 0 && status == 0 && v.served.Load() > 0,
		"two processes at one port, the old one drains: none of the clients that connect all the time is refused",
		"%d served, %d sent away with 1001, %d refused %v; the old one ended with status %d",
		v.served.Load(), v.sent.Load(), len(v.refused), v.refused[:min(len(v.refused), 3)], status)
	t.checkSpeed(time.Duration(v.worst.Load()) < 2*time.Second, "a visit takes less than 2 s: a client that meets the last call connects again a second later",
		"at most %s", millis(time.Duration(v.worst.Load())))
}

// successor is a server at the same port, with an admin port of its own.
func (s *server) successor() *server {
	return &server{t: s.t, addr: s.addr, admin: freeAddr(), args: s.args, limit: s.limit}
}

// visitors come and go all the time.
type visitors struct {
	at      dialer
	served  atomic.Int64
	sent    atomic.Int64 // away with 1001, once they were in
	worst   atomic.Int64 // time.Duration of a visit
	mu      sync.Mutex
	refused []error
	leave   context.CancelFunc
	inside  sync.WaitGroup
}

// invite lets so many visitors at a time come.
func invite(ctx context.Context, at dialer, n int) *visitors {
	ctx, leave := context.WithCancel(ctx)
	v := &visitors{at: at, leave: leave}
	for range n {
		v.inside.Go(func() {
			for ctx.Err() == nil {
				v.visit()
				rest(ctx, 5*time.Millisecond)
			}
		})
	}
	return v
}

// visit connects, subscribes and leaves.
func (v *visitors) visit() {
	began := time.Now()
	c, err := v.at.join(context.Background(), "c", "")
	var goodbye *closed
	switch {
	case err == nil:
		c.abort()
		v.served.Add(1)
	case errors.As(err, &goodbye) && goodbye.code == 1001:
		v.sent.Add(1)
	default:
		v.mu.Lock()
		v.refused = append(v.refused, err)
		v.mu.Unlock()
	}
	for took := int64(time.Since(began)); ; {
		worst := v.worst.Load()
		if took <= worst || v.worst.CompareAndSwap(worst, took) {
			return
		}
	}
}

// end waits until all have left.
func (v *visitors) end() {
	v.leave()
	v.inside.Wait()
}
