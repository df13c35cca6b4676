package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Options say how the suite runs.
type Options struct {
	Binary string    // rocket
	Short  bool      // a tenth of the size and of the time
	Clock  bool      // set the machine's clock: nothing else may depend on it
	Notes  io.Writer // how far it is
}

// arguments are Options as the process of a case gets them.
func (o Options) arguments(c *Case) []string {
	return []string{
		"-rocket", o.Binary, fmt.Sprintf("-short=%v", o.Short), fmt.Sprintf("-clock=%v", o.Clock), "-findings", c.Name,
	}
}

// Run tries the cases, each in a process of its own: what one leaves behind does not harm the next.
func Run(ctx context.Context, cases []Case, o Options) []Finding {
	o.Notes = &lines{w: o.Notes}
	found := make([][]Finding, len(cases))
	var beside sync.WaitGroup
	for i := range cases {
		if cases[i].beside {
			beside.Go(func() { found[i] = spawn(ctx, &cases[i], o) })
		}
	}
	for i := range cases {
		if !cases[i].beside && !o.together(&cases[i]) && ctx.Err() == nil {
			found[i] = spawn(ctx, &cases[i], o)
		}
	}
	for i := range cases {
		if o.together(&cases[i]) && ctx.Err() == nil {
			beside.Go(func() { found[i] = spawn(ctx, &cases[i], o) })
		}
	}
	beside.Wait()
	var all []Finding
	for _, f := range found {
		all = append(all, f...)
	}
	return all
}

// together reports whether a case is tried at the same time as others of its kind.
func (o *Options) together(c *Case) bool { return o.Short && c.waits }

// spawn starts this program again for one case.
func spawn(ctx context.Context, c *Case, o Options) []Finding {
	failed := func(err error) []Finding {
		return []Finding{{c.Name, "the case can be tried", err.Error(), Fails}}
	}
	self, err := os.Executable()
	if err != nil {
		return failed(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, o.arguments(c)...)
	cmd.Stdout, cmd.Stderr = &out, o.Notes
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.apart {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
	}
	// It is asked to end, so that it sets right what it has changed; its rocket ends with it.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return failed(err)
	}
	var findings []Finding
	if err := json.Unmarshal(out.Bytes(), &findings); err != nil {
		return failed(fmt.Errorf("its process said %q: %w", out.String(), err))
	}
	return findings
}

// RunOne tries one case in this process and writes its findings, for the process that has started this one.
func RunOne(ctx context.Context, c *Case, o Options, w io.Writer) error {
	if c.apart {
		if err := settleApart(); err != nil {
			return err
		}
	}
	return json.NewEncoder(w).Encode(try(ctx, c, o))
}

// lines lets several processes write without a mix.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
