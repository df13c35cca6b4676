package console

import (
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
	if text := operate(t, nil).ask("GET", "/metrics", "", 200); strings.Contains(text, "rocket_cluster") {
		t.Error("a server that is alone has metrics of a cluster")
	}
}
