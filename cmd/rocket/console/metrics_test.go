package console

import (
	"maps"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/measure"
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

// primes returns a function that returns the next prime whenever it is called.
func primes() func() uint64 {
	n := uint64(1)
	return func() uint64 {
		for {
			n++
			prime := true
			for d := uint64(2); d*d <= n && prime; d++ {
				prime = n%d != 0
			}
			if prime {
				return n
			}
		}
	}
}

// fill gives every number in v a value of its own, and every map one such entry.
func fill(t *testing.T, v reflect.Value, next func() uint64) {
	t.Helper()
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(next()))
	case reflect.Uint64:
		v.SetUint(next())
	case reflect.Bool: // has no value of its own
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), next)
		}
	case reflect.Map:
		key := reflect.ValueOf("drop-oldest")
		if v.Type().Key().Kind() == reflect.Uint16 {
			key = reflect.ValueOf(uint16(1001))
		}
		n := reflect.New(v.Type().Elem()).Elem()
		fill(t, n, next)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, n)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(t, v.Field(i), next)
			}
		}
	default:
		t.Fatalf("a %v cannot be filled", v.Type())
	}
}

// fixed is a server that always tells the same.
type fixed struct {
	collector
	told webrocket.Stats
}

func (f fixed) Collect(to chan<- prometheus.Metric) { newReading(f.told, f.Server).collect(to) }

// scrape returns what Prometheus reads where the server tells this.
func scrape(told webrocket.Stats) string {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(fixed{collector{&console{Config: Config{Server: webrocket.NewServer("")}}}, told})
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// Every number of the loops is in the metric that is named for it.
func TestMetricsAreSumsOverLoops(t *testing.T) {
	next := primes()
	loops := make([]webrocket.LoopStats, 2)
	for i := range loops {
		fill(t, reflect.ValueOf(&loops[i]).Elem(), next)
	}
	loops[1].Stale = true
	a, b := &loops[0], &loops[1]
	wants := map[string]float64{
		`rocket_connections`:                                     float64(a.Connections + b.Connections),
		`rocket_connections_waiting`:                             float64(a.Waiting + b.Waiting),
		`rocket_queue_bytes`:                                     float64(a.QueuedBytes + b.QueuedBytes),
		`rocket_connections_accepted_total`:                      float64(a.Accepted + b.Accepted),
		`rocket_connections_refused_total{reason="drop-oldest"}`: float64(a.Refused["drop-oldest"] + b.Refused["drop-oldest"]),
		`rocket_connections_refused_total{reason="full"}`:        0,
		`rocket_disconnects_total{code="1001"}`:                  float64(a.Closed[1001] + b.Closed[1001]),
		`rocket_disconnects_total{code="1006"}`:                  0,
		`rocket_slow_readers_total{policy="drop-oldest"}`:        float64(a.Slow["drop-oldest"] + b.Slow["drop-oldest"]),
		`rocket_slow_readers_total{policy="disconnect"}`:         0,
		`rocket_dropped_events_total{policy="drop-oldest"}`:      float64(a.Dropped["drop-oldest"] + b.Dropped["drop-oldest"]),
		`rocket_dropped_events_total{policy="conflate"}`:         0,
		`rocket_ping_timeouts_total`:                             float64(a.Timeouts + b.Timeouts),
		`rocket_panics_total`:                                    float64(a.Panics + b.Panics),
		`rocket_received_messages_total`:                         float64(a.MessagesIn + b.MessagesIn),
		`rocket_sent_messages_total`:                             float64(a.MessagesOut + b.MessagesOut),
		`rocket_received_bytes_total`:                            float64(a.BytesIn + b.BytesIn),
		`rocket_sent_bytes_total`:                                float64(a.BytesOut + b.BytesOut),
		`rocket_loop_connections{loop="0"}`:                      float64(a.Connections),
		`rocket_loop_connections{loop="1"}`:                      float64(b.Connections),
		`rocket_loop_busy_seconds_total{loop="0"}`:               a.Busy.Seconds(),
		`rocket_loop_busy_seconds_total{loop="1"}`:               b.Busy.Seconds(),
		`rocket_subscriptions{loop="0"}`:                         float64(a.Shard.Subscriptions),
		`rocket_subscriptions{loop="1"}`:                         float64(b.Shard.Subscriptions),
		`rocket_subscriptions_behind{loop="0"}`:                  float64(a.Shard.Behind),
		`rocket_subscriptions_behind{loop="1"}`:                  float64(b.Shard.Behind),
		`rocket_loop_stale{loop="0"}`:                            0,
		`rocket_loop_stale{loop="1"}`:                            1,
		`rocket_loop_turn_seconds_sum`:                           (a.Turns.Sum + b.Turns.Sum).Seconds(),
		`rocket_delivery_seconds_sum`:                            (a.Shard.Delivery.Sum + b.Shard.Delivery.Sum).Seconds(),
	}
	maps.Copy(wants, buckets("rocket_loop_turn_seconds", &a.Turns, &b.Turns))
	maps.Copy(wants, buckets("rocket_delivery_seconds", &a.Shard.Delivery, &b.Shard.Delivery))
	text := scrape(webrocket.Stats{Loops: loops})
	for series, want := range wants {
		if got, err := strconv.ParseFloat(value(text, series), 64); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", series, got, err, want)
		}
	}
}

// buckets returns the buckets of a histogram as Prometheus wants them: in each is
// what took no longer than its bound, and the last one has no bound.
func buckets(name string, a, b *measure.Histogram) map[string]float64 {
	all := map[string]float64{}
	sum := 0.0
	for i := range a.Counts {
		sum += float64(a.Counts[i] + b.Counts[i])
		bound := "+Inf"
		if i < measure.Buckets {
			bound = strconv.FormatFloat(measure.Bound(i).Seconds(), 'g', -1, 64)
		}
		all[name+`_bucket{le="`+bound+`"}`] = sum
	}
	all[name+"_count"] = sum
	return all
}

// Who watches a server sees that it is about to end before it has.
func TestMetricsWhileDraining(t *testing.T) {
	o := operate(t, nil)
	if got := value(o.ask("GET", "/metrics", "", 200), "rocket_ready"); got != "1" {
		t.Errorf("before: got rocket_ready %s, want 1", got)
	}
	if err := o.server.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := value(o.ask("GET", "/metrics", "", 200), "rocket_ready"); got != "0" {
		t.Errorf("got rocket_ready %s, want 0", got)
	}
}

// That a loop did not get on is still told when it does again.
func TestMetricsOfAStall(t *testing.T) {
	hold := &stuck{make(chan int), make(chan struct{})}
	o := operate(t, func(c *console, s *webrocket.Server) {
		c.timeout = time.Millisecond
		s.Config.Loops = 1
		s.Config.StallTimeout = time.Millisecond
		if err := s.Handle("/stuck", hold); err != nil {
			t.Fatal(err)
		}
	})
	o.ws += "/stuck"
	o.send("x")
	<-hold.in
	o.waitForMetric("rocket_loops_stalled", "1")
	close(hold.free)
	text := o.waitForMetric("rocket_loops_stalled", "0")
	if got := value(text, "rocket_loop_stalls_total"); got == "0" || got == "" {
		t.Errorf("got %q stalls, want at least 1", got)
	}
}

// waitForMetric returns the metrics as soon as a series has the value.
func (o *operator) waitForMetric(series, want string) (text string) {
	o.t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; {
		if text = o.ask("GET", "/metrics", "", 200); value(text, series) == want {
			return text
		}
	}
	o.t.Fatalf("%s does not become %s:\n%s", series, want, text)
	return ""
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
	all := []string{"rocket_delivery_seconds", "rocket_loop_turn_seconds", "rocket_cluster_publish_seconds"}
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
