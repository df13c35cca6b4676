package conformance_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
)

// A dialogue is what a client sends once it is connected and what it hears. If
// the server does not end it, the client closes the connection, so that every
// dialogue shows that the connection works until the end.
type dialogue struct {
	name  string
	path  string // "/" if empty
	offer string // of extensions
	say   string
	hear  []string // what heard returns for each frame
}

// goodbye is what a client says where the server has not ended the dialogue.
var goodbye = closing(1000, "goodbye")

// hold runs dialogues over every transport: at one go, and chopped.
func hold(t *testing.T, dialogues []dialogue) {
	for _, tr := range transports {
		for _, d := range dialogues {
			for _, size := range pieces(len(d.say)) {
				t.Run(fmt.Sprint(d.name, "/", tr.name, "/pieces of ", size), func(t *testing.T) {
					d.run(t, tr, size)
				})
			}
		}
	}
}

// pieces returns into how many bytes each a text is chopped.
func pieces(n int) []int {
	if n < 3000 {
		return []int{n, 1}
	}
	return []int{n, 997}
}

func (d dialogue) run(t *testing.T, tr transport, size int) {
	c := dial(t, tr)
	c.open(d.path, d.offer)
	want := d.hear
	if !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(w, "close") }) {
		n := len(want)
		d.say += goodbye
		want = append(want[:n:n], "close 1000")
	}
	c.say(d.say, size)
	c.hear(want...)
	c.say(goodbye, limit) // the server may wait for an answer
	c.end()
}

// A client is one connection.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dial connects. The connection ends with the test.
func dial(t *testing.T, tr transport) *client {
	t.Helper()
	return dialTo(t, server, tr)
}

// dialTo connects to a server of the test's own.
func dialTo(t *testing.T, s *webrocket.Server, tr transport) *client {
	t.Helper()
	conn, err := tr.dial(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{t, conn, bufio.NewReader(conn)}
}

// request is a handshake (RFC 6455 §1.3) with further header lines.
func request(path, lines string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + lines + "\r\n"
}

// open shakes hands.
func (c *client) open(path, offer string) {
	c.t.Helper()
	if path == "" {
		path = "/"
	}
	line := ""
	if offer != "" {
		line = "Sec-WebSocket-Extensions: " + offer + "\r\n"
	}
	c.say(request(path, line), limit)
	c.wantResponse(101)
}

// say sends text in pieces of that size. The server may have closed the
// connection before it has come to the end.
func (c *client) say(text string, size int) {
	c.t.Helper()
	for len(text) > 0 {
		n := min(max(size, 1), len(text))
		if _, err := io.WriteString(c.conn, text[:n]); err != nil {
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				c.t.Fatalf("write: %v", err)
			}
			return
		}
		text = text[n:]
	}
}

// wantResponse reads an HTTP response, which it returns.
func (c *client) wantResponse(status int) *http.Response {
	c.t.Helper()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("got %v, want a response %d", err, status)
	}
	if response.StatusCode != status {
		body, _ := io.ReadAll(response.Body)
		c.t.Fatalf("got %s: %s want %d", response.Status, body, status)
	}
	return response
}

// hear reads one frame for each of want, and fails unless they are the same.
func (c *client) hear(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got, err := c.next()
		if err != nil {
			c.t.Fatalf("got %v, want %q", err, w)
		}
		if got != w && terse(got) != w {
			c.t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// terse returns a frame with the reply to a login without what it says of the connection, which is
// another thing each time.
func terse(message string) string {
	if head, _, ok := strings.Cut(message, `,"client":"`); ok && strings.Contains(head, `{"ok":true`) {
		return head + "}"
	}
	return message
}

// end fails unless the connection is at its end. The server may have closed it
// with bytes of the client unread.
func (c *client) end() {
	c.t.Helper()
	b, err := c.in.Peek(1)
	if err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("got %q, %v, want the end", b, err)
	}
}

// next reads a frame of the server, which must be whole and not masked.
func (c *client) next() (string, error) {
	first, payload, err := readFrame(c.in)
	if err != nil {
		return "", err
	}
	return heard(first, payload), nil
}

// readFrame reads a frame (RFC 6455 §5.2).
func readFrame(r *bufio.Reader) (first byte, payload []byte, err error) {
	head := make([]byte, 2, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:4]))
	case 127:
		_, err = io.ReadFull(r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:10])
	}
	switch {
	case err != nil:
		return 0, nil, err
	case head[1] > 127:
		return 0, nil, errors.New("a frame of the server is masked")
	case head[1] == 126 && n < 126, head[1] == 127 && n < 1<<16:
		return 0, nil, errors.New("a length is not in its shortest form")
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return head[0], payload, err
}

// heard describes a frame of the server: "text hello", "binary, 70000 bytes,
// sum 01234567", "close 1000". Reasons of Close frames are left out.
func heard(first byte, payload []byte) string {
	name, ok := map[byte]string{0x81: "text", 0x82: "binary", 0x88: "close", 0x89: "ping", 0x8a: "pong"}[first]
	switch {
	case first == 0xc1 || first == 0xc2:
		message, err := unpack(payload)
		if err != nil {
			return "packed: " + err.Error()
		}
		return "packed " + heard(first&^0x40, message)
	case !ok:
		return fmt.Sprintf("%08b with %d bytes", first, len(payload))
	case name == "close" && len(payload) > 1:
		return fmt.Sprint("close ", binary.BigEndian.Uint16(payload))
	case len(payload) > 200:
		return fmt.Sprintf("%s, %d bytes, sum %08x", name, len(payload), crc32.ChecksumIEEE(payload))
	}
	return strings.TrimSuffix(name+" "+string(payload), " ")
}

// First bytes of frames (RFC 6455 §5.2): fin, three reserved bits, opcode.
const (
	opText   = 0x81
	opBinary = 0x82
	opClose  = 0x88
	opPing   = 0x89
	opPong   = 0x8a

	firstText   = 0x01 // more frames follow
	firstBinary = 0x02
	middle      = 0x00
	last        = 0x80
)

const key = "\x37\xfa\x21\x3d"

// frame is a frame of a client.
func frame(first byte, payload string) string {
	b := []byte(payload)
	for i := range b {
		b[i] ^= key[i%4]
	}
	return header(first, len(b)) + key + string(b)
}

// header is the start of a masked frame, up to the mask.
func header(first byte, n int) string {
	switch {
	case n < 126:
		return string([]byte{first, 0x80 | byte(n)})
	case n < 1<<16:
		return string([]byte{first, 0x80 | 126, byte(n >> 8), byte(n)})
	}
	return string(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(n)))
}

func textMessage(s string) string   { return frame(opText, s) }
func binaryMessage(s string) string { return frame(opBinary, s) }
func ping(s string) string          { return frame(opPing, s) }
func pong(s string) string          { return frame(opPong, s) }

// closing is a Close frame.
func closing(code uint16, reason string) string {
	return frame(opClose, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// textBack and binaryBack are what a client hears of a message that is sent
// back.
func textBack(s string) string   { return heard(opText, []byte(s)) }
func binaryBack(s string) string { return heard(opBinary, []byte(s)) }

// bits draws bytes: bits("1 000 0001 0 0000101").
func bits(drawn string) string {
	var b []byte
	n := 0
	for _, c := range drawn {
		if c == ' ' {
			continue
		}
		if n%8 == 0 {
			b = append(b, 0)
		}
		b[n/8] = b[n/8]<<1 | byte(c-'0')
		n++
	}
	return string(b)
}

// fragments is a message in frames of n bytes, with something between them.
func fragments(first byte, message string, n int, between string) string {
	var b strings.Builder
	op := first &^ 0x80
	for len(message) > n {
		b.WriteString(frame(op, message[:n]) + between)
		message, op = message[n:], middle
	}
	b.WriteString(frame(op|0x80, message))
	return b.String()
}

// long is a text of n bytes that repeats nowhere soon.
func long(n int) string {
	var b strings.Builder
	b.Grow(n + 8)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%x,", i)
	}
	return b.String()[:n]
}
