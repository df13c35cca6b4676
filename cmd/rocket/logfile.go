package main

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A logFile writes records to the end of a file. A full disk may take the first half
// of one: the next one begins a line of its own, once there is room. That half could
// not be taken back: somebody who makes room may be emptying the file just now.
type logFile struct {
	file io.Writer // may write a part, without an error
	half bool      // the last line is no whole record
}

// newLogFile returns what writes records to f.
func newLogFile(f *os.File) io.Writer {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return &logFile{file: writesOnce{f}}
	}
	return f // what waits for a pipe is written later
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

// writesOnce is a file that calls write(2) once for each Write. With another call for
// what the first one has left, that could stand alone in a file that has been emptied
// in between.
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
