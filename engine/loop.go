package engine

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/nu7hatch/webrocket/codec"
)

// slice is how long turns may go on delivering before the loop reads again.
const slice = time.Millisecond

// What is known of a loop's next turn.
const (
	asleep   uint32 = iota // none is due
	called                 // gnet has been asked for it
	turning                // it is being taken
	recalled               // and another one is due after it
)

// A Loop owns a part of the connections. Post, Wake, Index and Worker may be called
// from any goroutine, everything else on the loop only.
type Loop struct {
	owner

	engine  *Engine
	index   int
	sockets sockets
	worker  Worker

	phase  atomic.Uint32 // asleep, called, …
	beat   atomic.Uint32 // the last tick that it has seen
	events atomic.Pointer[gnet.EventLoop]

	mu    sync.Mutex
	inbox []func() // posted; guarded by mu
	ready []uint32 // slots whose sockets take more; guarded by mu

	// The loop's own. The tables have an entry for each slot.
	conns []*Conn
	due   []uint32 // deadlines in ticks, 0 for none
	held  bitset   // Deliver must not write by itself
	free  []uint32 // slots without a connection

	serial uint64 // of the last connection

	dirty   []*Conn // something waits to be written
	leaving []departure
	fallen  []*Conn // have falls that the worker has not been told of
	doomed  []*Conn // to be closed at the end of the turn
	buried  []*Conn // closed: their slots are free from the end of the turn

	counts    counters
	pump      *pump
	now       uint32 // ticks, less those missed
	missed    uint32 // ticks during which the loop was stalled
	ticks     ticks
	seen      int // the slot whose deadline is the next to look at
	unseen    int // how many there are to look at yet
	drain     drain
	sliceEnd  time.Time
	working   bool // the worker is called
	inRow     bool // the turn follows another directly, in the same slice
	batch     batch
	scratch   []byte                 // where the frames of a write are joined
	sealed    []byte                 // what a TLS session has written
	plain     []byte                 // what one has decrypted
	lent      []byte                 // what one reads into
	listeners map[net.Addr]*listener // by the address that gnet gives
	inputs    []*input
	outboxes  []*outbox
	newest    map[topic]struct{}     // of conflate, empty
	epoll     int                    // gnet's instance of it, 0 if that is not known
	paused    map[*Conn]*pausedInput // whose input is paused
	halves    map[*Conn]int32        // whose clients have ended their side, and are owed answers: duplicates of their sockets
	inflater  codec.Inflater
	request   codec.Request // of the handshake that has come to its end
	inflated  []byte        // room for a message

	handed       *handed  // the connection that leaves for net/http
	subprotocols []string // that connections have chosen
}

// A departure is an OnClose that is due.
type departure struct {
	conn   *Conn
	reason error
}

func newLoop(e *Engine, index int, s sockets) *Loop {
	l := &Loop{engine: e, index: index, sockets: s, ticks: ticksOf(e.config), scratch: make([]byte, writeMax)}
	l.batch.widen(1)
	if e.config.Worker != nil {
		l.worker = e.config.Worker(l)
	}
	return l
}

// Index returns the number of the loop, from 0.
func (l *Loop) Index() int { return l.index }

// Worker returns what Config.Worker made for this loop.
func (l *Loop) Worker() Worker { return l.worker }

// Post makes the loop call f soon. Any goroutine. What is posted from one
// goroutine is called in that order; what is posted after the loop has ended is
// not called.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	l.inbox = append(l.inbox, f)
	l.mu.Unlock()
	l.Wake()
}

// Wake makes the loop take a turn soon. Any goroutine. Many calls make one turn.
func (l *Loop) Wake() {
	for {
		switch l.phase.Load() {
		case asleep:
			if l.phase.CompareAndSwap(asleep, called) {
				l.schedule()
				return
			}
		case turning:
			if l.phase.CompareAndSwap(turning, recalled) {
				return
			}
		default:
			return
		}
	}
}

// schedule asks gnet for a turn. Before the loop is known there is none; attach
// makes up for it.
func (l *Loop) schedule() {
	if events := l.events.Load(); events != nil {
		_ = (*events).Execute(context.Background(), l)
	}
}

// attach tells the loop which of gnet's it is.
func (l *Loop) attach(events gnet.EventLoop) {
	l.events.Store(&events)
	if l.phase.Load() != asleep {
		l.schedule()
	}
}

// Run is a turn, as gnet calls it.
func (l *Loop) Run(context.Context) error {
	l.turn()
	return nil
}

// writable makes the loop go on writing to a slow reader. Any goroutine.
func (l *Loop) writable(slot uint32) {
	l.mu.Lock()
	l.ready = append(l.ready, slot)
	l.mu.Unlock()
	l.Wake()
}

// turn does what has come up since the last one: posted work, deliveries, then
// one write for each connection that something waits for.
func (l *Loop) turn() {
	l.begin()
	l.phase.Store(turning)
	l.counts.busy()
	if !l.inRow {
		l.sliceEnd = time.Now().Add(slice)
	}
	if clock := l.engine.clock.Load(); clock != l.beat.Load() {
		l.advance(clock)
	} else if l.unseen > 0 {
		l.expireSome()
	}
	l.takeInbox()
	pause := l.work()
	l.settle()
	if l.worker != nil {
		l.worker.Written()
	}
	l.counts.idle()
	if pause > 0 {
		time.Sleep(pause)
	}
	l.again(pause >= 0 || l.unseen > 0)
}

// again arranges for the next turn, if one is due. If the worker has more to do,
// or the slice is over, a round of input and output comes first.
func (l *Loop) again(more bool) {
	l.inRow = false
	if !more && l.phase.CompareAndSwap(turning, asleep) {
		return
	}
	l.phase.Store(called)
	if l.pump != nil && (more || l.sliceOver()) {
		l.pump.push()
		return
	}
	l.inRow = true
	l.schedule()
}

// end is what is left to do when gnet's loop has ended, on another goroutine.
func (l *Loop) end() {
	l.takeOver()
	if l.pump != nil {
		l.pump.close()
	}
	l.phase.Store(turning)
	l.counts.busy()
	l.takeInbox()
	for c := range l.halves {
		c.closeHalf()
	}
	l.settle()
}

func (l *Loop) takeInbox() {
	l.mu.Lock()
	posted, ready := l.inbox, l.ready
	l.inbox, l.ready = nil, nil
	l.mu.Unlock()
	for _, slot := range ready {
		if c := l.conns[slot]; c != nil && c.out != nil {
			c.out.blocked = false
			c.catchUp()
			l.touch(c)
		}
	}
	for _, f := range posted {
		l.protect(f)
	}
}

// protect calls f and survives its panic.
func (l *Loop) protect(f func()) {
	defer func() {
		if r := recover(); r != nil {
			l.counts.Panics++
			l.engine.log().Error("work on a loop panicked",
				"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	f()
}

// work lets the worker work. One that panics is left alone until the next turn.
func (l *Loop) work() (pause time.Duration) {
	pause = -1
	if l.worker == nil {
		return pause
	}
	l.working = true
	l.protect(func() { pause = l.worker.Work(l.elapsed()) })
	l.working = false
	l.tellFalls()
	return pause
}

// settle tells handlers who has left, writes what waits and closes what is to
// be closed, until nothing of that is left.
func (l *Loop) settle() {
	for len(l.batch.sends)+len(l.leaving)+len(l.dirty)+len(l.doomed) > 0 {
		l.depart()
		l.flush()
		l.closeDoomed()
	}
	for _, c := range l.buried {
		l.release(c)
	}
	clear(l.buried)
	l.buried = l.buried[:0]
}

func (l *Loop) depart() {
	for i := 0; i < len(l.leaving); i++ {
		d := l.leaving[i]
		l.leaving[i] = departure{}
		l.protect(func() { d.conn.endpoint.Protocol.OnClose(d.conn, d.reason) })
	}
	l.leaving = l.leaving[:0]
}

func (l *Loop) flush() {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		l.dirty[i] = nil
		if c.out != nil {
			c.out.dirty = false
		}
		c.unbatch()
		l.room(c)
		if c.state != dead && (c.out == nil || !c.out.blocked) {
			c.offer()
		}
		if i == len(l.dirty)-1 {
			l.submit() // which may make more connections dirty
		}
	}
	l.dirty = l.dirty[:0]
	l.submit()
}

func (l *Loop) closeDoomed() {
	for i := 0; i < len(l.doomed); i++ {
		l.sockets.close(l.doomed[i])
		l.doomed[i] = nil
	}
	l.doomed = l.doomed[:0]
}

// touch makes the turn write what waits for c.
func (l *Loop) touch(c *Conn) {
	if c.out != nil {
		if c.out.dirty {
			return
		}
		c.out.dirty = true
	}
	l.dirty = append(l.dirty, c)
	l.settleSoon()
}

// doom closes the socket of c at the end of the turn.
func (l *Loop) doom(c *Conn) {
	l.doomed = append(l.doomed, c)
	l.settleSoon()
}

// bury frees the slot of c at the end of the turn, when OnClose has been called.
func (l *Loop) bury(c *Conn) {
	l.buried = append(l.buried, c)
	l.settleSoon()
}

// settleSoon makes sure that settle is called.
func (l *Loop) settleSoon() {
	if l.phase.Load() < turning {
		l.Wake()
	}
}

// hold keeps the bit of c in held.
func (l *Loop) hold(c *Conn) {
	l.held.set(c.slot, c.state != open || c.out != nil || c.transport.secured() || c.isHalf())
}

// sliceOver reports whether the turn has used up its slice of time.
func (l *Loop) sliceOver() bool {
	return time.Now().Add(time.Duration(len(l.batch.sends)) * sendTime).After(l.sliceEnd)
}

// add gives a new connection its slot.
func (l *Loop) add(c *Conn) {
	l.begin()
	c.loop = l
	l.serial++
	c.serial = l.serial
	if n := len(l.free); n > 0 {
		c.slot = l.free[n-1]
		l.free = l.free[:n-1]
		l.conns[c.slot] = c
	} else {
		c.slot = uint32(len(l.conns))
		l.conns = append(l.conns, c)
		l.due = append(l.due, 0)
		l.held.grow(len(l.conns))
		l.batch.members.grow(len(l.conns))
	}
	l.hold(c)
	c.wait()
}

// release takes the slot of a closed connection back.
func (l *Loop) release(c *Conn) {
	c.freeInput()
	delete(l.paused, c)
	if c.out != nil {
		l.putOutbox(c.out)
		c.out = nil
	}
	l.conns[c.slot] = nil
	l.free = append(l.free, c.slot)
}
