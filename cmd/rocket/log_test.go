package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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

// The log of a hub that is gone is closed, and opened when the hub comes back.
func TestLogThatComesBack(t *testing.T) {
	l := newLogs(io.Discard, "info")
	defer l.close()
	name := filepath.Join(t.TempDir(), "hub.log")
	log, err := l.to(name)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("first")
	if err := l.reopen(nil); err != nil {
		t.Fatal(err)
	}
	if log.Info("late"); contains(name, "late")() || len(l.files) != 0 {
		t.Errorf("it is still open: %v", l.files)
	}
	if log, err = l.to(name); err != nil {
		t.Fatal(err)
	}
	if log.Info("second"); !contains(name, "second")() {
		t.Error("what is logged after it came back is lost")
	}
}

// A person at a terminal gets text.
func TestLogOnATerminal(t *testing.T) {
	screen, terminal := openTerminal(t)
	log, err := newLogs(terminal, "info").to("-")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("hello", "n", 1)
	line, err := bufio.NewReader(screen).ReadString('\n')
	if err != nil || !strings.Contains(line, " level=INFO msg=hello n=1") {
		t.Errorf("got %q, %v, want text", line, err)
	}
}

// openTerminal returns both ends of a pseudo-terminal.
func openTerminal(t testing.TB) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return screen, terminal
}

// The names of files are relative to where rocket is started.
func TestRelativeFilesEndToEnd(t *testing.T) {
	cmd := exec.Command(rocket, "-port", "0", "-admin", "off", "-log", "my.log", "-pid-file", "my.pid")
	cmd.Dir = t.TempDir()
	server := startCommand(t, cmd, nil)
	server.stdout.want(`^Ready`)
	server.signal(syscall.SIGHUP) // it has written the file by the time that it obeys
	waitForFile(t, filepath.Join(cmd.Dir, "my.log"), "reloaded")
	waitForFile(t, filepath.Join(cmd.Dir, "my.pid"), fmt.Sprint(server.cmd.Process.Pid))
	server.signal(syscall.SIGINT)
	server.wantStatus(0)
}

// waitForFile returns when a file has a text.
func waitForFile(t *testing.T, name, text string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s has %q", name, text), func() bool {
		b, err := os.ReadFile(name)
		return err == nil && strings.Contains(string(b), text)
	})
}

// Who is neither the owner nor of the group cannot read a log.
func TestLogFileMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // which would hide what is asked for
	name := filepath.Join(t.TempDir(), "x.log")
	l := newLogs(nil, "info")
	defer l.close()
	if _, err := l.to(name); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o640 {
		t.Errorf("got %v, %v, want the mode 0640", info.Mode(), err)
	}
}

// A log that cannot be written, as on a full disk, keeps nobody from anything.
func TestLogDiskFullEndToEnd(t *testing.T) {
	server, url := startServer(t, nil, "-log", "/dev/full", "-log-level", "debug")
	reader := start(t, nil, "subscribe", "-url", url, "c")
	reader.stderr.want(`^subscribed`)
	start(t, nil, "publish", "-url", url, "c", "1").wantStatus(0)
	reader.stdout.want(`"data":1`)
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
}

// Who read the log may be gone when the server is to end.
func TestLogReaderGoneEndToEnd(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `exec "$0" -port 0 -admin off 2>&3`, rocket)
	cmd.ExtraFiles = []*os.File{w}
	server := startCommand(t, cmd, nil)
	url := server.stdout.want(`(ws://localhost:\d+)/ `)[1]
	_ = w.Close()
	_ = r.Close()
	reader := start(t, nil, "subscribe", "-url", url, "c")
	reader.stderr.want(`^subscribed`)
	server.signal(syscall.SIGTERM)
	reader.stderr.want(`1001`)
	server.wantStatus(0)
}

// A pipe may be the log if somebody reads it when the server starts: it waits for nobody.
func TestLogIsAPipeEndToEnd(t *testing.T) {
	pipe := makePipe(t)
	early := start(t, nil, "-port", "0", "-admin", "off", "-log", pipe)
	early.wantStatus(statusFailed)
	early.stderr.want(`log: open .*: this pipe has no reader; start the reader first`)

	const with = `{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": %q}}]}`
	r := openToRead(t, pipe)
	file, pid := writeFile(t, fmt.Sprintf(with, "old")), filepath.Join(t.TempDir(), "pid")
	args := []string{file, "-log", pipe, "-pid-file", pid, "-io-uring", "off"} // with auto the log may begin with its refusal
	server, url := startServer(t, nil, args...)
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || !strings.Contains(line, `"serving"`) {
		t.Errorf("got %q, %v", line, err)
	}
	_ = r.Close()
	subscriber := start(t, []string{"ROCKET_SECRET=old"}, "subscribe", "-url", url, "c")
	subscriber.stderr.want(`^subscribed`)
	rewrite(t, file, fmt.Sprintf(with, "new"))
	start(t, nil, append([]string{"reload"}, args...)...).wantStatus(0) // nobody hears of it, and it is obeyed
	subscriber.stderr.want(`4401 the secret of this login is not valid any more`)
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
}

// Who reads a pipe does not find its end because the configuration is checked.
func TestCheckOfPipe(t *testing.T) {
	pipe := makePipe(t)
	r := openToRead(t, pipe)
	if err := checkAppendable(pipe); err != nil {
		t.Error(err)
	}
	if events := poll(t, r, unix.POLLIN); events != 0 {
		t.Errorf("who reads it sees the events %#x", events)
	}
}

// A log that is there and is not read keeps the server from nothing either.
func TestLogNotReadEndToEnd(t *testing.T) {
	for _, tt := range []struct{ name, command string }{
		{"standard error", `exec "$0" -port 0 -admin off 2>"$1"`},
		{"file", `exec "$0" -port 0 -admin off -log "$1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pipe := makePipe(t)
			openToRead(t, pipe)
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			server := startCommand(t, exec.Command("sh", "-c", tt.command, rocket, pipe), nil)
			url := server.stdout.want(`(ws://localhost:\d+)/ `)[1]
			server.stdout.want(`^Ready`)
			reader := start(t, nil, "subscribe", "-url", url, "c")
			reader.stderr.want(`^subscribed`)
			fillPipe(t, w)
			server.signal(syscall.SIGTERM)
			reader.stderr.want(`1001`)
			server.wantStatus(0)
		})
	}
}

// makePipe makes a named pipe.
func makePipe(t *testing.T) string {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	return pipe
}

// openToRead opens a pipe, without waiting for who writes.
func openToRead(t *testing.T, pipe string) *os.File {
	t.Helper()
	r, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// poll returns what has come true of f, without waiting.
func poll(t *testing.T, f *os.File, events int16) int16 {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fds [1]unix.PollFd
	if failed := conn.Control(func(fd uintptr) {
		fds[0] = unix.PollFd{Fd: int32(fd), Events: events}
		_, err = unix.Poll(fds[:], 0)
	}); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	return fds[0].Revents
}

// A client ends when nobody reads what it prints.
func TestSubscribeReaderGoneEndToEnd(t *testing.T) {
	_, url := startServer(t, nil)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `exec "$0" subscribe -url "$1" c >&3`, rocket, url)
	cmd.ExtraFiles = []*os.File{w}
	reader := startCommand(t, cmd, nil)
	reader.stderr.want(`^subscribed`)
	_ = w.Close()
	_ = r.Close()
	start(t, nil, "publish", "-url", url, "c", "1").wantStatus(0)
	reader.wantStatus(-1)
	if status := reader.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGPIPE {
		t.Errorf("got %v", status)
	}
}

func TestLogFails(t *testing.T) {
	if _, err := newLogs(nil, "info").to("/nowhere/x.log"); err == nil {
		t.Error("no error")
	}
}
