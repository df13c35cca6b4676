package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/bench"
)

func TestMain(m *testing.M) {
	bench.BeFloor()
	os.Exit(m.Run())
}

func TestExitStatus(t *testing.T) {
	notJSON := filepath.Join(t.TempDir(), "x.json")
	if err := os.WriteFile(notJSON, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		args   string
		status int
		says   string
	}{
		{"nothing", "", exitUsage, "rocket-bench SCENARIO"},
		{"help", "help", exitGood, "broadcast"},
		{"help of a scenario", "fanout -h", exitGood, "-saturate"},
		{"unknown scenario", "fly", exitUsage, `no scenario "fly"`},
		{"unknown flag", "fanout -wings", exitUsage, "-wings"},
		{"argument", "fanout wings", exitUsage, `"wings" is not a flag`},
		{"bad CPU", "fanout -cpus x", exitUsage, "not a CPU"},
		{"bad option", "fanout -conns -1", exitUsage, "-conns"},
		{"foreign target", "fanout -target ws://192.0.2.1/", exitUsage, "-i-own-this-target"},
		{"nobody there", "fanout -target ws://127.0.0.1:1/ -no-floor", exitError, "connection refused"},
		{"no program", "fanout -server /nonexistent/rocket", exitError, "no server"},
		{"unknown entry", "standard -only S99", exitUsage, `no entry "S99"`},
		{"no repeats", "compare -repeat 0", exitUsage, "-repeat"},
		{"report of nothing", "report", exitUsage, "JSON files"},
		{"report of a missing file", "report /nonexistent.json", exitError, "no such file"},
		{"report of something else", "report " + notJSON, exitError, "not a result"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			status := run(t.Context(), strings.Fields(tt.args), &out, &out)
			if status != tt.status || !strings.Contains(out.String(), tt.says) {
				t.Errorf("rocket-bench %s: status %d, want %d and %q in:\n%s", tt.args, status, tt.status, tt.says, &out)
			}
		})
	}
}

func TestRunAndReport(t *testing.T) {
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.DiscardHandler)
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown(context.Background())

	dir := t.TempDir()
	json, html := filepath.Join(dir, "a.json"), filepath.Join(dir, "a.html")
	var out, errs bytes.Buffer
	args := []string{
		"fanout", "-target", "ws://" + s.Addr().String(), "-conns", "5", "-count", "20", "-warmup", "0s", "-duration", "1m",
		"-no-floor", "-json", json, "-html", html,
	}
	if status := run(t.Context(), args, &out, &errs); status != exitGood {
		t.Fatalf("status %d: %s%s", status, &out, &errs)
	}
	if !strings.Contains(out.String(), "every delivery right: 100 delivered") {
		t.Errorf("result: %s", &out)
	}
	if errs.Len() > 0 {
		t.Errorf("progress though standard error is no terminal: %s", &errs)
	}
	out.Reset()
	if status := run(t.Context(), []string{"report", json, json, "-html", html}, &out, &errs); status != exitGood {
		t.Fatalf("report: status %d: %s", status, &errs)
	}
	if !strings.Contains(out.String(), "a rocket  a rocket") {
		t.Errorf("report: %s", &out)
	}
	page, err := os.ReadFile(html)
	if err != nil || !bytes.Contains(page, []byte("</html>")) {
		t.Errorf("page of %d bytes, %v", len(page), err)
	}
}
