package faults

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// load publishes to an audience, one event after the other, each when it is due.
type load struct {
	t       *trial
	channel string
	sent    atomic.Int64 // the number of the last one
	failed  atomic.Int64 // connections of the publisher that have ended

	asked, answered atomic.Int64 // publishes on the present connection, and replies

	quit    context.CancelFunc
	running sync.WaitGroup
}

// pace says what a load publishes.
type pace struct {
	dialer  dialer
	secret  string
	rate    float64 // per second
	size    int     // bytes of data; at least those of a stamp
	returns bool    // the publisher connects again when its connection has ended
}

// publish starts to publish, until stop.
func (l *load) publish(ctx context.Context, p pace) error {
	c, err := p.open(ctx)
	if err != nil {
		return err
	}
	ctx, l.quit = context.WithCancel(ctx)
	l.running.Go(func() { l.run(ctx, c, p) })
	return nil
}

// open connects and logs in.
func (p pace) open(ctx context.Context) (*client, error) {
	c, err := p.dialer.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.do(login("read-write", p.secret)); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

func (l *load) run(ctx context.Context, c *client, p pace) {
	for {
		l.asked.Store(0)
		l.answered.Store(0)
		var reading sync.WaitGroup
		reading.Go(func() { l.acknowledge(c) })
		l.send(ctx, c, p)
		if ctx.Err() != nil {
			l.awaitReplies()
		}
		c.abort()
		reading.Wait()
		if ctx.Err() != nil {
			return
		}
		l.failed.Add(1)
		for again := false; !again; {
			if !p.returns || ctx.Err() != nil {
				return
			}
			rest(ctx, 20*time.Millisecond)
			var err error
			c, err = p.open(ctx)
			again = err == nil
		}
	}
}

// send publishes what is due until ctx is done or the connection ends.
func (l *load) send(ctx context.Context, c *client, p pace) {
	fill := bytes.Repeat([]byte("x"), max(p.size-stampLen, 0))
	interval := time.Duration(float64(time.Second) / p.rate)
	due := now()
	for {
		rest(ctx, due-now())
		if ctx.Err() != nil {
			return
		}
		n := l.sent.Add(1)
		l.asked.Add(1)
		if err := c.send(publishCommand(l.channel, stamp{n, due}, fill)); err != nil {
			return
		}
		due += interval
	}
}

// acknowledge counts replies until the connection ends.
func (l *load) acknowledge(c *client) {
	for {
		_ = c.conn.SetReadDeadline(time.Time{}) // it fails if the connection has ended, and so does receive
		b, err := c.receive()
		if err != nil {
			c.abort()
			var end *closed
			if errors.As(err, &end) {
				l.t.notef("the publisher was %v", end)
			}
			return
		}
		if bytes.Contains(b, []byte(`"err"`)) {
			l.t.notef("a publish was answered with %s", b)
		}
		l.answered.Add(1)
	}
}

// awaitReplies waits until the server has taken everything: to end the connection before could take some of it away.
func (l *load) awaitReplies() {
	// Missing replies are no error here: events are then lost, and the audience reports that.
	_ = l.t.until(context.Background(), 10*time.Second, "replies", func() bool { return l.answered.Load() >= l.asked.Load() })
}

// stop ends the load; what it has published may still be on its way.
func (l *load) stop() {
	if l.quit == nil {
		return
	}
	l.quit()
	l.running.Wait()
	l.quit = nil
}
