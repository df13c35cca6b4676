package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"

	"github.com/nu7hatch/webrocket/bench"
)

// runNodes opens many connections to a cluster on this machine.
func runNodes(ctx context.Context, args []string, out, errs io.Writer) (good bool, err error) {
	o := bench.DefaultNodes()
	var file string
	fs := flag.NewFlagSet("rocket-bench nodes", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.IntVar(&o.Nodes, "nodes", o.Nodes, "processes of the server, and as many of clients")
	fs.IntVar(&o.Conns, "conns", o.Conns, "connections of each node")
	fs.DurationVar(&o.Hold, "hold", o.Hold, "how long all are there before the first publish")
	fs.IntVar(&o.Rounds, "rounds", o.Rounds, "publishes to all, each at another node")
	fs.DurationVar(&o.Within, "within", o.Within, "in which all must have heard an event")
	fs.DurationVar(&o.Limit, "limit", o.Limit, "of the whole run")
	fs.Int64Var(&o.Spare, "spare", o.Spare, "`bytes` of memory that stay free: no more connections are opened then")
	fs.StringVar(&o.Server, "server", o.Server, "`program` of the nodes; without it the one beside rocket-bench or in PATH")
	fs.StringVar(&o.ServerArgs, "server-args", o.ServerArgs, "more `arguments` for it, separated by spaces")
	fs.StringVar(&o.NATS, "nats", o.NATS, "`program` of a nats-server for all nodes; without it each has one inside")
	fs.StringVar(&file, "json", "", "write the result as JSON to this `file`")
	if err := parse(fs, args); err != nil {
		return false, err
	}
	res, err := bench.RunNodes(ctx, o, errs)
	if res == nil {
		return false, err
	}
	shown := errors.Join(bench.WriteNodes(out, res), toFile(file, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(res)
	}))
	return res.Good(), errors.Join(err, shown)
}
