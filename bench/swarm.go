package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// swarmEnv tells a copy of this program to be the clients of one node.
const swarmEnv = "ROCKET_BENCH_SWARM"

// A swarm is the clients of one node, in a process of their own: a process may have no more open files than that.
// They subscribe to one channel; one more connection publishes to it.
type swarm struct {
	cmd    *exec.Cmd
	orders *json.Encoder
	told   *json.Decoder
	stdin  io.Closer
	log    tail
}

// swarmSpec says which clients a process is.
type swarmSpec struct {
	Addr   string // of the node
	Conns  int
	Within time.Duration // in which all must have heard an event
	Since  int64         // from which times count, on the clock that all processes share
}

// swarmOrder is one line that a swarm is sent. It answers each with a swarmReport.
type swarmOrder struct {
	Do      string // "connect", "count", or "hear": wait until each client has had Event
	Event   uint32 // the number of an event, from 1
	Publish bool   // it, at this node
}

type swarmReport struct {
	Ready int   // clients that are connected and subscribed
	Pings int64 // that have come
	Check Check
	Err   string

	// Of an event that was waited for.
	Receivers           int
	First, Median, Last int64 // nanoseconds from when it was published
}

// BeSwarm is called like BeFloor, at the start of a program that may be started again as the clients of a node. In
// that process BeSwarm does not return.
func BeSwarm() {
	raw := os.Getenv(swarmEnv)
	if raw == "" {
		return
	}
	debug.SetGCPercent(50) // there are many such processes
	var spec swarmSpec
	err := json.Unmarshal([]byte(raw), &spec)
	if err == nil {
		err = swarmOf(&spec, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// sharedNow is a clock that all processes of the machine read alike.
func sharedNow() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it does not fail
	return ts.Nano()
}

// swarmOf follows orders until there are no more.
func swarmOf(spec *swarmSpec, in io.Reader, out io.Writer) error {
	o := DefaultOptions()
	o.Conns, o.Channels, o.Publishers, o.Handshakes, o.CPUs = spec.Conns, 1, 1, 64, nil
	o.ConnectTimeout = 10 * time.Minute
	o.since = time.Now().Add(-time.Duration(sharedNow() - spec.Since))
	p := spread(group{name: "main", arrivals: true}, spec.Conns, 1, 1).seal()
	if err := raiseFileLimit(len(p.conns)); err != nil {
		return err
	}
	target, err := parseTarget("ws://"+spec.Addr, false)
	if err != nil {
		return err
	}
	r, err := newRun(&o, rocket{}, target, p)
	if err != nil {
		return err
	}
	defer r.close()
	orders, reports := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var order swarmOrder
		if err := orders.Decode(&order); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := reports.Encode(r.obey(order, spec.Within)); err != nil {
			return err
		}
	}
}

func (r *run) obey(order swarmOrder, within time.Duration) swarmReport {
	var report swarmReport
	var err error
	switch order.Do {
	case "connect":
		if err = r.open(context.Background(), everyConn); err == nil {
			r.call((*worker).slim)
			debug.FreeOSMemory()
		}
	case "hear":
		report, err = r.hear(order, within)
	}
	if err == nil {
		err = r.err()
	}
	if err != nil {
		report.Err = err.Error()
	}
	report.Ready = max(r.ready()-1, 0) // all but the publisher
	report.Pings = r.sum(func(w *worker) int64 { return w.pings })
	report.Check = r.check()
	return report
}

// slim gives back what the connections needed for the set-up.
func (w *worker) slim() {
	for i := range w.conns {
		if c := &w.conns[i]; len(c.out) == 0 {
			c.out = nil
		}
	}
}

// hear waits for an event, and publishes it before if that is its order.
func (r *run) hear(order swarmOrder, within time.Duration) (swarmReport, error) {
	var report swarmReport
	if order.Publish {
		r.publishOnce()
	} else {
		r.streams[0].sent.Store(order.Event)
	}
	want := int64(order.Event) * int64(len(r.plan.conns)-1)
	err := r.wait(context.Background(), within, "", func() bool {
		var n int64
		for _, w := range r.workers {
			n += w.tally.delivered.Load()
		}
		return n >= want
	})
	if err != nil && !errors.Is(err, errTimeout) { // what did not come is in the check
		return report, err
	}
	if err := r.settle(context.Background()); err != nil {
		return report, err
	}
	var all []int64
	var mu sync.Mutex
	r.call(func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, w.groups[0].arrivals[order.Event]...)
	})
	if report.Receivers = len(all); len(all) > 0 {
		slices.Sort(all)
		report.First, report.Median, report.Last = all[0], all[len(all)/2], all[len(all)-1]
	}
	return report, nil
}

// startSwarm starts the process.
func startSwarm(spec swarmSpec) (*swarm, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	s := &swarm{cmd: exec.Command(self)}
	s.cmd.Env = append(os.Environ(), swarmEnv+"="+string(raw))
	s.cmd.Stderr = &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for us alone; without us it reads no more orders, and ends
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.stdin, s.orders, s.told = in, json.NewEncoder(in), json.NewDecoder(out)
	return s, s.cmd.Start()
}

// ask gives an order and waits for the report.
func (s *swarm) ask(order swarmOrder) (swarmReport, error) {
	var report swarmReport
	err := s.orders.Encode(order)
	if err == nil {
		err = s.told.Decode(&report)
	}
	if err != nil {
		return report, fmt.Errorf("the clients' process: %w: %s", err, s.log.String())
	}
	if report.Err != "" {
		return report, fmt.Errorf("clients: %s", report.Err)
	}
	return report, nil
}

// end closes the connections, or kills the process if that takes too long.
func (s *swarm) end() {
	s.stdin.Close()
	late := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	_ = s.cmd.Wait() // it has nothing more to say
}
