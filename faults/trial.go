package faults

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"
	"time"
)

// A Finding is one line of the table.
type Finding struct {
	Case    string  // its name
	Must    string  // what must hold
	Saw     string  // what was seen
	Verdict Verdict // on that
}

// Verdict says whether something holds.
type Verdict string

// Verdicts.
const (
	Holds  Verdict = "holds"
	Fails  Verdict = "FAILS"
	Shown  Verdict = "shown" // not judged: a latency of a short run
	NotRun Verdict = "not run"
)

// trial is what a case has at hand.
type trial struct {
	binary string // rocket
	dir    string // the case's own, removed when it has ended
	short  bool
	clock  bool // the machine's clock may be set
	notes  io.Writer

	name     string
	began    time.Time
	mu       sync.Mutex
	findings []Finding
}

// scaled is a size of a whole run, or of a short one.
func scaled[T any](t *trial, whole, short T) T {
	if t.short {
		return short
	}
	return whole
}

// check leaves a finding: what must hold, and what was seen.
func (t *trial) check(holds bool, must, saw string, args ...any) {
	verdict := Fails
	if holds {
		verdict = Holds
	}
	t.find(verdict, must, fmt.Sprintf(saw, args...))
}

// checkSpeed is check for latencies, which a short run does not judge.
func (t *trial) checkSpeed(holds bool, must, saw string, args ...any) {
	if t.short {
		t.find(Shown, must, fmt.Sprintf(saw, args...))
		return
	}
	t.check(holds, must, saw, args...)
}

func (t *trial) find(verdict Verdict, must, saw string) {
	saw = t.shortened(saw)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.findings = append(t.findings, Finding{t.name, must, saw, verdict})
	t.notef("%s: %s: %s", verdict, must, saw)
}

// shortened leaves of the names of the case's own files the last part: the rest is another one each time.
func (t *trial) shortened(text string) string {
	if t.dir == "" {
		return text
	}
	return regexp.MustCompile(regexp.QuoteMeta(t.dir)+`/(?:[^\s:"/]+/)*`).ReplaceAllString(text, "")
}

// said is what an error says, and another word if there is none.
func said(err error, none string) string {
	if err == nil {
		return none
	}
	return err.Error()
}

// serve starts a server with an audience, and publishes to it; end ends all of that. Where g and p do not say at which
// address, it is that of the server. args are more of its arguments.
func (t *trial) serve(ctx context.Context, g gathering, p pace, args ...string) (s *server, a *audience, end func(), err error) {
	if s, err = t.startServer(ctx, args...); err != nil {
		return nil, nil, nil, err
	}
	g.dialer.addr, p.dialer.addr = cmp.Or(g.dialer.addr, s.addr), cmp.Or(p.dialer.addr, s.addr)
	if a, err = t.gather(ctx, g); err != nil {
		s.stop()
		return nil, nil, nil, err
	}
	end = func() {
		a.end()
		s.stop()
	}
	if err = a.load.publish(ctx, p); err != nil {
		end()
		return nil, nil, nil, err
	}
	return s, a, end, nil
}

// aside is a trial of the same case whose findings are kept until adopt: what is tried at the same time is reported in
// order.
func (t *trial) aside() *trial {
	return &trial{
		binary: t.binary, dir: t.dir, short: t.short, clock: t.clock, notes: t.notes, name: t.name, began: t.began,
	}
}

// adopt takes the findings of a trial that was made aside.
func (t *trial) adopt(other *trial) {
	other.mu.Lock()
	defer other.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.findings = append(t.findings, other.findings...)
}

// notef tells the user how far the case is.
func (t *trial) notef(format string, args ...any) {
	fmt.Fprintf(t.notes, "%6.1fs %-10s %s\n", time.Since(t.began).Seconds(), t.name, fmt.Sprintf(format, args...))
}

// patience is how long to wait for what should come at once, on a machine that is very busy.
const patience = 30 * time.Second

// until waits until ok says so, and fails if that takes too long.
func (t *trial) until(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("%w after %v: %s", errTimeout, limit, what)
		case <-look.C:
		}
	}
	return nil
}

var errTimeout = fmt.Errorf("waited in vain")

// rest lets time pass, in which the fault and the loads go on.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// try runs a case and returns its findings.
func try(ctx context.Context, c *Case, o Options) []Finding {
	t := &trial{binary: o.Binary, short: o.Short, clock: o.Clock, notes: o.Notes, name: c.Name, began: time.Now()}
	dir, err := os.MkdirTemp("", "rocket-faults-")
	if err != nil {
		t.find(Fails, "the case can be tried", err.Error())
		return t.findings
	}
	t.dir = dir
	defer os.RemoveAll(dir)
	if err := c.run(ctx, t); err != nil {
		t.find(Fails, "the case comes to its end", err.Error())
	}
	return t.findings
}
