// Package conformance_test answers: does the server do what RFC 6455, RFC 7692
// and RFC 9112 say?
//
// Its tests talk to a real server over real connections with bytes they draw
// themselves, so that neither a client library nor the codec under test decides
// what is sent. docs/conformance.md names for each MUST the test that shows it.
//
// Every test runs over every transport. The tables of dialogues are in
// framing_test.go, text_test.go, close_test.go, limits_test.go and
// deflate_test.go; requests are in handshake_test.go.
package conformance_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
)

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// transports are the ways to reach the server.
var transports = []transport{
	{"plain", func() (net.Conn, error) { return net.Dial("tcp", server.Addr().String()) }},
	{"tls", func() (net.Conn, error) { return tls.Dial("tcp", server.Addrs()[1].String(), trusting) }},
}

// A transport connects to the server.
type transport struct {
	name string
	dial func() (net.Conn, error)
}

var (
	server   *webrocket.Server
	trusting *tls.Config // of clients

	certificate tls.Certificate // of the server
)

func TestMain(m *testing.M) { os.Exit(serveAndRun(m)) }

func serveAndRun(m *testing.M) int {
	server = webrocket.NewServer("127.0.0.1:0")
	server.Log = slog.New(slog.DiscardHandler)
	server.Config.Loops = 2
	if err := listenTLS(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// The shortest there is: TestEndlessRequest waits for it.
	server.Config.HandshakeTimeout = patience / 30
	for path, e := range endpoints() {
		if err := server.Handle(path, e); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if err := server.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// listenTLS makes the server speak wss:// too.
func listenTLS() error {
	cert, err := webrocket.SelfSigned("127.0.0.1")
	if err != nil {
		return err
	}
	certificate = cert
	trusting = &tls.Config{RootCAs: x509.NewCertPool()}
	trusting.RootCAs.AddCert(cert.Leaf)
	server.Listen(webrocket.Listener{
		Addr: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
	})
	return nil
}

// Sizes of messages that the paths allow.
const (
	tinyLimit  = 10
	limit      = 64 << 10 // the default
	giantLimit = 16 << 20
)

// endpoints are what the server has at its paths.
func endpoints() map[string]webrocket.Handler {
	return map[string]webrocket.Handler{
		"/":      endpoint{},
		"/tiny":  endpoint{MaxMessageSize: tinyLimit},
		"/giant": endpoint{MaxMessageSize: giantLimit},
		"/close": endpoint{Handler: closer{}},
		"/page":  endpoint{Origins: []string{"https://example.com"}},

		"/deflate":       endpoint{Compression: true, CompressionThreshold: 1},
		"/deflate/some":  endpoint{Compression: true},
		"/deflate/tiny":  endpoint{Compression: true, CompressionThreshold: 1, MaxMessageSize: tinyLimit},
		"/deflate/giant": endpoint{Compression: true, CompressionThreshold: 1, MaxMessageSize: giantLimit},
		"/deflate/hub":   hub(),
	}
}

// hub is one that everybody may use.
func hub() *webrocket.HubHandler {
	h := webrocket.NewJSONHandler()
	h.Compression = true
	return h
}

// An endpoint sends every message back, unless it has another Handler.
type endpoint webrocket.Endpoint

// Register makes endpoint a webrocket.Handler.
func (e endpoint) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	if e.Handler == nil {
		e.Handler = echo{}
	}
	return (*webrocket.Endpoint)(&e), nil
}

// echo sends every message back.
type echo struct{}

func (echo) OnOpen(*webrocket.Conn)         {}
func (echo) OnClose(*webrocket.Conn, error) {}

func (echo) OnMessage(c *webrocket.Conn, op webrocket.Opcode, payload []byte) { c.Send(op, payload) }

// closer sends every message back, then closes the connection.
type closer struct{ echo }

func (closer) OnMessage(c *webrocket.Conn, op webrocket.Opcode, payload []byte) {
	c.Send(op, payload)
	c.Close(1001, "bye")
}
