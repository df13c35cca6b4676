package engine

import "golang.org/x/sys/unix"

// sockets is what a connection needs of the operating system. The file
// descriptor is the connection's own; all methods are called on its loop.
type sockets interface {
	// write sends what the socket takes at once.
	write(fd int32, b []byte) (int, error)

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

// kernel is the real thing.
type kernel struct {
	writable *writable
}

func (k kernel) write(fd int32, b []byte) (int, error) { return send(fd, b) }

func (k kernel) watch(c *Conn) error { return k.writable.watch(c) }

// patience is how long the kernel tries when a connection has been abandoned, in milliseconds.
const patience = 10_000

func (k kernel) abandon(fd int32) {
	// It is not for sockets' files, which have nothing on its way.
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, patience)
}

func (k kernel) finish(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

func (k kernel) close(c *Conn) { _ = c.socket.EventLoop().Close(c.socket) }
