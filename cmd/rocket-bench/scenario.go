package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/nu7hatch/webrocket/bench"
)

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// outputs is where results go beside standard output.
type outputs struct {
	json, html string
	quiet      bool
}

func (o *outputs) flags(fs *flag.FlagSet) {
	fs.StringVar(&o.json, "json", "", "write the result as JSON to this `file`")
	fs.StringVar(&o.html, "html", "", "write the result as one HTML page to this `file`")
	fs.BoolVar(&o.quiet, "quiet", false, "no progress line")
}

func (o *outputs) write(results []*bench.Result) error {
	err := toFile(o.json, func(w io.Writer) error { return bench.WriteJSON(w, results) })
	return errors.Join(err, toFile(o.html, func(w io.Writer) error { return bench.WriteHTML(w, bench.ByDialect(results)) }))
}

func toFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func runScenario(ctx context.Context, sc *bench.Scenario, args []string, out, errs io.Writer) (good bool, err error) {
	opts := sc.Defaults()
	var o outputs
	fs := flag.NewFlagSet("rocket-bench "+sc.Name, flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "%s\n\nFlags of rocket-bench %s:\n", sc.Help, sc.Name)
		fs.PrintDefaults()
	}
	o.flags(fs)
	serverFlags(fs, &opts)
	loadFlags(fs, &opts)
	columns := fs.Bool("tls-column", false, "run twice, without and with -tls, and show a table with a column for each")
	if err := parse(fs, args); err != nil {
		return false, err
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case given["rate"] && !given["saturate"]:
		opts.Saturate = 0
	case given["saturate"] && !given["rate"]:
		opts.Rate = 0
	}
	if given["conns"] && !given["channels"] {
		opts.Channels = min(opts.Channels, opts.Conns)
		if sc.Name == "chat" {
			opts.Channels = opts.Conns
		}
	}
	progress := newProgress(errs, o.quiet)
	if *columns {
		return runColumns(ctx, sc, opts, &o, progress, out)
	}
	res, err := bench.Run(ctx, sc, opts, progress.show)
	progress.clear()
	if res == nil {
		return false, err
	}
	shown := errors.Join(bench.WriteText(out, res), o.write([]*bench.Result{res}))
	return res.Good(), errors.Join(err, shown)
}

// runColumns shows a scenario without and with TLS, side by side.
func runColumns(
	ctx context.Context, sc *bench.Scenario, opts bench.Options, o *outputs, progress *progress, out io.Writer,
) (good bool, err error) {
	if opts.Target != "" || opts.TLS {
		return false, fmt.Errorf("%w: -tls-column starts both servers itself, without -target and -tls", bench.ErrUsage)
	}
	results, err := bench.TLSColumns(ctx, sc, opts, func(column string, p bench.Progress) {
		progress.label = column + " "
		progress.show(p)
	})
	progress.clear()
	if len(results) == 0 {
		return false, err
	}
	good = err == nil && ctx.Err() == nil
	shown := bench.WriteTable(out, bench.ByDialect(results))
	for _, r := range results {
		good = good && r.Good()
		fmt.Fprintf(out, "%s: %s\n", r.Column, r.Check)
		if r.TLS != nil {
			fmt.Fprintf(out, "%s: %s, no handshake resumed\n", r.Column, r.TLS.Agreed)
		}
	}
	return good, errors.Join(err, shown, o.write(results))
}

func parse(fs *flag.FlagSet, args []string) error {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errShown
	case fs.NArg() > 0:
		return fmt.Errorf("%w: %q is not a flag", bench.ErrUsage, fs.Arg(0))
	}
	return nil
}

func serverFlags(fs *flag.FlagSet, o *bench.Options) {
	fs.StringVar(&o.Target, "target", o.Target, "ws:// or wss://host:port/path of a server that runs; without it one is started")
	fs.BoolVar(&o.TLS, "tls", o.TLS, "start the server with TLS")
	fs.StringVar(&o.CA, "ca", "", "trust the certificates in this `file` for a wss:// target; without it, those of the system")
	fs.BoolVar(&o.Insecure, "insecure", false, "take any certificate of a wss:// target")
	fs.BoolVar(&o.Owned, "i-own-this-target", false, "allow a target that is not loopback")
	fs.IntVar(&o.ServerPID, "server-pid", 0, "`process` of the target, for its CPU time and memory")
	fs.StringVar(&o.Dialect, "dialect", o.Dialect, "how the server speaks: "+strings.Join(bench.DialectNames(), ", "))
	fs.StringVar(&o.Secret, "secret", o.Secret, "what to authenticate with")
	fs.BoolVar(&o.NoAuth, "no-auth", o.NoAuth, "do not authenticate")
	fs.StringVar(&o.Server, "server", o.Server, "`program` to start; without it the one beside rocket-bench or in PATH")
	fs.StringVar(&o.ServerArgs, "server-args", o.ServerArgs, "more `arguments` for it, separated by spaces")
	fs.IntVar(&o.Loops, "loops", o.Loops, "event loops of the server that is started")
	fs.Var((*cpuList)(&o.ServerCPUs), "server-cpus", "`CPUs` for the server that is started, such as 2,3")
	fs.Var((*cpuList)(&o.CPUs), "cpus", "`CPUs` for the generator's threads")
}

func loadFlags(fs *flag.FlagSet, o *bench.Options) {
	fs.IntVar(&o.Conns, "conns", o.Conns, "connections that subscribe")
	fs.IntVar(&o.Nodes, "nodes", max(o.Nodes, 1), "2: start two servers with another between them, and publish at the other one; 3: start three that store a -history together")
	fs.BoolVar(&o.Near, "near", o.Near, "with -nodes 2: publish at the subscribers' node, too")
	fs.IntVar(&o.Channels, "channels", o.Channels, "channels; the connections are spread over them")
	fs.IntVar(&o.Publishers, "publishers", o.Publishers, "connections that publish (not in chat)")
	fs.Float64Var(&o.Rate, "rate", o.Rate, "open loop: publishes per second, together")
	fs.IntVar(&o.Saturate, "saturate", o.Saturate, "closed loop: unfinished publishes per publisher and channel")
	fs.IntVar(&o.Payload, "payload", o.Payload, "`bytes` of a message's data")
	fs.IntVar(&o.Count, "count", o.Count, "end after so many publishes, warm-up included; 0: after -duration")
	fs.DurationVar(&o.Warmup, "warmup", o.Warmup, "load before measuring; idle, storm and recovery: rest before")
	fs.DurationVar(&o.Duration, "duration", o.Duration, "length of the measurement")
	fs.DurationVar(&o.Drain, "drain", o.Drain, "silence after which what is missing counts as lost")
	fs.IntVar(&o.Threads, "threads", o.Threads, "generator threads")
	fs.IntVar(&o.Handshakes, "handshakes", o.Handshakes, "connections being set up at a time, per thread")
	fs.Float64Var(&o.ConnectRate, "connect-rate", o.ConnectRate, "connects per second; 0: as fast as they are answered")
	fs.DurationVar(&o.ConnectTimeout, "connect-timeout", o.ConnectTimeout, "time for all connections to be set up")
	fs.Var((*stringList)(&o.Sources), "source", "local `addresses` to connect from, separated by commas")
	fs.Float64Var(&o.Stalled, "stalled", o.Stalled, "slow: share of the subscribers that stop reading")
	fs.Float64Var(&o.Churn, "churn", o.Churn, "churn: joins per second")
	fs.DurationVar(&o.Hold, "hold", o.Hold, "churn: length of a stay")
	fs.IntVar(&o.Rounds, "rounds", o.Rounds, "storm, recovery: how often all come back")
	fs.IntVar(&o.History, "history", o.History, "events that the server keeps of each channel; of a -target: that it keeps some")
	fs.IntVar(&o.Missed, "missed", o.Missed, "recovery: publishes to each channel while the subscribers are away")
	fs.Float64Var(&o.ProbeRate, "probe-rate", o.ProbeRate, "broadcast: publishes per second in another channel; 0: none")
	fs.BoolVar(&o.NoFloor, "no-floor", o.NoFloor, "do not measure the floor")
}

type stringList []string

func (l *stringList) String() string { return strings.Join(*l, ",") }

func (l *stringList) Set(s string) error {
	*l = strings.Split(s, ",")
	return nil
}

type cpuList []int

func (l *cpuList) String() string {
	var parts []string
	for _, cpu := range *l {
		parts = append(parts, strconv.Itoa(cpu))
	}
	return strings.Join(parts, ",")
}

func (l *cpuList) Set(s string) error {
	*l = nil
	for part := range strings.SplitSeq(s, ",") {
		cpu, err := strconv.Atoi(part)
		if err != nil || cpu < 0 {
			return fmt.Errorf("%q is not a CPU", part)
		}
		*l = append(*l, cpu)
	}
	return nil
}
