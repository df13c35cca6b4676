package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The commands in the documentation do what it shows. They are run as they stand,
// in a network of their own, where the server's ports are free.
func TestDocumentedShell(t *testing.T) {
	for _, tt := range []struct{ document, first string }{
		{"README.md", "go install"},
		{"docs/operations.md", "export ROCKET_ADMIN_TOKEN"},
		{"docs/configuration.md", "echo"},
		{"docs/configuration.md", "rocket check example.json"},
		{"docs/conformance.md", "echo"},
		{"docs/tls.md", "rocket -tls-self-signed"},
	} {
		t.Run(tt.document+" "+tt.first, func(t *testing.T) {
			commands := documentedCommands(t, tt.document, tt.first)
			shell := newShell(t)
			var running []*process
			for _, c := range commands {
				running = append(running, shell.run(c))
			}
			for i, p := range running {
				wantShown(t, commands[i], p)
			}
		})
	}
}

// A shownCommand is a command in a document, and the lines that it prints there.
type shownCommand struct {
	line  string
	shown []string
}

// documentedCommands returns the commands of the block that begins with one.
func documentedCommands(t *testing.T, document, first string) (all []shownCommand) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", document))
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "\n```console\n$ "+first)
	block, _, _ = strings.Cut("$ "+first+block, "\n```")
	if !found {
		t.Fatalf("there is no such block")
	}
	for _, line := range strings.Split(strings.ReplaceAll(block, "\\\n", " "), "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, shownCommand{line: command})
		} else {
			last := &all[len(all)-1]
			last.shown = append(last.shown, line)
		}
	}
	return all
}

// A shell runs commands in one folder and one network.
type shell struct {
	t       *testing.T
	network string // the process that has it
	dir     string
	vars    []string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	// A user without rights may make a network in a namespace of users.
	holder := exec.Command("unshare", "--net", "--user", "--map-root-user", "sh", "-c", "ip link set lo up && echo up && exec sleep 1000")
	p := startCommand(t, holder, []string{"PATH=" + os.Getenv("PATH")})
	select {
	case line, ok := <-p.stdout.lines:
		if !ok || line != "up" {
			t.Skipf("no network namespace: %s", p.stderr.all())
		}
	case <-time.After(patience):
		t.Fatal("unshare hangs")
	}
	dir := t.TempDir()
	example, err := os.ReadFile("../../example.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "example.json"), example, 0o600); err != nil {
		t.Fatal(err)
	}
	return &shell{
		t: t, network: fmt.Sprint(holder.Process.Pid), dir: dir,
		vars: []string{"PATH=" + filepath.Dir(rocket) + ":" + os.Getenv("PATH")},
	}
}

// stays says that a command does its work until it is ended.
var stays = regexp.MustCompile(`(?m)^(Ready\.|subscribed to|.*"msg":"serving")`)

// run runs a command until it has ended or stays.
func (s *shell) run(c shownCommand) *process {
	s.t.Helper()
	if strings.HasPrefix(c.line, "go install ") {
		c.line = "true" // the tests have a rocket, and no network
	}
	if assignment, ok := strings.CutPrefix(c.line, "export "); ok {
		assignment, _, _ = strings.Cut(assignment, " ")
		s.vars = append(s.vars, assignment)
		c.line = "true"
	}
	cmd := exec.Command("nsenter", "--target", s.network, "--user", "--net", "--preserve-credentials", "bash", "-c", c.line)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := startCommand(s.t, cmd, s.vars)
	s.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	waitFor(s.t, c.line, func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return stays.MatchString(p.stdout.all() + "\n" + p.stderr.all())
		}
	})
	select {
	case <-p.ended:
		if status := p.cmd.ProcessState.ExitCode(); status != 0 {
			s.t.Errorf("%s: got status %d\n%s%s", c.line, status, p.stdout.all(), p.stderr.all())
		}
	default:
	}
	return p
}

// wantShown waits for the lines that a document shows of a command, where … stands
// for anything.
func wantShown(t *testing.T, c shownCommand, p *process) {
	t.Helper()
	for _, line := range c.shown {
		expr := "(?m)^" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + "$"
		if !regexp.MustCompile(expr).MatchString(p.stdout.all() + p.stderr.all()) {
			waitFor(t, fmt.Sprintf("%s prints %s, and not\n%s%s", c.line, line, p.stdout.all(), p.stderr.all()), func() bool {
				return regexp.MustCompile(expr).MatchString(p.stdout.all() + p.stderr.all())
			})
		}
	}
}

// Every command line of rocket in the documents and in the help has flags that there are.
func TestDocumentedFlags(t *testing.T) {
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, name := range append(names, "../../README.md", "../../bench/README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	for _, c := range commands() {
		texts["rocket help "+c.name] = c.long
	}
	// A line of a block of code, or a span.
	inCode := regexp.MustCompile("(?m)(?:^\\$ |^ +|`)(?:[A-Z_]+=\\S+ )*((?:bin/)?rocket -?[^`|&>#(\n]+)")
	lines := 0
	for name, text := range texts {
		for _, m := range inCode.FindAllStringSubmatch(text, -1) {
			words := strings.Fields(strings.ReplaceAll(m[1], "'", ""))[1:] // as a shell would, nearly
			if !strings.Contains(m[1], " -") || slices.Contains(words, "--") {
				continue
			}
			lines++
			if _, stderr, status := call(append(words, "-h")...); status != 0 {
				t.Errorf("%s: %s: %s", name, m[1], stderr)
			}
		}
	}
	if lines < 20 {
		t.Errorf("only %d lines are found", lines)
	}
}
