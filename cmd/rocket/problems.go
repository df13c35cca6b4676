package main

import (
	"errors"
	"os"
	"strings"
)

// problem is one thing that is wrong with the configuration.
type problem struct {
	where string // "my.json:7: Hubs[1].Path", "ROCKET_PORT" or "-port"
	what  string // what is wrong, and how to mend it
	line  int    // of the file, 0 where it is about more than a line

	content bool // a file is wrong that a setting names, not the setting
}

// problems is all that is wrong with the configuration, as one error.
type problems []problem

func (ps problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.where + ": " + p.what
	}
	return strings.Join(lines, "\n")
}

// status returns the exit status: where a flag has a part in it, the command
// line is to be mended.
func (ps problems) status() int {
	for _, p := range ps {
		if strings.HasPrefix(p.where, "-") && !p.content {
			return statusUsage
		}
	}
	return statusFailed
}

// asError returns nil where nothing is wrong: an empty problems in an error
// would not be nil.
func (ps problems) asError() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// reason returns what went wrong with a file, without repeating its name.
func reason(err error) string {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}
