package pusher_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/cluster/embedded"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/protocol/pusher"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A node is a server with the application that is one of a cluster.
type node struct {
	*world
	nats *embedded.Server
}

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

// beginNodes starts servers that are one.
func beginNodes(t *testing.T, c pusher.Config, names ...string) []*node {
	t.Helper()
	addresses := freeAddresses(t, len(names))
	servers, members := make([]*embedded.Server, len(names)), make([]*cluster.Node, len(names))
	var starting sync.WaitGroup
	for i, name := range names {
		starting.Go(func() {
			var err error
			if servers[i], err = embedded.Start(embedded.Config{Name: "c", Node: name, Listen: addresses[i], Routes: addresses}); err != nil {
				t.Error(err)
				return
			}
			if members[i], err = cluster.Start(cluster.Config{Name: "c", Node: name, Embedded: servers[i]}); err != nil {
				t.Error(err)
			}
		})
	}
	if starting.Wait(); t.Failed() {
		t.FailNow()
	}
	var nodes []*node
	for i := range names {
		t.Cleanup(func() {
			_ = members[i].Close(context.Background())
			servers[i].Shutdown()
		})
		w := beginServer(t, c, webrocket.HubConfig{}, func(s *webrocket.Server) {
			s.Config.Loops = 1
			s.Broker = members[i]
		})
		nodes = append(nodes, &node{w, servers[i]})
	}
	return nodes
}

// hears waits until a node answers a request of the HTTP API in a way.
func (n *node) hears(path, query, want string) {
	n.t.Helper()
	var got answer
	waitFor(n.t, func() bool {
		got = n.call("GET", path, query, "")
		return got.body == want
	})
}

// A hook is an endpoint of webhooks, with the events that it has got.
type hook struct {
	mu     sync.Mutex
	events []string
}

func (h *hook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body struct {
		Events []struct {
			Name, Channel string
			User          string `json:"user_id"`
		}
	}
	text, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(text, &body)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range body.Events {
		h.events = append(h.events, strings.TrimSpace(strings.Join([]string{e.Name, e.Channel, e.User}, " ")))
	}
}

// has reports how often an event has come.
func (h *hook) has(event string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e == event {
			n++
		}
	}
	return n
}

// An application on several nodes is one: members, users and counts are those of all, an
// event is kept from the connection that a socket_id names wherever it is, a user's
// connections end everywhere, and a webhook is told once, whatever node sees it.
func TestNodesAreOneApplication(t *testing.T) {
	h := new(hook)
	endpoint := httptest.NewServer(h)
	defer endpoint.Close()
	nodes := beginNodes(t, pusher.Config{
		SubscriptionCounts: true, Watchlist: true, Webhooks: []pusher.Webhook{{URL: endpoint.URL}},
	}, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	const room = "presence-room"
	users := func(ids ...string) string {
		all := []string{}
		for _, id := range ids {
			all = append(all, `{"id":"`+id+`"}`)
		}
		return `{"users":[` + strings.Join(all, ",") + `]}`
	}
	x := a.connect()
	x.join(room, `{"user_id":"1","user_info":{"n":"x"}}`)
	b.hears("/apps/app-1/channels/presence-room/users", "", users("1"))
	y := b.connect()
	y.say(y.subscribe(room, `{"user_id":"2"}`))
	y.want(`~"count\":2`)
	x.want(`~"event":"pusher_internal:member_added","channel":"presence-room"`)
	for _, n := range nodes {
		n.hears("/apps/app-1/channels/presence-room", "info=user_count", `{"occupied":true,"user_count":2}`)
		n.hears("/apps/app-1/channels/presence-room/users", "", users("1", "2"))
	}

	guest := a.connect()
	guest.join(room, `{"user_id":"3"}`)
	y.want(`~"event":"pusher_internal:member_added","channel":"presence-room","data":"{\"user_id\":\"3\"`)
	x.want(`~member_added`)
	_ = guest.ws.CloseNow()
	y.want(`~"event":"pusher_internal:member_removed","channel":"presence-room","data":"{\"user_id\":\"3\"`)
	x.want(`~member_removed`)

	z := b.connect()
	z.join(room, `{"user_id":"1"}`) // at another node than x
	b.publish(`{"name":"e","data":"1","channel":"presence-room","socket_id":"` + x.socket + `"}`)
	y.want(`~"data":"1"`)
	z.want(`~"data":"1"`)
	b.publish(`{"name":"e","data":"2","channel":"presence-room"}`) // behind the other one
	x.want(`~"data":"2"`)
	_ = x.ws.CloseNow()
	b.hears("/apps/app-1/channels/presence-room", "info=user_count", `{"occupied":true,"user_count":2}`)
	a.hears("/apps/app-1/connections", "", `{"connections":0}`)
	if got := a.call("GET", "/apps/app-1/channels/presence-room", "info=user_count", ""); got.body != `{"occupied":true,"user_count":2}` {
		t.Errorf("a user that is at another node still: got %+v", got)
	}
	_ = z.ws.CloseNow()
	y.want(`~"data":"2"`, `~"event":"pusher_internal:member_removed","channel":"presence-room","data":"{\"user_id\":\"1\"}"`)

	p, q := a.connect(), b.connect()
	p.join("plain")
	p.want(`~"subscription_count\":1`)
	q.say(q.subscribe("plain"))
	p.want(`~"subscription_count\":2`)
	c.hears("/apps/app-1/channels/plain", "info=subscription_count", `{"occupied":true,"subscription_count":2}`)
	r := b.connect()
	r.say(r.subscribe("plain"))
	p.want(`~"subscription_count\":3`)
	_ = r.ws.CloseNow()
	p.want(`~"subscription_count\":2`)

	watcher := c.connect()
	watcher.say(watcher.signIn(`{"id":"w","watchlist":["u"]}`))
	watcher.want(`~pusher:signin_success`, `~\"offline\"`)
	u := a.connect()
	u.say(u.signIn(`{"id":"u"}`))
	u.want(`~pusher:signin_success`)
	watcher.want(`~\"online\"`)
	if got := b.call("POST", "/apps/app-1/users/u/terminate_connections", "", "{}"); got.status != 200 || got.body != "{}" {
		t.Errorf("terminate: got %+v", got)
	}
	u.wantErrorAndClose(4009)
	watcher.want(`~\"offline\"`)

	waitFor(t, func() bool { return h.has("member_removed presence-room 1") > 0 }) // while all agree who is there
	b.nats.Shutdown()                                                              // without a word
	for _, n := range []*node{a, c} {
		n.hears("/apps/app-1/channels", "", `{"channels":{"plain":{}}}`)
		n.hears("/apps/app-1/channels/plain", "info=subscription_count", `{"occupied":true,"subscription_count":1}`)
	}
	for _, event := range []string{"member_removed presence-room 2", "channel_vacated presence-room"} {
		waitFor(t, func() bool { return h.has(event) > 0 })
	}
	_ = p.ws.CloseNow()
	waitFor(t, func() bool { return h.has("channel_vacated plain") > 0 })
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, event := range []string{
		"channel_occupied presence-room", "member_added presence-room 1", "member_added presence-room 2", "channel_occupied plain",
		"member_removed presence-room 1", "channel_vacated plain",
	} {
		if n := len(h.events) - len(slices.DeleteFunc(slices.Clone(h.events), func(e string) bool { return e == event })); n != 1 {
			t.Errorf("the webhook got %s %d times", event, n)
		}
	}
}

// wantErrorAndClose expects an error, and the end with a code.
func (c *client) wantErrorAndClose(code int) {
	c.t.Helper()
	c.want(`~pusher:error`)
	c.wantClose(code)
}

// A keeper is a Broker that stores events, or does not.
type keeper struct{ stores bool }

func (k *keeper) Join(h *webrocket.Hub)               { h.Sequence(k, func(string) *pubsub.Source { return nil }) }
func (k *keeper) Send(*webrocket.Hub, pubsub.Message) {}
func (k *keeper) Behind() bool                        { return false }

func (k *keeper) Append(_ pubsub.Message, done func(hub.Published, error)) {
	if k.stores {
		go done(hub.Published{Offset: 1}, nil)
		return
	}
	go done(hub.Published{}, hub.ErrUnavailable)
}

// Where the nodes of a cluster store the events of a channel, a client whose event is not
// stored is told, and webhooks hear of those that are.
func TestClientEventsThatAreStored(t *testing.T) {
	for _, stores := range []bool{false, true} {
		h := new(hook)
		endpoint := httptest.NewServer(h)
		defer endpoint.Close()
		rules := webrocket.HubConfig{Rules: []webrocket.Rule{{Match: "private-**", History: webrocket.History{Size: 10, TTL: time.Minute}}}}
		w := beginServer(t, pusher.Config{ClientEvents: true, Webhooks: []pusher.Webhook{{URL: endpoint.URL, Events: []string{"client_event"}}}}, rules,
			func(s *webrocket.Server) { s.Broker = &keeper{stores} })
		c := w.connect()
		c.join("private-c")
		c.say(`{"event":"client-e","channel":"private-c","data":1}`)
		if stores {
			waitFor(t, func() bool { return h.has("client_event private-c") == 1 })
		} else {
			c.want(`{"event":"pusher:error","channel":"private-c","data":{"message":"the event could not be stored","code":4301}}`)
		}
		c.quiet()
	}
}
