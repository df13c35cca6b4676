package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/nu7hatch/webrocket"
)

// shutdownTimeout is how long clients have for the closing handshake when the
// server ends.
const shutdownTimeout = 10 * time.Second

// errTerminated is the cause of a context that SIGTERM has ended: there is time
// to drain.
var errTerminated = errors.New("terminated")

// service is a server that runs, and obeys signals.
type service struct {
	server  *webrocket.Server
	log     *slog.Logger
	logs    *logs
	sources sources
	config  *config // in force
	ending  sync.WaitGroup
}

// wait returns when the server has stopped: by itself, or because ctx is done
// or SIGUSR2 came, and its connections are closed.
func (s *service) wait(ctx context.Context) error {
	defer s.ending.Wait()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGHUP)
	defer signal.Stop(signals)
	removePID, err := writePID(s.config.pidFile) // whoever finds it may send signals
	if err != nil {
		return err
	}
	defer removePID()
	stopped := make(chan error, 1)
	s.ending.Go(func() { stopped <- s.server.Wait() })
	done := ctx.Done()
	for {
		select {
		case err := <-stopped:
			return err
		case <-done:
			done = nil
			s.ending.Go(func() { s.end(ctx, s.config.drain) })
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				s.reload()
			} else {
				window := s.config.drain
				s.ending.Go(func() { s.leave(window) })
			}
		}
	}
}

// end stops the server: after the window if it is to be drained, and at most
// shutdownTimeout later.
func (s *service) end(ctx context.Context, window time.Duration) {
	if window < 0 || !errors.Is(context.Cause(ctx), errTerminated) {
		window = 0
	}
	s.log.Info("shutting down", "connections", s.server.Connections(), "window", window.String())
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), window+shutdownTimeout)
	defer cancel()
	if window > 0 {
		if err := s.server.Drain(bounded, window); err != nil {
			s.log.Warn("not everybody has left in time", "error", err)
		}
	}
	if err := s.server.Shutdown(bounded); err != nil {
		s.log.Warn("not every connection was closed in time", "error", err)
	}
}

// leave drains the server and stops it when it is empty, however long that takes.
func (s *service) leave(window time.Duration) {
	s.log.Info("draining", "connections", s.server.Connections(), "window", window.String())
	ctx := context.Background()
	if err := s.server.Drain(ctx, window); err != nil {
		s.log.Warn("draining", "error", err)
	}
	if err := s.server.Shutdown(ctx); err != nil {
		s.log.Warn("shutting down", "error", err)
	}
}
