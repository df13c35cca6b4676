package engine

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket/codec"
)

// authority is who signs the certificates of the tests.
var authority = sync.OnceValue(func() *signer { return newSigner(nil) })

// signer is a certificate with its key.
type signer struct {
	tls.Certificate
	pool *x509.CertPool
}

// newSigner returns a certificate for localhost and 127.0.0.1, signed by a
// parent, or by itself.
func newSigner(parent *signer) *signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "rocket test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:                  parent == nil,
		BasicConstraintsValid: true,
	}
	s := &signer{}
	above, signKey := template, any(key)
	if parent != nil {
		above, signKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signKey)
	if err != nil {
		panic(err)
	}
	s.Leaf, _ = x509.ParseCertificate(der)
	s.Certificate.Certificate = [][]byte{der}
	s.PrivateKey = key
	s.pool = x509.NewCertPool()
	s.pool.AddCert(s.Leaf)
	return s
}

// serverTLS is a configuration with the authority's certificate.
func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{authority().Certificate}}
}

// clientTLS is a configuration that trusts it.
func clientTLS() *tls.Config { return &tls.Config{RootCAs: authority().pool} }

// startOn starts an engine on listeners, which is shut down after the test.
func startOn(t testing.TB, config Config, endpoint Endpoint, on ...Listener) *Engine {
	t.Helper()
	if config.Log == nil {
		config.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	e := New(config, at("/", endpoint))
	if err := e.Listen(on...); err != nil {
		t.Fatalf("Listen: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if n := e.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return e
}

// startTLS starts an engine with TLS only.
func startTLS(t testing.TB, config Config, endpoint Endpoint) *Engine {
	t.Helper()
	return startOn(t, config, endpoint, Listener{Addr: "127.0.0.1:0", TLS: serverTLS()})
}

// dialWith connects a client through whatever dial gives it.
func dialWith(t testing.TB, url string, dial func() (net.Conn, error)) *websocket.Conn {
	t.Helper()
	transport := &http.Transport{
		DialContext:    func(context.Context, string, string) (net.Conn, error) { return dial() },
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return dial() },
	}
	ws, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(-1)
	return ws
}

// dialTLS connects a client over TLS.
func dialTLS(t testing.TB, e *Engine, config *tls.Config) *websocket.Conn {
	t.Helper()
	return dialWith(t, "wss://"+e.Addr().String()+"/", func() (net.Conn, error) {
		return tls.Dial("tcp", e.Addr().String(), config)
	})
}

// openTLS connects a client that has been welcomed and reads by itself.
func openTLS(t testing.TB, e *Engine, config *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", e.Addr().String(), config)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	welcomeTo(t, conn)
	return conn
}

// welcomeTo does the opening handshake.
func welcomeTo(t testing.TB, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatalf("Write: %v", err)
	}
	got := make([]byte, len(welcome))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != welcome {
		t.Fatalf("got %q, %v, want %q", got, err, welcome)
	}
}

func TestTLSEcho(t *testing.T) {
	e := startTLS(t, Config{Loops: 2}, Endpoint{Protocol: echo, MaxMessageSize: 16 << 20})
	for _, tt := range []struct {
		name   string
		change func(*tls.Config)
	}{
		{"TLS 1.3", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{"TLS 1.2 with CBC", func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}},
		{"TLS 1.3 with a second hello", func(c *tls.Config) {
			c.CurvePreferences = []tls.CurveID{tls.CurveP521, tls.CurveP256}
		}},
		{"ALPN", func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := clientTLS()
			tt.change(config)
			ws := dialTLS(t, e, config)
			for _, size := range []int{0, 1, 125, 126, 16 << 10, 65535, 65536, 300_000} {
				roundTrip(t, ws, bytes.Repeat([]byte{'x'}, size))
			}
			if tt.name == "TLS 1.3" {
				roundTrip(t, ws, bytes.Repeat([]byte{'x'}, 16<<20))
			}
			if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// TLS is not lost where the address stands for all of the machine's.
func TestTLSDualStack(t *testing.T) {
	e := startOn(t, Config{Loops: 2}, Endpoint{Protocol: echo},
		Listener{Addr: ":0", TLS: serverTLS()}, Listener{Addr: "0.0.0.0:0"})
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		addr := fmt.Sprint(host, ":", e.Addr().(*net.TCPAddr).Port)
		ws := dialWith(t, "wss://localhost/", func() (net.Conn, error) {
			config := clientTLS()
			config.ServerName = "localhost"
			return tls.Dial("tcp", addr, config)
		})
		roundTrip(t, ws, []byte("hello"))
	}
	plain := dialWith(t, "ws://localhost/", func() (net.Conn, error) {
		return net.Dial("tcp", e.Addrs()[1].String())
	})
	roundTrip(t, plain, []byte("hello"))
}

// The callbacks of a configuration learn whose handshake it is.
func TestTLSCallback(t *testing.T) {
	addrs := make(chan string, 1)
	config := serverTLS()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		addrs <- hello.Conn.RemoteAddr().String()
		return nil, nil
	}
	e := startOn(t, Config{Loops: 1}, Endpoint{Protocol: echo}, Listener{Addr: "127.0.0.1:0", TLS: config})
	conn := openTLS(t, e, clientTLS())
	if got := <-addrs; got != conn.LocalAddr().String() {
		t.Errorf("got %s, want %s", got, conn.LocalAddr())
	}
}

func TestTLSResumption(t *testing.T) {
	e := startTLS(t, Config{Loops: 2}, Endpoint{Protocol: echo})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			config := clientTLS()
			config.MaxVersion = version
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for i := range 3 {
				conn := openTLS(t, e, config)
				if got, want := conn.ConnectionState().DidResume, i > 0; got != want {
					t.Errorf("connection %d: resumed %t, want %t", i, got, want)
				}
				_ = conn.Close()
			}
		})
	}
}

// A ticket allows no data ahead of the handshake, which somebody might repeat.
func TestTLSNoEarlyData(t *testing.T) {
	e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	tickets := make(ticketCache, 10)
	config := clientTLS()
	config.ClientSessionCache = tickets
	roundTrip(t, dialTLS(t, e, config), []byte("hello")) // the ticket has come by then
	_, state, err := (<-tickets).ResumptionState()
	if err != nil || state.EarlyData {
		t.Errorf("got %+v, %v, want no early data", state, err)
	}
}

// ticketCache hands out what it is to keep.
type ticketCache chan *tls.ClientSessionState

func (c ticketCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (c ticketCache) Put(_ string, s *tls.ClientSessionState) { c <- s }

// The versions before 1.2 are not spoken.
func TestTLSVersions(t *testing.T) {
	e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		config := clientTLS()
		config.MinVersion, config.MaxVersion = version, version
		if conn, err := tls.Dial("tcp", e.Addr().String(), config); err == nil {
			t.Errorf("%s is spoken", tls.VersionName(version))
			_ = conn.Close()
		}
	}
}

func TestTLSClientCertificates(t *testing.T) {
	config := serverTLS()
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = authority().pool
	names := make(chan string, 1)
	e := startOn(t, Config{Loops: 1}, Endpoint{Protocol: hooks{open: func(c *Conn) {
		names <- c.TLS().PeerCertificates[0].Subject.CommonName
	}}}, Listener{Addr: "127.0.0.1:0", TLS: config})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := clientTLS()
		client.MaxVersion = version
		client.Certificates = []tls.Certificate{newSigner(authority()).Certificate}
		openTLS(t, e, client)
		if got := <-names; got != "rocket test" {
			t.Errorf("got %q", got)
		}
		for name, certs := range map[string][]tls.Certificate{
			"none": nil, "of somebody else": {newSigner(nil).Certificate},
		} {
			client.Certificates = certs
			conn, err := tls.Dial("tcp", e.Addr().String(), client)
			if err == nil { // TLS 1.3: the client is done before the server
				_, err = conn.Read(make([]byte, 1))
				_ = conn.Close()
			}
			var alert tls.AlertError
			if err == nil || !errors.As(err, &alert) && !strings.Contains(err.Error(), "remote error") {
				t.Errorf("certificate %s: got %v, want an alert", name, err)
			}
		}
	}
}

// chopped is a connection that sends each byte on its own.
type chopped struct {
	net.Conn
	size int
}

func (c chopped) Write(b []byte) (n int, err error) {
	for _, piece := range cut(b, c.size) {
		m, err := c.Conn.Write(piece)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// dialChopped connects a client that sends so many bytes at a time.
func dialChopped(t testing.TB, e *Engine, config *tls.Config, size int) *websocket.Conn {
	t.Helper()
	return dialWith(t, "wss://localhost/", func() (net.Conn, error) {
		conn, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			return nil, err
		}
		config.ServerName = "localhost"
		client := tls.Client(chopped{conn, size}, config)
		return client, client.Handshake()
	})
}

// Records are cut anywhere, those of the handshake too.
func TestTLSChopped(t *testing.T) {
	e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, size := range []int{1, 7} {
			config := clientTLS()
			config.MaxVersion = version
			ws := dialChopped(t, e, config, size)
			roundTrip(t, ws, []byte("hello"))
			roundTrip(t, ws, bytes.Repeat([]byte{'x'}, 3000))
		}
	}
}

// gathered is a connection that holds back what is written until it is asked.
type gathered struct {
	net.Conn
	hold bool
	held []byte
}

func (g *gathered) Write(b []byte) (int, error) {
	if !g.hold {
		return g.Conn.Write(b)
	}
	g.held = append(g.held, b...)
	return len(b), nil
}

// Many records arrive in one read, behind the last flight of the handshake too.
func TestTLSGathered(t *testing.T) {
	e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		tcp, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		g := &gathered{Conn: tcp}
		config := clientTLS()
		config.ServerName, config.MaxVersion = "localhost", version
		conn := tls.Client(g, config)
		defer conn.Close()
		if version == tls.VersionTLS13 {
			g.hold = true // from the second flight on; the first is written below
		}
		if err := handshakeHeld(conn, g); err != nil {
			t.Fatalf("Handshake: %v", err)
		}
		g.hold = true
		fmt.Fprint(conn, request)
		for i := range 50 {
			_, _ = conn.Write(masked(codec.OpText, fmt.Sprint(i)))
		}
		if _, err := g.Conn.Write(g.held); err != nil {
			t.Fatal(err)
		}
		want := []byte(welcome)
		for i := range 50 {
			want = codec.AppendFrame(want, codec.OpText, []byte(fmt.Sprint(i)))
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", tls.VersionName(version), got, err, want)
		}
	}
}

// handshakeHeld lets the ClientHello through and holds back what follows.
func handshakeHeld(conn *tls.Conn, g *gathered) error {
	g.Conn = &firstThrough{Conn: g.Conn, g: g}
	if g.hold {
		g.hold = false
		g.Conn.(*firstThrough).then = true
	}
	return conn.Handshake()
}

// firstThrough makes g hold from the second write on.
type firstThrough struct {
	net.Conn
	g    *gathered
	then bool
}

func (f *firstThrough) Write(b []byte) (int, error) {
	if f.then {
		f.g.hold, f.then = true, false
	}
	return f.Conn.Write(b)
}

// tapped keeps what has been read from a connection.
type tapped struct {
	net.Conn
	got []byte
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.got = append(c.got, b[:n]...)
	return n, err
}

// openTapped is openTLS with the records kept.
func openTapped(t testing.TB, e *Engine, config *tls.Config) (*tls.Conn, *tapped) {
	t.Helper()
	tcp, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = tcp.Close() })
	tap := &tapped{Conn: tcp}
	config = config.Clone()
	config.ServerName = "localhost"
	conn := tls.Client(tap, config)
	welcomeTo(t, conn)
	return conn, tap
}

// wantCloseNotify fails unless the last record is an alert. A client of Go's
// would not miss it.
func (c *tapped) wantCloseNotify(t testing.TB, version uint16) {
	t.Helper()
	var last []byte
	for b := c.got; len(b) >= recordHeaderSize; {
		n := recordHeaderSize + (int(b[3])<<8 | int(b[4]))
		last, b = b[:n], b[n:]
	}
	const alert, data, sealedAlert = 21, 23, recordHeaderSize + 2 + 1 + 16
	isAlert := last[0] == alert
	if version == tls.VersionTLS13 {
		isAlert = last[0] == data && len(last) == sealedAlert
	}
	if !isAlert {
		t.Errorf("the last record is of type %d with %d bytes, not an alert", last[0], len(last))
	}
}

// Both sides end with a close_notify, whoever begins.
func TestTLSCloseNotify(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := clientTLS()
		config.MaxVersion = version
		reasons := make(chan error, 1)
		e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: hooks{
			message: func(c *Conn, _ codec.Opcode, _ []byte) { c.Close(codec.StatusNormal, "") },
			close:   func(_ *Conn, err error) { reasons <- err },
		}})
		for _, tt := range []struct {
			name  string
			send  []byte
			reply []byte
			code  uint16
		}{
			{"client closes", closeFrame(codec.StatusNormal, ""), codec.AppendClose(nil, codec.StatusNormal, ""), codec.StatusNormal},
			{"client breaks the rules", []byte{0xff, 0xff}, nil, codec.StatusProtocolError},
			{"client leaves", nil, nil, 0},
		} {
			t.Run(tls.VersionName(version)+" "+tt.name, func(t *testing.T) {
				conn, tap := openTapped(t, e, config)
				if tt.send != nil {
					_, _ = conn.Write(tt.send)
				} else {
					_ = conn.CloseWrite()
				}
				got, err := io.ReadAll(conn)
				if err != nil || tt.reply != nil && !bytes.Equal(got, tt.reply) {
					t.Errorf("got %q, %v, want %q", got, err, tt.reply)
				}
				tap.wantCloseNotify(t, version)
				reason := <-reasons
				var closed *codec.CloseError
				switch {
				case tt.code == 0 && !errors.Is(reason, io.EOF):
					t.Errorf("OnClose: got %v, want EOF", reason)
				case tt.code != 0 && (!errors.As(reason, &closed) || closed.Code != tt.code):
					t.Errorf("OnClose: got %v, want %d", reason, tt.code)
				}
			})
		}
	}
}

func TestTLSRefusal(t *testing.T) {
	e := startTLS(t, Config{Loops: 1, MaxConnections: 1}, Endpoint{Protocol: echo})
	conn, err := tls.Dial("tcp", e.Addr().String(), clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 404 ")) {
		t.Errorf("got %q, %v, want 404", got, err)
	}
}

func TestPlainHTTPToTLS(t *testing.T) {
	e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	resp, err := http.Get("http://" + e.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 400 || !strings.Contains(string(body), "wss://") {
		t.Errorf("got %s %q", resp.Status, body)
	}
	if date := resp.Header.Get("Date"); date == "" || resp.ContentLength != int64(len(body)) {
		t.Errorf("got a length of %d and the date %q, want both (RFC 9110 §6.6.1, §8.6)", resp.ContentLength, date)
	}
	conn, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || !strings.HasSuffix(string(got), "\r\n\r\n") {
		t.Errorf("HEAD: got %q, %v, want the header of a 400 alone (RFC 9110 §9.3.2)", got, err)
	}
	for _, garbage := range []string{"\x00", "\x16\x03\x01\xff\xff", "\x16\x02", "\x80\x2e\x01"} {
		conn, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, garbage)
		if got, err := io.ReadAll(conn); len(got) > 0 && err == nil && got[0] != 21 {
			t.Errorf("%q: got %q, %v, want nothing or an alert", garbage, got, err)
		}
		_ = conn.Close()
	}
}

// Records that do not decrypt end the connection with an alert.
func TestTLSTampered(t *testing.T) {
	reasons := make(chan error, 1)
	e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: hooks{close: func(_ *Conn, err error) { reasons <- err }}})
	tcp, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	config := clientTLS()
	config.ServerName = "localhost"
	conn := tls.Client(tcp, config)
	defer conn.Close()
	welcomeTo(t, conn)
	if _, err := tcp.Write([]byte("\x17\x03\x03\x00\x20" + strings.Repeat("x", 32))); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("client: got %v, want an alert", err)
	}
	if err := <-reasons; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("OnClose: got %v", err)
	}
}

// Who does not read is closed with 1013, and holds up nobody.
func TestTLSSlowReader(t *testing.T) {
	testSlowReader(t, func(endpoint Endpoint) (*websocket.Conn, io.ReadWriter) {
		e := startTLS(t, Config{Loops: 1}, endpoint)
		return dialTLS(t, e, clientTLS()), openTLS(t, e, clientTLS())
	})
}

// A slow reader gets everything once it reads.
func TestTLSSlowReaderResumes(t *testing.T) {
	const size, messages = 100_000, 100
	e := startTLS(t, Config{Loops: 1}, Endpoint{MaxQueuedBytes: size * messages, Protocol: hooks{open: func(c *Conn) {
		for i := range messages {
			c.Send(codec.OpBinary, bytes.Repeat([]byte{byte(i)}, size))
		}
	}}})
	deaf := openTLS(t, e, clientTLS())
	for i := range messages {
		want := codec.AppendFrame(nil, codec.OpBinary, bytes.Repeat([]byte{byte(i)}, size))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(deaf, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("message %d: it differs, or %v", i, err)
		}
	}
}

// Deliver encrypts for each connection, also where the run does not fit one
// record or the socket does not take it.
func TestTLSDeliver(t *testing.T) {
	const clients = 5
	ids := make(chan uint64, clients)
	e := startTLS(t, Config{Loops: 1}, Endpoint{
		MaxQueuedBytes: 16 << 20,
		Protocol:       hooks{open: func(c *Conn) { ids <- c.ID() }},
	})
	var conns []*tls.Conn
	var all []uint64
	for range clients {
		conns = append(conns, openTLS(t, e, clientTLS()))
		all = append(all, <-ids)
	}
	var frames [][]byte
	for _, size := range []int{5, 200_000, 1 << 20, 7} {
		frames = append(frames, codec.AppendFrame(nil, codec.OpBinary, bytes.Repeat([]byte{'x'}, size)))
	}
	run := runOf(true, "c", "", frames...)
	joined := run.Joined
	l := e.Loops()[0]
	l.Post(func() {
		for rest := all; len(rest) > 0; {
			rest = rest[l.Deliver(rest, run):]
		}
		l.Deliver(all[:1], run) // it has something queued by now
	})
	for i, conn := range conns {
		want := joined
		if i == 0 {
			want = append(bytes.Clone(joined), joined...)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("client %d: it differs, or %v", i, err)
		}
	}
}

func TestTLSShutdown(t *testing.T) {
	e := startTLS(t, Config{Loops: 2}, Endpoint{Protocol: hooks{}})
	var clients sync.WaitGroup
	for range 10 {
		conn := openTLS(t, e, clientTLS())
		clients.Go(func() {
			want := codec.AppendClose(nil, codec.StatusGoingAway, "server is stopping")
			got := make([]byte, len(want))
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("client got %q, %v", got, err)
			}
			_, _ = conn.Write(closeFrame(codec.StatusGoingAway, ""))
			if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
				t.Errorf("client got %q, %v, want the end", rest, err)
			}
		})
	}
	silent, err := net.Dial("tcp", e.Addr().String()) // in its TLS handshake
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := e.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	clients.Wait()
}

// An idle connection has no goroutine.
func TestTLSGoroutines(t *testing.T) {
	e := startTLS(t, Config{Loops: 2}, Endpoint{Protocol: echo})
	for range 100 {
		openTLS(t, e, clientTLS())
	}
	waitForTLSHandshakes(t, e)
}

// swapped is a connection in whose place another one may come.
type swapped struct{ net.Conn }

// inMemory reads what it was given and keeps what is written.
type inMemory struct {
	net.Conn
	in, out bytes.Buffer
	keys    bytes.Buffer // as KeyLogWriter gets them
}

func (m *inMemory) Read(b []byte) (int, error)  { return m.in.Read(b) }
func (m *inMemory) Write(b []byte) (int, error) { return m.out.Write(b) }

// SetWriteDeadline does nothing: crypto/tls has one for its alerts.
func (m *inMemory) SetWriteDeadline(time.Time) error { return nil }

// sent takes what has been written.
func (m *inMemory) sent() []byte { return m.out.Next(m.out.Len()) }

// dialSealed connects a client whose TLS handshake is done. What the client
// writes is in wire.out, and it reads what is put into wire.in.
func (tl *testLoop) dialSealed() (tc *testConn, client *tls.Conn, wire *inMemory) {
	tl.t.Helper()
	tc = tl.dial()
	config := serverTLS()
	config.SessionTicketsDisabled = true // they would come behind the handshake
	t := &transport{conn: tc.Conn, listener: newListener(Listener{TLS: config}), stage: established}
	wire = new(inMemory)
	config.KeyLogWriter = &wire.keys
	near, far := net.Pipe()
	server, peer := &swapped{near}, &swapped{far}
	t.session = tls.Server(server, config)
	trusting := clientTLS()
	trusting.ServerName = "localhost"
	client = tls.Client(peer, trusting)
	shaken := make(chan error)
	go func() { shaken <- client.Handshake() }()
	if err := errors.Join(t.session.Handshake(), <-shaken); err != nil {
		tl.t.Fatalf("Handshake: %v", err)
	}
	server.Conn, peer.Conn = t, wire
	tc.transport = t
	tl.hold(tc.Conn)
	return tc, client, wire
}

// openSealed is dialSealed for a client that has been welcomed.
func (tl *testLoop) openSealed() (tc *testConn, client *tls.Conn, wire *inMemory) {
	tl.t.Helper()
	tc, client, wire = tl.dialSealed()
	_, _ = client.Write([]byte(request))
	tc.write(wire.sent())
	head := make([]byte, len(welcome))
	wire.in.Write(tc.got)
	tc.got = nil
	if _, err := io.ReadFull(client, head); err != nil || string(head) != welcome {
		tl.t.Fatalf("got %q, %v, want %q", head, err, welcome)
	}
	tc.wantEvents("open")
	return tc, client, wire
}

// wantSealed fails unless the client got only whole records, or the begin of
// one, with this in them, and then end.
func (tc *testConn) wantSealed(client *tls.Conn, wire *inMemory, want []byte, end error) {
	tc.tl.t.Helper()
	wire.in.Write(tc.got)
	tc.got = nil
	got, err := io.ReadAll(client)
	if end == nil && err != nil || end != nil && !errors.Is(err, end) || !bytes.Equal(got, want) {
		tc.tl.t.Fatalf("client got %q, %v, want %q, %v", got, err, want, end)
	}
}

// Who has shut down its sending side gets what waits, encrypted, behind what
// has been encrypted already, and then a close_notify; also without having sent
// one.
func TestTLSHalfClosed(t *testing.T) {
	hello := codec.AppendFrame(nil, codec.OpText, []byte("hello"))
	bye := codec.AppendFrame(nil, codec.OpText, []byte("good-bye"))
	for _, tt := range []struct {
		name    string
		blocked bool
		room    int // after the first message
		want    []byte
		end     error
	}{
		{"all is taken", false, unlimited, append(bytes.Clone(hello), bye...), nil},
		{"the rest of a record waits", true, unlimited, append(bytes.Clone(hello), bye...), nil},
		{"a part is taken", false, 3 + recordHeaderSize + len(hello) + len(bye), nil, io.ErrUnexpectedEOF},
		{"nothing is taken", true, 0, nil, io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tl := newTestLoop(t, Config{}, Endpoint{})
			tc, client, wire := tl.openSealed()
			tc.Send(codec.OpText, []byte("hello"))
			if tt.blocked {
				tc.room = 3
				tl.turn()
			}
			tc.room = tt.room
			tc.Send(codec.OpText, []byte("good-bye"))
			tc.hangUp(os.NewSyscallError("read", io.EOF))
			tl.turn()
			tc.wantSealed(client, wire, tt.want, tt.end)
			tc.wantEvents("close: read: EOF")
		})
	}
}

// The same on sockets: the client's end comes right behind its message.
func TestTLSHalfClosedEndToEnd(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: echo})
			config := clientTLS()
			config.MaxVersion = version
			conn, tap := openTapped(t, e, config)
			busy, sent := make(chan struct{}), make(chan struct{})
			e.Loops()[0].Post(func() {
				close(busy)
				<-sent
			})
			<-busy
			_, err := conn.Write(masked(codec.OpText, "a secret"))
			if err = errors.Join(err, tap.Conn.(*net.TCPConn).CloseWrite()); err != nil {
				t.Fatal(err)
			}
			close(sent)
			want := codec.AppendFrame(nil, codec.OpText, []byte("a secret"))
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if bytes.Contains(tap.got, []byte("a secret")) {
				t.Fatal("what was encrypted for the server comes back in plain text")
			}
			tap.wantCloseNotify(t, version)
		})
	}
}

// Who leaves in the middle of the TLS handshake gets nothing but TLS.
func TestTLSHalfClosedInHandshake(t *testing.T) {
	e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	wire := new(inMemory)
	_ = tls.Client(wire, &tls.Config{ServerName: "localhost"}).Handshake() // nobody answers
	all := wire.out.Bytes()
	for _, hello := range [][]byte{nil, all[:3], all[:len(all)-1], all, append(bytes.Clone(all), request...)} {
		conn := dialHalf(t, e, hello)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for got, _ := io.ReadAll(conn); len(got) > 0; {
			const first, last = 20, 23 // types of records
			size := 0
			if len(got) >= recordHeaderSize {
				size = recordHeaderSize + (int(got[3])<<8 | int(got[4]))
			}
			if got[0] < first || got[0] > last || size == 0 || size > len(got) {
				t.Fatalf("after %d bytes: got %q, want records of TLS", len(hello), got)
			}
			got = got[size:]
		}
	}
}
