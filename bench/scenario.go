package bench

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Scenario is one kind of load.
type Scenario struct {
	Name     string
	Help     string // what it stands for
	defaults func(o *Options)
	plan     func(o *Options) *plan
	phases   func(ctx context.Context, s *session) error
	floor    func(o *Options) []FloorSpec // the first two are what the result is compared to
}

// Scenarios are all scenarios.
var Scenarios = []*Scenario{
	{
		Name: "fanout",
		Help: "One channel with many subscribers: a match ticker, a trading screen, a status page.",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers, o.Saturate = 1000, 1, 1, 16
		},
		plan:   spreadAll,
		phases: connectAndLoad,
		floor:  fanoutFloor,
	},
	{
		Name: "channels",
		Help: "Many channels with few subscribers each: documents, auctions, devices that people follow.",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers, o.Rate = 10_000, 1000, 100, 5000
		},
		plan:   spreadAll,
		phases: connectAndLoad,
		floor:  coldFloor,
	},
	{
		Name: "chat",
		Help: "Every connection publishes to its own small channel and hears what it said: round trips.",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers, o.Saturate = 1000, 1000, 1, 1
		},
		plan:   chatPlan,
		phases: connectAndLoad,
		floor:  echoFloor,
	},
	{
		Name: "broadcast",
		Help: "One message to everybody, again and again: when do the first, the middle and the last have it? Another, small\nchannel is probed meanwhile.",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers, o.Rate, o.ProbeRate = 10_000, 1, 1, 1, 100
		},
		plan:   broadcastPlan,
		phases: broadcast,
		floor:  coldFloor,
	},
	{
		Name: "idle",
		Help: "Connections that are there and hear nothing: memory of the server and of the kernel, and what pings cost.\nIn the end each must still hear one message.",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers = 10_000, 1, 1
		},
		plan:   spreadAll,
		phases: idle,
	},
	{
		Name: "storm",
		Help: "All connections drop and come back at once, as after a restart of a proxy: time until all are subscribed again.\nIn the end each must still hear one message.",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers, o.Rounds = 10_000, 1, 1, 3
		},
		plan:   spreadAll,
		phases: storm,
	},
	{
		Name: "recovery",
		Help: "All subscribers drop, miss some events of a channel that keeps them (-history, -missed), and come back with their\nposition: time until each is subscribed and has what it missed. Without a history they just come back.",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers, o.Rounds = 10_000, 1000, 10, 3
		},
		plan:   spreadAll,
		phases: recovery,
	},
	{
		Name: "slow",
		Help: "A share of the subscribers stops reading after half of the time: what do the others feel, what does the server keep?",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers, o.Rate, o.Stalled, o.Payload = 200, 1, 1, 100, 0.05, 16<<10
		},
		plan:   slowPlan,
		phases: slow,
		floor:  fanoutFloor,
	},
	{
		Name: "churn",
		Help: "Clients come, subscribe, stay a while and leave, steadily, while a channel is under load.",
		defaults: func(o *Options) {
			o.Conns, o.Channels, o.Publishers, o.Rate, o.Churn, o.Hold = 1000, 1, 1, 100, 500, time.Second
		},
		plan:   churnPlan,
		phases: churn,
		floor:  fanoutFloor,
	},
}

// ScenarioNamed returns the scenario of that name, or nil.
func ScenarioNamed(name string) *Scenario {
	for _, sc := range Scenarios {
		if sc.Name == name {
			return sc
		}
	}
	return nil
}

// Defaults are the options that make sense for the scenario.
func (sc *Scenario) Defaults() Options {
	o := DefaultOptions()
	sc.defaults(&o)
	return o
}

func (o *Options) group() group {
	return group{name: "main", rate: o.Rate, inFlight: o.Saturate}
}

func spreadAll(o *Options) *plan {
	return spread(o.group(), o.Conns, o.Channels, o.Publishers).seal()
}

// chatPlan lets every connection publish to the channel that it hears.
func chatPlan(o *Options) *plan {
	p := &plan{groups: []group{o.group()}, channels: int32(o.Channels)}
	for i := range o.Conns {
		p.subscribe(int32(i%o.Channels), 0, steady)
	}
	for c := range o.Channels {
		for i := c; i < o.Conns; i += o.Channels {
			p.publish(int32(c), 0, int32(i))
		}
	}
	return p.seal()
}

const probeSubscribers = 10

func broadcastPlan(o *Options) *plan {
	g := o.group()
	g.arrivals = true
	p := spread(g, o.Conns, 1, 1)
	if o.ProbeRate > 0 {
		p.groups = append(p.groups, group{name: "probe", rate: o.ProbeRate})
		p.channels = 2
		for range probeSubscribers {
			p.subscribe(1, 1, steady)
		}
		p.publish(1, 1, p.subscribe(none, 1, steady))
	}
	return p.seal()
}

func slowPlan(o *Options) *plan {
	p := spreadAll(o)
	n := int(math.Ceil(o.Stalled * float64(o.Conns)))
	for i := range n {
		p.conns[i*o.Conns/n].role = stalled
	}
	return p
}

// churnPlan has as many connections to come and go as are under way at a time, and as many again.
func churnPlan(o *Options) *plan {
	p := spreadAll(o)
	for i := range 2*int(o.Churn*(o.Hold.Seconds()+0.1)) + 1 {
		p.subscribe(int32(i%o.Channels), 0, churner)
	}
	return p.seal()
}

func connectAndLoad(ctx context.Context, s *session) error {
	if err := s.connect(ctx, everyConn); err != nil {
		return err
	}
	return s.loaded(ctx)
}

func broadcast(ctx context.Context, s *session) error {
	if err := connectAndLoad(ctx, s); err != nil {
		return err
	}
	s.res.Rounds = s.rounds()
	if len(s.run.plan.groups) > 1 {
		l := s.latency(1)
		s.res.Probe = &l
	}
	return nil
}

// rounds puts together when the subscribers of all workers got each publish.
func (s *session) rounds() []Round {
	var mu sync.Mutex
	all := make([][]int64, maxRounds)
	s.run.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		for i, a := range w.groups[0].arrivals {
			all[i] = append(all[i], a...)
		}
	})
	var rounds []Round
	for _, a := range all {
		if len(a) == 0 {
			continue
		}
		slices.Sort(a)
		rounds = append(rounds, Round{
			Receivers: len(a), First: float64(a[0]) / 1e6, Median: float64(a[len(a)/2]) / 1e6, Last: float64(a[len(a)-1]) / 1e6,
		})
	}
	return rounds
}

func idle(ctx context.Context, s *session) error {
	before, kernelBefore := s.resident(), s.kernel()
	if err := s.connect(ctx, everyConn); err != nil {
		return err
	}
	s.enter("settle")
	if err := s.run.rest(ctx, s.opts.Warmup); err != nil {
		return err
	}
	s.remember(before, kernelBefore)

	s.enter("hold")
	cpu, pings, start := s.serverCPU(), s.pings(), time.Now()
	err := s.run.rest(ctx, s.opts.Duration)
	took := time.Since(start).Seconds()
	s.res.Idle = &Idle{
		Seconds: took, Pings: s.pings() - pings, ServerBusy: (s.serverCPU() - cpu).Seconds() / took, AfterHold: s.resident(),
	}
	if err != nil {
		return err
	}
	return s.roundOfAll(ctx)
}

// roundOfAll shows that everybody still hears.
func (s *session) roundOfAll(ctx context.Context) error {
	s.run.publishOnce()
	return s.drain(ctx)
}

func (s *session) remember(before, kernelBefore int64) {
	n := float64(len(s.run.plan.conns))
	after := s.resident()
	s.res.Memory = &Memory{
		Before: before, After: after, PerConn: float64(after-before) / n, KernelPerConn: float64(s.kernel()-kernelBefore) / n,
	}
}

func (s *session) resident() int64 {
	if s.pid == 0 {
		return 0
	}
	n, err := residentBytes(s.pid)
	if err != nil {
		return 0 // it has ended, which the run finds out by itself
	}
	return n
}

func (s *session) kernel() int64 {
	n, err := kernelBytes()
	if err != nil {
		return 0
	}
	return n
}

func (s *session) pings() int64 {
	var mu sync.Mutex
	var n int64
	s.run.call(func(w *worker) {
		mu.Lock()
		n += w.pings
		mu.Unlock()
	})
	return n
}

func storm(ctx context.Context, s *session) error {
	if err := s.connect(ctx, everyConn); err != nil {
		return err
	}
	for range s.opts.Rounds {
		s.enter("storm")
		if err := s.run.rest(ctx, s.opts.Warmup); err != nil {
			return err
		}
		cpu, start := s.serverCPU(), time.Now()
		s.run.call(func(w *worker) {
			for i := range w.conns {
				w.shut(&w.conns[i])
			}
		})
		if err := s.run.open(ctx, everyConn); err != nil {
			return err
		}
		took, n := time.Since(start).Seconds(), len(s.run.plan.conns)
		s.res.Storms = append(s.res.Storms, Storm{
			Seconds: took, PerSecond: float64(n) / took, ServerMicros: micros(s.serverCPU()-cpu, int64(n)),
		})
	}
	return s.roundOfAll(ctx)
}

func slow(ctx context.Context, s *session) error {
	if err := s.connect(ctx, everyConn); err != nil {
		return err
	}
	s.before = s.intake()
	s.run.load()
	s.enter("all read")
	if err := s.run.rest(ctx, s.opts.Warmup); err != nil {
		return err
	}
	s.run.measureFrom()
	err := s.run.rest(ctx, s.opts.Duration/2)
	s.run.measureTo()
	if err != nil {
		return err
	}
	s.res.Slow = &Slow{Before: s.latency(0)}
	s.run.call(func(w *worker) {
		w.groups[0].latency.all.Reset()
		w.stall()
	})
	before := s.resident()
	if err := s.measure(ctx); err != nil {
		return err
	}
	after := s.resident()
	s.res.Memory = &Memory{Before: before, After: after}
	if err := s.drain(ctx); err != nil {
		return err
	}
	return s.resume(ctx)
}

// stall stops to read from those connections that are there for it.
func (w *worker) stall() {
	for i := range w.conns {
		if c := &w.conns[i]; c.role == stalled && c.state == connReady {
			// It fails only for a socket that is not in the set.
			_ = unix.EpollCtl(w.ep, unix.EPOLL_CTL_DEL, c.fd, nil)
		}
	}
}

// resume reads again: only then does a reader find out that the server has given it up. What it gets until then must
// be in order like all else.
func (s *session) resume(ctx context.Context) error {
	s.enter("resume")
	var sum sync.Mutex
	count := func(n *int, is func(*conn) bool) {
		s.run.call(func(w *worker) {
			for i := range w.conns {
				if c := &w.conns[i]; c.role == stalled && is(c) {
					sum.Lock()
					*n++
					sum.Unlock()
				}
			}
		})
	}
	s.run.call(func(w *worker) {
		for i := range w.conns {
			if c := &w.conns[i]; c.role == stalled && c.state == connReady {
				ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.local, Pad: c.gen}
				if err := unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
					w.fail(err)
				}
			}
		}
	})
	err := s.run.rest(ctx, time.Second)
	count(&s.res.Slow.Stalled, func(*conn) bool { return true })
	count(&s.res.Slow.Disconnected, func(c *conn) bool { return c.state == connIdle })
	return err
}

func churn(ctx context.Context, s *session) error {
	if err := s.connect(ctx, func(c connPlan) bool { return c.role != churner }); err != nil {
		return err
	}
	s.run.startChurn()
	err := s.loaded(ctx)
	h := s.joins()
	s.res.Churn = &Churn{Joins: h.TotalCount(), Join: summarize(h)}
	return err
}

func (r *run) startChurn() {
	var all float64
	for _, c := range r.plan.conns {
		if c.role == churner {
			all++
		}
	}
	start := r.clock()
	r.call(func(w *worker) {
		for i := range w.conns {
			if w.conns[i].role == churner {
				w.idle = append(w.idle, int32(i))
			}
		}
		w.churn = newSchedule(start, r.opts.Churn*float64(len(w.idle))/all)
	})
}
