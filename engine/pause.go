package engine

import "github.com/nu7hatch/webrocket/codec"

// pausedMax is how many bytes may come from a connection whose input is paused: gnet has no
// way to stop reading.
const pausedMax = 1 << 20

var errPaused = &codec.CloseError{
	Code: codec.StatusTryAgainLater, Reason: "too many messages wait for their replies",
}

// Pause stops the input of the connection behind the current message: what comes is kept,
// up to 1 MiB, until Resume, or until the connection is closed from here. A connection that sends more is closed with 1013. Pausing twice
// is pausing once.
func (c *Conn) Pause() {
	c.loop.own("Conn.Pause")
	l := c.loop
	if _, paused := l.paused[c]; paused || c.state != open {
		return
	}
	if l.paused == nil {
		l.paused = make(map[*Conn][]byte)
	}
	l.paused[c] = nil
}

// Resume goes on with the input of the connection in the next turn of the loop. It does
// nothing if that is not paused.
func (c *Conn) Resume() {
	c.loop.own("Conn.Resume")
	if _, paused := c.loop.paused[c]; paused {
		c.loop.Post(c.goOn)
	}
}

// goOn takes what has come while the input was paused.
func (c *Conn) goOn() {
	came, paused := c.loop.paused[c]
	if !paused {
		return
	}
	delete(c.loop.paused, c)
	defer c.guard()
	c.loop.begin()
	c.take(came)
}

// Guarded calls f as if a message had come: if it panics the connection is closed with 1011.
func (c *Conn) Guarded(f func()) {
	c.loop.own("Conn.Guarded")
	defer c.guard()
	f()
}

// keep reports whether the input is paused, and keeps what has come then.
func (c *Conn) keep(b []byte) bool {
	came, paused := c.loop.paused[c]
	switch {
	case !paused:
		return false
	case len(came)+len(b) > pausedMax:
		delete(c.loop.paused, c)
		c.fail(errPaused)
	default:
		c.loop.paused[c] = append(came, b...)
	}
	return true
}
