package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// fullFile is a file on a disk that has so much room.
type fullFile struct {
	*os.File
	room int
}

func (f *fullFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p[:min(len(p), f.room)])
	f.room -= n
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

// A record that does not fit leaves nothing behind.
func TestLogOnFullDisk(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.log")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	full := &fullFile{f, len("first\n") + 3}
	l := logFile{full}
	if _, err := l.Write([]byte("first\n")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // with three bytes of room, and with none
		if _, err := l.Write([]byte("second\n")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v, want ENOSPC", err)
		}
	}
	full.room = 100
	if _, err := l.Write([]byte("third\n")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if want := "first\nthird\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// A device has nothing that could be taken back.
func TestLogToFullDevice(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	if _, err := (logFile{f}).Write([]byte("x\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
}
