package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nu7hatch/webrocket/bench"
)

// progress is the line that moves while a run goes on. It is there only on a terminal.
type progress struct {
	w     io.Writer // nil: none
	label string
	last  int64
	at    time.Time
}

func newProgress(w io.Writer, quiet bool) *progress {
	f, ok := w.(*os.File)
	if !ok || quiet {
		return &progress{}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{w: w}
}

func (p *progress) show(s bench.Progress) {
	if p.w == nil {
		return
	}
	now := time.Now()
	rate := 0.0
	if !p.at.IsZero() && s.Delivered >= p.last {
		rate = float64(s.Delivered-p.last) / now.Sub(p.at).Seconds()
	}
	p.last, p.at = s.Delivered, now
	fmt.Fprintf(p.w, "\r\x1b[K%s%s: %d/%d connections, %.0f deliveries/s, p99 %.2f ms, %d wrong",
		p.label, s.Phase, s.Ready, s.Conns, rate, s.P99, s.Bad)
}

func (p *progress) clear() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
