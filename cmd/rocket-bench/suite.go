package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nu7hatch/webrocket/bench"
)

func runStandard(ctx context.Context, args []string, out, errs io.Writer) (good bool, err error) {
	return runSet(ctx, "standard", 3, args, out, errs)
}

// runCompare is the standard set for several servers. Only Rocket's own mistakes are ours.
func runCompare(ctx context.Context, args []string, out, errs io.Writer) (good bool, err error) {
	return runSet(ctx, "compare", 1, args, out, errs)
}

// runCluster is the set for two nodes, for those servers that can be nodes.
func runCluster(ctx context.Context, args []string, out, errs io.Writer) (good bool, err error) {
	return runSet(ctx, "cluster", 3, args, out, errs)
}

func runSet(ctx context.Context, name string, repeat int, args []string, out, errs io.Writer) (good bool, err error) {
	so := bench.SuiteOptions{Set: bench.Standard, Base: bench.DefaultOptions()}
	dialects := []string{"rocket"}
	switch name {
	case "compare":
		dialects = []string{"rocket", "nats", "centrifugo", "nchan"}
	case "cluster":
		so.Set, dialects = bench.Clustered, []string{"rocket", "centrifugo"}
	}
	var serverArgs string
	var v versus
	var o outputs
	fs := flag.NewFlagSet("rocket-bench "+name, flag.ContinueOnError)
	fs.SetOutput(errs)
	o.flags(fs)
	fs.IntVar(&so.Repeat, "repeat", repeat, "runs of each entry")
	fs.DurationVar(&so.Warmup, "warmup", time.Second, "load before measuring")
	fs.DurationVar(&so.Duration, "duration", 5*time.Second, "length of each measurement")
	fs.Var((*stringList)(&so.Only), "only", "`entries` to run, such as S1,S4")
	fs.Var((*stringList)(&dialects), "dialects", "`servers` to run; each is started from beside rocket-bench or PATH")
	fs.StringVar(&serverArgs, "server-args", "", "more `arguments` for the server, separated by spaces")
	v.flags(fs)
	fs.IntVar(&so.Base.Loops, "loops", so.Base.Loops, "event loops of the server")
	fs.IntVar(&so.Base.Threads, "threads", so.Base.Threads, "generator threads")
	fs.Var((*cpuList)(&so.Base.ServerCPUs), "server-cpus", "`CPUs` for the server")
	fs.Var((*cpuList)(&so.Base.CPUs), "cpus", "`CPUs` for the generator's threads")
	fs.BoolVar(&so.Base.NoFloor, "no-floor", false, "do not measure the floor")
	if err := parse(fs, args); err != nil {
		return false, err
	}
	if err := checkEntries(so); err != nil {
		return false, err
	}
	for _, dialect := range dialects {
		so.Sides = append(so.Sides, bench.Side{Dialect: dialect, ServerArgs: serverArgs})
	}
	so.Sides = v.apply(so.Sides)
	progress := newProgress(errs, o.quiet)
	results, err := bench.RunSuite(ctx, so, func(label string, p bench.Progress) {
		progress.label = label + " "
		progress.show(p)
	}, nil)
	progress.clear()
	if err != nil {
		return false, err
	}
	good = ctx.Err() == nil
	for _, r := range results {
		if r.Options.Dialect == "rocket" || len(so.Sides) == 1 {
			good = good && r.Good()
		}
	}
	return good, errors.Join(bench.WriteTable(out, bench.ByDialect(results)), o.write(results))
}

func checkEntries(so bench.SuiteOptions) error {
	for _, id := range so.Only {
		if !slices.ContainsFunc(so.Set, func(e bench.Entry) bool { return e.ID == id }) {
			return fmt.Errorf("%w: there is no entry %q", bench.ErrUsage, id)
		}
	}
	if so.Repeat < 1 || so.Repeat > 100 {
		return fmt.Errorf("%w: -repeat must be 1 to 100", bench.ErrUsage)
	}
	return nil
}

func runReport(args []string, out, errs io.Writer) error {
	fs := flag.NewFlagSet("rocket-bench report", flag.ContinueOnError)
	fs.SetOutput(errs)
	html := fs.String("html", "", "write one HTML page with plots to this `file`")
	var files []string
	for rest := args; ; rest = fs.Args()[1:] { // flags may stand behind files
		switch err := fs.Parse(rest); {
		case errors.Is(err, flag.ErrHelp):
			return err
		case err != nil:
			return errShown
		}
		if fs.NArg() == 0 {
			break
		}
		files = append(files, fs.Arg(0))
	}
	if len(files) == 0 {
		return fmt.Errorf("%w: report needs the JSON files of runs", bench.ErrUsage)
	}
	columns, err := readColumns(files)
	if err != nil {
		return err
	}
	return errors.Join(bench.WriteTable(out, columns), toFile(*html, func(w io.Writer) error { return bench.WriteHTML(w, columns) }))
}

// readColumns makes a column of each file, or of each server in it if it has several.
func readColumns(files []string) ([]bench.Column, error) {
	var columns []bench.Column
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		results, err := bench.ReadJSON(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		for _, c := range bench.ByDialect(results) {
			if len(files) > 1 {
				c.Name = name + " " + c.Name
			}
			columns = append(columns, c)
		}
	}
	return columns, nil
}
