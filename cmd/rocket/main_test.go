package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rocket is the built command.
var rocket string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rocket-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	rocket = filepath.Join(dir, "rocket")
	if out, err := exec.Command("go", "build", "-o", rocket, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// call runs a command line inside the test.
func call(args ...string) (stdout, stderr string, status int) {
	var out, errs strings.Builder
	p := &program{getenv: env(nil), root: files{}.fs(), stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	status = p.run(context.Background(), args)
	return out.String(), errs.String(), status
}

func TestCommandLines(t *testing.T) {
	for _, tt := range []struct {
		args           string
		stdout, stderr string // what they begin with
		status         int
	}{
		{"-version", "rocket 0.", "", 0},
		{"--version", "rocket 0.", "", 0},
		{"help", "Rocket 0.", "", 0},
		{"-h", "Rocket 0.", "", 0},
		{"--h", "Rocket 0.", "", 0},
		{"-help", "Rocket 0.", "", 0},
		{"--help", "Rocket 0.", "", 0},
		{"help publish", "Usage: rocket publish [FLAGS] CHANNEL DATA", "", 0},
		{"help pubish", "", "rocket: pubish: no such command; did you mean publish?", 2},
		{"serve -h", "Usage: rocket [serve] [FLAGS] [FILE]", "", 0},
		{"check -h", "Usage: rocket check FILE", "", 0},
		{"subscribe --help", "Usage: rocket subscribe", "", 0},
		{"publish -h", "Usage: rocket publish", "", 0},
		{"-prot 1", "", "rocket: -prot: unknown flag; did you mean -port?\nFor help: rocket serve -h\n", 2},
		{"-port", "", "rocket: flag needs an argument: -port\n", 2},
		{"-port x", "", `-port: want a whole number from 0 to 65535, not "x"`, 2},
		{"subscirbe news", "", "rocket: subscirbe: neither a command nor a file; did you mean subscribe?", 2},
		{"/nowhere.json", "", "/nowhere.json: cannot read it: no such file or directory\n", 1},
		{"a.json b.json", "", "rocket: want one file, not a.json b.json", 2},
		{"check", "", "rocket: want one FILE", 2},
		{"check -x my.json", "", "rocket: -x: unknown flag", 2},
		{"subscribe", "", "rocket: want a CHANNEL", 2},
		{"publish news", "", "rocket: want CHANNEL and DATA", 2},
		{"publish news a b", "", "rocket: want CHANNEL and DATA", 2},
		{"publish n\xff a", "", `rocket: CHANNEL "n\xff" is not UTF-8`, 2},
		{"publish -event e\xff news a", "", `rocket: -event "e\xff" is not UTF-8`, 2},
		{"subscribe news n\xff", "", `rocket: CHANNEL "n\xff" is not UTF-8`, 2},
		{"publish -url ws://127.0.0.1:1/ news a", "", "rocket: nothing listens at ws://127.0.0.1:1/; is the server running?\n", 1},
		{"subscribe -url 127.0.0.1:1 news", "", "rocket: nothing listens at ws://127.0.0.1:1; is the server running?\n", 1},
	} {
		t.Run(tt.args, func(t *testing.T) {
			stdout, stderr, status := call(strings.Fields(tt.args)...)
			if !begins(stdout, tt.stdout) || !begins(stderr, tt.stderr) || status != tt.status {
				t.Errorf("got status %d\n%s\n%s\nwant status %d\n%s\n%s", status, stdout, stderr, tt.status, tt.stdout, tt.stderr)
			}
		})
	}
}

// begins tells whether s begins with want, or is empty like it.
func begins(s, want string) bool {
	return strings.HasPrefix(s, want) && (want != "") == (s != "")
}

func TestFlagsMayFollowTheFile(t *testing.T) {
	for _, args := range [][]string{{"my.json", "-loops", "2"}, {"-loops", "2", "my.json"}, {"--loops=2", "my.json"}} {
		fs := newFlags("serve")
		loops := fs.Int("loops", 0, "")
		file, err := parseServeArgs(fs, args)
		if file != "my.json" || *loops != 2 || err != nil {
			t.Errorf("%v: got file %q, %d loops, error %v", args, file, *loops, err)
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range commands() {
		if !strings.Contains(overview(), "rocket "+c.name+" "+c.args) {
			t.Errorf("rocket help does not name %s", c.name)
		}
		if c.name != "help" && !strings.Contains(c.help(), "\nExample") {
			t.Errorf("the help of %s has no example", c.name)
		}
	}
}
