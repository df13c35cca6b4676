package conformance_test

import (
	"fmt"
	"io"
	"net/http"
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
		{"HEAD", lines("HEAD / HTTP/1.1", host, upgrade, connect, wsKey, version), 405},
		{"a method in lower case", lines("get / HTTP/1.1", host, upgrade, connect, wsKey, version), 405},
		{"no such path", lines("GET /nowhere HTTP/1.1", host, upgrade, connect, wsKey, version), 404},
		{"HTTP/1.0", lines("GET / HTTP/1.0", host, upgrade, connect, wsKey, version), 505},
		{"HTTP/2.0", lines("GET / HTTP/2.0", host, upgrade, connect, wsKey, version), 505},
		{"http/1.1", lines("GET / http/1.1", host, upgrade, connect, wsKey, version), 400},
		{"HTTP/1.10", lines("GET / HTTP/1.10", host, upgrade, connect, wsKey, version), 400},
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
		{"two Content-Lengths", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: 0", "Content-Length: 0"), 400},
		{"two different Content-Lengths", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: 0", "Content-Length: 5"), 400},
		{"a negative Content-Length", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: -1"), 400},
		{"a chunked body", lines(get, host, upgrade, connect, wsKey, version, "Transfer-Encoding: chunked") + "0\r\n\r\n", 400},
		{"chunked with a length", lines(get, host, upgrade, connect, wsKey, version, "Content-Length: 0", "Transfer-Encoding: chunked"), 400},

		{"a block as long as allowed", fill(8 << 10), 101},
		{"a block a byte longer", fill(8<<10 + 1), 431},
		{"a line without end", get + "\r\nX: " + strings.Repeat("x", 9000), 431},
		{"a first line without end", "GET /" + strings.Repeat("x", 9000), 431},
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
	case 405:
		want["Allow"] = "GET"
	case 426:
		want["Upgrade"] = "websocket"
	}
	for name, value := range want {
		if got := response.Header.Get(name); got != value {
			c.t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if status != 101 && !response.Close {
		c.t.Errorf("got no \"Connection: close\"")
	}
	if status == 101 {
		c.say(goodbye, limit)
		c.hear("close 1000")
	} else if body, err := io.ReadAll(response.Body); err != nil || len(body) < 10 {
		c.t.Errorf("got %q, %v, want a reason", body, err)
	}
	c.end()
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
