package codec

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// parse reads a whole request.
func parse(t testing.TB, in string) *Request {
	t.Helper()
	r, n, err := ParseRequest([]byte(in))
	if n != len(in) || err != nil {
		t.Fatalf("%q: got %d, %v, want %d", in, n, err, len(in))
	}
	return &r
}

const testKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

func TestCheckUpgrade(t *testing.T) {
	const first, host = "GET / HTTP/1.1", "Host: h"
	const upgrade, connection, version = "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Version: 13"
	for _, tt := range []struct {
		name string
		in   string
		want error
	}{
		{"sample", sample, nil},
		{"browser", browser, nil},
		{"any case", get(first, host, "UPGRADE: WebSocket", "connection: UPGRADE", testKey, version), nil},
		{"lists", get(first, host, "Upgrade: h2c , websocket", "Connection: keep-alive,Upgrade,", testKey, version), nil},
		{
			"lists in several lines",
			get(first, host, upgrade, "Upgrade: h2c", "Connection: close", connection, "Connection: x", testKey, version), nil,
		},
		{"POST", get("POST / HTTP/1.1", host, upgrade, connection, testKey, version), errNotGet},
		{"POST with a body", get("POST / HTTP/1.1", host, "Content-Length: 5"), errNotGet},
		{"HEAD", get("HEAD / HTTP/1.1", host), errNoUpgrade},
		{"HEAD with an upgrade", get("HEAD / HTTP/1.1", host, upgrade, connection, testKey, version), errNoUpgrade},
		{"OPTIONS", get("OPTIONS / HTTP/1.1", host), errOptions},
		{"body", get(first, host, upgrade, connection, testKey, version, "Content-Length: 5"), errBody},
		{"chunked", get(first, host, upgrade, connection, testKey, version, "Transfer-Encoding: chunked"), errBody},
		{"plain GET", get(first, host), errNoUpgrade},
		{"other protocol", get(first, host, "Upgrade: h2c", connection, testKey, version), errNoUpgrade},
		{"longer token", get(first, host, "Upgrade: websockets", connection, testKey, version), errNoUpgrade},
		{"no connection", get(first, host, upgrade, testKey, version), errNoConnection},
		{"keep-alive", get(first, host, upgrade, "Connection: keep-alive", testKey, version), errNoConnection},
		{"no version", get(first, host, upgrade, connection, testKey), errUpgradeVersion},
		{"version 8", get(first, host, upgrade, connection, testKey, "Sec-WebSocket-Version: 8"), errUpgradeVersion},
		{"versions", get(first, host, upgrade, connection, testKey, "Sec-WebSocket-Version: 13, 8"), errUpgradeVersion},
		{"no key", get(first, host, upgrade, connection, version), errKey},
		{"empty key", get(first, host, upgrade, connection, version, "Sec-WebSocket-Key:"), errKey},
		{"15 bytes", get(first, host, upgrade, connection, version, keyOf(15)), errKey},
		{"17 bytes", get(first, host, upgrade, connection, version, keyOf(17)), errKey},
		{"18 bytes", get(first, host, upgrade, connection, version, keyOf(18)), errKey},
		{"not base64", get(first, host, upgrade, connection, version, "Sec-WebSocket-Key: !GhlIHNhbXBsZSBub25jZQ=="), errKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := parse(t, tt.in).CheckUpgrade(); err != tt.want {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// Every method that HTTP knows is known; which of them a path allows is for CheckUpgrade.
func TestCheckMethod(t *testing.T) {
	for first, want := range map[string]error{
		"GET /": nil, "HEAD /": nil, "POST /": nil, "PUT /": nil, "DELETE /": nil, "PATCH /": nil, "TRACE /": nil, "OPTIONS /": nil,
		"OPTIONS *": errOptions, "CONNECT h:80": errNotGet, "get /": errMethod, "BREW /": errMethod, "PROPFIND /": errMethod,
	} {
		if err := parse(t, get(first+" HTTP/1.1", "Host: h")).CheckMethod(); err != want {
			t.Errorf("%s: got %v, want %v", first, err, want)
		}
	}
	if err := parse(t, get("GET / HTTP/1.0")).CheckMethod(); err != errVersion10 {
		t.Errorf("HTTP/1.0: got %v, want %v", err, errVersion10)
	}
}

// A request with any field of the opening handshake is taken for one, whatever a proxy has removed.
func TestIsHandshake(t *testing.T) {
	for lines, want := range map[string]bool{
		"Accept: */*": false, "Connection: Upgrade": false, "Upgrade: h2c": false, "Sec-Fetch-Mode: websocket": false,
		"Upgrade: h2c, WebSocket": true, "Sec-WebSocket-Key: x": true, "sec-websocket-version: 8": true,
		"Sec-WebSocket-Protocol: a": true, "Sec-WebSocket-Extensions: permessage-deflate": true,
	} {
		for _, first := range []string{"GET / HTTP/1.1", "POST / HTTP/1.1", "GET / HTTP/1.0"} {
			if got := parse(t, get(first, "Host: h", lines)).IsHandshake(); got != want {
				t.Errorf("%s with %s: got %v, want %v", first, lines, got, want)
			}
		}
	}
}

// keyOf makes a key line of n bytes.
func keyOf(n int) string {
	return "Sec-WebSocket-Key: " + base64.StdEncoding.EncodeToString(make([]byte, n))
}

func TestSubprotocol(t *testing.T) {
	const first, host = "GET / HTTP/1.1", "Host: h"
	for _, tt := range []struct {
		name      string
		lines     []string
		supported []string
		want      string
	}{
		{"none offered", nil, []string{"a"}, ""},
		{"none supported", []string{"Sec-WebSocket-Protocol: a"}, nil, ""},
		{"order of the client", []string{"Sec-WebSocket-Protocol: b, a"}, []string{"a", "b"}, "b"},
		{"unknown first", []string{"Sec-WebSocket-Protocol: x,\ta"}, []string{"a", "b"}, "a"},
		{"unknown only", []string{"Sec-WebSocket-Protocol: x"}, []string{"a"}, ""},
		{"second line", []string{"sec-websocket-protocol: x", "X: a", "Sec-Websocket-Protocol:b"}, []string{"a", "b"}, "b"},
		{"other case", []string{"Sec-WebSocket-Protocol: A"}, []string{"a"}, ""},
		{"empty offers", []string{"Sec-WebSocket-Protocol: , ,a"}, []string{"a"}, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, get(first, append([]string{host}, tt.lines...)...))
			if got := r.Subprotocol(tt.supported); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAppendUpgrade(t *testing.T) {
	r := parse(t, sample)
	// The accept value is the one of RFC 6455 §1.3.
	const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	if got, want := string(AppendUpgrade(nil, r, "", 0)), head+"\r\n"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got, want := string(AppendUpgrade(nil, r, "chat", 0)), head+"Sec-WebSocket-Protocol: chat\r\n\r\n"; got != want {
		t.Errorf("with a subprotocol: got %q\nwant %q", got, want)
	}
}

func TestAppendRefusal(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    *HandshakeError
		status int
		header http.Header // besides what all have
	}{
		{"bad request", errFieldName, 400, nil},
		{"not GET", errNotGet, 405, http.Header{"Allow": {"GET, HEAD, OPTIONS"}}},
		{"unknown method", errMethod, 501, nil},
		{"options", errOptions, 200, http.Header{"Allow": {"GET, HEAD, OPTIONS"}, "Upgrade": {"websocket"}}},
		{"no upgrade", errNoUpgrade, 426, http.Header{"Upgrade": {"websocket"}}},
		{"no connection", errNoConnection, 426, http.Header{"Upgrade": {"websocket"}}},
		{"version", errUpgradeVersion, 426, http.Header{"Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}},
		{"HTTP/2.0", errVersion, 505, nil},
		{"HTTP/1.0", errVersion10, 505, nil},
		{"of the caller", &HandshakeError{Status: 403, Reason: "żółw"}, 403, nil},
		{"without a name", &HandshakeError{Status: 499}, 499, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Date(2026, 3, 8, 7, 6, 5, 4, time.FixedZone("", -3600))
			answer := AppendRefusal(nil, tt.err, []byte("GET / HTTP/1.1"), now)
			head, _, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
			for _, request := range []string{"HEAD / HTTP/1.1\r\n\r\n", "\r\nHEAD /", "HEAD"} {
				if got := AppendRefusal(nil, tt.err, []byte(request), now); string(got) != string(head)+"\r\n\r\n" {
					t.Errorf("to %q: got %q, want %q alone", request, got, head)
				}
			}
			whole := bufio.NewReader(bytes.NewReader(answer))
			got, err := http.ReadResponse(whole, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(got.Body)
			if err != nil || string(body) != tt.err.Reason+"\n" || whole.Buffered() > 0 {
				t.Errorf("body: got %q, %v and %d bytes more, want %q", body, err, whole.Buffered(), tt.err.Reason+"\n")
			}
			if got.StatusCode != tt.status || !strings.HasSuffix(got.Status, http.StatusText(tt.status)) || !got.Close {
				t.Errorf("got %q, close %v, want %d and close", got.Status, got.Close, tt.status)
			}
			if want := "text/plain; charset=utf-8"; got.Header.Get("Content-Type") != want {
				t.Errorf("content type: got %q, want %q", got.Header.Get("Content-Type"), want)
			}
			if want := "Sun, 08 Mar 2026 08:06:05 GMT"; got.Header.Get("Date") != want {
				t.Errorf("date: got %q, want %q", got.Header.Get("Date"), want)
			}
			if bytes.Contains(answer, []byte("\r\nUpgrade: ")) != bytes.Contains(answer, []byte("\r\nConnection: Upgrade\r\n")) {
				t.Errorf("got %q, want Upgrade with a Connection that names it (RFC 9110 §7.8)", head)
			}
			for name, want := range tt.header {
				if got.Header.Get(name) != want[0] {
					t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), want[0])
				}
			}
		})
	}
}

func TestHandshakeErrorText(t *testing.T) {
	got := (&HandshakeError{Status: 403, Reason: "no"}).Error()
	if want := "handshake: 403 Forbidden: no"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStatusText(t *testing.T) {
	for _, status := range []int{200, 400, 401, 403, 404, 405, 408, 421, 426, 429, 431, 500, 501, 503, 505} {
		if got, want := statusText(status), http.StatusText(status); got != want {
			t.Errorf("%d: got %q, want %q", status, got, want)
		}
	}
}

// net/http spells it otherwise than RFC 9110 §15.5.15.
func TestStatusTextOf414(t *testing.T) {
	if got, want := statusText(414), "URI Too Long"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A proxy that speaks HTTP/1.0, or drops the fields of the upgrade, gets the lines that nginx lacks.
func TestRefusalsHelpWithNginx(t *testing.T) {
	upgrade := []string{"proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection upgrade;"}
	for _, tt := range []struct {
		err  *HandshakeError
		want []string
	}{
		{errVersion10, append(upgrade, "proxy_http_version 1.1;")},
		{errNoUpgrade, upgrade},
		{errNoConnection, upgrade},
	} {
		for _, line := range tt.want {
			if !strings.Contains(tt.err.Reason, line) {
				t.Errorf("%d %s: want %q in it", tt.err.Status, tt.err.Reason, line)
			}
		}
	}
}

func TestHandshakeAllocs(t *testing.T) {
	in, dst := []byte(browser), make([]byte, 0, 512)
	bad, now := []byte("GET / HTTP/2.0\r\n"), time.Now()
	got := testing.AllocsPerRun(100, func() {
		dst = handshake(t, in, dst[:0])
		if _, _, err := ParseRequest(bad); err != errVersion {
			t.Fatal(err)
		}
		dst = AppendRefusal(dst[:0], errVersion10, bad, now)
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func handshake(t testing.TB, in, dst []byte) []byte {
	r, _, err := ParseRequest(in)
	if err == nil {
		err = r.CheckUpgrade()
	}
	if err != nil {
		t.Fatal(err)
	}
	return AppendUpgrade(dst, &r, "", 0)
}

func BenchmarkHandshake(b *testing.B) {
	for _, bb := range []struct{ name, in string }{{"sample", sample}, {"browser", browser}} {
		b.Run(bb.name, func(b *testing.B) {
			in, dst := []byte(bb.in), make([]byte, 0, 512)
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				dst = handshake(b, in, dst[:0])
			}
		})
	}
}
