package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"

	"github.com/panjf2000/gnet/v2"

	"github.com/nu7hatch/webrocket/codec"
)

// ErrTimeout is the reason in OnClose if the client was silent for too long.
var ErrTimeout = errors.New("engine: no sign of life in time")

// ErrSlowReader is the reason in OnClose if more was queued for the client than
// Endpoint.MaxQueuedBytes.
var ErrSlowReader = &codec.CloseError{Code: codec.StatusTryAgainLater, Reason: "slow reader: too much waits to be read"}

// state is the state of a connection.
type state uint8

const (
	opening   state = iota // the opening handshake is not complete
	open                   // messages go both ways
	closing                // our Close frame is queued or sent, the client's has not come
	lingering              // all is queued or sent; input is read and ignored, so that all of it arrives
	finished               // the socket is closed once the queue is written
	dead                   // the socket is closed, or will be at the end of the turn
)

// A Conn is one connection. Its methods are for its own loop only, except for
// Loop, ID and Serial. Builds with the race detector check that: there a call
// from another goroutine panics.
//
// There may be millions: a field added here is paid for each of them.
type Conn struct {
	loop      *Loop
	endpoint  *Endpoint // nil while opening
	socket    gnet.Conn
	value     any
	transport *transport // TLS, a balancer's header or a proxy's, nil if the socket has none of these
	in        *input     // the part of a message or handshake that has arrived, nil if nothing
	out       *outbox    // what is queued for writing, nil if nothing
	serial    uint64     // number among the loop's connections
	slot      uint32     // place in the loop's tables
	fd        int32
	state     state
	deflate   codec.Deflate // what was negotiated about compression
	pinged    bool          // a ping has not been answered
	opened    bool          // OnOpen has been called, and OnClose is due
	refused   refusal       // why it is not admitted, 0 if it is
	parked    bool          // the worker wants to know when there is room for more
	chosen    uint16        // subprotocol: its number in Loop.subprotocols, 0 if none
}

// Loop returns the loop that owns the connection. Any goroutine.
func (c *Conn) Loop() *Loop { return c.loop }

// ID returns the number of the connection for Loop.Deliver. It is unique among
// the open connections of a loop, and valid until OnClose returns. Its top bit
// is clear. Any goroutine.
func (c *Conn) ID() uint64 { return uint64(c.fd)<<32 | uint64(c.slot) }

// Serial returns the number of the connection among all that its loop has had,
// from 1. No later connection of the loop gets the same. Any goroutine.
func (c *Conn) Serial() uint64 { return c.serial }

// Protocol returns the Protocol of the connection's endpoint, nil before
// OnOpen.
func (c *Conn) Protocol() Protocol {
	c.loop.own("Conn.Protocol")
	if c.endpoint == nil {
		return nil
	}
	return c.endpoint.Protocol
}

// Path returns the path of the connection's endpoint, with the braces if it has
// any, "" before OnOpen.
func (c *Conn) Path() string {
	c.loop.own("Conn.Path")
	if c.endpoint == nil {
		return ""
	}
	return c.endpoint.path
}

// MessageLimit returns how many bytes a message of the client may have, 0 before
// OnOpen. A reload may change it.
func (c *Conn) MessageLimit() int {
	c.loop.own("Conn.MessageLimit")
	if c.endpoint == nil {
		return 0
	}
	return c.endpoint.MaxMessageSize
}

// QueueLimit returns how many bytes may wait for the client while it reads nothing, 0
// before OnOpen: Endpoint.MaxQueuedBytes. A reload may change it.
func (c *Conn) QueueLimit() int {
	c.loop.own("Conn.QueueLimit")
	if c.endpoint == nil {
		return 0
	}
	return c.endpoint.MaxQueuedBytes
}

// Subprotocol returns the name that the handshake selected: the first of those
// in the client's Sec-WebSocket-Protocol that the endpoint has, "" if there is
// none (RFC 6455 §1.9, §4.2.2). A reload does not change it.
func (c *Conn) Subprotocol() string {
	c.loop.own("Conn.Subprotocol")
	if c.chosen == 0 {
		return ""
	}
	return c.loop.subprotocols[c.chosen-1]
}

// Value returns what SetValue was given last, nil before that.
func (c *Conn) Value() any {
	c.loop.own("Conn.Value")
	return c.value
}

// SetValue attaches the state that a Protocol keeps for this connection.
func (c *Conn) SetValue(v any) {
	c.loop.own("Conn.SetValue")
	c.value = v
}

// RemoteAddr returns the client's address. If a trusted load balancer or proxy
// names the client (Listener.ProxyFrom, Listener.ForwardedFrom) it is that
// address, otherwise the one at the other end of the socket: nil once the
// socket is closed, as it may be in OnClose.
func (c *Conn) RemoteAddr() net.Addr {
	c.loop.own("Conn.RemoteAddr")
	if c.transport != nil && c.transport.remote != nil {
		return c.transport.remote
	}
	return c.socket.RemoteAddr()
}

// Forwarded reports whether the opening handshake came from an HTTP proxy that is
// trusted (Listener.ForwardedFrom): what its fields say of the client can be believed.
func (c *Conn) Forwarded() bool {
	c.loop.own("Conn.Forwarded")
	return c.transport != nil && c.transport.forwarded
}

// TLS returns the state of the connection's TLS, nil if it has none.
func (c *Conn) TLS() *tls.ConnectionState {
	c.loop.own("Conn.TLS")
	if c.transport == nil || c.transport.session == nil {
		return nil
	}
	state := c.transport.session.ConnectionState()
	return &state
}

// feed takes bytes from the socket. It may modify them, and does not keep them.
func (c *Conn) feed(b []byte) {
	defer c.guard()
	c.loop.begin()
	c.loop.counts.busy()
	c.loop.counts.BytesIn += uint64(len(b))
	c.loop.Wake()
	if c.transport != nil {
		c.transport.feed(b)
		return
	}
	c.take(b)
}

// take takes bytes of WebSocket: the opening handshake, then frames.
func (c *Conn) take(b []byte) {
	for len(b) > 0 {
		switch c.state {
		case opening:
			b = c.readHandshake(b)
		case open, closing:
			if len(c.loop.paused) > 0 && c.keep(b) {
				return
			}
			b = c.read(b)
		default:
			return
		}
	}
}

// guard turns a panic of a Protocol into the end of this connection.
func (c *Conn) guard() {
	if r := recover(); r != nil {
		c.loop.counts.Panics++
		c.loop.engine.log().Error("a handler panicked; its connection is closed",
			"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		c.fail(&codec.CloseError{Code: codec.StatusInternalError, Reason: "internal error"})
	}
}

// became changes the state, with what depends on it.
func (c *Conn) became(s state) {
	c.state = s
	c.loop.hold(c)
	c.wait()
}
