package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
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

// A server uses all the open files that it may have, and says how many they are.
func TestOpenFilesEndToEnd(t *testing.T) {
	script := "ulimit -S -n 256; ulimit -H -n 512; exec " + rocket + " -port 0 -admin off"
	server := startCommand(t, exec.Command("sh", "-c", script), nil)
	server.stdout.want(`^  open files +at most 512$`)
	server.stdout.want(`^Ready`)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", server.cmd.Process.Pid))
	if err != nil || !regexp.MustCompile(`(?m)^Max open files +512 +512 `).Match(limits) {
		t.Errorf("got %v and the limits\n%s", err, limits)
	}
}
