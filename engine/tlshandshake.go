package engine

import (
	"container/list"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Bounds of the TLS handshakes of an engine.
const (
	// tlsHandshakesMax is how many have a goroutine. Most of them wait for
	// their client's answer.
	tlsHandshakesMax = 512

	// unreadMax is how many bytes all clients together may send ahead of their
	// handshakes.
	unreadMax = 16 << 20

	// A client may send unreadShare even if unreadMax is used up, and at most
	// eagerMax otherwise: a request of 8 KiB in records of one byte, or an HTTP
	// request with a body of 1 MiB, directly after the handshake, is legal.
	unreadShare = 16 << 10
	eagerMax    = 2 << 20

	// tlsPatience is how long a client may keep a goroutine waiting, in ticks,
	// while other handshakes wait for a goroutine. If many wait, it is two
	// ticks.
	tlsPatience = uint32(time.Second / tick)
)

var (
	errEvicted = errors.New("engine: TLS handshake evicted: the client did not answer while others waited")
	errGone    = errors.New("engine: the connection is closed")
)

// tlsHandshakes runs the TLS handshakes of an engine outside its loops, because
// crypto/tls cannot pause a handshake. Each has a goroutine while it lasts.
// Limited are the number of goroutines, how many of them compute at the same
// time, and the bytes of the handshakes that wait for a goroutine.
type tlsHandshakes struct {
	clock  func() uint32 // ticks
	max    int           // goroutines
	unread int           // bytes of all clients
	turns  chan struct{} // one for each that computes
	wg     sync.WaitGroup

	mu      sync.Mutex
	running int       // goroutines
	waiting list.List // those that wait for their client, the longest first
	queue   list.List // those that wait for a goroutine
	bytes   int       // that have arrived and have not been read
	closed  bool
}

func newTLSHandshakes(workers int, clock func() uint32) *tlsHandshakes {
	return &tlsHandshakes{
		clock: clock, max: tlsHandshakesMax, unread: unreadMax,
		turns: make(chan struct{}, workers),
	}
}

// A tlsHandshake is the blocking connection that crypto/tls reads from during a
// TLS handshake. The loop feeds it, its goroutine reads. pool.mu guards its
// fields.
type tlsHandshake struct {
	pool      *tlsHandshakes
	transport *transport
	remote    net.Addr  // the client
	session   *tls.Conn // its goroutine's, and the loop's after that
	more      sync.Cond
	arrived   []byte // not read yet
	reply     []byte // not given to the loop yet
	broken    error  // no more will arrive
	place     *list.Element
	in        *list.List // that place is of: queue, waiting or nil
	since     uint32     // it waits for its client
}

func newTLSHandshake(t *transport) *tlsHandshake {
	h := &tlsHandshake{pool: t.conn.loop.engine.tlsHandshakes, transport: t, remote: t.conn.RemoteAddr()}
	h.more.L = &h.pool.mu
	return h
}

// begin starts a handshake with the client's first record, or queues it until a
// goroutine is free. It returns false if the queue is full. Loops only.
func (p *tlsHandshakes) begin(h *tlsHandshake, clientHello []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	full := p.bytes+len(clientHello) > p.unread
	switch {
	case p.running < p.max:
		p.start(h)
	case p.evict(full) || !full:
		h.queueIn(&p.queue)
	default:
		return false
	}
	h.leaveUnread(clientHello)
	return true
}

// start gives a handshake its goroutine.
func (p *tlsHandshakes) start(h *tlsHandshake) {
	p.running++
	p.wg.Go(h.run)
}

// evict ends the handshake that has waited longest for its client, if it has
// waited longer than patience or if must is true. Its goroutine then takes the
// next handshake of the queue. It reports whether it has ended one.
func (p *tlsHandshakes) evict(must bool) bool {
	oldest := p.waiting.Front()
	if oldest == nil {
		return false
	}
	h := oldest.Value.(*tlsHandshake)
	if !must && p.clock()-h.since < p.patience() {
		return false
	}
	h.interrupt(errEvicted)
	return true
}

func (p *tlsHandshakes) patience() uint32 {
	if p.queue.Len() > p.max {
		return 2
	}
	return tlsPatience
}

// advance is called on each tick. It evicts one handshake for each that is
// queued.
func (p *tlsHandshakes) advance() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.queue.Len() {
		if !p.evict(false) {
			return
		}
	}
}

// goroutineEnded is called when a goroutine has nothing left to do.
func (p *tlsHandshakes) goroutineEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	if next := p.queue.Front(); next != nil && !p.closed {
		h := next.Value.(*tlsHandshake)
		h.unqueue()
		p.start(h)
	}
}

// close ends all handshakes and waits for their goroutines.
func (p *tlsHandshakes) close() {
	p.mu.Lock()
	p.closed = true
	for p.waiting.Len() > 0 {
		p.waiting.Front().Value.(*tlsHandshake).interrupt(errGone)
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (h *tlsHandshake) queueIn(l *list.List) { h.in, h.place = l, l.PushBack(h) }

func (h *tlsHandshake) unqueue() {
	if h.in != nil {
		h.in.Remove(h.place)
		h.in, h.place = nil, nil
	}
}

// interrupt makes reading end with err.
func (h *tlsHandshake) interrupt(err error) {
	h.unqueue()
	h.broken = err
	h.leaveUnread(nil)
	h.more.Signal()
}

// cancelHandshake ends the handshake of a connection that is closed. Loop only.
func (t *transport) cancelHandshake() {
	if t == nil || t.tlsHandshake == nil {
		return
	}
	h := t.tlsHandshake
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	h.interrupt(errGone)
}

// feed takes bytes of the client. It returns false if they are too many. Loop
// only.
func (h *tlsHandshake) feed(b []byte) bool {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	most := eagerMax
	if h.pool.bytes+len(b) > h.pool.unread {
		most = unreadShare
	}
	if len(h.arrived)+len(b) > most {
		return false
	}
	h.leaveUnread(append(h.arrived, b...))
	h.more.Signal()
	return true
}

// leaveUnread sets the bytes that have arrived and have not been read.
func (h *tlsHandshake) leaveUnread(b []byte) {
	h.pool.bytes += len(b) - len(h.arrived)
	h.arrived = b
}

// run is the goroutine.
func (h *tlsHandshake) run() {
	defer h.pool.goroutineEnded()
	h.pool.turns <- struct{}{}
	err := h.runTLS()
	<-h.pool.turns
	t := h.transport
	t.conn.loop.Post(func() { t.tlsHandshakeDone(err) })
}

// runTLS runs the handshake of crypto/tls. It recovers from a panic of a
// callback of the tls.Config.
func (h *tlsHandshake) runTLS() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("engine: TLS handshake: panic: %v", r)
			h.transport.conn.loop.engine.log().Error("a TLS handshake panicked", "panic", fmt.Sprint(r))
		}
	}()
	h.session = tls.Server(h.transport, h.transport.listener.tls)
	return h.session.Handshake()
}

// read waits for bytes of the client.
func (h *tlsHandshake) read(p []byte) (int, error) {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	if len(h.arrived) == 0 && h.broken == nil && !h.pool.closed {
		h.await()
	}
	switch {
	case h.broken != nil:
		return 0, h.broken
	case h.pool.closed:
		return 0, errGone
	}
	n := copy(p, h.arrived)
	h.leaveUnread(h.arrived[n:])
	return n, nil
}

// await waits for bytes of the client. Meanwhile another handshake may compute.
func (h *tlsHandshake) await() {
	if reply := h.takeReply(); reply != nil {
		t := h.transport
		t.conn.loop.Post(func() { t.sendReply(reply) })
	}
	<-h.pool.turns
	h.since = h.pool.clock()
	h.queueIn(&h.pool.waiting)
	for len(h.arrived) == 0 && h.broken == nil {
		h.more.Wait()
	}
	h.unqueue()
	h.pool.mu.Unlock()
	h.pool.turns <- struct{}{}
	h.pool.mu.Lock()
}

func (h *tlsHandshake) write(p []byte) {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	h.reply = append(h.reply, p...)
}

func (h *tlsHandshake) takeReply() []byte {
	reply := h.reply
	h.reply = nil
	return reply
}

// sendReply queues bytes that the handshake has written.
func (t *transport) sendReply(b []byte) {
	if t.conn.state != dead {
		t.conn.pushSealed(b)
	}
}

// tlsHandshakeDone is called on the loop when the handshake has ended.
func (t *transport) tlsHandshakeDone(err error) {
	h := t.tlsHandshake
	if t.conn.state == dead || h == nil {
		return
	}
	t.tlsHandshake = nil
	rest := h.takeRest()
	if reply := h.takeReply(); reply != nil {
		t.conn.pushSealed(reply)
	}
	if err != nil {
		t.conn.loop.counts.refused(err)
		t.notified = true
		t.conn.became(lingering)
		t.conn.loop.touch(t.conn)
		return
	}
	t.stage, t.session = established, h.session
	forgetHello(t.session)
	c := t.conn
	c.loop.hold(c)
	defer c.guard()
	t.unseal(rest)
	if c.loop.giveAway() {
		c.loop.sockets.close(c)
	}
}

// takeRest returns the bytes that have arrived after the handshake.
func (h *tlsHandshake) takeRest() []byte {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	rest := h.arrived
	h.leaveUnread(nil)
	return rest
}
