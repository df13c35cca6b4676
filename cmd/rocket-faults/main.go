// Rocket-faults does bad things to a Rocket server and reports what happened. See docs/reliability.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nu7hatch/webrocket/bench"
	"github.com/nu7hatch/webrocket/build"
	"github.com/nu7hatch/webrocket/faults"
)

// Exit statuses.
const (
	exitGood  = 0
	exitWrong = 1 // something that must hold does not
	exitUsage = 2
	exitError = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second ^C ends at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// arguments are what the command line says.
type arguments struct {
	faults.Options
	findings bool   // be the process of one case
	document string // to put the table into
	machine  bench.Machine
	cases    []faults.Case
}

var errUsage = errors.New("wrong arguments")

func parse(args []string, errs io.Writer) (*arguments, error) {
	var a arguments
	fs := flag.NewFlagSet("rocket-faults", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.Usage = func() { usage(errs, fs) }
	fs.StringVar(&a.Binary, "rocket", "", "`path` of the server; beside this program if none is given")
	fs.BoolVar(&a.Short, "short", false, "small and quick: latencies are shown, and not judged")
	fs.BoolVar(&a.Clock, "clock", false, "set the machine's clock in the case clock, for some seconds")
	fs.BoolVar(&a.findings, "findings", false, "try one case in this process, and write its findings as JSON")
	without := fs.String("without", "", "leave out these `cases`, separated by commas")
	fs.StringVar(&a.document, "document", "", "put the table of a whole run into this Markdown `file`, too; needs -clock")
	var names []string
	for rest := args; ; rest = fs.Args()[1:] { // flags may stand behind cases
		if err := fs.Parse(rest); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			break
		}
		names = append(names, fs.Arg(0))
	}
	a.cases = faults.Cases
	if len(names) > 0 {
		a.cases = nil
	}
	for _, name := range names {
		c := faults.Named(name)
		if c == nil {
			return nil, fmt.Errorf("%w: there is no case %q", errUsage, name)
		}
		a.cases = append(a.cases, *c)
	}
	if *without != "" {
		for name := range strings.SplitSeq(*without, ",") {
			if faults.Named(name) == nil {
				return nil, fmt.Errorf("%w: there is no case %q", errUsage, name)
			}
			names = append(names, "-"+name)
			a.cases = slices.DeleteFunc(slices.Clone(a.cases), func(c faults.Case) bool { return c.Name == name })
		}
	}
	if a.document != "" {
		a.machine = bench.ThisMachine()
		if err := a.documentable(len(names)); err != nil {
			return nil, err
		}
	}
	if needy := needRoot(a.cases); os.Geteuid() != 0 && len(needy) > 0 {
		return nil, fmt.Errorf("%w: only root can try %s: use sudo, or name other cases", errUsage, strings.Join(needy, ", "))
	}
	if a.findings && len(a.cases) != 1 {
		return nil, fmt.Errorf("%w: -findings takes one case", errUsage)
	}
	if a.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		a.Binary = filepath.Join(filepath.Dir(self), "rocket")
	}
	if _, err := os.Stat(a.Binary); err != nil {
		return nil, fmt.Errorf("%w: no server: %w; make build makes one, -rocket names another", errUsage, err)
	}
	return &a, nil
}

// documentable tells why the table of this run cannot be the document's, before it takes its time. names is how many
// cases were named.
func (a *arguments) documentable(names int) error {
	switch {
	case names > 0 || a.Short || !a.Clock:
		return fmt.Errorf("%w: -document takes a whole run: with -clock, without -short and names of cases", errUsage)
	case a.machine.Commit == "":
		return fmt.Errorf("%w: -document names the commit, and this program does not know its own: use make build, in a git repository", errUsage)
	case strings.HasSuffix(a.machine.Commit, build.Changed):
		return fmt.Errorf("%w: -document names the commit, and this program was built from a modified one: commit, then make build", errUsage)
	}
	_, err := a.documented(nil)
	return err
}

// needRoot returns the names of the cases that only root can try.
func needRoot(cases []faults.Case) (names []string) {
	for _, c := range cases {
		if c.NeedsRoot() {
			names = append(names, c.Name)
		}
	}
	return names
}

func usage(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprint(w, "rocket-faults [flags] [CASE …] does bad things to a Rocket server and reports what happened.\n\nCases (all, if none is named):\n\n")
	for _, c := range faults.Cases {
		fmt.Fprintf(w, "  %-10s %s\n", c.Name, c.Does)
	}
	fmt.Fprint(w, "\nFlags:\n\n")
	fs.PrintDefaults()
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	a, err := parse(args, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitGood
	case err != nil:
		fmt.Fprintln(errs, "rocket-faults:", err)
		return exitUsage
	}
	a.Notes = errs
	if a.findings {
		if err := faults.RunOne(ctx, &a.cases[0], a.Options, out); err != nil {
			fmt.Fprintln(errs, "rocket-faults:", err)
			return exitError
		}
		return exitGood
	}
	findings := faults.Run(ctx, a.cases, a.Options)
	err = a.report(ctx, findings, out)
	switch {
	case err != nil:
		fmt.Fprintln(errs, "rocket-faults:", err)
		return exitError
	case !faults.Good(findings):
		return exitWrong
	}
	return exitGood
}

// report writes the table, and puts it into the document unless the run was interrupted.
func (a *arguments) report(ctx context.Context, findings []faults.Finding, out io.Writer) error {
	err := faults.WriteTable(out, findings)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || a.document == "" {
		return err
	}
	after, err := a.documented(findings)
	if err != nil {
		return err
	}
	return os.WriteFile(a.document, []byte(after), 0o666)
}

// documented is the document with a table of the findings.
func (a *arguments) documented(findings []faults.Finding) (string, error) {
	before, err := os.ReadFile(a.document)
	if err != nil {
		return "", err
	}
	where := fmt.Sprintf("%s, %v.", time.Now().UTC().Format(time.DateOnly), a.machine)
	after, err := faults.Document(string(before), where, findings)
	if err != nil {
		return "", fmt.Errorf("%s: %w", a.document, err)
	}
	return strings.TrimRight(after, "\n") + "\n", nil
}
