package httpapi

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// A pipe is a WebSocket connection to a hub within the process: the client's end.
type pipe struct {
	net.Conn
	buffer []byte // what has been read and is no whole frame yet
	full   bool   // the last read has taken all that it could
}

// How many bytes are read at once: few, so that a stream on which little happens keeps
// no large buffer, and many behind a read that has taken all that it could.
const (
	readMin = 4 << 10
	readMax = 64 << 10
)

// dial opens a WebSocket connection to a hub, with the header of a request, so that
// the hub judges it as one that comes over WebSocket.
func (a *API) dial(r *http.Request, hub string) (*pipe, error) {
	path := codec.NormalPath(hub)
	if path != hub || !a.server.IsNative(path) {
		return nil, webrocket.ErrNoHub
	}
	conn, err := a.server.Pipe(r.RemoteAddr)
	if err != nil {
		return nil, errStopping
	}
	key := make([]byte, 16)
	_, _ = rand.Read(key) // it never fails
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s?%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", path, r.URL.RawQuery, r.Host)
	fmt.Fprintf(&b, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", base64.StdEncoding.EncodeToString(key))
	for _, name := range []string{"Origin", "Authorization", "Cookie", "User-Agent", "X-Forwarded-For", "Forwarded"} {
		for _, value := range r.Header.Values(name) {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if _, err := io.WriteString(conn, b.String()+"\r\n"); err != nil {
		_ = conn.Close()
		return nil, errStopping
	}
	answer := bufio.NewReader(conn)
	response, err := http.ReadResponse(answer, nil)
	if err != nil {
		_ = conn.Close()
		return nil, errStopping
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		defer conn.Close()
		defer response.Body.Close()
		why, _ := io.ReadAll(response.Body)
		return nil, refusedBy(response, strings.TrimSpace(string(why)))
	}
	behind := make([]byte, answer.Buffered())
	_, _ = io.ReadFull(answer, behind) // they are there
	return &pipe{Conn: conn, buffer: behind}, nil
}

var errStopping = &problem{http.StatusServiceUnavailable, "stopping", "this server is stopping; try again later", 1}

// refusedBy returns the problem that a refused handshake is.
func refusedBy(response *http.Response, why string) *problem {
	p := &problem{response.StatusCode, "invalid_data", why, 0}
	switch response.StatusCode {
	case http.StatusForbidden:
		p.code = "access_denied"
	case http.StatusNotFound:
		p.code = "invalid_hub"
	case http.StatusServiceUnavailable:
		p.code, p.retry = "overloaded", 1
		_, _ = fmt.Sscan(response.Header.Get("Retry-After"), &p.retry)
	}
	return p
}

// send sends messages, each of its own.
func (p *pipe) send(messages ...[]byte) error {
	var b []byte
	for _, m := range messages {
		b = codec.AppendMaskedFrame(b, codec.OpText, m, [4]byte{})
	}
	_, err := p.Write(b)
	if err != nil {
		return fmt.Errorf("httpapi: %w", err)
	}
	return nil
}

// next reads frames, at least one unless it returns an error, and calls f for each.
// The payload is valid until f returns. Where f returns false, next returns. It may be
// called again after a time-out.
func (p *pipe) next(f func(op codec.Opcode, payload []byte) bool) error {
	for {
		rest, done := p.buffer, false
		for {
			op, payload, n := parseFrame(rest)
			if n == 0 {
				break
			}
			rest, done = rest[n:], true
			if !f(op, payload) {
				p.buffer = rest
				return nil
			}
		}
		p.buffer = append(p.buffer[:0], rest...)
		if done {
			return nil
		}
		most := readMin
		if p.full {
			most = readMax
		}
		begun := len(p.buffer)
		if begun == 0 && cap(p.buffer) > most {
			p.buffer = nil
		}
		p.buffer = slices.Grow(p.buffer, most)[:begun+most]
		n, err := p.Read(p.buffer[begun:])
		p.buffer = p.buffer[:begun+n]
		p.full = n == most
		if n == 0 && err != nil {
			return err
		}
	}
}

// parseFrame reads a frame of the server, which neither masks nor fragments, from the
// start of b. n is its length in bytes, 0 if b does not hold all of it.
func parseFrame(b []byte) (op codec.Opcode, payload []byte, n int) {
	if len(b) < 2 {
		return 0, nil, 0
	}
	size, length := 2, uint64(b[1]&0x7f)
	switch length {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	switch {
	case len(b) < size:
		return 0, nil, 0
	case size == 4:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case size == 10:
		length = binary.BigEndian.Uint64(b[2:])
	}
	if uint64(len(b)-size) < length {
		return 0, nil, 0
	}
	n = size + int(length)
	return codec.Opcode(b[0] & 0x0f), b[size:n], n
}
