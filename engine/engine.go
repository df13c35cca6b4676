package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// ErrStopped is what Start returns after Shutdown, Wait where the loops ended
// without it, and the reason in OnClose where that cut the connection off.
var ErrStopped = errors.New("engine: stopped")

// refusalMax is how many connections above the limit may be open at once to be
// told that there is no room. The rest is closed without a word.
const refusalMax = 64

// An Engine accepts connections and runs them on event loops.
type Engine struct {
	config    Config
	ticks     ticks
	endpoints map[string]*Endpoint
	limit     int
	listeners []*listener // nil before Start

	loops      []*Loop
	writable   *writable
	handshakes *handshakes
	files      []*fileListener
	accepting  sync.WaitGroup // their goroutines
	events     gnet.Engine

	life    sync.Mutex // Start is at work
	closing sync.Once  // Shutdown says good-bye
	halting sync.Once  // Shutdown ends the loops

	mu       sync.Mutex
	attached map[gnet.EventLoop]*Loop // guarded by mu

	clock    atomic.Uint32 // ticks since the start
	conns    atomic.Int64
	stopping atomic.Bool

	booted  chan error    // Start waits for it
	ended   chan struct{} // closed when gnet has returned
	stopped chan struct{} // closed when all is done after that
	err     error         // why; read after stopped is closed
	gone    chan struct{} // a connection has been closed while stopping
}

// New returns an engine that is not started. The endpoints' keys are paths.
func New(config Config, endpoints map[string]Endpoint) *Engine {
	e := &Engine{
		config:    config.withDefaults(),
		endpoints: make(map[string]*Endpoint, len(endpoints)),
		attached:  make(map[gnet.EventLoop]*Loop),
		booted:    make(chan error, 1),
		ended:     make(chan struct{}),
		stopped:   make(chan struct{}),
		gone:      make(chan struct{}, 1),
	}
	e.ticks = ticksOf(e.config)
	e.handshakes = newHandshakes(e.config.HandshakeWorkers, e.clock.Load)
	for path, endpoint := range endpoints {
		endpoint.path = path
		e.endpoints[path] = endpoint.withDefaults()
	}
	return e
}

// Start is Listen for plain connections to addr.
func (e *Engine) Start(addr string) error { return e.Listen(Listener{Addr: addr}) }

// Listen listens on all the addresses, and returns once connections are served,
// or with the reason why not. An engine starts once.
func (e *Engine) Listen(on ...Listener) error {
	e.life.Lock()
	defer e.life.Unlock()
	if e.stopping.Load() {
		return ErrStopped
	}
	if e.listeners != nil {
		return errors.New("engine: started before")
	}
	addrs, err := e.prepare(on)
	if err != nil {
		return err
	}
	go e.run(addrs)
	if err := <-e.booted; err != nil {
		e.stopping.Store(true)
		e.halt()
		<-e.stopped
		return err
	}
	return nil
}

// prepare makes everything that the loops need.
func (e *Engine) prepare(on []Listener) (addrs []string, err error) {
	limit, err := connectionLimit(e.config.MaxConnections, e.config.Loops)
	if err != nil {
		return nil, err
	}
	listeners := make([]*listener, len(on))
	for i, l := range on {
		listeners[i] = newListener(l)
	}
	files, err := bind(listeners)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, f := range files {
				f.close()
			}
		}
	}()
	if addrs, err = targets(listeners); err != nil {
		return nil, err
	}
	sockets := &kernel{}
	loops := make([]*Loop, e.config.Loops)
	for i := range loops {
		loops[i] = newLoop(e, i, sockets)
	}
	if sockets.writable, err = newWritable(loops); err != nil {
		return nil, err
	}
	e.limit, e.listeners, e.files = limit, listeners, files
	e.loops, e.writable = loops, sockets.writable
	return addrs, nil
}

// run is gnet's goroutine.
func (e *Engine) run(addrs []string) {
	level := gnetLog{e.config.Log}
	err := gnet.Rotate(&handler{e: e}, addrs,
		gnet.WithNumEventLoop(len(e.loops)),
		// One listener for each loop: a connection is accepted by the loop that
		// refuses it if there is no room. A separate acceptor would run ahead of
		// the loops, into the open-file limit, which ends gnet.
		gnet.WithReusePort(true),
		gnet.WithReuseAddr(true),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithSocketSendBuffer(max(e.config.SendBuffer, 0)),
		gnet.WithTicker(true),
		gnet.WithLogger(level),
	)
	if err == nil && !e.stopping.Load() {
		err = ErrStopped
	}
	e.err = err
	select {
	case e.booted <- err:
	default:
	}
	close(e.ended)
	e.closeFiles()
	e.writable.close()
	e.handshakes.close()
	for _, l := range e.loops {
		l.end()
	}
	close(e.stopped)
}

// Wait blocks until the engine has stopped: nil after Shutdown, otherwise why.
func (e *Engine) Wait() error {
	<-e.stopped
	return e.err
}

// Shutdown refuses new connections, closes the others with 1001 (RFC 6455
// §7.4.1), and stops the loops once all are closed or ctx is done: then it says
// how many were cut off. It may be called again to wait less long. Any
// goroutine but a loop's.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.stopping.Store(true)
	e.life.Lock()
	started := e.listeners != nil
	e.life.Unlock()
	if !started {
		return nil
	}
	e.closing.Do(func() {
		e.closeFiles()
		for _, l := range e.loops {
			l.Post(l.closeAll)
		}
	})
	err := e.drained(ctx)
	e.halt()
	<-e.stopped
	return err
}

// drained waits until no connection is left.
func (e *Engine) drained(ctx context.Context) error {
	defer e.oneGone() // others may wait
	for e.conns.Load() > 0 {
		select {
		case <-e.gone:
		case <-e.stopped:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("engine: %d connections were cut off: %w", e.conns.Load(), ctx.Err())
		}
	}
	return nil
}

// oneGone makes drained look again.
func (e *Engine) oneGone() {
	select {
	case e.gone <- struct{}{}:
	default:
	}
}

// halt ends the loops. It does not wait for them: gnet's Stop would look every
// half second whether they have ended, and run knows at once.
func (e *Engine) halt() {
	e.halting.Do(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.events.Stop(now)
	})
}

// Addr returns the first address that the engine listens on, nil before Start.
func (e *Engine) Addr() net.Addr {
	if len(e.listeners) == 0 {
		return nil
	}
	return e.listeners[0].addr
}

// Addrs returns the addresses that the engine listens on, in the order of Listen.
func (e *Engine) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(e.listeners))
	for i, l := range e.listeners {
		addrs[i] = l.addr
	}
	return addrs
}

// Connections returns how many connections are open. Any goroutine.
func (e *Engine) Connections() int { return int(e.conns.Load()) }

// MaxConnections returns the limit in force, once started.
func (e *Engine) MaxConnections() int { return e.limit }

// Loops returns the loops, once started.
func (e *Engine) Loops() []*Loop { return e.loops }

// Stopping tells whether Shutdown has been called. Any goroutine.
func (e *Engine) Stopping() bool { return e.stopping.Load() }

func (e *Engine) log() *slog.Logger { return e.config.Log }

// boot gives each loop its pump. gnet hands them out in turn.
func (e *Engine) boot() {
	for range e.loops {
		if err := newPump(e.events); err != nil {
			e.booted <- err
			return
		}
	}
	for _, f := range e.files {
		e.accepting.Go(func() { f.accept(e) })
	}
	e.booted <- nil
}

// loopOf returns the loop that goes with one of gnet's.
func (e *Engine) loopOf(events gnet.EventLoop) *Loop {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.attached[events]
	if l == nil {
		l = e.loops[len(e.attached)]
		e.attached[events] = l
		l.attach(events)
	}
	return l
}

// handler takes gnet's events.
type handler struct {
	gnet.BuiltinEventEngine
	e *Engine
}

func (h *handler) OnBoot(events gnet.Engine) gnet.Action {
	h.e.events = events
	return gnet.None
}

// OnShutdown is called before the loops end. From then on nobody may ask them
// for a turn: gnet would write to a file descriptor that it has closed.
func (h *handler) OnShutdown(gnet.Engine) {
	for _, l := range h.e.loops {
		l.events.Store(nil)
	}
}

// OnTick is the clock. gnet calls it first when the loops have begun.
func (h *handler) OnTick() (time.Duration, gnet.Action) {
	if h.e.clock.Add(1) == 1 {
		h.e.boot()
	}
	for _, l := range h.e.loops {
		l.Wake()
	}
	h.e.handshakes.advance()
	return tick, gnet.None
}

func (h *handler) OnOpen(socket gnet.Conn) ([]byte, gnet.Action) {
	l := h.e.loopOf(socket.EventLoop())
	var in *listener
	switch from := socket.Context().(type) {
	case *pump:
		l.pump = from
		return nil, gnet.None
	case *listener:
		in = from
	default:
		in = l.listenerOf(socket.LocalAddr())
	}
	c := &Conn{socket: socket, fd: int32(socket.Fd())}
	if in != nil {
		c.transport = newTransport(c, in)
	}
	socket.SetContext(c)
	l.add(c)
	n := int(h.e.conns.Add(1))
	switch {
	case in == nil: // better nobody than somebody without the TLS that is due
		h.e.log().Error("a connection to an address that is not known", "address", socket.LocalAddr().String())
		return nil, gnet.Close
	case h.e.stopping.Load():
		c.turnAway(errStopping)
		return nil, gnet.Close
	case n > h.e.limit+refusalMax:
		c.turnAway(errFull)
		return nil, gnet.Close
	case n > h.e.limit:
		c.surplus = true // clients are deaf to answers that come before they ask
	}
	return nil, gnet.None
}

// OnTraffic is also how a loop hears of its pump. A turn closes connections,
// which gnet may be about to look at: it comes after this round of events.
func (h *handler) OnTraffic(socket gnet.Conn) gnet.Action {
	b, _ := socket.Next(-1)
	if c, ok := socket.Context().(*Conn); ok {
		c.feed(b)
	} else {
		h.e.loopOf(socket.EventLoop()).schedule()
	}
	return gnet.None
}

func (h *handler) OnClose(socket gnet.Conn, err error) gnet.Action {
	c, ok := socket.Context().(*Conn)
	if !ok {
		return gnet.None
	}
	c.closed(err)
	h.e.conns.Add(-1)
	if h.e.stopping.Load() {
		h.e.oneGone()
	}
	return gnet.None
}

// gnetLog passes on what gnet finds worth an operator's attention.
type gnetLog struct{ log *slog.Logger }

func (g gnetLog) Debugf(string, ...any) {}
func (g gnetLog) Infof(string, ...any)  {}

func (g gnetLog) Warnf(format string, args ...any) {
	g.log.Warn("event loops", "detail", fmt.Sprintf(format, args...))
}

func (g gnetLog) Errorf(format string, args ...any) {
	g.log.Error("event loops", "detail", fmt.Sprintf(format, args...))
}

func (g gnetLog) Fatalf(format string, args ...any) {
	g.log.Error("event loops", "detail", fmt.Sprintf(format, args...))
}
