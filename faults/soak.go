package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// soak lets clients come and go for a long time, and looks for what grows.
func soak(ctx context.Context, t *trial) error {
	secure := freeAddr()
	_, port, _ := net.SplitHostPort(secure)
	// With TLS the clients that stay take so much memory that 1 % of it is more than the garbage of a moment.
	staying := gathering{channel: "steady", members: scaled(t, 4000, 100), dialer: dialer{addr: secure, secure: true}}
	s, a, end, err := t.serve(ctx, staying, pace{rate: 0.5, size: 200}, "-tls-self-signed", "-tls-port", port)
	if err != nil {
		return err
	}
	defer end()
	c := t.startChurn(ctx, s.addr, 200)
	defer c.end()
	// To be observed takes memory, too: the warm-up has it already.
	if _, err := s.observe(ctx, scaled(t, 3*time.Minute, 15*time.Second)); err != nil {
		return err
	}
	seen, err := s.observe(ctx, scaled(t, 10*time.Minute, 30*time.Second))
	if err != nil {
		return err
	}
	c.end()
	seen.checkFlat(t)
	tally := a.settle(ctx)
	t.check(tally.right() && tally.ended == 0, "clients that stay hear each event once, in order",
		"%d events heard, %d lost, %d doubled, %d connections ended", tally.delivered, tally.lost, tally.doubled, tally.ended)
	t.check(c.failed.Load() == 0 && c.stays.Load() > 0, "clients that come and go are served",
		"%d stays, %d of which were not served%s", c.stays.Load(), c.failed.Load(), c.why())
	left := func() float64 { return s.read("rocket_connections") }
	err = t.until(ctx, patience, "clients that have left are gone", func() bool { return left() == float64(len(a.members)) })
	t.check(err == nil, "no connection is left behind", "%.0f connections, of %d that should be there", left(), len(a.members))
	return nil
}

// observed is what a server used, second by second.
type observed struct {
	resident   []float64 // MiB
	files      []float64
	goroutines []float64
	took       time.Duration
}

// observe looks at the process every second, for d.
func (s *server) observe(ctx context.Context, d time.Duration) (*observed, error) {
	o := &observed{took: d}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range int(d / time.Second) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		m, err := s.metrics()
		if err != nil {
			return nil, err
		}
		o.resident = append(o.resident, mib(s.resident()))
		o.files = append(o.files, float64(s.files()))
		o.goroutines = append(o.goroutines, m.sum("go_goroutines"))
	}
	return o, nil
}

// checkFlat leaves findings on what grows.
func (o *observed) checkFlat(t *trial) {
	for _, q := range []struct {
		name   string
		values []float64
		format string
	}{
		{"resident memory", o.resident, "%.1f MiB"},
		{"open files", o.files, "%.0f"},
		{"goroutines", o.goroutines, "%.0f"},
	} {
		slope, level := 100*slopePer(q.values, 600), mean(q.values)
		t.checkSpeed(slope < 1 && level > 0, q.name+" does not grow by 1 % in 10 minutes",
			"%+.2f %% per 10 minutes; "+q.format+" on average, in %d samples over %v", slope, level, len(q.values), o.took)
	}
}

func mean(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total / float64(max(len(values), 1))
}

// slopePer is by what share of their mean the values rise over n of them, by the line that fits them best.
func slopePer(values []float64, n int) float64 {
	middle, level := float64(len(values)-1)/2, mean(values)
	var above, squares float64
	for i, v := range values {
		x := float64(i) - middle
		above += x * (v - level)
		squares += x * x
	}
	if squares == 0 || level == 0 {
		return 0
	}
	return above / squares * float64(n) / level
}

// churn is clients that come, say something and go.
type churn struct {
	stays  atomic.Int64
	failed atomic.Int64
	reason atomic.Pointer[error]

	quit    context.CancelFunc
	running sync.WaitGroup
}

// startChurn lets rate clients come each second.
func (t *trial) startChurn(ctx context.Context, addr string, rate int) *churn {
	ctx, quit := context.WithCancel(ctx)
	c := &churn{quit: quit}
	c.running.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			c.running.Go(func() { c.visit(ctx, dialer{addr: addr}, n) })
		}
	})
	return c
}

// visit is one stay of about a second: in a channel that others are in, with a few publishes, and with mistakes.
func (c *churn) visit(ctx context.Context, d dialer, n int) {
	conn, err := d.join(ctx, fmt.Sprintf("room-%d", n%97), "")
	if err == nil {
		err = c.talk(ctx, conn, n)
	}
	if err != nil && ctx.Err() == nil {
		c.failed.Add(1)
		c.reason.CompareAndSwap(nil, &err)
	}
	c.stays.Add(1)
}

func (c *churn) talk(ctx context.Context, conn *client, n int) error {
	defer conn.abort() // every second one leaves without a word
	commands := []string{
		login("read-write", ""),
		subscribe(fmt.Sprintf("of-my-own-%d", n)),
		fmt.Sprintf(`{"publish":{"event":"e","channel":"room-%d","data":{"n":%d}}}`, n%97, n),
		fmt.Sprintf(`{"unsubscribe":{"channel":"room-%d"}}`, n%97),
		`{"logout":true}`,
	}
	for _, command := range commands {
		if err := conn.do(command); err != nil {
			return err
		}
	}
	rest(ctx, rand.N(2*time.Second))
	if n%2 == 0 {
		return conn.send(`{"disconnect":true}`)
	}
	return nil
}

func (c *churn) why() string {
	if err := c.reason.Load(); err != nil {
		return fmt.Sprintf(", the first because of: %v", *err)
	}
	return ""
}

// end stops new clients, and waits until all have gone.
func (c *churn) end() {
	c.quit()
	c.running.Wait()
}
