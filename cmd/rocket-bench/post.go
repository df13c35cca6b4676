package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nu7hatch/webrocket/bench"
)

const postHelp = `Backends publish by HTTP to one channel, each on a connection of its own and one event after the other, while a
subscriber looks at the order of each: publishes per second and what they cost the server, for several servers in turns.`

// runPost measures how fast servers take publishes by HTTP. Only Rocket's own mistakes are ours.
func runPost(ctx context.Context, args []string, out, errs io.Writer) (good bool, err error) {
	o := bench.PostOptions{Options: bench.DefaultOptions(), Dialects: []string{"rocket", "centrifugo"}}
	fs := flag.NewFlagSet("rocket-bench post", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "%s\n\nFlags of rocket-bench post:\n", postHelp)
		fs.PrintDefaults()
	}
	fs.Var((*stringList)(&o.Dialects), "dialects", "`servers` to run; each is started from beside rocket-bench or PATH")
	fs.IntVar(&o.Publishers, "publishers", 32, "keep-alive connections")
	fs.IntVar(&o.Payload, "payload", o.Payload, "bytes of data")
	fs.IntVar(&o.Repeat, "repeat", 5, "runs of each server")
	fs.DurationVar(&o.Warmup, "warmup", time.Second, "load before measuring")
	fs.DurationVar(&o.Duration, "duration", 5*time.Second, "length of each measurement")
	fs.StringVar(&o.Server, "server", "", "`program` to start, for one dialect")
	fs.StringVar(&o.ServerArgs, "server-args", "", "more `arguments` for it, separated by spaces")
	fs.IntVar(&o.Loops, "loops", o.Loops, "event loops of the server")
	fs.Var((*cpuList)(&o.ServerCPUs), "server-cpus", "`CPUs` for the server")
	if err := parse(fs, args); err != nil {
		return false, err
	}
	results, err := bench.RunPosts(ctx, o)
	if err != nil {
		return false, err
	}
	good = true
	for _, r := range results {
		if r.Dialect == "rocket" || len(o.Dialects) == 1 {
			good = good && r.Check.Good()
		}
	}
	fmt.Fprintf(out, "%d publishers by HTTP, %d bytes, runs of %s, %s\n", o.Publishers, o.Payload, o.Duration, strings.Join(o.Dialects, " and "))
	return good, bench.WritePosts(out, results)
}
