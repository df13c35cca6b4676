package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

// writePair writes a new self-signed certificate and its key.
func writePair(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	cert, err := webrocket.SelfSigned("localhost")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// startSecure runs a server with TLS on a free port.
func startSecure(t *testing.T, args ...string) (p *process, url string) {
	t.Helper()
	p = start(t, nil, append(args, "-port", "0")...)
	url = p.stdout.want(`(wss://localhost:\d+)/ `)[1]
	return p, url
}

func TestSelfSignedEndToEnd(t *testing.T) {
	server, url := startSecure(t, "-tls-self-signed")
	server.stdout.want(`self-signed certificate, SHA-256 [0-9a-f]{64}$`)
	server.stdout.want(`^Ready`)

	careful := start(t, nil, "subscribe", "-url", url, "c")
	careful.wantStatus(statusUnreachable)
	if got := careful.stderr.all(); !strings.Contains(got, "-insecure") {
		t.Errorf("got %s, want a word about -insecure", got)
	}
	reader := start(t, nil, "subscribe", "-insecure", "-url", url, "c")
	reader.stderr.want(`^subscribed`)
	start(t, nil, "publish", "-insecure", "-url", url, "c", "1").wantStatus(0)
	reader.stdout.want(`"data":1`)
	server.signal(syscall.SIGINT)
	reader.stderr.want(`1001`)
	server.wantStatus(0)
}

// A renewed certificate is there after SIGHUP, and a bad one is refused.
func TestCertificateReloadEndToEnd(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir)
	server, url := startSecure(t, "-tls-cert", certFile, "-tls-key", keyFile)
	reader := start(t, nil, "subscribe", "-ca", certFile, "-url", url, "c")
	reader.stderr.want(`^subscribed`)

	writePair(t, dir)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`certificate loaded`)
	start(t, nil, "publish", "-ca", certFile, "-url", url, "c", "1").wantStatus(0)
	reader.stdout.want(`"data":1`)

	good, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	goodFile := filepath.Join(dir, "good.pem")
	if err := os.WriteFile(goodFile, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	server.signal(syscall.SIGHUP)
	server.stderr.want(`the old one stays.*` + keyFile)
	start(t, nil, "publish", "-ca", goodFile, "-url", url, "c", "2").wantStatus(0)
	reader.stdout.want(`"data":2`)
}

// Other files for the certificate are named by the log, and take a restart: none of
// them is in force before.
func TestOtherCertificateFilesEndToEnd(t *testing.T) {
	certFile, keyFile := writePair(t, t.TempDir())
	otherCert, otherKey := writePair(t, t.TempDir())
	config := func(cert, key string) string {
		return fmt.Sprintf(`{"TLSCertFile": %q, "TLSKeyFile": %q, "Hubs": [{"Path": "/", "Channels": ["c"]}]}`, cert, key)
	}
	file := writeFile(t, config(certFile, keyFile))
	server, url := startSecure(t, file)
	rewrite(t, file, config(otherCert, otherKey))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`only a restart puts in force","setting":"TLSCertFile"`)
	server.stderr.want(`"reloaded"`)
	start(t, nil, "publish", "-ca", certFile, "-url", url, "c", "1").wantStatus(0)
}

// Certificate and configuration are one: what is wrong with either keeps the other
// as it was.
func TestReloadOfBothEndToEnd(t *testing.T) {
	const good, added = `{"Hubs": [{"Path": "/"}]}`, `{"Hubs": [{"Path": "/"}, {"Path": "/added"}]}`
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir)
	file, pid := writeFile(t, good), filepath.Join(dir, "pid")
	args := []string{file, "-tls-cert", certFile, "-tls-key", keyFile, "-pid-file", pid}
	server, url := startServer(t, nil, append(args, "-tls-port", freePort(t))...)
	reload := append([]string{"reload"}, args...)

	writePair(t, dir)
	rewrite(t, file, `{"Hubs": []}`)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`not reloaded`)
	if got := server.stderr.all(); strings.Contains(got, "certificate loaded") {
		t.Errorf("with a broken configuration the certificate is another:\n%s", got)
	}

	rewrite(t, file, added)
	for _, bad := range []struct{ name, want string }{{certFile, "failed to find any PEM data"}, {keyFile, "failed to find any PEM data"}} {
		before, err := os.ReadFile(bad.name)
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, bad.name, "half a file")
		server.signal(syscall.SIGHUP)
		server.stderr.want(`the old one stays.*` + bad.want)
		r := start(t, nil, reload...)
		r.wantStatus(1)
		if got := r.stderr.all(); !strings.Contains(got, bad.want) {
			t.Errorf("rocket reload: got %s want %s", got, bad.want)
		}
		start(t, nil, "subscribe", "-url", url+"/added", "c").wantStatus(statusRefused)
		rewrite(t, bad.name, string(before))
	}

	start(t, nil, reload...).wantStatus(0)
	server.stderr.want(`certificate loaded`)
	server.stderr.want(`"reloaded"`)
	start(t, nil, "subscribe", "-url", url+"/added", "c").stderr.want(`^subscribed`)
}

// What is wrong with the configuration and with the certificate is said once each.
func TestReloadSaysEachProblemOnce(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir)
	half := filepath.Join(dir, "half.pem")
	rewrite(t, half, "half a file")
	const wrong = "not reloaded: the configuration is wrong; the old one stays"
	const refused = "not reloaded: the new certificate is refused; the old one stays, and so does the old configuration"
	const noHubs, noPEM = `my.json:1: Hubs is missing; add at least "Hubs": [{"Path": "/"}]`, "failed to find any PEM data"
	missing := func(key string) string {
		return "my.json:1: " + key + ": cannot read /nowhere.pem: no such file or directory"
	}
	type record struct{ Msg, Error string }
	for _, tt := range []struct {
		name, config string
		want         []record // Error is a part of it
	}{
		{"configuration", fmt.Sprintf(`{"TLSCertFile": %q, "TLSKeyFile": %q}`, certFile, keyFile), []record{{wrong, noHubs}}},
		{"no key file", fmt.Sprintf(`{"TLSCertFile": %q, "TLSKeyFile": "/nowhere.pem", "Hubs": [{"Path": "/"}]}`, certFile), []record{{refused, missing("TLSKeyFile")}}},
		{"no pair", `{"TLSCertFile": "/nowhere.pem", "TLSKeyFile": "/nowhere.pem", "Hubs": [{"Path": "/"}]}`, []record{{refused, missing("TLSCertFile") + "\n" + missing("TLSKeyFile")}}},
		{"no key", fmt.Sprintf(`{"TLSCertFile": %q, "Hubs": [{"Path": "/"}]}`, certFile), []record{{wrong, "my.json:1: TLSCertFile: a certificate needs its key; give TLSKeyFile or -tls-key too"}}},
		{"no authorities", fmt.Sprintf(`{"TLSCertFile": %q, "TLSKeyFile": %q, "TLSClientCA": "/nowhere.pem", "Hubs": [{"Path": "/"}]}`, certFile, keyFile), []record{{wrong, missing("TLSClientCA")}}},
		{"pair", fmt.Sprintf(`{"TLSCertFile": %q, "TLSKeyFile": %q, "Hubs": [{"Path": "/"}]}`, half, keyFile), []record{{refused, noPEM}}},
		{"configuration and pair", fmt.Sprintf(`{"TLSCertFile": %q, "TLSKeyFile": %q}`, half, keyFile), []record{{wrong, noHubs}, {refused, noPEM}}},
		{"configuration and no key file", fmt.Sprintf(`{"TLSCertFile": %q, "TLSKeyFile": "/nowhere.pem"}`, certFile), []record{{wrong, noHubs}, {refused, missing("TLSKeyFile")}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			rewrite(t, "my.json", tt.config)
			var log strings.Builder
			s := &service{
				sources: sources{file: "my.json"}, log: slog.New(slog.NewJSONHandler(&log, nil)),
				logs: newLogs(&log, "info"), started: &config{},
			}
			s.config.Store(s.started)
			s.reload()
			var got []record
			for d := json.NewDecoder(strings.NewReader(log.String())); d.More(); {
				var r record
				if err := d.Decode(&r); err != nil {
					t.Fatal(err)
				}
				got = append(got, r)
			}
			same := func(g, w record) bool {
				return g.Msg == w.Msg && (g.Error == w.Error || w.Error == noPEM && strings.Contains(g.Error, noPEM) && !strings.Contains(g.Error, "\n"))
			}
			if !slices.EqualFunc(got, tt.want, same) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func TestTLSPortEndToEnd(t *testing.T) {
	port := freePort(t)
	p := start(t, nil, "-port", "0", "-tls-self-signed", "-tls-port", port,
		"-unix", filepath.Join(t.TempDir(), "rocket.sock"), "-proxy-from", "192.0.2.0/24, 198.51.100.1, unix")
	plain := p.stdout.want(`(ws://localhost:\d+)/ `)[1]
	secure := p.stdout.want(`(wss://localhost:\d+)/ `)[1]
	p.stdout.want(`^Ready`)
	if !strings.HasSuffix(secure, port) {
		t.Errorf("got %s, want port %s", secure, port)
	}
	reader := start(t, nil, "subscribe", "-url", plain, "c")
	reader.stderr.want(`^subscribed`)
	start(t, nil, "publish", "-insecure", "-url", secure, "c", "1").wantStatus(0)
	reader.stdout.want(`"data":1`)
}

// The networks of proxies are obeyed on every address, and the socket's file is one
// of them where the list has "unix".
func TestForwardedFromEndToEnd(t *testing.T) {
	dir := t.TempDir()
	for list, want := range map[string][2]string{ // the address at the port, and at the socket's file
		"::ffff:127.0.0.0/104, unix": {"192.0.2.7:0", "192.0.2.7:0"},
		"127.0.0.1":                  {"192.0.2.7:0", ""},
		"unix":                       {"127.0.0.1:", "192.0.2.7:0"},
	} {
		file := filepath.Join(dir, "rocket.sock")
		p := start(t, []string{"ROCKET_READ_ONLY_SECRET=r", "ROCKET_READ_WRITE_SECRET=rw"},
			"-port", "0", "-admin", "off", "-unix", file, "-forwarded-from", list, "-log-level", "debug")
		port := p.stdout.want(`ws://(localhost:\d+)/ `)[1]
		p.stdout.want(`^Ready`)
		for i, at := range [][2]string{{"tcp", port}, {"unix", file}} {
			ws, _, err := websocket.Dial(t.Context(), "ws://rocket.example/", &websocket.DialOptions{
				HTTPHeader: http.Header{"Forwarded": {"for=192.0.2.7"}},
				HTTPClient: &http.Client{Transport: &http.Transport{
					DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
						return new(net.Dialer).DialContext(ctx, at[0], at[1])
					},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := ws.Write(t.Context(), websocket.MessageText, []byte(`{"auth":{"access":"read-only","secret":"no"}}`)); err != nil {
				t.Fatal(err)
			}
			got := p.stderr.want(`"a login was refused".*"address":"([^"]*)"`)[1]
			if want := want[i]; !strings.HasPrefix(got, want) || want == "" && strings.HasPrefix(got, "192.") {
				t.Errorf("-forwarded-from %s, %s: got the address %q, want %q", list, at[0], got, want)
			}
			_ = ws.CloseNow()
		}
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// With -tls-client-ca only clients with a certificate of that authority get in.
func TestClientCertificateEndToEnd(t *testing.T) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, url := startSecure(t, "-tls-self-signed", "-tls-client-ca", file)
	for name, certs := range map[string][]tls.Certificate{
		"": nil, "of the authority": {{Certificate: [][]byte{der}, PrivateKey: key}},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}}
		ws, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		if (err == nil) != (name != "") {
			t.Errorf("with a certificate %q: got %v", name, err)
		}
		if err == nil {
			_ = ws.CloseNow()
		}
	}
}

func TestTLSProblems(t *testing.T) {
	cert, key := writePair(t, t.TempDir())
	_, otherKey := writePair(t, t.TempDir())
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	// Of a list of authorities a byte order mark hides the first one alone.
	marked, markedList, wide := writeFile(t, "\ufeff"+string(text)), writeFile(t, "\ufeff"+string(text)+string(text)), writeFile(t, "\xff\xfe-\x00-\x00")
	for _, tt := range []struct {
		name, want string
		args       []string
		status     int
	}{
		{"two certificates", "-tls-self-signed: there is a certificate already", []string{"-tls-cert", cert, "-tls-key", key, "-tls-self-signed"}, 2},
		{"authorities alone", "-tls-client-ca: there is no TLS", []string{"-tls-client-ca", cert}, 2},
		{"port alone", "-tls-port: there is no TLS", []string{"-tls-port", "1"}, 2},
		{"no network", `-proxy-from: want an address or network such as "10.0.0.0/8", or "unix", not "10.0.0.0/33"`, []string{"-proxy-from", "10.0.0.0/33"}, 2},
		{"no network of proxies", `-forwarded-from: want an address or network such as "10.0.0.0/8", or "unix", not "proxy.example.com"`, []string{"-forwarded-from", "10.0.0.0/8, proxy.example.com"}, 2},
		{"everybody's network", `-forwarded-from: 0.0.0.0/0 would let every client choose its address`, []string{"-forwarded-from", "0.0.0.0/0"}, 2},
		{"everybody's network in IPv6", `-forwarded-from: ::ffff:0.0.0.0/96 would let every client choose its address`, []string{"-forwarded-from", "::ffff:0.0.0.0/96"}, 2},
		{"a part of IPv4 as IPv6", `-forwarded-from: want an address or network`, []string{"-forwarded-from", "::ffff:0:0/80"}, 2},
		{"no truth", `-tls-self-signed: want true or false, not "maybe"`, []string{"-tls-self-signed=maybe"}, 2},
		{"key of another", "private key does not match public key", []string{"-tls-cert", cert, "-tls-key", otherKey}, 1},
		{"pair in UTF-16", "-tls-cert: " + wide + ": the file is in UTF-16 or UTF-32; save it as UTF-8\n-tls-key: " + wide, []string{"-tls-cert", wide, "-tls-key", wide}, 1},
		{"certificate after a byte order mark", "-tls-cert: " + marked + ": the file begins with a byte order mark; save it without", []string{"-tls-cert", marked, "-tls-key", key}, 1},
		{"authorities after a byte order mark", "-tls-client-ca: " + markedList + ": the file begins with a byte order mark", []string{"-tls-self-signed", "-tls-client-ca", markedList}, 1},
		{"authorities in UTF-16", "-tls-client-ca: " + wide + ": the file is in UTF-16", []string{"-tls-self-signed", "-tls-client-ca", wide}, 1},
		{"no authority", "there is no certificate in it", []string{"-tls-self-signed", "-tls-client-ca", "/dev/null"}, 1},
	} {
		_, stderr, status := call(tt.args...)
		if status != tt.status || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: status %d, %s, want %d, %s", tt.name, status, stderr, tt.status, tt.want)
		}
	}
}

// A file that cannot be read is given all the same.
func TestUnreadableCertificate(t *testing.T) {
	cert, key := writePair(t, t.TempDir())
	for flag, args := range map[string][]string{
		"tls-cert":      {"-tls-cert", "/nowhere.pem", "-tls-key", key, "-tls-port", "1"},
		"tls-key":       {"-tls-cert", cert, "-tls-key", "/nowhere.pem", "-tls-port", "1"},
		"tls-client-ca": {"-tls-cert", cert, "-tls-key", key, "-tls-client-ca", "/nowhere.pem"},
	} {
		_, stderr, _ := call(args...)
		want := "-" + flag + ": cannot read /nowhere.pem: no such file or directory\n"
		if got, _, _ := strings.Cut(stderr, "For help"); got != want {
			t.Errorf("%s: got %q want %q", flag, got, want)
		}
	}
}

func TestSelfSignedInFile(t *testing.T) {
	for text, want := range map[string]string{
		`true`:   "",
		`"true"`: "want true or false, not the string",
		`1`:      "want true or false, not 1",
	} {
		c, err := sources{file: writeFile(t, `{"TLSSelfSigned": `+text+`, "Hubs": [{"Path": "/"}]}`)}.load()
		if want == "" && (err != nil || !c.selfSigned) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
