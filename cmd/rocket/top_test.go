package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/cmd/rocket/console"
)

func TestView(t *testing.T) {
	before := sample{
		loops: console.Loops{
			Version: "1", Ready: true, UptimeSeconds: 60, MaxConnections: 100,
			Loops: []console.Loop{{MessagesSent: 1000, BusySeconds: 10}, {BytesSent: 5}},
		},
		channels: console.ClusterChannels{Channels: console.Channels{Total: 3, Channels: []console.Channel{
			{Hub: "/", Channel: "old", Published: 9000},
			{Hub: "/", Channel: "again", Published: 5},
			{Hub: "/", Channel: "smaller", Published: 1, Bytes: 5000},
		}}},
	}
	after := sample{
		loops: console.Loops{
			Version: "1", Ready: true, UptimeSeconds: 62, MaxConnections: 100,
			Loops: []console.Loop{
				{Connections: 3, Subscriptions: 4, MessagesSent: 5000, BusySeconds: 11, Deliveries: 10, DeliverySeconds: 0.01},
				{Stale: true, Connections: 1, BytesSent: 5},
			},
		},
		channels: console.ClusterChannels{Channels: console.Channels{Total: 3, Channels: []console.Channel{
			{Hub: "/", Channel: "old", Published: 9002, Subscribers: 7},
			{Hub: "/", Channel: "new", Published: 100, Bytes: 4000000},
			{Hub: "/", Channel: "again", Published: 4},
			{Hub: "/", Channel: "smaller", Published: 40, Bytes: 4000},
		}}},
		slowest: console.Connections{Connections: []console.Connection{{Connection: "0-1-1@a:1", Hub: "/", QueuedBytes: 12345, QueuedFrames: 3}}},
	}
	before.hubs.Hubs = []console.Hub{{Hub: "/chat", History: console.History{Evicted: 10, Recoveries: map[string]uint64{"recovered": 4, "epoch": 1, "ahead": 1}}}}
	after.hubs.Hubs = []console.Hub{
		{Hub: "/", History: console.History{Recoveries: map[string]uint64{"recovered": 0}}}, // keeps nothing
		{Hub: "/chat", Presence: console.Presence{Channels: 3, Members: 240, Notices: 18}, History: console.History{
			Channels: 12, Bytes: 3_400_000, Evicted: 30, Recoveries: map[string]uint64{"recovered": 104, "epoch": 3, "ahead": 5},
		}},
	}
	before.apps.Apps = []console.App{{App: "shop", Webhooks: []console.Webhook{{Sent: 10, Failures: 1}}}}
	after.apps.Apps = []console.App{
		{App: "chat", Connections: 1},
		{App: "shop", Connections: 12, Channels: 5, Webhooks: []console.Webhook{{Queued: 3, Sent: 16, Failures: 4, Lost: 2}, {Queued: 1, Sent: 8, Failures: 1, Lost: 5}}},
	}
	want := `Rocket 1  ready  up 1m2s  at most 100 connections

  LOOP  BUSY  CONNS  SUBS  IN/s  OUT/s  IN B/s  OUT B/s  DELIVERY  WAITING  QUEUED B
     0   50%      3     4     0     2k       0        0       1ms        0         0
    1!    0%      1     0     0      0       0        0         -        0         0
   all   25%      4     4     0     2k       0        0       1ms        0         0

3 channels, the busiest:
  EVENTS/s  B/s  SUBS  CHANNEL
        50   2M     0  / new
        20   2k     0  / smaller
         2    0     0  / again
         1    0     7  / old

kept events:
  CHANNELS  BYTES  EVICTED/s  RECOVERED/s  NOT  HUB
        12   3.4M         10           50    3  /chat

presence:
  CHANNELS  MEMBERS  NOTICES/s  HUB
         3      240          9  /chat

applications:
  CONNS  CHANNELS  WEBHOOKS: QUEUED  SENT/s  FAILED/s  LOST  APP
      1         0                 0       0         0     0  chat
     12         5                 4       7         2     7  shop

slowest readers:
  QUEUED B  FRAMES  SUBS  CONNECTION
     12.3k       3     0  / 0-1-1@a:1
`
	if got := string(view(before, after)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, up := range []float64{0.5, 62.5} { // the port may be answered by an older one, too
		other := before
		other.loops.Started = time.Unix(1, 0)
		other.loops.UptimeSeconds = up
		other.loops.Ready = false
		want := " " + short(1000/up) + " "
		if got := string(view(after, other)); !strings.Contains(got, "not ready") || !strings.Contains(got, want) || !strings.Contains(got, "no slow readers") {
			t.Errorf("of another process: got\n%s, want %s", got, want)
		}
	}
}

// A server that is started again counts from 0, however long it was up before.
func TestTopOfRestartedServer(t *testing.T) {
	const loops = `{"version": "1", "ready": true, "started": "2026-01-01T00:00:0%dZ", "uptimeSeconds": %d,
		"maxConnections": 100, "loops": [{"messagesReceived": %d, "busySeconds": %[3]d, "bytesSent": %[3]d}]}`
	answers := []string{fmt.Sprintf(loops, 1, 2, 1000), fmt.Sprintf(loops, 5, 10, 5)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := "{}"
		if r.URL.Path == "/api/loops" {
			answer, answers = answers[0], answers[1:]
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	stdout, stderr, status := call("top", "-admin", server.URL, "-interval", "1ms", "-n", "1")
	want := "     0   50%      0     0   0.5      0       0      0.5         -        0         0\n"
	if status != 0 || !strings.Contains(stdout, want) {
		t.Errorf("got status %d, %s\n%s\nwant the line\n%s", status, stderr, stdout, want)
	}
}

func TestOnScreen(t *testing.T) {
	text := []byte("a\nb\n")
	if got := onScreen(text, false); !bytes.Equal(got, text) {
		t.Errorf("piped: got %q", got)
	}
	if got, want := string(onScreen(text, true)), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"; got != want {
		t.Errorf("on a terminal: got %q want %q", got, want)
	}
}

func TestShort(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.25: "0.25", 999: "999", 999.9: "1k", 999999: "1M", 1500: "1.5k", 2e6: "2M", 3.456e9: "3.46G"} {
		if got := short(n); got != want {
			t.Errorf("%v: got %s want %s", n, got, want)
		}
	}
}

// The channels are those of all nodes. The counts of a list for which other nodes have answered do not compare.
func TestViewChannelsOfNodes(t *testing.T) {
	list := func(published uint64, nodes ...console.NodeAnswer) console.ClusterChannels {
		var all console.ClusterChannels
		all.Total, all.Channels.Channels = 1, []console.Channel{{Hub: "/", Channel: "c", Published: published, Subscribers: 3}}
		all.Nodes.Nodes = nodes
		return all
	}
	a, b, silent := console.NodeAnswer{Node: "a"}, console.NodeAnswer{Node: "b"}, console.NodeAnswer{Node: "b", Error: "no answer"}
	const columns = ", the busiest:\n  EVENTS/s  B/s  SUBS  CHANNEL\n"
	for _, tt := range []struct {
		name          string
		before, after console.ClusterChannels
		want          string
	}{
		{"the same nodes", list(100, a, b), list(120, a, b), "1 channels at all nodes" + columns + "        10    0     3  / c\n"},
		{"one is silent", list(100, a, silent), list(120, a, silent), "1 channels at the nodes but b" + columns + "        10    0     3  / c\n"},
		{"one is back", list(100, a, silent), list(900, a, b), "1 channels at all nodes" + columns + "         0    0     3  / c\n"},
		{"one is silent now", list(900, a, b), list(100, a, silent), "1 channels at the nodes but b" + columns + "         0    0     3  / c\n"},
		{"one has left", list(900, a, b), list(100, a), "1 channels" + columns + "         0    0     3  / c\n"},
		{"the first report", console.ClusterChannels{}, list(100, a, b), "1 channels at all nodes" + columns + "         0    0     3  / c\n"},
		{"the first report of one server", console.ClusterChannels{}, list(100, a), "1 channels" + columns + "        50    0     3  / c\n"},
	} {
		var text bytes.Buffer
		if viewChannels(&text, tt.before, tt.after, 2); text.String() != "\n"+tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, text.String(), tt.want)
		}
	}
}

// Each number is in its own column, of the loops and of their sum.
func TestViewColumns(t *testing.T) {
	before := sample{
		loops: console.Loops{UptimeSeconds: 10, Loops: []console.Loop{
			{MessagesReceived: 1, MessagesSent: 2, BytesReceived: 3, BytesSent: 4, BusySeconds: 1, Deliveries: 5, DeliverySeconds: 6},
			{MessagesReceived: 10, MessagesSent: 20, BytesReceived: 30, BytesSent: 40, BusySeconds: 2, Deliveries: 50, DeliverySeconds: 60},
		}},
		channels: console.ClusterChannels{Channels: console.Channels{Total: 1, Channels: []console.Channel{{Hub: "/", Channel: "c", Published: 100, Bytes: 1000}}}},
	}
	after := sample{
		loops: console.Loops{Ready: true, UptimeSeconds: 20, Loops: []console.Loop{
			{
				Connections: 11, Subscriptions: 12, Waiting: 13, QueuedBytes: 14,
				MessagesReceived: 1 + 150, MessagesSent: 2 + 160, BytesReceived: 3 + 170, BytesSent: 4 + 180,
				BusySeconds: 1 + 1.9, Deliveries: 5 + 2, DeliverySeconds: 6 + 0.002,
			},
			{
				Connections: 21, Subscriptions: 22, Waiting: 23, QueuedBytes: 24,
				MessagesReceived: 10 + 250, MessagesSent: 20 + 260, BytesReceived: 30 + 270, BytesSent: 40 + 280,
				BusySeconds: 2 + 2.9, Deliveries: 50 + 2, DeliverySeconds: 60 + 0.004,
			},
		}},
		channels: console.ClusterChannels{Channels: console.Channels{Total: 1, Channels: []console.Channel{{Hub: "/", Channel: "c", Published: 100 + 350, Bytes: 1000 + 360, Subscribers: 37}}}},
		slowest:  console.Connections{Connections: []console.Connection{{Connection: "0-1-1@a:1", Hub: "/", QueuedBytes: 38, QueuedFrames: 39, Subscriptions: 40}}},
	}
	want := `
  LOOP  BUSY  CONNS  SUBS  IN/s  OUT/s  IN B/s  OUT B/s  DELIVERY  WAITING  QUEUED B
     0   19%     11    12    15     16      17       18       1ms       13        14
     1   29%     21    22    25     26      27       28       2ms       23        24
   all   24%     32    34    40     42      44       46     1.5ms       36        38

1 channels, the busiest:
  EVENTS/s  B/s  SUBS  CHANNEL
        35   36    37  / c

slowest readers:
  QUEUED B  FRAMES  SUBS  CONNECTION
        38      39    40  / 0-1-1@a:1
`
	if _, got, _ := strings.Cut(string(view(before, after)), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTopEndToEnd(t *testing.T) {
	server, url := startServer(t, []string{"ROCKET_ADMIN_TOKEN=topsecret"})
	reader := start(t, nil, "subscribe", "-url", url, "news")
	reader.stderr.want(`^subscribed`)
	top := start(t, []string{"ROCKET_ADMIN_TOKEN=topsecret", "ROCKET_ADMIN=" + adminOf(server)}, "top", "-interval", "1ms")
	top.stdout.want(`^Rocket 0.* ready `)
	top.stdout.want(`^ +LOOP `)
	top.stdout.want(`^1 channels`)
	top.stdout.want(` / news$`)
	top.stdout.want(`^no slow readers$`)
	top.wantStatus(0)

	top = start(t, []string{"ROCKET_ADMIN=" + adminOf(server)}, "top")
	top.wantStatus(1)
	if got := top.stderr.all(); !strings.Contains(got, "set ROCKET_ADMIN_TOKEN") {
		t.Errorf("without a token: got %s", got)
	}
	for _, args := range []string{"top x", "top -interval 0s", "top -n -1", "health x y"} {
		if _, stderr, status := call(strings.Fields(args)...); status != statusUsage {
			t.Errorf("%s: got status %d, %s", args, status, stderr)
		}
	}
}
