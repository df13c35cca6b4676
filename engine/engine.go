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

// An Engine accepts connections on one address and runs them on event loops.
type Engine struct {
	config    Config
	ticks     ticks
	endpoints map[string]*Endpoint
	limit     int
	addr      net.Addr

	loops    []*Loop
	writable *writable
	events   gnet.Engine

	life    sync.Mutex // Start is at work
	closing sync.Once  // Shutdown says good-bye
	halting sync.Once  // Shutdown ends the loops

	mu       sync.Mutex
	attached map[gnet.EventLoop]*Loop // guarded by mu

	clock    atomic.Uint32 // ticks since the start
	conns    atomic.Int64
	stopping atomic.Bool

	booted  chan error    // Start waits for it
	stopped chan struct{} // closed when gnet has returned
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
		stopped:   make(chan struct{}),
		gone:      make(chan struct{}, 1),
	}
	e.ticks = ticksOf(e.config)
	for path, endpoint := range endpoints {
		endpoint.path = path
		e.endpoints[path] = endpoint.withDefaults()
	}
	return e
}

// Start listens on addr, a "host:port", and returns once connections are
// served, or with the reason why not. An engine starts once.
func (e *Engine) Start(addr string) error {
	e.life.Lock()
	defer e.life.Unlock()
	if e.stopping.Load() {
		return ErrStopped
	}
	if e.addr != nil {
		return errors.New("engine: started before")
	}
	if err := e.prepare(addr); err != nil {
		return err
	}
	go e.run()
	if err := <-e.booted; err != nil {
		e.stopping.Store(true)
		e.halt()
		<-e.stopped
		return err
	}
	return nil
}

// prepare makes everything that the loops need.
func (e *Engine) prepare(addr string) error {
	limit, err := connectionLimit(e.config.MaxConnections, e.config.Loops)
	if err != nil {
		return err
	}
	reserved, err := reserve(addr)
	if err != nil {
		return err
	}
	sockets := &kernel{}
	loops := make([]*Loop, e.config.Loops)
	for i := range loops {
		loops[i] = newLoop(e, i, sockets)
	}
	if sockets.writable, err = newWritable(loops); err != nil {
		return err
	}
	e.limit, e.addr, e.loops, e.writable = limit, reserved, loops, sockets.writable
	return nil
}

// reserve tells which address addr is. gnet's loops share a port, each with a
// listener of its own, and would share it with another process too: that the
// port is taken shows only here.
func reserve(addr string) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Addr(), nil
}

// target is the address as gnet wants it. It takes [::] for IPv6 only, and an
// empty host for both.
func target(addr *net.TCPAddr) string {
	if addr.IP.Equal(net.IPv6unspecified) {
		return fmt.Sprintf("tcp://:%d", addr.Port)
	}
	return "tcp://" + addr.String()
}

// run is gnet's goroutine.
func (e *Engine) run() {
	level := gnetLog{e.config.Log}
	err := gnet.Run(&handler{e: e}, target(e.addr.(*net.TCPAddr)),
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
	e.writable.close()
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
	started := e.addr != nil
	e.life.Unlock()
	if !started {
		return nil
	}
	e.closing.Do(func() {
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

// Addr returns the address that the engine listens on, nil before Start.
func (e *Engine) Addr() net.Addr { return e.addr }

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
	return tick, gnet.None
}

func (h *handler) OnOpen(socket gnet.Conn) ([]byte, gnet.Action) {
	l := h.e.loopOf(socket.EventLoop())
	if p, ok := socket.Context().(*pump); ok {
		l.pump = p
		return nil, gnet.None
	}
	c := &Conn{socket: socket, fd: int32(socket.Fd())}
	socket.SetContext(c)
	l.add(c)
	n := int(h.e.conns.Add(1))
	switch {
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
