package webrockettest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
)

// patience is how long a client waits for what a handler sends from a goroutine of
// its own.
const patience = 10 * time.Second

// A Client is connected to a Server. Like a browser it answers pings and Close
// frames by itself.
type Client struct {
	// Response is the server's answer to the opening handshake: its StatusCode is
	// 101 if the connection is open. The body is read.
	Response *http.Response

	t   testing.TB
	end *engine.End
	key [4]byte

	arrived chan struct{} // has an element when there is something new

	mu       sync.Mutex
	frames   reader    // guarded by mu
	messages []message // not received yet; guarded by mu
	closed   *message  // the Close frame; guarded by mu
	ended    bool      // the connection; guarded by mu
}

type message struct {
	op      webrocket.Opcode
	payload []byte
}

// Dial connects a client to a path, which may have a query. The header's fields are
// added to those that the handshake needs; nil is none. A handshake that the server
// refuses is no failure of the test: Response has its answer.
func (s *Server) Dial(path string, header http.Header) *Client {
	s.t.Helper()
	c := &Client{t: s.t, key: [4]byte{0x37, 0xfa, 0x21, 0x3d}, arrived: make(chan struct{}, 1)}
	c.end = s.simulation.Dial(s.nextAddr(), c.receive)
	if c.end == nil {
		s.t.Fatalf("dial %s: the server has closed the connection before the handshake", path)
	}
	var request bytes.Buffer
	fmt.Fprintf(&request, "GET %s HTTP/1.1\r\n", path)
	fields := http.Header{
		"Host": {"localhost"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	for name, values := range header {
		fields[name] = values
	}
	_ = fields.Write(&request)
	request.WriteString("\r\n")
	c.end.Write(request.Bytes())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Response = c.frames.response; c.Response == nil {
		s.t.Fatalf("dial %s: the server has not answered", path)
	}
	return c
}

// Send sends a message to the server.
func (c *Client) Send(op webrocket.Opcode, payload []byte) {
	c.t.Helper()
	c.mustBeOpen()
	c.Write(codec.AppendMaskedFrame(nil, op, payload, c.key))
}

// Write sends bytes as they are, for instance frames that the protocol does not
// allow, or only a part of one.
func (c *Client) Write(b []byte) { c.end.Write(b) }

// Close begins the closing handshake (RFC 6455 §7.1.2).
func (c *Client) Close(code uint16, reason string) {
	c.t.Helper()
	c.mustBeOpen()
	frame := codec.AppendClose(nil, code, reason)
	c.Write(codec.AppendMaskedFrame(nil, codec.OpClose, frame[2:], c.key))
}

// HangUp breaks the connection, as where a network fails: the handler's OnClose gets
// an error that is no *codec.CloseError.
func (c *Client) HangUp() { c.end.HangUp(io.ErrUnexpectedEOF) }

// Stall makes the client read nothing, as if it had vanished: it answers no
// ping, and what the server sends waits in the server, up to MaxQueuedBytes.
func (c *Client) Stall() { c.end.SetPaused(true) }

// Resume makes a stalled client read again.
func (c *Client) Resume() { c.end.SetPaused(false) }

// Receive returns the next message of the server. The test fails if the connection
// is closed, or nothing comes in 10 s.
func (c *Client) Receive() (webrocket.Opcode, []byte) {
	c.t.Helper()
	c.wait("a message")
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.messages) == 0 {
		c.t.Fatalf("want a message; the connection is closed: %s", c.why())
	}
	m := c.messages[0]
	c.messages = c.messages[1:]
	return m.op, m.payload
}

// ReceiveClose returns what the server's Close frame says, or 1006 if the connection
// has ended without one (RFC 6455 §7.1.5). The test fails if a message comes before,
// or nothing in 10 s.
func (c *Client) ReceiveClose() (code uint16, reason string) {
	c.t.Helper()
	c.wait("a Close frame")
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.messages) > 0 {
		c.t.Fatalf("want a Close frame, got the message %q", c.messages[0].payload)
	}
	return c.closeStatus()
}

// Pending returns how many messages wait for Receive. What the server does on its
// loop because of earlier calls is done and counted.
func (c *Client) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.messages)
}

func (c *Client) mustBeOpen() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.Response.StatusCode != http.StatusSwitchingProtocols:
		c.t.Fatalf("the server has refused the handshake: %s", c.Response.Status)
	case c.closed != nil || c.ended:
		c.t.Fatalf("the connection is closed: %s", c.why())
	}
}

// wait returns when there is a message, or the connection is closed.
func (c *Client) wait(what string) {
	c.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		ready := len(c.messages) > 0 || c.closed != nil || c.ended
		c.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-c.arrived:
		case <-timeout.C:
			c.t.Fatalf("want %s, got nothing", what)
		}
	}
}

// closeStatus returns how the connection was closed. mu is held.
func (c *Client) closeStatus() (code uint16, reason string) {
	if c.closed == nil {
		return codec.StatusAbnormal, ""
	}
	code, reason, err := codec.ParseClose(c.closed.payload)
	if err != nil {
		c.t.Errorf("the server has sent the Close frame %q: %v", c.closed.payload, err)
	}
	return code, reason
}

// why describes how the connection was closed. mu is held.
func (c *Client) why() string {
	code, reason := c.closeStatus()
	return fmt.Sprintf("%d %s", code, reason)
}

// receive is called on the server's loop with what the client reads, and returns
// what it answers.
func (c *Client) receive(b []byte, ended bool) (answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.frames.read(b) {
		switch m.op {
		case codec.OpPing:
			answer = codec.AppendMaskedFrame(answer, codec.OpPong, m.payload, c.key)
		case codec.OpPong:
		case codec.OpClose:
			if c.closed == nil {
				c.closed = &m
				answer = codec.AppendMaskedFrame(answer, codec.OpClose, m.payload[:min(2, len(m.payload))], c.key)
			}
		default:
			c.messages = append(c.messages, m)
		}
	}
	if c.frames.err != nil {
		c.t.Errorf("the server has sent what a client cannot read: %v", c.frames.err)
		c.frames.err = nil
	}
	c.ended = c.ended || ended
	select {
	case c.arrived <- struct{}{}:
	default:
	}
	return answer
}
