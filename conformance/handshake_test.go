package conformance_test

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// RFC 6455 §4.2, RFC 9112: the request that opens a connection.

// lines makes a request of a first line and header lines.
func lines(ls ...string) string { return strings.Join(ls, "\r\n") + "\r\n\r\n" }

// Parts of a request.
const (
	get     = "GET / HTTP/1.1"
	host    = "Host: example.com"
	upgrade = "Upgrade: websocket"
	connect = "Connection: Upgrade"
	wsKey   = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	version = "Sec-WebSocket-Version: 13"
)

func TestHandshake(t *testing.T) {
	for _, tt := range []struct {
		name, say string
		status    int
	}{
		{"the usual", lines(get, host, upgrade, connect, wsKey, version), 101},
		{"in another order", lines(get, version, wsKey, connect, upgrade, host), 101},
		{"an absolute target", lines("GET http://example.com/ HTTP/1.1", host, upgrade, connect, wsKey, version), 101},
		{"an absolute target of ws", lines("GET ws://example.com HTTP/1.1", host, upgrade, connect, wsKey, version), 101},
		{"an absolute target beside another Host", lines("GET http://example.com:80/ HTTP/1.1", "Host: other", upgrade, connect, wsKey, version), 101},
		{"an absolute target with a user", lines("GET http://a@example.com/ HTTP/1.1", host, upgrade, connect, wsKey, version), 400},
		{"an absolute target without a host", lines("GET http:///a HTTP/1.1", host, upgrade, connect, wsKey, version), 400},
		{"an absolute target without Host", lines("GET http://example.com/ HTTP/1.1", upgrade, connect, wsKey, version), 400},
		{"an absolute target with a bad Host", lines("GET http://example.com/ HTTP/1.1", "Host: a b", upgrade, connect, wsKey, version), 400},
		{"an address of another scheme", lines("GET ftp://example.com/ HTTP/1.1", host, upgrade, connect, wsKey, version), 400},
		{"a relative target", lines("GET a HTTP/1.1", host, upgrade, connect, wsKey, version), 400},
		{"a first line of 8,000 bytes", lines("GET /?"+strings.Repeat("x", 8000-len("GET /? HTTP/1.1"))+" HTTP/1.1", host, upgrade, connect, wsKey, version), 101},
		{"a query", lines("GET /?a=b HTTP/1.1", host, upgrade, connect, wsKey, version), 101},
		{"an empty line before", "\r\n" + lines(get, host, upgrade, connect, wsKey, version), 101},
		{"names in any case", lines(get, "hOST: x", "UPGRADE: websocket", "connection: Upgrade", strings.ToLower(wsKey[:18])+wsKey[18:], "SEC-WEBSOCKET-VERSION: 13"), 101},
		{"values in any case", lines(get, host, "Upgrade: WebSocket", "Connection: uPGRADE", wsKey, version), 101},
		{"whitespace around values", lines(get, "Host:example.com", "Upgrade:  \twebsocket \t", connect, wsKey+"  ", version+"\t"), 101},
		{"lists of tokens", lines(get, host, "Upgrade: h2c, websocket", "Connection: keep-alive , Upgrade", wsKey, version), 101},
		{"lists with empty elements", lines(get, host, "Upgrade: ,websocket,", "Connection: ,,upgrade,", wsKey, version), 101},
		{"lists in two lines", lines(get, host, "Upgrade: h2c", upgrade, "Connection: keep-alive", connect, wsKey, version), 101},
		{"an unknown field", lines(get, host, upgrade, connect, wsKey, version, "X-Unknown: \x80\xff"), 101},
		{"an extension that is not known", lines(get, host, upgrade, connect, wsKey, version, "Sec-WebSocket-Extensions: x-unknown; a=b"), 101},
		{"a subprotocol that is not known", lines(get, host, upgrade, connect, wsKey, version, "Sec-WebSocket-Protocol: chat"), 101},

		{"an IPv6 Host", lines(get, "Host: [2001:db8::1]:9772", upgrade, connect, wsKey, version), 101},
		{"an IPv4 Host", lines(get, "Host: 192.0.2.1:9772", upgrade, connect, wsKey, version), 101},
		{"a Host of a later kind of address", lines(get, "Host: [v1.a:b]", upgrade, connect, wsKey, version), 101},
		{"a Host with percent", lines(get, "Host: caf%C3%A9.example", upgrade, connect, wsKey, version), 101},
		{"a Host with an underscore", lines(get, "Host: a_b", upgrade, connect, wsKey, version), 101},
		{"a Host with an empty port", lines(get, "Host: example.com:", upgrade, connect, wsKey, version), 101},
		{"a Host with a user", lines(get, "Host: a@example.com", upgrade, connect, wsKey, version), 400},
		{"a Host with a path", lines(get, "Host: example.com/", upgrade, connect, wsKey, version), 400},
		{"a Host with a port that is no number", lines(get, "Host: example.com:http", upgrade, connect, wsKey, version), 400},
		{"a Host with a zone", lines(get, "Host: [fe80::1%25eth0]", upgrade, connect, wsKey, version), 400},
		{"a Host with an open bracket", lines(get, "Host: [::1", upgrade, connect, wsKey, version), 400},
		{"a list of Hosts", lines(get, "Host: a, b", upgrade, connect, wsKey, version), 400},
		{"no Host", lines(get, upgrade, connect, wsKey, version), 400},
		{"two Hosts", lines(get, host, host, upgrade, connect, wsKey, version), 400},
		{"a bad Host", lines(get, "Host: a b", upgrade, connect, wsKey, version), 400},
		{"an empty Host", lines(get, "Host:", upgrade, connect, wsKey, version), 400},
		{"no Upgrade", lines(get, host, connect, wsKey, version), 426},
		{"another Upgrade", lines(get, host, "Upgrade: websockets", connect, wsKey, version), 426},
		{"no Connection", lines(get, host, upgrade, wsKey, version), 426},
		{"another Connection", lines(get, host, upgrade, "Connection: close, upgrades", wsKey, version), 426},
		{"no key", lines(get, host, upgrade, connect, version), 400},
		{"two keys", lines(get, host, upgrade, connect, wsKey, wsKey, version), 400},
		{"an empty key", lines(get, host, upgrade, connect, "Sec-WebSocket-Key:", version), 400},
		{"a key of 15 bytes", lines(get, host, upgrade, connect, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA", version), 400},
		{"a key of 17 bytes", lines(get, host, upgrade, connect, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=", version), 400},
		{"a key of 18 bytes", lines(get, host, upgrade, connect, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA", version), 400},
		{"a key that is not base64", lines(get, host, upgrade, connect, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==", version), 400},
		{"no version", lines(get, host, upgrade, connect, wsKey), 426},
		{"version 8", lines(get, host, upgrade, connect, wsKey, "Sec-WebSocket-Version: 8"), 426},
		{"version 14", lines(get, host, upgrade, connect, wsKey, "Sec-WebSocket-Version: 14"), 426},
		{"a list of versions", lines(get, host, upgrade, connect, wsKey, "Sec-WebSocket-Version: 13, 8"), 426},
		{"two versions", lines(get, host, upgrade, connect, wsKey, version, version), 400},

		{"the right origin", lines("GET /page HTTP/1.1", host, upgrade, connect, wsKey, version, "Origin: https://example.com"), 101},
		{"another origin", lines("GET /page HTTP/1.1", host, upgrade, connect, wsKey, version, "Origin: https://example.org"), 403},
		{"two origins", lines("GET /page HTTP/1.1", host, upgrade, connect, wsKey, version, "Origin: https://example.com", "Origin: https://example.org"), 400},
		{"no page", lines("GET /page HTTP/1.1", host, upgrade, connect, wsKey, version), 101},

		{"POST", lines("POST / HTTP/1.1", host, upgrade, connect, wsKey, version), 405},
		{"POST with a body", lines("POST / HTTP/1.1", host, "Content-Length: 5") + "hello", 405},
		{"POST with a chunked body", lines("POST / HTTP/1.1", host, "Transfer-Encoding: chunked") + "0\r\n\r\n", 405},
		{"POST that expects 100", lines("POST / HTTP/1.1", host, "Content-Length: 5", "Expect: 100-continue"), 405},
		{"an upgrade that expects 100", lines(get, host, upgrade, connect, wsKey, version, "Expect: 100-continue"), 101},
		{"PUT", lines("PUT / HTTP/1.1", host, "Content-Length: 0"), 405},
		{"DELETE", lines("DELETE / HTTP/1.1", host), 405},
		{"PATCH", lines("PATCH / HTTP/1.1", host, "Content-Length: 0"), 405},
		{"TRACE", lines("TRACE / HTTP/1.1", host), 405},
		{"CONNECT", lines("CONNECT example.com:80 HTTP/1.1", "Host: example.com:80"), 405},
		{"CONNECT to an IPv6 address", lines("CONNECT [::1]:80 HTTP/1.1", "Host: [::1]:80"), 405},
		{"CONNECT without a port", lines("CONNECT example.com HTTP/1.1", host), 400},
		{"CONNECT with an empty port", lines("CONNECT example.com: HTTP/1.1", host), 400},
		{"CONNECT with a path", lines("CONNECT / HTTP/1.1", host), 400},
		{"an authority without CONNECT", lines("GET example.com:80 HTTP/1.1", host, upgrade, connect, wsKey, version), 400},
		{"OPTIONS", lines("OPTIONS / HTTP/1.1", host), 200},
		{"OPTIONS of the server", lines("OPTIONS * HTTP/1.1", host), 200},
		{"OPTIONS of no such path", lines("OPTIONS /nowhere HTTP/1.1", host), 404},
		{"an unknown method", lines("BREW / HTTP/1.1", host), 501},
		{"a method without end", strings.Repeat("A", 9000), 501},
		{"a method in lower case", lines("get / HTTP/1.1", host, upgrade, connect, wsKey, version), 501},
		{"a method that is no token", lines("G(T / HTTP/1.1", host, upgrade, connect, wsKey, version), 400},
		{"a GET that is no handshake", lines(get, host), 426},
		{"no such path", lines("GET /nowhere HTTP/1.1", host, upgrade, connect, wsKey, version), 404},
		{"HTTP/1.0", lines("GET / HTTP/1.0", host, upgrade, connect, wsKey, version), 505},
		{"HTTP/2.0", lines("GET / HTTP/2.0", host, upgrade, connect, wsKey, version), 505},
		{"HTTP/1.2", lines("GET / HTTP/1.2", host, upgrade, connect, wsKey, version), 101},
		{"HTTP/3.0", lines("GET / HTTP/3.0", host, upgrade, connect, wsKey, version), 505},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"http/1.1", lines("GET / http/1.1", host, upgrade, connect, wsKey, version), 400},
		{"HTTP/1.10", lines("GET / HTTP/1.10", host, upgrade, connect, wsKey, version), 400},
		{"a Host twice in any case", lines(get, host, "hOST: example.com", upgrade, connect, wsKey, version), 400},
		{"no version of HTTP", lines("GET /", host, upgrade, connect, wsKey, version), 400},
		{"two spaces before the target", lines("GET  / HTTP/1.1", host, upgrade, connect, wsKey, version), 400},
		{"a space after the first line", lines(get+" ", host, upgrade, connect, wsKey, version), 400},
		{"a fragment in the target", lines("GET /#x HTTP/1.1", host, upgrade, connect, wsKey, version), 400},
		{"an asterisk as target", lines("GET * HTTP/1.1", host, upgrade, connect, wsKey, version), 400},

		{"bare LF after the first line", strings.Replace(lines(get, host, upgrade, connect, wsKey, version), "\r\n", "\n", 1), 400},
		{"bare LF everywhere", strings.ReplaceAll(lines(get, host, upgrade, connect, wsKey, version), "\r\n", "\n"), 400},
		{"bare CR in a value", lines(get, host, "X: a\rb", upgrade, connect, wsKey, version), 400},
		{"NUL in a value", lines(get, host, "X: a\x00b", upgrade, connect, wsKey, version), 400},
		{"obs-fold", lines(get, host, upgrade, "X: a", " b", connect, wsKey, version), 400},
		{"obs-fold with a tab", lines(get, host, upgrade, "X: a", "\tb", connect, wsKey, version), 400},
		{"a space before the first field", lines(get, " "+host, upgrade, connect, wsKey, version), 400},
		{"a space before a colon", lines(get, "Host : example.com", upgrade, connect, wsKey, version), 400},
		{"no colon", lines(get, host, "rubbish", upgrade, connect, wsKey, version), 400},
		{"an empty name", lines(get, host, ": x", upgrade, connect, wsKey, version), 400},
		{"a name that is no token", lines(get, host, "a(b): x", upgrade, connect, wsKey, version), 400},

		{"a body", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: 5") + "hello", 400},
		{"Content-Length of zero", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: 0"), 101},
		{"Content-Length of 00", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: 00"), 101},
		{"Content-Length over 64 bits", lines("POST / HTTP/1.1", host, "Content-Length: 99999999999999999999999"), 405},
		{"a list of Content-Lengths", lines("POST / HTTP/1.1", host, "Content-Length: 5, 5") + "hello", 400},
		{"Content-Length with a sign", lines("POST / HTTP/1.1", host, "Content-Length: +5") + "hello", 400},
		{"two Content-Lengths", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: 0", "Content-Length: 0"), 400},
		{"two different Content-Lengths", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: 0", "Content-Length: 5"), 400},
		{"a negative Content-Length", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: -1"), 400},
		{"a chunked body", lines(get, host, upgrade, connect, wsKey, version, "Transfer-Encoding: chunked") + "0\r\n\r\n", 400},
		{"chunked with a length", lines("POST / HTTP/1.1", host, "Content-Length: 0", "Transfer-Encoding: chunked"), 400},
		{"chunked not at the end", lines("POST / HTTP/1.1", host, "Transfer-Encoding: chunked, gzip"), 400},
		{"chunked twice", lines("POST / HTTP/1.1", host, "Transfer-Encoding: chunked, chunked"), 400},
		{"not chunked", lines("POST / HTTP/1.1", host, "Transfer-Encoding: gzip"), 400},
		{"a transfer coding that is not known", lines("POST / HTTP/1.1", host, "Transfer-Encoding: gzip, chunked"), 501},

		{"a block as long as allowed", fill(8 << 10), 101},
		{"a block a byte longer", fill(8<<10 + 1), 431},
		{"a line without end", get + "\r\nX: " + strings.Repeat("x", 9000), 431},
		{"a first line without end", "GET /" + strings.Repeat("x", 9000), 414},
		{"a target that is too long", lines("GET /"+strings.Repeat("x", 9000)+" HTTP/1.1", host, upgrade, connect, wsKey, version), 414},
		{"TLS to a plain port", "\x16\x03\x01\x02\x00\x01", 400},
	} {
		for _, tr := range transports {
			for _, size := range []int{len(tt.say), 1} {
				t.Run(fmt.Sprint(tt.name, "/", tr.name, "/pieces of ", size), func(t *testing.T) {
					c := dial(t, tr)
					c.say(tt.say, size)
					c.wantAnswer(tt.status)
				})
			}
		}
	}
}

// fill makes a request whose header block is n bytes long.
func fill(n int) string {
	return request("/", "X: "+strings.Repeat("x", n-len(request("/", "X: \r\n")))+"\r\n")
}

// wantAnswer reads the answer to a request, and whether it is as it must be.
func (c *client) wantAnswer(status int) {
	c.t.Helper()
	response := c.wantResponse(status)
	want := map[string]string{}
	switch status {
	case 101:
		// The example of RFC 6455 §1.3.
		want = map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
			"Sec-WebSocket-Extensions": "", "Sec-WebSocket-Protocol": "",
		}
	case 200, 405:
		want["Allow"] = "GET, HEAD, OPTIONS"
	case 426:
		want["Upgrade"] = "websocket"
	}
	for name, value := range want {
		if got := response.Header.Get(name); got != value {
			c.t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if status != 101 {
		c.wantFields(response)
	}
	if status == 101 {
		c.say(goodbye, limit)
		c.hear("close 1000")
	} else if body, err := io.ReadAll(response.Body); err != nil || len(body) < 10 {
		c.t.Errorf("got %q, %v, want a reason", body, err)
	}
	c.end()
}

// wantFields fails unless an answer before the upgrade has what every one must have.
func (c *client) wantFields(response *http.Response) {
	c.t.Helper()
	if !response.Close {
		c.t.Errorf("got no \"Connection: close\"")
	}
	if date, err := time.Parse(http.TimeFormat, response.Header.Get("Date")); err != nil || time.Since(date).Abs() > time.Hour {
		c.t.Errorf("Date: got %q, %v, want the time", response.Header.Get("Date"), err)
	}
	if response.ContentLength <= 0 || response.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		c.t.Errorf("got %d bytes of %q, want text", response.ContentLength, response.Header.Get("Content-Type"))
	}
}

// HEAD is answered as a GET without an upgrade, but for the body.
func TestHead(t *testing.T) {
	for _, tt := range []struct {
		name, say string
		status    int
	}{
		{"of a path", lines("HEAD / HTTP/1.1", host), 426},
		{"with an upgrade", lines("HEAD / HTTP/1.1", host, upgrade, connect, wsKey, version), 426},
		{"of no such path", lines("HEAD /nowhere HTTP/1.1", host), 404},
		{"without Host", lines("HEAD / HTTP/1.1"), 400},
		{"in HTTP/1.0", lines("HEAD / HTTP/1.0"), 505},
		{"with a target that is too long", "HEAD /" + strings.Repeat("x", 9000), 414},
	} {
		for _, tr := range transports {
			t.Run(tt.name+"/"+tr.name, func(t *testing.T) {
				ask := func(say string) *client {
					c := dial(t, tr)
					c.say(say, limit)
					return c
				}
				c := ask(tt.say)
				head, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodHead})
				if err != nil || head.StatusCode != tt.status {
					t.Fatalf("got %v, %v, want %d", head, err, tt.status)
				}
				c.wantFields(head)
				c.end()
				whole := ask("GET" + strings.TrimPrefix(strings.Replace(tt.say, upgrade, "X: y", 1), "HEAD")).wantResponse(tt.status)
				head.Header.Del("Date")
				whole.Header.Del("Date")
				if !reflect.DeepEqual(head.Header, whole.Header) || head.ContentLength != whole.ContentLength {
					t.Errorf("got %v, want as to GET %v", head.Header, whole.Header)
				}
			})
		}
	}
}

// An address with TLS may be asked for over TLS alone (RFC 9110 §7.4).
func TestSecureTarget(t *testing.T) {
	for _, tr := range transports {
		for _, scheme := range []string{"https", "WSS"} {
			t.Run(tr.name+"/"+scheme, func(t *testing.T) {
				c := dial(t, tr)
				c.say(lines("GET "+scheme+"://example.com/ HTTP/1.1", host, upgrade, connect, wsKey, version), limit)
				if tr.name == "plain" {
					c.wantAnswer(http.StatusMisdirectedRequest)
				} else {
					c.wantAnswer(http.StatusSwitchingProtocols)
				}
			})
		}
	}
}

func TestVersionIsTold(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			c := dial(t, tr)
			c.say(lines(get, host, upgrade, connect, wsKey, "Sec-WebSocket-Version: 8"), limit)
			response := c.wantResponse(http.StatusUpgradeRequired)
			if got := response.Header.Get("Sec-WebSocket-Version"); got != "13" {
				t.Errorf("got version %q, want 13", got)
			}
		})
	}
}

// Frames may come with the request, in the same packet.
func TestFramesBehindTheRequest(t *testing.T) {
	for _, tr := range transports {
		for _, size := range []int{limit, 1, 150} {
			t.Run(fmt.Sprint(tr.name, "/pieces of ", size), func(t *testing.T) {
				c := dial(t, tr)
				c.say(request("/", "")+frame(firstText, "hel")+ping("p")+frame(last, "lo")+closing(1000, ""), size)
				c.wantResponse(101)
				c.hear("pong p", "text hello", "close 1000")
				c.end()
			})
		}
	}
}

// A request that comes a byte at a time and never ends is answered with 408 when
// its time is over.
func TestEndlessRequest(t *testing.T) {
	config := noDeadlines
	config.HandshakeTimeout = 5 * time.Second // TLS has to be through with its own by then
	hasty, err := start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shutdown(hasty); err != nil {
			t.Error(err)
		}
	})
	type late struct {
		*client
		name string
	}
	var all []late // they wait at the same time
	for _, tr := range transports {
		for _, say := range []string{"", "G", get + "\r\n", get + "\r\nHost: example.com\r\nX: " + long(1000)} {
			c := dialTo(t, hasty, tr)
			c.say(say, 1)
			all = append(all, late{c, fmt.Sprint(tr.name, "/", len(say), " bytes")})
		}
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			c.t = t
			c.wantAnswer(408)
		})
	}
}
