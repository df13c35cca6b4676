package engine

import (
	"errors"
	"io"

	"github.com/nu7hatch/webrocket/codec"
)

// The verbs that end a connection. The states are those of conn.go; Q stands
// for the frames that are queued.
//
//	verb            state before   on the wire                     state after
//	Close           open           Q, Close frame                  closing
//	goAway          open           Q, Close frame (1001)           closing
//	                opening        refuse: HTTP 503                lingering
//	handleClose     open           Q, Close frame in answer        finished
//	                closing        Q                               finished
//	fail            open           Q, Close frame with the error   lingering
//	                closing        Q                               lingering
//	pongTimeout     open           nothing, or as fail             dead, lingering
//	refuse          opening        HTTP error                      lingering
//	refuseSilently  opening        nothing                         lingering
//	answerNoTLS     opening        HTTP 400, not encrypted         lingering
//	sessionEnded    up to closing  Q, close_notify                 finished
//	  (TLS error)   up to closing  alert, no Q                     lingering
//	written         lingering      close_notify with TLS, FIN      lingering
//	                finished       close_notify with TLS, FIN      dead
//	handOver        opening        what net/http answers           dead
//	abort           any            nothing                         dead
//	socketClosed    any            Q, if only the client's side    dead
//	                               was closed
//	endHalf         open, closing  Q                               finished
//
// They are called when
//
//   - Close: the Protocol closes the connection, or its endpoint is gone;
//   - goAway: the engine drains or stops;
//   - handleClose: a Close frame has arrived;
//   - fail: the client broke the protocol, sent half a message or reads too slowly
//     (then without Q), or a Protocol panicked;
//   - pongTimeout: a ping was not answered in time; it fails the connection if
//     Endpoint.Silent is set, otherwise it aborts it;
//   - refuse: the opening handshake failed; refuseSilently: too many connections
//     wait to be refused; answerNoTLS: HTTP arrived on a port with TLS;
//   - sessionEnded: the client sent close_notify, or TLS failed;
//   - written: all that was queued has been written;
//   - handOver: the request is for Config.HTTP, which has the socket from then on;
//   - abort: the socket or the transport failed, or a deadline has passed;
//   - socketClosed: gnet has closed the socket;
//   - endHalf: the client has closed its side before, and was owed answers until now.
//
// Where answers are owed, handleClose, sessionEnded after a close_notify, and what follows from
// the end of the client's side wait for them (pause.go).
//
// What comes after is the same for all. queueOnClose arranges for OnClose, if
// OnOpen has been called. At the end of the turn (loop.go) depart calls
// OnClose, closeDoomed closes the sockets that abort has given to doom, and
// release takes back the slots of connections that socketClosed has given to
// bury.

// Close begins the closing handshake (RFC 6455 §7.1.2): what was sent before
// goes out first, then a Close frame. Closing twice does nothing.
func (c *Conn) Close(code uint16, reason string) {
	c.loop.own("Conn.Close")
	if c.state != open {
		return
	}
	c.queueOnClose(&codec.CloseError{Code: code, Reason: reason})
	c.became(closing)
	c.push(codec.AppendClose(nil, code, reason))
	c.Resume() // the client's Close frame is waited for
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
	c.queueOnClose(&codec.CloseError{Code: code, Reason: reason, ByPeer: true})
	c.became(finished)
	if answered {
		c.loop.touch(c)
		return
	}
	c.push(codec.AppendClose(nil, code, ""))
}

// fail ends the connection because of an error (RFC 6455 §7.1.7, "Fail the
// WebSocket Connection"): a Close frame is queued, and further input is
// ignored.
func (c *Conn) fail(err error) {
	var reason *codec.CloseError
	if !errors.As(err, &reason) {
		reason = &codec.CloseError{Code: codec.StatusInternalError, Reason: err.Error()}
		err = reason
	}
	before := c.state
	if before == lingering || before == finished || before == dead {
		return
	}
	c.freeInput()
	c.unpause()
	c.queueOnClose(err)
	c.became(lingering)
	if before == open {
		c.push(codec.AppendClose(nil, reason.Code, reason.Reason))
	} else {
		c.loop.touch(c)
	}
}

// abort ends the connection without a Close frame: nothing more is written, and
// the socket is closed at the end of the turn.
func (c *Conn) abort(reason error) {
	if c.state == dead {
		return
	}
	if c.state == opening {
		c.loop.counts.refused(reason)
	}
	c.queueOnClose(reason)
	c.became(dead)
	c.loop.doom(c)
}

// queueOnClose arranges for OnClose at the end of the turn, once.
func (c *Conn) queueOnClose(reason error) {
	if c.opened {
		c.opened = false
		c.loop.counts.closed(reason)
		c.loop.leaving = append(c.loop.leaving, departure{c, reason})
		c.loop.settleSoon()
	}
}

// written is called when nothing is queued any more.
func (c *Conn) written() {
	if c.state >= lingering && c.transport.farewell() {
		return // written is called again when the close_notify has been sent
	}
	switch c.state {
	case open:
		c.unpark()
	case lingering:
		// Closing now, with input unread, would reset the connection, and what
		// is still on its way could be lost.
		c.loop.sockets.finish(c.file())
	case finished:
		// "the server MUST close the underlying TCP connection immediately"
		// (RFC 6455 §7.1.1) once both Close frames are sent.
		c.abort(nil)
	}
}

// socketClosed is called when the socket has been closed, by either side. The
// reason is nil if the engine closed it: then queueOnClose has been called
// before, unless the loop has ended (ErrStopped).
func (c *Conn) socketClosed(reason error) {
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
	c.queueOnClose(reason)
	c.became(dead)
	c.transport.cancelHandshake()
	c.loop.bury(c)
}

// lastWords writes what the socket takes of the queue. A client that has sent
// EOF may have shut down only its sending side (half-closed TCP) and still
// read. The same holds for TLS without a close_notify: the messages before EOF
// have arrived whole and are answered; a record that was cut off is not read.
func (c *Conn) lastWords() {
	if all, _ := c.pour(); all && c.transport.farewell() {
		_, _ = c.pour() // behind what waited comes the close_notify that is due
	}
}
