// Package webrocket is a WebSocket server for publish/subscribe channels.
//
// It answers one question: how does a program serve channels, or a protocol of
// its own, to very many WebSocket connections? A Server listens on one address
// and has a Handler for each path:
//
//	server := webrocket.NewServer("localhost:9772")
//	handler := webrocket.NewJSONHandler()
//	handler.Secrets = webrocket.Credentials{ReadOnly: "r", ReadWrite: "rw"}
//	server.Handle("/", handler)
//	err := server.ListenAndServe()
//
// The main path of one publish, in reading order: engine/gnet.go (bytes
// arrive on the event loop that owns the connection), engine/conn.go (its state
// machine), engine/read.go (frames become a message), protocol/native/native.go
// (the message becomes a command, codec/json.go), hub/publish.go (rights and
// limits are checked, and the command becomes an event), pubsub/hub.go (the
// event finds its channel), pubsub/form.go and protocol/native/forms.go (it is
// encoded once for each form that subscribers hear), pubsub/audience.go (it
// waits for the members of each event loop). Then, on each of these loops:
// engine/loop.go (one turn), hub/worker.go and pubsub/shard.go (what waits is
// walked over its members), engine/write.go (one write for each connection).
//
// # Ownership
//
// Every connection belongs to one event loop. Callbacks of a protocol run on
// that loop, and so does every method of Conn that does not say otherwise.
// Methods of Server, Hub and HubHandler may be called from any goroutine.
//
// # Limits
//
// Linux only. The limits and their defaults are the fields of Config, Endpoint and
// HubConfig; docs/protocol.md says what a client sees at each of them.
package webrocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
)

// Version is the release this code belongs to.
const Version = "0.3.0-dev"

// Config holds the settings of a Server's event loops. The zero value works.
type Config = engine.Config

// Listener is an address that a Server listens on, beside that of NewServer.
type Listener = engine.Listener

// ErrServerClosed is returned by Start after Shutdown.
var ErrServerClosed = errors.New("webrocket: the server has been shut down")

// Server serves WebSocket connections.
// Create it with NewServer; set the fields before it starts.
type Server struct {
	// Log receives what an operator should know: nothing per message, never a
	// secret or a payload. If nil, slog.Default() is used.
	Log *slog.Logger

	// Config holds the settings of the event loops. Its Worker and HTTP are the
	// server's own; its Log is the server's if nil.
	Config Config

	// HTTP gets the requests that open no WebSocket connection, on the same
	// addresses: a program's own pages and API, beside the hubs. It runs on
	// net/http, as Config.HTTP says, and Config.MaxHTTPConnections limits its
	// connections. RefuseHTTP is for what it has nothing to say about. If nil,
	// such requests are refused.
	HTTP http.Handler

	// TLS makes the address of NewServer speak wss://. StartTLS and
	// ListenAndServeTLS set its certificate. If nil, the address is plain.
	TLS *tls.Config

	// ProxyFrom are the addresses of balancers in front of the address of
	// NewServer, as in Listener. If empty, none.
	ProxyFrom []netip.Prefix

	// ForwardedFrom are the networks of trusted HTTP proxies in front of the
	// address of NewServer, as in Listener. If empty, none.
	ForwardedFrom []netip.Prefix

	// Broker connects the hubs of the server with those of the same name in other
	// processes: a cluster.Node. If it is a Caller, what is asked of one server, such as
	// RevokeUser and DisconnectSessions, is done by all. If nil, the server is alone.
	Broker Broker

	addr string

	mu        sync.RWMutex
	started   bool                // no Handle any more; guarded by mu
	endpoints map[string]Endpoint // guarded by mu
	handlers  map[string]Handler  // guarded by mu
	stats     statsCache
	listeners []Listener // guarded by mu

	life    sync.Mutex                    // held by Start, which Shutdown waits for
	stopped bool                          // Shutdown has been called; guarded by life
	engine  atomic.Pointer[engine.Engine] // nil before Start
	replays atomic.Bool                   // what other nodes have revoked before is being revoked here
}

// NewServer returns a server that will listen on addr, a "host:port".
// Port 0 picks a free port, which Addr tells once the server has started.
func NewServer(addr string) *Server {
	return &Server{
		addr:      addr,
		endpoints: make(map[string]Endpoint),
		handlers:  make(map[string]Handler),
	}
}

// Handle makes h answer the connections to path, which is written as clients ask
// for it: "/chat", and "/b%C3%BCcher" for what a page may write as "/bücher".
// A path that ends in a name in braces, as "/app/{key}" does, stands for all that
// have one other segment there, which Request.LastSegment tells; a path without
// braces comes first.
//
// Handle calls h.Register, and returns its error, or an error that says what is
// wrong with path. It must be called before the server starts.
func (s *Server) Handle(path string, h Handler) error {
	s.mu.RLock()
	err := s.mayHandle(path)
	s.mu.RUnlock()
	if err != nil {
		return fmt.Errorf("webrocket: handle %w", err)
	}
	endpoint, err := s.register(path, h)
	if err != nil {
		return fmt.Errorf("webrocket: handle %s: %w", path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.mayHandle(path) // much may have happened meanwhile
	if err == nil {
		err = s.mayServe(hubOf(endpoint.Protocol))
	}
	if err != nil {
		if hub, ok := h.(*HubHandler); ok {
			hub.giveUp()
		}
		return fmt.Errorf("webrocket: handle %w", err)
	}
	s.endpoints[path] = *endpoint
	s.handlers[path] = h
	return nil
}

// mayServe returns why the server cannot serve a hub, nil if it can. mu is
// held.
func (s *Server) mayServe(h *Hub) error {
	for path, e := range s.endpoints {
		if other := hubOf(e.Protocol); h != nil && other != nil && other != h && other.Name() == h.Name() {
			return fmt.Errorf("another hub at %s has the name %q too", path, h.Name())
		}
	}
	return nil
}

// register calls h.Register and looks at what it returns.
func (s *Server) register(path string, h Handler) (*Endpoint, error) {
	if h == nil {
		return nil, errors.New("there is no handler")
	}
	endpoint, err := h.Register(s, path)
	switch {
	case err != nil:
		return nil, err
	case endpoint == nil || endpoint.Protocol == nil:
		return nil, errors.New("Register returned no endpoint with a Protocol")
	case (endpoint.SlowReaders == DropOldest || endpoint.SlowReaders == Replay) && endpoint.Lost == nil:
		return nil, errors.New("Register returned an endpoint with DropOldest or Replay and without Lost")
	}
	if err := checkLists(endpoint.Origins, endpoint.Subprotocols); err != nil {
		return nil, err
	}
	return endpoint, nil
}

// checkLists returns an error if the Origins or Subprotocols of an endpoint
// have an entry that no client can send.
func checkLists(origins, subprotocols []string) error {
	for _, o := range origins {
		if _, err := codec.ParseOrigin(o); err != nil {
			return fmt.Errorf("origin %q: %w", o, err)
		}
	}
	for _, name := range subprotocols {
		if !codec.ValidToken([]byte(name)) {
			return fmt.Errorf("subprotocol %q: want a name without spaces, separators and characters beyond ASCII", name)
		}
	}
	return nil
}

// mayHandle returns why a path cannot be given a handler, nil if it can. mu is
// held.
func (s *Server) mayHandle(path string) error {
	_, taken := s.endpoints[path]
	for other := range s.endpoints {
		if samePaths(path, other) {
			return fmt.Errorf("%s: there is a handler for these paths already, at %s", path, other)
		}
	}
	switch {
	case s.started:
		return fmt.Errorf("%s: the server has started already", path)
	case taken:
		return fmt.Errorf("%s: there is a handler for this path already", path)
	}
	return checkPath(path)
}

// samePaths reports whether two different paths that end in a name in braces
// stand for the same.
func samePaths(a, b string) bool {
	prefix, ok := engine.Prefix(a)
	other, alsoOK := engine.Prefix(b)
	return ok && alsoOK && a != b && prefix == other
}

// checkPath accepts a path that clients can ask for.
func checkPath(path string) error {
	if prefix, ok := engine.Prefix(path); ok {
		path = prefix
	}
	if normal := codec.NormalPath(path); path != normal {
		return fmt.Errorf("%q: no client asks for this path; write %q", path, normal)
	}
	return nil
}

// Start listens and runs the event loops in the background. It returns nil once
// connections are served, otherwise an error. After an error it may be called
// again.
func (s *Server) Start() error {
	return s.start(func(e *engine.Engine, on []Listener) error { return e.Listen(on...) })
}

// Simulate is Start without a port and without a clock: connections come and time
// passes when the Simulation is told. Package webrockettest makes clients for tests
// of it.
func (s *Server) Simulate() (simulation *engine.Simulation, err error) {
	err = s.start(func(e *engine.Engine, _ []Listener) error {
		simulation, err = e.Simulate()
		return err
	})
	return simulation, err
}

// start is Start with a function that makes the engine run.
func (s *Server) start(run func(*engine.Engine, []Listener) error) error {
	s.life.Lock()
	defer s.life.Unlock()
	switch {
	case s.stopped:
		return ErrServerClosed
	case s.running() != nil:
		return errors.New("webrocket: the server has started already")
	}
	e, listeners, err := s.newEngine()
	if err != nil {
		return err
	}
	s.serveNodes() // before there are clients: what was revoked meanwhile is known then
	// Callbacks may run, and call methods of s, before this returns.
	if err := run(e, listeners); err != nil {
		s.setStarted(false)
		return fmt.Errorf("webrocket: %w", err)
	}
	s.engine.Store(e)
	return nil
}

// newEngine makes an engine of all handlers. No handler can be added after it.
func (s *Server) newEngine() (*engine.Engine, []Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.endpoints) == 0 {
		return nil, nil, errors.New("webrocket: nothing to serve; call Handle first")
	}
	s.started = true
	config := s.Config
	config.Worker = s.newWorker
	config.HTTP = s.HTTP
	if config.Log == nil {
		config.Log = s.log()
	}
	keepEvents(s.endpoints)
	s.setUpHubs(s.endpoints)
	first := Listener{Addr: s.addr, TLS: s.TLS, ProxyFrom: s.ProxyFrom, ForwardedFrom: s.ForwardedFrom}
	return engine.New(config, s.endpoints), append([]Listener{first}, s.listeners...), nil
}

// StartTLS is Start with a certificate, for wss:// at the address of NewServer.
// The files are in PEM and are read again when they change, see KeyPair. What
// else s.TLS has set stays in force.
func (s *Server) StartTLS(certFile, keyFile string) error {
	pair, err := LoadKeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	pair.Log = s.log()
	config := s.TLS.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	config.GetCertificate = pair.GetCertificate
	s.TLS = config
	return s.Start()
}

func (s *Server) setStarted(started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = started
}

// Wait blocks until the server has stopped: nil after Shutdown, otherwise why.
// It returns at once if the server has not been started.
func (s *Server) Wait() error {
	if e := s.running(); e != nil {
		return e.Wait()
	}
	return nil
}

// ListenAndServe starts the server and waits until it has stopped.
// It returns nil after Shutdown.
func (s *Server) ListenAndServe() error {
	if err := s.Start(); err != nil {
		return err
	}
	return s.Wait()
}

// ListenAndServeTLS is ListenAndServe for wss://, with StartTLS.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	if err := s.StartTLS(certFile, keyFile); err != nil {
		return err
	}
	return s.Wait()
}

// Shutdown refuses new connections, closes the others with 1001 (going away,
// RFC 6455 §7.4.1), and stops the loops once all are closed. If ctx is done
// before, it cuts the others off and returns an error with their number. A
// server that has not been started cannot be started any more. Any goroutine
// but a loop's.
func (s *Server) Shutdown(ctx context.Context) error {
	s.life.Lock()
	s.stopped = true
	e := s.running()
	s.life.Unlock()
	if e == nil {
		return nil
	}
	return e.Shutdown(ctx)
}

// Drain refuses new connections and closes the open ones with 1001. It spreads
// this evenly over the window, so that clients do not all connect elsewhere at
// the same time. With Config.ReusePort it takes at least about a second, in
// which it still accepts connections that the kernel has queued for it: so no
// client is refused while another process takes over the port. Drain returns
// nil once all connections are closed, or an error with how many are open when
// ctx is done. Then call Shutdown. Clients that connect again meanwhile are
// refused unless another process (Shared) or another server behind a balancer
// accepts them, so a server that is alone should drain quickly. Any goroutine
// but a loop's.
func (s *Server) Drain(ctx context.Context, window time.Duration) error {
	if e := s.running(); e != nil {
		return e.Drain(ctx, window)
	}
	return nil
}

// Shared reports whether another process listens on every TCP port of the
// server too, as Config.ReusePort allows. If so, that process accepts the
// clients that connect again after Drain. Any goroutine.
func (s *Server) Shared() (bool, error) {
	if e := s.running(); e != nil {
		return e.Shared()
	}
	return false, nil
}

// Listen adds an address to that of NewServer. It must be called before the
// server starts, which then listens on all of them.
func (s *Server) Listen(l Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
}

// Addrs returns the addresses that the server listens on: that of NewServer,
// then those of Listen in their order. None before Start.
func (s *Server) Addrs() []net.Addr {
	if e := s.running(); e != nil {
		return e.Addrs()
	}
	return nil
}

// Ready reports whether the server can take new clients: it has started,
// neither Drain nor Shutdown has been called, it is below its limits of
// connections and memory, and nothing on the machine, such as a lack of free
// files, keeps it from accepting connections.
func (s *Server) Ready() bool {
	e := s.running()
	return e != nil && !e.Draining() && e.Admits() && e.Accepting()
}

// Stalled returns how many event loops are stalled: they have taken no turn for
// Config.StallTimeout. A watchdog should restart a server that stays stalled.
func (s *Server) Stalled() int {
	if e := s.running(); e != nil {
		return e.Stalled()
	}
	return 0
}

// Stalls returns how often an event loop stalled.
func (s *Server) Stalls() uint64 {
	if e := s.running(); e != nil {
		return e.Stalls()
	}
	return 0
}

// Addr returns the address of NewServer as it was bound, nil before Start.
func (s *Server) Addr() net.Addr {
	if e := s.running(); e != nil {
		return e.Addr()
	}
	return nil
}

// Connections returns how many connections are open.
func (s *Server) Connections() int {
	if e := s.running(); e != nil {
		return e.Connections()
	}
	return 0
}

// Loops returns how many event loops run.
func (s *Server) Loops() int {
	if e := s.running(); e != nil {
		return len(e.Loops())
	}
	return 0
}

// MaxConnections returns the limit of open connections in force, once started.
func (s *Server) MaxConnections() int {
	if e := s.running(); e != nil {
		return e.MaxConnections()
	}
	return 0
}

// RefuseHTTP answers a request as a server without HTTP does: with 426 at the path
// of a handler, which says how WebSocket is reached through a proxy, otherwise with
// 404, 405, 501 or 505. The connection is closed after it. Any goroutine.
func (s *Server) RefuseHTTP(w http.ResponseWriter, r *http.Request) {
	if e := s.running(); e != nil {
		e.RefuseHTTP(w, r)
		return
	}
	http.Error(w, "This server has just started. Try again.", http.StatusServiceUnavailable)
}

// Pipe connects a client within the process, as engine.Engine.Pipe does: for what
// brings the clients of another transport to the server's handlers. Any goroutine.
func (s *Server) Pipe(from string) (net.Conn, error) {
	e := s.running()
	if e == nil {
		return nil, errors.New("webrocket: the server has not been started")
	}
	conn, err := e.Pipe(from)
	if err != nil {
		return nil, fmt.Errorf("webrocket: %w", err)
	}
	return conn, nil
}

// AllowsOrigin reports whether pages of an origin may connect to the handler at a
// path. Any goroutine.
func (s *Server) AllowsOrigin(path, origin string) bool {
	e := s.running()
	return e != nil && e.Allows(path, origin)
}

// HTTPStats is what a Server has counted of the connections that its HTTP has.
type HTTPStats = engine.HTTPStats

// HTTPStats returns what is known of the connections for Server.HTTP. Any goroutine.
func (s *Server) HTTPStats() HTTPStats {
	if e := s.running(); e != nil {
		return e.HTTP()
	}
	return HTTPStats{}
}

func (s *Server) running() *engine.Engine { return s.engine.Load() }

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}
