package engine

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// stage is how far a connection with a transport has come.
type stage uint8

const (
	announcing stage = iota // a balancer's PROXY header has not come to its end
	greeting                // TLS: the first record of the client has not
	shaking                 // TLS: the handshake is at work
	through                 // the bytes of the protocol go both ways
)

// A transport is what stands between a socket and the bytes of the protocol: a
// balancer's header, TLS, a proxy that speaks for others. Connections with none of
// these have none.
type transport struct {
	conn      *Conn
	listener  *listener
	remote    net.Addr  // the client that the balancer or proxy names, nil if none
	session   *tls.Conn // from the end of the TLS handshake
	handshake *handshake
	arrived   []byte // ciphertext for session to read, while it does
	stage     stage
	notified  bool // no close_notify is due: sent, or of no use
}

// newTransport returns what a new connection needs, nil for nothing.
func newTransport(c *Conn, in *listener) *transport {
	t := &transport{conn: c, listener: in}
	switch {
	case len(in.proxies) > 0 && in.proxied(c.socket.RemoteAddr()):
		t.stage = announcing
	case in.tls != nil:
		t.stage = greeting
	case in.trusts(c.socket.RemoteAddr()):
		t.stage = through // it has room for the client's address
	default:
		return nil
	}
	return t
}

// secured tells whether the bytes on the socket are those of TLS.
func (t *transport) secured() bool { return t != nil && t.listener.tls != nil }

// announces tells whether a balancer has yet to say who it speaks for.
func (t *transport) announces() bool { return t != nil && t.stage == announcing }

// forwards tells whether the request has yet to say which client it is for.
func (t *transport) forwards() bool {
	return t != nil && len(t.listener.forwarders) > 0 && t.listener.trusts(t.conn.RemoteAddr())
}

// mute tells whether nothing of the protocol can be said yet.
func (t *transport) mute() bool { return t != nil && t.stage != through }

// feed takes bytes of the socket.
func (t *transport) feed(b []byte) {
	for len(b) > 0 && t.conn.state < lingering {
		switch t.stage {
		case announcing:
			b = t.announce(b)
		case greeting:
			t.greet(b)
			return
		case shaking:
			if !t.handshake.feed(b) {
				t.conn.drop(errEager)
			}
			return
		case through:
			if t.session != nil {
				t.unseal(b)
			} else {
				t.conn.take(b)
			}
			return
		}
	}
}

// announce takes bytes of the PROXY header and returns those that follow it.
func (t *transport) announce(b []byte) []byte {
	b = t.conn.gather(b)
	client, n, err := parseProxy(b)
	if err != nil {
		t.conn.drop(err)
		return nil
	}
	if n == 0 {
		return nil
	}
	t.remote = client
	t.stage = through
	if t.listener.tls != nil {
		t.stage = greeting
	}
	if !t.forwards() {
		t.conn.admit()
	}
	rest := slices.Clone(b[n:])
	t.conn.freeInput()
	return rest
}

// admit judges a connection once it is known which client it is for.
func (c *Conn) admit() {
	e := c.loop.engine
	if c.refused != admitted {
		return
	}
	if why := e.tooMany(c); why != admitted && !e.refuse(c, why) {
		c.drop(refusals[why])
	}
}

// greet takes bytes of the client's first record. Nothing begins before all of
// it is there, or as much as an opening handshake may have: who sends nothing
// costs nothing.
func (t *transport) greet(b []byte) {
	b = t.conn.gather(b)
	n, err := recordSize(b)
	switch {
	case err != nil:
		t.refuse(b)
		return
	case n == 0 || len(b) < min(n, maxHandshake):
		return
	}
	greeting := slices.Clone(b)
	t.handshake = newHandshake(t)
	t.conn.freeInput()
	t.stage = shaking
	if !t.handshake.pool.begin(t.handshake, greeting) {
		t.conn.drop(errBusy)
	}
}

// What a TLS record looks like (RFC 8446 §5.1).
const (
	recordHeaderSize = 5
	recordHandshake  = 22
	recordMax        = 16 << 10
)

var (
	errNoTLS = errors.New("engine: not a TLS handshake")
	errBusy  = errors.New("engine: too many TLS handshakes at once")
	errEager = errors.New("engine: too much sent before the TLS handshake has ended")
)

// recordSize returns the length of the record that b begins with, 0 if b is too
// short to tell.
func recordSize(b []byte) (int, error) {
	if b[0] != recordHandshake || len(b) > 1 && b[1] != 3 {
		return 0, errNoTLS
	}
	if len(b) < recordHeaderSize {
		return 0, nil
	}
	n := int(b[3])<<8 | int(b[4])
	if n > recordMax {
		return 0, errNoTLS
	}
	return recordHeaderSize + n, nil
}

// refuse ends a connection whose first bytes are not TLS.
func (t *transport) refuse(b []byte) {
	c := t.conn
	if b[0] < 'A' || b[0] > 'Z' {
		c.drop(errNoTLS)
		return
	}
	c.loop.engine.spokePlain(c)
	c.loop.counts.refused(errTLSPort)
	answer := codec.AppendRefusal(nil, errTLSPort, b, time.Now())
	c.freeInput()
	t.notified = true
	c.became(lingering)
	c.pushSealed(answer)
}

// gather returns all that has arrived of something, b at the end of it.
func (c *Conn) gather(b []byte) []byte {
	if c.in == nil {
		c.in = c.loop.getInput()
	}
	c.in.message = append(c.in.message, b...)
	return c.in.message
}
