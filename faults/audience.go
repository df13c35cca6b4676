package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// gathering describes an audience.
type gathering struct {
	channel string
	members int
	dialer  dialer
	secret  string
	returns bool // members that were thrown out come back, after a random while of up to a second

	// lag makes slow readers: they read an event so long after it was due, and what comes meanwhile waits for them.
	lag time.Duration
}

// audience is subscribers of one channel that behave well.
type audience struct {
	t *trial
	gathering
	load    *load
	members []*member

	connected atomic.Int64
	rejoined  atomic.Int64 // how often members have come back
	delivered atomic.Int64

	latency [8]struct { // by member, so that they hardly wait for each other
		mu sync.Mutex
		h  *hdrhistogram.Histogram
	}
	endings struct {
		mu  sync.Mutex
		all []ending
	}
	over    atomic.Bool
	leave   context.CancelFunc
	running sync.WaitGroup
}

// member is one subscriber. Its goroutine owns the fields without another word.
type member struct {
	a     *audience
	place int

	mu    sync.Mutex // of conn, and of what follows
	conn  *client
	next  int64 // number that comes next; 0 while it is not connected
	last  stamp // of the last event
	tally tally
}

// ending is how a connection of a member ended that the member did not end itself.
type ending struct {
	at    time.Duration // since epoch
	code  uint16        // of the Close frame, 0 if there was none
	heard stamp         // the last event
}

// tally is what an audience has heard.
type tally struct {
	delivered int64
	lost      int64 // not delivered to a member that was connected throughout
	doubled   int64 // delivered again, or out of order
	ended     int64 // connections that the members did not end themselves
	code      map[uint16]int64
}

// right reports whether each member has heard each event once, in order.
func (t tally) right() bool { return t.lost == 0 && t.doubled == 0 && t.delivered > 0 }

// gather connects an audience, and subscribes it.
func (t *trial) gather(ctx context.Context, g gathering) (*audience, error) {
	ctx, leave := context.WithCancel(ctx)
	a := &audience{t: t, gathering: g, leave: leave, members: make([]*member, g.members)}
	a.forget()
	a.load = &load{t: t, channel: g.channel}
	for i := range a.members {
		a.members[i] = &member{a: a, place: i}
	}
	const atOnce = 64
	if err := inParallel(len(a.members), atOnce, func(i int) error { return a.admit(ctx, i) }); err != nil {
		a.end()
		return nil, err
	}
	return a, nil
}

// admit connects a member and lets it listen.
func (a *audience) admit(ctx context.Context, i int) error {
	m := a.members[i]
	if err := m.join(ctx); err != nil {
		return err
	}
	a.running.Go(func() { m.stay(ctx) })
	return nil
}

// join connects and subscribes. What is published from then on is due.
func (m *member) join(ctx context.Context) error {
	c, err := m.a.dialer.join(ctx, m.a.channel, m.a.secret)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.a.over.Load() {
		c.abort()
		return context.Canceled
	}
	m.conn, m.next, m.last = c, m.a.load.sent.Load()+1, stamp{}
	m.a.connected.Add(1)
	return nil
}

// stay listens until the audience ends, and comes back if that is asked for.
func (m *member) stay(ctx context.Context) {
	for {
		m.listen(ctx)
		for joined := false; !joined; {
			if !m.a.returns || ctx.Err() != nil {
				return
			}
			rest(ctx, rand.N(time.Second))
			joined = m.join(ctx) == nil
		}
		m.a.rejoined.Add(1)
	}
}

// listen takes messages until the connection ends.
func (m *member) listen(ctx context.Context) {
	first := true
	for {
		_ = m.conn.conn.SetReadDeadline(time.Now().Add(m.a.dialer.mostSilence())) // it fails if the connection has ended, and so does receive
		b, err := m.conn.receive()
		if err != nil {
			m.ended(err)
			return
		}
		s, ok := parseStamp(b)
		if !ok {
			continue
		}
		if m.a.lag > 0 {
			rest(ctx, s.due+m.a.lag-now())
		}
		m.heard(s, first)
		first = false
	}
}

// heard checks an event. The first one after a subscribe may be one that was published before it came to its end.
func (m *member) heard(s stamp, first bool) {
	m.mu.Lock()
	switch {
	case s.number == m.next, first && s.number < m.next:
		m.next = s.number + 1
	case s.number > m.next:
		m.tally.lost += s.number - m.next
		m.next = s.number + 1
	default:
		m.tally.doubled++
	}
	m.tally.delivered++
	m.last = s
	m.mu.Unlock()
	m.a.delivered.Add(1)
	m.a.record(m.place, now()-s.due)
}

func (m *member) ended(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn.abort()
	m.next = 0
	m.a.connected.Add(-1)
	if m.a.over.Load() {
		return
	}
	m.tally.ended++
	var c *closed
	if errors.As(err, &c) {
		if m.tally.code == nil {
			m.tally.code = map[uint16]int64{}
		}
		m.tally.code[c.code]++
		m.a.note(ending{now(), c.code, m.last})
		return
	}
	m.a.note(ending{now(), 0, m.last})
}

// note keeps how a connection has ended.
func (a *audience) note(e ending) {
	a.endings.mu.Lock()
	defer a.endings.mu.Unlock()
	a.endings.all = append(a.endings.all, e)
}

// ends returns how connections have ended so far.
func (a *audience) ends() []ending {
	a.endings.mu.Lock()
	defer a.endings.mu.Unlock()
	return slices.Clone(a.endings.all)
}

// allAbove reports whether all members are connected and have heard an event after the one of that number.
func (a *audience) allAbove(number int64) bool {
	for _, m := range a.members {
		m.mu.Lock()
		behind := m.next == 0 || m.last.number <= number
		m.mu.Unlock()
		if behind {
			return false
		}
	}
	return true
}

// drop ends the member's connection from this side.
func (m *member) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn.abort()
}

func (a *audience) record(place int, d time.Duration) {
	l := &a.latency[place%len(a.latency)]
	l.mu.Lock()
	_ = l.h.RecordValue(min(max(int64(d), 1), maxLatency)) // it is in range
	l.mu.Unlock()
}

// maxLatency is the longest latency that is recorded as it is.
const maxLatency = int64(120 * time.Second)

// forget empties the latencies and returns what they were.
func (a *audience) forget() *hdrhistogram.Histogram {
	total := hdrhistogram.New(1, maxLatency, 3)
	for i := range a.latency {
		l := &a.latency[i]
		l.mu.Lock()
		if l.h != nil {
			total.Merge(l.h)
		}
		l.h = hdrhistogram.New(1, maxLatency, 3)
		l.mu.Unlock()
	}
	return total
}

// pings returns how many have come on the present connections.
func (a *audience) pings() int64 {
	var n int64
	for _, m := range a.members {
		m.mu.Lock()
		n += m.conn.pings.Load()
		m.mu.Unlock()
	}
	return n
}

// mute makes members leave pings without an answer.
func (a *audience) mute() {
	for _, m := range a.members {
		m.mu.Lock()
		m.conn.mute.Store(true)
		m.mu.Unlock()
	}
}

// unmute ends that, and makes up for it.
func (a *audience) unmute() {
	for _, m := range a.members {
		m.mu.Lock()
		m.conn.mute.Store(false)
		_ = m.conn.pong(nil) // where it fails the connection has ended, and its member knows
		m.mu.Unlock()
	}
}

// settle stops the load and waits until each connected member has heard all of it, or nothing more comes.
func (a *audience) settle(ctx context.Context) tally {
	a.load.stop()
	sent := a.load.sent.Load()
	last, since := int64(-1), time.Now()
	for a.missing(sent) > 0 && time.Since(since) < 10*time.Second && ctx.Err() == nil {
		if n := a.delivered.Load(); n != last {
			last, since = n, time.Now()
		}
		rest(ctx, 10*time.Millisecond)
	}
	return a.tally(sent)
}

// missing is how many events the connected members still have to hear.
func (a *audience) missing(sent int64) int64 {
	var n int64
	for _, m := range a.members {
		m.mu.Lock()
		if m.next > 0 {
			n += max(sent+1-m.next, 0)
		}
		m.mu.Unlock()
	}
	return n
}

func (a *audience) tally(sent int64) tally {
	total := tally{code: map[uint16]int64{}, lost: a.missing(sent)}
	for _, m := range a.members {
		m.mu.Lock()
		total.delivered += m.tally.delivered
		total.lost += m.tally.lost
		total.doubled += m.tally.doubled
		total.ended += m.tally.ended
		for code, n := range m.tally.code {
			total.code[code] += n
		}
		m.mu.Unlock()
	}
	return total
}

// checkHeard settles, and leaves a finding on what the members have heard.
func (a *audience) checkHeard(ctx context.Context, who string) {
	heard := a.settle(ctx)
	a.t.check(heard.right() && heard.ended == 0, who+" hear each event once, in order, and stay connected",
		"%d events heard, %d lost, %d doubled, %d connections ended", heard.delivered, heard.lost, heard.doubled, heard.ended)
}

// everyoneEnded reports whether each member has lost its connection once, at least.
func (a *audience) everyoneEnded() bool {
	for _, m := range a.members {
		m.mu.Lock()
		ended := m.tally.ended
		m.mu.Unlock()
		if ended == 0 {
			return false
		}
	}
	return true
}

// end ends all connections.
func (a *audience) end() {
	a.load.stop()
	a.over.Store(true)
	a.leave()
	for _, m := range a.members {
		m.mu.Lock()
		if m.conn != nil {
			m.conn.abort()
		}
		m.mu.Unlock()
	}
	a.running.Wait()
}
