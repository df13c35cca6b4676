package bench

import (
	"fmt"
	"slices"
)

// Names of metrics.
const (
	metricRate     = "deliveries/s"
	metricServer   = "server µs per delivery"
	metricOther    = "other node µs per publish"
	metricAll      = "all nodes µs per publish"
	metricBroker   = "between them µs per publish"
	metricAckP50   = "acknowledged p50 ms"
	metricAckP99   = "acknowledged p99 ms"
	metricFloor    = "floor µs"
	metricRatio    = "× floor"
	metricUring    = "uring floor µs"
	metricURatio   = "× uring floor"
	metricP50      = "p50 ms"
	metricP99      = "p99 ms"
	metricP999     = "p99.9 ms"
	metricWrite    = "messages per write"
	metricLast     = "last has it, ms"
	metricProbe    = "other channel p99 ms"
	metricResident = "bytes per connection"
	metricKernel   = "kernel bytes each"
	metricConnects = "connects/s"
	metricConnect  = "server µs per connect"
	metricStorm    = "all back, s"
	metricReturns  = "returns/s"
	metricReturn   = "server µs per return"
	metricPlain    = "× without history"
	metricJoin     = "join p99 ms"
	metricGrowth   = "server growth, MB"
)

// better says which values of a metric are better.
type better uint8

const (
	neither better = iota
	lower
	higher
)

// metric is one number of a result. of is false if the result does not have it.
type metric struct {
	name   string
	better better
	of     func(r *Result) (float64, bool)
}

var metrics = []metric{
	{metricRate, higher, func(r *Result) (float64, bool) {
		if r.Load == nil {
			return 0, false
		}
		return r.Load.DeliveriesPerSecond, true
	}},
	{metricServer, lower, func(r *Result) (float64, bool) {
		if r.Load == nil {
			return 0, false
		}
		return r.Load.ServerMicros, r.Load.ServerMicros > 0
	}},
	{metricOther, lower, func(r *Result) (float64, bool) {
		if r.Load == nil || r.Options.Nodes == meshNodes {
			return 0, false
		}
		return r.Load.OtherMicros, r.Load.OtherMicros > 0
	}},
	{metricAll, lower, func(r *Result) (float64, bool) {
		if r.Load == nil || r.Options.Nodes != meshNodes {
			return 0, false
		}
		return r.Load.OtherMicros, r.Load.OtherMicros > 0
	}},
	{metricBroker, lower, func(r *Result) (float64, bool) {
		if r.Load == nil {
			return 0, false
		}
		return r.Load.BrokerMicros, r.Load.BrokerMicros > 0
	}},
	{metricFloor, neither, func(r *Result) (float64, bool) {
		if len(r.Floor) == 0 {
			return 0, false
		}
		return r.Floor[0].MicrosPerMessage, true
	}},
	{metricRatio, neither, func(r *Result) (float64, bool) { return r.Ratio, r.Ratio > 0 }},
	{metricUring, neither, func(r *Result) (float64, bool) { return r.uringFloor(), r.uringFloor() > 0 }},
	{metricURatio, neither, func(r *Result) (float64, bool) { return r.UringRatio, r.UringRatio > 0 }},
	{metricP50, lower, latencyMetric(func(l *Latency) float64 { return l.P50 })},
	{metricP99, lower, latencyMetric(func(l *Latency) float64 { return l.P99 })},
	{metricP999, lower, latencyMetric(func(l *Latency) float64 { return l.P999 })},
	{metricAckP50, lower, ackMetric(func(l *Latency) float64 { return l.P50 })},
	{metricAckP99, lower, ackMetric(func(l *Latency) float64 { return l.P99 })},
	{metricWrite, neither, func(r *Result) (float64, bool) {
		if r.Load == nil {
			return 0, false
		}
		return r.Load.PerWrite, r.Load.PerWrite > 0
	}},
	{metricLast, lower, func(r *Result) (float64, bool) {
		var all []float64
		for _, b := range r.Rounds {
			all = append(all, b.Last)
		}
		return median(all), len(all) > 0
	}},
	{metricProbe, lower, func(r *Result) (float64, bool) {
		if r.Probe == nil {
			return 0, false
		}
		return r.Probe.P99, true
	}},
	{metricResident, lower, func(r *Result) (float64, bool) {
		if r.Memory == nil || r.Slow != nil {
			return 0, false
		}
		return r.Memory.PerConn, r.Memory.PerConn > 0
	}},
	{metricKernel, neither, func(r *Result) (float64, bool) {
		if r.Memory == nil || r.Slow != nil {
			return 0, false
		}
		return r.Memory.KernelPerConn, r.Memory.KernelPerConn > 0
	}},
	{metricGrowth, lower, func(r *Result) (float64, bool) {
		if r.Memory == nil || r.Slow == nil {
			return 0, false
		}
		return float64(r.Memory.After-r.Memory.Before) / 1e6, true
	}},
	{metricConnects, higher, func(r *Result) (float64, bool) {
		if !r.tellsConnects() {
			return 0, false
		}
		return r.Connect.PerSecond, true
	}},
	{metricConnect, lower, func(r *Result) (float64, bool) {
		if !r.tellsConnects() {
			return 0, false
		}
		return r.Connect.ServerMicros, r.Connect.ServerMicros > 0
	}},
	{metricStorm, lower, func(r *Result) (float64, bool) {
		var all []float64
		for _, s := range r.Storms {
			all = append(all, s.Seconds)
		}
		return median(all), len(all) > 0
	}},
	{metricReturns, higher, func(r *Result) (float64, bool) {
		var all []float64
		for _, b := range r.Returns {
			all = append(all, b.PerSecond)
		}
		return median(all), len(all) > 0
	}},
	{metricReturn, lower, func(r *Result) (float64, bool) { return r.perReturn(), r.perReturn() > 0 }},
	{metricPlain, neither, func(r *Result) (float64, bool) { return r.ToPlain, r.ToPlain > 0 }},
	{metricJoin, lower, func(r *Result) (float64, bool) {
		if r.Churn == nil {
			return 0, false
		}
		return r.Churn.Join.P99, true
	}},
}

// tellsConnects: a thousand plain connects take a few hundredths of a second, too short to be a line of each scenario.
func (r *Result) tellsConnects() bool {
	return r.Connect != nil && (r.Idle != nil || r.TLS != nil || r.Column == plainColumn)
}

// uringFloor is what a message costs through io_uring, in microseconds; 0: not measured.
func (r *Result) uringFloor() float64 {
	for _, f := range r.Floor {
		if f.Mode == FloorUring {
			return f.MicrosPerMessage
		}
	}
	return 0
}

func ackMetric(f func(*Latency) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		if r.Acks == nil || r.Acks.Count == 0 {
			return 0, false
		}
		return f(r.Acks), true
	}
}

func latencyMetric(f func(*Latency) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		if r.Latency == nil || r.Latency.Count == 0 {
			return 0, false
		}
		return f(r.Latency), true
	}
}

// summary is what repeated runs say about a metric.
type summary struct{ low, median, high float64 }

func summaryOf(values []float64) summary {
	return summary{slices.Min(values), median(values), slices.Max(values)}
}

func (s summary) String() string {
	if s.low == s.high {
		return short(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", short(s.median), short(s.low), short(s.high))
}

// median is 0 for no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
