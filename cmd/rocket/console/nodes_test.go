package console

import (
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/cluster/embedded"
	"github.com/nu7hatch/webrocket/codec"
)

// freeAddresses returns addresses that nobody listens on.
func freeAddresses(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// startNodes starts the nodes of a cluster.
func startNodes(t *testing.T, names ...string) []*cluster.Node {
	t.Helper()
	addresses, nodes := freeAddresses(t, len(names)), make([]*cluster.Node, len(names))
	var starting sync.WaitGroup
	for i, name := range names {
		starting.Go(func() {
			server, err := embedded.Start(embedded.Config{Name: "c", Node: name, Listen: addresses[i], Routes: addresses})
			if err != nil {
				t.Error(err)
				return
			}
			if nodes[i], err = cluster.Start(cluster.Config{Name: "c", Node: name, Embedded: server}); err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() {
				_ = nodes[i].Close(context.Background())
				server.Shutdown()
			})
		})
	}
	if starting.Wait(); t.Failed() {
		t.FailNow()
	}
	return nodes
}

// The longest list of the longest names has room in a message of NATS.
func TestListsFitIntoMessages(t *testing.T) {
	for name, character := range map[string]string{"HTML": "<", "quotes": `"`, "a line separator": "\u2028"} {
		list := Channels{Channels: make([]Channel, listMax)}
		for i := range list.Channels {
			long := strings.Repeat(character, codec.MaxChannelName/len(character))
			list.Channels[i] = Channel{long[:20], long, false, math.MaxInt32, math.MaxInt64, math.MaxInt64}
		}
		text, err := (&console{}).answerOf(t.Context(), nodeQuestion{}, func(*http.Request) (any, error) { return list, nil })
		if err != nil || len(text) > 1<<20-1<<10 {
			t.Errorf("%s: got %d bytes, %v", name, len(text), err)
		}
	}
}

// inCluster asks about other nodes: one that answers, one that has no console, and none.
func (o *operator) inCluster() {
	o.t.Helper()
	nodes := startNodes(o.t, "a", "b", "mute")
	consoleOf := func(n *cluster.Node) *operator {
		return operate(o.t, func(c *console, s *webrocket.Server) {
			s.Broker, c.Cluster = n, n.Stats
			h := webrocket.NewJSONHandler()
			h.Patterns = true
			if err := s.Handle("/patterns", h); err != nil {
				o.t.Fatal(err)
			}
		})
	}
	a, b := consoleOf(nodes[0]), consoleOf(nodes[1])
	a.seen = o.seen
	b.dial("weather")
	for _, path := range []string{
		"/api/loops?", "/api/cluster?", "/api/hubs?", "/api/apps?", "/api/channels?", "/api/patterns?", "/api/connections?",
		"/api/connections/slowest?", "/api/history?hub=/&channel=chat:1&", "/api/presence?hub=/&channel=room:1&",
	} {
		var all Nodes
		if err := json.Unmarshal([]byte(a.ask("GET", path+"node=*", "", 200)), &all); err != nil {
			o.t.Fatal(err)
		}
		if n := all.Nodes; len(n) != 3 || n[0].Node != "a" || n[0].Answer == nil || n[1].Node != "b" || n[1].Answer == nil || n[2].Node != "mute" || n[2].Error == "" || n[2].Answer != nil {
			o.t.Errorf("%s: got %+v", path, all)
		}
		a.ask("GET", path+"node=a", "", 200)
		a.ask("GET", path+"node=mute", "", 503)
		a.ask("GET", path+"node=nobody", "", 404)
	}
	if got := a.ask("GET", "/api/channels?node=b", "", 200); !strings.Contains(got, `"channel":"weather","permanent":false,"subscribers":1`) {
		o.t.Errorf("got %s", got)
	}
	if got := a.ask("GET", "/api/channels?node=a", "", 200); strings.Contains(got, "weather") {
		o.t.Errorf("got %s", got)
	}
	if got := a.ask("GET", "/api/cluster?node=b", "", 200); !strings.Contains(got, `"node":"b"`) {
		o.t.Errorf("got %s", got)
	}
	if got := a.ask("GET", "/api/connections?limit=1&node=b&hub=/&channel=weather", "", 200); !strings.Contains(got, "127.0.0.1") {
		o.t.Errorf("got %s", got)
	}
	a.ask("GET", "/api/connections?node=b&limit=0", "", 503)
	a.ask("GET", "/api/connections?node=*&after=0-0", "", 400)
	a.ask("GET", "/api/presence?hub=/&channel=room:1&node=*&after=0", "", 400)
	a.ask("GET", "/api/history?hub=/&channel=news&node=b", "", 503)             // it keeps none
	a.ask("POST", "/api/disconnect", `{"connection":"0-1-1@127.0.0.1:1"}`, 503) // mute may have it
	a.listsOfAll(b)
}
