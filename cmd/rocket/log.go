package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// logs opens each destination once, so that hubs may share a file.
type logs struct {
	stderr io.Writer
	level  slog.LevelVar
	open   map[string]*slog.Logger
	files  map[string]*namedLog // of those that are files
}

// newLogs returns the logs of a level's name.
func newLogs(stderr io.Writer, level string) *logs {
	l := &logs{stderr: stderr, open: map[string]*slog.Logger{}, files: map[string]*namedLog{}}
	l.setLevel(level)
	return l
}

// setLevel changes the level of all of them.
func (l *logs) setLevel(name string) {
	// The name is one of slog's: settings allows no other.
	_ = l.level.UnmarshalText([]byte(name))
}

// to returns the logger that writes to a file, or to standard error for "" and "-".
func (l *logs) to(name string) (*slog.Logger, error) {
	if name == "" {
		name = "-"
	}
	if log := l.open[name]; log != nil {
		return log, nil
	}
	handler, err := l.handler(name)
	if err != nil {
		return nil, err
	}
	l.open[name] = slog.New(handler)
	return l.open[name], nil
}

// handler writes text for a person at a terminal, and JSON for programs.
func (l *logs) handler(name string) (slog.Handler, error) {
	options := &slog.HandlerOptions{Level: &l.level}
	if name == "-" {
		if isTerminal(l.stderr) {
			return slog.NewTextHandler(l.stderrLog(), options), nil
		}
		return slog.NewJSONHandler(l.stderrLog(), options), nil
	}
	f, err := openNamedLog(name)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("log: %w: this pipe has no reader; start the reader first", err)
	}
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	l.files[name] = f
	return slog.NewJSONHandler(f, options), nil
}

// reopen opens the files anew that are in use, since another program may have
// renamed them, and closes the others. A file that cannot be opened stays as it is.
func (l *logs) reopen(used []string) error {
	var failed []error
	for name, f := range l.files {
		if slices.Contains(used, name) {
			failed = append(failed, f.reopen())
			continue
		}
		f.close()
		delete(l.files, name)
		delete(l.open, name)
	}
	return errors.Join(failed...)
}

// stderrLog returns what writes records to standard error.
func (l *logs) stderrLog() io.Writer {
	if f, ok := l.stderr.(*os.File); ok {
		return newLogFile(f)
	}
	return l.stderr
}

// close closes the files.
func (l *logs) close() {
	for _, f := range l.files {
		f.close()
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
