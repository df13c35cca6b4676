package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/bench"
	"github.com/nu7hatch/webrocket/build"
	"github.com/nu7hatch/webrocket/faults"
)

// What cannot be run is refused with what is wrong, before anything is tried.
func TestRefusals(t *testing.T) {
	nothing := filepath.Join(t.TempDir(), "rocket")
	// The program of a test has no commit.
	const wholeRun = "-document takes a whole run"
	tests := []struct {
		name, args, want string
	}{
		{"a case that does not exist", "kill nonsense", `there is no case "nonsense"`},
		{"a server that does not exist", "-rocket " + nothing + " kill", "make build makes one"},
		{"findings of several cases", "-findings kill drain", "-findings takes one case"},
		{"a document of one case", "-clock -document x.md kill", wholeRun},
		{"a document of all cases by name", "-clock -document x.md " + strings.Join(names(), " "), wholeRun},
		{"a document without one case", "-clock -document x.md -without soak", wholeRun},
		{"to leave out what does not exist", "-without soak,nonsense", `there is no case "nonsense"`},
		{"a document of a short run", "-clock -short -document x.md", wholeRun},
		{"a document without the clock", "-document x.md", wholeRun},
		{"a document of an unknown commit", "-clock -document x.md", "does not know its own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if status := run(context.Background(), strings.Fields(test.args), &out, &errs); status != exitUsage {
				t.Errorf("got status %d, want %d", status, exitUsage)
			}
			if !strings.Contains(errs.String(), test.want) {
				t.Errorf("got %q, want %q in it", errs.String(), test.want)
			}
		})
	}
}

func TestHelpNamesEveryCase(t *testing.T) {
	var out, errs bytes.Buffer
	if status := run(context.Background(), []string{"-h"}, &out, &errs); status != exitGood {
		t.Errorf("got status %d, want %d", status, exitGood)
	}
	for _, c := range faults.Cases {
		if !strings.Contains(errs.String(), "  "+c.Name+" ") {
			t.Errorf("the help lacks %s", c.Name)
		}
	}
}

// What is left out is not tried, whether all cases or some were named.
func TestWithout(t *testing.T) {
	for args, want := range map[string]int{"-without soak,kill": len(faults.Cases) - 2, "kill crawl -without kill": 1} {
		a, err := parse(append(strings.Fields(args), "-rocket", os.Args[0]), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if len(a.cases) != want || slices.ContainsFunc(a.cases, func(c faults.Case) bool { return c.Name == "kill" }) {
			t.Errorf("%s: got %d cases, want %d without kill", args, len(a.cases), want)
		}
	}
}

func names() (all []string) {
	for _, c := range faults.Cases {
		all = append(all, c.Name)
	}
	return all
}

// What cannot be documented is refused before the run, not after it.
func TestDocumentable(t *testing.T) {
	dir := t.TempDir()
	good, bare := filepath.Join(dir, "good.md"), filepath.Join(dir, "bare.md")
	write(t, good, document)
	write(t, bare, "no marks\n")
	tests := []struct {
		name, commit, document, want string
	}{
		{"a modified tree", "0123456789ab" + build.Changed, good, "modified"},
		{"no such document", "0123456789ab", filepath.Join(dir, "nowhere.md"), "no such file"},
		{"a document without a place for it", "0123456789ab", bare, "lacks the marks"},
		{"all is well", "0123456789ab", good, ""},
	}
	for _, test := range tests {
		a := whole(test.document)
		a.machine.Commit = test.commit
		got := "<nil>"
		err := a.documentable(0)
		if err != nil {
			got = err.Error()
		}
		if (err == nil) != (test.want == "") || !strings.Contains(got, test.want) && err != nil {
			t.Errorf("%s: got %s, want %q", test.name, got, test.want)
		}
	}
}

// whole is a run of all cases.
func whole(document string) *arguments {
	a := arguments{document: document, machine: bench.Machine{CPU: "a CPU", Commit: "0123456789ab"}}
	a.Clock = true
	return &a
}

const document = "before\n<!-- table: make faults -->\nthe old table\n<!-- end of the table -->\nafter\n"

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A run that was interrupted leaves the document alone; one that has come to its end says what was tried.
func TestInterruptedRunHasNoDocument(t *testing.T) {
	interrupted, stop := context.WithCancel(t.Context())
	stop()
	findings := []faults.Finding{{Case: "kill", Must: "it must", Saw: "it does", Verdict: faults.Holds}}
	for _, test := range []struct {
		name      string
		ctx       context.Context
		want, not string
	}{
		{"interrupted", interrupted, "the old table", "it does"},
		{"at its end", t.Context(), "| it must | it does | holds |", "the old table"},
	} {
		name := filepath.Join(t.TempDir(), "table.md")
		write(t, name, document)
		var out bytes.Buffer
		err := whole(name).report(test.ctx, findings, &out)
		if !errors.Is(err, test.ctx.Err()) || !strings.Contains(out.String(), "it does") {
			t.Errorf("%s: got %v and %q, want %v and what was found", test.name, err, &out, test.ctx.Err())
		}
		b, err := os.ReadFile(name)
		if got := string(b); err != nil || !strings.Contains(got, test.want) || strings.Contains(got, test.not) {
			t.Errorf("%s: got %q, %v, want %q and not %q in it", test.name, got, err, test.want, test.not)
		}
	}
}
