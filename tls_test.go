package webrocket_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

// pair is a certificate of a test, in files.
type pair struct {
	tls.Certificate
	certFile, keyFile string
}

// newPair writes a new certificate to the files of a directory.
func newPair(t testing.TB, dir string) *pair {
	t.Helper()
	cert, err := webrocket.SelfSigned("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{cert, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	writePEM(t, p.certFile, "CERTIFICATE", cert.Certificate[0])
	writePEM(t, p.keyFile, "PRIVATE KEY", key)
	return p
}

func writePEM(t testing.TB, name, kind string, der []byte) {
	t.Helper()
	b := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// trust is the configuration of a client that trusts the certificate.
func (p *pair) trust() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(p.Leaf)
	return &tls.Config{RootCAs: pool}
}

// hub returns a server with an open hub that has not been started.
func hub(t testing.TB) *webrocket.Server {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s.Config.Loops = 2
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

// dialURL connects with a configuration of TLS, through dial if it is not nil.
func dialURL(t testing.TB, url string, config *tls.Config, dial func(context.Context, string, string) (net.Conn, error)) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{
		Transport: &http.Transport{TLSClientConfig: config, DialContext: dial},
	}})
	if err != nil {
		t.Fatalf("Dial %s: %v", url, err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t, ws}
}

// subscribed is a client that has subscribed to a channel.
func (c *client) subscribed() *client {
	c.t.Helper()
	c.write(`{"auth":{"access":"read-only","secret":""}}`)
	c.want(`{"ok":true}`)
	c.write(`{"subscribe":{"channel":"c"}}`)
	c.want(`{"ok":true}`)
	return c
}

func TestStartTLS(t *testing.T) {
	p := newPair(t, t.TempDir())
	s := hub(t)
	if err := s.StartTLS("/nowhere.pem", p.keyFile); err == nil || !strings.Contains(err.Error(), "/nowhere.pem") {
		t.Errorf("got %v, want that the file is missing", err)
	}
	if err := s.StartTLS(p.certFile, p.keyFile); err != nil {
		t.Fatal(err)
	}
	c := dialURL(t, "wss://"+s.Addr().String()+"/", p.trust(), nil).subscribed()
	if err := s.Publish("/", "c", "e", 1); err != nil {
		t.Error(err)
	}
	c.want(`{"event":"e","channel":"c","data":1}`)
	ended := make(chan struct{})
	go func() { defer close(ended); shutdown(t, s) }()
	c.wantClose(1001)
	<-ended
}

// Plain, TLS and a socket's file side by side hear the same.
func TestListen(t *testing.T) {
	p := newPair(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "rocket.sock")
	s := hub(t)
	s.Listen(webrocket.Listener{Addr: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{p.Certificate}}})
	s.Listen(webrocket.Listener{Addr: "unix:" + file})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	addrs := s.Addrs()
	dialer := net.Dialer{}
	var clients []*client
	for range 3 { // each loop gets some
		clients = append(clients,
			dialURL(t, "ws://"+addrs[0].String()+"/", nil, nil).subscribed(),
			dialURL(t, "wss://"+addrs[1].String()+"/", p.trust(), nil).subscribed(),
			dialURL(t, "ws://localhost/", nil, func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", file)
			}).subscribed(),
		)
	}
	if err := s.Publish("/", "c", "e", "hello"); err != nil {
		t.Error(err)
	}
	for _, c := range clients {
		c.want(`{"event":"e","channel":"c","data":"hello"}`)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); shutdown(t, s) }()
	for _, c := range clients {
		c.wantClose(1001)
	}
	<-ended
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}

// logTo returns a log that the test can read.
func logTo(b io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// debugLogTo is logTo with all that there is to say.
func debugLogTo(b io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// New connections get the new certificate, old ones go on; a pair that does not
// fit together changes nothing.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	first := newPair(t, dir)
	keys, err := webrocket.LoadKeyPair(first.certFile, first.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	keys.Log = logTo(&log)
	s := hub(t)
	s.TLS = &tls.Config{GetCertificate: keys.GetCertificate}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	url := "wss://" + s.Addr().String() + "/"
	old := dialURL(t, url, first.trust(), nil).subscribed()

	second := newPair(t, dir)
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	dialURL(t, url, second.trust(), nil).subscribed()

	other := newPair(t, t.TempDir())
	key, err := os.ReadFile(other.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first.keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(); err == nil || !strings.Contains(err.Error(), first.certFile) {
		t.Errorf("got %v, want that the pair does not fit", err)
	}
	dialURL(t, url, second.trust(), nil).subscribed()
	if !strings.Contains(log.String(), "the old one stays") {
		t.Errorf("log: %s", log.String())
	}
	if err := s.Publish("/", "c", "e", 1); err != nil {
		t.Error(err)
	}
	old.want(`{"event":"e","channel":"c","data":1}`)
}

// An address that is not a balancer's cannot say who it is.
func TestProxyFrom(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
	for _, tt := range []struct {
		name, from, want string
		secure           bool
	}{
		{"balancer", "127.0.0.0/8", "192.0.2.7:56324", false},
		{"balancer, TLS", "127.0.0.0/8", "192.0.2.7:56324", true},
		{"somebody else", "10.0.0.0/8", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addrs := make(chan string, 1)
			p := newPair(t, t.TempDir())
			s := webrocket.NewServer("127.0.0.1:0")
			s.ProxyFrom = []netip.Prefix{netip.MustParsePrefix(tt.from)}
			scheme := "ws"
			if tt.secure {
				scheme = "wss"
				s.TLS = &tls.Config{Certificates: []tls.Certificate{p.Certificate}}
			}
			if err := s.Handle("/", addressHandler(addrs)); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { shutdown(t, s) })
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if tt.want == "" {
				wantBadRequest(t, s.Addr().String(), header)
				return
			}
			ws, _, err := websocket.Dial(ctx, scheme+"://"+s.Addr().String()+"/", &websocket.DialOptions{
				HTTPClient: &http.Client{Transport: &http.Transport{
					TLSClientConfig: p.trust(),
					DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
						conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
						if err == nil {
							_, err = conn.Write([]byte(header))
						}
						return conn, err
					},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ws.CloseNow() }()
			select {
			case got := <-addrs:
				if got != tt.want {
					t.Errorf("RemoteAddr: got %s, want %s", got, tt.want)
				}
			case <-time.After(patience):
				t.Error("OnOpen was not called")
			}
		})
	}
}

// Behind a trusted proxy the log, the admin API and a handler have the client's
// address; from anybody else the field is not read.
func TestForwardedFrom(t *testing.T) {
	for _, tt := range []struct{ name, from, want string }{
		{"proxy", "127.0.0.0/8", "192.0.2.7:0"},
		{"anybody else", "10.0.0.0/8", "127.0.0.1:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log lockedBuffer
			addrs := make(chan string, 1)
			s := webrocket.NewServer("127.0.0.1:0")
			s.ForwardedFrom = []netip.Prefix{netip.MustParsePrefix(tt.from)}
			h := locked()
			h.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			if err := s.Handle("/", h); err != nil {
				t.Fatal(err)
			}
			if err := s.Handle("/address", addressHandler(addrs)); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { shutdown(t, s) })
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			dial := func(path string) *client {
				t.Helper()
				ws, _, err := websocket.Dial(ctx, "ws://"+s.Addr().String()+path, &websocket.DialOptions{
					HTTPHeader: http.Header{"X-Forwarded-For": {"1.2.3.4, 192.0.2.7"}},
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = ws.CloseNow() })
				return &client{t, ws}
			}
			dial("/address")
			select {
			case got := <-addrs:
				if !strings.HasPrefix(got, tt.want) {
					t.Errorf("RemoteAddr: got %s, want %s", got, tt.want)
				}
			case <-ctx.Done():
				t.Fatal("OnOpen was not called")
			}
			if err := s.Watch(ctx, webrocket.Watch{Hub: "/", Channel: "c", For: time.Hour}); err != nil {
				t.Fatal(err)
			}
			c := dial("/")
			c.write(`{"auth":{"access":"read-only","secret":"no"}}`)
			c.want(`{"err":"invalid_credentials"}`)
			c.write(`{"subscribe":{"channel":"c"}}`)
			c.want(`{"err":"access_denied"}`)
			for _, want := range []string{
				`msg="a login was refused".* address=` + regexp.QuoteMeta(tt.want),
				`msg="a watched command".* connection=\S+@` + regexp.QuoteMeta(tt.want), // as the admin API names it
			} {
				if !regexp.MustCompile(want).MatchString(log.String()) {
					t.Errorf("the log has no %s:\n%s", want, log.String())
				}
			}
		})
	}
}

// wantBadRequest fails unless the server does not understand what is sent.
func wantBadRequest(t testing.TB, addr, send string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("HTTP/1.1 400 "))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "HTTP/1.1 400 " {
		t.Errorf("got %q, %v, want 400", got, err)
	}
}

// addressHandler tells where connections come from.
type addressHandler chan string

func (h addressHandler) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{Protocol: h}, nil
}

func (h addressHandler) OnOpen(c *webrocket.Conn, _ *webrocket.Request) { h <- c.RemoteAddr().String() }

func (h addressHandler) OnMessage(*webrocket.Conn, webrocket.Opcode, []byte) {}

func (h addressHandler) OnClose(*webrocket.Conn, error) {}
