package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// lines is a log that hands out its records.
type lines struct {
	slog.Handler
	records chan slog.Record
}

func newLines(t *testing.T) lines {
	return lines{slog.NewTextHandler(t.Output(), nil), make(chan slog.Record, 100)}
}

func (l lines) Handle(ctx context.Context, r slog.Record) error {
	l.records <- r
	return l.Handler.Handle(ctx, r)
}

// want waits for a message that begins so, and returns its attributes.
func (l lines) want(t *testing.T, begin string) map[string]string {
	t.Helper()
	for {
		r := receive(t, l.records)
		if !strings.HasPrefix(r.Message, begin) {
			continue
		}
		attrs := make(map[string]string)
		r.Attrs(func(a slog.Attr) bool {
			attrs[a.Key] = a.Value.String()
			return true
		})
		return attrs
	}
}

// limitFiles sets how many files the process may have open, for the test.
func limitFiles(t *testing.T, n uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
}

// takeFiles opens files until the next one would have the number limit-free,
// and returns them.
func takeFiles(t *testing.T, limit, free int) (taken []int) {
	t.Helper()
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.EMFILE) && free == 0:
			return taken
		case err != nil:
			t.Fatal(err)
		case fd >= limit-free:
			_ = unix.Close(fd)
			return taken
		}
		taken = append(taken, fd)
	}
}

func giveBack(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// knock connects a socket, asks, and returns the status of the answer.
func knock(t *testing.T, e *Engine, socket int) string {
	t.Helper()
	limit := unix.NsecToTimeval(int64(longWait))
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	port := e.Addr().(*net.TCPAddr).Port
	if err := unix.Connect(socket, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("connect: %v", err)
	}
	if _, err := unix.Write(socket, []byte(request)); err != nil {
		t.Fatalf("write: %v", err)
	}
	answer := make([]byte, 4096)
	n, err := unix.Read(socket, answer)
	for errors.Is(err, unix.EINTR) { // with a time limit the kernel does not try again by itself
		n, err = unix.Read(socket, answer)
	}
	if errors.Is(err, unix.ECONNRESET) {
		return "" // closed without a word, with the request unread
	}
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	status, _, _ := strings.Cut(string(answer[:n]), "\r\n")
	return status
}

// Files that are not connections may take up all that the process may have: who
// comes is refused while there is room for that. Then accept(2) fails, and who
// comes has to wait, and is served when there are files again. The server lives
// on. Whatever else makes accept(2) fail takes the same way.
func TestOtherFilesTakeAll(t *testing.T) {
	const limit = 1024
	limitFiles(t, limit)
	log := newLines(t)
	e := New(Config{Loops: 2, Log: slog.New(log)}, at("/", Endpoint{Protocol: echo}))
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Shutdown(context.Background()) }()
	sockets := make([]int, 4)
	for i := range sockets {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		sockets[i] = fd
	}
	defer giveBack(sockets)
	if got := knock(t, e, sockets[0]); !strings.Contains(got, "101") {
		t.Errorf("with files: got %q", got)
	}
	most := takeFiles(t, limit, refuseBelow-1)
	if got := knock(t, e, sockets[1]); !strings.Contains(got, "503") {
		t.Errorf("with few files: got %q", got)
	}
	rest := takeFiles(t, limit, closeBelow-1)
	if got := knock(t, e, sockets[2]); got != "" {
		t.Errorf("with hardly any: got %q", got)
	}
	rest = append(rest, takeFiles(t, limit, 0)...)
	status := make(chan string, 1)
	go func() {
		defer close(status)
		status <- knock(t, e, sockets[3])
	}()
	log.want(t, "accept failed; new connections wait")
	if e.Accepting() {
		t.Error("it says that newcomers are accepted")
	}
	giveBack(rest)
	giveBack(most)
	log.want(t, "accept works again")
	if got := receive(t, status); !strings.Contains(got, "101") {
		t.Errorf("with files again: got %q", got)
	}
	if !e.Accepting() {
		t.Error("it does not say that newcomers are accepted")
	}
}

// A start that fails for want of files, at whichever of them, leaves none open
// and no goroutine behind.
func TestFailedStartLeavesNothing(t *testing.T) {
	const limit = 1024
	limitFiles(t, limit)
	for free := 0; ; free++ {
		e := New(Config{Loops: 1, Log: slog.New(slog.DiscardHandler)}, at("/", Endpoint{Protocol: echo}))
		files, goroutines := countFiles(t), runtime.NumGoroutine()
		taken := takeFiles(t, limit, free)
		err := e.Start("127.0.0.1:0")
		giveBack(taken)
		if err == nil {
			if err := e.Shutdown(t.Context()); err != nil || free == 0 {
				t.Errorf("with %d files it starts; Shutdown: %v", free, err)
			}
			return
		}
		if got := countFiles(t); got != files {
			t.Errorf("with %d files: %d are open after %v, want %d", free, got, err, files)
		}
		waitFor(t, func() bool { return runtime.NumGoroutine() <= goroutines })
	}
}

func countFiles(t *testing.T) int {
	t.Helper()
	files, err := openFiles()
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestLimitOfFiles(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	for _, tt := range []struct {
		files         uint64
		wanted, loops int
		want          int // 0 for an error
	}{
		{1000, 0, 2, 1000 - reservedFiles - 2*filesPerLoop},
		{1000, 10, 2, 10},
		{1000, 10_000, 2, 1000 - reservedFiles - 2*filesPerLoop},
		{reservedFiles + filesPerLoop, 10, 1, 0},
		{reservedFiles + filesPerLoop + 1, 10, 1, 1},
		{reservedFiles / 2, 0, 1, 0},
	} {
		if tt.files > before.Max {
			t.Skipf("no more than %d files here", before.Max)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: tt.files, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		got, err := connectionLimit(tt.wanted, tt.loops, 0)
		if got != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%+v: got %d, %v", tt, got, err)
		}
	}
}
