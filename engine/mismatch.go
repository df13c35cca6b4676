package engine

import (
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// errPlainPort answers a client that begins with TLS where there is none. It is
// HTTP, as net/http and nginx answer: a TLS alert would not tell the user why.
var errPlainPort = &codec.HandshakeError{
	Status: 400,
	Reason: "This port does not speak TLS: connect with ws://.",
	Label:  "transport",
}

// errTLSPort answers a client that speaks HTTP to a port with TLS, as net/http
// does.
var errTLSPort = &codec.HandshakeError{
	Status: 400,
	Reason: "This port speaks TLS: connect with wss://.",
	Label:  "transport",
}

// beginsTLS reports whether the first bytes of a client without TLS are those
// of a TLS handshake. No HTTP request begins with that byte.
func (c *Conn) beginsTLS(b []byte) bool {
	return c.in == nil && len(b) > 0 && b[0] == recordHandshake && !c.transport.secured()
}

// mismatchEvery is how many ticks pass between two log records of one mismatch.
const mismatchEvery = uint32(time.Minute / tick)

// A mismatch counts clients whose URL has ws:// for a port with TLS, or wss://
// for one without. Often many clients have the same wrong URL, so it is logged
// once a minute at most.
type mismatch struct {
	clients atomic.Uint64 // since the last record
	due     atomic.Uint32 // the tick from which on the next may be written
}

// spokeTLS counts a client with TLS at a port without. Any goroutine.
func (e *Engine) spokeTLS(c *Conn) {
	if n := e.noTLS.count(e.clock.Load()); n > 0 {
		e.log().Warn("clients speak TLS to a port without TLS; they need ws://", "clients", n, "last", c.RemoteAddr().String())
	}
}

// spokePlain counts a client without TLS at a port with it. Any goroutine.
func (e *Engine) spokePlain(c *Conn) {
	if n := e.tlsHere.count(e.clock.Load()); n > 0 {
		e.log().Warn("clients do not speak TLS to a port with TLS; they need wss://", "clients", n, "last", c.RemoteAddr().String())
	}
}

// count counts a client. It returns how many there have been since the last
// record if one is due now, otherwise 0.
func (m *mismatch) count(now uint32) uint64 {
	clients, due := m.clients.Add(1), m.due.Load()
	if now < due || !m.due.CompareAndSwap(due, now+mismatchEvery) {
		return 0
	}
	m.clients.Add(-clients)
	return clients
}
