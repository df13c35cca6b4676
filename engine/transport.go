package engine

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// stage is the state of a connection with a transport.
type stage uint8

const (
	awaitingProxy stage = iota // for the end of the load balancer's PROXY header
	awaitingHello              // for the end of the client's first TLS record
	inHandshake                // the TLS handshake runs
	established                // bytes of WebSocket go both ways
)

// A transport is the layer between a socket and the bytes of WebSocket: a PROXY
// header, TLS, the client's address from a proxy. A connection that has none of
// these has no transport.
type transport struct {
	conn         *Conn
	listener     *listener
	remote       *net.TCPAddr // the client that the balancer or proxy names, nil if none
	session      *tls.Conn    // from the end of the TLS handshake
	tlsHandshake *tlsHandshake
	socket       *replay // when net/http has the connection, nil before
	arrived      []byte  // ciphertext for session to read, while it does
	stage        stage
	notified     bool // close_notify has been sent, or must not be
	forwarded    bool // the request came from an HTTP proxy that is trusted
}

// newTransport returns what a new connection needs, nil for nothing.
func newTransport(c *Conn, in *listener) *transport {
	t := &transport{conn: c, listener: in}
	switch {
	case len(in.proxies) > 0 && in.proxied(c.socket.RemoteAddr()):
		t.stage = awaitingProxy
	case in.tls != nil:
		t.stage = awaitingHello
	case in.trusts(c.socket.RemoteAddr()):
		t.stage = established // it has room for the client's address
	default:
		return nil
	}
	return t
}

// secured reports whether the bytes on the socket are TLS.
func (t *transport) secured() bool { return t != nil && t.listener.tls != nil }

// awaitsProxyHeader reports whether the PROXY header has yet to arrive.
func (t *transport) awaitsProxyHeader() bool { return t != nil && t.stage == awaitingProxy }

// awaitsForwarded reports whether the request of a trusted proxy has yet to
// name the client.
func (t *transport) awaitsForwarded() bool {
	return t != nil && len(t.listener.forwarders) > 0 && t.listener.trusts(t.conn.RemoteAddr())
}

// awaitsTransport reports whether the PROXY header or the TLS handshake is not
// complete, so that no answer can be sent.
func (t *transport) awaitsTransport() bool { return t != nil && t.stage != established }

// feed takes bytes of the socket.
func (t *transport) feed(b []byte) {
	for len(b) > 0 && t.conn.state < lingering {
		switch t.stage {
		case awaitingProxy:
			b = t.readProxyHeader(b)
		case awaitingHello:
			t.readHello(b)
			return
		case inHandshake:
			if !t.tlsHandshake.feed(b) {
				t.conn.abort(errEager)
			}
			return
		case established:
			if t.session != nil {
				t.unseal(b)
			} else {
				t.conn.take(b)
			}
			return
		}
	}
}

// readProxyHeader takes bytes of the PROXY header and returns those that follow
// it.
func (t *transport) readProxyHeader(b []byte) []byte {
	b = t.conn.gather(b)
	client, n, err := parseProxy(b)
	if err != nil {
		t.conn.abort(err)
		return nil
	}
	if n == 0 {
		return nil
	}
	t.remote, _ = client.(*net.TCPAddr)
	t.stage = established
	if t.listener.tls != nil {
		t.stage = awaitingHello
	}
	if !t.awaitsForwarded() {
		t.conn.admitClient()
	}
	rest := slices.Clone(b[n:])
	t.conn.freeInput()
	return rest
}

// readHello takes bytes of the client's first record. The TLS handshake begins
// when all of it has arrived, or as many bytes as a request may have, so that a
// client that sends nothing costs no goroutine.
func (t *transport) readHello(b []byte) {
	b = t.conn.gather(b)
	n, err := recordSize(b)
	switch {
	case err != nil:
		t.answerNoTLS(b)
		return
	case n == 0 || len(b) < min(n, maxHandshake):
		return
	}
	hello := slices.Clone(b)
	t.tlsHandshake = newTLSHandshake(t)
	t.conn.freeInput()
	t.stage = inHandshake
	if !t.tlsHandshake.pool.begin(t.tlsHandshake, hello) {
		t.conn.abort(errManyTLS)
	}
}

// What a TLS record looks like (RFC 8446 §5.1).
const (
	recordHeaderSize = 5
	recordHandshake  = 22
	recordMax        = 16 << 10
)

var (
	errNoTLS   = errors.New("engine: not a TLS handshake")
	errManyTLS = errors.New("engine: too many TLS handshakes at once")
	errEager   = errors.New("engine: too much sent before the TLS handshake has ended")
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

// answerNoTLS ends a connection whose first bytes are not TLS.
func (t *transport) answerNoTLS(b []byte) {
	c := t.conn
	if b[0] < 'A' || b[0] > 'Z' {
		c.abort(errNoTLS)
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

// gather appends b to what is buffered, and returns all of it.
func (c *Conn) gather(b []byte) []byte {
	if c.in == nil {
		c.in = c.loop.getInput()
	}
	c.in.message = append(c.in.message, b...)
	return c.in.message
}
