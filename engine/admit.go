package engine

import (
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

var (
	errFull = &codec.HandshakeError{
		Status: 503,
		Reason: "This server has as many connections as it may have. Try again later.",
		Header: "Retry-After: 5\r\n",
		Label:  "full",
	}
	errNoMemory = &codec.HandshakeError{
		Status: 503,
		Reason: "This server is short of memory. Try again later.",
		Header: "Retry-After: 5\r\n",
		Label:  "no_memory",
	}
	errTooMany = &codec.HandshakeError{
		Status: 503,
		Reason: "Too many connections come at the same time. Try again later, after a random pause.",
		Header: "Retry-After: 2\r\n",
		Label:  "too_many",
	}
)

// A refusal is why a connection is not admitted. Such a connection stays open
// until its request has arrived, and is answered with 503 then: HTTP clients
// ignore an answer that comes before they have sent a request.
type refusal uint8

const (
	admitted refusal = iota
	full
	noMemory
	tooMany
)

var refusals = [...]*codec.HandshakeError{full: errFull, noMemory: errNoMemory, tooMany: errTooMany}

// refusalMax is how many connections may be kept open at once only to be
// refused with an answer. Further ones are closed without an answer.
const refusalMax = 64

// admit counts a new connection and decides whether it is admitted. It returns
// false if the caller has to close the connection at once. A refused connection
// that is kept open for its answer returns true.
func (e *Engine) admit(c *Conn) bool {
	e.conns.Add(1)
	n := int(e.admitted.Add(1))
	if e.life.stopping.Load() {
		c.refuseSilently(errStopping)
		return false
	}
	switch why := e.judge(c, n); {
	case why != admitted && !e.markRefused(c, why):
		c.refuseSilently(refusals[why])
		return false
	case e.maxFiles-int(c.fd) < closeBelow:
		c.refuseSilently(errFull)
		return false
	}
	return true
}

// judge decides whether a connection is admitted. It is counted already, as the
// n-th admitted one.
func (e *Engine) judge(c *Conn, n int) refusal {
	caps := e.caps.Load()
	switch {
	case n > caps.connections, e.maxFiles-int(c.fd) < refuseBelow:
		return full
	case e.memoryShort.Load():
		return noMemory
	case c.transport.isPipe():
		return admitted
	case c.transport.awaitsProxyHeader(), c.transport.awaitsForwarded():
		return admitted // the rates are checked when the client's address is known
	}
	return e.checkRates(c)
}

// checkRates returns tooMany if a connection exceeds ConnectRate or
// ConnectRatePerAddress, otherwise admitted.
func (e *Engine) checkRates(c *Conn) refusal {
	caps := e.caps.Load()
	if e.gate.admit(c.RemoteAddr(), time.Duration(e.clock.Load())*tick, caps.rate, caps.perSource) {
		return admitted
	}
	return tooMany
}

// admitClient checks the rates of connecting for a connection whose client's
// address has only now been learnt from a load balancer or a proxy.
func (c *Conn) admitClient() {
	e := c.loop.engine
	if c.refused != admitted {
		return
	}
	if why := e.checkRates(c); why != admitted && !e.markRefused(c, why) {
		c.abort(refusals[why])
	}
}

// markRefused counts a connection as refused, no longer as admitted. It returns
// false if too many are kept open to be refused already.
func (e *Engine) markRefused(c *Conn, why refusal) bool {
	c.refused = why
	e.admitted.Add(-1)
	return e.refused.Add(1) <= refusalMax
}

// uncount removes a closed connection from the counts.
func (e *Engine) uncount(c *Conn) {
	e.conns.Add(-1)
	if c.refused != admitted {
		e.refused.Add(-1)
	} else {
		e.admitted.Add(-1)
	}
	if e.Draining() {
		e.noteClosed()
	}
}

// Admits reports whether a new connection would be admitted by MaxConnections
// and MemoryLimit now. Any goroutine; after Start.
func (e *Engine) Admits() bool {
	return int(e.admitted.Load()) < e.caps.Load().connections && !e.memoryShort.Load()
}
