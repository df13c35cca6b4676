package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fullFile is a file on a disk that has so much room.
type fullFile struct {
	writesOnce
	room int
}

func (f *fullFile) Write(p []byte) (int, error) {
	if f.room == 0 {
		return 0, syscall.ENOSPC
	}
	n, err := f.writesOnce.Write(p[:min(len(p), f.room)])
	f.room -= n
	return n, err
}

// Half a record that a full disk has taken does not spoil the next one.
func TestLogOnFullDisk(t *testing.T) {
	tests := []struct {
		name string
		room int // for the record that does not fit
		err  error
		want string
	}{
		{"room for three bytes", 3, io.ErrShortWrite, "first\nsec\nfourth\n"},
		{"no room", 0, syscall.ENOSPC, "first\nfourth\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "x.log")
			f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			full := &fullFile{writesOnce{f}, len("first\n") + test.room}
			l := &logFile{file: full}
			if _, err := l.Write([]byte("first\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Write([]byte("second\n")); !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if _, err := l.Write([]byte("third\n")); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v, want ENOSPC", err)
			}
			full.room = 100
			if n, err := l.Write([]byte("fourth\n")); n != len("fourth\n") || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
			if got, err := os.ReadFile(name); err != nil || string(got) != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// A device has no lines.
func TestLogToFullDevice(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	if _, err := newLogFile(f).Write([]byte("x\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
}

// A pipe that nobody reads costs one wait, and no record after it is torn.
func TestLogToFullPipe(t *testing.T) {
	for _, mode := range []struct {
		name     string
		blocking bool
	}{{"not blocking", false}, {"blocking", true}} {
		t.Run(mode.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			if err := syscall.SetNonblock(int(w.Fd()), !mode.blocking); err != nil {
				t.Fatal(err)
			}
			pipe := &stream{File: w, patience: time.Hour}
			l := &logFile{file: pipe}
			room := fillPipe(t, w) - 4096
			read := func(n int) string {
				b := make([]byte, n)
				if _, err := io.ReadFull(r, b); err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			read(4096) // room for the first half of a long record
			pipe.patience = time.Millisecond
			long := strings.Repeat("x", 5000) + "\n"
			if n, err := l.Write([]byte(long)); n != 4096 || !errors.Is(err, syscall.EAGAIN) {
				t.Errorf("got %d, %v, want 4096 and EAGAIN", n, err)
			}
			pipe.patience = time.Hour
			for range 3 {
				if n, err := l.Write([]byte("lost\n")); n != 0 || !errors.Is(err, syscall.EAGAIN) {
					t.Errorf("got %d, %v, want EAGAIN at once", n, err)
				}
			}
			read(room)
			for _, record := range []string{"whole\n", long} {
				if n, err := l.Write([]byte(record)); n != len(record) || err != nil {
					t.Errorf("got %d, %v, want %d", n, err, len(record))
				}
			}
			want := long[:4096] + "\nwhole\n" + long
			if got := read(len(want)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if pipe.stuck {
				t.Error("it does not wait any more")
			}
		})
	}
}

// fillPipe writes until there is no room, and returns how much it has written.
func fillPipe(t *testing.T, w *os.File) (n int) {
	t.Helper()
	conn, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for poll(t, w, unix.POLLOUT) != 0 {
		if failed := conn.Control(func(fd uintptr) { _, err = unix.Write(int(fd), make([]byte, 4096)) }); failed != nil || err != nil {
			t.Fatal(failed, err)
		}
		n += 4096
	}
	return n
}
