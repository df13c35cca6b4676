package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A scribe publishes to a channel of its own: 0, 1, 2 and so on, each with a key, again and again
// until it has an ok, at the next node if its own is gone. So each number should be heard once.
type scribe struct {
	stored  *stored
	channel string
	at      int // node; its goroutine alone

	mu      sync.Mutex
	acked   int // events with an ok
	last    time.Time
	longest time.Duration // between two oks, since takeLongest
	refused int           // answers that say unavailable, since takeRefused
	err     error         // why it could not go on
}

func (w *scribe) acknowledged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

func (w *scribe) takeLongest() (d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, w.longest = w.longest, 0
	return d
}

func (w *scribe) takeRefused() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, w.refused = w.refused, 0
	return n
}

func (w *scribe) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// run publishes until ctx is done.
func (w *scribe) run(ctx context.Context) {
	for ctx.Err() == nil && w.failed() == nil {
		if c, err := (dialer{addr: w.stored.nodes[w.at].addr}).open(ctx); err == nil {
			end := context.AfterFunc(ctx, c.abort)
			w.talk(ctx, c)
			end()
			c.abort()
		}
		w.at = (w.at + 1) % nodesCount
		rest(ctx, 50*time.Millisecond)
	}
}

// talk publishes until the connection ends.
func (w *scribe) talk(ctx context.Context, c *client) {
	command := login("read-write", "")
	for n := -1; ctx.Err() == nil; {
		_ = c.conn.SetReadDeadline(time.Now().Add(patience)) // it fails if the connection has ended, and so does do
		err := c.do(command)
		var no replyError
		switch {
		case err == nil:
			n = w.took(n)
			command = fmt.Sprintf(`{"publish":{"event":"e","channel":%q,"data":%d,"key":"%d"}}`, w.channel, n, n)
			rest(ctx, 5*time.Millisecond)
		case errors.As(err, &no) && (no == "unavailable" || no == "overloaded"):
			w.wasRefused()
			rest(ctx, 50*time.Millisecond)
		case no != "":
			w.fail(err)
			return
		default:
			return
		}
	}
}

// took notes that event n has an ok, -1 the login, and returns the next one.
func (w *scribe) took(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n >= 0 {
		now := time.Now()
		if !w.last.IsZero() {
			w.longest = max(w.longest, now.Sub(w.last))
		}
		w.acked, w.last = n+1, now
	}
	return w.acked
}

func (w *scribe) wasRefused() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused++
}

func (w *scribe) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}
