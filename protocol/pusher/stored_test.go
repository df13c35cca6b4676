package pusher_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// An event that is stored is kept from the connection that a socket_id names, also if that is
// at another node than the one where it was published.
func TestStoredEventIsKeptBack(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server of NATS does not start")
	}
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
