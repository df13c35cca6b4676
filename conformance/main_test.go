// Package conformance_test answers: does the server do what RFC 6455, RFC 7692
// and RFC 9112 say?
//
// Its tests talk to a real server over real connections with bytes they draw
// themselves, so that neither a client library nor the codec under test decides
// what is sent. docs/conformance.md names for each MUST the test that shows it.
//
// proxies_test.go puts proxies, as the files in deploy configure them, in front of the command.
//
// Every test of dialogues runs over every transport. The tables of dialogues are in
// framing_test.go, text_test.go, close_test.go and deflate_test.go; requests are in
// handshake_test.go.
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
const patience = 2 * time.Minute

// transports are the ways to reach a server.
var transports = []transport{
	{"plain", func(s *webrocket.Server) (net.Conn, error) { return net.Dial("tcp", s.Addr().String()) }},
	{"tls", func(s *webrocket.Server) (net.Conn, error) {
		return tls.Dial("tcp", s.Addrs()[1].String(), trusting)
	}},
}

// A transport connects to a server.
type transport struct {
	name string
	dial func(*webrocket.Server) (net.Conn, error)
}

var (
	server   *webrocket.Server // of all tests but those of deadlines
	trusting *tls.Config       // of clients

	certificate tls.Certificate // of the server
)

func TestMain(m *testing.M) { os.Exit(serveAndRun(m)) }

func serveAndRun(m *testing.M) int {
	err := makeCertificate()
	if err == nil {
		server, err = start(noDeadlines)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	if err := shutdown(server); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// noDeadlines are those of a server that waits for as long as a client takes: a machine may be so busy that any time is
// over between two bytes.
var noDeadlines = webrocket.Config{HandshakeTimeout: -1, PingInterval: -1, MessageTimeout: -1, CloseTimeout: -1}

// makeCertificate makes that of all servers, which clients trust.
func makeCertificate() error {
	cert, err := webrocket.SelfSigned("127.0.0.1")
	if err != nil {
		return err
	}
	certificate = cert
	trusting = &tls.Config{RootCAs: x509.NewCertPool()}
	trusting.RootCAs.AddCert(cert.Leaf)
	return nil
}

// start starts a server that speaks ws:// and wss://.
func start(c webrocket.Config) (*webrocket.Server, error) {
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.DiscardHandler)
	s.Config = c
	s.Config.Loops = 2
	s.Listen(webrocket.Listener{
		Addr: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{certificate}},
	})
	for path, e := range endpoints() {
		if err := s.Handle(path, e); err != nil {
			return nil, err
		}
	}
	return s, s.Start()
}

func shutdown(s *webrocket.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.Shutdown(ctx)
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
		"/close": endpoint{Protocol: closer{}},
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

// An endpoint sends every message back, unless it has another Protocol.
type endpoint webrocket.Endpoint

// Register makes endpoint a webrocket.Handler.
func (e endpoint) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	if e.Protocol == nil {
		e.Protocol = echo{}
	}
	return (*webrocket.Endpoint)(&e), nil
}

// echo sends every message back.
type echo struct{}

func (echo) OnOpen(_ *webrocket.Conn, _ *webrocket.Request) {}
func (echo) OnClose(*webrocket.Conn, error)                 {}

func (echo) OnMessage(c *webrocket.Conn, op webrocket.Opcode, payload []byte) { c.Send(op, payload) }

// closer sends every message back, then closes the connection.
type closer struct{ echo }

func (closer) OnMessage(c *webrocket.Conn, op webrocket.Opcode, payload []byte) {
	c.Send(op, payload)
	c.Close(1001, "bye")
}
