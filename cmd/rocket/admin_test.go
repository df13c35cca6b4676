package main

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
)

// adminOf returns where the admin port of a server is.
func adminOf(p *process) string {
	p.t.Helper()
	_, rest, _ := strings.Cut(p.stdout.all(), "http://")
	address, _, _ := strings.Cut(rest, "\n")
	return address
}

func TestHealthEndToEnd(t *testing.T) {
	server, _ := startServer(t, []string{"ROCKET_ADMIN_TOKEN=topsecret"})
	address := adminOf(server)
	for _, args := range [][]string{{"health", "-admin", address}, {"health", "-ready", "-admin", "http://" + address}} {
		if stdout, stderr, status := call(args...); stdout != "ok\n" || status != 0 {
			t.Errorf("%v: got %q, %q, status %d", args, stdout, stderr, status)
		}
	}
	p := start(t, []string{"ROCKET_ADMIN=" + address}, "health")
	p.wantStatus(0)
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
	if _, stderr, status := call("health", "-admin", address); status != 1 || !strings.Contains(stderr, "is the server running") {
		t.Errorf("without a server: got %q, status %d", stderr, status)
	}
	if all := server.stdout.all() + server.stderr.all(); strings.Contains(all, "topsecret") {
		t.Errorf("the token is shown:\n%s", all)
	}
}

func TestAdminClientURL(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:9773":      "http://127.0.0.1:9773/livez",
		":9773":               "http://127.0.0.1:9773/livez",
		"0.0.0.0:9773":        "http://127.0.0.1:9773/livez",
		"[::]:9773":           "http://127.0.0.1:9773/livez",
		"[::1]:9773":          "http://[::1]:9773/livez",
		"http://10.0.0.7:123": "http://10.0.0.7:123/livez",
		"example.com":         "http://example.com/livez",
	} {
		if got := (&adminClient{address: address}).url("/livez"); got != want {
			t.Errorf("%s: got %s want %s", address, got, want)
		}
	}
}

// A second server on the machine starts without an admin port, unless its
// address was asked for.
func TestAdminAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &config{admin: l.Addr().String(), origin: map[string]string{}}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	a, err := startAdmin(c, &service{server: webrocket.NewServer(""), keys: new(keyRing), apps: new(applications), log: log})
	if a != nil || err != nil || !strings.Contains(text.String(), "no admin API") {
		t.Errorf("by default: got %v, %v and the log %s", a, err, &text)
	}
	if got := a.address(); got != "off" {
		t.Errorf("got the address %s", got)
	}
	a.close()
	c.origin["admin"] = "-admin"
	if _, err := startAdmin(c, &service{server: webrocket.NewServer(""), keys: new(keyRing), apps: new(applications), log: log}); err == nil {
		t.Error("asked for: no error")
	}
	p := start(t, nil, "-port", "0", "-admin", l.Addr().String())
	p.wantStatus(1)
	if got := p.stderr.all(); !strings.Contains(got, "choose another address with -admin") {
		t.Errorf("got %s", got)
	}
}

// Who says nothing, or not all, does not keep a connection of the admin port.
func TestAdminWaitsForNobody(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	a, err := startAdmin(&config{admin: "127.0.0.1:0"}, &service{server: webrocket.NewServer(""), keys: new(keyRing), apps: new(applications), log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	for name, limit := range map[string]time.Duration{
		"the header": a.server.ReadHeaderTimeout, "the request": a.server.ReadTimeout, "the next request": a.server.IdleTimeout,
	} {
		if limit <= 0 || limit > time.Minute {
			t.Errorf("it waits for %s for %v", name, limit)
		}
	}
}

func TestAdminSetting(t *testing.T) {
	for address, good := range map[string]bool{
		"off": true, ":0": true, "localhost:9773": true, "[::1]:80": true, "10.0.0.1:65535": true,
		"9773": false, "a:b": false, "a:-1": false, "a:65536": false, "": false, "a b:1": false,
	} {
		if err := checkAdmin(address); (err == nil) != good {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func TestAdminOff(t *testing.T) {
	a, err := startAdmin(&config{admin: "off"}, nil)
	if a != nil || err != nil {
		t.Errorf("got %v, %v", a, err)
	}
	if _, stderr, status := call("top", "-admin", "off"); status != 1 || !strings.Contains(stderr, "is off") {
		t.Errorf("got %q, status %d", stderr, status)
	}
}
