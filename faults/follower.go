package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A follower is a subscriber of a channel with a history that keeps its position, and comes back with it. The events of
// the channel are numbered: what is missing between two of them must have been told.
type follower struct {
	dialer  dialer
	channel string
	conn    *client // nil while it is away

	epoch  string // of its position; empty: it has none
	offset uint64
	top    uint64 // what comes up to it is older than the subscription
	passed bool   // the channel kept no history for a while since the position: the offset may skip some
	next   int64  // number that comes next; 0: any, for it was told that some are missing

	followed
}

// followed is what followers have met.
type followed struct {
	heard, missing, doubled int64
	misplaced               int64 // offsets that do not follow the position, or an epoch that changes
	replayed                int64 // events that were published while they were away
	joined, recovered       int64
	told                    map[string]int64 // by reason: some may be missing
	notices                 int64            // of lost events
}

// message is what a follower looks at of a message.
type message struct {
	OK        bool    `json:"ok"`
	Err       string  `json:"err"`
	Epoch     string  `json:"epoch"`
	Offset    uint64  `json:"offset"`
	Top       uint64  `json:"top"`
	Recovered *bool   `json:"recovered"`
	Reason    string  `json:"reason"`
	Lost      *uint64 `json:"lost"`
	Event     string  `json:"event"`
	Expires   float64 `json:"expires"`
}

// subscribeCommand asks for what is behind the position.
func (f *follower) subscribeCommand() string {
	if f.epoch == "" {
		return subscribe(f.channel)
	}
	return fmt.Sprintf(`{"subscribe":{"channel":%q,"since":{"epoch":%q,"offset":%d}}}`, f.channel, f.epoch, f.offset)
}

// come connects, and subscribes behind the position.
func (f *follower) come(ctx context.Context) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	return f.begin()
}

// enter connects and logs in.
func (f *follower) enter(ctx context.Context) error {
	c, err := f.dialer.open(ctx)
	if err != nil {
		return err
	}
	f.conn = c
	return c.do(login("read-only", ""))
}

// begin subscribes behind the position.
func (f *follower) begin() error {
	if err := f.conn.send(f.subscribeCommand()); err != nil {
		return err
	}
	return f.reply()
}

// reply reads the reply to subscribe.
func (f *follower) reply() error {
	m, _, err := f.read()
	if err != nil {
		return err
	}
	if !m.OK {
		return fmt.Errorf("subscribe: %w", replyError(m.Err))
	}
	f.began(m)
	return nil
}

// began takes in where a subscription begins.
func (f *follower) began(m message) {
	f.joined++
	switch {
	case f.epoch == "":
		f.next = 0 // it has not asked
	case m.Recovered != nil && *m.Recovered:
		f.recovered++
		if m.Epoch != f.epoch || m.Offset != f.offset {
			f.misplaced++
		}
	default:
		f.tell(m.Reason)
	}
	f.passed = m.Epoch == ""
	if m.Epoch != "" {
		f.epoch, f.offset, f.top = m.Epoch, m.Offset, m.Top
	}
}

// tell takes in that some may be missing.
func (f *follower) tell(reason string) {
	if f.told == nil {
		f.told = map[string]int64{}
	}
	f.told[reason]++
	f.next = 0
}

// read returns the next message, and the stamp of an event.
func (f *follower) read() (m message, s stamp, err error) {
	_ = f.conn.conn.SetReadDeadline(time.Now().Add(patience)) // it fails if the connection has ended, and so does receive
	b, err := f.conn.receive()
	if err != nil {
		return m, s, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, s, fmt.Errorf("%q: %w", b, err)
	}
	if m.Event != "" {
		s, _ = parseStamp(b)
	}
	return m, s, nil
}

// take takes in an event, or a notice of lost ones.
func (f *follower) take(m message, s stamp) {
	switch {
	case m.Lost != nil:
		f.notices++
		f.next = 0
		if m.Offset > 0 {
			f.offset = m.Offset
		}
		return
	case m.Event == "":
		return
	}
	f.heard++
	switch {
	case f.next == 0 || s.number == f.next:
	case s.number > f.next:
		f.missing += s.number - f.next
	default:
		f.doubled++
	}
	f.next = s.number + 1
	if m.Offset == 0 {
		f.passed = true
		return
	}
	if m.Offset <= f.offset || m.Offset > f.offset+1 && !f.passed {
		f.misplaced++
	}
	f.offset, f.passed = m.Offset, false
	if m.Offset <= f.top {
		f.replayed++
	}
}

// hear reads until it has the event of a number.
func (f *follower) hear(number int64) error {
	for f.next <= number {
		m, s, err := f.read()
		if err != nil {
			return err
		}
		f.take(m, s)
	}
	return nil
}

// leave ends the connection with a reset.
func (f *follower) leave() {
	if f.conn != nil {
		f.conn.abort()
	}
	f.conn = nil
}

// add adds what another has met.
func (f *followed) add(o *followed) {
	f.heard += o.heard
	f.missing += o.missing
	f.doubled += o.doubled
	f.misplaced += o.misplaced
	f.replayed += o.replayed
	f.joined += o.joined
	f.recovered += o.recovered
	f.notices += o.notices
	for reason, n := range o.told {
		if f.told == nil {
			f.told = map[string]int64{}
		}
		f.told[reason] += n
	}
}

// right reports whether nothing came twice, and nothing was missing that was not told.
func (f *followed) right() bool {
	return f.heard > 0 && f.missing == 0 && f.doubled == 0 && f.misplaced == 0
}

func (f *followed) String() string {
	return fmt.Sprintf("%d events heard, %d of them of a time away; %d missing untold, %d doubled, %d out of place",
		f.heard, f.replayed, f.missing, f.doubled, f.misplaced)
}

// checkFollowed leaves a finding on what followers have heard.
func (t *trial) checkFollowed(f *followed, who string) {
	t.check(f.right(), who+" hear each event once, in order, or are told that some are missing", "%v", f)
}

// following is followers that leave and come back all the time, until they are to stay.
type following struct {
	members []*hopper
	calm    atomic.Bool // they stay
	stop    context.CancelFunc
	running sync.WaitGroup
}

// hopper is a follower of a following. Its goroutine owns it, but for number.
type hopper struct {
	follower
	number atomic.Int64 // of the last event that it heard since it came; 0: none
	failed error        // why it could not go on
}

// follow lets n followers come, leave after a random while of up to stay, and come back after up to a second.
func follow(ctx context.Context, d dialer, channel string, n int, stay time.Duration) *following {
	ctx, stop := context.WithCancel(ctx)
	g := &following{stop: stop}
	for range n {
		h := &hopper{follower: follower{dialer: d, channel: channel}}
		g.members = append(g.members, h)
		g.running.Go(func() {
			for ctx.Err() == nil && h.failed == nil {
				h.stay(ctx, g, rand.N(stay))
				rest(ctx, rand.N(time.Second))
			}
		})
	}
	return g
}

// stay comes, and listens until the time is up or the connection ends. A server that is not there is no failure, one that
// refuses is.
func (h *hopper) stay(ctx context.Context, g *following, d time.Duration) {
	err := h.come(ctx)
	defer h.leave()
	defer h.number.Store(0)
	if err != nil {
		var no replyError
		if errors.As(err, &no) {
			h.failed = err
		}
		return
	}
	c := h.conn
	defer context.AfterFunc(ctx, c.abort)()
	timer := time.AfterFunc(d, func() {
		if !g.calm.Load() {
			c.abort()
		}
	})
	defer timer.Stop()
	for {
		m, s, err := h.read()
		if err != nil {
			return
		}
		h.take(m, s)
		if s.number > 0 {
			h.number.Store(s.number)
		}
	}
}

// above reports whether all are there and have heard an event after the one of that number.
func (g *following) above(number int64) bool {
	for _, h := range g.members {
		if h.number.Load() <= number {
			return false
		}
	}
	return true
}

// settle lets all stay, stops the load, and ends when all have heard all of it. It returns what they have met.
func (g *following) settle(ctx context.Context, t *trial, l *load) (*followed, error) {
	defer g.end()
	g.calm.Store(true)
	mark := l.sent.Load()
	err := t.until(ctx, patience, "all followers are there", func() bool { return g.above(mark) })
	l.stop()
	if err == nil {
		last := l.sent.Load()
		err = t.until(ctx, patience, "all followers have heard the last event", func() bool { return g.above(last - 1) })
	}
	g.end()
	var all followed
	for _, h := range g.members {
		all.add(&h.followed)
		err = errors.Join(err, h.failed)
	}
	return &all, err
}

// end ends all connections.
func (g *following) end() {
	g.stop()
	g.running.Wait()
}
