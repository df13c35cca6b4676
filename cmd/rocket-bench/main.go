// Rocket-bench measures a WebSocket pub/sub server and checks every delivery while it does. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/nu7hatch/webrocket/bench"
)

// Exit statuses.
const (
	exitGood  = 0
	exitWrong = 1 // deliveries were lost, doubled, out of order, astray, corrupted or refused
	exitUsage = 2
	exitError = 3 // the server is not there, refuses, or died; a file cannot be written
)

func main() {
	bench.BeFloor()
	bench.BeSwarm()
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second ^C ends at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 0 {
		usage(errs)
		return exitUsage
	}
	name, args := args[0], args[1:]
	var err error
	good := true
	switch sc := bench.ScenarioNamed(name); {
	case sc != nil:
		good, err = runScenario(ctx, sc, args, out, errs)
	case name == "standard":
		good, err = runStandard(ctx, args, out, errs)
	case name == "compare":
		good, err = runCompare(ctx, args, out, errs)
	case name == "cluster":
		good, err = runCluster(ctx, args, out, errs)
	case name == "nodes":
		good, err = runNodes(ctx, args, out, errs)
	case name == "post":
		good, err = runPost(ctx, args, out, errs)
	case name == "report":
		err = runReport(args, out, errs)
	case name == "help" || name == "-h" || name == "-help" || name == "--help":
		usage(out)
	default:
		usage(errs)
		err = fmt.Errorf("%w: there is no scenario %q", bench.ErrUsage, name)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitGood
	case errors.Is(err, errShown):
		return exitUsage
	case err != nil:
		fmt.Fprintln(errs, "rocket-bench:", err)
		if errors.Is(err, bench.ErrUsage) {
			return exitUsage
		}
		return exitError
	case !good:
		return exitWrong
	}
	return exitGood
}

// errShown is a mistake in the flags that package flag has reported already.
var errShown = errors.New("bad flags")

func usage(w io.Writer) {
	fmt.Fprint(w, `rocket-bench measures a WebSocket pub/sub server and checks every delivery.

  rocket-bench SCENARIO [flags]        one run; without -target it starts a server of its own
  rocket-bench standard [flags]        the standard set, repeated
  rocket-bench compare [flags]         Rocket, nats-server, Centrifugo and nginx with nchan side by side
  rocket-bench cluster [flags]         two nodes with NATS between them: Rocket and Centrifugo side by side
  rocket-bench nodes [flags]           very many connections to a cluster on this machine, and one event to all
  rocket-bench post [flags]            publishing by HTTP, Rocket and Centrifugo side by side
  rocket-bench report FILE.json …      results side by side, as -html FILE or as text

Scenarios (each has flags: rocket-bench SCENARIO -h):

`)
	for _, sc := range bench.Scenarios {
		fmt.Fprintf(w, "  %-10s %s\n", sc.Name, firstLine(sc.Help))
	}
}
