// Command rocket runs a WebSocket server for publish/subscribe channels and
// holds two small clients for it.
//
// It answers one question: how is a Rocket server run? The main path, in
// reading order: settings.go (every setting, once), document.go (a JSON file
// that knows its lines), config.go and hub.go (defaults, file, environment
// and flags become one configuration), serve.go (the server's start), service.go (its
// signals and its end), reload.go (another configuration while it runs), and
// client.go with subscribe.go and publish.go (the other end). Aside from it,
// machine.go reads what the machine allows, for doctor.go and memory.go.
//
// # Ownership
//
// Goroutines share the context that a signal ends, and the configuration in force,
// which the one that reloads replaces as a whole (service.go). A client reads on a
// goroutine of its own and waits for it before it ends.
//
// # Limits
//
// What can be reloaded, and what takes a restart, is in reload.go. A certificate
// is also reloaded when its files change.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/nu7hatch/webrocket/engine"
)

// Exit statuses beside 0. exitStatusHelp explains those of the clients to users.
const (
	statusFailed = 1
	statusUsage  = 2 // the command line cannot be understood

	// Of the clients.
	statusUnreachable = 3 // there is no connection
	statusRefused     = 4 // the server answers no
	statusClosed      = 5 // the server closed the connection
)

func main() {
	p := &program{getenv: os.Getenv, environ: os.Environ(), root: os.DirFS("/"), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, uring: engine.TryIOUring}
	os.Exit(p.run(untilSignal(), os.Args[1:]))
}

// untilSignal returns a context that is done at the first SIGINT or SIGTERM, the
// latter with the cause errTerminated. The second one ends the process at once.
func untilSignal() context.Context {
	signals := make(chan os.Signal, 2) // room for both, so that none is lost
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		if <-signals == syscall.SIGTERM {
			cancel(errTerminated)
		} else {
			cancel(nil)
		}
		<-signals
		os.Exit(statusFailed)
	}()
	return ctx
}

// program is the world that a command sees.
type program struct {
	getenv  func(name string) string // "" where it is not set
	environ []string                 // all variables, as "NAME=text"
	root    fs.FS                    // the machine's files
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	uring   func() error // why io_uring cannot be used, nil if it can
}

// usageError is a command line that cannot be understood.
type usageError string

func (e usageError) Error() string { return string(e) }

// run runs the command that args name, and returns the exit status.
// Without a command's name they are arguments of serve.
func (p *program) run(ctx context.Context, args []string) int {
	cmd := commands()[0]
	if len(args) > 0 {
		if c, ok := findCommand(commandOf(args[0])); ok {
			cmd, args = c, args[1:]
		} else if err := checkFirstWord(args[0]); err != nil {
			help, _ := findCommand("help")
			return p.report(help, err)
		}
	}
	if cmd.asksServer() {
		for _, w := range strangeVariables(p.environ) {
			fmt.Fprintln(p.stderr, "rocket: warning:", w)
		}
	}
	return p.report(cmd, cmd.run(ctx, p, args))
}

// commandOf returns the name of the command that a word asks for, if it is one
// of the flags that many programs have instead.
func commandOf(word string) string {
	switch word {
	case "-h", "--h", "-help", "--help":
		return "help"
	case "-v", "-V", "-version", "--version":
		return "version"
	}
	return word
}

// report tells the user how a command ended, and returns the exit status.
func (p *program) report(cmd command, err error) int {
	var usage usageError
	var found problems
	var failed *failure
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, cmd.help())
		return 0
	case errors.As(err, &usage):
		how := "rocket " + cmd.name + " -h"
		if cmd.name == "help" {
			how = "rocket help"
		}
		fmt.Fprintf(p.stderr, "rocket: %s\nFor help: %s\n", usage, how)
		return statusUsage
	case errors.As(err, &found):
		fmt.Fprintln(p.stderr, found)
		return found.status()
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(p.stderr, "rocket: interrupted")
		return statusFailed
	case errors.As(err, &failed):
		fmt.Fprintln(p.stderr, "rocket:", err)
		return failed.status
	default:
		fmt.Fprintf(p.stderr, "rocket: %s\n", strings.TrimPrefix(err.Error(), "webrocket: "))
		return statusFailed
	}
}
