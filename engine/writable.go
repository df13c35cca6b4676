package engine

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// writable waits until the sockets of slow readers take more. gnet watches a
// socket for that only while it has queued bytes for it, and has no event for
// it.
type writable struct {
	epoll int
	stop  int // an eventfd that ends run
	loops []*Loop
	done  chan struct{}
}

// newWritable starts the goroutine that waits. close ends it.
func newWritable(loops []*Loop) (*writable, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	w := &writable{epoll: epoll, stop: stop, loops: loops, done: make(chan struct{})}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, stop, &event); err != nil {
		w.release()
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	go w.run()
	return w, nil
}

// watch makes the loop of c learn, once, that its socket takes more. Closing
// the socket ends that.
func (w *writable) watch(c *Conn) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLOUT | unix.EPOLLONESHOT,
		Fd:     int32(c.loop.index),
		Pad:    int32(c.slot),
	}
	err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_MOD, int(c.file()), &event)
	if errors.Is(err, unix.ENOENT) {
		err = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, int(c.file()), &event)
	}
	return err
}

func (w *writable) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd < 0 {
				return
			}
			w.loops[e.Fd].writable(uint32(e.Pad))
		}
	}
}

// close ends run and waits for it.
func (w *writable) close() {
	_, _ = unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-w.done
	w.release()
}

func (w *writable) release() {
	_ = unix.Close(w.epoll)
	_ = unix.Close(w.stop)
}
