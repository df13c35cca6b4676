package console

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/pubsub"
)

// listsOfAll asks for the channels and patterns of all nodes in one list: o is the console of node a, b that
// of node b, where a client hears weather. A third node does not answer.
func (o *operator) listsOfAll(b *operator) {
	o.t.Helper()
	here, there := o.dial("weather", "news"), b.dial("news", "zebra")
	for range 2 {
		o.ask("POST", "/api/publish", `{"messages":[{"hub":"/","channel":"news","event":"e"}]}`, 200)
		here.want(`{"event":"e","channel":"news"}`)
		there.want(`{"event":"e","channel":"news"}`)
	}
	news, weather := Channel{"/", "news", true, 2, 2, 2}, Channel{"/", "weather", false, 2, 0, 0}
	zebra := Channel{"/", "zebra", false, 1, 0, 0}
	for query, want := range map[string][]Channel{
		"":                          {news, weather, zebra},
		"&limit=2":                  {news, weather},
		"&sort=published&limit=1":   {news},
		"&sort=subscribers&limit=2": {news, weather},
		"&hub=/&prefix=w":           {weather},
		"&prefix=nothing":           {},
	} {
		if got := get[ClusterChannels](o, "/api/channels?node=*"+query); !reflect.DeepEqual(got.Channels.Channels, want) {
			o.t.Errorf("%s: got %+v, want %+v", query, got, want)
		}
	}
	all := get[ClusterChannels](o, "/api/channels?node=*&limit=1")
	total := func(n int) json.RawMessage { return fmt.Appendf(nil, `{"total":%d}`, n) }
	want := []NodeAnswer{{Node: "a", Answer: total(2)}, {Node: "b", Answer: total(3)}, {Node: "mute", Error: all.Nodes.Nodes[2].Error}}
	if all.Total != 3 || all.Exact || !reflect.DeepEqual(all.Nodes.Nodes, want) || want[2].Error == "" {
		o.t.Errorf("got %+v, want 3 that are not exact, of %+v", all, want)
	}
	for _, node := range []*operator{o, b} {
		at := *node
		at.ws += "/patterns"
		at.dial().do(`{"subscribe":{"pattern":"order:*"}}`, `{"ok":true}`)
	}
	patterns := get[ClusterPatterns](o, "/api/patterns?node=*")
	if want := []Pattern{{"/patterns", "order:*", 2, 0, 0}}; !reflect.DeepEqual(patterns.Patterns.Patterns, want) {
		o.t.Errorf("got %+v, want %+v", patterns, want)
	}
	for query, status := range map[string]int{"sort=size": 400, "limit=0": 400, "limit=1001": 400, "hub=/nowhere": 404} {
		o.ask("GET", "/api/channels?node=*&"+query, "", status)
		o.ask("GET", "/api/patterns?node=*&"+query, "", status)
	}
}

// Without a cluster the list of all nodes is that of the only one, and is exact also if its first entries alone
// are wanted.
func TestListOfAllWithoutCluster(t *testing.T) {
	o := operate(t, nil)
	o.dial("weather")
	want := `{"total":2,"channels":[{"hub":"/","channel":"news","permanent":true,"subscribers":0,"published":0,"bytes":0}],"exact":true,"nodes":[{"node":"","answer":{"total":2}}]}`
	if got := strings.TrimSpace(o.ask("GET", "/api/channels?node=*&limit=1", "", 200)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A merged list says whether it is exact, and is whole where it says so.
func TestMerge(t *testing.T) {
	answer := func(total int, channels ...Channel) NodeAnswer {
		text, err := json.Marshal(Channels{total, channels})
		if err != nil {
			t.Fatal(err)
		}
		return NodeAnswer{Node: "n", Answer: text}
	}
	x, y, other := Channel{"/", "x", true, 1, 5, 50}, Channel{"/", "y", false, 4, 1, 9}, Channel{"/other", "x", false, 1, 1, 1}
	for _, tt := range []struct {
		name   string
		nodes  []NodeAnswer
		want   string // hub and name, subscribers, published and bytes of each
		total  int
		exact  bool
		failed int
	}{
		{"no channels", []NodeAnswer{answer(0), answer(0)}, "", 0, true, 0},
		{
			"counts of one channel",
			[]NodeAnswer{answer(2, x, y), answer(1, Channel{"/", "x", false, 2, 7, 40})},
			"/x 3 7 50 true, /y 4 1 9 false", 2, true, 0,
		},
		{"one name in two hubs", []NodeAnswer{answer(1, other), answer(1, x)}, "/x 1 5 50 true, /otherx 1 1 1 false", 2, true, 0},
		{"one has more than it lists", []NodeAnswer{answer(2000, x), answer(1, y)}, "/x 1 5 50 true, /y 4 1 9 false", 2000, false, 0},
		{"one did not answer", []NodeAnswer{answer(1, x), {Node: "b", Error: "no answer"}}, "/x 1 5 50 true", 1, false, 1},
		{"one cannot be read", []NodeAnswer{answer(1, x), {Node: "b", Answer: []byte(`[]`)}}, "/x 1 5 50 true", 1, false, 1},
	} {
		list, total, m := merge(Nodes{slices.Clone(tt.nodes)}, pubsub.ByName)
		var got []string
		for _, f := range list {
			got = append(got, fmt.Sprintf("%s%s %d %d %d %v", f.hub, f.Name, f.Subscribers, f.Published, f.Bytes, f.Permanent))
		}
		failed := 0
		for _, n := range m.Nodes.Nodes {
			if n.Error != "" && n.Answer == nil {
				failed++
			}
		}
		if text := strings.Join(got, ", "); text != tt.want || total != tt.total || m.Exact != tt.exact || failed != tt.failed {
			t.Errorf("%s: got %q, %d in all, exact %v, %d failed; want %q, %d, %v, %d", tt.name, text, total, m.Exact, failed, tt.want, tt.total, tt.exact, tt.failed)
		}
	}
}
