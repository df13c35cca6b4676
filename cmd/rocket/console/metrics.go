package console

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/build"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/httpapi"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/protocol/pusher"
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

// collector asks the server for its numbers each time that Prometheus reads the
// metrics.
type collector struct{ *console }

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range table() {
		to <- m.desc()
	}
	to <- deliverySeconds()
	to <- turnSeconds()
	to <- publishSeconds()
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	r := newReading(c.Server.Stats(ctx), c.Server)
	if c.CertificateExpiry != nil {
		r.expiry = c.CertificateExpiry()
	}
	r.sets = c.keySets()
	if c.Cluster != nil {
		s := c.Cluster()
		r.cluster = &s
	}
	r.apps = c.appStats()
	if c.API != nil {
		r.requests = c.API.Requests()
	}
	r.collect(to)
}

// reading is what the server has answered, and the sum over its loops.
type reading struct {
	webrocket.Stats
	total    engine.Stats
	delivery measure.Histogram
	server   *webrocket.Server
	expiry   time.Time // of the certificate; zero if there is no TLS
	sets     []*auth.KeySet
	cluster  *cluster.Stats // nil if there is none
	apps     []pusher.AppStats
	requests []httpapi.Requests
}

func newReading(told webrocket.Stats, server *webrocket.Server) *reading {
	r := &reading{Stats: told, server: server}
	for i := range r.Loops {
		r.addLoop(&r.Loops[i])
	}
	return r
}

// collect hands over each metric.
func (r *reading) collect(to chan<- prometheus.Metric) {
	for _, m := range table() {
		desc := m.desc()
		m.collect(r, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(desc, m.kind, value, labels...)
		})
	}
	to <- histogram(deliverySeconds(), &r.delivery)
	to <- histogram(turnSeconds(), &r.total.Turns)
	if r.cluster != nil && len(r.cluster.Logs) > 0 {
		var all measure.Histogram
		for i := range r.cluster.Logs {
			all.Add(&r.cluster.Logs[i].Publish)
		}
		to <- histogram(publishSeconds(), &all)
	}
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
	t.Batches += l.Batches
	t.Batched += l.Batched
	t.Refused = sum(t.Refused, l.Refused)
	t.Closed = sum(t.Closed, l.Closed)
	t.Slow = sum(t.Slow, l.Slow)
	t.Dropped = sum(t.Dropped, l.Dropped)
	t.Turns.Add(&l.Turns)
	r.delivery.Add(&l.Shard.Delivery)
}

// ioURing tells whether every loop sends through io_uring.
func (r *reading) ioURing() bool {
	for i := range r.Loops {
		if !r.Loops[i].IOUring {
			return false
		}
	}
	return len(r.Loops) > 0
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
	name    string
	kind    prometheus.ValueType
	labels  []string
	help    string
	collect func(*reading, yield)
}

func (m metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(m.name, m.help, m.labels, nil)
}

func deliverySeconds() *prometheus.Desc {
	return prometheus.NewDesc("rocket_delivery_seconds", "Time from when a loop began with what the first event of a run came in, until the turn has ended in which the run was written to the last subscriber of a loop.", nil, nil)
}

func publishSeconds() *prometheus.Desc {
	return prometheus.NewDesc("rocket_cluster_publish_seconds", "Time until an event of this node was stored in a log and has come back.", nil, nil)
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

// one is the sum over the loops.
func one[N int | uint64](get func(*engine.Stats) N) func(*reading, yield) {
	return func(r *reading, y yield) { y(float64(get(&r.total))) }
}

// table returns all metrics but the histograms.
func table() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{
			"rocket_build_info", gauge,
			[]string{"version", "commit", "goversion"},
			"Always 1; the labels say what runs.", func(_ *reading, y yield) {
				y(1, webrocket.Version, build.Commit(), runtime.Version())
			},
		},
		{
			"rocket_ready", gauge, nil,
			"1 if new connections are served, otherwise 0.", func(r *reading, y yield) { y(truth(r.server.Ready())) },
		},
		{
			"rocket_connections", gauge, nil,
			"Open connections, those in a handshake included.", one(func(t *engine.Stats) int { return t.Connections }),
		},
		{
			"rocket_connections_limit", gauge, nil,
			"Connections that may be open.", func(r *reading, y yield) { y(float64(r.server.MaxConnections())) },
		},
		{
			"rocket_http_connections", gauge, nil,
			"Open connections for HTTP, beside those.", func(r *reading, y yield) { y(float64(r.server.HTTPStats().Connections)) },
		},
		{
			"rocket_http_connections_limit", gauge, nil,
			"Connections for HTTP that may be open.", func(r *reading, y yield) { y(float64(r.server.HTTPStats().Max)) },
		},
		{
			"rocket_http_connections_accepted_total", counter, nil,
			"Connections whose first request was for HTTP.", func(r *reading, y yield) { y(float64(r.server.HTTPStats().Accepted)) },
		},
		{
			"rocket_http_requests_total", counter,
			[]string{"route", "status"},
			"Requests to the HTTP API that have been answered, by route and status.", func(r *reading, y yield) {
				for _, q := range r.requests {
					y(float64(q.Count), q.Route, strconv.Itoa(q.Status))
				}
			},
		},
		{
			"rocket_certificate_expiry_seconds", gauge, nil,
			"When the first certificate of the chain that clients are sent expires, in seconds since 1970.", func(r *reading, y yield) {
				if !r.expiry.IsZero() {
					y(float64(r.expiry.Unix()))
				}
			},
		},
		{
			"rocket_connections_accepted_total", counter, nil,
			"Opening handshakes that came to their end.", one(func(t *engine.Stats) uint64 { return t.Accepted }),
		},
		{
			"rocket_connections_refused_total", counter,
			[]string{"reason"},
			"Opening handshakes that did not, by reason.", func(r *reading, y yield) {
				each(y, r.total.Refused, refusals)
			},
		},
		{
			"rocket_disconnects_total", counter,
			[]string{"code"},
			"Ends of open connections, by close code (RFC 6455 section 7.4); 1006: without a closing handshake.", collectCodes,
		},
		{
			"rocket_ping_timeouts_total", counter, nil,
			"Connections ended because no sign of life came in time.", one(func(t *engine.Stats) uint64 { return t.Timeouts }),
		},
		{
			"rocket_slow_readers_total", counter,
			[]string{"policy"},
			"Slow readers over the limit, by what was done to them.", func(r *reading, y yield) {
				each(y, r.total.Slow, []string{"conflate", "disconnect", "drop-oldest", "replay"})
			},
		},
		{
			"rocket_dropped_events_total", counter,
			[]string{"policy"},
			"Events that slow readers were not given, by policy.", func(r *reading, y yield) {
				each(y, r.total.Dropped, []string{"conflate", "drop-oldest", "replay"})
			},
		},
		{
			"rocket_connections_waiting", gauge, nil,
			"Connections for which something waits to be written.", one(func(t *engine.Stats) int { return t.Waiting }),
		},
		{
			"rocket_queue_bytes", gauge, nil,
			"Bytes that wait to be written.", one(func(t *engine.Stats) int { return t.QueuedBytes }),
		},
		{
			"rocket_received_messages_total", counter, nil,
			"Messages of clients.", one(func(t *engine.Stats) uint64 { return t.MessagesIn }),
		},
		{
			"rocket_sent_messages_total", counter, nil,
			"Messages for clients, each subscriber's counted.", one(func(t *engine.Stats) uint64 { return t.MessagesOut }),
		},
		{
			"rocket_received_bytes_total", counter, nil,
			"Bytes read from sockets.", one(func(t *engine.Stats) uint64 { return t.BytesIn }),
		},
		{
			"rocket_sent_bytes_total", counter, nil,
			"Bytes written to sockets.", one(func(t *engine.Stats) uint64 { return t.BytesOut }),
		},
		{
			"rocket_io_uring_enabled", gauge, nil,
			"1 if every loop sends through io_uring, otherwise 0.", func(r *reading, y yield) { y(truth(r.ioURing())) },
		},
		{
			"rocket_io_uring_batches_total", counter, nil,
			"System calls that sent through io_uring.", one(func(t *engine.Stats) uint64 { return t.Batches }),
		},
		{
			"rocket_io_uring_sends_total", counter, nil,
			"Sends of these calls, each to one socket.", one(func(t *engine.Stats) uint64 { return t.Batched }),
		},
		{
			"rocket_panics_total", counter, nil,
			"Panics of handlers and of work on a loop.", func(r *reading, y yield) {
				y(float64(r.total.Panics + r.server.HTTPStats().Panics))
			},
		},
		{
			"rocket_subscriptions", gauge,
			[]string{"loop"},
			"Subscriptions, by loop; those to the notices of who is present count, too.", perLoop(func(l *webrocket.LoopStats) float64 { return float64(l.Shard.Subscriptions) }),
		},
		{
			"rocket_subscriptions_behind", gauge,
			[]string{"loop"},
			"Subscriptions that read a history, because their client was away or reads slowly, by loop.",
			perLoop(func(l *webrocket.LoopStats) float64 { return float64(l.Shard.Behind) }),
		},
		{
			"rocket_loop_connections", gauge,
			[]string{"loop"},
			"Open connections, by loop.", perLoop(func(l *webrocket.LoopStats) float64 { return float64(l.Connections) }),
		},
		{
			"rocket_loop_busy_seconds_total", counter,
			[]string{"loop"},
			"Time for which the loop did not wait for events.", perLoop(func(l *webrocket.LoopStats) float64 { return l.Busy.Seconds() }),
		},
		{
			"rocket_loop_stale", gauge,
			[]string{"loop"},
			"1 if the loop did not answer in time and its numbers are old, otherwise 0.", perLoop(func(l *webrocket.LoopStats) float64 { return truth(l.Stale) }),
		},
		{
			"rocket_loops_stalled", gauge, nil,
			"Event loops that are stalled: no turn for the time of StallTimeout.", func(r *reading, y yield) { y(float64(r.server.Stalled())) },
		},
		{
			"rocket_loop_stalls_total", counter, nil,
			"How often an event loop stalled.", func(r *reading, y yield) { y(float64(r.server.Stalls())) },
		},
		{
			"rocket_hub_connections", gauge,
			[]string{"hub"},
			"Open connections, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Connections) }),
		},
		{
			"rocket_channels", gauge,
			[]string{"hub"},
			"Channels, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Channels) }),
		},
		{
			"rocket_patterns", gauge,
			[]string{"hub"},
			"Patterns that somebody hears, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Patterns) }),
		},
		{
			"rocket_history_bytes", gauge,
			[]string{"hub"},
			"Bytes of the events that the channels of a hub keep.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Kept.Bytes) }),
		},
		{
			"rocket_history_channels", gauge,
			[]string{"hub"},
			"Channels that keep an event, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Kept.Logs) }),
		},
		{
			"rocket_history_evicted_events_total", counter,
			[]string{"hub"},
			"Events that were dropped early because a hub kept more than MaxHistoryBytes.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Kept.Evicted) }),
		},
		{
			"rocket_recoveries_total", counter,
			[]string{"hub", "result"},
			"Subscriptions from a position, by hub and result.", collectRecoveries,
		},
		{
			"rocket_duplicate_publishes_total", counter,
			[]string{"hub"},
			"Publishes that were not obeyed because their key had been used, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Duplicates) }),
		},
		{
			"rocket_presence_members", gauge,
			[]string{"hub"},
			"Members of all lists of who is present, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Presence.Members) }),
		},
		{
			"rocket_presence_channels", gauge,
			[]string{"hub"},
			"Channels in which somebody is present, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Presence.Channels) }),
		},
		{
			"rocket_presence_notices_total", counter,
			[]string{"hub"},
			"Notices of who has come and gone, each counted once for all that hear it, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Presence.Notices) }),
		},
		{
			"rocket_server_published_total", counter,
			[]string{"hub"},
			"Events published through the admin API or by the program, by hub.", perHub(func(h *webrocket.HubStats) float64 { return float64(h.Published) }),
		},
		{
			"rocket_commands_total", counter,
			[]string{"hub", "kind", "result"},
			"Commands of clients, by hub, kind and result.", collectCommands,
		},
		{
			"rocket_tokens_total", counter,
			[]string{"hub", "reason"},
			"Tokens and signatures of clients, by hub and by why they were refused; accepted is for the others.", collectTokens,
		},
		{
			"rocket_token_key_fetches_total", counter,
			[]string{"result"},
			"Fetches of the keys that verify tokens, by result.", collectFetches,
		},
		{
			"rocket_app_connections", gauge,
			[]string{"app"},
			"Open connections of an application for Pusher clients.", perApp(func(a *pusher.AppStats) int { return a.Connections }),
		},
		{
			"rocket_app_channels", gauge,
			[]string{"app"},
			"Channels of an application that have subscribers.", perApp(func(a *pusher.AppStats) int { return a.Channels }),
		},
		{
			"rocket_app_cached_bytes", gauge,
			[]string{"app"},
			"Memory of the last events of cache channels.", perApp(func(a *pusher.AppStats) int { return a.CachedBytes }),
		},
		{
			"rocket_webhook_queued_events", gauge,
			[]string{"app", "host"},
			"Events that wait for the webhooks of an application at a host, those on their way included.", perHost(func(w *pusher.HookStats) float64 { return float64(w.Queued) }),
		},
		{
			"rocket_webhook_sent_events_total", counter,
			[]string{"app", "host"},
			"Events that they have taken.", perHost(func(w *pusher.HookStats) float64 { return float64(w.Delivered) }),
		},
		{
			"rocket_webhook_failed_requests_total", counter,
			[]string{"app", "host"},
			"Requests that they did not answer with 2xx, and that are sent again for five minutes.", perHost(func(w *pusher.HookStats) float64 { return float64(w.Failures) }),
		},
		{
			"rocket_webhook_lost_events_total", counter,
			[]string{"app", "host"},
			"Events that they did not take in time, or that were too many to wait.", perHost(func(w *pusher.HookStats) float64 { return float64(w.Lost) }),
		},
		{
			"rocket_cluster_connected", gauge, nil,
			"1 if there is a connection to NATS, otherwise 0.", clustered(func(s *cluster.Stats) float64 { return truth(s.Connected) }),
		},
		{
			"rocket_cluster_nodes", gauge, nil,
			"Nodes of the cluster that were heard of in the last second, this one included.", clustered(aliveNodes),
		},
		{
			"rocket_cluster_reconnects_total", counter, nil,
			"Connections to NATS after the first.", clustered(func(s *cluster.Stats) float64 { return float64(s.Reconnects) }),
		},
		{
			"rocket_cluster_sent_events_total", counter, nil,
			"Events of this process for other nodes.", clustered(func(s *cluster.Stats) float64 { return float64(s.SentEvents) }),
		},
		{
			"rocket_cluster_sent_batches_total", counter, nil,
			"Messages to NATS that these were sent in.", clustered(func(s *cluster.Stats) float64 { return float64(s.SentBatches) }),
		},
		{
			"rocket_cluster_sent_bytes_total", counter, nil,
			"Bytes of these events.", clustered(func(s *cluster.Stats) float64 { return float64(s.SentBytes) }),
		},
		{
			"rocket_cluster_received_events_total", counter, nil,
			"Events of other nodes.", clustered(func(s *cluster.Stats) float64 { return float64(s.ReceivedEvents) }),
		},
		{
			"rocket_cluster_lag_batches", gauge,
			[]string{"node"},
			"Batches that another node has sent and that are missing here, by node.", collectLag,
		},
		{
			"rocket_cluster_clock_skew_seconds", gauge,
			[]string{"node"},
			"By how much the clock of another node is ahead, by node.", collectSkew,
		},
		{
			"rocket_cluster_gaps_total", counter, nil,
			"Gaps that were seen in what other nodes have sent.", clustered(func(s *cluster.Stats) float64 { return float64(s.Gaps) }),
		},
		{
			"rocket_cluster_mended_batches_total", counter, nil,
			"Batches that came again and filled a gap.", clustered(func(s *cluster.Stats) float64 { return float64(s.Mended) }),
		},
		{
			"rocket_cluster_lost_events_total", counter, nil,
			"Events of other nodes that did not come, and that subscribers were told of.", clustered(func(s *cluster.Stats) float64 { return float64(s.Told) }),
		},
		{
			"rocket_cluster_all_told_total", counter, nil,
			"Times that all subscribers were told that events may be missing.", clustered(func(s *cluster.Stats) float64 { return float64(s.ToldAll) }),
		},
		{
			"rocket_cluster_own_facts", gauge, nil,
			"What this node tells the others for as long as it holds: who is present at it.", clustered(func(s *cluster.Stats) float64 { return float64(s.OwnFacts) }),
		},
		{
			"rocket_cluster_facts", gauge, nil,
			"What other nodes have told that holds there: who is present at them.", clustered(func(s *cluster.Stats) float64 { return float64(s.Facts) }),
		},
		{
			"rocket_cluster_resyncs_total", counter, nil,
			"Parts of the facts of another node that were asked for anew: when it was heard first, and after a loss.", clustered(func(s *cluster.Stats) float64 { return float64(s.Resyncs) }),
		},
		{
			"rocket_cluster_standing", gauge, nil,
			"Revocations that are kept for nodes that are away.", clustered(func(s *cluster.Stats) float64 { return float64(s.Standing) }),
		},
		{
			"rocket_cluster_log_live", gauge, ofLog,
			"1 if the log with the histories of channels is followed, otherwise 0.", perLog(func(l *cluster.LogStats) float64 { return truth(l.Live) }),
		},
		{
			"rocket_cluster_log_sequence", gauge, ofLog,
			"Number of the last message of the log that is applied.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Sequence) }),
		},
		{
			"rocket_cluster_log_lag", gauge, ofLog,
			"Messages that are known to be in the log and are not applied yet.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Lag) }),
		},
		{
			"rocket_cluster_log_events_total", counter, ofLog,
			"Events of the log, of all nodes, that were applied.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Events) }),
		},
		{
			"rocket_cluster_log_gaps_total", counter, ofLog,
			"Gaps that were seen in what came by the feed of the log.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Gaps) }),
		},
		{
			"rocket_cluster_log_filled_total", counter, ofLog,
			"Messages that were read from the log to fill gaps, and at the start.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Filled) }),
		},
		{
			"rocket_cluster_log_breaks_total", counter, ofLog,
			"Times that a new epoch began because the log had lost what was stored; all subscribers were told.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Breaks) }),
		},
		{
			"rocket_cluster_log_forgotten_total", counter, ofLog,
			"Times that the log did not keep any more what this node had not had; all subscribers were told.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Forgotten) }),
		},
		{
			"rocket_cluster_log_batches_total", counter, ofLog,
			"Batches that this node has published to the log, empty ones too.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Batches) }),
		},
		{
			"rocket_cluster_log_batch_events_total", counter, ofLog,
			"Events in these batches.", perLog(func(l *cluster.LogStats) float64 { return float64(l.BatchEvents) }),
		},
		{
			"rocket_cluster_log_collected_batches_total", counter, ofLog,
			"Small batches of other nodes that this one has sent along with its own.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Collected) }),
		},
		{
			"rocket_cluster_log_unavailable_total", counter, ofLog,
			"Publishes of this node that were not stored in time.", perLog(func(l *cluster.LogStats) float64 { return float64(l.Unavailable) }),
		},
	}
}

func collectTokens(r *reading, y yield) {
	for i := range r.Hubs {
		for _, t := range r.Hubs[i].Tokens {
			y(float64(t.Count), r.Hubs[i].Name, t.Reason)
		}
	}
}

func collectFetches(r *reading, y yield) {
	var all [auth.NumFetchResults]uint64
	for _, set := range r.sets {
		for result, n := range set.Fetches() {
			all[result] += n
		}
	}
	for result, n := range all {
		y(float64(n), auth.FetchResult(result).String())
	}
}

// clustered is a number of a node of a cluster.
func clustered(get func(*cluster.Stats) float64) func(*reading, yield) {
	return func(r *reading, y yield) {
		if r.cluster != nil {
			y(get(r.cluster))
		}
	}
}

func aliveNodes(s *cluster.Stats) float64 {
	n := 1.0
	for _, p := range s.Peers {
		n += truth(p.Alive)
	}
	return n
}

// collectLag joins nodes that have one name: one of them has gone.
// ofLog are the labels of what is known of a log.
var ofLog = []string{"hub", "log"}

// perLog is a number of each log.
func perLog(get func(*cluster.LogStats) float64) func(*reading, yield) {
	return func(r *reading, y yield) {
		if r.cluster == nil {
			return
		}
		for i := range r.cluster.Logs {
			l := &r.cluster.Logs[i]
			y(get(l), l.Hub, strconv.Itoa(l.Log))
		}
	}
}

func collectLag(r *reading, y yield) {
	if r.cluster == nil {
		return
	}
	lag := make(map[string]uint64)
	for _, p := range r.cluster.Peers {
		lag[p.Node] += p.Lag
	}
	for node, n := range lag {
		y(float64(n), node)
	}
}

// collectSkew leaves out nodes that are not there.
func collectSkew(r *reading, y yield) {
	if r.cluster == nil {
		return
	}
	skew := make(map[string]float64) // a name may be there twice for a while
	for _, p := range r.cluster.Peers {
		if p.Alive {
			skew[p.Node] = p.Skew.Seconds()
		}
	}
	for node, seconds := range skew {
		y(seconds, node)
	}
}

// refusals are the reasons that are exported from the start with 0, so that
// Prometheus sees the first refusal as an increase.
var refusals = []string{"forwarded", "full", "gone", "invalid", "no_memory", "not_found", "origin", "stopping", "timeout", "too_long", "too_many", "transport"}

// each yields the counts, and 0 for the names that have none.
func each(y yield, counts map[string]uint64, names []string) {
	counts = sum(nil, counts)
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
			y(get(&r.Hubs[i]), r.Hubs[i].Name)
		}
	}
}

func collectCommands(r *reading, y yield) {
	for _, h := range r.Hubs {
		for _, k := range h.Commands {
			y(float64(k.Count), h.Name, k.Kind, k.Result)
		}
	}
}

func collectRecoveries(r *reading, y yield) {
	for _, h := range r.Hubs {
		for _, k := range h.Recoveries {
			y(float64(k.Count), h.Name, k.Result)
		}
	}
}

// ownCodes are the close codes of Rocket's own: each is counted by itself.
var ownCodes = []uint16{4001, 4401, 4408, 4429}

// collectCodes joins the codes that programs may give a meaning of their own, of
// which there are thousands.
func collectCodes(r *reading, y yield) {
	joined := map[string]uint64{}
	for code, n := range r.total.Closed {
		name := strconv.Itoa(int(code))
		if code >= 3000 && !slices.Contains(ownCodes, code) {
			name = fmt.Sprintf("%dxxx", code/1000) // a program may have any
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
