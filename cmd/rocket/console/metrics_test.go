package console

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nu7hatch/webrocket"
)

// value returns the value of a line of metrics, "" if there is none.
func value(text, series string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if v, ok := strings.CutPrefix(line, series+" "); ok {
			return v
		}
	}
	return ""
}

func TestMetrics(t *testing.T) {
	o := operate(t, func(_ *console, s *webrocket.Server) { s.Config.MaxConnections = 10 })
	a, b := o.dial("news"), o.dial("news", "weather")
	a.do(`{"publish":{"channel":"weather","event":"e"}}`, `{"ok":true}`)
	b.want(`{"event":"e","channel":"weather"}`)
	o.ask("POST", "/api/publish", `{"messages":[{"hub":"/","channel":"news","event":"e"}]}`, 200)
	a.want(`{"event":"e","channel":"news"}`)
	b.want(`{"event":"e","channel":"news"}`)
	b.do(`{"disconnect":true}`, `{"ok":true}`)
	b.wantClose(1000, "")
	if _, err := o.refused("/nowhere"); err == nil {
		t.Error("there is nothing at /nowhere")
	}
	text := o.ask("GET", "/metrics", "", 200)
	for series, want := range map[string]string{
		`rocket_ready`:                                              "1",
		`rocket_connections_limit`:                                  "10",
		`rocket_connections_accepted_total`:                         "2",
		`rocket_connections_refused_total{reason="not_found"}`:      "1",
		`rocket_connections_refused_total{reason="full"}`:           "0",
		`rocket_disconnects_total{code="1000"}`:                     "1",
		`rocket_disconnects_total{code="1006"}`:                     "0",
		`rocket_slow_readers_total{policy="disconnect"}`:            "0",
		`rocket_dropped_events_total{policy="conflate"}`:            "0",
		`rocket_received_messages_total`:                            "7",
		`rocket_sent_messages_total`:                                "10",
		`rocket_queue_bytes`:                                        "0",
		`rocket_hub_connections{hub="/"}`:                           "1",
		`rocket_channels{hub="/"}`:                                  "1",
		`rocket_server_published_total{hub="/"}`:                    "1",
		`rocket_commands_total{hub="/",kind="auth",result="ok"}`:    "2",
		`rocket_commands_total{hub="/",kind="publish",result="ok"}`: "1",
		`rocket_panics_total`:                                       "0",
		`rocket_loop_stale{loop="0"}`:                               "0",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s: got %q, want %q", series, got, want)
		}
	}
	for _, series := range []string{
		"rocket_delivery_seconds_count", "rocket_loop_turn_seconds_count", "rocket_received_bytes_total",
		"rocket_sent_bytes_total", "go_gc_duration_seconds_count", "process_open_fds", `rocket_loop_busy_seconds_total{loop="1"}`,
	} {
		if got := value(text, series); got == "" {
			t.Errorf("%s is not there", series)
		}
	}
}

// The rules of Prometheus for names, units and types.
func TestMetricsAreSound(t *testing.T) {
	o := operate(t, nil)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector{&console{Config: Config{Server: o.server}, timeout: loopTimeout}})
	found, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range found {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

// names returns the metrics that there are, as one finds them in queries.
func names() []string {
	all := []string{"rocket_delivery_seconds", "rocket_loop_turn_seconds"}
	for _, m := range table() {
		all = append(all, m.name)
	}
	return all
}

// The table of docs/operations.md has each metric, and no other.
func TestDocsNameEveryMetric(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names() {
		if !strings.Contains(string(docs), "\n| `"+name+"` |") {
			t.Errorf("docs/operations.md does not explain %s", name)
		}
	}
	for _, m := range table() {
		if row := "\n| `" + m.name + "` | `" + strings.Join(m.labels, "`, `") + "` | "; m.labels != nil && !strings.Contains(string(docs), row) {
			t.Errorf("docs/operations.md lacks the row %q", row)
		}
	}
	checkNames(t, "docs/operations.md", string(docs))
}

// checkNames finds metrics in a text that do not exist.
func checkNames(t *testing.T, where, text string) {
	t.Helper()
	for _, name := range regexp.MustCompile(`\brocket_[a-z_]+\b`).FindAllString(text, -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && slices.Contains(names(), base) {
				name = base
			}
		}
		if !slices.Contains(names(), name) {
			t.Errorf("%s names %s, which does not exist", where, name)
		}
	}
}
