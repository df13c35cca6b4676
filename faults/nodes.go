package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// nodesCount is how many servers the cluster has that is tried.
const nodesCount = 3

// A union is a cluster, with a publisher and a listener at each node.
type union struct {
	t        *trial
	machines []*machine
	nodes    []*server
	mouths   []*mouth
	ears     []*ear
	guests   *guests
	whole    []time.Duration // from the end of a fault until everything was heard everywhere
}

// nodes does to a cluster what may happen to one, under load. Each node has a machine of its own.
func nodes(ctx context.Context, t *trial) error {
	u := &union{t: t}
	file, err := t.keeping(guestsRules)
	if err != nil {
		return err
	}
	if u.machines, err = buildMachines(nodesCount); err != nil {
		return err
	}
	var listen []string
	for _, m := range u.machines {
		listen = append(listen, m.between+":9774")
	}
	defer u.stop()
	err = u.start(ctx, func(i int) []string {
		return []string{file, "-cluster-listen", listen[i], "-cluster-routes", strings.Join(listen, ","), "-cluster-secret", "a secret for tests"}
	})
	if err != nil {
		return err
	}
	return u.try(ctx, u.calm, u.paused, u.split, u.slowLink, u.oneApart, u.rolling, u.killed, u.allKilled, u.longSplit)
}

// try lets everybody talk and listen while the faults happen, one after the other.
func (u *union) try(ctx context.Context, faults ...func(context.Context) error) error {
	crowd, end := context.WithCancel(ctx)
	var talking sync.WaitGroup
	defer talking.Wait()
	defer end()
	for i, n := range u.nodes {
		u.mouths = append(u.mouths, &mouth{channel: fmt.Sprintf("c%d", i), addr: n.addr})
		u.ears = append(u.ears, &ear{union: u, addr: n.addr})
	}
	for i := range u.nodes {
		talking.Go(func() { u.ears[i].run(crowd) })
	}
	if err := u.t.until(ctx, patience, "listeners are there", func() bool { return all(u.ears, (*ear).listens) }); err != nil {
		return err
	}
	for i := range u.nodes {
		talking.Go(func() { u.mouths[i].run(crowd) })
	}
	if err := u.t.until(ctx, patience, "publishers are there", func() bool { return all(u.mouths, (*mouth).talks) }); err != nil {
		return err
	}
	if err := u.invite(crowd, &talking); err != nil {
		return err
	}
	for _, fault := range faults {
		if err := fault(ctx); err != nil {
			return err
		}
	}
	u.guests.report()
	u.t.checkSpeed(true, "from the end of a fault until each listener has heard, or been told of, all that was published at every node before it",
		"%s", spread(u.whole))
	return nil
}

// start starts all nodes at the same time. cluster returns the arguments by which a node finds the others.
func (u *union) start(ctx context.Context, cluster func(i int) []string) error {
	for i, m := range u.machines {
		args := append(cluster(i), "-cluster-node", fmt.Sprintf("n%d", i), "-drain", "2s")
		u.nodes = append(u.nodes, &server{t: u.t, on: m, addr: m.clients + ":9772", admin: m.clients + ":9773", args: args})
	}
	return u.startAll(ctx)
}

// startAll gives all nodes a life.
func (u *union) startAll(ctx context.Context) error {
	starting := make([]error, nodesCount)
	var ready sync.WaitGroup
	for i, n := range u.nodes {
		ready.Go(func() { starting[i] = n.start(ctx) })
	}
	ready.Wait()
	return errors.Join(starting...)
}

func (u *union) stop() {
	for _, n := range u.nodes {
		n.stop()
	}
}

// calm is what is heard without a fault.
func (u *union) calm(ctx context.Context) error {
	rest(ctx, scaled(u.t, 3*time.Second, time.Second))
	return u.report(ctx, "without a fault", exactly)
}

// paused stops the process of a node for a while.
func (u *union) paused(ctx context.Context) error {
	length := scaled(u.t, 8*time.Second, 3*time.Second)
	n := u.nodes[1]
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	rest(ctx, length)
	if err := n.signal(syscall.SIGCONT); err != nil {
		return err
	}
	return u.report(ctx, fmt.Sprintf("a node is stopped for %v", length), exactly)
}

// split drops everything between the nodes for a short time.
func (u *union) split(ctx context.Context) error {
	length := scaled(u.t, 6*time.Second, 3*time.Second)
	if err := u.cut(ctx, length, u.machines...); err != nil {
		return err
	}
	return u.report(ctx, fmt.Sprintf("no node reaches another for %v", length), exactly)
}

// longSplit does it for so long that nodes take each other for lost.
func (u *union) longSplit(ctx context.Context) error {
	if u.t.short {
		return nil
	}
	if err := u.cut(ctx, 20*time.Second, u.machines...); err != nil {
		return err
	}
	return u.report(ctx, "no node reaches another for 20s", orTold)
}

// oneApart cuts one node off from all others.
func (u *union) oneApart(ctx context.Context) error {
	length := scaled(u.t, 20*time.Second, 4*time.Second)
	if err := u.cut(ctx, length, u.machines[1]); err != nil {
		return err
	}
	return u.report(ctx, fmt.Sprintf("one node is cut off from the others for %v", length), allowedFor(length))
}

func (u *union) cut(ctx context.Context, length time.Duration, machines ...*machine) error {
	if err := isolate(machines...); err != nil {
		return err
	}
	rest(ctx, length)
	return rejoin()
}

// slowLink lets less through to one node and from it than is published.
func (u *union) slowLink(ctx context.Context) error {
	length := scaled(u.t, 20*time.Second, 4*time.Second)
	m := u.machines[2]
	if err := m.throttle(slowRate); err != nil {
		return err
	}
	rest(ctx, length)
	if err := m.unthrottle(); err != nil {
		return err
	}
	return u.report(ctx, fmt.Sprintf("between one node and the others %s get through for %v, less than is published", slowRate, length), allowedFor(length))
}

// slowRate is less than a third of what publishers make for each link.
const slowRate = "200kbit"

// rolling drains and restarts one node after the other, in order.
func (u *union) rolling(ctx context.Context) error {
	moved := 0
	for i, n := range u.nodes {
		if err := n.signal(syscall.SIGTERM); err != nil {
			return err
		}
		if status, err := n.waitEnd(ctx, patience); err != nil || status != 0 {
			return fmt.Errorf("a node ends with %d: %w", status, err)
		}
		if u.t.until(ctx, patience, "its clients have seen it", u.ears[i].wasSentAway) == nil { // the finding says it
			moved++
		}
		if err := n.start(ctx); err != nil {
			return err
		}
		rest(ctx, time.Second/2)
	}
	u.t.check(moved == nodesCount, "a node that is drained closes its clients with 1001", "%d of %d nodes", moved, nodesCount)
	return u.report(ctx, "the nodes are drained and started again one after the other, with SIGTERM", exactly)
}

// killed kills nodes in turn, and starts them again.
func (u *union) killed(ctx context.Context) error {
	times := scaled(u.t, 20, 2)
	for i := range times {
		n := u.nodes[i%nodesCount]
		if err := n.signal(syscall.SIGKILL); err != nil {
			return err
		}
		<-n.ended
		if i < scaled(u.t, nodesCount, 1) {
			u.guests.settle(ctx, time.Now(), i, "a node is killed")
		} else {
			rest(ctx, time.Second)
		}
		if err := n.start(ctx); err != nil {
			return err
		}
		rest(ctx, time.Second)
	}
	return u.report(ctx, fmt.Sprintf("kill -9 of a node, %d times", times), orTold)
}

// allKilled kills all nodes at the same time, and starts them again.
func (u *union) allKilled(ctx context.Context) error {
	times := scaled(u.t, 5, 1)
	for range times {
		for _, n := range u.nodes {
			if err := n.signal(syscall.SIGKILL); err != nil {
				return err
			}
		}
		u.stop()
		if err := u.startAll(ctx); err != nil {
			return err
		}
		if err := u.t.until(ctx, patience, "listeners are back", func() bool { return all(u.ears, (*ear).listens) }); err != nil {
			return err
		}
		rest(ctx, time.Second)
	}
	return u.report(ctx, fmt.Sprintf("kill -9 of all nodes at once, %d times", times), orTold)
}

// How much may be missing.
type allowance bool

const (
	exactly allowance = false // nothing
	orTold  allowance = true  // what listeners are told of
)

// lostAfter is the silence after which nodes take each other for lost, and tell.
const lostAfter = 10 * time.Second

// allowedFor is what may be missing when nodes have not heard each other for so long.
func allowedFor(silence time.Duration) allowance { return allowance(silence >= lostAfter) }

// report waits until everything has been heard, or told, and leaves a finding.
func (u *union) report(ctx context.Context, when string, allowed allowance) error {
	healed := time.Now()
	var marks []mark
	for _, m := range u.mouths {
		marks = append(marks, m.mark())
	}
	level := u.t.until(ctx, patience, "everything is heard", func() bool {
		return all(u.ears, func(e *ear) bool { return e.reached(marks) })
	})
	whole := time.Since(healed)
	u.whole = append(u.whole, whole)
	u.guests.settle(ctx, healed, nobodyKilled, when)
	var waited time.Duration
	for _, m := range u.mouths {
		waited = max(waited, m.takeLongest())
	}
	if allowed == orTold {
		_ = u.t.until(ctx, patience, "everything is told", func() bool { return all(u.ears, func(e *ear) bool { return e.owes() == 0 }) })
	}
	var sum heardOf
	for _, e := range u.ears {
		sum.add(e.take())
	}
	must := when + ": each listener on every node hears what is published on each, once and in order"
	holds := level == nil && sum.untold == 0 && sum.doubled == 0 && sum.heard > 0
	if allowed == orTold {
		must += ", or is told"
	} else {
		holds = holds && sum.missed == 0
	}
	u.t.check(holds, must, "%d events heard; %d did not come, %d of them untold; %d notices, %d doubled; all heard: %s, %s after its end; no ok took longer than %s",
		sum.heard, sum.missed, sum.untold, sum.notices, sum.doubled, said(level, "yes"), millis(whole), millis(waited))
	return ctx.Err()
}

// all reports whether something is true of all.
func all[T any](list []T, is func(T) bool) bool {
	for _, one := range list {
		if !is(one) {
			return false
		}
	}
	return true
}

// A mouth publishes to a channel of its own. Its events are numbered from 0 on each of its
// connections, which are the runs.
type mouth struct {
	channel, addr string

	mu      sync.Mutex
	runs    []int         // events with an ok
	longest time.Duration // that an ok took, since takeLongest
}

func (m *mouth) talks() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.runs) > 0
}

// takeLongest returns how long the slowest ok took since it was called last.
func (m *mouth) takeLongest() (d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, m.longest = m.longest, 0
	return d
}

// A mark is how far a mouth has come.
type mark struct{ run, events int }

func (m *mouth) mark() mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mark{len(m.runs) - 1, m.runs[len(m.runs)-1]}
}

// between returns how many events there were behind one mark and before another.
func (m *mouth) between(from, to mark) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for run := from.run; run < to.run; run++ {
		n += max(m.runs[run]-from.events, 0)
		from.events = 0
	}
	return n + to.events - from.events
}

// run publishes until ctx is done.
func (m *mouth) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c, err := (dialer{addr: m.addr}).open(ctx); err == nil {
			m.talk(ctx, c)
			c.abort()
		}
		rest(ctx, 50*time.Millisecond)
	}
}

func (m *mouth) talk(ctx context.Context, c *client) {
	if c.do(login("read-write", "")) != nil {
		return
	}
	m.mu.Lock()
	run := len(m.runs)
	m.runs = append(m.runs, 0)
	m.mu.Unlock()
	for n := 0; ctx.Err() == nil; n++ {
		asked := time.Now()
		if c.do(fmt.Sprintf(`{"publish":{"event":"e","channel":%q,"data":[%d,%d]}}`, m.channel, run, n)) != nil {
			return
		}
		m.mu.Lock()
		m.runs[run], m.longest = n+1, max(m.longest, time.Since(asked))
		m.mu.Unlock()
		rest(ctx, 3*time.Millisecond)
	}
}

// heardOf is what listeners have heard.
type heardOf struct{ heard, missed, untold, notices, doubled int }

func (h *heardOf) add(o heardOf) {
	h.heard += o.heard
	h.missed += o.missed
	h.untold += o.untold
	h.notices += o.notices
	h.doubled += o.doubled
}

// An ear listens to all mouths, at one node. What was missing when its connection ended is
// forgotten: it has begun anew.
type ear struct {
	union     *union
	addr      string
	connected atomic.Bool
	sentAway  atomic.Bool // the last connection was closed with 1001

	mu    sync.Mutex
	known map[string]*place // by channel
	heardOf
}

// A place is how far an ear has come in a channel.
type place struct {
	next mark
	owed int  // events that did not come, and of which nobody has told yet
	paid int  // events that were told of before they were missed
	some bool // the same, without their number
}

func (e *ear) listens() bool { return e.connected.Load() }

// wasSentAway reports whether its last connection ended with a Close frame that says 1001.
func (e *ear) wasSentAway() bool { return !e.connected.Load() && e.sentAway.Load() }

// run listens until ctx is done.
func (e *ear) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := e.listen(ctx); err != nil {
			var end *closed
			if e.connected.Swap(false) {
				e.sentAway.Store(errors.As(err, &end) && end.code == 1001)
			}
			rest(ctx, 50*time.Millisecond)
		}
	}
}

func (e *ear) listen(ctx context.Context) error {
	c, err := (dialer{addr: e.addr}).open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	defer context.AfterFunc(ctx, c.abort)()
	e.mu.Lock()
	e.known = make(map[string]*place)
	e.mu.Unlock()
	if err := c.send(login("read-only", "")); err != nil {
		return err
	}
	for i := range nodesCount {
		if err := c.send(subscribe(fmt.Sprintf("c%d", i))); err != nil {
			return err
		}
	}
	for replies := 0; ; {
		message, err := c.receive()
		if err != nil {
			return err
		}
		var m struct {
			OK      bool
			Channel string
			Data    []int
			Lost    *int
		}
		switch err := json.Unmarshal(message, &m); {
		case err != nil:
			return err
		case m.OK:
			if replies++; replies > nodesCount {
				e.connected.Store(true)
			}
		case m.Lost != nil:
			e.tell(m.Channel, *m.Lost)
		case len(m.Data) == 2:
			e.hear(m.Channel, mark{m.Data[0], m.Data[1]})
		}
	}
}

// hear takes an event.
func (e *ear) hear(channel string, at mark) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard++
	p := e.known[channel]
	switch {
	case p == nil:
		p = new(place)
		e.known[channel] = p
	case at.run < p.next.run || at.run == p.next.run && at.events < p.next.events:
		e.doubled++
		return
	default:
		if n := e.union.mouth(channel).between(p.next, at); n > 0 {
			e.missed += n
			p.miss(n)
		}
	}
	p.next = mark{at.run, at.events + 1}
}

// miss notes that n events have not come.
func (p *place) miss(n int) {
	if p.some {
		p.some = false
		return
	}
	told := min(n, p.paid)
	p.paid -= told
	p.owed += n - told
}

// tell takes a notice of events that are lost, 0 of some, perhaps.
func (e *ear) tell(channel string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notices++
	p := e.known[channel]
	switch {
	case p == nil:
	case n == 0:
		p.some, p.owed = p.owed == 0, 0
	default:
		told := min(n, p.owed)
		p.owed -= told
		p.paid += n - told
	}
}

// reached reports whether the ear has heard as much of each channel.
func (e *ear) reached(marks []mark) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, m := range marks {
		p := e.known[e.union.mouths[i].channel]
		if p == nil || p.next.run < m.run || p.next.run == m.run && p.next.events < m.events {
			return false
		}
	}
	return true
}

// owes returns how many events have neither come nor been told of.
func (e *ear) owes() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.known {
		n += p.owed
	}
	return n
}

// take returns what was heard since it was called last.
func (e *ear) take() heardOf {
	owes := e.owes()
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.heardOf
	h.untold = owes
	e.heardOf = heardOf{}
	return h
}

// mouth returns the publisher of a channel.
func (u *union) mouth(channel string) *mouth {
	for _, m := range u.mouths {
		if m.channel == channel {
			return m
		}
	}
	return nil // the ears hear no others
}
