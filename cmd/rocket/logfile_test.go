package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
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
