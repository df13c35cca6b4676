package engine

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// How many of the process's open files are reserved for other things than
// connections.
const (
	reservedFiles = 256 // logs, connections that are refused, whatever else there is
	filesPerLoop  = 8   // listener, epoll instance, eventfd, pump, one being refused
)

// How many files must be free. The kernel gives each file the lowest number
// that is free, so the number of a new connection shows how many are left.
const (
	refuseBelow = 192 // new connections are refused with 503
	closeBelow  = 128 // they are closed without an answer
)

// FileLimit returns how many files the process may have open.
func FileLimit() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("engine: getrlimit: %w", err)
	}
	return r.Cur, nil
}

// ReservedFiles returns how many open files are not for connections if there
// are so many loops.
func ReservedFiles(loops int) int { return reservedFiles + filesPerLoop*loops }

// httpShare is the part of the open files that may be HTTP connections, if
// Config.MaxHTTPConnections does not say how many there may be. httpFiles is how many
// files are reserved for each: its own, and the client's end of a Pipe.
const (
	httpShare = 64
	httpFiles = 2
)

// httpLimit returns how many HTTP connections there may be if wanted are asked
// for, 0 for the default.
func httpLimit(wanted int) (int, error) {
	files, err := FileLimit()
	if err != nil {
		return 0, err
	}
	if wanted <= 0 {
		return int(min(files/httpShare, DefaultMaxHTTPConnections)), nil
	}
	return wanted, nil
}

// connectionLimit returns how many connections there may be on so many loops,
// beside so many for HTTP, if wanted are asked for, 0 for as many as possible.
func connectionLimit(wanted, loops, http int) (int, error) {
	files, err := FileLimit()
	if err != nil {
		return 0, err
	}
	reserved := uint64(ReservedFiles(loops) + httpFiles*http)
	if files <= reserved {
		return 0, fmt.Errorf("engine: the limit of %d open files leaves none for connections; raise it to at least %d (ulimit -n)", files, 2*reserved)
	}
	possible := int(min(files-reserved, math.MaxInt32))
	if wanted <= 0 {
		return possible, nil
	}
	return min(wanted, possible), nil
}
