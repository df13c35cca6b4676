package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// An operator lists connections, and closes one of them by its ID.
func TestConnectionsEndToEnd(t *testing.T) {
	server, url := startServer(t, []string{"ROCKET_ADMIN_TOKEN=topsecret"})
	env := []string{"ROCKET_ADMIN_TOKEN=topsecret", "ROCKET_ADMIN=" + adminOf(server)}
	list := func(args ...string) []string {
		t.Helper()
		listing := start(t, env, append([]string{"connections"}, args...)...)
		listing.wantStatus(0)
		return strings.Split(strings.TrimSpace(listing.stdout.all()), "\n")
	}
	news := start(t, nil, "subscribe", "-url", url, "news", "weather")
	news.stderr.want(`^subscribed`)
	other := start(t, nil, "subscribe", "-url", url, "other")
	other.stderr.want(`^subscribed`)
	for _, args := range [][]string{nil, {"-hub", "/"}} {
		if got := list(args...); len(got) != 2 {
			t.Errorf("%v: got %q, want two connections", args, got)
		}
	}
	if got := list("-n", "1"); len(got) != 1 {
		t.Errorf("-n 1: got %q", got)
	}
	got := list("-channel", "news")
	line := regexp.MustCompile(`^subscriptions=2 queued=0 hub=/ connection=(\S+@127\.0\.0\.1:\d+)$`).FindStringSubmatch(got[0])
	if len(got) != 1 || line == nil {
		t.Fatalf("-channel news: got %q", got)
	}

	disconnect := start(t, env, "disconnect", "-code", "4000", "-reason", "go", line[1])
	disconnect.wantStatus(0)
	news.stderr.want(`4000 go`)
	if got := list("-channel", "news"); len(got) != 1 || got[0] != "" {
		t.Errorf("then it has %q", got)
	}
	disconnect = start(t, env, "disconnect", line[1])
	disconnect.wantStatus(1)
	if got := disconnect.stderr.all(); !strings.Contains(got, "rocket: the server answers 404 Not Found: there is no such connection") {
		t.Errorf("twice: got %s", got)
	}
	for _, args := range []string{"connections x", "connections -n -1", "disconnect", "disconnect a b"} {
		if _, stderr, status := call(strings.Fields(args)...); status != statusUsage {
			t.Errorf("%s: got status %d, %s", args, status, stderr)
		}
	}
}

// The list has the subprotocol that a connection has chosen.
func TestSubprotocolOfAConnectionEndToEnd(t *testing.T) {
	server, url := startServer(t, nil, "-subprotocols", "rocket.v1")
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{"other", "rocket.v1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	listing := start(t, []string{"ROCKET_ADMIN=" + adminOf(server)}, "connections")
	listing.stdout.want(` hub=/ connection=\S+ subprotocol=rocket\.v1$`)
	listing.wantStatus(0)
}
