package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
)

// In a cluster the numbers of this node are shown, and a server without a connection to NATS
// is not ready: its clients would not hear what others publish.
func TestCluster(t *testing.T) {
	stats := cluster.Stats{
		Cluster: "rocket", Node: "a", Connected: true, SentEvents: 7,
		Peers: []cluster.PeerStats{{Node: "b", Alive: true, Lag: 2, Skew: 7 * time.Second, Doubled: true}, {Node: "c"}, {Node: "c", Alive: true, Lag: 3}},
	}
	o := operate(t, func(c *console, _ *webrocket.Server) { c.Cluster = func() cluster.Stats { return stats } })
	text := o.ask("GET", "/metrics", "", 200)
	for series, want := range map[string]string{
		"rocket_cluster_connected": "1", "rocket_cluster_nodes": "3", "rocket_cluster_sent_events_total": "7",
		`rocket_cluster_clock_skew_seconds{node="b"}`: "7", `rocket_cluster_lag_batches{node="b"}`: "2", `rocket_cluster_lag_batches{node="c"}`: "3",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s: got %q, want %s", series, got, want)
		}
	}
	if got := o.ask("GET", "/api/cluster", "", 200); !strings.Contains(got, `"nodes":[{"node":"b","alive":true,"silenceSeconds":0,"lagBatches":2,"clockSkewSeconds":7,"doubled":true},`) {
		t.Errorf("got %s", got)
	}
	o.ask("GET", "/readyz", "", 200)
	stats.Connected = false
	if got := o.ask("GET", "/readyz", "", 503); !strings.Contains(got, "NATS") {
		t.Errorf("got %s", got)
	}
	stats.Connected, stats.Denied = true, `Permissions Violation for Publish to "rk.rocket.c.1"`
	if got := o.ask("GET", "/readyz", "", 503); !strings.Contains(got, stats.Denied) {
		t.Errorf("got %s", got)
	}
	if got := o.ask("GET", "/api/cluster", "", 200); !strings.Contains(got, `"denied":"Permissions Violation`) {
		t.Errorf("got %s", got)
	}
	stats.Denied, stats.Copying = "", true
	if got := o.ask("GET", "/readyz", "", 503); !strings.Contains(got, "no other one should be stopped") {
		t.Errorf("got %s", got)
	}
	if text := operate(t, nil).ask("GET", "/metrics", "", 200); strings.Contains(text, "rocket_cluster") {
		t.Error("a server that is alone has metrics of a cluster")
	}
}

// A node that does not come back is removed, and it is said whether others have what it had.
func TestRemoveNode(t *testing.T) { operate(t, nil).whereNodesGo() }

// whereNodesGo asks a node of a cluster to remove another one.
func (o *operator) whereNodesGo() {
	o.t.Helper()
	var asked string
	var result error
	whole := true
	in := operate(o.t, func(c *console, _ *webrocket.Server) {
		c.Remove = func(_ context.Context, node string) (bool, error) { asked = node; return whole, result }
	})
	in.seen = o.seen
	const path, gone = "/api/cluster/remove", `{"node":"c"}`
	if got := in.ask("POST", path, gone, 200); asked != "c" || got != `{"removed":"c","whole":true}`+"\n" {
		o.t.Errorf("%q: got %s", asked, got)
	}
	whole = false
	if got := in.ask("POST", path, gone, 200); !strings.Contains(got, `"whole":false`) {
		o.t.Errorf("got %s", got)
	}
	for _, tt := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("%w: c", cluster.ErrAlive), 400}, {cluster.ErrNotEmbedded, 400}, {cluster.ErrNoNode, 404}, {errors.New("no leader"), 503},
	} {
		result = tt.err
		in.ask("POST", path, gone, tt.want)
	}
	in.ask("POST", path, `{}`, 400)
	in.ask("POST", path, strings.Repeat(" ", 8<<20+1), 413)
	in.askAs("wrong", "POST", path, gone, 401)
	asked = ""
	open := operate(o.t, func(c *console, _ *webrocket.Server) {
		c.Token, c.Remove = "", func(context.Context, string) (bool, error) { asked = "anybody"; return true, nil }
	})
	open.seen = o.seen
	open.ask("POST", path, gone, 403)
	if asked != "" {
		o.t.Error("without a token a node is removed")
	}
	alone := operate(o.t, nil)
	alone.seen = o.seen
	alone.ask("POST", path, gone, 400)
}
