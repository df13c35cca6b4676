package webrocket_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// rawClient is a connection without a library: it sends what it is told, and
// needs no goroutine.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	out  []byte

	inflater codec.Inflater
}

// dialRaw connects. The connection ends with the test.
func dialRaw(t testing.TB, s *webrocket.Server, path string) *rawClient {
	t.Helper()
	c, err := connect(t, s.Addr().String(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

// connect is dialRaw for any goroutine. The caller closes the connection.
func connect(t testing.TB, address, path string) (*rawClient, error) {
	return connectOffering(t, address, path, "")
}

// connectOffering is connect with further header lines. An address with a slash
// is a socket's file.
func connectOffering(t testing.TB, address, path, lines string) (*rawClient, error) {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(10 * patience))
	c := &rawClient{t: t, conn: conn, in: bufio.NewReader(conn)}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, lines)
	response, err := http.ReadResponse(c.in, nil)
	if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("handshake: %s", response.Status)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// write sends bytes.
func (c *rawClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Errorf("write: %v", err)
	}
}

// command sends one text message.
func (c *rawClient) command(message string) {
	c.t.Helper()
	c.queue(message)
	c.flush()
}

// queue adds a text message to what flush sends.
func (c *rawClient) queue(message string) {
	c.out = codec.AppendMaskedFrame(c.out, codec.OpText, []byte(message), [4]byte{1, 2, 3, 4})
}

func (c *rawClient) flush() {
	c.t.Helper()
	c.write(c.out)
	c.out = c.out[:0]
}

// frame reads one frame, or ends the test.
func (c *rawClient) frame() (codec.Opcode, string) {
	c.t.Helper()
	op, payload, err := c.next()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return op, terse(string(payload))
}

// next reads one frame of a server (RFC 6455 §5.2). The payload is valid until
// the next call if it is short.
func (c *rawClient) next() (codec.Opcode, []byte, error) {
	head, err := c.in.Peek(2)
	if err != nil {
		return 0, nil, err
	}
	op, n, size := codec.Opcode(head[0]&0xf), int(head[1]), 2
	deflated := head[0]&0x40 != 0
	switch n {
	case 126:
		size = 4
		if head, err = c.in.Peek(size); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(head[2:]))
	case 127:
		size = 10
		if head, err = c.in.Peek(size); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint64(head[2:]))
	}
	if size+n > c.in.Size() {
		payload := make([]byte, size+n)
		_, err := io.ReadFull(c.in, payload)
		return op, payload[size:], err
	}
	frame, err := c.in.Peek(size + n)
	if err != nil {
		return 0, nil, err
	}
	_, _ = c.in.Discard(size + n)
	if deflated {
		payload, err := c.inflater.AppendInflated(nil, frame[size:], 1<<20)
		return op, payload, err
	}
	return op, frame[size:], nil
}
