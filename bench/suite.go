package bench

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// Entry is a line of the standard set: a scenario with fixed options.
type Entry struct {
	ID       string
	Title    string
	Scenario string
	set      func(o *Options)
}

// Standard is the standard set. README.md says what each entry stands for.
var Standard = []Entry{
	{"S1", "fan-out, 1,000 subscribers, 16 publishes in flight", "fanout", func(o *Options) { o.Saturate = 16 }},
	{"S1h", "S1 with a history", "fanout", func(o *Options) { o.Saturate = 16; o.keep() }},
	{"S1w", "fan-out, 1,000 subscribers, 256 publishes in flight", "fanout", func(o *Options) { o.Saturate = 256 }},
	{"S1b", "fan-out, 1,000 subscribers, 1 publish in flight", "fanout", func(o *Options) { o.Saturate = 1 }},
	{"S1t", "S1 over TLS", "fanout", func(o *Options) { o.Saturate, o.TLS = 16, true }},
	{"S2", "fan-out, 1,000 subscribers, 100 publishes/s", "fanout", func(o *Options) { o.Saturate, o.Rate = 0, 100 }},
	{"S3", "10,000 connections, 1,000 channels, 100 publishers, 5,000 publishes/s", "channels", func(*Options) {}},
	{"S3h", "S3 with a history", "channels", (*Options).keep},
	{"S4", "1,000 connections, each alone in its channel, 1 in flight each", "chat", func(*Options) {}},
	{"S4h", "S4 with a history", "chat", (*Options).keep},
	{"S5", "19,000 idle connections, one channel", "idle", func(o *Options) { o.Conns = 19_000 }},
	{"S5c", "19,000 idle connections, 1,000 channels", "idle", func(o *Options) { o.Conns, o.Channels = 19_000, 1000 }},
	{"S5t", "S5 over TLS", "idle", func(o *Options) { o.Conns, o.TLS = 19_000, true }},
	{"S6", "one message to 19,000, once per second", "broadcast", func(o *Options) { o.Conns = 19_000 }},
	{"S7", "18,000 clients of 1,000 channels come back", "recovery", func(o *Options) { o.Conns = 18_000 }},
	{"S7h", "S7, and each gets the 10 events that it missed", "recovery", func(o *Options) { o.Conns, o.Missed = 18_000, 10; o.keep() }},
}

// Clustered is the set for two nodes. README.md says what each entry stands for.
var Clustered = []Entry{
	{"N1", "two nodes: S1 at the other node than the publisher's", "fanout", func(o *Options) { o.Nodes, o.Saturate = 2, 16 }},
	{"N1h", "N1 with a history", "fanout", func(o *Options) { o.Nodes, o.Saturate = 2, 16; o.keep() }},
	{"N1b", "two nodes: N1 with 1 publish in flight", "fanout", func(o *Options) { o.Nodes, o.Saturate = 2, 1 }},
	{"N2", "two nodes: 10 subscribers, 1,000 publishes/s, at the other node", "fanout", (*Options).steady},
	{"N2h", "N2 with a history", "fanout", func(o *Options) { o.steady(); o.keep() }},
	{"N2n", "two nodes: N2, at the publisher's own node", "fanout", func(o *Options) { o.steady(); o.Near = true }},
	{"N3", "two nodes: S3, at the other node", "channels", func(o *Options) { o.Nodes = 2 }},
	{"N3h", "N3 with a history", "channels", func(o *Options) { o.Nodes = 2; o.keep() }},
	{"N4", "three nodes that store all: 10,000 publishes/s, each heard at another node", "channels", func(o *Options) { o.stored(); o.Rate = 10_000 }},
	{"N5", "three nodes that store all: as much as they can", "channels", func(o *Options) { o.stored(); o.Rate, o.Saturate = 0, 64 }},
}

// steady is a load for latencies at the other of two nodes.
func (o *Options) steady() { o.Nodes, o.Conns, o.Saturate, o.Rate = 2, 10, 0, 1000 }

// stored is a load for three nodes that store each event together, with a subscriber for each publisher.
func (o *Options) stored() {
	o.Nodes, o.Conns, o.Channels, o.Publishers = meshNodes, 30, 30, 30
	o.keep()
}

// keep makes the server keep the last events of each channel. The floor is that of the entry without.
func (o *Options) keep() { o.History, o.NoFloor = 100, true }

// plain is the ID of the entry with the same load without a history; "": this has none.
func (e *Entry) plain() string {
	id, with := strings.CutSuffix(e.ID, "h")
	if !with {
		return ""
	}
	return id
}

// Bound is what a metric of an entry should reach.
type Bound struct {
	Value   float64
	AtLeast bool
}

func atLeast(v float64) Bound { return Bound{v, true} }
func atMost(v float64) Bound  { return Bound{v, false} }

// Met reports whether v keeps the bound.
func (b Bound) Met(v float64) bool { return v >= b.Value == b.AtLeast || v == b.Value }

func (b Bound) String() string {
	if b.AtLeast {
		return "≥ " + short(b.Value)
	}
	return "≤ " + short(b.Value)
}

// Targets of Rocket on one core, with the generator on another. Figures depend on the machine, ratios to the floor less.
var Targets = map[string]map[string]Bound{
	"N4":  {metricAckP50: atMost(1.5), metricAckP99: atMost(10)},
	"N5":  {metricRate: atLeast(100e3)},
	"S1h": {metricPlain: atMost(1.1)},
	"S3h": {metricPlain: atMost(1.1)},
	"S4h": {metricPlain: atMost(1.1)},
	"S1":  {metricRate: atLeast(4.5e6), metricServer: atMost(0.20)},
	"S1w": {metricServer: atMost(0.10)},
	"S1t": {metricServer: atMost(0.30)},
	"S1b": {metricRatio: atMost(1.12)},
	"S2":  {metricRatio: atMost(1.12), metricP99: atMost(5)},
	"S3":  {metricServer: atMost(7.0), metricP99: atMost(3.5)},
	"S4":  {metricRate: atLeast(225e3), metricServer: atMost(4.3)},
	"S5":  {metricResident: atMost(1024), metricConnects: atLeast(40e3), metricConnect: atMost(20)},
	"S5c": {metricResident: atMost(1024), metricConnects: atLeast(40e3), metricConnect: atMost(20)},
	"S5t": {metricResident: atMost(8 << 10), metricConnect: atMost(400)},
	"S6":  {metricLast: atMost(120), metricServer: atMost(6.3), metricProbe: atMost(5)},
}

// SuiteOptions say how to run a set.
type SuiteOptions struct {
	Set      []Entry  // if nil, Standard
	Base     Options  // CPUs, threads; what an entry sets counts more
	Only     []string // IDs; all if empty
	Sides    []Side   // at least one
	Repeat   int
	Warmup   time.Duration
	Duration time.Duration
}

// Side is a server that a set is run for.
type Side struct {
	Column     string // of the table; empty: the dialect
	Dialect    string
	Server     string // program; empty: look for it
	ServerArgs string
}

// RunSuite runs the entries in turn, each as often as asked, the sides one after the other within each repetition, so
// that all of them see the same load of the machine. An entry that a server cannot run has one result that says why. The
// results of the first side are compared with those of the others. done, which may be nil, is told each result.
//
// A run that fails leaves its error in its result; the others follow. RunSuite itself fails only for bad options and
// for servers that do not start.
func RunSuite(ctx context.Context, so SuiteOptions, watch func(label string, p Progress), done func(*Result)) ([]*Result, error) {
	var results []*Result
	defer func() {
		compareToPlain(results)
		compareToPeers(results, cmp.Or(so.Sides[0].Column, so.Sides[0].Dialect))
	}()
	for _, t := range so.turns() {
		select {
		case <-ctx.Done():
			return results, nil
		default:
		}
		res, err := t.entry.run(ctx, so, t.side, t.first, watch)
		if errors.Is(err, ErrUsage) || errors.Is(err, errNoServer) {
			return results, err
		}
		results = append(results, res)
		if done != nil {
			done(res)
		}
	}
	return results, nil
}

// turn is one run of a set.
type turn struct {
	entry *Entry
	side  Side
	first bool // of this entry and side
}

// turns are all runs in their order.
func (so *SuiteOptions) turns() (turns []turn) {
	for _, group := range so.groups() {
		for i := range so.Repeat {
			for _, side := range so.Sides {
				for _, e := range group {
					if i == 0 || e.unable(side.Dialect) == "" {
						turns = append(turns, turn{e, side, i == 0})
					}
				}
			}
		}
	}
	return turns
}

// groups are the entries that are asked for. One with a history is in the group of the one without.
func (so *SuiteOptions) groups() (groups [][]*Entry) {
	set := so.Set
	if set == nil {
		set = Standard
	}
	for i := range set {
		e := &set[i]
		if len(so.Only) > 0 && !slices.Contains(so.Only, e.ID) {
			continue
		}
		if last := len(groups) - 1; last >= 0 && e.plain() == groups[last][0].ID {
			groups[last] = append(groups[last], e)
			continue
		}
		groups = append(groups, []*Entry{e})
	}
	return groups
}

// unable says why a server of this dialect cannot be started as the entry needs it. One that is unknown fails later.
func (e *Entry) unable(dialect string) string {
	var o Options
	e.set(&o)
	d, err := DialectNamed(dialect)
	if _, secure := d.(tlsDialect); err == nil && o.TLS && !secure {
		return "it is started without TLS only"
	}
	if err == nil && o.Nodes > 1 {
		if why := unableNodes(d, &o); why != "" {
			return why
		}
	}
	if _, keeps := d.(historyDialect); err == nil && o.History > 0 && !keeps {
		return "it is started without a history only"
	}
	return ""
}

// run measures the whole floor only the first time, and then just the part that the result is compared to.
func (e *Entry) run(ctx context.Context, so SuiteOptions, side Side, first bool, watch func(string, Progress)) (*Result, error) {
	sc := ScenarioNamed(e.Scenario)
	opts := so.Base
	sc.defaults(&opts)
	e.set(&opts)
	opts.Dialect, opts.Server, opts.ServerArgs = side.Dialect, side.Server, side.ServerArgs
	opts.Warmup, opts.Duration = so.Warmup, so.Duration
	if !first {
		sc = sc.withFirstFloor()
	}
	if why := e.unable(side.Dialect); why != "" {
		return &Result{
			Label: e.ID, Column: side.Column, Scenario: e.Scenario, Options: opts, Started: time.Now().UTC(), Machine: ThisMachine(), NotRun: why,
		}, nil
	}
	label := e.ID + " " + cmp.Or(side.Column, side.Dialect)
	res, err := Run(ctx, sc, opts, func(p Progress) {
		if watch != nil {
			watch(label, p)
		}
	})
	if res != nil {
		res.Label, res.Column = e.ID, side.Column
	}
	return res, err
}
