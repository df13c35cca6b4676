package pusher_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// jetStream starts a server of NATS that stores streams.
func jetStream(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server of NATS does not start")
	}
	return s
}

// An event that is stored is kept from the connection that a socket_id names, also if that is
// at another node than the one where it was published.
func TestStoredEventIsKeptBack(t *testing.T) {
	s := jetStream(t)
	rules := webrocket.HubConfig{Rules: []webrocket.Rule{{Match: "**", History: webrocket.History{Size: 100, TTL: time.Hour}}}}
	var nodes []*world
	for _, name := range []string{"a", "b"} {
		node, err := cluster.Start(cluster.Config{Node: name, Servers: []string{s.ClientURL()}, Streams: &cluster.Streams{Replicas: 1}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = node.Close(context.Background()) })
		nodes = append(nodes, beginServer(t, pusher.Config{}, rules, func(s *webrocket.Server) {
			s.Config.Loops = 1
			s.Broker = node
		}))
	}
	here, there := nodes[0].connect(), nodes[1].connect()
	here.join("news")
	there.join("news")
	for _, out := range []*client{here, there} {
		nodes[0].publish(`{"name":"e","data":"kept back","channel":"news","socket_id":"` + out.socket + `"}`)
	}
	nodes[0].publish(`{"name":"e","data":"for all","channel":"news"}`)
	for _, c := range []*client{here, there} {
		c.want(`~"data":"kept back"`, `~"data":"for all"`)
	}
}

// While an event of a cache channel waits to be stored, clients are served: also those that
// subscribe to such channels.
func TestStoredCacheHoldsUpNobody(t *testing.T) {
	s := jetStream(t)
	// An event waits for that long, or until the node ends.
	node, err := cluster.Start(cluster.Config{Node: "a", Servers: []string{s.ClientURL()}, Streams: &cluster.Streams{Replicas: 1, PublishTimeout: patience}})
	if err != nil {
		t.Fatal(err)
	}
	rules := webrocket.HubConfig{Rules: []webrocket.Rule{{Match: "cache-stored", History: webrocket.History{Size: 100, TTL: time.Hour}}}}
	w := beginServer(t, pusher.Config{}, rules, func(s *webrocket.Server) {
		s.Config.Loops = 1
		s.Broker = node
	})
	first, second := w.connect(), w.connect()
	w.publish(`{"name":"e","data":"1","channel":"cache-stored"}`)
	s.Shutdown()
	s.WaitForShutdown()
	done := make(chan answer)
	go func() {
		done <- w.call("POST", "/apps/app-1/events", "", `{"name":"e","data":"2","channel":"cache-stored"}`)
	}()
	waitFor(t, func() bool {
		got := w.call("GET", "/apps/app-1/channels/cache-stored", "info=cache", "")
		return got.status == 200 && strings.Contains(got.body, `"data":"2"`)
	})
	first.join("cache-other")
	first.want(`~cache_miss`)
	second.join("cache-stored")
	select {
	case got := <-done:
		t.Errorf("the event waits no more, got %+v", got)
	default:
	}
	_ = node.Close(context.Background())
	if got := <-done; got.status != 503 {
		t.Errorf("got %+v, want 503", got)
	}
}
