package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// ErrStopped is what Start returns after Shutdown, Wait where the loops ended
// without it, and the reason in OnClose where that cut the connection off.
var ErrStopped = errors.New("engine: stopped")

var errStartedBefore = errors.New("engine: started before")

// refusalMax is how many connections that are not let in may be open at once to
// be told so. The rest is closed without a word.
const refusalMax = 64

// An Engine accepts connections and runs them on event loops.
type Engine struct {
	config    Config
	endpoints atomic.Pointer[table]
	caps      atomic.Pointer[caps]
	maxFiles  int         // that the process may have open
	listeners []*listener // nil before Start

	loops      []*Loop
	writable   *writable
	handshakes *handshakes
	files      []*fileListener
	accepting  sync.WaitGroup // their goroutines
	events     gnet.Engine
	simulation *Simulation // in place of events, nil if there are sockets

	gate     gate
	watchdog watchdog
	cleaner  cleaner
	ports    ports // the clock's
	others   []int // listening sockets on the same port that are not ours

	life     sync.Mutex // Start is at work
	emptying sync.Once  // Drain begins
	closing  sync.Once  // Shutdown says good-bye
	shutting sync.Once  // the ports are closed after Drain
	halting  sync.Once  // Shutdown ends the loops

	mu       sync.Mutex
	attached map[gnet.EventLoop]*Loop // guarded by mu

	clock    atomic.Uint32 // ticks since the start
	conns    atomic.Int64
	admitted atomic.Int64 // of them
	refused  atomic.Int64 // the others: they wait to be told so, and take nobody's place
	crowded  atomic.Bool  // memory is short
	stalled  atomic.Int32 // loops that do not get on
	stalls   atomic.Uint64
	tlsHere  mismatch    // plain clients at a port with TLS
	noTLS    mismatch    // TLS clients at a port without
	leaving  atomic.Bool // Drain
	stopping atomic.Bool // Shutdown

	booted  chan error            // Start waits for it
	ended   chan struct{}         // closed when gnet has returned
	stopped chan struct{}         // closed when all is done after that
	err     error                 // why; read after stopped is closed
	cause   atomic.Pointer[error] // why gnet has ended
	shut    chan struct{}         // closed when nobody comes any more, after Drain
	gone    chan struct{}         // a connection has been closed while draining
}

// New returns an engine that is not started. The endpoints' keys are paths.
func New(config Config, endpoints map[string]Endpoint) *Engine {
	e := &Engine{
		config:   config.withDefaults(),
		attached: make(map[gnet.EventLoop]*Loop),
		booted:   make(chan error, 1),
		ended:    make(chan struct{}),
		stopped:  make(chan struct{}),
		gone:     make(chan struct{}, 1),
		shut:     make(chan struct{}),
	}
	e.handshakes = newHandshakes(e.config.HandshakeWorkers, e.clock.Load)
	e.cleaner.collect = runtime.GC
	e.endpoints.Store(newTable(endpoints))
	e.caps.Store(new(caps))
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
		return errStartedBefore
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
	caps, err := capsOf(e.config)
	if err != nil {
		return nil, err
	}
	most, err := FileLimit()
	if err != nil {
		return nil, err
	}
	e.maxFiles = int(min(most, math.MaxInt32))
	listeners := make([]*listener, len(on))
	for i, l := range on {
		listeners[i] = newListener(l)
	}
	files, err := bind(listeners, e.config.ReusePort)
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
	if e.others, err = listening(portsOf(listeners)...); err != nil {
		return nil, err
	}
	sockets := &kernel{}
	loops := make([]*Loop, e.config.Loops)
	for i := range loops {
		loops[i] = newLoop(e, i, sockets)
	}
	if sockets.writable, err = newWritable(loops); err != nil { // the last that may fail: it has a goroutine
		return nil, err
	}
	e.caps.Store(caps)
	e.listeners, e.files = listeners, files
	e.loops, e.writable = loops, sockets.writable
	return addrs, nil
}

// run is gnet's goroutine.
func (e *Engine) run(addrs []string) {
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
		gnet.WithLogger(gnetLog{e}),
	)
	if err == nil && !e.stopping.Load() {
		err = ErrStopped
		if cause := e.cause.Load(); cause != nil {
			err = fmt.Errorf("%w: an event loop has failed: %w", err, *cause)
		}
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
	e.cleaner.working.Wait()
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
	if !e.started() {
		return nil
	}
	e.closing.Do(func() {
		e.closeFiles()
		for _, l := range e.loops {
			l.Post(func() { l.closeAll(false) })
		}
	})
	err := e.drained(ctx)
	e.halt()
	<-e.stopped
	return err
}

// started waits for a Start that is at work, and tells whether there was one.
func (e *Engine) started() bool {
	e.life.Lock()
	defer e.life.Unlock()
	return e.listeners != nil
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
		if e.simulation != nil {
			close(e.simulation.halted)
			return
		}
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
func (e *Engine) MaxConnections() int { return e.caps.Load().connections }

// Loops returns the loops, once started.
func (e *Engine) Loops() []*Loop { return e.loops }

func (e *Engine) log() *slog.Logger { return e.config.Log }

// boot finds the ports, and gives each loop its pump. gnet hands them out in turn.
func (e *Engine) boot() error {
	fds, err := listening(portsOf(e.listeners)...)
	if err != nil {
		return err
	}
	doors, err := doorsOf(slices.DeleteFunc(fds, func(fd int) bool { return slices.Contains(e.others, fd) }))
	if err != nil {
		return err
	}
	e.ports.watch(doors)
	for range e.loops {
		if err := newPump(e.events); err != nil {
			return err
		}
	}
	for _, f := range e.files {
		e.accepting.Go(func() { f.accept(e) })
	}
	return nil
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
	h.e.ports.forget()
	for _, l := range h.e.loops {
		l.events.Store(nil)
	}
}

// OnTick is the clock. gnet calls it first when the loops have begun.
func (h *handler) OnTick() (time.Duration, gnet.Action) {
	if h.e.clock.Add(1) == 1 {
		h.e.booted <- h.e.boot()
	}
	h.e.watchLoops(h.e.clock.Load())
	h.e.acceptAgain()
	h.e.watchMemory(memoryInUse())
	if h.e.crowded.Load() {
		h.e.cleaner.look(h.e.clock.Load(), collections())
	}
	if h.e.leaving.Load() {
		h.e.closePorts()
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
	if in == nil { // better nobody than somebody without the TLS that is due
		h.e.conns.Add(1)
		h.e.admitted.Add(1)
		h.e.log().Error("a connection to an address that is not known", "address", socket.LocalAddr().String())
		return nil, gnet.Close
	}
	if !h.e.enter(c) {
		return nil, gnet.Close
	}
	return nil, gnet.None
}

// enter counts a new connection, and judges whether it may come in. It returns
// false if the connection has to be closed at once.
func (e *Engine) enter(c *Conn) bool {
	e.conns.Add(1)
	n := int(e.admitted.Add(1))
	if e.stopping.Load() {
		c.turnAway(errStopping)
		return false
	}
	switch why := e.judge(c, n); {
	case why != admitted && !e.refuse(c, why):
		c.turnAway(refusals[why])
		return false
	case e.maxFiles-int(c.fd) < closeBelow:
		c.turnAway(errFull)
		return false
	}
	return true
}

// refuse takes the place of an admitted connection from it. It returns false if
// it cannot stay to be told so: too many do.
func (e *Engine) refuse(c *Conn, why refusal) bool {
	c.refused = why
	e.admitted.Add(-1)
	return e.refused.Add(1) <= refusalMax
}

// Admits tells whether a newcomer is let in as far as places and memory go. Any
// goroutine; after Start.
func (e *Engine) Admits() bool {
	return int(e.admitted.Load()) < e.caps.Load().connections && !e.crowded.Load()
}

// judge tells whether a connection may come in, as the n-th of those that are in.
func (e *Engine) judge(c *Conn, n int) refusal {
	caps := e.caps.Load()
	switch {
	case n > caps.connections, e.maxFiles-int(c.fd) < refuseBelow:
		return full
	case e.crowded.Load():
		return noMemory
	case c.transport.announces(), c.transport.forwards():
		return admitted // it is judged when it is known which client it is for
	}
	return e.tooMany(c)
}

// tooMany tells whether a connection comes too soon after others.
func (e *Engine) tooMany(c *Conn) refusal {
	caps := e.caps.Load()
	if e.gate.admit(c.RemoteAddr(), e.clock.Load(), caps.rate, caps.perSource) {
		return admitted
	}
	return tooMany
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
	h.e.left(c)
	return gnet.None
}

// left counts a connection that is closed.
func (e *Engine) left(c *Conn) {
	e.conns.Add(-1)
	if c.refused != admitted {
		e.refused.Add(-1)
	} else {
		e.admitted.Add(-1)
	}
	if e.Draining() {
		e.oneGone()
	}
}

// gnetLog passes on what gnet finds worth an operator's attention.
type gnetLog struct{ e *Engine }

func (g gnetLog) Debugf(string, ...any) {}
func (g gnetLog) Infof(string, ...any)  {}

func (g gnetLog) Warnf(format string, args ...any) {
	g.e.log().Warn("event loops", "detail", fmt.Sprintf(format, args...))
}

func (g gnetLog) Errorf(format string, args ...any) {
	if !g.e.hear(format, args) {
		g.e.log().Error("event loops", "detail", fmt.Sprintf(format, args...))
	}
}

func (g gnetLog) Fatalf(format string, args ...any) {
	g.e.log().Error("event loops", "detail", fmt.Sprintf(format, args...))
}
