package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/httpapi"
)

// shutdownTimeout is how long clients have for the closing handshake when the
// server ends and another process listens on its port.
const shutdownTimeout = 10 * time.Second

// A server that is alone on its port has at most about a second to end: while it
// does, its clients cannot come back, to it or to the one that is started next.
const (
	aloneWindow  = 500 * time.Millisecond // over which connections are closed
	aloneTimeout = 500 * time.Millisecond // for the closing handshakes after that
	aloneRate    = 20_000                 // connections for which there is another second: closing them is work
)

// errTerminated is the cause of a context that SIGTERM has ended: there is time
// to drain.
var errTerminated = errors.New("terminated")

// signalDoc is what a server does when a signal comes.
type signalDoc struct{ name, does string }

// signalDocs returns all of them. The manual and docs/configuration.md follow it.
func signalDocs() []signalDoc {
	return []signalDoc{
		{"SIGTERM", "drains: refuses new connections and closes the others with 1001, spread evenly over Drain; ends with status 0 as soon as all are gone, at most 10 s after that time; alone on its port it ends within about a second"},
		{"SIGUSR2", "drains over Drain, also if it is alone on its port, and ends when all are gone, however long that takes"},
		{"SIGINT (Ctrl-C)", "closes all connections at once; ends with status 0 when they are gone, 10 s later at most; alone on its port half a second later"},
		{"SIGHUP", "opens the log files again, and reads the configuration and the certificate again"},
		{"a second SIGINT or SIGTERM", "ends at once, with status 1"},
	}
}

// service is a server that runs, and obeys signals.
type service struct {
	server  *webrocket.Server
	api     *httpapi.API
	log     *slog.Logger
	logs    *logs
	sources sources
	started *config                // what only a restart changes is as here
	config  atomic.Pointer[config] // the rest; both are one until a reload
	certs   *certificates
	keys    *keyRing
	member  *clusterMember // of a cluster, nil if there is none
	apps    *applications
	manager *notifier
	goodbye time.Duration  // for the closing handshakes when it ends
	files   uint64         // that may be open at once
	memory  int64          // that the Go runtime may use without MemoryLimit
	reloads chan os.Signal // SIGHUP; one that comes before an earlier one was obeyed is the same
	leaves  chan os.Signal // SIGUSR2; with a channel of its own no other takes its place
	ending  sync.WaitGroup
}

// obeySignals begins before the server says that it has started. Signals that
// come before wait is called are queued.
func (s *service) obeySignals() (stop func()) {
	s.reloads, s.leaves = make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(s.reloads, syscall.SIGHUP)
	signal.Notify(s.leaves, syscall.SIGUSR2)
	return func() {
		signal.Stop(s.reloads)
		signal.Stop(s.leaves)
	}
}

// wait returns when the server has stopped: by itself, or because ctx is done
// or SIGUSR2 came, and its connections are closed.
func (s *service) wait(ctx context.Context) error {
	defer s.ending.Wait()
	defer s.obeyReloads()()
	stopped := make(chan error, 1)
	s.ending.Go(func() { stopped <- s.server.Wait() })
	done := ctx.Done()
	for {
		select {
		case err := <-stopped:
			return err
		case <-done:
			done = nil
			how := s.parting(errors.Is(context.Cause(ctx), errTerminated))
			s.ending.Go(func() { s.end(ctx, how) })
		case <-s.leaves:
			// SIGUSR2 asks for a drain: the operator has other servers answer
			// meanwhile.
			window := s.config.Load().window(s.server.Connections(), true)
			s.ending.Go(func() { s.leave(window) })
		}
	}
}

// warn logs the warnings about the configuration in force.
func (s *service) warn() {
	c := s.config.Load()
	now := time.Now()
	for _, w := range slices.Concat(c.warnings(), s.certs.unusable(now), s.certs.expiring(now)) {
		s.log.Warn(w)
	}
	for _, note := range c.notes {
		s.log.Info(note)
	}
	if n := s.server.MaxConnections(); n < c.server.MaxConnections {
		s.log.Warn("the open-file limit allows fewer connections than MaxConnections", "openFiles", s.files, "connections", n)
	}
}

// reloadTimeout is how long a reload has when the server has stopped.
const reloadTimeout = time.Second

// obeyReloads reloads on a goroutine of its own, one reload at a time: reading
// a pipe or a network disk may take long, and must not delay other signals. The
// function that it returns waits for the reload in progress, but not for ever,
// since reading cannot be interrupted.
func (s *service) obeyReloads() (stop func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.reloadUntil(over)
	}()
	return func() {
		close(over)
		select {
		case <-ended:
		case <-time.After(reloadTimeout):
			s.log.Warn("a reload has not finished in time")
		}
	}
}

// reloadUntil reloads at each signal until over is closed.
func (s *service) reloadUntil(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-s.reloads:
		}
		select {
		case <-over: // both had come: a server that has stopped cannot be reloaded
			return
		default:
			s.manager.reload(s.reload)
		}
	}
}

// drainRate is how many connections are closed in a second, at least, if Drain
// is not set: few connections need not be spread over a long time.
const drainRate = 100

// window returns over which time so many connections are closed, negative if they
// are not to be drained. Shared says that another process answers at the port.
func (c *config) window(connections int, shared bool) time.Duration {
	if c.origin["drain"] != "" {
		return c.drain
	}
	most := c.drain
	if !shared {
		most = min(most, aloneWindow)
	}
	return min(most, time.Duration(connections/drainRate)*time.Second)
}

// A parting is how a server ends.
type parting struct {
	window  time.Duration // over which connections are closed; negative: no drain
	goodbye time.Duration // for the closing handshakes after that
	shared  bool          // another process answers at the port
}

// parting returns how the server ends now.
func (s *service) parting(drain bool) parting {
	shared, err := s.server.Shared()
	if err != nil {
		s.log.Warn("it is not known whether another process listens on the port", "error", err)
	}
	return s.config.Load().parting(s.server.Connections(), drain, shared, s.goodbye)
}

// parting gives closing handshakes the time goodbye, and less to those of a server
// that is alone, unless its operator has chosen how long it drains.
func (c *config) parting(connections int, drain, shared bool, goodbye time.Duration) parting {
	how := parting{window: -1, goodbye: goodbye, shared: shared}
	if drain {
		how.window = c.window(connections, shared)
	}
	if !shared && (how.window < 0 || c.origin["drain"] == "") {
		how.goodbye = min(goodbye, aloneTimeout+time.Duration(connections)*time.Second/aloneRate)
	}
	return how
}

// end stops the server: after the window if it is to be drained, and when the
// time for the closing handshakes is over.
func (s *service) end(ctx context.Context, how parting) {
	window := max(how.window, 0)
	s.log.Info("shutting down", "connections", s.server.Connections(), "window", window.String(),
		"goodbye", how.goodbye.String(), "shared", how.shared)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), window+how.goodbye)
	defer cancel()
	if how.window >= 0 {
		if err := s.server.Drain(bounded, window); err != nil {
			s.log.Warn("connections are still open after the drain", "error", err)
		}
	}
	if err := s.server.Shutdown(bounded); err != nil {
		s.log.Warn("not every connection was closed in time", "error", err)
	}
}

// leave drains the server and stops it when it is empty, however long that takes.
func (s *service) leave(window time.Duration) {
	window = max(window, 0)
	s.log.Info("draining", "connections", s.server.Connections(), "window", window.String())
	ctx := context.Background()
	if err := s.server.Drain(ctx, window); err != nil {
		s.log.Warn("connections are still open after the drain", "error", err)
	}
	if err := s.server.Shutdown(ctx); err != nil {
		s.log.Warn("not every connection was closed in time", "error", err)
	}
}
