package cluster_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
)

// A loner is a node on a server of NATS with JetStream that others may use too.
func loner(t *testing.T, url string, streams cluster.Streams) *cluster.Node {
	t.Helper()
	node, err := cluster.Start(cluster.Config{Node: "n", Servers: []string{url}, Streams: &streams, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNode(node) })
	return node
}

func closeNode(n *cluster.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = n.Close(ctx)
}

// jetStream starts a server of NATS, and returns where it is.
func jetStream(t *testing.T) (url string, js jetstream.JetStream) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server of NATS does not start")
	}
	c, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if js, err = jetstream.New(c); err != nil {
		t.Fatal(err)
	}
	return s.ClientURL(), js
}

// handler serves a hub whose channels keep events for a time.
func handler(ttl time.Duration) *webrocket.HubHandler {
	h := webrocket.NewJSONHandler()
	h.Rules = []webrocket.Rule{{Match: "**", History: webrocket.History{Size: 100, TTL: ttl}}}
	return h
}

// serveAt starts a server of a node with a hub.
func serveAt(t *testing.T, node *cluster.Node, path string, h webrocket.Handler) *keeper {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Broker, s.Log = node, slog.New(slog.DiscardHandler)
	if err := s.Handle(path, h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	k := &keeper{node: node, server: s}
	t.Cleanup(k.stop)
	return k
}

// A hub with a name that is longer than what NATS takes has logs as well.
func TestLongNameOfHub(t *testing.T) {
	url, _ := jetStream(t)
	node := loner(t, url, cluster.Streams{Replicas: 1})
	path := "/" + strings.Repeat("x", 250)
	k := serveAt(t, node, path, handler(time.Hour))
	if _, err := k.server.PublishKeyed(path, "c", "e", nil, ""); err != nil {
		t.Error(err)
	}
}

// Other rules change for how long a log stores events.
func TestReloadChangesLogs(t *testing.T) {
	url, js := jetStream(t)
	k := serveAt(t, loner(t, url, cluster.Streams{Replicas: 1}), "/", handler(time.Hour))
	age := func() time.Duration {
		s, err := js.Stream(t.Context(), "RK_rocket_Lw_0")
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config.MaxAge
	}
	before := age()
	if err := k.server.Reload(k.server.Config, map[string]webrocket.Handler{"/": handler(5 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	waitLong(t, "the log stores events for longer", func() bool { return age() == before+4*time.Hour })
}

// A node with another number of logs publishes nothing that the others would not hear.
func TestOtherNumberOfLogs(t *testing.T) {
	t.Parallel()
	sitsOut(t)
	url, _ := jetStream(t)
	first := loner(t, url, cluster.Streams{Replicas: 1, Logs: 1})
	right := serveAt(t, first, "/", handler(time.Hour))
	wrong := serveAt(t, loner(t, url, cluster.Streams{Replicas: 1, Logs: 4, PublishTimeout: time.Second}), "/", handler(time.Hour))
	if wrong.ready() {
		t.Error("the node is ready")
	}
	for _, channel := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		if _, err := wrong.server.PublishKeyed("/", channel, "e", nil, ""); err == nil {
			t.Errorf("%s: the event is published", channel)
		}
	}
	if _, err := right.server.PublishKeyed("/", "a", "e", nil, ""); err != nil {
		t.Error(err)
	}
}

// A hook that panics for a command which had to wait ends the connection of that command, and
// no other one gets fewer answers. Duplicates are counted.
func TestPanicOfWaitingCommand(t *testing.T) {
	url, _ := jetStream(t)
	h := handler(time.Hour)
	h.OnSubscribe = func(_ *webrocket.Session, channel string) error {
		if channel == "bad" {
			panic("oops")
		}
		return nil
	}
	k := serveAt(t, loner(t, url, cluster.Streams{Replicas: 1}), "/", h)
	bad, good := k.dial(t), k.dial(t)
	bad.send(publishNews, "e")
	bad.send(`{"subscribe":{"channel":"bad"}}`)
	const n = 50
	for i := range n {
		good.send(`{"publish":{"channel":"news","event":"e","key":"same"},"id":%d}`, i)
	}
	if r := bad.next(); !r.OK {
		t.Errorf("got %+v", r)
	}
	if _, _, err := bad.conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusInternalError {
		t.Errorf("got %v, want 1011", err)
	}
	for i := range n {
		if r := good.next(); !r.OK || r.ID != i || r.Duplicate != (i > 0) {
			t.Fatalf("got %+v, want the answer to %d", r, i)
		}
	}
	if got := k.server.Stats(t.Context()).Hubs[0].Duplicates; got != n-1 {
		t.Errorf("%d duplicates are counted, want %d", got, n-1)
	}
}
