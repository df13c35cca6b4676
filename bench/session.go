package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// session is one run from the outside: a server, the workers, and what is found out.
type session struct {
	opts   Options
	run    *run
	server *server   // nil: the target was not started by us
	others []*server // nodes beside it; none: it is alone
	broker *server   // what is between them; nil: nothing
	pid    int       // of the server; 0: unknown
	res    *Result
	before intake // when the load began
	watch  func(Progress)
	phase  string
	mu     sync.Mutex // of phase
}

// Progress is shown while a run goes on.
type Progress struct {
	Phase     string
	Ready     int     // connections that are set up
	Conns     int     // that there will be
	Delivered int64   // so far
	Bad       int64   // deliveries that were wrong, so far
	P99       float64 // milliseconds, in the last second
}

// Run does one run of a scenario. The result is there even if an error is, as far as the run got. watch, which may be
// nil, is called twice per second.
//
// The error wraps ErrUsage if the options are bad. A result that is not Good is not an error.
func Run(ctx context.Context, sc *Scenario, opts Options, watch func(Progress)) (*Result, error) {
	res := &Result{Label: sc.Name, Scenario: sc.Name, Started: time.Now().UTC(), Machine: ThisMachine()}
	if err := opts.check(); err != nil {
		return nil, err
	}
	d, err := DialectNamed(opts.Dialect)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if opts.ServerPID != 0 {
		if _, err := cpuTime(opts.ServerPID); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUsage, err)
		}
	}
	if strings.HasPrefix(opts.Target, "wss:") {
		opts.TLS = true
	}
	if _, ok := d.(tlsDialect); opts.TLS && opts.Target == "" && !ok {
		return nil, fmt.Errorf("%w: a server for dialect %s is started without TLS only", ErrUsage, d.Name())
	}
	if _, ok := d.(historyDialect); opts.History > 0 && !ok {
		return nil, fmt.Errorf("%w: with dialect %s there is no history", ErrUsage, d.Name())
	}
	if err := opts.checkNodes(sc, d); err != nil {
		return nil, err
	}
	res.Options = opts
	if sc.Name == "chat" && !d.Acks() {
		res.Lacks = "it does not acknowledge publishes: a round trip is the delivery alone"
	}
	s := &session{opts: opts, res: res, pid: opts.ServerPID, watch: watch}
	err = s.whole(ctx, sc, d)
	if errors.Is(err, context.Canceled) {
		res.Interrupted, err = true, nil
	}
	if err != nil {
		res.Error = err.Error()
	}
	return res, err
}

func (s *session) whole(ctx context.Context, sc *Scenario, d Dialect) error {
	p := sc.plan(&s.opts)
	if _, ok := d.(pathDialect); ok || greets(d) {
		p.onePurposeEach()
	}
	if err := raiseFileLimit(len(p.conns)); err != nil {
		return err
	}
	err := s.against(ctx, sc, d, p)
	if err != nil || ctx.Err() != nil || s.opts.NoFloor || sc.floor == nil || s.res.Load == nil {
		return err
	}
	s.enter("floor")
	for _, spec := range sc.floor(&s.opts) {
		spec.Bytes = s.res.Load.BytesPerDelivery
		f, err := measureFloor(ctx, &s.opts, spec)
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		s.res.Floor = append(s.res.Floor, *f)
	}
	if len(s.res.Floor) > 0 && s.res.Load.ServerMicros > 0 {
		s.res.Ratio = s.res.Load.ServerMicros / s.res.Floor[0].MicrosPerMessage
		if u := s.res.uringFloor(); u > 0 {
			s.res.UringRatio = s.res.Load.ServerMicros / u
		}
	}
	return nil
}

// against runs the scenario against the server and closes everything that belongs to it.
func (s *session) against(ctx context.Context, sc *Scenario, d Dialect, p *plan) (err error) {
	defer s.stopAll()
	target, err := s.reach(ctx, d)
	if err != nil {
		return err
	}
	s.run, err = newRun(&s.opts, d, target, p)
	if err != nil {
		return err
	}
	defer s.run.close()
	defer s.showProgress()()

	err = sc.phases(ctx, s)
	if ctx.Err() != nil {
		s.drainInterrupted(ctx)
	}
	s.finish()
	if s.server != nil && err != nil {
		if ended := s.server.ended(); ended != nil {
			return ended
		}
	}
	return err
}

// reach finds the target, or starts a server.
func (s *session) reach(ctx context.Context, d Dialect) (*url.URL, error) {
	if s.opts.Target != "" {
		return parseTarget(s.opts.Target, s.opts.Owned)
	}
	s.enter("start server")
	var first *server
	var err error
	if s.opts.Nodes == meshNodes {
		if err := s.startMesh(ctx, d); err != nil {
			return nil, err
		}
		first = s.others[0]
	} else {
		if s.opts.Nodes == 2 {
			if err := s.startBeside(ctx, d); err != nil {
				return nil, err
			}
		}
		if s.server, err = startServer(ctx, &s.opts, d); err != nil {
			return nil, err
		}
		first, s.pid = s.server, s.server.cmd.Process.Pid
	}
	s.res.Server = append([]string{filepath.Base(first.args[0])}, first.args[1:]...) // without this machine's folders
	at, _ := d.Handshake()
	path, query, _ := strings.Cut(at, "?")
	target := &url.URL{Scheme: "ws", Host: first.addr, Path: path, RawQuery: query}
	if s.opts.TLS {
		s.opts.CA, target.Scheme = s.server.pair.cert, "wss"
	}
	return target, nil
}

func (s *session) enter(phase string) {
	s.mu.Lock()
	s.phase = phase
	s.mu.Unlock()
}

// showProgress calls watch until the function that it returns is called.
func (s *session) showProgress() (stop func()) {
	if s.watch == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
				s.watch(s.progress())
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

func (s *session) progress() Progress {
	s.mu.Lock()
	p := Progress{Phase: s.phase, Ready: s.run.ready(), Conns: len(s.run.plan.conns)}
	s.mu.Unlock()
	for _, w := range s.run.workers {
		p.Delivered += w.tally.delivered.Load()
		p.Bad += w.tally.bad.Load()
		p.P99 = max(p.P99, float64(w.tally.p99.Load())/1e6)
	}
	return p
}

// connect sets up the connections for which want is true and notes how that went.
func (s *session) connect(ctx context.Context, want func(connPlan) bool) error {
	s.enter("connect")
	runtime.GC() // the plan is made; what follows hardly allocates
	before, own, start, have := s.serverCPU(), ownCPUTime(), time.Now(), s.run.ready()
	if err := s.run.open(ctx, want); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	n := s.run.ready() - have
	joins := s.joins()
	s.res.Connect = &Connects{
		Count: n, Seconds: took, PerSecond: float64(n) / took, SetUpP99: summarize(joins).P99,
		ServerMicros: micros(s.serverCPU()-before, int64(n)), GeneratorMicros: micros(ownCPUTime()-own, int64(n)),
		SourceAddress: max(len(s.run.sources), 1),
	}
	return nil
}

func everyConn(connPlan) bool { return true }

// loaded is the main part of most scenarios: load, warm up, measure, drain.
func (s *session) loaded(ctx context.Context) error {
	s.before = s.intake()
	s.enter("warm up")
	s.run.load()
	if err := s.run.rest(ctx, s.opts.Warmup); err != nil {
		return err
	}
	if err := s.measure(ctx); err != nil {
		return err
	}
	return s.drain(ctx)
}

func (s *session) drain(ctx context.Context) error {
	s.enter("drain")
	return s.run.unload(ctx)
}

// drainInterrupted waits for what is under way in a run that was interrupted, in whatever phase: what it has counted
// so far deserves to be right, too.
func (s *session) drainInterrupted(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Drain)
	defer cancel()
	_ = s.drain(ctx) // what has not come by then is in the check
}

// snapshot is the state of all counters at one time.
type snapshot struct {
	at                time.Time
	server, own       time.Duration // CPU
	other, broker     time.Duration
	threads           time.Duration
	worked, stolen    time.Duration // of the machine
	dropped           int64
	counts            counts // of the first group
	all, reads, bytes int64
}

func (s *session) snapshot() snapshot {
	var mu sync.Mutex
	n := snapshot{at: time.Now(), server: s.serverCPU(), own: ownCPUTime(), dropped: backlogDrops()}
	n.other, n.broker = s.besideCPU()
	n.worked, n.stolen = machineTime()
	s.run.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		n.threads += threadCPUTime()
		n.counts.deliveries += w.groups[0].counts.deliveries
		n.counts.publishes += w.groups[0].counts.publishes
		for i := range w.groups {
			n.all += w.groups[i].counts.deliveries
		}
		n.reads += w.reads
		n.bytes += w.bytes
	})
	return n
}

// measure is the window that counts. If it is cut short, what it has counts all the same.
func (s *session) measure(ctx context.Context) error {
	s.enter("measure")
	s.run.measureFrom()
	a := s.snapshot()
	err := s.run.restUntil(ctx, s.opts.Duration, s.run.exhausted)
	b := s.snapshot()
	s.run.measureTo()
	s.res.Load = s.between(a, b)
	return err
}

func (s *session) between(a, b snapshot) *Load {
	took := b.at.Sub(a.at).Seconds()
	l := &Load{
		Seconds: took, Publishes: b.counts.publishes - a.counts.publishes, Deliveries: b.counts.deliveries - a.counts.deliveries,
		ServerBusy: (b.server - a.server).Seconds() / took, Stolen: (b.stolen - a.stolen).Seconds() / took,
		GeneratorBusy: (b.threads - a.threads).Seconds() / took / float64(len(s.run.workers)),
	}
	l.DeliveriesPerSecond = float64(l.Deliveries) / took
	l.Dropped = b.dropped - a.dropped
	if s.pid != 0 || len(s.others) > 0 {
		l.Others = max((b.worked-a.worked-(b.server-a.server)-(b.own-a.own)-(b.other-a.other)-(b.broker-a.broker)).Seconds()/took, 0)
	}
	l.OtherMicros, l.BrokerMicros = micros(b.other-a.other, l.Publishes), micros(b.broker-a.broker, l.Publishes)
	all := b.all - a.all
	l.ServerMicros = micros(b.server-a.server, all)
	l.GeneratorMicros = micros(b.own-a.own, all)
	if all > 0 {
		l.PerRead = float64(all) / float64(max(b.reads-a.reads, 1))
		l.BytesPerDelivery = int((b.bytes - a.bytes + all/2) / all)
	}
	return l
}

func micros(d time.Duration, n int64) float64 {
	if n == 0 {
		return 0
	}
	return float64(d.Nanoseconds()) / 1e3 / float64(n)
}

func (s *session) serverCPU() time.Duration {
	if s.pid == 0 {
		return 0
	}
	d, err := cpuTime(s.pid)
	if err != nil {
		return 0 // it has ended, which the run finds out by itself
	}
	return d
}

// intake is what the steady subscribers have received.
type intake struct{ messages, segments int64 }

func (s *session) intake() intake {
	var mu sync.Mutex
	var total intake
	s.run.call(func(w *worker) {
		var n int64
		for i := range w.conns {
			if c := &w.conns[i]; c.state == connReady && c.streams > 0 && c.role == steady {
				n += segmentsIn(c.fd)
			}
		}
		mu.Lock()
		total.segments += n
		total.messages += w.toSteady
		mu.Unlock()
	})
	return total
}

func (s *session) joins() *hdrhistogram.Histogram {
	h := newHistogram()
	var mu sync.Mutex
	s.run.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		h.Merge(w.joins.all)
		w.joins.all.Reset()
	})
	return h
}

// latency merges what the workers recorded of a group.
func (s *session) latency(group int) Latency {
	h := newHistogram()
	var mu sync.Mutex
	s.run.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		h.Merge(w.groups[group].latency.all)
	})
	return summarize(h)
}

// ackLatency merges how long the answers to publishes took.
func (s *session) ackLatency() Latency {
	h := newHistogram()
	var mu sync.Mutex
	s.run.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		h.Merge(w.answers.all)
	})
	return summarize(h)
}

// seconds adds up the workers' seconds. The percentiles are those of the worst worker.
func (s *session) seconds() []Second {
	var all []Second
	var mu sync.Mutex
	s.run.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		for i, sec := range w.groups[0].seconds {
			if i == len(all) {
				all = append(all, Second{})
			}
			all[i].Deliveries += sec.Deliveries
			all[i].P50 = max(all[i].P50, sec.P50)
			all[i].P99 = max(all[i].P99, sec.P99)
			all[i].Max = max(all[i].Max, sec.Max)
		}
	})
	return all
}

// finish collects what every scenario reports.
func (s *session) finish() {
	res := s.res
	res.Check, res.Published = s.run.check(), s.run.publishes()
	if res.Load != nil {
		l := s.latency(0)
		res.Latency, res.Seconds = &l, s.seconds()
		if s.run.timesAcks {
			res.Acks = new(s.ackLatency())
		}
		res.Seconds = res.Seconds[:min(len(res.Seconds), int(res.Load.Seconds))]
		s.perWrite()
		s.warn()
	}
	res.TLS = s.agreed()
	res.Refusals = s.refusals()
}

// refusals adds up what servers refused. It returns nil if that was nothing.
func (s *session) refusals() map[string]int64 {
	var mu sync.Mutex
	var total map[string]int64
	s.run.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		for text, n := range w.refusals {
			if total == nil {
				total = map[string]int64{}
			}
			total[text] += n
		}
	})
	return total
}

// agreed adds up the TLS handshakes of the workers. It returns nil if there were none.
func (s *session) agreed() *TLS {
	var mu sync.Mutex
	var total TLS
	s.run.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		total.Handshakes += w.handshakes
		total.Agreed = cmp.Or(total.Agreed, w.agreed)
	})
	if total.Handshakes == 0 {
		return nil
	}
	return &total
}

// perWrite compares the messages to subscribers since the load began with the segments that brought them.
func (s *session) perWrite() {
	now := s.intake()
	if segments := now.segments - s.before.segments; segments > 0 && s.before.segments > 0 {
		s.res.Load.PerWrite = float64(now.messages-s.before.messages) / float64(segments)
	}
}

// Thresholds of the warnings.
const (
	busy       = 0.92
	stealLimit = 0.05

	// Accounting by ticks and the kernel's own threads make up some of it.
	othersLimit = 0.15
)

func (s *session) warn() {
	l := s.res.Load
	serverCPUs := float64(max(min(len(s.opts.ServerCPUs), s.opts.Loops), 1))
	if l.GeneratorBusy > busy && l.ServerBusy < busy*serverCPUs {
		s.res.Warnings = append(s.res.Warnings,
			fmt.Sprintf("the generator was the bottleneck (%.0f %% busy, server %.0f %%): rates are its limit, CPU per delivery still holds",
				100*l.GeneratorBusy, 100*l.ServerBusy))
	}
	if l.Stolen > stealLimit {
		s.res.Warnings = append(s.res.Warnings, fmt.Sprintf("the machine lost %.2f CPUs to its host", l.Stolen))
	}
	if l.Others > othersLimit {
		s.res.Warnings = append(s.res.Warnings, fmt.Sprintf("other processes used %.2f CPUs: rates and latencies are theirs, too", l.Others))
	}
	if l.Dropped > 0 {
		s.res.Warnings = append(s.res.Warnings, fmt.Sprintf(
			"the kernel dropped %d packets of loopback: the highest latencies are its own; raise net.core.netdev_max_backlog", l.Dropped))
	}
	if slices.Equal(s.opts.CPUs, s.opts.ServerCPUs) && len(s.opts.CPUs) > 0 && s.server != nil {
		s.res.Warnings = append(s.res.Warnings, "generator and server share their CPUs")
	}
}
