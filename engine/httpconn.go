package engine

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// replay is a socket whose first bytes have been read before.
type replay struct {
	net.Conn
	first []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(p)
}

// An httpConn is a connection that net/http has: a socket, or a TLS session.
//
// It holds back the header block of each request until it is whole and
// codec.ParseRequest accepts it. net/http alone would understand more: bare LF,
// lines that continue others, two lengths. A proxy in front might understand those
// in another way, and then one of them takes for a request what is none for the
// other.
type httpConn struct {
	net.Conn
	web        *web
	tls        *tls.ConnectionState // nil without TLS
	secure     bool                 // TLS, or a proxy that may have it
	remote     net.Addr             // the client that a balancer names; nil: the socket's
	forwarders []netip.Prefix       // not nil: the header of each request may name its client
	patience   time.Duration        // for a client to take httpPiece; 0 or less: for ever
	closed     sync.Once

	buffer  []byte // empty: where a header block is read to
	held    []byte // has been read from the connection
	passed  int    // bytes of held that net/http may have
	body    int64  // bytes behind them that it may have too; -1: all
	refused atomic.Pointer[codec.HandshakeError]

	mu    sync.Mutex
	timed bool // the handler has set a deadline for writing; guarded by mu
}

// headPiece is how many bytes are read at once while a header block is not whole.
const headPiece = 4 << 10

// refusedMethod is the method of the request that net/http gets for one that is
// refused, so that the answer comes in its turn.
const refusedMethod = "REFUSED"

var refusedRequest = []byte(refusedMethod + " / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n")

func (c *httpConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	switch {
	case c.passed > 0 || len(c.held) > 0:
	case c.refused.Load() != nil:
		return 0, io.EOF
	case c.body != 0:
		return c.readBody(p)
	}
	for c.passed == 0 {
		if err := c.readHead(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.held[:c.passed])
	c.passed -= n
	if c.held = c.held[n:]; len(c.held) == 0 {
		c.held = nil
	}
	return n, nil
}

// readBody reads what follows a header block.
func (c *httpConn) readBody(p []byte) (int, error) {
	if c.body > 0 {
		p = p[:min(int64(len(p)), c.body)]
	}
	n, err := c.Conn.Read(p)
	if c.body > 0 {
		c.body -= int64(n)
	}
	return n, err
}

// readHead lets what is held pass, as far as it is whole, or reads more.
func (c *httpConn) readHead() error {
	if c.body != 0 {
		c.pass(0)
		return nil
	}
	r, n, err := codec.ParseRequest(c.held[:min(len(c.held), maxHandshake)])
	switch {
	case err == nil && n == 0 && len(c.held) >= maxHandshake:
		err = tooLong(c.held[:maxHandshake])
	case err == nil && n > 0 && r.Secure() && !c.secure:
		err = errNotSecure
	}
	switch {
	case err != nil:
		c.refuse(err)
	case n > 0:
		c.body = r.BodyLength()
		request := bytes.TrimPrefix(c.held, []byte("\r\n")) // it may precede a request, but not for net/http
		n -= len(c.held) - len(request)
		c.held = request
		c.pass(n)
	default:
		begun := len(c.held)
		if begun == 0 {
			c.buffer = slices.Grow(c.buffer, headPiece)
			c.held = c.buffer
		}
		c.held = slices.Grow(c.held, headPiece)[:begun+headPiece]
		n, err := c.Conn.Read(c.held[begun:])
		c.held = c.held[:begun+n]
		if n == 0 {
			return err
		}
	}
	return nil
}

// pass lets n bytes pass, and those of the body that are held.
func (c *httpConn) pass(n int) {
	c.passed = len(c.held)
	if c.body >= 0 {
		c.passed = min(c.passed, n+int(min(c.body, int64(len(c.held)))))
		c.body -= int64(c.passed - n)
	}
}

// refuse makes the connection end with the answer to a request that is not valid.
func (c *httpConn) refuse(err error) {
	var refusal *codec.HandshakeError
	if !errors.As(err, &refusal) {
		refusal = &codec.HandshakeError{Status: http.StatusBadRequest, Reason: err.Error()}
	}
	c.refused.Store(refusal)
	c.held, c.passed, c.body = refusedRequest, len(refusedRequest), 0
}

// Write gives a client that does not read some time, for each piece anew.
func (c *httpConn) Write(b []byte) (n int, err error) {
	for {
		piece := b[n:min(n+httpPiece, len(b))]
		c.mu.Lock()
		if !c.timed && c.patience > 0 {
			_ = c.Conn.SetWriteDeadline(time.Now().Add(c.patience))
		}
		c.mu.Unlock()
		m, err := c.Conn.Write(piece)
		n += m
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// SetWriteDeadline is for handlers, which may have a deadline of their own.
func (c *httpConn) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timed = !at.IsZero()
	return c.Conn.SetWriteDeadline(at)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *httpConn) SetDeadline(at time.Time) error {
	if err := c.SetWriteDeadline(at); err != nil {
		return err
	}
	return c.SetReadDeadline(at)
}

// CloseWrite is how net/http ends a connection without losing its last answer.
func (c *httpConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *httpConn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(c.web.release)
	return err
}

func (c *httpConn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// judge returns why a request is refused, nil if it is not. It sets the client's
// address of one that a trusted proxy has sent, as Conn.identify does.
func (c *httpConn) judge(r *http.Request) *codec.HandshakeError {
	if r.Method == refusedMethod {
		if refusal := c.refused.Load(); refusal != nil {
			return refusal
		}
	}
	if c.forwarders == nil {
		return nil
	}
	client, err := forwardedClient(joined(r, "Forwarded"), joined(r, "X-Forwarded-For"), c.forwarders)
	if err != nil {
		return errForwarded
	}
	if client.IsValid() {
		r.RemoteAddr = client.String()
	}
	return nil
}

func joined(r *http.Request, field string) string {
	return strings.Join(r.Header.Values(field), ", ")
}

// isLast reports whether a request must be the last of its connection, because
// where it ends is for net/http alone to tell, or for the handler.
func isLast(r *http.Request) bool {
	return len(r.TransferEncoding) > 0 || r.Method == http.MethodConnect || r.Header.Get("Upgrade") != ""
}

// isProxied reports whether a proxy has sent the request, as far as it says so. Its connection
// ends with the answer: a proxy that sent a WebSocket handshake of another client on it, as many do, would get
// a refusal for that.
func isProxied(r *http.Request) bool {
	for _, field := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip"} {
		if r.Header.Get(field) != "" {
			return true
		}
	}
	return false
}
