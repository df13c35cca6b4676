package faults

import (
	"context"
	"sync/atomic"
	"time"
)

// crowd is subscribers of one channel that all do the same at the same time. A few goroutines serve all of them: with
// one for each, the goroutines of others would wait for their turn, and it would look like the server's fault.
type crowd struct {
	dialer  dialer
	channel string
	clients []*client // nil where there is none
}

func newCrowd(d dialer, channel string, n int) *crowd {
	return &crowd{dialer: d, channel: channel, clients: make([]*client, n)}
}

// gather connects and subscribes all. First all send their opening handshake, and only then the answers are read.
func (c *crowd) gather(ctx context.Context) error {
	auth, join := login("read-only", ""), subscribe(c.channel)
	steps := []func(i int) error{
		func(i int) (err error) {
			c.clients[i], err = c.dialer.knock(ctx)
			return err
		},
		func(i int) error { return c.clients[i].enter() },
		func(i int) error { return c.clients[i].send(auth) },
		func(i int) error { return c.clients[i].reply(auth) },
		func(i int) error { return c.clients[i].send(join) },
		func(i int) error { return c.clients[i].reply(join) },
	}
	for _, step := range steps {
		if err := each(len(c.clients), step); err != nil {
			return err
		}
	}
	return nil
}

// scatter ends all connections with resets.
func (c *crowd) scatter() {
	for _, one := range c.clients {
		if one != nil {
			one.abort()
		}
	}
}

// hear publishes an event and returns how many hear it.
func (c *crowd) hear(ctx context.Context) (int, error) {
	publisher, err := pace{dialer: c.dialer}.open(ctx)
	if err != nil {
		return 0, err
	}
	defer publisher.abort()
	want := stamp{number: 1, due: now()}
	if err := publisher.do(publishCommand(c.channel, want, nil)); err != nil {
		return 0, err
	}
	var heard atomic.Int64
	err = each(len(c.clients), func(i int) error {
		one := c.clients[i]
		_ = one.conn.SetReadDeadline(time.Now().Add(patience)) // it fails if the connection has ended, and so does receive
		b, err := one.receive()
		if got, ok := parseStamp(b); ok && got == want {
			heard.Add(1)
		}
		return err
	})
	return int(heard.Load()), err
}
