package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rocket is the built command, which believes that it was built from testCommit.
var rocket string

const testCommit = "0123456789ab"

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rocket-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	rocket = filepath.Join(dir, "rocket")
	if out, err := exec.Command("go", "build", "-ldflags", "-X github.com/nu7hatch/webrocket/build.stamped="+testCommit, "-o", rocket, ".").CombinedOutput(); err != nil {
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
		{"-v", "rocket 0.", "", 0},
		{"version", "rocket 0.", "", 0},
		{"serve -port 1 -version", "rocket 0.", "", 0},
		{"version -h", "Usage: rocket version\n", "", 0},
		{"version 2", "", "rocket: want no arguments but flags, not 2", 2},
		{"vresion", "", "rocket: vresion: neither a command nor a file; did you mean version?", 2},
		{"Publish", "", "rocket: Publish: neither a command nor a file; did you mean publish?", 2},
		{"start", "", "rocket: start: neither a command nor a file; did you mean serve?\nFor help: rocket help\n", 2},
		{"sub news", "", "rocket: sub: neither a command nor a file; did you mean subscribe?", 2},
		{"status", "", "rocket: status: neither a command nor a file; did you mean health?", 2},
		{"frobnicate", "", "rocket: frobnicate: neither a command nor a file\nFor help: rocket help\n", 2},
		{"foo", "", "rocket: foo: neither a command nor a file\n", 2},
		{"help foo", "", "rocket: foo: no such command\nFor help: rocket help\n", 2},
		{"nowhere/rocket", "", "nowhere/rocket: cannot read it: no such file or directory\n", 1},
		{"serve start", "", "start: cannot read it: no such file or directory\n", 1},
		{"check foo", "", "foo: cannot read it: no such file or directory\n", 1},
		{"health a b", "", "rocket: want one file, not a b\nFor help: rocket health -h\n", 2},
		{"-port 1 subscribe news", "", "rocket: subscribe: no such file; a command comes before its flags: rocket subscribe ...", 2},
		{"help", "Rocket 0.", "", 0},
		{"help -h", "Rocket 0.", "", 0},
		{"help version", "Usage: rocket version\n", "", 0},
		{"help validate", "", "rocket: validate: no such command; did you mean check?", 2},
		{"help check man", "", "rocket: want one COMMAND", 2},
		{"help -x", "", "rocket: -x: unknown flag", 2},
		{"-h", "Rocket 0.", "", 0},
		{"--h", "Rocket 0.", "", 0},
		{"-help", "Rocket 0.", "", 0},
		{"--help", "Rocket 0.", "", 0},
		{"help publish", "Usage: rocket publish [FLAGS] CHANNEL DATA", "", 0},
		{"help pubish", "", "rocket: pubish: no such command; did you mean publish?", 2},
		{"serve -h", "Usage: rocket [serve] [FLAGS] [FILE]", "", 0},
		{"check -h", "Usage: rocket check [FLAGS] [FILE]", "", 0},
		{"subscribe --help", "Usage: rocket subscribe", "", 0},
		{"publish -h", "Usage: rocket publish", "", 0},
		{"-prot 1", "", "rocket: -prot: unknown flag; did you mean -port?\nFor help: rocket serve -h\n", 2},
		{"-port", "", "rocket: flag needs an argument: -port\n", 2},
		{"-port x", "", `-port: want a whole number from 0 to 65535, not "x"`, 2},
		{"subscirbe news", "", "rocket: subscirbe: neither a command nor a file; did you mean subscribe?", 2},
		{"/nowhere.json", "", "/nowhere.json: cannot read it: no such file or directory\n", 1},
		{"a.json b.json", "", "rocket: want one file, not a.json b.json", 2},
		{"check", "rocket: ok\n  address  localhost:9772  ws://\n", "", 0},
		{"check -x my.json", "", "rocket: -x: unknown flag", 2},
		{"subscribe", "", "rocket: want a CHANNEL", 2},
		{"subscribe -url ftp://localhost/ a", "", "rocket: -url \"ftp://localhost/\": want ws:// or wss://\nFor help: rocket subscribe -h\n", 2},
		{"publish -url ws://a:b/ a 1", "", "rocket: -url \"ws://a:b/\": invalid port \":b\" after host\n", 2},
		{"publish -url ws:///x a 1", "", "rocket: -url \"ws:///x\": want a host, as in ws://localhost:9772/\n", 2},
		{"publish -url= a 1", "", "rocket: -url \"ws://\": want a host, as in ws://localhost:9772/\n", 2},
		{"connections -admin 127.0.0.1:1", "", "rocket: cannot reach the admin port at 127.0.0.1:1: connection refused; is the server running", 1},
		{"publish news", "", "rocket: want CHANNEL and DATA", 2},
		{"publish news a b", "", "rocket: want CHANNEL and DATA", 2},
		{"publish n\xff a", "", `rocket: CHANNEL "n\xff" is not UTF-8`, 2},
		{"publish -event e\xff news a", "", `rocket: -event "e\xff" is not UTF-8`, 2},
		{"subscribe news n\xff", "", `rocket: CHANNEL "n\xff" is not UTF-8`, 2},
		{"publish -url ws://127.0.0.1:1/ news a", "", "rocket: nothing listens at ws://127.0.0.1:1/; is the server running?\n", 3},
		{"subscribe -url 127.0.0.1:1 news", "", "rocket: nothing listens at ws://127.0.0.1:1; is the server running?\n", 3},
	} {
		t.Run(tt.args, func(t *testing.T) {
			stdout, stderr, status := call(strings.Fields(tt.args)...)
			if !begins(stdout, tt.stdout) || !begins(stderr, tt.stderr) || status != tt.status {
				t.Errorf("got status %d\n%s\n%s\nwant status %d\n%s\n%s", status, stdout, stderr, tt.status, tt.stdout, tt.stderr)
			}
		})
	}
}

// begins reports whether s begins with want, or is empty like it.
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

// Flags stand anywhere, in every command that has arguments.
func TestFlagsMayFollowArguments(t *testing.T) {
	url, heard := dialogue(t, ok, ok)
	for _, args := range [][]string{
		{"publish", "news", "1", "-secret", "hunter2", "-url", url, "-event=e"},
		{"publish", "-url", url, "news", "-secret=hunter2", "1", "-event", "e"},
		{"publish", "--secret", "hunter2", "news", "--event", "e", "--url=" + url, "--", "1"},
	} {
		*heard = nil
		if _, stderr, status := call(args...); status != 0 {
			t.Errorf("%v: got status %d, %s", args, status, stderr)
		}
		wantHeard(
			t, *heard, `{"auth":{"access":"read-write","secret":"hunter2"}}`,
			`{"publish":{"event":"e","channel":"news","data":1}}`,
		)
	}
	for _, tt := range []struct {
		args   string
		stderr string
		status int
	}{
		{"subscribe news -secert hunter2", "rocket: -secert: unknown flag; did you mean -secret?\nFor help: rocket subscribe -h\n", 2},
		{"subscribe news -5", "rocket: -5: unknown flag; an argument that begins with - goes after --\n", 2},
		{"subscribe news -secret", "rocket: flag needs an argument: -secret\n", 2},
		{"publish news -5", "rocket: -5: unknown flag; an argument that begins with - goes after --\n", 2},
		{"publish news 1 -url 127.0.0.1:1", "rocket: nothing listens at ws://127.0.0.1:1; is the server running?\n", 3},
		{"reload my.json -pid-fiel x", "rocket: -pid-fiel: unknown flag; did you mean -pid-file?\n", 2},
		{"check my.json -x", "rocket: -x: unknown flag", 2},
		{"health x -redy", "rocket: -redy: unknown flag; did you mean -ready?\n", 2},
		{"top x -interval 1s", "rocket: want no arguments but flags, not x\n", 2},
		{"doctor x y -json", "rocket: want one file, not x y\n", 2},
		{"completion bash -x", "rocket: -x: unknown flag", 2},
		{"man -x", "rocket: -x: unknown flag", 2},
	} {
		if _, stderr, status := call(strings.Fields(tt.args)...); !strings.HasPrefix(stderr, tt.stderr) || status != tt.status {
			t.Errorf("%s: got status %d, %swant %d, %s", tt.args, status, stderr, tt.status, tt.stderr)
		}
	}
	// Help is one flag among others.
	for _, c := range commands() {
		if stdout, stderr, status := call(c.name, "x", "-h"); status != 0 || stdout == "" || stderr != "" {
			t.Errorf("%s x -h: got status %d, %s%s", c.name, status, stdout, stderr)
		}
	}
}

// After -- a name that begins with a dash is a name, and so is what looks like a flag.
func TestArgumentsThatBeginWithADash(t *testing.T) {
	url, heard := dialogue(t, ok, ok, []string{`{"ok":true}`, goAway})
	if _, stderr, status := call("subscribe", "-secret", "--", "-url", url, "-once", "--", "-secret", "--"); status == statusUsage {
		t.Fatalf("got status %d, %s", status, stderr)
	}
	wantHeard(
		t, *heard, `{"auth":{"access":"read-only","secret":"--"}}`,
		`{"subscribe":{"channel":"-secret"}}`, `{"subscribe":{"channel":"--"}}`,
	)
}

// What rocket version says of the commit is also in the log and in the metrics.
func TestVersionNamesTheCommit(t *testing.T) {
	p := start(t, nil, "version")
	p.stdout.want(`^rocket 0\.3\.0\S* \(commit ` + testCommit + `, go1\.\S+, linux/\w+\)$`)
	p.wantStatus(0)
	s := start(t, nil, "-port", "0", "-admin", "127.0.0.1:0")
	s.stderr.want(`"msg":"serving".*"commit":"` + testCommit + `"`)
	admin := s.stdout.want(`^  admin +(http\S+)`)[1]
	response, err := http.Get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	metrics, err := io.ReadAll(response.Body)
	if !strings.Contains(string(metrics), `commit="`+testCommit+`"`) || err != nil {
		t.Errorf("rocket_build_info lacks the commit: %v\n%s", err, metrics)
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
