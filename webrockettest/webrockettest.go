// Package webrockettest answers the question: how does a program test its handlers
// without a port?
//
// Start runs a webrocket.Server in the process, and Dial connects clients to it.
// Everything between a client and the handler is what runs in production: the
// opening handshake, framing, limits, compression, deadlines, hubs. Only sockets and
// clock are missing. What a client sends has been handled when Send returns, and
// time passes only in Advance, so that a test neither sleeps nor waits for pings.
//
//	server := webrockettest.Start(t, myServer()) // a *webrocket.Server, not started
//	c := server.Dial("/echo", nil)
//	c.Send(webrocket.Text, []byte("hello"))
//	op, message := c.Receive()
//
// The files: webrockettest.go is the server, client.go a client, frames.go what it
// reads.
//
// # Ownership
//
// Handlers run on the server's event loop, which is a goroutine of its own, as in
// production: a test calls methods of Server and Client, and of webrocket.Server, and
// no methods of a webrocket.Conn. Those of one Client are for one goroutine at a
// time.
//
// # Limits
//
// There is one event loop, and neither TLS nor a balancer's PROXY header.
package webrockettest

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/engine"
)

// A Server is a webrocket.Server that runs without a port.
type Server struct {
	*webrocket.Server

	t          testing.TB
	simulation *engine.Simulation
	clients    atomic.Int32
}

// Start runs a server on which Handle has been called. It ends with the test.
func Start(t testing.TB, s *webrocket.Server) *Server {
	t.Helper()
	simulation, err := s.Simulate()
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(now) // cuts off the clients that are left
	})
	return &Server{Server: s, t: t, simulation: simulation}
}

// Advance lets time pass for the server, in steps of 250 ms: it sends pings, which
// clients answer, and acts on deadlines. What is due has been done when it returns.
func (s *Server) Advance(d time.Duration) { s.simulation.Advance(d) }

// nextAddr returns an address for a new client: no two have the same.
func (s *Server) nextAddr() net.Addr {
	n := s.clients.Add(1)
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(n>>14)), Port: 1024 + int(n&0x3fff)}
}
