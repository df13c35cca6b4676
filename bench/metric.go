package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Names of metrics.
const (
	metricRate     = "deliveries/s"
	metricServer   = "server µs per delivery"
	metricFloor    = "floor µs"
	metricRatio    = "× floor"
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
	metricJoin     = "join p99 ms"
	metricGrowth   = "server growth, MB"
)

// metric is one number of a result. of is false if the result does not have it.
type metric struct {
	name string
	of   func(r *Result) (float64, bool)
}

var metrics = []metric{
	{metricRate, func(r *Result) (float64, bool) {
		if r.Load == nil {
			return 0, false
		}
		return r.Load.DeliveriesPerSecond, true
	}},
	{metricServer, func(r *Result) (float64, bool) {
		if r.Load == nil {
			return 0, false
		}
		return r.Load.ServerMicros, r.Load.ServerMicros > 0
	}},
	{metricFloor, func(r *Result) (float64, bool) {
		if len(r.Floor) == 0 {
			return 0, false
		}
		return r.Floor[0].MicrosPerMessage, true
	}},
	{metricRatio, func(r *Result) (float64, bool) { return r.Ratio, r.Ratio > 0 }},
	{metricP50, latencyMetric(func(l *Latency) float64 { return l.P50 })},
	{metricP99, latencyMetric(func(l *Latency) float64 { return l.P99 })},
	{metricP999, latencyMetric(func(l *Latency) float64 { return l.P999 })},
	{metricWrite, func(r *Result) (float64, bool) {
		if r.Load == nil {
			return 0, false
		}
		return r.Load.PerWrite, r.Load.PerWrite > 0
	}},
	{metricLast, func(r *Result) (float64, bool) {
		var all []float64
		for _, b := range r.Rounds {
			all = append(all, b.Last)
		}
		return median(all), len(all) > 0
	}},
	{metricProbe, func(r *Result) (float64, bool) {
		if r.Probe == nil {
			return 0, false
		}
		return r.Probe.P99, true
	}},
	{metricResident, func(r *Result) (float64, bool) {
		if r.Memory == nil || r.Slow != nil {
			return 0, false
		}
		return r.Memory.PerConn, r.Memory.PerConn > 0
	}},
	{metricKernel, func(r *Result) (float64, bool) {
		if r.Memory == nil || r.Slow != nil {
			return 0, false
		}
		return r.Memory.KernelPerConn, r.Memory.KernelPerConn > 0
	}},
	{metricGrowth, func(r *Result) (float64, bool) {
		if r.Memory == nil || r.Slow == nil {
			return 0, false
		}
		return float64(r.Memory.After-r.Memory.Before) / 1e6, true
	}},
	{metricConnects, func(r *Result) (float64, bool) {
		if !r.tellsConnects() {
			return 0, false
		}
		return r.Connect.PerSecond, true
	}},
	{metricConnect, func(r *Result) (float64, bool) {
		if !r.tellsConnects() {
			return 0, false
		}
		return r.Connect.ServerMicros, r.Connect.ServerMicros > 0
	}},
	{metricStorm, func(r *Result) (float64, bool) {
		var all []float64
		for _, s := range r.Storms {
			all = append(all, s.Seconds)
		}
		return median(all), len(all) > 0
	}},
	{metricJoin, func(r *Result) (float64, bool) {
		if r.Churn == nil {
			return 0, false
		}
		return r.Churn.Join.P99, true
	}},
}

// tellsConnects: a thousand plain connects take a few hundredths of a second, too short to be a line of each scenario.
func (r *Result) tellsConnects() bool {
	return r.Connect != nil && (r.Idle != nil || r.TLS != nil || r.Column != "")
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

// Column is results that stand below each other: of one server, or of one file.
type Column struct {
	Name    string
	Results []*Result
}

// ByDialect makes one column per dialect, or what else a result names as its column.
func ByDialect(results []*Result) []Column {
	var columns []Column
	for _, r := range results {
		name := cmp.Or(r.Column, r.Options.Dialect)
		i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			i = len(columns)
			columns = append(columns, Column{Name: name})
		}
		columns[i].Results = append(columns[i].Results, r)
	}
	return columns
}

// labels are those of all columns, in order of appearance.
func labels(columns []Column) []string {
	var all []string
	for _, c := range columns {
		for _, r := range c.Results {
			if !slices.Contains(all, r.Label) {
				all = append(all, r.Label)
			}
		}
	}
	return all
}

func (c *Column) labelled(label string) []*Result {
	var all []*Result
	for _, r := range c.Results {
		if r.Label == label {
			all = append(all, r)
		}
	}
	return all
}

// summarize takes the runs that got to their end; a wrong delivery does not make a run's speed disappear.
func (c *Column) summarize(label string, m metric) (summary, bool) {
	var values []float64
	for _, r := range c.labelled(label) {
		if v, ok := m.of(r); ok && r.Error == "" && !r.Interrupted {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return summary{}, false
	}
	return summaryOf(values), true
}

// WriteTable writes medians, with the lowest and the highest of repeated runs, one line per metric and one column per
// server or file. Targets are compared with the first column.
func WriteTable(w io.Writer, columns []Column) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := []string{"", "metric"}
	for _, c := range columns {
		head = append(head, c.Name)
	}
	fmt.Fprintln(t, strings.Join(append(head, "target"), "\t"))
	for _, label := range labels(columns) {
		fmt.Fprintf(t, "%s\t%s\n", label, title(label))
		for _, m := range metrics {
			if cells, ok := tableLine(columns, label, m); ok {
				fmt.Fprintln(t, strings.Join(cells, "\t"))
			}
		}
		for _, c := range columns {
			for _, problem := range c.problems(label) {
				fmt.Fprintf(t, "\t%s: %s\n", c.Name, problem)
			}
		}
	}
	return t.Flush()
}

func tableLine(columns []Column, label string, m metric) (cells []string, any bool) {
	cells = []string{"", m.name}
	target := ""
	for i, c := range columns {
		s, ok := c.summarize(label, m)
		if !ok {
			cells = append(cells, "–")
			continue
		}
		any = true
		cells = append(cells, s.String())
		if bound, has := Targets[label][m.name]; has && i == 0 {
			target = bound.String() + " missed"
			if bound.Met(s.median) {
				target = bound.String() + " met"
			}
		}
	}
	return append(cells, target), any
}

func title(label string) string {
	for _, e := range Standard {
		if e.ID == label {
			return e.Title
		}
	}
	if sc := ScenarioNamed(label); sc != nil {
		return sc.Help
	}
	return ""
}

// problems says what went wrong in the runs of a label, each thing once.
func (c *Column) problems(label string) []string {
	var all []string
	add := func(text string) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, r := range c.labelled(label) {
		if r.Error != "" {
			add("failed: " + r.Error)
		}
		if k := r.Check; !k.Good() {
			add(fmt.Sprintf("wrong: %d lost, %d duplicated, %d out of order, %d astray, %d corrupted, %d refused, %d unanswered of %d",
				k.Lost, k.Duplicated, k.OutOfOrder, k.Astray, k.Corrupted, k.Refused, k.Unanswered, k.Delivered))
		}
		for _, w := range r.Warnings {
			add("warning: " + w)
		}
	}
	return all
}
