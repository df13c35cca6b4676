package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// issue returns the certificate of a name in PEM, which is valid from and until a
// time from now, and its key.
func issue(t *testing.T, name string, from, until time.Duration) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

const day = 24 * time.Hour

// rocket check finds a certificate that clients refuse, and warns of what is about to
// be one.
func TestCheckExpiry(t *testing.T) {
	for _, tt := range []struct {
		name        string
		from, until time.Duration
		chain       time.Duration // until which the second certificate is valid, if there is one
		authority   time.Duration // until which the one of TLSClientCA is valid, if there is one
		status      int
		want        string
	}{
		{"valid", -day, 90 * day, 0, 0, 0, ""},
		{"expired", -2 * day, -day, 0, 0, 1, "my.json:2: TLSCertFile: the certificate of example.com has expired, at "},
		{"not yet valid", day, 90 * day, 0, 0, 1, "my.json:2: TLSCertFile: the certificate of example.com is not valid before "},
		{"soon", -80 * day, 10 * day, 0, 0, 0, "my.json: warning: the certificate of example.com expires soon, at "},
		{"of six days", -day, 5 * day, 0, 0, 0, ""},
		{"of six days, soon", -5 * day, day, 0, 0, 0, "my.json: warning: the certificate of example.com expires soon, at "},
		{"chain expired", -day, 90 * day, -time.Hour, 0, 1, "my.json:2: TLSCertFile: the certificate of authority.example has expired, at "},
		{"clients' authority expired", -day, 90 * day, 0, -time.Hour, 0, "my.json: warning: the certificate of clients.example has expired, at "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			cert, key := issue(t, "example.com", tt.from, tt.until)
			if tt.chain != 0 {
				more, _ := issue(t, "authority.example", -day, tt.chain)
				cert = append(cert, more...)
			}
			config := "{\n\"TLSCertFile\": \"cert.pem\", \"TLSKeyFile\": \"key.pem\", \"Hubs\": [{\"Path\": \"/\"}]"
			if tt.authority != 0 {
				more, _ := issue(t, "clients.example", -day, tt.authority)
				rewrite(t, "ca.pem", string(more))
				config += `, "TLSClientCA": "ca.pem"`
			}
			rewrite(t, "cert.pem", string(cert))
			rewrite(t, "key.pem", string(key))
			rewrite(t, "my.json", config+"}")
			stdout, stderr, status := call("check", "my.json")
			if _, _, got := call("check", "-tls-cert", "cert.pem", "-tls-key", "key.pem"); got != tt.status {
				t.Errorf("with flags: got status %d, want %d", got, tt.status)
			}
			if all := stdout + stderr; status != tt.status || !strings.Contains(all, tt.want) || tt.want == "" && strings.Contains(all, "certificate") {
				t.Errorf("got status %d and\n%s\nwant %d and %q", status, all, tt.status, tt.want)
			}
		})
	}
}

// A server with an expired certificate serves, warns at its start and at each reload,
// and tells Prometheus.
func TestExpiredCertificateEndToEnd(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(until time.Duration) {
		cert, key := issue(t, "localhost", -2*day, until)
		rewrite(t, certFile, string(cert))
		rewrite(t, keyFile, string(key))
	}
	write(-day)
	server := start(t, nil, "-tls-cert", certFile, "-tls-key", keyFile, "-port", "0", "-admin", "127.0.0.1:0")
	const warning = `"level":"WARN","msg":"the certificate of localhost has expired, at .*: clients refuse it"`
	server.stderr.want(warning)
	url := server.stdout.want(`(wss://localhost:\d+)/ `)[1]
	server.stdout.want(`^Ready`)
	start(t, nil, "subscribe", "-insecure", "-url", url, "c").stderr.want(`^subscribed`)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	server.stderr.want(warning)
	wantExpiry(t, server, -day)

	write(50 * day)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"certificate loaded"`)
	server.stderr.want(`"reloaded"`)
	wantExpiry(t, server, 50*day)
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
	if n := strings.Count(server.stderr.all(), "has expired"); n != 2 {
		t.Errorf("got %d warnings, want 2", n)
	}
}

// wantExpiry reads when the certificate expires, as a time from now.
func wantExpiry(t *testing.T, server *process, want time.Duration) {
	t.Helper()
	response, err := http.Get("http://" + adminOf(server) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(text), "\nrocket_certificate_expiry_seconds ")
	var got float64
	if _, err := fmt.Sscan(value, &got); err != nil {
		t.Fatalf("no expiry: %v", err)
	}
	if diff := time.Until(time.Unix(int64(got), 0)) - want; diff < -time.Hour || diff > time.Hour {
		t.Errorf("the certificate expires at %v, want in %v", got, want)
	}
}

// Every certificate that clients are sent counts for the metric; without TLS there
// is none.
func TestExpiry(t *testing.T) {
	if got := (*certificates)(nil).expiry(); !got.IsZero() {
		t.Errorf("without TLS: got %v", got)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, key := issue(t, "localhost", -day, 50*day)
	authority, _ := issue(t, "authority.example", -day, 20*day)
	rewrite(t, certFile, string(cert)+string(authority))
	rewrite(t, keyFile, string(key))
	for _, tt := range []struct {
		name string
		c    *config
		want time.Duration
	}{
		{"chain", &config{certFile: certFile, keyFile: keyFile}, 20 * day},
		{"self-signed", &config{selfSigned: true}, 90 * day},
	} {
		certs, err := tt.c.certificates(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if diff := time.Until(certs.expiry()) - tt.want; diff < -time.Hour || diff > time.Hour {
			t.Errorf("%s: got %v, want %v from now", tt.name, certs.expiry(), tt.want)
		}
	}
}
