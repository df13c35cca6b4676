package engine

import (
	"context"
	"sync"
	"sync/atomic"
)

// A life is how far an engine has come between New and its end: Listen, then
// perhaps Drain, then Shutdown or the failure of a loop.
type life struct {
	mu     sync.Mutex // held by Listen, Simulate and Reload
	booted chan error // what Listen waits for: nil, or why the loops did not start

	draining    atomic.Bool // Drain has been called
	drainOnce   sync.Once
	portsOnce   sync.Once
	portsClosed chan struct{} // closed when no connection can come any more, after Drain
	connClosed  chan struct{} // has an element if a connection was closed while draining

	stopping     atomic.Bool // Shutdown has been called, or Listen has failed
	shutdownOnce sync.Once
	haltOnce     sync.Once

	cause      atomic.Pointer[error] // why gnet ended by itself
	loopsEnded chan struct{}         // closed when gnet has returned
	stopped    chan struct{}         // closed when everything has ended
	err        error                 // what Wait returns; read after stopped is closed
}

func newLife() life {
	return life{
		booted:      make(chan error, 1),
		portsClosed: make(chan struct{}),
		connClosed:  make(chan struct{}, 1),
		loopsEnded:  make(chan struct{}),
		stopped:     make(chan struct{}),
	}
}

// Wait blocks until the engine has stopped. It returns nil after Shutdown,
// otherwise the reason.
func (e *Engine) Wait() error {
	<-e.life.stopped
	return e.life.err
}

// Shutdown refuses new connections, closes the others with 1001 (RFC 6455
// §7.4.1), and stops the loops once all are closed or ctx is done. In the
// second case the error says how many connections were open. It may be called
// again, with an earlier end. Any goroutine but a loop's.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.life.stopping.Store(true)
	if !e.started() {
		return nil
	}
	e.life.shutdownOnce.Do(func() {
		e.closeFiles()
		for _, l := range e.loops {
			l.Post(func() { l.closeAll(false) })
		}
	})
	var answers sync.WaitGroup
	answers.Go(func() { e.web.shutdown(ctx) })
	err := e.drained(ctx)
	answers.Wait()
	e.halt()
	<-e.life.stopped
	return err
}

// started waits for a call of Listen that is running, and reports whether there
// has been one.
func (e *Engine) started() bool {
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	return e.listeners != nil
}

// noteClosed makes drained count the connections again.
func (e *Engine) noteClosed() {
	select {
	case e.life.connClosed <- struct{}{}:
	default:
	}
}

// halt ends the loops. It does not wait for them: gnet's Stop would poll every
// half second, but run learns of the end at once.
func (e *Engine) halt() {
	e.life.haltOnce.Do(func() {
		if e.simulation != nil {
			close(e.simulation.halted)
			return
		}
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.events.Stop(now)
	})
}
