package engine

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// sockets is what a connection needs of the operating system. The file
// descriptor is the connection's own; all methods are called on its loop.
type sockets interface {
	// write sends what the socket takes at once.
	write(fd int32, b []byte) (int, error)

	// writeAll is write for each of some sockets, which all differ. It tells whether
	// that was one system call.
	writeAll(batch []sending) (once bool)

	// watch makes the loop learn, once, that the socket takes more.
	watch(c *Conn) error

	// abandon makes the kernel give up soon on what was sent and the other side
	// has not taken. It goes on trying for minutes otherwise, also after close.
	abandon(fd int32)

	// finish sends nothing more but still reads.
	finish(fd int32)

	// close closes the socket.
	close(c *Conn)
}

// writeEach is writeAll where only write can be had.
func writeEach(s sockets, batch []sending) (once bool) {
	for i := range batch {
		one := &batch[i]
		one.n, one.err = s.write(one.fd, one.bytes)
	}
	return false
}

// kernel is the real thing.
type kernel struct {
	writable *writable
	ring     *ring // nil: there is none
	log      *slog.Logger
}

func (k *kernel) write(fd int32, b []byte) (int, error) { return send(fd, b) }

func (k *kernel) writeAll(batch []sending) (once bool) {
	if k.ring == nil || len(batch) < ringMin {
		return writeEach(k, batch)
	}
	k.ring.send(batch)
	if k.ring.broken {
		k.ring = nil // it is closed with the others
		k.log.Error("io_uring has failed, and is not used any more by this loop")
	}
	return true
}

func (k *kernel) watch(c *Conn) error { return k.writable.watch(c) }

// patience is how long the kernel tries when a connection has been abandoned, in milliseconds.
const patience = 10_000

func (k *kernel) abandon(fd int32) {
	// It is not for sockets' files, which have nothing on its way.
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, patience)
}

func (k *kernel) finish(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

func (k *kernel) close(c *Conn) {
	if !c.closeHalf() {
		_ = c.socket.EventLoop().Close(c.socket)
	}
}
