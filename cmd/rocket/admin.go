package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/cmd/rocket/console"
)

// admin is the listener of the admin API. A nil one is off.
type admin struct {
	listener net.Listener
	server   *http.Server
	ended    chan struct{} // closed when the serving goroutine has ended
}

// startAdmin serves the admin API. If its default address is taken, as by a
// second server on the machine, the server starts without it.
func startAdmin(c *config, s *service) (*admin, error) {
	if c.admin == "off" {
		return nil, nil
	}
	var config net.ListenConfig
	if c.server.ReusePort {
		config.Control = sharePort // the next process starts before this one ends
	}
	listener, err := config.Listen(context.Background(), "tcp", c.admin)
	if errors.Is(err, syscall.EADDRINUSE) && c.origin["admin"] == "" {
		s.log.Warn("no admin API: its default address is taken; choose another with -admin, or -admin off", "address", c.admin)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("admin API: %w; choose another address with -admin or Admin", err)
	}
	a := &admin{listener: listener, ended: make(chan struct{})}
	a.server = &http.Server{
		Handler:           console.New(s.consoleConfig(c)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(a.ended)
		// It ends when close is called.
		_ = a.server.Serve(listener)
	}()
	return a, nil
}

// consoleConfig returns what the admin API shows.
func (s *service) consoleConfig(c *config) console.Config {
	config := console.Config{
		Server: s.server, Token: c.adminToken, Host: adminHost(c.admin), Profiling: c.profiling == "on",
		CertificateExpiry: s.certs.expiry, KeySets: s.keys.keySets, API: s.api, Apps: s.apps.table.Stats, Log: s.log,
	}
	if s.member != nil {
		config.Cluster, config.Remove = s.member.Stats, s.member.Remove
	}
	return config
}

// adminHost returns the host of the address of the API.
func adminHost(address string) string {
	host, _, _ := net.SplitHostPort(address) // it has been listened on
	return host
}

// sharePort lets a socket listen where another process does, if that agrees.
func sharePort(_, _ string, socket syscall.RawConn) error {
	var err error
	controlErr := socket.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(controlErr, err)
}

// address returns where the API is, or "off".
func (a *admin) address() string {
	if a == nil {
		return "off"
	}
	return "http://" + a.listener.Addr().String()
}

// close ends the API, requests in progress included, and waits for that.
func (a *admin) close() {
	if a == nil {
		return
	}
	_ = a.server.Close()
	<-a.ended
}

// alreadyDone returns a context that is done, so that nothing waits.
func alreadyDone() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
