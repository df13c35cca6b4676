package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogs(t *testing.T) {
	var stderr strings.Builder
	l := newLogs(&stderr, "warn")
	name := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []string{"", "-", name, name} {
		log, err := l.to(dest)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("not this")
		log.Warn("this")
	}
	l.close()
	if len(l.files) != 1 {
		t.Errorf("one file is open %d times", len(l.files))
	}
	written, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(string(written), "before\n")
	if !ok {
		t.Error("what was in the file is gone")
	}
	for where, text := range map[string]string{"file": rest, "standard error": stderr.String()} {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if len(lines) != 2 {
			t.Errorf("%s: got %d lines, want 2", where, len(lines))
		}
		for _, line := range lines {
			var record struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &record); err != nil || record.Level != "WARN" || record.Msg != "this" {
				t.Errorf("%s: got %s", where, line)
			}
		}
	}
}

func TestLogFails(t *testing.T) {
	if _, err := newLogs(nil, "info").to("/nowhere/x.log"); err == nil {
		t.Error("no error")
	}
}
