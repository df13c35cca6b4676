package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// NodesOptions say how many connections to open to a cluster on this machine. DefaultNodes are the place to start from.
type NodesOptions struct {
	Nodes  int           `json:"nodes"`
	Conns  int           `json:"conns"`  // of each node
	Hold   time.Duration `json:"hold"`   // how long all of them are there before the first publish
	Rounds int           `json:"rounds"` // publishes to all, each at another node
	Within time.Duration `json:"within"` // in which all must have heard an event
	Limit  time.Duration `json:"limit"`  // of the whole run
	Spare  int64         `json:"spare"`  // bytes of the machine's memory that stay free: no more connections are opened then

	Server     string `json:"server,omitempty"` // program of a node; empty: look for it
	ServerArgs string `json:"serverArgs,omitempty"`
	NATS       string `json:"nats,omitempty"` // program of the server that all nodes use; empty: each has one inside
}

// DefaultNodes are a few nodes with few connections.
func DefaultNodes() NodesOptions {
	return NodesOptions{Nodes: 3, Conns: 2000, Hold: 5 * time.Second, Rounds: 3, Within: 2 * time.Minute, Limit: 20 * time.Minute, Spare: 1 << 30}
}

func (o *NodesOptions) check() error {
	switch {
	case o.Nodes < 2 || o.Nodes > 1000:
		return fmt.Errorf("%w: -nodes must be 2 to 1000", ErrUsage)
	case o.Conns < 1 || o.Conns > maxConns:
		return fmt.Errorf("%w: -conns must be 1 to %d", ErrUsage, maxConns)
	case o.Rounds < 1 || o.Rounds >= maxRounds:
		return fmt.Errorf("%w: -rounds must be 1 to %d", ErrUsage, maxRounds-1)
	case o.Hold < 0 || o.Within <= 0 || o.Limit <= 0 || o.Spare < 0 || max(o.Hold, o.Within, o.Limit) > maxDuration:
		return fmt.Errorf("%w: -hold, -within and -limit must be positive and at most %v, and -spare not negative", ErrUsage, maxDuration)
	}
	return nil
}

// NodesResult is what is known of a cluster with many connections.
type NodesResult struct {
	Options NodesOptions `json:"options"`
	Started time.Time    `json:"started"`
	Machine Machine      `json:"machine"`
	Server  []string     `json:"server"` // command line of the first node

	Connections     int     `json:"connections"` // open and subscribed at the same time, after the hold
	Short           string  `json:"short"`       // why there are fewer than was asked for
	ConnectSeconds  float64 `json:"connectSeconds"`
	NodeMicros      float64 `json:"nodeMicrosPerConnect"`
	HeldSeconds     float64 `json:"heldSeconds"`
	HeldPings       int64   `json:"heldPings"`
	HeldNodesBusy   float64 `json:"heldNodesBusy"`   // CPUs' worth
	HeldClientsBusy float64 `json:"heldClientsBusy"` // CPUs' worth
	HeldNATSBusy    float64 `json:"heldNATSBusy"`    // CPUs' worth

	Before Footprint   `json:"before"` // nodes and clients run; there are no connections
	After  Footprint   `json:"after"`  // all are there
	Rounds []NodeRound `json:"rounds"`
	Check  Check       `json:"check"`
	Error  string      `json:"error,omitempty"`
}

// NodeRound is one publish to all, in milliseconds from when it was due.
type NodeRound struct {
	Node      int     `json:"node"` // at which it was published, from 0
	Receivers int     `json:"receivers"`
	First     float64 `json:"first"`
	Median    float64 `json:"median"` // of the nodes' medians
	Last      float64 `json:"last"`
	PeakTCP   int64   `json:"peakTCP"` // bytes under way that the kernel held, at most
	Seconds   float64 `json:"cpuSeconds"`
}

// Good reports whether each connection heard each event once.
func (r *NodesResult) Good() bool { return r.Error == "" && r.Check.Good() }

// Footprint is where the machine's memory is, in bytes.
type Footprint struct {
	Nodes   int64 `json:"nodes"` // of all nodes' processes; pages that several share count once
	Clients int64 `json:"clients"`
	NATS    int64 `json:"nats"`
	Slab    int64 `json:"slab"`   // the kernel's objects: sockets, files
	TCP     int64 `json:"tcp"`    // bytes under way
	Tables  int64 `json:"tables"` // page tables, stacks of threads
	Used    int64 `json:"used"`   // of the machine: what is not available
	Node    int64 `json:"node"`   // resident in the first node's process, with what it shares
	Client  int64 `json:"client"` // and in that of its clients
}

// A mesh is a cluster on this machine, with its clients.
type mesh struct {
	o      NodesOptions
	res    *NodesResult
	notes  io.Writer
	began  time.Time
	broker *server // nil: each node has its own inside
	nodes  []*server
	admins []string
	swarms []*swarm
}

// RunNodes starts a cluster, opens the connections, holds them, publishes to all of them, and checks what each hears.
// The result is there even if an error is, as far as it got. notes are told how far it is.
func RunNodes(ctx context.Context, o NodesOptions, notes io.Writer) (*NodesResult, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	m := &mesh{o: o, res: &NodesResult{Options: o, Started: time.Now().UTC(), Machine: ThisMachine()}, notes: notes, began: time.Now()}
	defer m.end()
	err := m.whole(ctx)
	if err != nil {
		m.res.Error = err.Error()
	}
	return m.res, err
}

func (m *mesh) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.o.Limit, fmt.Errorf("the run took longer than %v", m.o.Limit))
	defer cancel()
	for _, phase := range []func(context.Context) error{m.startBroker, m.startNodes, m.meet, m.startSwarms, m.connect, m.hold, m.publish} {
		if err := phase(ctx); err != nil {
			return cmp.Or(context.Cause(ctx), err) // what ended is the consequence
		}
	}
	return nil
}

func (m *mesh) notef(format string, args ...any) {
	fmt.Fprintf(m.notes, "%6.1fs  %s\n", time.Since(m.began).Seconds(), fmt.Sprintf(format, args...))
}

// startBroker starts the server of NATS that all nodes use, if there is to be one.
func (m *mesh) startBroker(ctx context.Context) error {
	if m.o.NATS == "" {
		return nil
	}
	b, err := newBetween(natsBetween, m.o.NATS)
	if err != nil {
		return err
	}
	if err := b.start(ctx, nil); err != nil {
		return err
	}
	m.broker = b
	return nil
}

// startNodes starts all nodes at the same time: they wait for each other.
func (m *mesh) startNodes(ctx context.Context) error {
	o := Options{Server: m.o.Server}
	binary, err := findServer(&o, rocket{})
	if err != nil {
		return err
	}
	n := m.o.Nodes
	ports, err := freePorts(3 * n)
	if err != nil {
		return err
	}
	var routes []string
	for _, port := range ports[2*n:] {
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", port))
	}
	started := make([]*server, n)
	for i := range n {
		args, err := rocket{}.Serve(binary, "", ports[i], 1)
		if err != nil {
			return err
		}
		admin := fmt.Sprintf("127.0.0.1:%d", ports[n+i])
		m.admins = append(m.admins, admin)
		args = append(args, "-admin", admin, "-cluster-node", fmt.Sprintf("n%d", i))
		if m.broker != nil {
			args = append(args, "-nats-servers", "nats://"+m.broker.addr)
		} else {
			args = append(args, "-cluster-listen", routes[i], "-cluster-routes", strings.Join(routes, ","))
		}
		started[i] = &server{addr: fmt.Sprintf("127.0.0.1:%d", ports[i]), args: append(args, strings.Fields(m.o.ServerArgs)...)}
	}
	m.res.Server = append([]string{filepath.Base(binary)}, started[0].args[1:]...)
	err = each(n, n, func(i int) error { return started[i].start(ctx, nil) })
	for _, s := range started {
		if s.cmd != nil && s.cmd.Process != nil {
			m.nodes = append(m.nodes, s)
		}
	}
	return err
}

// each calls f for 0 to n-1, so many at a time, and returns the first error.
func each(n, atATime int, f func(i int) error) error {
	var next atomic.Int64
	errs := make(chan error, atATime)
	for range atATime {
		go func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range atATime {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// meetTimeout is how long the nodes may take until each knows all others.
const meetTimeout = 2 * time.Minute

// meet waits until each node knows all others.
func (m *mesh) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, meetTimeout)
	defer cancel()
	for i := range m.nodes {
		for {
			others, err := m.others(ctx, i)
			if others == m.o.Nodes-1 {
				break
			}
			if ended := m.nodes[i].ended(); ended != nil {
				return ended
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("node %d knows %d of the other %d: %w", i, others, m.o.Nodes-1, errors.Join(ctx.Err(), err))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	m.notef("%d nodes know each other", m.o.Nodes)
	return nil
}

// others asks a node how many others it knows.
func (m *mesh) others(ctx context.Context, i int) (int, error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.admins[i]+"/api/cluster", nil)
	if err != nil {
		return 0, err
	}
	ask.Close = true
	resp, err := http.DefaultClient.Do(ask)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct{ Nodes []struct{} }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return len(answer.Nodes), err
}

// startSwarms starts the processes of the clients. When ctx is done they end, whatever they wait for.
func (m *mesh) startSwarms(ctx context.Context) error {
	since := sharedNow()
	for _, n := range m.nodes {
		s, err := startSwarm(swarmSpec{Addr: n.addr, Conns: m.o.Conns, Within: m.o.Within, Since: since})
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = s.cmd.Process.Kill() })
		m.swarms = append(m.swarms, s)
	}
	if _, err := m.ask(len(m.swarms), swarmOrder{Do: "count"}); err != nil {
		return err
	}
	m.res.Before = m.footprint()
	m.notef("as many processes of clients run; %s of memory is used", size(m.res.Before.Used))
	return nil
}

// ask gives all swarms an order, so many at a time, and returns their reports.
func (m *mesh) ask(atATime int, order swarmOrder) ([]swarmReport, error) {
	reports := make([]swarmReport, len(m.swarms))
	err := each(len(m.swarms), atATime, func(i int) (err error) {
		reports[i], err = m.swarms[i].ask(order)
		return err
	})
	return reports, err
}

// connect opens the connections, node by node, as many nodes at a time as there are CPUs. It stops when memory is short.
func (m *mesh) connect(ctx context.Context) error {
	start, cpu := time.Now(), m.cpu(m.nodes...)
	var mu sync.Mutex
	ready, full := 0, len(m.swarms)
	isFull := func(i int) bool {
		left := memory("MemAvailable:")
		mu.Lock()
		defer mu.Unlock()
		if full > i && left < m.o.Spare {
			full = i
			m.res.Short = fmt.Sprintf("only %s of memory were left", size(left))
		}
		return full <= i
	}
	err := each(len(m.swarms), runtime.NumCPU(), func(i int) error {
		if isFull(i) {
			return nil
		}
		report, err := m.swarms[i].ask(swarmOrder{Do: "connect"})
		mu.Lock()
		defer mu.Unlock()
		ready += report.Ready
		m.notef("%d connections, at node %d and others; %s of memory is used", ready, i+1, size(used()))
		return err
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	if full == 0 {
		return errors.New(m.res.Short)
	}
	for _, s := range m.swarms[full:] {
		s.end()
	}
	m.swarms = m.swarms[:full]
	m.res.ConnectSeconds = time.Since(start).Seconds()
	m.res.NodeMicros = micros(m.cpu(m.nodes...)-cpu, int64(ready))
	return nil
}

// hold keeps the connections for a while, and then looks whether they are all there.
func (m *mesh) hold(ctx context.Context) error {
	pings := func() (n int64, ready int, err error) {
		reports, err := m.ask(runtime.NumCPU(), swarmOrder{Do: "count"})
		for _, r := range reports {
			n, ready = n+r.Pings, ready+r.Ready
		}
		return n, ready, err
	}
	before, _, err := pings()
	if err != nil {
		return err
	}
	start, nodes, broker, clients := time.Now(), m.cpu(m.nodes...), m.cpu(m.brokers()...), m.clientsCPU()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(m.o.Hold):
	}
	took := time.Since(start).Seconds()
	m.res.HeldSeconds, m.res.HeldNodesBusy = took, (m.cpu(m.nodes...)-nodes).Seconds()/took
	m.res.HeldNATSBusy = (m.cpu(m.brokers()...) - broker).Seconds() / took
	m.res.HeldClientsBusy = (m.clientsCPU() - clients).Seconds() / took
	m.res.After = m.footprint()
	after, ready, err := pings()
	m.res.HeldPings, m.res.Connections = after-before, ready
	m.notef("%d connections after %.0f s", ready, took)
	if want := m.o.Conns * len(m.swarms); err == nil && ready != want {
		err = fmt.Errorf("%d of %d connections are there", ready, want)
	}
	return err
}

// publish publishes at one node after the other, far from the one before, and waits until all have heard it.
func (m *mesh) publish(ctx context.Context) error {
	var reports []swarmReport
	for i := range m.o.Rounds {
		at := i * len(m.swarms) / m.o.Rounds
		var err error
		if reports, err = m.round(at, uint32(i+1)); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for _, r := range reports {
		m.res.Check.add(r.Check)
	}
	return nil
}

func (m *mesh) round(at int, event uint32) ([]swarmReport, error) {
	stop := make(chan struct{})
	peak := make(chan int64)
	go func() {
		most := int64(0)
		for {
			most = max(most, tcpPages()*int64(os.Getpagesize()))
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	cpu := m.cpu(m.nodes...)
	reports := make([]swarmReport, len(m.swarms))
	err := each(len(m.swarms), len(m.swarms), func(i int) (err error) {
		reports[i], err = m.swarms[i].ask(swarmOrder{Do: "hear", Event: event, Publish: i == at})
		return err
	})
	close(stop)
	round := NodeRound{Node: at, PeakTCP: <-peak, Seconds: (m.cpu(m.nodes...) - cpu).Seconds()}
	var firsts, medians []float64
	for _, r := range reports {
		if r.Receivers == 0 {
			continue
		}
		round.Receivers += r.Receivers
		firsts, medians = append(firsts, float64(r.First)/1e6), append(medians, float64(r.Median)/1e6)
		round.Last = max(round.Last, float64(r.Last)/1e6)
	}
	round.First, round.Median = minOf(firsts), median(medians)
	m.res.Rounds = append(m.res.Rounds, round)
	m.notef("an event of node %d: %d connections have it, the last after %s ms", at, round.Receivers, digits(round.Last))
	return reports, err
}

// minOf is 0 for no values.
func minOf(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return summaryOf(values).low
}

func (m *mesh) brokers() []*server {
	if m.broker == nil {
		return nil
	}
	return []*server{m.broker}
}

// cpu is what servers have used.
func (m *mesh) cpu(servers ...*server) (sum time.Duration) {
	for _, s := range servers {
		d, _ := cpuTime(s.cmd.Process.Pid) // one that has ended is found out otherwise
		sum += d
	}
	return sum
}

func (m *mesh) clientsCPU() (sum time.Duration) {
	for _, s := range m.swarms {
		d, _ := cpuTime(s.cmd.Process.Pid)
		sum += d
	}
	return sum
}

func (m *mesh) footprint() Footprint {
	f := Footprint{
		Slab: memory("Slab:"), TCP: tcpPages() * int64(os.Getpagesize()), Tables: memory("PageTables:") + memory("KernelStack:"), Used: used(),
	}
	for i, n := range m.nodes {
		f.Nodes += ownBytes(n.cmd.Process.Pid)
		if i == 0 {
			f.Node, _ = residentBytes(n.cmd.Process.Pid)
		}
	}
	for i, s := range m.swarms {
		f.Clients += ownBytes(s.cmd.Process.Pid)
		if i == 0 {
			f.Client, _ = residentBytes(s.cmd.Process.Pid)
		}
	}
	for _, b := range m.brokers() {
		f.NATS = ownBytes(b.cmd.Process.Pid)
	}
	return f
}

// memory is a line of /proc/meminfo, in bytes.
func memory(name string) int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	kb, _ := fieldOf(b, name)
	return kb << 10
}

func used() int64 { return memory("MemTotal:") - memory("MemAvailable:") }

// ownBytes is the memory of a process that is in RAM, with its share of the pages that it shares.
func ownBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	kb, _ := fieldOf(b, "Pss:")
	return kb << 10
}

// end ends the clients and then the servers.
func (m *mesh) end() {
	_ = each(len(m.swarms), max(len(m.swarms), 1), func(i int) error { m.swarms[i].end(); return nil })
	_ = each(len(m.nodes), max(len(m.nodes), 1), func(i int) error { m.nodes[i].stop(); return nil })
	for _, b := range m.brokers() {
		b.stop()
	}
}

// size writes a number of bytes.
func size(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// WriteNodes writes the result for people.
func WriteNodes(w io.Writer, r *NodesResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	between := "each with a server of NATS inside"
	if r.Options.NATS != "" {
		between = "one server of NATS between them"
	}
	line("cluster", "%d nodes, %s; %d connections each, in as many processes of clients", r.Options.Nodes, between, r.Options.Conns)
	line("machine", "%d × %s, %s, %s, commit %s", r.Machine.CPUs, r.Machine.CPU, r.Machine.Kernel, r.Machine.Go, r.Machine.Commit)
	line("connections", "%d, connected and subscribed in %.1f s, %.1f µs of the nodes' CPU each", r.Connections, r.ConnectSeconds, r.NodeMicros)
	if r.Short != "" {
		line("", "no more: %s", r.Short)
	}
	line("held", "%.0f s, %d pings; nodes %.2f CPUs, clients %.2f, NATS %.2f",
		r.HeldSeconds, r.HeldPings, r.HeldNodesBusy, r.HeldClientsBusy, r.HeldNATSBusy)
	n := float64(max(r.Connections, 1))
	grown := func(name string, of func(*Footprint) int64) {
		before, after := of(&r.Before), of(&r.After)
		line(name, "%s, of which %s before the connections; %.0f bytes each", size(after), size(before), float64(after-before)/n)
	}
	grown("memory of the nodes", func(f *Footprint) int64 { return f.Nodes })
	grown("of the clients", func(f *Footprint) int64 { return f.Clients })
	grown("of NATS", func(f *Footprint) int64 { return f.NATS })
	grown("of the kernel, objects", func(f *Footprint) int64 { return f.Slab })
	grown("of the kernel, tables", func(f *Footprint) int64 { return f.Tables })
	grown("of the kernel, under way", func(f *Footprint) int64 { return f.TCP })
	grown("of the machine, used", func(f *Footprint) int64 { return f.Used })
	line("one process", "a node %s resident, its clients %s", size(r.After.Node), size(r.After.Client))
	for i, b := range r.Rounds {
		line(fmt.Sprintf("event %d", i+1), "published at node %d: %d have it; first %s, median %s, last %s ms; nodes %.1f s of CPU, %s under way at most",
			b.Node+1, b.Receivers, digits(b.First), digits(b.Median), digits(b.Last), b.Seconds, size(b.PeakTCP))
	}
	if r.Error != "" {
		line("error", "%s", r.Error)
	}
	line("check", "%s", r.Check)
	return t.Flush()
}
