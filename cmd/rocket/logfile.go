package main

import (
	"io"
	"io/fs"
)

// A logFile writes records to the end of a file, each whole or not at all. Without
// it half a record on a full disk would spoil the next one too, once there is room.
type logFile struct{ file appendFile }

// appendFile is an *os.File that was opened with O_APPEND.
type appendFile interface {
	io.Writer
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
}

// Write writes a record. Only one goroutine may write at a time, as slog does.
func (l logFile) Write(record []byte) (int, error) {
	n, err := l.file.Write(record)
	if err != nil && n > 0 {
		l.takeBack(n)
	}
	return n, err
}

// takeBack removes the last n bytes. What is no regular file keeps them, and so
// does one that somebody has emptied meanwhile.
func (l logFile) takeBack(n int) {
	info, err := l.file.Stat()
	if err == nil && info.Mode().IsRegular() && info.Size() >= int64(n) {
		_ = l.file.Truncate(info.Size() - int64(n)) // half a line is left, no worse
	}
}
