package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// floorWriter is the process in place of a server.
type floorWriter struct {
	FloorSpec
	control int
	fds     []int
	message []byte
	next    int   // socket
	ring    *ring // nil: send(2)
	batch   []int // sockets of the next io_uring_enter
	FloorResult
}

func writeFloor(spec FloorSpec, out io.Writer) error {
	runtime.LockOSThread()
	if err := raiseFileLimit(spec.Sockets + 1); err != nil {
		return err
	}
	w := &floorWriter{FloorSpec: spec, message: make([]byte, spec.Bytes*spec.PerWrite)}
	if err := w.accept(out); err != nil {
		return err
	}
	if err := w.awaitReader(); err != nil {
		return err
	}
	if spec.Mode == FloorUring {
		var err error
		if w.ring, err = newRing(); err != nil {
			return err
		}
		defer w.ring.close()
	}
	if err := w.writeFor(spec.For / 5); err != nil { // warm up
		return err
	}
	w.Writes, w.PartialWrites = 0, 0
	cpu, start := ownCPUTime(), time.Now()
	if err := w.writeFor(spec.For); err != nil {
		return err
	}
	used, took := ownCPUTime()-cpu, time.Since(start)
	w.FloorResult.FloorSpec = spec
	messages := w.Writes * int64(spec.PerWrite)
	w.MicrosPerWrite, w.MicrosPerMessage = micros(used, w.Writes), micros(used, messages)
	w.MessagesPerSec = float64(messages) / took.Seconds()
	return json.NewEncoder(out).Encode(w.FloorResult)
}

// accept prints the port and takes the control connection and then all others.
func (w *floorWriter) accept(out io.Writer) error {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(l)
	if err := unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(l, 4096); err != nil {
		return err
	}
	name, err := unix.Getsockname(l)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, name.(*unix.SockaddrInet4).Port)
	for i := range w.Sockets + 1 {
		fd, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
		if err != nil {
			return err
		}
		if err := noDelay(fd); err != nil {
			return err
		}
		if i == 0 {
			w.control = fd
		} else {
			w.fds = append(w.fds, fd)
		}
	}
	return nil
}

func (w *floorWriter) awaitReader() error {
	var b [1]byte
	n, err := unix.Read(w.control, b[:])
	if err == nil && n == 0 {
		err = errors.New("the reader has ended")
	}
	return err
}

func (w *floorWriter) writeFor(d time.Duration) error {
	end := time.Now().Add(d)
	if w.pattern() == FloorEcho {
		return w.echoUntil(end)
	}
	start := time.Now()
	for n := 0; time.Now().Before(end); n++ {
		if w.pattern() == FloorPaced {
			sleepUntil(start.Add(time.Duration(float64(n) / w.Rounds * 1e9)))
		}
		for range w.PerRound {
			if err := w.write(w.fds[w.next]); err != nil {
				return err
			}
			w.next = w.after(w.next)
		}
		if err := w.flush(); err != nil {
			return err
		}
		if w.pattern() == FloorClosed {
			if err := w.awaitReader(); err != nil {
				return err
			}
		}
	}
	return nil
}

// after is the next socket: the one beside it if a round goes to all, and otherwise one that is far away, since a real
// server's next channel is.
func (w *floorWriter) after(i int) int {
	if w.PerRound >= len(w.fds) {
		return (i + 1) % len(w.fds)
	}
	const far = 7919 // a prime, so that all sockets have their turn
	return (i + far) % len(w.fds)
}

// write sends one write's worth, or leaves it to the next flush if there is a ring.
func (w *floorWriter) write(fd int) error {
	w.Writes++
	if w.ring == nil {
		return w.writeAll(fd, w.message)
	}
	w.batch = append(w.batch, fd)
	if len(w.batch) < min(uringBatch, len(w.fds)) { // a socket is in a batch only once
		return nil
	}
	return w.flush()
}

// flush sends the batch. What a socket did not take is sent as send(2) does it.
func (w *floorWriter) flush() error {
	if len(w.batch) == 0 {
		return nil
	}
	err := w.ring.send(w.batch, w.message, func(fd, n int, errno syscall.Errno) error {
		switch {
		case errno != 0 && errno != unix.EAGAIN:
			return errno
		case n < len(w.message):
			w.PartialWrites++
			return w.writeAll(fd, w.message[n:])
		}
		return nil
	})
	w.batch = w.batch[:0]
	return err
}

// writeAll waits for a socket that does not take it all: the floor loses nothing either.
func (w *floorWriter) writeAll(fd int, b []byte) error {
	for {
		n, errno := send(fd, b)
		if errno != 0 && errno != unix.EAGAIN {
			return errno
		}
		if errno == 0 {
			b = b[n:]
		}
		if len(b) == 0 {
			return nil
		}
		w.PartialWrites++
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 1000); err != nil && err != unix.EINTR {
			return err
		}
	}
}

func (w *floorWriter) echoUntil(end time.Time) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(ep)
	for _, fd := range w.fds {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return err
		}
	}
	buf := make([]byte, readBuffer)
	events := make([]unix.EpollEvent, turnEvents)
	for time.Now().Before(end) {
		n, errno := epollWait(ep, events, int64(10*time.Millisecond))
		if errno != 0 && errno != unix.EINTR {
			return errno
		}
		for _, ev := range events[:max(n, 0)] {
			n, errno := recv(int(ev.Fd), buf)
			if errno == unix.EAGAIN {
				continue
			}
			if errno != 0 || n == 0 {
				return errors.New("the reader has ended")
			}
			if err := w.write(int(ev.Fd)); err != nil {
				return err
			}
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	return nil
}

func sleepUntil(t time.Time) {
	for {
		wait := time.Until(t)
		if wait <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(wait))
		if unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) == nil {
			return
		}
	}
}
