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

// unlike is an error that is no other: it cannot be compared, and so errors.Is
// finds it nowhere.
type unlike []struct{}

func (unlike) Error() string { return "engine: accept failed" }

// gnet's loops end when accept(2) fails, whatever the reason: no file is left in
// the process or on the machine, no memory in the kernel, a security module says
// no. They know that by errors.Is(err, ErrAcceptSocket), which is never so from
// now on, for every user of gnet in the program. What has to be done about it
// instead is done when gnet logs it.
func init() { gneterrors.ErrAcceptSocket = unlike{} }

// How the lines begin in which gnet says that accept failed, and why it ends.
const (
	logAccept = "Accept() failed"
	logEnd    = "engine is being shutdown with error"
)

// A door is a listening socket, in the epoll instance of its loop.
type door struct {
	fd    int
	epoll int // -1 if it has not been found
	event unix.EpollEvent
}

// open and shut say whether the loop is to hear of those who knock. They wait
// meanwhile, in the queue of the socket.
func (d door) open() { _ = unix.EpollCtl(d.epoll, unix.EPOLL_CTL_MOD, d.fd, &d.event) }

func (d door) shut() {
	silent := d.event
	silent.Events = 0
	_ = unix.EpollCtl(d.epoll, unix.EPOLL_CTL_MOD, d.fd, &silent)
}

// acceptFailed keeps newcomers waiting until the next tick, rather than have the
// loops try in vain all the time. It is called on the loop that has tried.
func (e *Engine) acceptFailed(err error) {
	if e.ports.shut() {
		e.log().Error("newcomers cannot be accepted and have to wait", "error", err)
	}
}

// acceptAgain is called on each tick.
func (e *Engine) acceptAgain() {
	if e.ports.open() {
		e.log().Warn("newcomers are accepted again")
	}
}

// Accepting tells whether newcomers are accepted, as far as is known. If not it
// is tried again on each tick. Any goroutine.
func (e *Engine) Accepting() bool {
	e.ports.mu.Lock()
	defer e.ports.mu.Unlock()
	return !e.ports.failing
}

// shut keeps newcomers waiting, and tells whether they were not already.
func (p *ports) shut() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = !p.failing
	p.failing, p.waiting = true, true
	for _, d := range p.doors {
		d.shut()
	}
	return first
}

// open lets them in again if they have been waiting. It tells whether that has
// gone well since it was called before.
func (p *ports) open() (well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waiting {
		well, p.failing = p.failing, false
		return well
	}
	p.waiting = false
	for _, d := range p.doors {
		d.open()
	}
	return false
}

// doorsOf finds the epoll instances in which sockets are. gnet keeps those to
// itself; the kernel does not.
func doorsOf(fds []int) ([]door, error) {
	doors := make([]door, len(fds))
	for i, fd := range fds {
		doors[i] = door{fd: fd, epoll: -1}
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
				doors[i] = w
			}
		}
	}
	return doors, nil
}

// watchedBy returns what an epoll instance watches (proc_pid_fdinfo(5)).
func watchedBy(epoll string) (watched []door, err error) {
	text, err := os.ReadFile("/proc/self/fdinfo/" + epoll)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // closed meanwhile
	}
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var d door
		var data uint64
		if n, _ := fmt.Sscanf(lines.Text(), "tfd: %d events: %x data: %x", &d.fd, &d.event.Events, &data); n < 3 {
			continue
		}
		if _, err := fmt.Sscan(epoll, &d.epoll); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		d.event.Fd, d.event.Pad = int32(data), int32(data>>32)
		watched = append(watched, d)
	}
	return watched, nil
}

// hear acts on what gnet logs, and tells whether no more need be said.
func (e *Engine) hear(format string, args []any) bool {
	if len(args) == 0 {
		return false
	}
	err, _ := args[0].(error)
	if err != nil && strings.HasPrefix(format, logAccept) {
		e.acceptFailed(os.NewSyscallError("accept", err))
		return true
	}
	if err != nil && strings.HasPrefix(format, logEnd) {
		e.cause.CompareAndSwap(nil, &err)
	}
	return false
}
