package bench

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestFaultyServerIsCaughtOverTLS(t *testing.T) {
	drops := every(func(*faultyServer, *websocket.Conn, []byte) {})
	for name, tt := range map[string]struct {
		twist func(*faultyServer, int, *websocket.Conn, []byte)
		lost  int64
	}{"flawless": {flawless, 0}, "drops": {drops, 3}} {
		t.Run(name, func(t *testing.T) {
			sc := ScenarioNamed("fanout")
			target, ca := startFaultyTLS(t, &faultyServer{twist: tt.twist})
			o := quick(sc, target, 300)
			o.CA, o.Drain = ca, time.Second
			res, err := Run(t.Context(), sc, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := Check{Delivered: 3000 - tt.lost, Lost: tt.lost}
			if res.Check != want || res.Published != 300 || res.Good() != (tt.lost == 0) {
				t.Errorf("published %d, check %+v, want 300, %+v", res.Published, res.Check, want)
			}
		})
	}
}

func TestBadTLSServers(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	target := func(srv *httptest.Server) string { return "wss://" + srv.Listener.Addr().String() }
	tests := []struct {
		name   string
		target func(t *testing.T) string
		set    func(o *Options)
		want   string
	}{
		{"unknown certificate", func(*testing.T) string { return target(secure) }, func(*Options) {}, "failed to verify certificate"},
		{"any certificate", func(*testing.T) string { return target(secure) }, func(o *Options) { o.Insecure = true }, "404 Not Found"},
		{"no TLS", func(*testing.T) string { return target(plain) }, func(*Options) {}, "does not look like a TLS handshake"},
		{"ends in the handshake", hangingUp, func(*Options) {}, "the server closed the connection"},
		{"dies", func(t *testing.T) string {
			target, _ := startFaultyTLS(t, &faultyServer{twist: flawless, dieAt: 50})
			return target
		}, func(o *Options) { o.Insecure = true }, "the server closed the connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc := ScenarioNamed("fanout")
			o := quick(sc, tt.target(t), 300)
			tt.set(&o)
			res, err := Run(t.Context(), sc, o, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if res == nil || res.Good() {
				t.Errorf("result %+v, want one with the error", res)
			}
		})
	}
}

// hangingUp closes each connection when the first bytes have come.
func hangingUp(t *testing.T) (target string) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "wss://" + l.Addr().String()
}

func TestBadTLSOptions(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		set  func(o *Options)
	}{
		{"TLS for a plain target", func(o *Options) { o.TLS = true }},
		{"an authority for a plain target", func(o *Options) { o.CA = empty }},
		{"any certificate of a plain target", func(o *Options) { o.Insecure = true }},
		{"an authority for a server of our own", func(o *Options) { o.Target, o.CA = "", empty }},
		{"both kinds of trust", func(o *Options) { o.Target, o.CA, o.Insecure = "wss://127.0.0.1:1/", empty, true }},
		{"an empty file", func(o *Options) { o.Target, o.CA = "wss://127.0.0.1:1/", empty }},
		{"no file", func(o *Options) { o.Target, o.CA = "wss://127.0.0.1:1/", empty+"x" }},
		{"a server that cannot", func(o *Options) { o.Target, o.Dialect, o.TLS = "", "nats", true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc := ScenarioNamed("fanout")
			o := quick(sc, "ws://127.0.0.1:1/", 1)
			tt.set(&o)
			if _, err := Run(t.Context(), sc, o, nil); !errors.Is(err, ErrUsage) {
				t.Errorf("error %v, want %v", err, ErrUsage)
			}
		})
	}
}

// A record that arrives in pieces, cut at every place, is read as a whole; so is a handshake, byte by byte.
func TestSecuredCutAnywhere(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	l, err := tls.Listen("tcp4", "127.0.0.1:0", srv.TLS)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server, err := l.Accept()
		if err != nil {
			return
		}
		defer server.Close()
		io.WriteString(server, "one")
		io.WriteString(server, "two")
		server.Read(make([]byte, 1)) // until the client is gone
	}()
	ours, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ours.Close()
		l.Close()
		<-served
	}()
	s := newSecured(&tls.Config{InsecureSkipVerify: true})
	defer s.end()
	_, err = s.shake()
	var got []byte
	done := false
	piece, plain := make([]byte, 1), make([]byte, 16)
	for string(got) != "onetwo" {
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		if _, err = ours.Write(s.sealed); err != nil {
			break
		}
		s.sealed = s.sealed[:0]
		if _, err = ours.Read(piece); err != nil {
			break
		}
		s.arrived = piece
		if !done {
			done, err = s.shake()
			continue
		}
		n, opened := s.open(plain)
		got = append(got, plain[:n]...)
		if !errors.Is(opened, errNoBytes) {
			err = opened
		}
	}
	if string(got) != "onetwo" || s.resume != nil {
		t.Errorf("read %q, %v, want %q", got, err, "onetwo")
	}
}

func TestAbandonedHandshakeEnds(t *testing.T) {
	s := newSecured(&tls.Config{InsecureSkipVerify: true})
	if done, err := s.shake(); done || err != nil || len(s.sealed) == 0 {
		t.Fatalf("done %v, %v, with a greeting of %d bytes", done, err, len(s.sealed))
	}
	s.end()
	if !errors.Is(s.err, errAbandoned) || s.resume != nil {
		t.Errorf("error %v, want %v", s.err, errAbandoned)
	}
}
