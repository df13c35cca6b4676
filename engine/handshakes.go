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
	// handshakesMax is how many have a goroutine. Most of them wait for their
	// client's answer.
	handshakesMax = 512

	// unreadMax is how many bytes all clients together may send ahead of their
	// handshakes.
	unreadMax = 16 << 20

	// A client may send unreadShare even if that is used up, and at most
	// eagerMax: a request of 8 KiB in records of one byte, right behind the
	// handshake, is legal.
	unreadShare = 16 << 10
	eagerMax    = 256 << 10

	// handshakePatience is how long a client may keep a goroutine waiting, in
	// ticks, while others wait for one; if they are many, two.
	handshakePatience = uint32(time.Second / tick)
)

var (
	errEvicted = errors.New("engine: the client keeps others waiting")
	errGone    = errors.New("engine: the connection is closed")
)

// handshakes runs the TLS handshakes of an engine, off its loops: crypto/tls
// cannot pause one. Each has a goroutine while it lasts; the number of them, of
// those that compute at one time, and what waits for one are bounded.
type handshakes struct {
	clock  func() uint32 // ticks
	max    int           // goroutines
	unread int           // bytes of all clients
	turns  chan struct{} // one for each that computes
	wg     sync.WaitGroup

	mu      sync.Mutex
	running int       // goroutines
	waiting list.List // those that wait for their client, the longest first
	queue   list.List // those that wait for a goroutine
	bytes   int       // that nobody has read yet
	closed  bool
}

func newHandshakes(workers int, clock func() uint32) *handshakes {
	return &handshakes{
		clock: clock, max: handshakesMax, unread: unreadMax,
		turns: make(chan struct{}, workers),
	}
}

// A handshake is the blocking connection that crypto/tls has while it lasts. The
// loop feeds it; its goroutine reads. Its fields are guarded by pool.mu.
type handshake struct {
	pool      *handshakes
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

func newHandshake(t *transport) *handshake {
	h := &handshake{pool: t.conn.loop.engine.handshakes, transport: t, remote: t.conn.RemoteAddr()}
	h.more.L = &h.pool.mu
	return h
}

// begin starts a handshake with the client's first record, now or when it is its
// turn. It returns false if there is no room. Loops only.
func (p *handshakes) begin(h *handshake, greeting []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	full := p.bytes+len(greeting) > p.unread
	switch {
	case p.running < p.max:
		p.start(h)
	case p.evict(full) || !full:
		h.enter(&p.queue)
	default:
		return false
	}
	h.leaveUnread(greeting)
	return true
}

// start gives a handshake its goroutine.
func (p *handshakes) start(h *handshake) {
	p.running++
	p.wg.Go(h.run)
}

// evict ends the handshake that has waited longest for its client, if that is
// too long, or if it must be. Its goroutine takes the next of the queue.
func (p *handshakes) evict(must bool) bool {
	oldest := p.waiting.Front()
	if oldest == nil {
		return false
	}
	h := oldest.Value.(*handshake)
	if !must && p.clock()-h.since < p.patience() {
		return false
	}
	h.fail(errEvicted)
	return true
}

func (p *handshakes) patience() uint32 {
	if p.queue.Len() > p.max {
		return 2
	}
	return handshakePatience
}

// advance lets time pass.
func (p *handshakes) advance() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.queue.Len() {
		if !p.evict(false) {
			return
		}
	}
}

// ended is called when a goroutine has nothing left to do.
func (p *handshakes) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	if next := p.queue.Front(); next != nil && !p.closed {
		h := next.Value.(*handshake)
		h.leave()
		p.start(h)
	}
}

// close ends all handshakes and waits for their goroutines.
func (p *handshakes) close() {
	p.mu.Lock()
	p.closed = true
	for p.waiting.Len() > 0 {
		p.waiting.Front().Value.(*handshake).fail(errGone)
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (h *handshake) enter(l *list.List) { h.in, h.place = l, l.PushBack(h) }

func (h *handshake) leave() {
	if h.in != nil {
		h.in.Remove(h.place)
		h.in, h.place = nil, nil
	}
}

// fail makes reading end with err.
func (h *handshake) fail(err error) {
	h.leave()
	h.broken = err
	h.leaveUnread(nil)
	h.more.Signal()
}

// abort ends the handshake of a connection that is closed. Loop only.
func (t *transport) abort() {
	if t == nil || t.handshake == nil {
		return
	}
	h := t.handshake
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	h.fail(errGone)
}

// feed takes bytes of the client. It returns false if they are too many. Loop
// only.
func (h *handshake) feed(b []byte) bool {
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

// leaveUnread says what has arrived and is not read.
func (h *handshake) leaveUnread(b []byte) {
	h.pool.bytes += len(b) - len(h.arrived)
	h.arrived = b
}

// run is the goroutine.
func (h *handshake) run() {
	defer h.pool.ended()
	h.pool.turns <- struct{}{}
	err := h.shake()
	<-h.pool.turns
	t := h.transport
	t.conn.loop.Post(func() { t.shaken(err) })
}

// shake survives a panic of the callbacks of a tls.Config.
func (h *handshake) shake() (err error) {
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
func (h *handshake) read(p []byte) (int, error) {
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

// await lets others compute while it waits for the client.
func (h *handshake) await() {
	if reply := h.takeReply(); reply != nil {
		t := h.transport
		t.conn.loop.Post(func() { t.reply(reply) })
	}
	<-h.pool.turns
	h.since = h.pool.clock()
	h.enter(&h.pool.waiting)
	for len(h.arrived) == 0 && h.broken == nil {
		h.more.Wait()
	}
	h.leave()
	h.pool.mu.Unlock()
	h.pool.turns <- struct{}{}
	h.pool.mu.Lock()
}

func (h *handshake) write(p []byte) {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	h.reply = append(h.reply, p...)
}

func (h *handshake) takeReply() []byte {
	reply := h.reply
	h.reply = nil
	return reply
}

// reply sends what the handshake has to say.
func (t *transport) reply(b []byte) {
	if t.conn.state != dead {
		t.conn.pushSealed(b)
	}
}

// shaken is called on the loop when the handshake has come to its end.
func (t *transport) shaken(err error) {
	h := t.handshake
	if t.conn.state == dead || h == nil {
		return
	}
	t.handshake = nil
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
	t.stage, t.session = through, h.session
	forgetHello(t.session)
	t.conn.loop.hold(t.conn)
	defer t.conn.guard()
	t.unseal(rest)
}

// takeRest returns what has arrived behind the handshake.
func (h *handshake) takeRest() []byte {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	rest := h.arrived
	h.leaveUnread(nil)
	return rest
}
