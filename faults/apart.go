package faults

import (
	"fmt"
	"os/exec"

	"golang.org/x/sys/unix"
)

// settleApart makes new network and mount namespaces fit to live in: loopback is up, and mounts stay inside.
func settleApart() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	return command("ip", "link", "set", "lo", "up")
}

// command runs a program that says something only when it fails.
func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}
