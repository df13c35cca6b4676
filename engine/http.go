package engine

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// web serves the connections that loops have handed over, with net/http. It is
// the net.Listener of that.
type web struct {
	engine  *Engine
	server  http.Server
	serving sync.WaitGroup

	open     atomic.Int64  // connections
	accepted atomic.Uint64 // since the start
	panics   atomic.Uint64 // of the handler

	mu     sync.Mutex
	more   sync.Cond
	queue  []*handed // that net/http has not taken yet
	closed bool
}

// HTTPStats is what an engine has counted of the connections that are not for
// WebSocket.
type HTTPStats struct {
	Connections int    // open
	Max         int    // that may be
	Accepted    uint64 // since the start
	Panics      uint64 // of Config.HTTP
}

// HTTP returns what is known of connections for Config.HTTP. Any goroutine; after
// Start.
func (e *Engine) HTTP() HTTPStats {
	w := e.web
	if w == nil {
		return HTTPStats{}
	}
	return HTTPStats{
		Connections: w.connections(), Max: e.caps.Load().http,
		Accepted: w.accepted.Load(), Panics: w.panics.Load(),
	}
}

// How net/http serves.
const (
	// httpIdle is how long a connection may be silent between two requests.
	httpIdle = 60 * time.Second

	// httpPiece is how many bytes a client has to take within Config.MessageTimeout.
	httpPiece = 64 << 10
)

// startWeb serves Config.HTTP from now on, if there is one.
func (e *Engine) startWeb() {
	if e.config.HTTP == nil {
		return
	}
	w := &web{engine: e}
	w.more.L = &w.mu
	w.server = http.Server{
		Handler:           w,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: max(e.config.HandshakeTimeout, 0),
		ReadTimeout:       max(e.config.MessageTimeout, 0),
		IdleTimeout:       httpIdle,
		MaxHeaderBytes:    maxHandshake,
		ErrorLog:          log.New(io.Discard, "", 0), // nothing that clients do is worth a line
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, httpConnKey{}, c)
		},
	}
	w.server.Protocols.SetHTTP1(true)
	e.web = w
	w.serving.Go(func() { _ = w.server.Serve(w) })
}

// reserve counts a connection, if there may be one more.
func (w *web) reserve() bool {
	if int(w.open.Add(1)) <= w.engine.caps.Load().http {
		return true
	}
	w.open.Add(-1)
	return false
}

// release uncounts it.
func (w *web) release() {
	w.open.Add(-1)
	if w.engine.Draining() {
		w.engine.noteClosed()
	}
}

func (w *web) connections() int {
	if w == nil {
		return 0
	}
	return int(w.open.Load())
}

// take queues a connection for Accept. It does not wait.
func (w *web) take(h *handed) {
	w.accepted.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		w.drop(h)
		return
	}
	w.queue = append(w.queue, h)
	w.more.Signal()
}

// drop closes a connection that is not served.
func (w *web) drop(h *handed) {
	_ = os.NewFile(uintptr(h.fd), "").Close()
	w.release()
}

// Accept returns the next connection. net/http calls it.
func (w *web) Accept() (net.Conn, error) {
	for {
		h := w.next()
		if h == nil {
			return nil, net.ErrClosed
		}
		if c, err := w.connOf(h); err == nil {
			return c, nil
		}
		w.release()
	}
}

// next waits for a connection, and returns nil when there will be none.
func (w *web) next() *handed {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.closed {
		w.more.Wait()
	}
	if w.closed {
		return nil
	}
	h := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return h
}

// Close ends Accept. net/http calls it.
func (w *web) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, h := range w.queue {
		w.drop(h)
	}
	w.queue = nil
	w.more.Broadcast()
	return nil
}

// Addr returns the first address of the engine.
func (w *web) Addr() net.Addr { return w.engine.Addr() }

// drain lets each connection end with the answer that it is to get next.
func (w *web) drain() {
	if w != nil {
		w.server.SetKeepAlivesEnabled(false)
	}
}

// shutdown waits until all that has been asked is answered, and closes what is
// open when ctx is done.
func (w *web) shutdown(ctx context.Context) {
	if w != nil && w.server.Shutdown(ctx) != nil {
		_ = w.server.Close()
	}
}

// close closes all connections, and waits for the goroutine that accepts them.
func (w *web) close() {
	if w != nil {
		_ = w.server.Close()
		w.serving.Wait()
	}
}

type httpConnKey struct{}

// ServeHTTP calls Config.HTTP for a request.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(httpConnKey{}).(*httpConn)
	r.TLS = c.tls
	if refusal := c.judge(r); refusal != nil {
		refuseHTTP(rw, r, refusal)
		return
	}
	if isLast(r) || isProxied(r) {
		rw.Header().Set("Connection", "close")
	}
	defer w.guard()
	w.engine.config.HTTP.ServeHTTP(rw, r)
}

// guard makes a panic of the handler end its connection.
func (w *web) guard() {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		w.panics.Add(1)
		w.engine.log().Error("an HTTP handler panicked; its connection is closed",
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		panic(http.ErrAbortHandler)
	}
}

// RefuseHTTP answers a request as an engine without Config.HTTP does: with 426 at
// the path of an endpoint, 404 at others, and 405, 501 or 505 where the method or
// version of HTTP is none for WebSocket. A WebSocket handshake that follows another
// request on its connection gets 426 with another reason. It is for a handler that has nothing at a
// path. Any goroutine; after Start.
func (e *Engine) RefuseHTTP(w http.ResponseWriter, r *http.Request) {
	refusal := codec.RefuseMethod(r.Method, r.ProtoAtLeast(1, 1))
	switch {
	case refusal != nil:
	case e.endpoints.Load().find([]byte(r.URL.EscapedPath())) == nil:
		refusal = errNotFound
	case r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		refusal = codec.RefuseLate()
	default:
		refusal = codec.RefuseOther(r.Method)
	}
	refuseHTTP(w, r, refusal)
}

// refuseHTTP writes a refusal, and has the connection closed.
func refuseHTTP(w http.ResponseWriter, r *http.Request, refusal *codec.HandshakeError) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	h.Set("Content-Length", strconv.Itoa(len(refusal.Reason)+1))
	for line := range strings.Lines(refusal.Header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		h.Add(name, value)
	}
	w.WriteHeader(refusal.Status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, refusal.Reason+"\n")
	}
}

// connOf makes the connection that net/http is to have.
func (w *web) connOf(h *handed) (*httpConn, error) {
	file := os.NewFile(uintptr(h.fd), "")
	defer file.Close()
	socket, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("engine: hand over: %w", err)
	}
	c := &httpConn{
		Conn: socket, web: w, held: h.request, secure: h.secure, remote: h.remote,
		patience: w.engine.config.MessageTimeout,
	}
	if t := h.session; t != nil {
		t.socket = &replay{socket, h.sealed}
		state := t.session.ConnectionState()
		c.Conn, c.tls = t.session, &state
	}
	if h.proxied != nil {
		c.forwarders = h.proxied.forwarders
	}
	return c, nil
}
