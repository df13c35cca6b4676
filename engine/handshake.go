package engine

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// maxHandshake is how long the header block of an opening handshake may be.
const maxHandshake = 8 << 10

var (
	errTooLong = &codec.HandshakeError{
		Status: 431,
		Reason: fmt.Sprintf("The header block is longer than %d bytes.", maxHandshake),
		Label:  "too_long",
	}
	errLongTarget = &codec.HandshakeError{
		Status: 414,
		Reason: fmt.Sprintf("The first line is longer than the %d bytes that the whole header block may have.", maxHandshake),
		Label:  "too_long",
	}
	errNotSecure = &codec.HandshakeError{
		Status: 421,
		Reason: "The request is for an address with TLS, and this connection has none.",
	}
	errTooSlow = &codec.HandshakeError{
		Status: 408,
		Reason: "The opening handshake did not arrive in time.",
		Label:  "timeout",
	}
	errStopping = &codec.HandshakeError{
		Status: 503,
		Reason: "This server is stopping. Try again later.",
		Header: "Retry-After: 1\r\n",
		Label:  "stopping",
	}
	errOrigin = &codec.HandshakeError{
		Status: 403,
		Reason: "Pages of this origin may not connect here. The server's list of origins decides.",
		Label:  "origin",
	}
	errNotFound = &codec.HandshakeError{
		Status: 404,
		Reason: "There is nothing at this path. Connect to one of the server's hubs.",
		Label:  "not_found",
	}
)

// readHandshake takes bytes of the opening handshake (RFC 6455 §4.2) and
// returns those that follow it.
func (c *Conn) readHandshake(b []byte) []byte {
	if c.beginsTLS(b) {
		c.loop.engine.spokeTLS(c)
		c.refuse(errPlainPort, nil)
		return nil
	}
	block := b
	if c.in != nil {
		c.in.message = append(c.in.message, b...)
		block = c.in.message
	}
	request, n, err := codec.ParseRequest(block[:min(len(block), maxHandshake)])
	switch {
	case err != nil:
		c.refuse(err, block)
		return nil
	case n == 0 && len(block) >= maxHandshake:
		c.refuse(tooLong(block[:maxHandshake]), block)
		return nil
	case n == 0:
		if c.in == nil {
			c.in = c.loop.getInput()
			c.in.message = append(c.in.message, b...)
		}
		return nil
	}
	var proxy net.Addr // that names the client
	if c.transport.awaitsForwarded() {
		proxy = c.RemoteAddr()
	}
	if !c.identify(&request) {
		return nil
	}
	if c.isForHTTP(&request) {
		c.handOver(&request, block, proxy)
		return nil
	}
	if err := c.upgrade(&request); err != nil {
		c.refuse(err, request.Method)
		return nil
	}
	in := c.in // the request points into its buffer
	c.in = nil
	c.opened = true
	c.loop.counts.Accepted++
	c.loop.request = request
	c.endpoint.Protocol.OnOpen(c, &c.loop.request)
	if in != nil {
		c.loop.putInput(in)
	}
	return b[len(b)-(len(block)-n):]
}

// tooLong returns the error for a header block over the limit: "A server that
// receives a request-target longer than any URI it wishes to parse MUST respond
// with a 414" (RFC 9112 §3).
func tooLong(block []byte) error {
	if codec.RequestLineEnds(block) {
		return errTooLong
	}
	return errLongTarget
}

// upgrade accepts a handshake and queues the answer 101, or returns why not.
func (c *Conn) upgrade(r *codec.Request) error {
	if c.refused != admitted {
		return refusals[c.refused]
	}
	if err := r.CheckMethod(); err != nil {
		return err
	}
	if r.Secure() && c.transport == nil { // neither TLS nor a trusted proxy that may have it
		return errNotSecure
	}
	endpoint := c.loop.engine.endpoints.Load().find(r.Path)
	if endpoint == nil {
		return errNotFound
	}
	if err := r.CheckUpgrade(); err != nil {
		return err
	}
	if !endpoint.allows(r.Origin) {
		return errOrigin
	}
	if endpoint.Compression {
		c.deflate = r.Deflate()
	}
	c.endpoint = endpoint
	subprotocol := r.Subprotocol(endpoint.Subprotocols)
	c.chosen = c.loop.subprotocol(subprotocol)
	c.became(open)
	c.push(codec.AppendUpgrade(nil, r, subprotocol, c.deflate))
	return nil
}

// subprotocol returns the number by which connections remember a subprotocol, 0
// for "". The loop learns at most 65,535 names, which are those of
// configurations.
func (l *Loop) subprotocol(name string) uint16 {
	if name == "" {
		return 0
	}
	i := slices.Index(l.subprotocols, name)
	if i < 0 {
		if i = len(l.subprotocols); i == math.MaxUint16 {
			return 0
		}
		l.subprotocols = append(l.subprotocols, name)
	}
	return uint16(i + 1)
}

// allows reports whether a page of that origin may connect (RFC 6455 §10.2).
func (e *Endpoint) allows(origin []byte) bool {
	if len(e.Origins) == 0 || origin == nil {
		return true
	}
	return slices.ContainsFunc(e.origins, func(allowed string) bool { return codec.MatchOrigin(allowed, origin) })
}

// begun returns the buffered part of an opening handshake.
func (c *Conn) begun() []byte {
	if c.in == nil {
		return nil
	}
	return c.in.message
}

// refuse answers a handshake with an HTTP error. request is the part of the
// request that has arrived, or its method.
func (c *Conn) refuse(err error, request []byte) {
	var refusal *codec.HandshakeError
	if !errors.As(err, &refusal) {
		refusal = &codec.HandshakeError{Status: 400, Reason: err.Error()}
	}
	if c.transport.awaitsTransport() {
		c.abort(err)
		return
	}
	answer := codec.AppendRefusal(nil, refusal, request, time.Now())
	c.freeInput()
	c.loop.counts.refused(refusal)
	c.became(lingering)
	c.push(answer)
}

// refuseSilently counts a connection as refused, without an answer: the caller
// has the socket closed.
func (c *Conn) refuseSilently(err *codec.HandshakeError) {
	c.loop.counts.refused(err)
	c.became(lingering)
}
