package engine

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
)

// pausedMax is how many bytes may come from a connection whose input is paused. The loop does
// not read its socket meanwhile, so more comes only where that cannot be stopped.
const pausedMax = 1 << 20

var errPaused = &codec.CloseError{
	Code: codec.StatusTryAgainLater, Reason: "too many messages wait for their replies",
}

// An Owing is a Protocol whose answers to messages may come later.
type Owing interface {
	// Owes reports whether answers are still to come. Then the connection does not end
	// when its client says, by a Close frame or by the end of its input, that nothing
	// follows: it ends in the next call of Conn.Resume after which nothing is owed.
	Owes(c *Conn) bool
}

// owes reports whether the protocol of an open connection has answers to give.
func (c *Conn) owes() bool {
	if c.state != open {
		return false
	}
	p, may := c.endpoint.Protocol.(Owing)
	return may && p.Owes(c)
}

// A pausedInput is what has come while the input was paused.
type pausedInput struct {
	came []byte // before that was known
	end  func() // what ends the connection, nil: nothing yet
}

// Pause stops the input of the connection behind the current message, until Resume, or until
// the connection is closed from here: the client's socket is not read, so its kernel lets it
// send as much as there is room for. Pausing twice is pausing once.
func (c *Conn) Pause() {
	c.loop.own("Conn.Pause")
	l := c.loop
	if _, paused := l.paused[c]; paused || c.state != open {
		return
	}
	if l.paused == nil {
		l.paused = make(map[*Conn]*pausedInput)
	}
	l.paused[c] = new(pausedInput)
	c.listen(false)
}

// Resume goes on with the input of the connection in the next turn of the loop. It does
// nothing if that is not paused.
func (c *Conn) Resume() {
	c.loop.own("Conn.Resume")
	if c.loop.paused[c] != nil || c.isHalf() {
		c.loop.Post(c.goOn)
	}
}

// goOn takes what has come while the input was paused.
func (c *Conn) goOn() {
	defer c.guard()
	c.loop.begin()
	if c.isHalf() {
		c.endHalf()
		return
	}
	p := c.loop.paused[c]
	if p == nil || p.end != nil && len(p.came) == 0 && c.owes() {
		return
	}
	c.unpause()
	if c.in != nil {
		c.in.since = c.loop.now // the rest of the message could not come
	}
	if c.take(p.came); p.end != nil && !c.defers(p.end) {
		p.end()
	}
}

// unpause ends a pause.
func (c *Conn) unpause() {
	if c.loop.paused[c] != nil {
		delete(c.loop.paused, c)
		c.listen(true)
	}
}

// defers reports whether the end of the connection, which the client has asked for, waits for
// answers. Then end is called when they have been given.
func (c *Conn) defers(end func()) bool {
	if !c.owes() {
		return false
	}
	c.Pause()
	c.loop.paused[c].end = end
	return true
}

// listen makes the loop read the socket, or not. gnet has no way to do that, but does not
// change by itself what epoll reports.
func (c *Conn) listen(on bool) {
	if c.loop.epoll <= 0 || c.socket == nil || c.state == dead || c.isHalf() {
		return
	}
	event := unix.EpollEvent{Fd: c.fd}
	if on {
		event.Events = unix.EPOLLIN | unix.EPOLLPRI
	}
	_ = unix.EpollCtl(c.loop.epoll, unix.EPOLL_CTL_MOD, int(c.fd), &event)
}

// Guarded calls f as if a message had come: if it panics the connection is closed with 1011.
func (c *Conn) Guarded(f func()) {
	c.loop.own("Conn.Guarded")
	defer c.guard()
	f()
}

// keep reports whether the input is paused, and keeps what has come then.
func (c *Conn) keep(b []byte) bool {
	p := c.loop.paused[c]
	switch {
	case p == nil:
		return false
	case p.end != nil: // nothing counts any more
	case len(p.came)+len(b) > pausedMax:
		c.fail(errPaused)
	default:
		p.came = append(p.came, b...)
	}
	return true
}

// A client may end its side of the TCP connection, and still read. gnet closes the socket
// then. Where answers are owed the connection goes on with a duplicate of it, which is only
// written to, until they have been given.

// isHalf reports whether the connection is one of these.
func (c *Conn) isHalf() bool {
	_, half := c.loop.halves[c]
	return half
}

// file returns the file descriptor that the connection is written to. Its ID has the one that it
// had first.
func (c *Conn) file() int32 {
	if len(c.loop.halves) > 0 && c.isHalf() {
		return c.loop.halves[c]
	}
	return c.fd
}

// outlives reports whether the connection goes on although gnet is about to close its socket.
func (c *Conn) outlives() bool {
	if c.isHalf() || !c.owes() {
		return false
	}
	c.unbatch()
	fd, err := c.socket.Dup()
	if err != nil {
		return false
	}
	l := c.loop
	if l.halves == nil {
		l.halves = make(map[*Conn]int32)
	}
	delete(l.paused, c)
	l.halves[c] = int32(fd)
	l.hold(c)
	return true
}

// endHalf ends a connection whose client has ended its side, if nothing is owed any more.
func (c *Conn) endHalf() {
	if c.state <= closing && !c.owes() {
		c.queueOnClose(io.EOF)
		c.became(finished)
		c.loop.touch(c)
	}
}

// closeHalf closes the socket of a connection that has outlived gnet's. It reports whether
// it is one.
func (c *Conn) closeHalf() bool {
	if !c.isHalf() {
		return false
	}
	_ = unix.Close(int(c.file()))
	delete(c.loop.halves, c)
	c.socketClosed(nil)
	c.loop.engine.uncount(c)
	return true
}
