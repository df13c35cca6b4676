package engine

import (
	"errors"
	"io"

	"github.com/nu7hatch/webrocket/codec"
)

// Close begins the closing handshake (RFC 6455 §7.1.2): what was sent before
// goes out first, then a Close frame. Closing twice does nothing.
func (c *Conn) Close(code uint16, reason string) {
	c.loop.own("Conn.Close")
	if c.state != open {
		return
	}
	c.leave(&codec.CloseError{Code: code, Reason: reason})
	c.became(closing)
	c.push(codec.AppendClose(nil, code, reason))
}

// handleClose obeys a Close frame (RFC 6455 §5.5.1): "If an endpoint receives a
// Close frame and did not previously send a Close frame, the endpoint MUST send
// a Close frame in response."
func (c *Conn) handleClose(payload []byte) {
	code, reason, err := codec.ParseClose(payload)
	if err != nil {
		c.fail(err)
		return
	}
	answered := c.state == closing
	c.leave(&codec.CloseError{Code: code, Reason: reason, ByPeer: true})
	c.became(finished)
	if answered {
		c.loop.touch(c)
		return
	}
	c.push(codec.AppendClose(nil, code, ""))
}

// fail ends the connection because of the other side (RFC 6455 §7.1.7): a Close
// frame, and whatever comes then is not understood any more.
func (c *Conn) fail(err error) {
	var reason *codec.CloseError
	if !errors.As(err, &reason) {
		reason = &codec.CloseError{Code: codec.StatusInternalError, Reason: err.Error()}
	}
	before := c.state
	if before == lingering || before == finished || before == dead {
		return
	}
	c.freeInput()
	c.leave(reason)
	c.became(lingering)
	if before == open {
		c.push(codec.AppendClose(nil, reason.Code, reason.Reason))
	} else {
		c.loop.touch(c)
	}
}

// drop ends the connection without a word.
func (c *Conn) drop(reason error) {
	if c.state == dead {
		return
	}
	if c.state == opening {
		c.loop.counts.refused(reason)
	}
	c.leave(reason)
	c.became(dead)
	c.loop.doom(c)
}

// leave arranges for OnClose, once.
func (c *Conn) leave(reason error) {
	if c.met {
		c.met = false
		c.loop.counts.closed(reason)
		c.loop.leaving = append(c.loop.leaving, departure{c, reason})
		c.loop.settleSoon()
	}
}

// written is called when nothing waits to be written.
func (c *Conn) written() {
	if c.state >= lingering && c.transport.farewell() {
		return // it is called again
	}
	switch c.state {
	case lingering:
		// Closing now, with input unread, would reset the connection and could
		// destroy what is still on its way.
		c.loop.sockets.finish(c.fd)
	case finished:
		// "the server MUST close the underlying TCP connection immediately"
		// (RFC 6455 §7.1.1) once both Close frames are sent.
		c.drop(nil)
	}
}

// closed is called when the socket is closed, by whomever. There is no reason if
// we did it: the Handler knows already, unless the loop has ended.
func (c *Conn) closed(reason error) {
	c.loop.begin()
	if reason == nil {
		reason = ErrStopped
	}
	if c.state == opening {
		c.loop.counts.refused(errLeft)
	}
	if errors.Is(reason, io.EOF) && c.state != dead {
		c.lastWords()
	}
	c.leave(reason)
	c.became(dead)
	c.transport.abort()
	c.loop.bury(c)
}

// lastWords writes what the socket takes of what waits. Who has sent the end may
// have shut down only that side (half-closed TCP) and still read. With TLS that
// holds without a close_notify too: what came before it has arrived whole, and
// its answers are due; a record that was cut off is not read.
func (c *Conn) lastWords() {
	if c.transport.secured() {
		c.lastSealed()
		return
	}
	for c.more() {
		b := c.out.next(c.loop.scratch)
		n, _ := c.loop.sockets.write(c.fd, b)
		c.loop.counts.sent(0, n)
		c.out.advance(n)
		if n < len(b) {
			return
		}
	}
}
