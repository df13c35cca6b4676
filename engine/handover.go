package engine

import (
	"bytes"
	"net"

	"github.com/nu7hatch/webrocket/codec"
)

// A request that does not open a WebSocket connection leaves its loop, if the
// engine has a Config.HTTP. The loop duplicates the file descriptor, and closes
// its own: gnet removes that from its epoll instance first, and shuts nothing
// down. So the duplicate is the connection, and net/http has it alone (http.go).
// What has been read goes with it: the request, and with TLS the session and the
// ciphertext that it has not read. The loop reads nothing between the request and
// the close, because both happen in one of its calls.

// handed is a connection that leaves its loop.
type handed struct {
	conn    *Conn
	fd      int    // the duplicate
	request []byte // what has been read of the request
	sealed  []byte // ciphertext behind it, with TLS
	secure  bool   // TLS, or a proxy that may have it
	remote  net.Addr
	proxied *listener  // not nil: the header of each request may name its client
	session *transport // with TLS
}

var errHTTPFull = &codec.HandshakeError{
	Status: 503,
	Reason: "This server has as many HTTP connections as it may have. Try again later.",
	Header: "Retry-After: 1\r\n",
	Label:  "http_full",
}

// isForHTTP reports whether a request is for Config.HTTP.
func (c *Conn) isForHTTP(r *codec.Request) bool {
	return c.loop.engine.web != nil && !r.IsHandshake()
}

// handOver takes the connection of a request, which begins block, from the loop.
// giveAway must follow, when nothing of the connection is in use. Where MaxConnections
// are open there may still be room for HTTP, which has room of its own.
func (c *Conn) handOver(r *codec.Request, block []byte, before net.Addr) {
	w := c.loop.engine.web
	switch {
	case c.refused != admitted && c.refused != full:
		c.refuse(refusals[c.refused], r.Method)
		return
	case r.Secure() && c.transport == nil:
		c.refuse(errNotSecure, r.Method)
		return
	case !w.reserve():
		c.refuse(errHTTPFull, r.Method)
		return
	}
	if c.out != nil { // the end of the TLS handshake
		c.unbatch()
		c.flush()
	}
	if c.state != opening || c.out != nil { // the socket is broken, or takes nothing
		w.release()
		c.abort(errGone)
		return
	}
	fd, err := c.socket.Dup()
	if err != nil {
		w.release()
		c.refuse(errFull, r.Method)
		return
	}
	h := &handed{conn: c, fd: fd, request: bytes.Clone(block)}
	if t := c.transport; t != nil {
		h.secure, h.remote, h.sealed = true, c.RemoteAddr(), bytes.Clone(t.arrived)
		if before != nil {
			h.remote, h.proxied = before, t.listener
		}
	}
	c.loop.handed = h
	c.became(dead)
}

// giveAway gives net/http the connection that has been handed over since the last
// call, and reports whether there is one. The caller has to close it.
func (l *Loop) giveAway() bool {
	h := l.handed
	if h == nil {
		return false
	}
	l.handed = nil
	if t := h.conn.transport; t != nil {
		h.conn.transport, t.conn = nil, nil
		if t.secured() {
			h.session = t
		}
	}
	l.engine.web.take(h)
	return true
}
