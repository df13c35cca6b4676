package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// contains returns whether a file has a text by now.
func contains(name, text string) func() bool {
	return func() bool {
		b, _ := os.ReadFile(name)
		return strings.Contains(string(b), text)
	}
}

// rename renames a file, as logrotate does.
func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// After SIGHUP the logs go on in new files, be the configuration good or not.
func TestLogRotationEndToEnd(t *testing.T) {
	dir := t.TempDir()
	log, hubLog := filepath.Join(dir, "r.log"), filepath.Join(dir, "hub.log")
	config := `{"LogLevel": "debug", "Hubs": [{"Path": "/"}, {"Path": "/own", "Log": "` + hubLog + `", "Secrets": {"ReadOnly": "r", "ReadWrite": "w"}}]}`
	file := writeFile(t, config)
	server, url := startServer(t, nil, file, "-log", log)
	refused := func() {
		t.Helper()
		start(t, nil, "subscribe", "-url", url+"/own", "-secret", "wrong", "c").wantStatus(statusRefused)
		waitFor(t, "the hub's log has the login", contains(hubLog, "a login was refused"))
	}
	refused()
	for i, round := range []struct{ config, want string }{{config, `"reloaded"`}, {"{", "not reloaded"}} {
		old := fmt.Sprint(".", i)
		rename(t, log, log+old)
		rename(t, hubLog, hubLog+old)
		before := map[string]int64{log + old: fileSize(t, log+old), hubLog + old: fileSize(t, hubLog+old)}
		rewrite(t, file, round.config)
		server.signal(syscall.SIGHUP)
		waitFor(t, "the new log has "+round.want, contains(log, round.want))
		refused()
		for name, want := range before {
			if got := fileSize(t, name); got != want {
				t.Errorf("%s has grown from %d bytes to %d", name, want, got)
			}
		}
	}
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
	if !contains(log, "shutting down")() {
		t.Error("the new log lacks the end")
	}
}

func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A log that cannot be opened again is written where it was, and says so.
func TestLogRotationFailsEndToEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	server, _ := startServer(t, nil, "-log", filepath.Join(dir, "r.log"))
	rename(t, dir, dir+".old")
	server.signal(syscall.SIGHUP)
	waitFor(t, "the old log has the error", contains(filepath.Join(dir+".old", "r.log"), "a log cannot be opened again"))
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
	if !contains(filepath.Join(dir+".old", "r.log"), "shutting down")() {
		t.Error("the old log lacks the end")
	}
}

// Records that are written while a log is renamed and opened again are all there.
func TestReopenWhileWriting(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.log")
	l := newLogs(io.Discard, "info")
	defer l.close()
	log, err := l.to(name)
	if err != nil {
		t.Fatal(err)
	}
	const records, rounds = 2000, 20
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range records {
			log.Info("x", "n", i)
		}
	}()
	for i := range rounds {
		rename(t, name, fmt.Sprint(name, i))
		if err := l.reopen([]string{name}); err != nil {
			t.Fatal(err)
		}
	}
	<-written
	files, err := filepath.Glob(name + "*")
	if err != nil || len(files) != rounds+1 {
		t.Fatalf("got %v, %v, want %d files", files, err, rounds+1)
	}
	lines := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(text), "\n")
	}
	if lines != records {
		t.Errorf("got %d records, want %d", lines, records)
	}
}

// What is opened again is what is in use; a pipe keeps its reader.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	used, unused, pipe := filepath.Join(dir, "used"), filepath.Join(dir, "unused"), filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	l := newLogs(io.Discard, "info")
	defer l.close()
	logs := map[string]*slog.Logger{}
	for _, name := range []string{used, unused, pipe} {
		if logs[name], err = l.to(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{used, unused} {
		rename(t, name, name+".1")
	}
	if err := l.reopen([]string{used, pipe}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(unused); err == nil {
		t.Error("a file that no hub uses is there again")
	}
	for _, name := range []string{used, pipe} {
		logs[name].Info("hello")
	}
	if fileSize(t, used) == 0 || fileSize(t, used+".1") != 0 {
		t.Error("the record is not in the new file")
	}
	b := make([]byte, 100)
	if n, err := reader.Read(b); err != nil || !strings.Contains(string(b[:n]), "hello") {
		t.Errorf("the pipe has %q, %v", b[:n], err)
	}
}
