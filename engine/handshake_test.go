package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/codec"
)

// request opens a connection: the key is that of RFC 6455 §1.3.
const request = "GET / HTTP/1.1\r\n" + fields + "\r\n"

const fields = "Host: example.com\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Version: 13\r\n"

const welcome = "HTTP/1.1 101 Switching Protocols\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
	"\r\n"

func TestHandshake(t *testing.T) {
	for _, tt := range []struct {
		name, request, want string
	}{
		{"root", request, welcome},
		{"query", "GET /?a=/b HTTP/1.1\r\n" + fields + "\r\n", welcome},
		{"allowed origin", "GET / HTTP/1.1\r\n" + fields + "Origin: HTTPS://Example.com\r\n\r\n", welcome},
		{
			"another path", "GET /other HTTP/1.1\r\n" + fields + "Sec-WebSocket-Protocol: a, other\r\n\r\n",
			strings.TrimSuffix(welcome, "\r\n") + "Sec-WebSocket-Protocol: other\r\n\r\n",
		},
		{"subprotocol of another path", "GET / HTTP/1.1\r\n" + fields + "Sec-WebSocket-Protocol: other\r\n\r\n", welcome},
		{"as long as may be", padded(maxHandshake), welcome},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tl := newTestLoop(t, Config{}, Endpoint{Origins: []string{"https://other.net", "https://example.com"}})
			for i := range len(tt.request) {
				tc := tl.dial()
				tc.write(tt.request[:i])
				tc.wantNothing()
				tc.wantEvents()
				tc.write(tt.request[i:])
				tc.want([]byte(tt.want))
				tc.wantNothing()
				tc.wantEvents("open")
				tc.wantOpen()
				tc.write(masked(codec.OpText, "hello"))
				tc.wantMessage("hello")
				tc.hangUp(errReset)
				tl.turn()
			}
		})
	}
}

// Origins are compared as browsers spell them, however the list spells them.
func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		allowed []string
		origin  string
		want    bool
	}{
		{[]string{"https://Example.com:443/"}, "https://example.com", true},
		{[]string{"http://[2001:DB8::0:1]:80"}, "http://[2001:db8::1]", true},
		{[]string{"https://a.example", "https://*.example.com"}, "https://www.example.com", true},
		{[]string{"https://*.example.com"}, "https://example.com", false},
		{[]string{"https://*.example.com"}, "https://evil-example.com", false},
		{[]string{"*"}, "null", true},
		{[]string{"example.com"}, "https://example.com", false}, // what cannot be read is not the empty list
		{nil, "https://example.com", true},
	} {
		tl := newTestLoop(t, Config{}, Endpoint{Origins: tt.allowed})
		tc := tl.dial()
		tc.write("GET / HTTP/1.1\r\n" + fields + "Origin: " + tt.origin + "\r\n\r\n")
		if tt.want {
			tc.want([]byte(welcome))
		} else {
			tc.wantRefusal(403)
		}
	}
}

// padded is a request of n bytes.
func padded(n int) string {
	const name = "X: "
	return strings.Replace(request, "\r\n\r\n", "\r\n"+name+strings.Repeat("x", n-len(request)-len(name)-2)+"\r\n\r\n", 1)
}

func TestHandshakeRefused(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		want          int
	}{
		{"no such path", "GET /nowhere HTTP/1.1\r\n" + fields + "\r\n", 404},
		{"plain HTTP of no such path", "GET /nowhere HTTP/1.1\r\nHost: example.com\r\n\r\n", 404},
		{"path below", "GET /other/ HTTP/1.1\r\n" + fields + "\r\n", 404},
		{"not GET", "POST / HTTP/1.1\r\n" + fields + "\r\n", 405},
		{"plain HTTP", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 426},
		{"old version", strings.Replace(request, "13", "8", 1), 426},
		{"no key", strings.Replace(request, "Key", "Kex", 1), 400},
		{"no HTTP", "hello\r\n\r\n", 400},
		{"frames without a handshake", string(masked(codec.OpText, "hello")), 400},
		{"origin", "GET / HTTP/1.1\r\n" + fields + "Origin: https://evil.example\r\n\r\n", 403},
		{"null origin", "GET / HTTP/1.1\r\n" + fields + "Origin: null\r\n\r\n", 403},
		{"a byte too long", padded(maxHandshake + 1), 431},
		{"without end", "GET /" + strings.Repeat("x", maxHandshake), 414},
		{"wrong beyond the limit", "GET /" + strings.Repeat("x", maxHandshake) + "\n", 414},
		{"unknown method", "BREW / HTTP/1.1\r\n" + fields + "\r\n", 501},
		{"unknown method of no such path", "BREW /nowhere HTTP/1.1\r\n" + fields + "\r\n", 501},
		{"TLS in the target alone", "GET wss://example.com/ HTTP/1.1\r\n" + fields + "\r\n", 421},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{1, 7, maxHandshake, len(tt.request)} {
				tl := newTestLoop(t, Config{}, Endpoint{Origins: []string{"https://example.com"}})
				tc := tl.dial()
				for _, piece := range cut([]byte(tt.request), n) {
					tc.write(piece)
				}
				tc.wantRefusal(tt.want)
				tc.wantEvents()
				tc.wantFinished()

				tc.write(request)
				tc.wantNothing()
				tc.hangUp(errReset)
				tl.turn()
				tc.wantEvents()
			}
		})
	}
}

// A refusal of a HEAD request has no body (RFC 9110 §9.3.2), whenever it comes.
func TestHeadHasNoBody(t *testing.T) {
	whole := "HEAD / HTTP/1.1\r\n" + fields + "\r\n"
	nothing := func(*testConn) {}
	for _, tt := range []struct {
		name, request string
		before, after func(*testConn)
		want          int
	}{
		{"426", whole, nothing, nothing, 426},
		{"404", strings.Replace(whole, "/", "/nowhere", 1), nothing, nothing, 404},
		{"400", "HEAD / HTTP/1.1\r\nHost: a b\r\n", nothing, nothing, 400},
		{"505", "HEAD / HTTP/1.0\r\n\r\n", nothing, nothing, 505},
		{"414", "HEAD /" + strings.Repeat("x", maxHandshake), nothing, nothing, 414},
		{"414 after an empty line", "\r\nHEAD /" + strings.Repeat("x", maxHandshake), nothing, nothing, 414},
		{"431", strings.Replace(padded(maxHandshake+1), "GET ", "HEAD ", 1), nothing, nothing, 431},
		{"408", whole[:20], nothing, func(tc *testConn) { tc.advance(DefaultHandshakeTimeout) }, 408},
		{"503", whole, func(tc *testConn) { tc.refused = full }, nothing, 503},
		{"503, stopping", whole[:20], nothing, func(tc *testConn) { tc.goAway() }, 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{1, len(tt.request)} {
				tc := newTestLoop(t, Config{}, Endpoint{}).dial()
				tt.before(tc)
				for _, piece := range cut([]byte(tt.request), n) {
					tc.write(piece)
				}
				tt.after(tc)
				tc.tl.turn()
				if got := string(tc.got); !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", tt.want)) ||
					strings.Index(got, "\r\n\r\n") != len(got)-4 {
					t.Errorf("pieces of %d: got %q, want the header of a %d alone", n, got, tt.want)
				}
			}
		})
	}
}

// wantRefusal fails unless the client got an HTTP response with that status and
// a body that says why, and nothing else.
func (tc *testConn) wantRefusal(status int) {
	tc.tl.t.Helper()
	head, body, ok := bytes.Cut(tc.got, []byte("\r\n\r\n"))
	if !ok || !bytes.HasPrefix(head, fmt.Appendf(nil, "HTTP/1.1 %d ", status)) {
		tc.tl.t.Fatalf("client got %q, want a refusal with %d", tc.got, status)
	}
	if !bytes.Contains(head, fmt.Appendf(nil, "\r\nContent-Length: %d\r\n", len(body))) || len(body) < 10 {
		tc.tl.t.Fatalf("client got %q, want a body of its length", tc.got)
	}
	tc.got = nil
}

func TestHandshakeSurplus(t *testing.T) {
	tc := newTestLoop(t, Config{}, Endpoint{}).dial()
	tc.refused = full
	tc.write(request[:20])
	tc.wantNothing()
	tc.write(request[20:])
	tc.wantRefusal(503)
	tc.wantFinished()
	tc.wantEvents()
}

func TestHandshakeTooSlow(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tc := tl.dial()
	tc.write(request[:20])
	tc.advance(DefaultHandshakeTimeout - tick)
	tc.wantNothing()
	tc.write(request[20:40])
	tc.advance(tick)
	tc.wantRefusal(408)
	tc.wantFinished()
	tc.write(request[40:])
	tc.advance(DefaultCloseTimeout)
	tc.wantNothing()
	tc.wantEvents()
	tc.wantState(true, true)
}

func TestHandshakeWithoutDeadline(t *testing.T) {
	tl := newTestLoop(t, Config{HandshakeTimeout: -1}, Endpoint{})
	tc := tl.dial()
	tc.advance(100 * DefaultHandshakeTimeout)
	tc.write(request)
	tc.want([]byte(welcome))
}

// Frames that come with the handshake, and what is sent in OnOpen.
func TestHandshakeAndFramesInOnePiece(t *testing.T) {
	conversation := []byte(request)
	conversation = append(conversation, masked(codec.OpText, "one")...)
	conversation = append(conversation, masked(codec.OpText, "two")...)
	for i := range conversation {
		tl := newTestLoop(t, Config{}, Endpoint{})
		tl.script.onOpen = func(c *Conn) { c.Send(codec.OpText, []byte("hi")) }
		tc := tl.dial()
		tc.send(conversation[:i])
		tc.write(conversation[i:])
		tc.wantEvents("open", "1 one", "1 two")
		tc.want([]byte(welcome))
		tc.wantText("hi")
		tc.wantNothing()
		if tc.writes != 1 {
			t.Fatalf("cut at %d: %d writes, want 1", i, tc.writes)
		}
	}
}

func TestHandshakeHungUp(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tc := tl.dial()
	tc.write(request[:20])
	tc.hangUp(errReset)
	tl.turn()
	tc.wantEvents()
	if len(tl.free) != 1 || len(tl.inputs) != 1 {
		t.Errorf("%d free slots and %d inputs, want 1 and 1", len(tl.free), len(tl.inputs))
	}
}

// The Handler can read what the handshake has selected: the client's order
// decides (RFC 6455 §1.9, §4.2.2).
func TestSubprotocolOfConn(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{Subprotocols: []string{"v1", "v2"}})
	var opened []string
	tl.script.onOpen = func(c *Conn) { opened = append(opened, c.Subprotocol()) }
	for _, tt := range []struct{ name, header, want string }{
		{"none offered", "", ""},
		{"one", "Sec-WebSocket-Protocol: v1\r\n", "v1"},
		{"the client's order", "Sec-WebSocket-Protocol: v3, v2, v1\r\n", "v2"},
		{"two lines", "Sec-WebSocket-Protocol: v3\r\nSec-WebSocket-Protocol: v1\r\n", "v1"},
		{"the case counts", "Sec-WebSocket-Protocol: V1\r\n", ""},
		{"none that is supported", "Sec-WebSocket-Protocol: v3\r\n", ""},
	} {
		opened = nil
		tc := tl.dial()
		tc.write("GET / HTTP/1.1\r\n" + fields + tt.header + "\r\n")
		if len(opened) != 1 || opened[0] != tt.want || tc.Subprotocol() != tt.want {
			t.Errorf("%s: got %q in OnOpen, and then %q, want %q", tt.name, opened, tc.Subprotocol(), tt.want)
		}
	}
}

// A reload changes what is offered, not what has been agreed on.
func TestSubprotocolStaysOverReload(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{Subprotocols: []string{"v1", "v2"}})
	before := tl.dial()
	before.write("GET / HTTP/1.1\r\n" + fields + "Sec-WebSocket-Protocol: v2\r\n\r\n")
	next := newTable(map[string]Endpoint{"/": {Protocol: tl, Subprotocols: []string{"v3"}}})
	tl.engine.endpoints.Store(next)
	tl.rehome(next)
	after := tl.dial()
	after.write("GET / HTTP/1.1\r\n" + fields + "Sec-WebSocket-Protocol: v2, v3\r\n\r\n")
	if got := []string{before.Subprotocol(), after.Subprotocol()}; got[0] != "v2" || got[1] != "v3" {
		t.Errorf("got %q, want v2 and v3", got)
	}
}
