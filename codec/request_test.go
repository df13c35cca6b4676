package codec

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// sample is the handshake of RFC 6455 §1.2.
const sample = "GET /chat HTTP/1.1\r\n" +
	"Host: server.example.com\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Origin: http://example.com\r\n" +
	"Sec-WebSocket-Protocol: chat, superchat\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"\r\n"

// browser is what a browser sends.
const browser = "GET /socket?room=1 HTTP/1.1\r\n" +
	"Host: rocket.example.com:8080\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " +
	"Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://rocket.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"\r\n"

// get makes a request of a first line and further lines, which may hold several.
func get(first string, lines ...string) string {
	all := append([]string{first}, lines...)
	return strings.Join(all, "\r\n") + "\r\n\r\n"
}

var requestTests = []struct {
	name                              string
	in                                string
	method, path, query, host, origin string
}{
	{"sample", sample, "GET", "/chat", "", "server.example.com", "http://example.com"},
	{"browser", browser, "GET", "/socket", "room=1", "rocket.example.com:8080", "https://rocket.example.com"},
	{"least", get("GET / HTTP/1.1", "Host: h"), "GET", "/", "", "h", ""},
	{"blank line first", "\r\n" + get("GET / HTTP/1.1", "Host: h"), "GET", "/", "", "h", ""},
	{"other method", get("POST /x HTTP/1.1", "Host: h"), "POST", "/x", "", "h", ""},
	{"names in any case", get("GET / HTTP/1.1", "hOST:h", "ORIGIN:o"), "GET", "/", "", "h", "o"},
	{"whitespace around values", get("GET / HTTP/1.1", "Host: \t h\t "), "GET", "/", "", "h", ""},
	{"empty value", get("GET / HTTP/1.1", "Host: h", "X:", "Origin:  "), "GET", "/", "", "h", ""},
	{"bytes over 0x7f in a value", get("GET / HTTP/1.1", "Host: h", "X: caf\xe9"), "GET", "/", "", "h", ""},
	{"two questions", get("GET /a?b?c HTTP/1.1", "Host: h"), "GET", "/a", "b?c", "h", ""},
	{"empty query", get("GET /a? HTTP/1.1", "Host: h"), "GET", "/a", "", "h", ""},
	{"percent", get("GET /caf%C3%A9?%zz HTTP/1.1", "Host: h"), "GET", "/caf%C3%A9", "%zz", "h", ""},
	{"two slashes", get("GET //a//b HTTP/1.1", "Host: h"), "GET", "//a//b", "", "h", ""},
	{"absolute ws", get("GET ws://a:80/b?c HTTP/1.1", "Host: h"), "GET", "/b", "c", "a:80", ""},
	{"absolute HTTPS without a path", get("GET HTTPS://a?c HTTP/1.1", "Host: h"), "GET", "/", "c", "a", ""},
	{"IPv6", get("GET / HTTP/1.1", "Host: [::1]:8080"), "GET", "/", "", "[::1]:8080", ""},
	{"empty port", get("GET / HTTP/1.1", "Host: h:"), "GET", "/", "", "h:", ""},
	{"IPv6 in full", get("GET / HTTP/1.1", "Host: [2001:DB8:0:0:0:0:192.0.2.1]"), "GET", "/", "", "[2001:DB8:0:0:0:0:192.0.2.1]", ""},
	{"a later kind of address", get("GET / HTTP/1.1", "Host: [vF.a:b!]:1"), "GET", "/", "", "[vF.a:b!]:1", ""},
	{"name with percent", get("GET / HTTP/1.1", "Host: caf%C3%A9.example"), "GET", "/", "", "caf%C3%A9.example", ""},
	{"name with all that may be", get("GET / HTTP/1.1", "Host: a-._~!$&'()*+,;=b"), "GET", "/", "", "a-._~!$&'()*+,;=b", ""},
	{"long port", get("GET / HTTP/1.1", "Host: h:0000008080"), "GET", "/", "", "h:0000008080", ""},
	{"a later minor version", get("GET / HTTP/1.9", "Host: h"), "GET", "/", "", "h", ""},
	{"asterisk", get("OPTIONS * HTTP/1.1", "Host: h"), "OPTIONS", "*", "", "h", ""},
	{"authority", get("CONNECT [::1]:443 HTTP/1.1", "Host: h"), "CONNECT", "", "", "[::1]:443", ""},
	{"a body", get("POST / HTTP/1.1", "Host: h", "Content-Length: 18446744073709551616"), "POST", "/", "", "h", ""},
	{"a chunked body", get("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: , Chunked ,"), "POST", "/", "", "h", ""},
	{"long zero", get("GET / HTTP/1.1", "Host: h", "Content-Length: 00"), "GET", "/", "", "h", ""},
	{"no body", get("GET / HTTP/1.1", "Host: h", "Content-Length: 0"), "GET", "/", "", "h", ""},
}

func TestParseRequest(t *testing.T) {
	for _, tt := range requestTests {
		t.Run(tt.name, func(t *testing.T) {
			r, n, err := ParseRequest([]byte(tt.in + "\x81\x00"))
			if err != nil || n != len(tt.in) {
				t.Fatalf("got %d, %v, want %d", n, err, len(tt.in))
			}
			for _, f := range []struct{ name, got, want string }{
				{"method", string(r.Method), tt.method},
				{"target", string(r.Target), strings.Fields(tt.in)[1]},
				{"path", string(r.Path), tt.path},
				{"query", string(r.Query), tt.query},
				{"host", string(r.Host), tt.host},
				{"origin", string(r.Origin), tt.origin},
			} {
				if f.got != f.want {
					t.Errorf("%s: got %q, want %q", f.name, f.got, f.want)
				}
			}
			for i := range tt.in {
				if _, n, err := ParseRequest([]byte(tt.in[:i])); n != 0 || err != nil {
					t.Errorf("cut at %d: got %d, %v, want nothing yet", i, n, err)
				}
			}
		})
	}
}

// TestParseRequestRefuses gives each bad header up to the byte at which it fails.
func TestParseRequestRefuses(t *testing.T) {
	const first = "GET / HTTP/1.1\r\n"
	const host = first + "Host: h\r\n"
	for _, tt := range []struct {
		name string
		in   string
		want error
	}{
		{"TLS", "\x16", errRequestLine},
		{"two blank lines first", "\r\n\r\n", errRequestLine},
		{"line feed first", "\n", errBareLF},
		{"space first", " ", errRequestLine},
		{"long method", strings.Repeat("A", maxMethod+1), errMethod},
		{"method only", "GET\r\n", errRequestLine},
		{"HTTP/0.9", "GET /\r\n", errRequestLine},
		{"HTTP/2.0", "GET / HTTP/2.0", errVersion},
		{"a minor version of HTTP/2", "GET / HTTP/2.2", errVersion},
		{"HTTP/1.11", "GET / HTTP/1.11", errRequestLine},
		{"HTTP/1x", "GET / HTTP/1x", errRequestLine},
		{"http/1.1", "GET / h", errRequestLine},
		{"version is cut", "GET / HTTP/1\r\n", errRequestLine},
		{"two spaces", "GET  ", errTarget},
		{"space after the version", "GET / HTTP/1.1 ", errRequestLine},
		{"HTTP/2 preface", "PRI * HTTP/2.0", errVersion},
		{"GET with an asterisk", "GET * HTTP/1.1\r\n", errTarget},
		{"asterisk and more", "OPTIONS *a", errTarget},
		{"CONNECT without a port", "CONNECT h HTTP/1.1\r\n", errConnectTarget},
		{"CONNECT with an empty port", "CONNECT h: HTTP/1.1\r\n", errConnectTarget},
		{"CONNECT with a bad port", "CONNECT h:8x HTTP/1.1\r\n", errConnectTarget},
		{"CONNECT of a path", "CONNECT / HTTP/1.1\r\n", errConnectTarget},
		{"CONNECT of an address", "CONNECT http://h:80/ HTTP/1.1\r\n", errConnectTarget},
		{"CONNECT without a target", "CONNECT  ", errTarget},
		{"tab", "GET\t", errRequestLine},
		{"relative target", "GET a", errTarget},
		{"other scheme", "GET f", errTarget},
		{"scheme only", "GET ws ", errTarget},
		{"authority form", "GET h:", errTarget},
		{"no host in the target", "GET ws:///", errTarget},
		{"user in the target", "GET ws://u@h/", errTarget},
		{"control character in the target", "GET /\x01", errTarget},
		{"DEL in the target", "GET /a\x7f", errTarget},
		{"bytes over 0x7f in the target", "GET /\xc3", errTarget},
		{"fragment", "GET /a#", errTarget},
		{"bad percent", "GET /%g", errTarget},
		{"percent at the end", "GET /%a ", errTarget},
		{"percent before the query", "GET /%a?", errTarget},
		{"CR in the first line", "GET / HTTP/1.1\rX", errRequestLine},
		{"bare LF after the first line", "GET / HTTP/1.1\n", errBareLF},

		{"bare LF", host + "X: y\n", errBareLF},
		{"bare LF as the blank line", host + "\n", errBareLF},
		{"CR in a value", host + "X: a\rb", errFieldValue},
		{"NUL in a value", host + "X: \x00", errFieldValue},
		{"DEL in a value", host + "X: \x7f", errFieldValue},
		{"NUL in a name", host + "X\x00", errFieldName},
		{"folded", host + " ", errFieldName},
		{"space before the colon", host + "X ", errFieldName},
		{"no name", host + ":", errFieldName},
		{"no colon", host + "X\r\n", errFieldName},
		{"name in Greek", host + "\xce", errFieldName},

		{"no host", first + "\r\n", errNoHost},
		{"no host beside an absolute target", "GET ws://h/ HTTP/1.1\r\n\r\n", errNoHost},
		{"empty host", first + "Host:\r\n", errHost},
		{"host twice", host + "Host: h\r\n", errHost},
		{"two hosts", first + "Host: a, b\r\n", errHost},
		{"host with a path", first + "Host: a/b\r\n", errHost},
		{"host with a user", first + "Host: a@b\r\n", errHost},
		{"host with a bad port", first + "Host: a:8x\r\n", errHost},
		{"bad percent in the host", first + "Host: a%zz\r\n", errHost},
		{"empty brackets", first + "Host: []\r\n", errHost},
		{"a later kind without an address", first + "Host: [v1.]\r\n", errHost},
		{"a later kind without a version", first + "Host: [v.a]\r\n", errHost},
		{"a later kind with a slash", first + "Host: [v1.a/]\r\n", errHost},
		{"open bracket", first + "Host: [::1\r\n", errHost},
		{"name in brackets", first + "Host: [a]\r\n", errHost},
		{"IPv4 in brackets", first + "Host: [1.2.3.4]\r\n", errHost},
		{"zone", first + "Host: [fe80::1%25eth0]\r\n", errHost},
		{"two colons", first + "Host: a:1:2\r\n", errHost},

		{"signed length", host + "Content-Length: +5\r\n", errLength},
		{"no length", host + "Content-Length:\r\n", errLength},
		{"hexadecimal length", host + "Content-Length: 0x5\r\n", errLength},
		{"list of lengths", host + "Content-Length: 0, 0\r\n", errLength},
		{"two lengths", host + "Content-Length: 0\r\ncontent-length: 0\r\n", errLength},
		{"identity", host + "transfer-encoding: identity\r\n\r\n", errCoding},
		{"no coding", host + "Transfer-Encoding:\r\n\r\n", errCoding},
		{"chunked twice", host + "Transfer-Encoding: chunked, chunked\r\n", errCoding},
		{"chunked in two lines", host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", errCoding},
		{"chunked before another", host + "Transfer-Encoding: chunked, gzip\r\n", errCoding},
		{"chunked behind another", host + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", errOtherCoding},
		{"chunked with a parameter", host + "Transfer-Encoding: chunked;a=b\r\n\r\n", errCoding},
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", errOldCoding},
		{"chunked with a length", host + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", errLengths},
		{"two keys", host + "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n", errManyKeys},
		{"two versions", host + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n", errManyVersions},
		{"two origins", host + "Origin: a\r\nOrigin: b\r\n", errManyOrigins},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, rest := range []string{"", "\r\n\r\n"} {
				r, n, err := ParseRequest([]byte(tt.in + rest))
				if n != 0 || err != tt.want || r.Method != nil {
					t.Errorf("before %q: got %s, %d, %v, want %v", rest, r.Method, n, err, tt.want)
				}
			}
			for i := range tt.in {
				if _, n, err := ParseRequest([]byte(tt.in[:i])); n != 0 || err != nil {
					t.Errorf("cut at %d: got %d, %v, want nothing yet", i, n, err)
				}
			}
		})
	}
}

// FuzzParseRequest compares with net/http: what is accepted here it must accept, and understand alike.
func FuzzParseRequest(f *testing.F) {
	for _, tt := range requestTests {
		f.Add([]byte(tt.in))
	}
	f.Add([]byte("GET ws://[::ffff:1.2.3.4]:80/%41?a#b HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := ParseRequest(b)
		var refused *HandshakeError
		if err != nil && (n != 0 || !errors.As(err, &refused)) {
			t.Fatalf("got %d, %T %v", n, err, err)
		}
		checkRequestCuts(t, b, n, err)
		if n > 0 {
			checkStandardRequest(t, b[:n], &r)
			_ = r.CheckUpgrade()
			_ = r.Subprotocol([]string{"chat"})
			_ = AppendUpgrade(nil, &r, "", 0)
		}
	})
}

func checkStandardRequest(t *testing.T, b []byte, r *Request) {
	t.Helper()
	if !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		t.Fatalf("header block ends with %q", b[max(0, len(b)-4):])
	}
	b = bytes.TrimPrefix(b, []byte("\r\n")) // net/http ignores no empty line
	rest := bufio.NewReader(bytes.NewReader(b))
	want, err := http.ReadRequest(rest)
	if err != nil && r.seen&seenBody != 0 {
		return // net/http knows fewer ways to send a body; here none is accepted for an upgrade
	}
	if err != nil && (bytes.IndexByte(r.authority, '%') >= 0 || bytes.Contains(bytes.ToLower(r.authority), []byte("[v"))) {
		return // net/url knows fewer hosts than RFC 3986
	}
	if err != nil {
		t.Fatalf("accepted, but net/http says: %v", err)
	}
	path, err := url.PathUnescape(string(r.Path))
	if err != nil {
		t.Errorf("path: %v", err)
	}
	if want.URL.Path == "" && r.Path != nil {
		want.URL.Path = "/"
	}
	for _, f := range []struct{ name, got, want string }{
		{"method", string(r.Method), want.Method},
		{"target", string(r.Target), want.RequestURI},
		{"path", path, want.URL.Path},
		{"query", string(r.Query), want.URL.RawQuery},
		{"host", string(r.Host), want.Host},
		{"origin", string(r.Origin), want.Header.Get("Origin")},
		{"key", string(r.key), want.Header.Get("Sec-WebSocket-Key")},
		{"version", string(r.version), want.Header.Get("Sec-WebSocket-Version")},
	} {
		if f.got != f.want {
			t.Errorf("%s: got %q, want %q", f.name, f.got, f.want)
		}
	}
	if r.seen&seenBody == 0 && (want.ContentLength != 0 || len(want.TransferEncoding) > 0 || rest.Buffered() > 0) {
		t.Errorf("got no body, want %d bytes, %v, and %d left", want.ContentLength, want.TransferEncoding, rest.Buffered())
	}
}

// checkRequestCuts checks that a part of a request is refused only if the whole is, and never read.
func checkRequestCuts(t *testing.T, b []byte, n int, err error) {
	t.Helper()
	failed := false
	for i := range min(len(b), 300) {
		_, m, cutErr := ParseRequest(b[:i])
		if cutErr != nil && err == nil || m != 0 && m != n || n > 0 && i < n && m != 0 {
			t.Fatalf("cut at %d: got %d, %v, want %d, %v or nothing yet", i, m, cutErr, n, err)
		}
		if failed && cutErr == nil {
			t.Fatalf("cut at %d: got no error, want one as for fewer bytes", i)
		}
		failed = cutErr != nil
	}
}
