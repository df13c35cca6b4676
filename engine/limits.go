package engine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reservedFiles is how many of the open files a process may have are not for
// connections: listeners, epoll instances, logs, connections that are refused.
const reservedFiles = 256

// FileLimit returns how many files the process may have open.
func FileLimit() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("engine: getrlimit: %w", err)
	}
	return r.Cur, nil
}

// connectionLimit returns how many connections there may be if wanted are asked
// for, 0 for as many as possible.
func connectionLimit(wanted int) (int, error) {
	files, err := FileLimit()
	if err != nil {
		return 0, err
	}
	if files <= reservedFiles {
		return 0, fmt.Errorf("engine: the limit of %d open files leaves none for connections; raise it to at least %d (ulimit -n)", files, 2*reservedFiles)
	}
	possible := int(min(files-reservedFiles, 1<<31))
	if wanted <= 0 {
		return possible, nil
	}
	return min(wanted, possible), nil
}
