package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/bench"
)

func TestVersusColumns(t *testing.T) {
	rocket := func(column, server, args string) bench.Side {
		return bench.Side{Column: column, Dialect: "rocket", Server: server, ServerArgs: args}
	}
	tests := []struct {
		name, args string
		versus     versus
		want       []bench.Side
	}{
		{"nothing", "-a", versus{}, []bench.Side{rocket("", "", "-a")}},
		{"arguments", "-a on", versus{given: true, args: "-a off"}, []bench.Side{rocket("-a on", "", "-a on"), rocket("-a off", "", "-a off")}},
		{"none", "-a on", versus{given: true}, []bench.Side{rocket("-a on", "", "-a on"), rocket("rocket", "", "")}},
		{"program", "", versus{program: "old/rocket-1"}, []bench.Side{rocket("rocket", "", ""), rocket("rocket-1", "old/rocket-1", "")}},
		{"the same name", "", versus{program: "old/rocket"}, []bench.Side{rocket("rocket", "", ""), rocket("rocket (versus)", "old/rocket", "")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.versus.apply([]bench.Side{rocket("", "", tt.args)})
			if !slices.Equal(got, tt.want) {
				t.Errorf("sides %+v, want %+v", got, tt.want)
			}
		})
	}
}

// One program against itself with other arguments: two columns, a ratio, and the arguments in the results.
func TestVersus(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "rocket")); err != nil {
		t.Fatal(err)
	}
	t.Setenv(beServer, "yes")
	t.Setenv("PATH", dir)
	file := filepath.Join(dir, "a.json")
	var out, errs bytes.Buffer
	args := []string{
		"standard", "-only", "S4", "-repeat", "2", "-warmup", "0s", "-duration", "50ms", "-no-floor", "-json", file,
		"-server-args", "-loops 1", "-versus", "-loops 2",
	}
	if status := run(t.Context(), args, &out, &errs); status != exitGood {
		t.Fatalf("status %d: %s%s", status, &out, &errs)
	}
	head, rest, _ := strings.Cut(out.String(), "\n")
	if got := strings.Join(strings.Fields(head), " "); got != "metric -loops 1 -loops 2 to best peer target" {
		t.Errorf("head %q", got)
	}
	if !strings.Contains(rest, " × -loops 2") {
		t.Errorf("no ratio in\n%s", rest)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	results, err := bench.ReadJSON(f)
	if err != nil || len(results) != 4 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for i, r := range results { // in turns
		want := []string{"-loops 1", "-loops 2"}[i%2]
		if r.Column != want || !strings.HasSuffix(strings.Join(r.Server, " "), want) {
			t.Errorf("result %d: column %q of %q, want %q", i, r.Column, r.Server, want)
		}
	}
}
