package console

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/measure"
)

// Every number of a loop is in the field that is named for it.
func TestLoopOf(t *testing.T) {
	l := webrocket.LoopStats{Stale: true}
	l.Connections, l.Waiting, l.QueuedBytes = 2, 3, 5
	l.MessagesIn, l.MessagesOut = 7, 11
	l.BytesIn, l.BytesOut = 13, 17
	l.Busy = 19 * time.Second
	l.Turns.Counts[0], l.Turns.Counts[measure.Buckets], l.Turns.Sum = 23, 29, 31*time.Second
	l.Shard.Subscriptions = 37
	l.Shard.Delivery.Counts[0], l.Shard.Delivery.Counts[measure.Buckets], l.Shard.Delivery.Sum = 41, 43, 47*time.Second
	want := Loop{
		Loop: 1, Stale: true,
		Connections: 2, Waiting: 3, QueuedBytes: 5,
		MessagesReceived: 7, MessagesSent: 11,
		BytesReceived: 13, BytesSent: 17,
		BusySeconds: 19, Turns: 23 + 29,
		Subscriptions: 37,
		Deliveries:    41 + 43, DeliverySeconds: 47,
	}
	if got := loopOf(1, &l); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for i, fields := 0, reflect.ValueOf(want); i < fields.NumField(); i++ {
		if fields.Field(i).IsZero() {
			t.Errorf("nothing is said here of %s", fields.Type().Field(i).Name)
		}
	}
}

// Whoever asks one process twice is told of the same start.
func TestStarted(t *testing.T) {
	o := operate(t, nil)
	first := get[Loops](o, "/api/loops").Started
	if first.IsZero() || first.After(time.Now()) {
		t.Errorf("it has started at %v", first)
	}
	if second := get[Loops](o, "/api/loops").Started; !second.Equal(first) {
		t.Errorf("it has started at %v, and then at %v", first, second)
	}
}

// A list of the channels of all hubs is no longer than that of one.
func TestChannelsOfSeveralHubs(t *testing.T) {
	o := operate(t, func(_ *console, s *webrocket.Server) {
		h := webrocket.NewJSONHandler()
		h.Channels = []string{"a", "z"}
		if err := s.Handle("/more", h); err != nil {
			t.Fatal(err)
		}
	})
	for query, want := range map[string]string{"": "a news z", "?limit=3": "a news z", "?limit=2": "a news", "?limit=1": "a"} {
		answer := get[Channels](o, "/api/channels"+query)
		var names []string
		for _, channel := range answer.Channels {
			names = append(names, channel.Channel)
		}
		if got := strings.Join(names, " "); got != want || answer.Total != 3 {
			t.Errorf("%s: got %q of %d, want %q of 3", query, got, answer.Total, want)
		}
	}
}

// walk returns the connections of all pages of a list.
func (o *operator) walk(query string) (all []Connection) {
	o.t.Helper()
	for after := ""; ; {
		page := get[Connections](o, "/api/connections?"+query+"&after="+after)
		all = append(all, page.Connections...)
		if after = page.Next; after == "" {
			return all
		}
	}
}

// Connections are listed by hub and by channel, in pages of any size, and one is
// disconnected by the name that it has there.
func TestConnections(t *testing.T) {
	o := operate(t, func(_ *console, s *webrocket.Server) {
		h := webrocket.NewJSONHandler()
		h.Subprotocols = []string{"v1"}
		if err := s.Handle("/more", h); err != nil {
			t.Fatal(err)
		}
	})
	clients := []*client{o.dial("news"), o.dial("news", "weather"), o.dial()}
	ws, _, err := websocket.Dial(t.Context(), o.ws+"/more", &websocket.DialOptions{Subprotocols: []string{"v1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	for query, want := range map[string]int{
		"": 4, "hub=/": 3, "hub=/more": 1, "hub=/&channel=news": 2, "hub=/&channel=weather": 1,
		"hub=/more&channel=news": 0, "hub=/&channel=nobody": 0,
	} {
		for _, limit := range []string{"", "&limit=1", "&limit=2"} {
			all := o.walk(query + limit)
			names := map[string]bool{}
			for _, c := range all {
				names[c.Connection] = true
			}
			if len(all) != want || len(names) != want {
				t.Errorf("%s%s: got %+v, want %d", query, limit, all, want)
			}
		}
	}
	if got := o.walk("hub=/more")[0]; got.Subprotocol != "v1" || got.Subscriptions != 0 || got.Hub != "/more" {
		t.Errorf("got %+v", got)
	}
	o.ask("GET", "/api/connections?channel=news", "", 400)
	o.ask("GET", "/api/connections?hub=/nowhere&channel=news", "", 404)
	for _, after := range []string{"-1-0", "0--1", "0", "0-0-0", "%20"} {
		o.ask("GET", "/api/connections?after="+after, "", 400)
	}

	one := o.walk("hub=/&channel=weather")[0].Connection
	o.ask("POST", "/api/disconnect", `{"connection":"`+one+`","code":4000,"reason":"go"}`, 200)
	clients[1].wantClose(4000, "go")
	if got := o.walk("hub=/"); len(got) != 2 || got[0].Connection == one || got[1].Connection == one {
		t.Errorf("then the list has %+v", got)
	}
	o.ask("POST", "/api/disconnect", `{"connection":"`+one+`"}`, 404)
	clients[0].do(`{"unsubscribe":{"channel":"other"}}`, `{"ok":true}`)
}
