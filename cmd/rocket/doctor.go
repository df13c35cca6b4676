package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
)

const doctorHelp = `
It reads the limits of the machine and of the shell that it runs in, and changes
nothing. With -connections it says what to set for so many connections, and ends
with status 1 if they do not fit. docs/scaling.md has the arithmetic. With FILE, the
configuration of a server in a cluster, it also connects to the other nodes, or to
the servers of NATS, and ends with status 1 if one does not answer.

  -connections N   connections that the server is to have at once
  -json            print JSON

Examples:
  rocket doctor
  rocket doctor -connections 1000000
  rocket doctor my.json
`

// connectionsMax is more than a process can have, and keeps products in range.
const connectionsMax = 2_000_000_000

// diagnosis is what doctor says.
type diagnosis struct {
	Wanted   uint64    `json:"wanted,omitempty"`
	Allowed  uint64    `json:"allowed"`
	First    string    `json:"limitedBy"`
	Fits     bool      `json:"fits"`
	Findings []finding `json:"findings"`
	Cluster  []reached `json:"cluster,omitempty"`
}

// runDoctor is the command doctor.
func runDoctor(ctx context.Context, p *program, args []string) error {
	flags := newFlags("doctor")
	wanted := flags.Uint64("connections", 0, "")
	asJSON := flags.Bool("json", false, "")
	file, err := parseServeArgs(flags, args)
	if err != nil {
		return err
	}
	if *wanted > connectionsMax {
		return usageError(fmt.Sprintf("-connections: want at most %d", connectionsMax))
	}
	m := readMachine(p.root)
	m.ioURing = p.uring()
	if m.openFiles == 0 {
		return errors.New("cannot read the limit of open files; is /proc mounted?")
	}
	d := diagnose(m, *wanted)
	if file != "" {
		c, err := sources{file: file, getenv: p.getenv, environ: p.environ}.load()
		if err != nil {
			return err
		}
		d.Cluster = c.cluster.reach(ctx)
	}
	if *asJSON {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(d); err != nil {
			return err
		}
	} else {
		d.print(p.stdout)
	}
	if n := unreached(d.Cluster); n > 0 {
		return fmt.Errorf("%d of %d addresses of the cluster cannot be reached", n, len(d.Cluster))
	}
	if !d.Fits {
		return fmt.Errorf("%d connections do not fit: this machine allows %d, by %s", d.Wanted, d.Allowed, d.First)
	}
	return nil
}

func diagnose(m machine, wanted uint64) diagnosis {
	found := examine(m, wanted)
	n, first := allowed(found)
	return diagnosis{Wanted: wanted, Allowed: n, First: first, Fits: n >= wanted, Findings: found}
}

// print writes the findings as a table, then what to set.
func (d diagnosis) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "limit\tvalue\tconnections\t")
	for _, f := range d.Findings {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Name, f.Value, f.allows(), f.note())
	}
	t.Flush()
	if d.Fits {
		fmt.Fprintf(w, "\nThis machine allows %s connections; the first limit is %s.\n", number(d.Allowed), d.First)
	}
	d.printLines(w)
	printReached(w, d.Cluster)
}

func (f finding) allows() string {
	if f.Allows == nil {
		return ""
	}
	return number(*f.Allows)
}

func (f finding) note() string {
	switch {
	case f.Low && f.Allows != nil:
		return "TOO LOW: " + f.Note
	case f.Low:
		return "low: " + f.Note
	}
	return f.Note
}

// printLines writes what to set, by place.
func (d diagnosis) printLines(w io.Writer) {
	for _, where := range []string{inSysctl, inService, inLimits, byHand} {
		heading := fmt.Sprintf("\n# %s:\n", where)
		for _, f := range d.Findings {
			for _, l := range f.Set {
				if l.Where == where {
					fmt.Fprintf(w, "%s%s\n", heading, l.Line)
					heading = ""
				}
			}
		}
	}
}
