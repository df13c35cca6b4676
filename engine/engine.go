package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
)

// ErrStopped is what Start returns after Shutdown, what Wait returns if the
// loops ended without Shutdown, and the reason in OnClose if the end of the
// loops closed the connection.
var ErrStopped = errors.New("engine: stopped")

var errStartedBefore = errors.New("engine: started before")

// An Engine accepts connections and runs them on event loops.
type Engine struct {
	config    Config
	endpoints atomic.Pointer[table]
	caps      atomic.Pointer[caps]
	maxFiles  int         // open files that the process may have
	listeners []*listener // nil before Start

	loops         []*Loop
	writable      *writable
	rings         rings // one for each loop; nil if they send with send(2)
	tlsHandshakes *tlsHandshakes
	files         []*fileListener
	accepting     sync.WaitGroup // the goroutines of files
	events        gnet.Engine
	web           *web        // nil if there is no Config.HTTP
	simulation    *Simulation // in place of events, nil if there are sockets

	gate     gate
	watchdog watchdog
	cleaner  cleaner
	ports    ports
	others   []int // listening sockets on the same port that are not ours

	life     life
	mu       sync.Mutex
	attached map[gnet.EventLoop]*Loop // guarded by mu

	clock       atomic.Uint32 // ticks since the start
	piped       atomic.Uint32 // pipes so far
	conns       atomic.Int64
	admitted    atomic.Int64 // those that hold one of MaxConnections places
	refused     atomic.Int64 // those that wait for the answer that refuses them
	memoryShort atomic.Bool  // memory is short
	stalled     atomic.Int32 // loops that take no turn
	stalls      atomic.Uint64
	tlsHere     mismatch // clients without TLS at a port with TLS
	noTLS       mismatch // clients with TLS at a port without TLS
}

// New returns an engine that is not started. The endpoints' keys are paths.
func New(config Config, endpoints map[string]Endpoint) *Engine {
	e := &Engine{
		config:   config.withDefaults(),
		attached: make(map[gnet.EventLoop]*Loop),
		life:     newLife(),
	}
	e.tlsHandshakes = newTLSHandshakes(e.config.HandshakeWorkers, e.clock.Load)
	e.cleaner.collect = runtime.GC
	e.endpoints.Store(newTable(endpoints))
	e.caps.Store(new(caps))
	return e
}

// Start is Listen for plain connections to addr.
func (e *Engine) Start(addr string) error { return e.Listen(Listener{Addr: addr}) }

// Listen listens on all the addresses. It returns nil once connections are
// served, otherwise the reason. An engine starts once.
func (e *Engine) Listen(on ...Listener) error {
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	if e.life.stopping.Load() {
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
	if err := <-e.life.booted; err != nil {
		e.life.stopping.Store(true)
		e.halt()
		<-e.life.stopped
		return err
	}
	return nil
}

// prepare binds the addresses and makes the loops. If it fails, nothing is left
// open.
func (e *Engine) prepare(on []Listener) (addrs []string, err error) {
	caps, err := capsOf(e.config, e.config.HTTP != nil)
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
	rings, err := newRings(e.config)
	if err != nil {
		return nil, err
	}
	loops, kernels := make([]*Loop, e.config.Loops), make([]*kernel, e.config.Loops)
	for i := range loops {
		kernels[i] = &kernel{log: e.log()}
		loops[i] = newLoop(e, i, kernels[i])
		if rings != nil {
			kernels[i].ring = rings[i]
			loops[i].batch.widen(ringEntries)
		}
	}
	writable, err := newWritable(loops) // the last that may fail: it has a goroutine
	if err != nil {
		rings.close()
		return nil, err
	}
	for _, k := range kernels {
		k.writable = writable
	}
	e.caps.Store(caps)
	e.listeners, e.files = listeners, files
	e.loops, e.writable, e.rings = loops, writable, rings
	e.startWeb()
	return addrs, nil
}

// run is the goroutine in which gnet runs, until its loops have ended.
func (e *Engine) run(addrs []string) {
	err := gnet.Rotate(&handler{e: e}, addrs,
		gnet.WithNumEventLoop(len(e.loops)),
		// One listener for each loop: a connection is accepted by the loop that
		// refuses it if there is no room. A separate acceptor would run ahead
		// of the loops, into the open-file limit, which ends gnet.
		gnet.WithReusePort(true),
		gnet.WithReuseAddr(true),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithSocketSendBuffer(max(e.config.SendBuffer, 0)),
		gnet.WithTicker(true),
		gnet.WithLogger(gnetLog{e}),
	)
	if err == nil && !e.life.stopping.Load() {
		err = ErrStopped
		if cause := e.life.cause.Load(); cause != nil {
			err = fmt.Errorf("%w: an event loop has failed: %w", err, *cause)
		}
	}
	e.life.err = err
	select {
	case e.life.booted <- err:
	default:
	}
	close(e.life.loopsEnded)
	e.web.close()
	e.closeFiles()
	e.writable.close()
	e.tlsHandshakes.close()
	e.cleaner.working.Wait()
	for _, l := range e.loops {
		l.end()
	}
	e.rings.close()
	close(e.life.stopped)
}

// Addr returns the first address that the engine listens on, nil before Start.
func (e *Engine) Addr() net.Addr {
	if len(e.listeners) == 0 {
		return nil
	}
	return e.listeners[0].addr
}

// Addrs returns the addresses that the engine listens on, in the order of
// Listen.
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

// boot finds the listening sockets, and gives each loop its pump: gnet assigns
// them to the loops in turn. Then it starts to accept from unix sockets.
func (e *Engine) boot() error {
	fds, err := listening(portsOf(e.listeners)...)
	if err != nil {
		return err
	}
	sockets, err := listenSocketsOf(slices.DeleteFunc(fds, func(fd int) bool { return slices.Contains(e.others, fd) }))
	if err != nil {
		return err
	}
	e.ports.watch(sockets)
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

// loopOf returns the loop that belongs to one of gnet's, by the order of the
// first calls.
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
