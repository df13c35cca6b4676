package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestRaiseOpenFiles(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: before.Max / 2, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := raiseOpenFiles(); got != before.Max || err != nil {
			t.Errorf("got %d, %v, want %d", got, err, before.Max)
		}
	}
}
