//go:build clients

package conformance_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

// Proxies that are not ours, as the files in deploy configure them, in front of the
// real command. make conformance takes those of Debian.

const (
	idleLimit    = "4s" // of the proxies, in place of what the document says
	pingInterval = "1s"
	pings        = 7 // how many of them take longer than idleLimit, a little early as they are

	proxyHost = "127.0.0.1"
	visitor   = "127.0.0.2" // where clients connect from
)

// A proxyCase is one file of deploy.
type proxyCase struct {
	name    string
	file    string
	changes func(p *proxied) []string
	config  string // what stands around the file's text, with %s for it and %[2]s for the directory
	command []string
	rocket  []string // what Rocket is started with; @cert and @key are files
	cuts    bool     // whether it ends idle connections
	http2   bool     // whether it speaks HTTP/2
}

var proxyCases = []proxyCase{
	{
		name: "nginx", file: "nginx.conf", cuts: true, http2: true,
		changes: func(p *proxied) []string {
			return []string{
				"listen 443 ssl", "listen " + p.address + " ssl",
				"/etc/ssl/certs/rocket.example.com.pem", p.cert, "/etc/ssl/private/rocket.example.com.key", p.key,
				"127.0.0.1:9772", p.rocket, "proxy_read_timeout 60s", "proxy_read_timeout " + idleLimit,
			}
		},
		config: `daemon off; master_process off; pid %[2]s/pid; error_log stderr;
events {}
http {
access_log off;
client_body_temp_path %[2]s/a; proxy_temp_path %[2]s/b; fastcgi_temp_path %[2]s/c; uwsgi_temp_path %[2]s/d; scgi_temp_path %[2]s/e;
%[1]s}
`,
		command: []string{"nginx", "-c", "@config"},
		rocket:  []string{"-forwarded-from", proxyHost},
	},
	{
		name: "haproxy", file: "haproxy.cfg", cuts: true, http2: true,
		changes: haproxyChanges,
		config:  "%[1]s",
		command: []string{"haproxy", "-db", "-f", "@config"},
		rocket:  []string{"-forwarded-from", proxyHost},
	},
	{
		name: "haproxy with a PROXY header", file: "haproxy-tcp.cfg", cuts: true,
		changes: haproxyChanges,
		config:  "%[1]s",
		command: []string{"haproxy", "-db", "-f", "@config"},
		rocket:  []string{"-proxy-from", proxyHost, "-tls-cert", "@cert", "-tls-key", "@key"},
	},
	{
		name: "caddy", file: "Caddyfile", http2: true,
		changes: func(p *proxied) []string {
			_, port, _ := net.SplitHostPort(p.address)
			return []string{
				"rocket.example.com {", "https://localhost:" + port + " {\n\tbind " + proxyHost + "\n\ttls " + p.cert + " " + p.key,
				"127.0.0.1:9772", p.rocket,
			}
		},
		config:  "{\n\tadmin off\n\tauto_https disable_redirects\n}\n%[1]s",
		command: []string{"caddy", "run", "--adapter", "caddyfile", "--config", "@config"},
		rocket:  []string{"-forwarded-from", proxyHost},
	},
}

func haproxyChanges(p *proxied) []string {
	_, admin, _ := net.SplitHostPort(p.admin)
	changes := []string{
		"timeout client 50s", "timeout client " + idleLimit, "timeout server 50s", "timeout server " + idleLimit,
		"127.0.0.1:9772", p.rocket, "port 9773", "port " + admin,
	}
	if strings.Contains(p.text, " ssl ") {
		return append(changes, "bind :443", "bind "+p.address, "/etc/haproxy/rocket.example.com.pem", p.both)
	}
	return append(changes, "bind :443", "bind "+p.address)
}

// proxied is a proxy in front of a server.
type proxied struct {
	text            string // of the file
	address         string // of the proxy
	rocket, admin   string // of the server
	cert, key, both string // files
	server          *program
	pool            *x509.CertPool
}

func TestProxies(t *testing.T) {
	command := filepath.Join(t.TempDir(), "rocket")
	if out, status := run(t, "go", "build", "-o", command, "../cmd/rocket"); status != 0 {
		t.Fatal(out)
	}
	for _, tt := range proxyCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Run("pings", func(t *testing.T) {
				t.Parallel()
				p := tt.start(t, command, pingInterval)
				p.talk(t)
				p.stream(t, tt.http2)
				if tt.http2 {
					p.upgradeLate(t)
				}
			})
			if tt.cuts {
				t.Run("no pings", func(t *testing.T) {
					t.Parallel()
					tt.start(t, command, "off").wantCut(t)
				})
			}
		})
	}
}

// start starts the server, and the proxy in front of it.
func (tt proxyCase) start(t *testing.T, command, pingInterval string) *proxied {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../deploy", tt.file))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxied{text: string(text), address: freeAddress(t), admin: freeAddress(t)}
	p.makeCertificate(t)
	files := strings.NewReplacer("@cert", p.cert, "@key", p.key)
	args := []string{
		"-host", proxyHost, "-port", "0", "-admin", p.admin, "-ping-interval", pingInterval, "-log-level", "debug",
		"-read-only-secret", "r", "-read-write-secret", "rw",
	}
	for _, arg := range tt.rocket {
		args = append(args, files.Replace(arg))
	}
	p.server = talk(t, command, args...)
	p.rocket = p.server.find(`"msg":"serving".*"address":"([^"]+)"`)

	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, fmt.Appendf(nil, tt.config, replaced(t, p.text, tt.changes(p)), dir), 0o600); err != nil {
		t.Fatal(err)
	}
	args = nil
	for _, arg := range tt.command[1:] {
		args = append(args, strings.ReplaceAll(arg, "@config", config))
	}
	p.run(t, tt.command[0], args, dir)
	return p
}

// run starts the proxy and returns when it takes connections.
func (p *proxied) run(t *testing.T, name string, args []string, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if cmd.Err != nil { // it is not in our PATH, but perhaps where Debian has it
		cmd.Path, cmd.Err = filepath.Join("/usr/sbin", name), nil
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	for {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: %v", name, err)
		default:
			runtime.Gosched()
		}
	}
}

// talk goes through the proxy: the client's address arrives, whatever the client
// says of that, events come, and the connection stays longer than idleLimit.
func (p *proxied) talk(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pinged := make(chan struct{}, pings)
	ws := p.dial(t, ctx, func() {
		select {
		case pinged <- struct{}{}:
		default:
		}
	})
	say := func(text, want string) {
		t.Helper()
		if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ws.Read(ctx); err != nil || terse(string(got)) != want {
			t.Fatalf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	say(`{"auth":{"access":"read-write","secret":"no"}}`, `{"err":"invalid_credentials"}`)
	if got := p.server.find(`"msg":"a login was refused".*"address":"([^"]*)"`); !strings.HasPrefix(got, visitor+":") {
		t.Errorf("the log has the client's address %s, want %s", got, visitor)
	}
	say(`{"auth":{"access":"read-write","secret":"rw"}}`, `{"ok":true}`)
	say(`{"subscribe":{"channel":"c"}}`, `{"ok":true}`)

	heard := make(chan string, 1)
	go func() {
		_, message, err := ws.Read(ctx)
		heard <- fmt.Sprintf("%s %v", message, err)
	}()
	for range pings {
		select {
		case <-pinged:
		case got := <-heard:
			t.Fatalf("while it was silent: got %s", got)
		case <-ctx.Done():
			t.Fatal("there are no pings")
		}
	}
	other := p.dial(t, ctx, func() {})
	for _, text := range []string{`{"auth":{"access":"read-write","secret":"rw"}}`, `{"publish":{"event":"e","channel":"c","data":1}}`} {
		if err := other.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := <-heard, `{"event":"e","channel":"c","data":1} <nil>`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// streams is more than a browser opens to one host over HTTP/1.1.
const streams = 10

// stream hears and speaks through the same file by HTTP, as pages do that WebSocket does
// not reach.
func (p *proxied) stream(t *testing.T, http2 bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := p.client()
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
	ask := func(method, path, body string, want int) *bufio.Reader {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, "https://"+p.host()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = claims.Clone()
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		if answer.StatusCode != want || (answer.ProtoMajor == 2) != http2 {
			t.Fatalf("%s %s: got %s %s, want %d", method, path, answer.Proto, answer.Status, want)
		}
		return bufio.NewReader(answer.Body)
	}
	for range streams - 1 {
		dataIn(t, ask(http.MethodGet, "/v1/stream", "", http.StatusOK), `{"session":`)
	}
	heard := ask(http.MethodGet, "/v1/stream", "", http.StatusOK)
	session, _, _ := strings.Cut(dataIn(t, heard, `{"session":"`), `"`)
	for i, command := range []string{
		`{"auth":{"access":"read-write","secret":"no"}}`, `{"auth":{"access":"read-write","secret":"rw"}}`,
		`{"subscribe":{"channel":"d"}}`, `{"publish":{"event":"e","channel":"d","data":1}}`,
	} {
		ask(http.MethodPost, "/v1/commands", fmt.Sprintf("{\"session\":%q,\"seq\":%d}\n%s", session, i+1, command), http.StatusAccepted)
		if i == 0 {
			dataIn(t, heard, `{"err":"invalid_credentials"}`)
			if got := p.server.find(`"msg":"a login was refused".*"address":"([^"]*)"`); !strings.HasPrefix(got, visitor+":") {
				t.Errorf("the log has the stream's client's address %s, want %s", got, visitor)
			}
			continue
		}
		dataIn(t, heard, `{"ok":true`)
	}
	dataIn(t, heard, `{"event":"e","channel":"d","data":1}`)
}

// upgradeLate opens a WebSocket connection where another request has been answered
// before, as browsers do within a connection of HTTP/2.
func (p *proxied) upgradeLate(t *testing.T) {
	t.Helper()
	conn, err := tls.Dial("tcp", p.address, &tls.Config{RootCAs: p.pool, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for _, tt := range []struct {
		path, fields string
		want         int
	}{
		{"/v1/webrocket.js", "", http.StatusOK},
		{
			"/", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
			http.StatusSwitchingProtocols,
		},
	} {
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", tt.path, p.host(), tt.fields); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != tt.want {
			t.Errorf("%s: got %s, want %d", tt.path, answer.Status, tt.want)
		}
	}
}

// dataIn waits for an event of a stream whose data begins in some way, and returns the rest.
func dataIn(t *testing.T, stream *bufio.Reader, prefix string) string {
	t.Helper()
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			t.Fatalf("%v, want %s", err, prefix)
		}
		if rest, ok := strings.CutPrefix(line, "data: "+prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
}

// wantCut shows that without pings the proxy ends the connection: what talk has
// tried is not how it would be anyway.
func (p *proxied) wantCut(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws := p.dial(t, ctx, func() {})
	if _, message, err := ws.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("got %s, %v, want that the proxy ends the connection", message, err)
	}
}

// dial connects from visitor through the proxy, and claims to be somebody else.
func (p *proxied) dial(t *testing.T, ctx context.Context, onPing func()) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(ctx, "wss://"+p.host()+"/", &websocket.DialOptions{
		HTTPHeader: claims,
		HTTPClient: p.client(),
		OnPingReceived: func(context.Context, []byte) bool {
			onPing()
			return true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

// claims are what a client says of its address that is not true.
var claims = http.Header{"X-Forwarded-For": {"192.0.2.66"}, "Forwarded": {`for=192.0.2.67;x="`}}

// host returns the name that the proxy's certificate is for, and its port.
func (p *proxied) host() string {
	_, port, _ := net.SplitHostPort(p.address)
	return "localhost:" + port
}

// client returns one that connects from visitor to the proxy.
func (p *proxied) client() *http.Client {
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(visitor)}}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: p.pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return from.DialContext(ctx, network, p.address)
		},
	}}
}

// makeCertificate writes that of the proxy.
func (p *proxied) makeCertificate(t *testing.T) {
	t.Helper()
	cert, err := webrocket.SelfSigned("localhost")
	if err != nil {
		t.Fatal(err)
	}
	p.pool = x509.NewCertPool()
	p.pool.AddCert(cert.Leaf)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certText := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	keyText := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	dir := t.TempDir()
	p.cert, p.key, p.both = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "both.pem")
	for name, text := range map[string][]byte{p.cert: certText, p.key: keyText, p.both: append(certText, keyText...)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// replaced returns a text in which the changes at even places are replaced by those
// behind them; each stands there once.
func replaced(t *testing.T, text string, changes []string) string {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		if strings.Count(text, changes[i]) != 1 {
			t.Fatalf("%q is not there once in\n%s", changes[i], text)
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return text
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", proxyHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// find waits for a line that matches, and returns what the pattern's group has.
func (p *program) find(pattern string) string {
	p.t.Helper()
	for {
		line, err := p.out.ReadString('\n')
		if m := regexp.MustCompile(pattern).FindStringSubmatch(line); m != nil {
			return m[1]
		}
		if err != nil {
			p.t.Fatalf("%v, want a line with %s", err, pattern)
		}
	}
}
