package engine

import (
	"errors"
	"io"
	"net"
	"time"
)

// What a loop keeps for its TLS connections, made when the first one comes.
const (
	plainMax  = 16 << 10           // a record's content
	sealedMax = writeMax + 4*1<<10 // one write's records
)

// sealedMost is what may wait encrypted for a client that does not read: the
// rest of one write, and some records that the session writes by itself.
const sealedMost = sealedMax + 4<<10

// errNoBytes tells crypto/tls that it is to try again when more has arrived. It
// must say that it is temporary: other errors are for good.
var errNoBytes net.Error = noBytes{}

type noBytes struct{}

func (noBytes) Error() string   { return "engine: no bytes have arrived" }
func (noBytes) Timeout() bool   { return true }
func (noBytes) Temporary() bool { return true }

// unseal takes bytes of the socket, and reads what the session makes of them.
func (t *transport) unseal(b []byte) {
	c := t.conn
	t.arrived = b
	c.loop.lend(t.session)
	defer func() {
		c.loop.takeBack(t.session)
		t.arrived = nil
	}()
	for c.state < lingering {
		plain := c.loop.plainBuffer()
		n, err := t.session.Read(plain)
		if sealed := c.loop.takeSealed(); len(sealed) > 0 { // an alert, a KeyUpdate
			c.pushSealed(sealed)
			c.limitSealed()
		}
		c.take(plain[:n])
		if c.state == dead {
			return
		}
		if errors.Is(err, errNoBytes) {
			return
		}
		if err != nil {
			t.sessionEnded(err)
			return
		}
	}
}

// sessionEnded is called when the session gives no more bytes: io.EOF after the
// other side's close_notify, otherwise what is wrong.
func (t *transport) sessionEnded(err error) {
	c := t.conn
	if c.state >= lingering {
		return
	}
	left := errors.Is(err, io.EOF)
	if left && c.defers(func() { t.sessionEnded(err) }) {
		return
	}
	switch {
	case c.state == opening && left:
		c.loop.counts.refused(errLeft)
	case c.state == opening:
		c.loop.counts.refused(err)
	}
	c.freeInput()
	c.queueOnClose(err)
	if left {
		c.became(finished) // when what waits has been sent
	} else {
		t.notified = true // the alert was the last that could be said
		c.forgetFrames()
		c.became(lingering)
	}
	c.loop.touch(c)
}

// forgetFrames empties the outbox but for what is encrypted.
func (c *Conn) forgetFrames() {
	if c.out != nil {
		c.out.sent = 0
		c.out.cut()
		c.out.bytes = 0
	}
}

// seal encrypts b as records. They are valid until the next call.
func (t *transport) seal(b []byte) ([]byte, error) {
	_, err := t.session.Write(b)
	return t.conn.loop.takeSealed(), err
}

// farewell queues the close_notify that must come before the end, if it has not
// been sent: "Each party MUST send a "close_notify" alert before closing its
// write side of the connection" (RFC 8446 §6.1).
func (t *transport) farewell() bool {
	if !t.secured() || t.notified || t.session == nil {
		return false
	}
	t.notified = true
	_ = t.session.CloseWrite()
	t.conn.pushSealed(t.conn.loop.takeSealed())
	return true
}

// pushSealed queues bytes for the socket as they are, ahead of all frames. They
// are copied.
func (c *Conn) pushSealed(b []byte) {
	c.unbatch()
	o := c.outbox()
	o.sealed = append(o.sealed, b...)
	c.loop.touch(c)
}

// limitSealed ends a connection for which too much waits encrypted although the
// socket has been given all that it takes: a client may ask for KeyUpdates as
// often as it likes, and each is answered with one (RFC 8446 §4.6.3).
func (c *Conn) limitSealed() {
	if len(c.out.sealed) <= sealedMost {
		return
	}
	if !c.out.blocked {
		c.flush()
	}
	if c.state != dead && c.out != nil && len(c.out.sealed) > sealedMost {
		c.loop.counts.slow("disconnect")
		c.abort(c.endpoint.tooSlow())
	}
}

// nextSealed is next for TLS: first comes what is encrypted, then frames.
func (c *Conn) nextSealed() ([]byte, error) {
	if c.out != nil && len(c.out.sealed) > 0 {
		return c.out.sealed, nil
	}
	if !c.more() {
		return nil, nil
	}
	b := c.out.next(c.loop.scratch[c.loop.batch.joined:])
	b = b[:min(len(b), writeMax)]
	sealed, err := c.transport.seal(b)
	c.out.advance(len(b))
	return sealed, err
}

// deliverSealed is Deliver for a TLS connection that nothing else waits for.
func (c *Conn) deliverSealed(r *run) {
	l := c.loop
	if l.batch.sealed+len(r.joined) > writeMax {
		l.submit()
	}
	b, err := c.transport.seal(r.joined)
	if err != nil {
		c.abort(err)
		return
	}
	l.keep(b)
	l.enqueue(sending{bytes: b, fd: c.file(), slot: c.slot, run: r})
}

// plainBuffer returns where records are decrypted to.
func (l *Loop) plainBuffer() []byte {
	if l.plain == nil {
		l.plain = make([]byte, plainMax)
	}
	return l.plain
}

// takeSealed returns what a session has written since the last call, behind what
// the batch needs. It is valid until a session writes again.
func (l *Loop) takeSealed() []byte {
	b := l.sealed[l.batch.sealed:]
	l.sealed = l.sealed[:l.batch.sealed]
	return b
}

// A transport is the connection that crypto/tls has: Read returns what the loop
// was given, Write collects what it is to send. Neither waits, but for Read
// while the handshake lasts, on its own goroutine. When the connection has been
// handed over to net/http, all of that is the socket's.

// Read is called by crypto/tls.
func (t *transport) Read(p []byte) (int, error) {
	switch {
	case t.tlsHandshake != nil:
		return t.tlsHandshake.read(p)
	case t.socket != nil:
		return t.socket.Read(p)
	}
	if len(t.arrived) == 0 {
		return 0, errNoBytes
	}
	n := copy(p, t.arrived)
	t.arrived = t.arrived[n:]
	return n, nil
}

// Write is called by crypto/tls.
func (t *transport) Write(p []byte) (int, error) {
	switch {
	case t.tlsHandshake != nil:
		t.tlsHandshake.write(p)
		return len(p), nil
	case t.socket != nil:
		return t.socket.Write(p)
	}
	l := t.conn.loop
	if l.sealed == nil {
		l.sealed = make([]byte, 0, sealedMax)
	}
	l.sealed = append(l.sealed, p...)
	return len(p), nil
}

// Close does nothing on a loop, which closes its connections.
func (t *transport) Close() error {
	if t.socket != nil {
		return t.socket.Close()
	}
	return nil
}

// LocalAddr returns the address that is listened on.
func (t *transport) LocalAddr() net.Addr { return t.listener.addr }

// RemoteAddr returns the client's address, for the callbacks of a tls.Config.
func (t *transport) RemoteAddr() net.Addr {
	switch {
	case t.tlsHandshake != nil:
		return t.tlsHandshake.remote
	case t.socket != nil && t.remote != nil:
		return t.remote
	case t.socket != nil:
		return t.socket.RemoteAddr()
	}
	return t.conn.RemoteAddr()
}

// SetDeadline does nothing on a loop, which has the deadlines.
func (t *transport) SetDeadline(at time.Time) error {
	if t.socket != nil {
		return t.socket.SetDeadline(at)
	}
	return nil
}

// SetReadDeadline is as SetDeadline.
func (t *transport) SetReadDeadline(at time.Time) error {
	if t.socket != nil {
		return t.socket.SetReadDeadline(at)
	}
	return nil
}

// SetWriteDeadline is as SetDeadline.
func (t *transport) SetWriteDeadline(at time.Time) error {
	if t.socket != nil {
		return t.socket.SetWriteDeadline(at)
	}
	return nil
}
