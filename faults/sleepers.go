package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// sleepers are subscribers that do not read.
type sleepers struct{ clients []*client }

// stall adds subscribers that stop to read once they are subscribed, each to the channel of its place. The kernel takes
// little for them.
func (t *trial) stall(ctx context.Context, d dialer, n int, channel func(place int) string) (*sleepers, error) {
	d.buffer = 4 << 10
	var mu sync.Mutex
	var crowd sleepers
	err := each(n, func(i int) error {
		c, err := d.join(ctx, channel(i), "")
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		crowd.clients = append(crowd.clients, c)
		return nil
	})
	if err != nil {
		crowd.end()
		return nil, err
	}
	return &crowd, nil
}

// end ends their connections with resets.
func (w *sleepers) end() {
	for _, c := range w.clients {
		c.abort()
	}
}

// awakening is what sleepers find when they read on until their connections end.
type awakening struct {
	events   int64 // what was kept for them
	gaps     int64 // between those
	told     int64 // sleepers that were closed with the code, and told the reason
	lastWord error // of the last one that was not
}

// why says how the connection of a sleeper ended that got no Close frame, if there is one.
func (a awakening) why() string {
	if a.lastWord == nil {
		return ""
	}
	return fmt.Sprintf(" (%v)", a.lastWord)
}

// wake lets all of them read on.
func (w *sleepers) wake(code uint16) awakening {
	var mu sync.Mutex
	var all awakening
	_ = each(len(w.clients), func(i int) error { // what goes wrong is in their awakening
		one := w.clients[i].wake(code)
		mu.Lock()
		defer mu.Unlock()
		all.add(one)
		return nil
	})
	return all
}

func (a *awakening) add(one awakening) {
	a.events += one.events
	a.gaps += one.gaps
	a.told += one.told
	if one.lastWord != nil {
		a.lastWord = one.lastWord
	}
}

// wake reads until the connection ends.
func (c *client) wake(code uint16) awakening {
	var a awakening
	next := int64(0) // 0 before the first event
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(patience)) // it fails if the connection has ended, and so does receive
		b, err := c.receive()
		if err != nil {
			a.ended(err, code)
			return a
		}
		s, ok := parseStamp(b)
		if !ok || next > 0 && s.number != next {
			a.gaps++
		}
		next = s.number + 1
		a.events++
	}
}

// ended takes the end of one connection.
func (a *awakening) ended(err error, code uint16) {
	var end *closed
	if errors.As(err, &end) && end.code == code && end.reason != "" {
		a.told++
		return
	}
	a.lastWord = err
}
