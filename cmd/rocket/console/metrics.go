package console

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/measure"
)

// metrics answers with all numbers, in Prometheus' format.
func (c *console) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collector{c},
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// collector asks the server whenever it is asked itself.
type collector struct{ *console }

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range table() {
		to <- m.desc()
	}
	to <- deliverySeconds()
	to <- turnSeconds()
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	now := reading{c.Server.Stats(ctx), engine.Stats{}, measure.Histogram{}, c.Server}
	for i := range now.Loops {
		now.addLoop(&now.Loops[i])
	}
	for _, m := range table() {
		desc := m.desc()
		m.collect(&now, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(desc, m.kind, value, labels...)
		})
	}
	to <- histogram(deliverySeconds(), &now.delivery)
	to <- histogram(turnSeconds(), &now.total.Turns)
}

// reading is what the server has told, and its sum.
type reading struct {
	webrocket.Stats
	total    engine.Stats
	delivery measure.Histogram
	server   *webrocket.Server
}

// addLoop adds a loop to the sum.
func (r *reading) addLoop(l *webrocket.LoopStats) {
	t := &r.total
	t.Connections += l.Connections
	t.Waiting += l.Waiting
	t.QueuedBytes += l.QueuedBytes
	t.Accepted += l.Accepted
	t.Timeouts += l.Timeouts
	t.Panics += l.Panics
	t.MessagesIn += l.MessagesIn
	t.MessagesOut += l.MessagesOut
	t.BytesIn += l.BytesIn
	t.BytesOut += l.BytesOut
	t.Refused = sum(t.Refused, l.Refused)
	t.Closed = sum(t.Closed, l.Closed)
	t.Slow = sum(t.Slow, l.Slow)
	t.Turns.Add(&l.Turns)
	r.delivery.Add(&l.Shard.Delivery)
}

// sum adds the counts of b to those of a.
func sum[K comparable](a, b map[K]uint64) map[K]uint64 {
	if a == nil {
		a = make(map[K]uint64)
	}
	for k, n := range b {
		a[k] += n
	}
	return a
}

// yield takes one value of a metric, with its labels' values.
type yield func(value float64, labels ...string)

// metric is one name that Prometheus sees.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	collect    func(*reading, yield)
}

func (m metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.name, m.help, m.labels, nil)
}

func deliverySeconds() *prometheus.Desc {
	return prometheus.NewDesc("rocket_delivery_seconds", "Time from when a loop began with what the first event of a run came in, until the last subscriber of a loop was given the run.", nil, nil)
}

func turnSeconds() *prometheus.Desc {
	return prometheus.NewDesc("rocket_loop_turn_seconds", "Time for which a loop is busy before it looks for events again.", nil, nil)
}

// histogram is h as Prometheus wants it: each bucket with those below it.
func histogram(desc *prometheus.Desc, h *measure.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, measure.Buckets)
	var n uint64
	for i := range measure.Buckets {
		n += h.Counts[i]
		buckets[measure.Bound(i).Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(desc, h.Count(), h.Sum.Seconds(), buckets)
}

// one is a metric without labels.
func one[N int | uint64](get func(*reading) N) func(*reading, yield) {
	return func(r *reading, y yield) { y(float64(get(r))) }
}

// table returns all metrics but the histograms.
func table() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"rocket_build_info", "Always 1; the labels say what runs.", gauge, []string{"version", "goversion"}, func(_ *reading, y yield) {
			y(1, webrocket.Version, runtime.Version())
		}},
		{"rocket_ready", "1 if new connections are served, otherwise 0.", gauge, nil, func(r *reading, y yield) { y(truth(r.server.Ready())) }},
		{"rocket_connections", "Open connections, those in a handshake included.", gauge, nil, one(func(r *reading) int { return r.total.Connections })},
		{"rocket_connections_limit", "Connections that may be open.", gauge, nil, one(func(r *reading) int { return r.server.MaxConnections() })},
		{"rocket_connections_accepted_total", "Opening handshakes that came to their end.", counter, nil, one(func(r *reading) uint64 { return r.total.Accepted })},
		{"rocket_connections_refused_total", "Opening handshakes that did not, by reason.", counter, []string{"reason"}, func(r *reading, y yield) {
			each(y, r.total.Refused, refusals)
		}},
		{"rocket_disconnects_total", "Ends of open connections, by close code (RFC 6455 section 7.4); 1006: without a closing handshake.", counter, []string{"code"}, collectCodes},
		{"rocket_ping_timeouts_total", "Connections ended because no sign of life came in time.", counter, nil, one(func(r *reading) uint64 { return r.total.Timeouts })},
		{"rocket_slow_readers_total", "Slow readers over the limit, by what was done to them.", counter, []string{"policy"}, func(r *reading, y yield) {
			each(y, r.total.Slow, []string{"disconnect"})
		}},
		{"rocket_connections_waiting", "Connections for which something waits to be written.", gauge, nil, one(func(r *reading) int { return r.total.Waiting })},
		{"rocket_queue_bytes", "Bytes that wait to be written.", gauge, nil, one(func(r *reading) int { return r.total.QueuedBytes })},
		{"rocket_received_messages_total", "Messages of clients.", counter, nil, one(func(r *reading) uint64 { return r.total.MessagesIn })},
		{"rocket_sent_messages_total", "Messages for clients, each subscriber's counted.", counter, nil, one(func(r *reading) uint64 { return r.total.MessagesOut })},
		{"rocket_received_bytes_total", "Bytes read from sockets.", counter, nil, one(func(r *reading) uint64 { return r.total.BytesIn })},
		{"rocket_sent_bytes_total", "Bytes written to sockets.", counter, nil, one(func(r *reading) uint64 { return r.total.BytesOut })},
		{"rocket_panics_total", "Panics of handlers and of work on a loop.", counter, nil, one(func(r *reading) uint64 { return r.total.Panics })},
		{"rocket_subscriptions", "Subscriptions, by loop.", gauge, []string{"loop"}, perLoop(func(l *webrocket.LoopStats) float64 { return float64(l.Shard.Subscriptions) })},
		{"rocket_loop_connections", "Open connections, by loop.", gauge, []string{"loop"}, perLoop(func(l *webrocket.LoopStats) float64 { return float64(l.Connections) })},
		{"rocket_loop_busy_seconds_total", "Time for which the loop did not wait for events.", counter, []string{"loop"}, perLoop(func(l *webrocket.LoopStats) float64 { return l.Busy.Seconds() })},
		{"rocket_loop_stale", "1 if the loop did not answer in time and its numbers are old, otherwise 0.", gauge, []string{"loop"}, perLoop(func(l *webrocket.LoopStats) float64 { return truth(l.Stale) })},
		{"rocket_hub_connections", "Open connections, by hub.", gauge, []string{"hub"}, perHub(func(h *webrocket.HubStats) float64 { return float64(h.Connections) })},
		{"rocket_channels", "Channels, by hub.", gauge, []string{"hub"}, perHub(func(h *webrocket.HubStats) float64 { return float64(h.Channels) })},
		{"rocket_server_published_total", "Events published through the admin API or by the program, by hub.", counter, []string{"hub"}, perHub(func(h *webrocket.HubStats) float64 { return float64(h.Published) })},
		{"rocket_commands_total", "Commands of clients, by hub, kind and result.", counter, []string{"hub", "kind", "result"}, collectCommands},
	}
}

// refusals are the reasons that are there from the start, so that the first one
// is seen as an increase.
var refusals = []string{"full", "gone", "invalid", "not_found", "origin", "stopping", "timeout", "too_long"}

// each yields the counts, and 0 for the names that have none.
func each(y yield, counts map[string]uint64, names []string) {
	for _, name := range names {
		counts[name] += 0
	}
	for name, n := range counts {
		y(float64(n), name)
	}
}

func perLoop(get func(*webrocket.LoopStats) float64) func(*reading, yield) {
	return func(r *reading, y yield) {
		for i := range r.Loops {
			y(get(&r.Loops[i]), strconv.Itoa(i))
		}
	}
}

func perHub(get func(*webrocket.HubStats) float64) func(*reading, yield) {
	return func(r *reading, y yield) {
		for i := range r.Hubs {
			y(get(&r.Hubs[i]), r.Hubs[i].Path)
		}
	}
}

func collectCommands(r *reading, y yield) {
	for _, h := range r.Hubs {
		for _, k := range h.Commands {
			y(float64(k.Count), h.Path, k.Kind, k.Result)
		}
	}
}

// collectCodes joins the codes that programs may give a meaning of their own, of
// which there are thousands.
func collectCodes(r *reading, y yield) {
	joined := map[string]uint64{}
	for code, n := range r.total.Closed {
		name := strconv.Itoa(int(code))
		if code >= 3000 {
			name = fmt.Sprintf("%dxxx", code/1000)
		}
		joined[name] += n
	}
	each(y, joined, []string{"1000", "1001", "1006"})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
