package engine

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// neverEqual is an error that errors.Is matches with nothing, itself included:
// its type cannot be compared.
type neverEqual []struct{}

func (neverEqual) Error() string { return "engine: accept failed" }

// gnet ends all its loops when accept(2) fails, whatever the reason: no file
// descriptor is left in the process or on the machine, the kernel has no
// memory, a security module forbids it. gnet tells such an error from others by
// errors.Is(err, ErrAcceptSocket). With neverEqual in its place that is always
// false, for every user of gnet in the program, and the loops go on. The engine
// learns of the failure from the line that gnet logs (handleLog).
func init() { gneterrors.ErrAcceptSocket = neverEqual{} }

// The beginnings of the lines in which gnet logs that accept failed, and why it
// ends.
const (
	logAccept = "Accept() failed"
	logEnd    = "engine is being shutdown with error"
)

// A listenSocket is a listening socket, in the epoll instance of its loop.
type listenSocket struct {
	fd    int
	epoll int // -1 if it has not been found
	event unix.EpollEvent
}

// resume makes epoll report new connections to the loop again.
func (s listenSocket) resume() { _ = unix.EpollCtl(s.epoll, unix.EPOLL_CTL_MOD, s.fd, &s.event) }

// pause makes epoll report nothing. New connections wait in the socket's
// backlog.
func (s listenSocket) pause() {
	silent := s.event
	silent.Events = 0
	_ = unix.EpollCtl(s.epoll, unix.EPOLL_CTL_MOD, s.fd, &silent)
}

// acceptFailed stops accepting until the next tick, so that the loops do not
// call accept in vain all the time. It is called on the loop whose accept
// failed.
func (e *Engine) acceptFailed(err error) {
	if e.ports.pause() {
		e.log().Error("accept failed; new connections wait", "error", err)
	}
}

// acceptAgain is called on each tick.
func (e *Engine) acceptAgain() {
	if e.ports.resume() {
		e.log().Warn("accept works again")
	}
}

// Accepting reports whether accept(2) worked the last time. If not, the engine
// tries again on each tick. Any goroutine.
func (e *Engine) Accepting() bool {
	e.ports.mu.Lock()
	defer e.ports.mu.Unlock()
	return !e.ports.failing
}

// pause stops accepting, and reports whether accept worked until now.
func (p *ports) pause() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = !p.failing
	p.failing, p.paused = true, true
	for _, s := range p.sockets {
		s.pause()
	}
	return first
}

// resume starts accepting again after pause. It reports whether accept has
// recovered: no call has failed since resume was called before.
func (p *ports) resume() (recovered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.paused {
		recovered, p.failing = p.failing, false
		return recovered
	}
	p.paused = false
	for _, s := range p.sockets {
		s.resume()
	}
	return false
}

// listenSocketsOf finds the epoll instance of each socket. gnet does not export
// them, but /proc shows which files an epoll instance watches.
func listenSocketsOf(fds []int) ([]listenSocket, error) {
	sockets := make([]listenSocket, len(fds))
	for i, fd := range fds {
		sockets[i] = listenSocket{fd: fd, epoll: -1}
	}
	names, err := openFiles()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if kind, _ := os.Readlink("/proc/self/fd/" + name); kind != "anon_inode:[eventpoll]" {
			continue
		}
		watched, err := watchedBy(name)
		if err != nil {
			return nil, err
		}
		for _, w := range watched {
			if i := slices.Index(fds, w.fd); i >= 0 {
				sockets[i] = w
			}
		}
	}
	return sockets, nil
}

// epollOf returns the epoll instance that watches a file, 0 if it is not found.
func (e *Engine) epollOf(fd int) int {
	found, err := listenSocketsOf([]int{fd})
	if err != nil || found[0].epoll < 0 {
		e.log().Warn("clients that send too much are closed, and not slowed down: the epoll instance of a loop is not found", "error", err)
		return 0
	}
	return found[0].epoll
}

// watchedBy returns the sockets that an epoll instance watches
// (proc_pid_fdinfo(5)).
func watchedBy(epoll string) (watched []listenSocket, err error) {
	text, err := os.ReadFile("/proc/self/fdinfo/" + epoll)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // closed meanwhile
	}
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var one listenSocket
		var data uint64
		if n, _ := fmt.Sscanf(lines.Text(), "tfd: %d events: %x data: %x", &one.fd, &one.event.Events, &data); n < 3 {
			continue
		}
		if _, err := fmt.Sscan(epoll, &one.epoll); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		one.event.Fd, one.event.Pad = int32(data), int32(data>>32)
		watched = append(watched, one)
	}
	return watched, nil
}

// handleLog acts on a line that gnet logs as an error. It reports whether the
// line is dealt with, and need not be logged.
func (e *Engine) handleLog(format string, args []any) bool {
	if len(args) == 0 {
		return false
	}
	err, _ := args[0].(error)
	if err != nil && strings.HasPrefix(format, logAccept) {
		e.acceptFailed(os.NewSyscallError("accept", err))
		return true
	}
	if err != nil && strings.HasPrefix(format, logEnd) {
		e.life.cause.CompareAndSwap(nil, &err)
	}
	return false
}
