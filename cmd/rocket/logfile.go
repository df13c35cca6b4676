package main

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A namedLog is a log in a file that may be renamed, as logrotate does: reopen goes on
// in a new file of the name. Any goroutine.
type namedLog struct {
	name string

	mu   sync.Mutex
	file *os.File  // guarded by mu
	to   io.Writer // writes to file; guarded by mu
}

// openNamedLog appends to a file, which it creates if there is none.
func openNamedLog(name string) (*namedLog, error) {
	f, err := openAppending(name)
	if err != nil {
		return nil, err
	}
	return &namedLog{name: name, file: f, to: newLogFile(f)}, nil
}

func openAppending(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_CREATE|appending, 0o640)
}

// Write writes a record.
func (l *namedLog) Write(record []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(record)
}

// reopen goes on in the file that has the name now. If it fails, it goes on in the
// old one.
func (l *namedLog) reopen() error {
	next, err := openAppending(l.name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if sameFile(l.file, next) {
		return next.Close() // it knows whether its last line is whole
	}
	l.file.Close()
	l.file, l.to = next, newLogFile(next)
	return nil
}

func (l *namedLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.Close()
}

func sameFile(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// A logFile writes records to the end of a file. A full disk or pipe may take
// only a part of a record. The next record then begins a line of its own, once
// there is room. The part cannot be removed: the program that makes room may be
// truncating the file at the same time.
type logFile struct {
	file io.Writer // may write a part, without an error
	half bool      // the last line is no whole record
}

// newLogFile returns what writes records to f.
func newLogFile(f *os.File) io.Writer {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return &logFile{file: writesOnce{f}}
	}
	return &logFile{file: &stream{File: f, patience: time.Second}}
}

// Write writes a record. Only one goroutine may write at a time, as slog does.
func (l *logFile) Write(record []byte) (int, error) {
	line := record
	if l.half {
		line = append([]byte("\n"), record...)
	}
	n, err := l.file.Write(line)
	if n > 0 {
		l.half = !bytes.HasSuffix(line[:n], []byte("\n"))
	}
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return max(n-(len(line)-len(record)), 0), err
}

// writesOnce is a file that calls write(2) once for each Write. With a second
// call for the rest of a record, the rest alone could be written to a file that
// was truncated between the calls.
type writesOnce struct{ *os.File }

func (f writesOnce) Write(p []byte) (n int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = conn.Write(func(fd uintptr) bool {
		for n, failed = unix.Write(int(fd), p); failed == unix.EINTR; {
			n, failed = unix.Write(int(fd), p)
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return max(n, 0), err
}

// A stream is a pipe, a terminal or another log that is no file on a disk. A
// write waits only a short time for its reader: what does not fit is lost.
type stream struct {
	*os.File
	patience time.Duration // until there is room for the next part
	stuck    bool          // there was no room in that time; no write waits until there is room again
}

// atOnce is how many bytes a pipe takes without a wait, in any mode, if it has room
// at all (PIPE_BUF, pipe(7)).
const atOnce = 4096

// Write writes p, or as much of it as there is room for, with EAGAIN then. It leaves
// the mode of the file as it is: others may have the same one open.
func (s *stream) Write(p []byte) (n int, err error) {
	conn, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := conn.Control(func(fd uintptr) {
		for n < len(p) && err == nil {
			var some int
			some, err = s.writeSome(int(fd), p[n:min(n+atOnce, len(p))])
			n += some
		}
	})
	if failed != nil {
		err = failed
	}
	return n, err
}

// writeSome writes p as soon as there is room.
func (s *stream) writeSome(fd int, p []byte) (int, error) {
	for {
		if !s.awaitRoom(fd) {
			s.stuck = true
			return 0, unix.EAGAIN
		}
		n, err := unix.Write(fd, p)
		switch {
		case err == nil:
			s.stuck = false
			return n, nil
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			s.stuck = true
			return 0, err
		default:
			return 0, err
		}
	}
}

// awaitRoom reports whether a write would not wait; also if it would fail at
// once.
func (s *stream) awaitRoom(fd int) bool {
	wait := s.patience
	if s.stuck {
		wait = 0
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for end := time.Now().Add(wait); ; wait = max(time.Until(end), 0) {
		n, err := unix.Poll(fds, int(wait.Milliseconds()))
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}
