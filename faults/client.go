package faults

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// client is one WebSocket connection. One goroutine reads from it, and one writes.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	msg  []byte // the last message

	pings atomic.Int64 // that have come
	mute  atomic.Bool  // they are not answered
}

// dialer says how to connect.
type dialer struct {
	addr    string
	path    string        // if empty, /
	secure  bool          // with TLS, whatever the certificate
	from    string        // address to connect from; if empty, the kernel's choice
	buffer  int           // of the socket for what comes in; 0: the kernel's choice
	silence time.Duration // time after which a read fails; 0: 2 minutes
	header  string        // more lines of the handshake, each with its \r\n
}

// refused is a handshake that was answered with anything but 101.
type refused struct {
	status     int
	retryAfter string
}

func (r *refused) Error() string { return fmt.Sprintf("the handshake was answered with %d", r.status) }

// closed is a Close frame.
type closed struct {
	code   uint16
	reason string
}

func (c *closed) Error() string { return fmt.Sprintf("closed with %d %s", c.code, c.reason) }

// dialTCP connects, and no more.
func (d dialer) dialTCP(ctx context.Context) (net.Conn, error) {
	nd := net.Dialer{Timeout: patience}
	if d.from != "" {
		nd.LocalAddr = &net.TCPAddr{IP: net.ParseIP(d.from)}
	}
	if d.buffer > 0 {
		nd.Control = func(_, _ string, raw syscall.RawConn) error {
			var err error
			control := raw.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, d.buffer)
			})
			return errors.Join(control, err)
		}
	}
	return nd.DialContext(ctx, "tcp4", d.addr)
}

// dial connects, with TLS if that is asked for.
func (d dialer) dial(ctx context.Context) (net.Conn, error) {
	tcp, err := d.dialTCP(ctx)
	if err != nil || !d.secure {
		return tcp, err
	}
	conn := tls.Client(tcp, &tls.Config{InsecureSkipVerify: true}) // the server is ours, and made its certificate itself
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		tcp.Close()
		return nil, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// request is the opening handshake (RFC 6455 §1.3).
func (d dialer) request() string {
	path := d.path
	if path == "" {
		path = "/"
	}
	return "GET " + path + " HTTP/1.1\r\nHost: " + d.addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + d.header + "\r\n"
}

func (d dialer) mostSilence() time.Duration { return cmp.Or(d.silence, 2*time.Minute) }

// open connects and shakes hands. It returns *refused if the server says no.
func (d dialer) open(ctx context.Context) (*client, error) {
	c, err := d.knock(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.enter(); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

// knock connects and sends the opening handshake; enter reads the answer.
func (d dialer) knock(ctx context.Context) (*client, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := newClient(conn)
	if err := c.ask(d); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

func newClient(conn net.Conn) *client {
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 2<<10)}
}

// upgrade shakes hands.
func (c *client) upgrade(d dialer) error {
	if err := c.ask(d); err != nil {
		return err
	}
	return c.enter()
}

// ask sends the opening handshake.
func (c *client) ask(d dialer) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(d.mostSilence())); err != nil {
		return err
	}
	_, err := io.WriteString(c.conn, d.request())
	return err
}

// enter reads the answer to the opening handshake.
func (c *client) enter() error {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body.Close()
		return &refused{resp.StatusCode, resp.Header.Get("Retry-After")}
	}
	return nil
}

// abort ends the connection with a reset, which leaves nothing behind on either side.
func (c *client) abort() {
	conn := c.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the port is taken for a while, that is all
	}
	conn.Close()
}

var mask = [4]byte{0x52, 0x6f, 0x63, 0x6b}

// send sends a text message.
func (c *client) send(message string) error {
	c.out = codec.AppendMaskedFrame(c.out[:0], codec.OpText, []byte(message), mask)
	_, err := c.conn.Write(c.out)
	return err
}

// maxFrame is the longest frame that a server sends to us.
const maxFrame = 16 << 20

// receive returns the next message, which is valid until the next call. It answers pings. It returns a *closed if the
// server sends a Close frame.
func (c *client) receive() ([]byte, error) {
	for {
		op, err := c.frame()
		if err != nil {
			return nil, err
		}
		switch op {
		case codec.OpText, codec.OpBinary:
			return c.msg, nil
		case codec.OpPing:
			c.pings.Add(1)
			if !c.mute.Load() {
				err = c.pong(c.msg)
			}
		case codec.OpClose:
			err = c.goodbye()
		case codec.OpPong:
		default:
			err = fmt.Errorf("a frame with opcode %d", op)
		}
		if err != nil {
			return nil, err
		}
	}
}

// pong answers a ping, or shows that the client lives. Another goroutine may be sending.
func (c *client) pong(payload []byte) error {
	_, err := c.conn.Write(codec.AppendMaskedFrame(nil, codec.OpPong, payload, mask))
	return err
}

func (c *client) goodbye() error {
	code, reason, err := codec.ParseClose(c.msg)
	if err != nil {
		return err
	}
	_, _ = c.conn.Write(codec.AppendMaskedFrame(nil, codec.OpClose, c.msg, mask)) // the server may be gone already
	return &closed{code, reason}
}

// frame reads one frame into msg. Servers send whole messages, not masked.
func (c *client) frame() (codec.Opcode, error) {
	head, err := c.in.Peek(2)
	if err != nil {
		return 0, unexpected(err)
	}
	if head[0]&0xf0 != 0x80 || head[1] > 127 {
		return 0, fmt.Errorf("a frame begins with %x", head)
	}
	op, n, size := codec.Opcode(head[0]&0x0f), uint64(head[1]), 2
	switch n {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if head, err = c.in.Peek(size); err != nil {
		return 0, unexpected(err)
	}
	switch n {
	case 126:
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		n = binary.BigEndian.Uint64(head[2:])
	}
	if n > maxFrame {
		return 0, fmt.Errorf("a frame of %d bytes", n)
	}
	_, _ = c.in.Discard(size) // it has been peeked at
	if uint64(cap(c.msg)) < n {
		c.msg = make([]byte, n)
	}
	c.msg = c.msg[:n]
	_, err = io.ReadFull(c.in, c.msg)
	return op, unexpected(err)
}

// unexpected is err, and never io.EOF: a WebSocket connection does not end with that.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// do sends a command and waits for its reply; events that come before are left out.
func (c *client) do(command string) error {
	if err := c.send(command); err != nil {
		return err
	}
	return c.reply(command)
}

// reply waits for the reply to a command that has been sent.
func (c *client) reply(command string) error {
	for {
		b, err := c.receive()
		if err != nil {
			return err
		}
		var reply struct {
			OK  bool   `json:"ok"`
			Err string `json:"err"`
		}
		if err := json.Unmarshal(b, &reply); err != nil {
			return fmt.Errorf("%q: %w", b, err)
		}
		if reply.Err != "" {
			return fmt.Errorf("%s: %w", command, replyError(reply.Err))
		}
		if reply.OK {
			return nil
		}
	}
}

// replyError is an error code of the protocol.
type replyError string

func (e replyError) Error() string { return string(e) }

// login and subscribe are commands of the native protocol.
func login(access, secret string) string {
	return fmt.Sprintf(`{"auth":{"access":%q,"secret":%q}}`, access, secret)
}

func subscribe(channel string) string {
	return fmt.Sprintf(`{"subscribe":{"channel":%q}}`, channel)
}

// join opens a connection that is subscribed to a channel.
func (d dialer) join(ctx context.Context, channel, secret string) (*client, error) {
	c, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	for _, command := range []string{login("read-only", secret), subscribe(channel)} {
		if err := c.do(command); err != nil {
			c.abort()
			return nil, err
		}
	}
	return c, nil
}
