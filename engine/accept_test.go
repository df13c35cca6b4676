package engine

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Each listening socket is found in the epoll instance of its loop, and in no
// other's.
func TestDoors(t *testing.T) {
	const loops = 3
	e := start(t, Config{Loops: loops}, Endpoint{Handler: echo})
	epolls := make(map[int]bool)
	for _, d := range e.ports.doors {
		if d.epoll < 0 || d.event.Events&unix.EPOLLIN == 0 || int(d.event.Fd) != d.fd {
			t.Errorf("got %+v", d)
		}
		epolls[d.epoll] = true
	}
	if len(e.ports.doors) != loops || len(epolls) != loops {
		t.Errorf("got %d sockets in %d instances, want %d in as many", len(e.ports.doors), len(epolls), loops)
	}
}

// If a loop ends after all, Wait tells why.
func TestLoopEnds(t *testing.T) {
	e := New(Config{Loops: 2}, at("/", Endpoint{Handler: echo}))
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	e.ports.mu.Lock()
	epoll := e.ports.doors[0].epoll
	e.ports.mu.Unlock()
	deaf, err := deafSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(deaf)
	if err := unix.Dup3(deaf, epoll, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := e.Wait(); !errors.Is(err, ErrStopped) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v, want that epoll_wait failed", err)
	}
	if err := e.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}
