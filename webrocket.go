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
// The main path of one message, in reading order: engine/engine.go (bytes
// arrive on the loop that owns the connection), engine/conn.go (its state
// machine), engine/read.go (frames become a message), session.go (the message
// becomes a command and access is checked), pubsub/hub.go (a publish finds its
// channel), pubsub/shard.go (each loop's subscribers get the same encoded
// frame), engine/write.go (what waits for a connection leaves in one write).
//
// # Ownership
//
// Every connection belongs to one event loop. Callbacks of a protocol run on
// that loop, and so does every method of Conn that does not say otherwise.
// Methods of Server and HubHandler may be called from any goroutine.
//
// # Limits
//
// Linux only. The limits and their defaults are the fields of Config and of
// HubHandler; docs/protocol.md says what a client sees at each of them.
package webrocket

import (
	"context"
	"log/slog"
	"net"
)

// Version is the release this code belongs to.
const Version = "0.3.0-dev"

// Server serves WebSocket connections on one TCP address.
// Create it with NewServer; set the fields before it starts.
type Server struct {
	// Log receives what an operator should know: nothing per message, never a
	// secret or a payload. If nil, slog.Default() is used.
	Log *slog.Logger

	// Config holds the settings of the event loops. The zero value works.
	Config Config

	addr string
}

// NewServer returns a server that will listen on addr, a "host:port".
// Port 0 picks a free port, which Addr tells once the server has started.
func NewServer(addr string) *Server {
	return &Server{addr: addr}
}

// Handle makes h answer the connections to path, which starts with "/".
// It calls h.Register, and returns its error, or an error that says what is
// wrong with path. It must be called before the server starts.
func (s *Server) Handle(path string, h Handler) error { panic("unwritten") }

// Start listens and runs the event loops in the background.
// It returns once connections are served, or with the reason why not.
func (s *Server) Start() error { panic("unwritten") }

// Wait blocks until the server has stopped: nil after Shutdown, otherwise why.
func (s *Server) Wait() error { panic("unwritten") }

// ListenAndServe starts the server and waits until it has stopped.
// It returns nil after Shutdown.
func (s *Server) ListenAndServe() error { panic("unwritten") }

// ListenAndServeTLS is ListenAndServe for wss://.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error { panic("unwritten") }

// Shutdown refuses new connections, closes the others with 1001 (going away,
// RFC 6455 §7.4.1), and stops the loops once they are closed or ctx is done.
func (s *Server) Shutdown(ctx context.Context) error { panic("unwritten") }

// Addr returns the address that the server listens on, nil before it started.
func (s *Server) Addr() net.Addr { panic("unwritten") }

// Connections returns how many connections are open.
func (s *Server) Connections() int { panic("unwritten") }

// Loops returns how many event loops run.
func (s *Server) Loops() int { panic("unwritten") }

// MaxConnections returns the limit of open connections in force.
func (s *Server) MaxConnections() int { panic("unwritten") }

// Publish sends an event to the subscribers of a channel at path, as
// HubHandler.Publish does.
func (s *Server) Publish(path, channel, event string, data any) error { panic("unwritten") }
