package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// raiseOpenFiles raises the soft limit of open files to the hard one, and
// returns it. The Go runtime does that too when a program starts, but only
// where os is linked and the limit can be read then; connections depend on it.
func raiseOpenFiles() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("open-file limit: %w", err)
	}
	if limit.Cur == limit.Max {
		return limit.Cur, nil
	}
	soft := limit.Cur
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return soft, fmt.Errorf("open-file limit stays at %d: %w", soft, err)
	}
	return limit.Cur, nil
}
