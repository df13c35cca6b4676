package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteText writes a result for people.
func WriteText(w io.Writer, r *Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }

	secure := ""
	if r.Options.TLS {
		secure = " over TLS"
	}
	line("run", "%s, dialect %s%s, %d connections, %d channels, payload %d bytes",
		r.Scenario, r.Options.Dialect, secure, r.Options.Conns, r.Options.Channels, r.Options.Payload)
	writeConnects(line, r)
	writeLoad(line, r)
	writeSpecial(line, r)
	for _, f := range r.Floor {
		if f.NotMeasured != "" {
			line("floor", "%s: n/a: %s", f.Mode, f.NotMeasured)
			continue
		}
		line("floor", "%s, %d sockets, %d per write, %d bytes each: %.2f µs a write, %.3f µs a message, %s messages/s",
			strings.TrimSpace(string(f.Mode+" "+f.Of)), f.Sockets, f.PerWrite, f.Bytes, f.MicrosPerWrite, f.MicrosPerMessage, short(f.MessagesPerSec))
	}
	if r.Ratio > 0 {
		line("ratio", "%.2f × the floor (server CPU per delivery to %d per write)", r.Ratio, r.Floor[0].PerWrite)
	}
	if r.UringRatio > 0 {
		line("", "%.2f × the same through io_uring", r.UringRatio)
	}
	if r.Lacks != "" {
		line("less work", "%s", r.Lacks)
	}
	writeVerdict(line, r)
	return t.Flush()
}

type lineFunc func(name, format string, args ...any)

func writeConnects(line lineFunc, r *Result) {
	c := r.Connect
	if c == nil {
		return
	}
	line("connects", "%d in %.2f s, %s/s, set-up p99 %.1f ms", c.Count, c.Seconds, short(c.PerSecond), c.SetUpP99)
	line("CPU per connect", "server %.1f µs, generator %.1f µs", c.ServerMicros, c.GeneratorMicros)
	if r.TLS != nil {
		line("TLS", "%s; %d handshakes, none resumed, %s/s", r.TLS.Agreed, r.TLS.Handshakes, short(c.PerSecond))
	}
}

func writeLoad(line lineFunc, r *Result) {
	l := r.Load
	if l == nil {
		return
	}
	how := fmt.Sprintf("%s publishes/s, open loop", short(r.Options.Rate))
	if r.Options.Saturate > 0 {
		how = fmt.Sprintf("%d in flight, closed loop", r.Options.Saturate)
	}
	line("load", "%s, %.1f s", how, l.Seconds)
	line("deliveries", "%s/s (%d, of %d publishes)", short(l.DeliveriesPerSecond), l.Deliveries, l.Publishes)
	line("CPU per delivery", "server %.3f µs, generator %.3f µs", l.ServerMicros, l.GeneratorMicros)
	if l.OtherMicros > 0 {
		line("CPU per publish", "%s %.1f µs, between them %.1f µs", othersName(r), l.OtherMicros, l.BrokerMicros)
	}
	line("busy", "server %.2f CPUs, generator %.0f %% of its threads", l.ServerBusy, 100*l.GeneratorBusy)
	line("batching", "%.1f messages per server write, %.1f deliveries per read, %d bytes per delivery",
		l.PerWrite, l.PerRead, l.BytesPerDelivery)
	if r.Latency != nil {
		line("latency", "%s", r.Latency)
	}
	if r.Acks != nil {
		line("acknowledged", "%s", r.Acks)
	}
}

// othersName is what the nodes are beside the one that is measured.
func othersName(r *Result) string {
	if r.Options.Nodes == meshNodes {
		return "all nodes"
	}
	return "other node"
}

func (l *Latency) String() string {
	return fmt.Sprintf("p50 %s  p90 %s  p99 %s  p99.9 %s  max %s ms",
		digits(l.P50), digits(l.P90), digits(l.P99), digits(l.P999), digits(l.Max))
}

func writeSpecial(line lineFunc, r *Result) {
	for i, b := range r.Rounds {
		line(fmt.Sprintf("broadcast %d", i+1), "first %s, median %s, last %s ms, %d receivers",
			digits(b.First), digits(b.Median), digits(b.Last), b.Receivers)
	}
	if r.Probe != nil {
		line("another channel", "%s", r.Probe)
	}
	for i, s := range r.Storms {
		line(fmt.Sprintf("storm %d", i+1), "all back after %.2f s, %s/s, %.1f µs of server CPU each", s.Seconds, short(s.PerSecond), s.ServerMicros)
	}
	for i, b := range r.Returns {
		line(fmt.Sprintf("return %d", i+1), "%d clients are back, each with the %d events that it missed, after %.2f s; %s/s, %.1f µs of server CPU each",
			b.Clients, r.Options.Missed, b.Seconds, short(b.PerSecond), b.ServerMicros)
	}
	if s := r.Slow; s != nil {
		line("before the stall", "%s", &s.Before)
		line("stalled", "%d readers, %d of them closed by the server", s.Stalled, s.Disconnected)
	}
	if c := r.Churn; c != nil {
		line("joins", "%d, %s", c.Joins, &c.Join)
	}
	if m := r.Memory; m != nil {
		text := fmt.Sprintf("server %.1f → %.1f MB", float64(m.Before)/1e6, float64(m.After)/1e6)
		if m.PerConn > 0 {
			text += fmt.Sprintf(", %.0f bytes each; kernel %.0f bytes each", m.PerConn, m.KernelPerConn)
		}
		line("memory", "%s", text)
	}
	if i := r.Idle; i != nil {
		line("held", "%.0f s, %d pings, server %.3f CPUs", i.Seconds, i.Pings, i.ServerBusy)
	}
}

func writeVerdict(line lineFunc, r *Result) {
	for _, text := range slices.Sorted(maps.Keys(r.Refusals)) {
		line("refused", "%d × %s", r.Refusals[text], text)
	}
	for _, w := range r.Warnings {
		line("warning", "%s", w)
	}
	if r.Interrupted {
		line("interrupted", "this is the result so far")
	}
	if r.Error != "" {
		line("error", "%s", r.Error)
	}
	line("check", "%s", r.Check)
}

// String says on one line whether every delivery was right.
func (c Check) String() string {
	verdict := "every delivery right"
	if !c.Good() {
		verdict = "FAILED"
	}
	return fmt.Sprintf("%s: %d delivered, %d lost, %d duplicated, %d out of order, %d astray, %d corrupted, %d refused, %d unanswered",
		verdict, c.Delivered, c.Lost, c.Duplicated, c.OutOfOrder, c.Astray, c.Corrupted, c.Refused, c.Unanswered)
}

// short writes a large number in three or four characters.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return digits(v/1e6) + " M"
	case v >= 1e4:
		return digits(v/1e3) + " k"
	}
	return digits(v)
}

// digits writes a number with three digits that count.
func digits(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return strings.TrimRight(fmt.Sprintf("%.3f", v), "0")
}
