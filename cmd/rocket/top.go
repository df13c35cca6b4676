package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nu7hatch/webrocket/cmd/rocket/console"
)

const topHelp = `
It asks the admin port of a server again and again, and shows each event loop,
the nodes of its cluster, the busiest channels, what hubs keep, applications and the
slowest readers: on a terminal until Ctrl-C, and
otherwise one report as plain text. The token is read from ROCKET_ADMIN_TOKEN.

  -admin ADDRESS   where the server has its admin port (default
                   127.0.0.1:9773, or ROCKET_ADMIN)
  -interval TIME   time between two reports, over which rates are counted
                   (default 2s)
  -n N             number of reports; 0: until Ctrl-C (default 0 on a terminal,
                   otherwise 1)

The busiest channels are those of all nodes, and are sought among the 1,000 of each
that have had most events.

Examples:
  rocket top
  rocket top -interval 10s -n 6 > load.txt
`

// topRows is how many channels and readers are shown.
const topRows = 10

// runTop is the command top.
func runTop(ctx context.Context, p *program, args []string) error {
	fs := newFlags("top")
	var remote adminClient
	remote.register(fs, p)
	live := isTerminal(p.stdout)
	interval := fs.Duration("interval", 2*time.Second, "")
	reports := 1
	if live {
		reports = 0
	}
	fs.IntVar(&reports, "n", reports, "")
	if err := parseOnlyFlags(fs, args); err != nil {
		return err
	}
	if *interval <= 0 || reports < 0 {
		return usageError("want an interval above zero, and 0 or more reports")
	}
	err := remote.follow(ctx, *interval, reports, func(before, after sample) error {
		_, err := p.stdout.Write(onScreen(view(before, after), live))
		return err
	})
	if errors.Is(err, context.Canceled) {
		return nil // that is how it ends
	}
	return err
}

// follow asks a server n times, or until ctx is done if n is 0, and hands each
// sample and the one before it to show.
func (a *adminClient) follow(ctx context.Context, interval time.Duration, n int, show func(before, after sample) error) error {
	before, err := a.sample(ctx)
	for i := 0; err == nil && (n == 0 || i < n); i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
		var after sample
		if after, err = a.sample(ctx); err == nil {
			err = show(before, after)
		}
		before = after
	}
	return err
}

// onScreen makes a terminal show the text in place of the last one: each line
// clears what is left of it, the end what is below.
func onScreen(text []byte, live bool) []byte {
	if !live {
		return text
	}
	text = bytes.ReplaceAll(text, []byte("\n"), []byte("\x1b[K\n"))
	return append(append([]byte("\x1b[H"), text...), "\x1b[J"...)
}

// sample is what a server has answered at one time.
type sample struct {
	loops    console.Loops
	cluster  console.Cluster
	nodes    map[string]console.Loops // of a cluster, by name: those that have answered
	hubs     console.Hubs
	apps     console.Apps
	channels console.ClusterChannels
	slowest  console.Connections
}

// sample asks a server.
func (a *adminClient) sample(ctx context.Context) (s sample, err error) {
	for path, to := range map[string]any{
		"/api/loops":   &s.loops,
		"/api/cluster": &s.cluster,
		"/api/hubs":    &s.hubs,
		"/api/apps":    &s.apps,
		"/api/channels?node=*&sort=published&limit=1000": &s.channels,
		"/api/connections/slowest?limit=10":              &s.slowest,
	} {
		answer, err := a.get(ctx, path)
		if err == nil {
			err = json.Unmarshal(answer, to)
		}
		if err != nil {
			return s, err
		}
	}
	if s.cluster.Cluster == "" {
		return s, nil
	}
	s.nodes, err = a.loopsOfNodes(ctx)
	return s, err
}

// loopsOfNodes asks all nodes of a cluster.
func (a *adminClient) loopsOfNodes(ctx context.Context) (map[string]console.Loops, error) {
	text, err := a.get(ctx, "/api/loops?node=*")
	if err != nil {
		return nil, err
	}
	var all console.Nodes
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	loops := make(map[string]console.Loops)
	for _, n := range all.Nodes {
		var l console.Loops
		if n.Error == "" && json.Unmarshal(n.Answer, &l) == nil {
			loops[n.Node] = l
		}
	}
	return loops, nil
}

// continues reports whether a sample goes on counting where an earlier one was.
// It is false if the server was restarted or another server answers there. An
// older server only says how long it has been up.
func (s sample) continues(before sample) bool {
	return s.loops.Started.Equal(before.loops.Started) && s.loops.UptimeSeconds > before.loops.UptimeSeconds &&
		len(s.loops.Loops) == len(before.loops.Loops)
}

// view is a report on the time between two samples.
func view(before, after sample) []byte {
	var b bytes.Buffer
	seconds := after.loops.UptimeSeconds - before.loops.UptimeSeconds
	if !after.continues(before) {
		before, seconds = sample{}, after.loops.UptimeSeconds
		before.loops.Loops = make([]console.Loop, len(after.loops.Loops))
	}
	state := "ready"
	if !after.loops.Ready {
		state = "not ready"
	}
	up := time.Duration(after.loops.UptimeSeconds * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(&b, "Rocket %s  %s  up %v  at most %d connections\n\n", after.loops.Version, state, up, after.loops.MaxConnections)
	viewLoops(&b, before.loops.Loops, after.loops.Loops, seconds)
	viewCluster(&b, before, after, seconds)
	viewChannels(&b, before.channels, after.channels, seconds)
	viewHistory(&b, before.hubs, after.hubs, seconds)
	viewPresence(&b, before.hubs, after.hubs, seconds)
	viewApps(&b, before.apps, after.apps, seconds)
	viewSlowest(&b, after.slowest)
	return b.Bytes()
}

// table is a writer of columns that are aligned to the right.
func table(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}

func viewLoops(w io.Writer, before, after []console.Loop, seconds float64) {
	t := table(w)
	fmt.Fprintln(t, "LOOP\tBUSY\tCONNS\tSUBS\tIN/s\tOUT/s\tIN B/s\tOUT B/s\tDELIVERY\tWAITING\tQUEUED B\t")
	var a, b console.Loop
	for i := range after {
		loopRow(t, fmt.Sprint(i), &before[i], &after[i], seconds)
		addLoop(&a, &before[i])
		addLoop(&b, &after[i])
	}
	if n := float64(len(after)); n > 1 {
		a.BusySeconds, b.BusySeconds = a.BusySeconds/n, b.BusySeconds/n
		loopRow(t, "all", &a, &b, seconds)
	}
	t.Flush()
}

// loopRow shows a loop. A loop that does not answer has a mark.
func loopRow(w io.Writer, name string, a, b *console.Loop, seconds float64) {
	if b.Stale {
		name += "!"
	}
	delivery := "-"
	if n := b.Deliveries - a.Deliveries; n > 0 {
		mean := (b.DeliverySeconds - a.DeliverySeconds) / float64(n)
		delivery = time.Duration(mean * float64(time.Second)).Round(time.Microsecond).String()
	}
	fmt.Fprintf(w, "%s\t%.0f%%\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t\n", name,
		100*(b.BusySeconds-a.BusySeconds)/seconds, b.Connections, b.Subscriptions,
		short(float64(b.MessagesReceived-a.MessagesReceived)/seconds), short(float64(b.MessagesSent-a.MessagesSent)/seconds),
		short(float64(b.BytesReceived-a.BytesReceived)/seconds), short(float64(b.BytesSent-a.BytesSent)/seconds),
		delivery, b.Waiting, short(float64(b.QueuedBytes)))
}

// addLoop adds a loop to a sum.
func addLoop(sum, l *console.Loop) {
	sum.Connections += l.Connections
	sum.Subscriptions += l.Subscriptions
	sum.Waiting += l.Waiting
	sum.QueuedBytes += l.QueuedBytes
	sum.MessagesReceived += l.MessagesReceived
	sum.MessagesSent += l.MessagesSent
	sum.BytesReceived += l.BytesReceived
	sum.BytesSent += l.BytesSent
	sum.BusySeconds += l.BusySeconds
	sum.Deliveries += l.Deliveries
	sum.DeliverySeconds += l.DeliverySeconds
}

// viewCluster shows the nodes of a cluster, if there is one.
func viewCluster(w io.Writer, from, to sample, seconds float64) {
	before, after := from.cluster, to.cluster
	if after.Cluster == "" {
		return
	}
	state := "connected"
	if !after.Connected {
		state = "NOT CONNECTED"
	}
	fmt.Fprintf(w, "\ncluster %s, node %s, %s: %s events/s out, %s in, %d gaps, %d events lost, all told %d times\n", after.Cluster, after.Node, state,
		short(float64(after.SentEvents-before.SentEvents)/seconds), short(float64(after.ReceivedEvents-before.ReceivedEvents)/seconds),
		after.Gaps, after.LostEvents, after.AllTold)
	viewLogs(w, before.Logs, after, seconds)
	t := table(w)
	fmt.Fprintln(t, "ALIVE\tSILENT FOR\tLAG\tCONNS\tSUBS\tIN/s\tOUT/s\t  NODE")
	nodeRow(t, &console.Node{Node: after.Node, Alive: true}, from.nodes, to.nodes)
	for i := range after.Nodes {
		nodeRow(t, &after.Nodes[i], from.nodes, to.nodes)
	}
	t.Flush()
}

// viewLogs shows the logs with the histories in one line, if there are any.
func viewLogs(w io.Writer, before []console.Log, after console.Cluster, seconds float64) {
	if len(after.Logs) == 0 {
		return
	}
	var events, was, lag, filled, breaks, unavailable uint64
	for i := range after.Logs {
		l := &after.Logs[i]
		events, lag, filled, breaks, unavailable = events+l.Events, lag+l.Lag, filled+l.Filled, breaks+l.EpochBreaks, unavailable+l.Unavailable
	}
	for i := range before {
		was += before[i].Events
	}
	state := "followed"
	if !after.Following {
		state = "NOT FOLLOWED"
	}
	fmt.Fprintf(w, "%d logs, %s: %s events/s, %d messages behind, %d filled, %d epochs broken, %d publishes unavailable\n", len(after.Logs), state,
		short(float64(events-min(was, events))/seconds), lag, filled, breaks, unavailable)
}

// nodeRow shows a node, with its rates if it has answered twice.
func nodeRow(w io.Writer, n *console.Node, before, after map[string]console.Loops) {
	alive := "yes"
	if !n.Alive {
		alive = "no"
	}
	fmt.Fprintf(w, "%s\t%.1fs\t%d\t", alive, n.SilenceSeconds, n.LagBatches)
	var a, b console.Loop
	old, now := before[n.Node], after[n.Node]
	if len(now.Loops) == 0 {
		fmt.Fprintf(w, "-\t-\t-\t-\t  %s\n", n.Node)
		return
	}
	for i := range now.Loops {
		addLoop(&b, &now.Loops[i])
	}
	in, out := "-", "-"
	if seconds := now.UptimeSeconds - old.UptimeSeconds; old.Started.Equal(now.Started) && seconds > 0 {
		for i := range old.Loops {
			addLoop(&a, &old.Loops[i])
		}
		in = short(float64(b.MessagesReceived-a.MessagesReceived) / seconds)
		out = short(float64(b.MessagesSent-a.MessagesSent) / seconds)
	}
	fmt.Fprintf(w, "%d\t%d\t%s\t%s\t  %s\n", b.Connections, b.Subscriptions, in, out, n.Node)
}

// viewChannels shows the busiest channels of all nodes.
func viewChannels(w io.Writer, before, after console.ClusterChannels, seconds float64) {
	was, _ := answered(before.Nodes)
	nodes, silent := answered(after.Nodes)
	if len(was)+len(nodes) > 1 && !slices.Equal(was, nodes) {
		before = after // the largest counts may be of other nodes
	}
	type key struct{ hub, channel string }
	had := map[key]console.Channel{}
	for _, c := range before.Channels.Channels {
		had[key{c.Hub, c.Channel}] = c
	}
	busy := slices.Clone(after.Channels.Channels)
	for i, c := range busy {
		// A channel may have gone and come again: then it counts from 0.
		if old := had[key{c.Hub, c.Channel}]; old.Published <= c.Published && old.Bytes <= c.Bytes {
			busy[i].Published -= old.Published
			busy[i].Bytes -= old.Bytes
		}
	}
	slices.SortStableFunc(busy, func(a, b console.Channel) int {
		return cmp.Or(cmp.Compare(b.Published, a.Published), b.Subscribers-a.Subscribers)
	})
	where := ""
	switch {
	case len(silent) > 0:
		where = " at the nodes but " + strings.Join(silent, ", ")
	case len(nodes) > 1:
		where = " at all nodes"
	}
	fmt.Fprintf(w, "\n%d channels%s, the busiest:\n", after.Total, where)
	t := table(w)
	fmt.Fprintln(t, "EVENTS/s\tB/s\tSUBS\t  CHANNEL")
	for _, c := range busy[:min(topRows, len(busy))] {
		fmt.Fprintf(t, "%s\t%s\t%d\t  %s %s\n", short(float64(c.Published)/seconds), short(float64(c.Bytes)/seconds),
			c.Subscribers, c.Hub, c.Channel)
	}
	t.Flush()
}

// answered returns the names of the nodes that have answered, and of those that have not.
func answered(nodes console.Nodes) (names, silent []string) {
	for _, n := range nodes.Nodes {
		if n.Error == "" {
			names = append(names, n.Node)
		} else {
			silent = append(silent, n.Node)
		}
	}
	return names, silent
}

// viewHistory shows the hubs that keep something, or of which somebody wanted it.
func viewHistory(w io.Writer, before, after console.Hubs, seconds float64) {
	had := map[string]console.History{}
	for _, h := range before.Hubs {
		had[h.Hub] = h.History
	}
	t := table(w)
	title := "\nkept events:\nCHANNELS\tBYTES\tEVICTED/s\tRECOVERED/s\tNOT\t  HUB\n"
	for _, h := range after.Hubs {
		old, now := had[h.Hub], h.History
		recovered, failed := recoveries(now)
		recoveredBefore, failedBefore := recoveries(old)
		if now.Channels == 0 && now.Evicted+recovered+failed == 0 {
			continue
		}
		fmt.Fprintf(t, "%s%d\t%s\t%s\t%s\t%s\t  %s\n", title, now.Channels, short(float64(now.Bytes)),
			short(float64(now.Evicted-old.Evicted)/seconds), short(float64(recovered-recoveredBefore)/seconds),
			short(float64(failed-failedBefore)/seconds), h.Hub)
		title = ""
	}
	t.Flush()
}

// recoveries returns how many clients went on at their position, and how many could not.
func recoveries(h console.History) (recovered, failed uint64) {
	for result, n := range h.Recoveries {
		if result == "recovered" {
			recovered += n
		} else {
			failed += n
		}
	}
	return recovered, failed
}

// viewPresence shows the hubs in whose channels somebody is present.
func viewPresence(w io.Writer, before, after console.Hubs, seconds float64) {
	notices := map[string]uint64{}
	for _, h := range before.Hubs {
		notices[h.Hub] = h.Presence.Notices
	}
	t := table(w)
	title := "\npresence:\nCHANNELS\tMEMBERS\tNOTICES/s\t  HUB\n"
	for _, h := range after.Hubs {
		if p := h.Presence; p.Channels > 0 {
			fmt.Fprintf(t, "%s%d\t%d\t%s\t  %s\n", title, p.Channels, p.Members,
				short(float64(p.Notices-notices[h.Hub])/seconds), h.Hub)
			title = ""
		}
	}
	t.Flush()
}

// viewApps shows the applications for Pusher clients, with all webhooks of each.
func viewApps(w io.Writer, before, after console.Apps, seconds float64) {
	had := map[string]console.Webhook{}
	for _, a := range before.Apps {
		had[a.App] = allWebhooks(a)
	}
	t := table(w)
	title := "\napplications:\nCONNS\tCHANNELS\tWEBHOOKS: QUEUED\tSENT/s\tFAILED/s\tLOST\t  APP\n"
	for _, a := range after.Apps {
		old, now := had[a.App], allWebhooks(a)
		if old.Sent > now.Sent || old.Failures > now.Failures {
			old = console.Webhook{} // a reload has made others of them
		}
		fmt.Fprintf(t, "%s%d\t%d\t%d\t%s\t%s\t%d\t  %s\n", title, a.Connections, a.Channels, now.Queued,
			short(float64(now.Sent-old.Sent)/seconds), short(float64(now.Failures-old.Failures)/seconds), now.Lost, a.App)
		title = ""
	}
	t.Flush()
}

// allWebhooks is the sum over the webhooks of an application.
func allWebhooks(a console.App) (sum console.Webhook) {
	for _, w := range a.Webhooks {
		sum.Queued += w.Queued
		sum.Sent += w.Sent
		sum.Failures += w.Failures
		sum.Lost += w.Lost
	}
	return sum
}

func viewSlowest(w io.Writer, slowest console.Connections) {
	if len(slowest.Connections) == 0 {
		fmt.Fprintln(w, "\nno slow readers")
		return
	}
	fmt.Fprintln(w, "\nslowest readers:")
	t := table(w)
	fmt.Fprintln(t, "QUEUED B\tFRAMES\tSUBS\t  CONNECTION")
	for _, c := range slowest.Connections {
		fmt.Fprintf(t, "%s\t%d\t%d\t  %s %s\n", short(float64(c.QueuedBytes)), c.QueuedFrames, c.Subscriptions, c.Hub, c.Connection)
	}
	t.Flush()
}

// short is a number with three digits at least: 999, 1.5k, 20M.
func short(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= 0.9995*unit.size { // what would be rounded up to it
			return fmt.Sprintf("%.3g%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.3g", n)
}
