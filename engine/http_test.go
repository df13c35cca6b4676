package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
	"unsafe"

	"github.com/coder/websocket"
)

// mirror answers with what it has been asked, and keeps a list of that.
type mirror struct {
	mu   sync.Mutex
	seen []string // guarded by mu
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	m.mu.Lock()
	m.seen = append(m.seen, r.Method+" "+r.URL.Path+" "+string(body))
	m.mu.Unlock()
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintf(w, "%s %s %s %q from %s, TLS %v", r.Proto, r.Method, r.RequestURI, body, host, r.TLS != nil)
}

func (m *mirror) requests() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.seen...)
}

// untouched fails if a connection of WebSocket begins.
func untouched(t *testing.T) hooks {
	return hooks{open: func(*Conn) { t.Error("a request of HTTP has reached an endpoint") }}
}

// talk is a raw client: what it writes is cut as the test wants it.
type talk struct {
	net.Conn
	*bufio.Reader
	t *testing.T
}

func newTalk(t *testing.T, e *Engine, config *tls.Config) *talk {
	t.Helper()
	conn, err := net.Dial(e.Addr().Network(), e.Addr().String())
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if config != nil {
		session := tls.Client(conn, config)
		if err := session.HandshakeContext(t.Context()); err != nil {
			t.Fatalf("TLS: %v", err)
		}
		conn = session
	}
	return &talk{conn, bufio.NewReader(conn), t}
}

func (c *talk) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func (c *talk) say(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("Write: %v", err)
	}
}

// answer reads an answer, and returns its status and body.
func (c *talk) answer() (*http.Response, string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatalf("answer: %v", err)
	}
	return response, string(body)
}

func (c *talk) wantAnswer(want string) {
	c.t.Helper()
	if response, got := c.answer(); got != want {
		c.t.Errorf("got %s %s\nwant %s", response.Status, got, want)
	}
}

// wantEnd fails unless the server has nothing more to say.
func (c *talk) wantEnd() {
	c.t.Helper()
	if b, err := io.ReadAll(c.Reader); len(b) > 0 || err != nil && !errors.Is(err, net.ErrClosed) && !isReset(err) {
		c.t.Errorf("got %q, %v, want the end", b, err)
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "connection reset") }

const posted = "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"

// flavours are the kinds of connections that are handed over.
func flavours(t *testing.T) map[string]*tls.Config {
	old, resumed := clientTLS(), clientTLS()
	old.ServerName, resumed.ServerName = "127.0.0.1", "127.0.0.1"
	old.MaxVersion = tls.VersionTLS12
	resumed.MinVersion = tls.VersionTLS13
	return map[string]*tls.Config{"plain": nil, "TLS 1.2": old, "TLS 1.3": resumed}
}

// serveHTTP starts an engine whose address is that of a flavour.
func serveHTTP(t *testing.T, config Config, endpoint Endpoint, client *tls.Config) *Engine {
	t.Helper()
	if endpoint.Protocol == nil {
		endpoint.Protocol = untouched(t)
	}
	on := Listener{Addr: "127.0.0.1:0"}
	if client != nil {
		on.TLS = serverTLS()
	}
	return startOn(t, config, endpoint, on)
}

// A request is answered, whatever pieces it comes in, and so are those behind it.
func TestHTTPInPieces(t *testing.T) {
	for name, client := range flavours(t) {
		t.Run(name, func(t *testing.T) {
			e := serveHTTP(t, Config{Loops: 1, HTTP: new(mirror)}, Endpoint{}, client)
			want := fmt.Sprintf(`HTTP/1.1 POST /a?b=c "hello" from 127.0.0.1, TLS %v`, client != nil)
			for i := 0; i <= len(posted); i += 3 {
				c := newTalk(t, e, client)
				c.say(posted[:i])
				c.say(posted[i:] + "\r\n"[:0] + posted)
				c.wantAnswer(want)
				c.wantAnswer(want)
				c.say(posted)
				c.wantAnswer(want)
				_ = c.Close()
			}
			c := newTalk(t, e, client)
			for i := range posted {
				c.say(posted[i : i+1])
			}
			c.wantAnswer(want)
			_ = c.Close()
		})
	}
}

// A body of which a part has arrived with the header is read from both.
func TestHTTPLargeBody(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	sum := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		fmt.Fprint(w, bytes.Equal(got, body), err)
		_, _ = w.Write(body)
	})
	for name, client := range flavours(t) {
		t.Run(name, func(t *testing.T) {
			e := serveHTTP(t, Config{Loops: 1, HTTP: sum}, Endpoint{}, client)
			c := newTalk(t, e, client)
			for range 3 {
				go func() {
					_, _ = io.WriteString(c.Conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n"+string(body))
				}()
				if _, got := c.answer(); got != "true <nil>"+string(body) {
					t.Errorf("got %d bytes, %.20q…", len(got), got)
				}
			}
			_ = c.Close()
		})
	}
}

// Clients of HTTP and of WebSocket come and go at the same time on the same loops:
// each gets its own answers, and no file is left open.
func TestHTTPBesideWebSocket(t *testing.T) {
	for name, client := range flavours(t) {
		t.Run(name, func(t *testing.T) {
			e := serveHTTP(t, Config{Loops: 2, HTTP: new(mirror)}, Endpoint{Protocol: echo}, client)
			before := filesOpen(t)
			scheme := "http"
			if client != nil {
				scheme = "https"
			}
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() {
					transport := &http.Transport{TLSClientConfig: client, DisableKeepAlives: i%2 == 0}
					defer transport.CloseIdleConnections()
					for j := range 20 {
						message := fmt.Sprint("message ", i, " ", j)
						ws, _, err := websocket.Dial(t.Context(), scheme+"://"+e.Addr().String()+"/", &websocket.DialOptions{
							HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: client}},
						})
						if err != nil {
							t.Errorf("Dial: %v", err)
							return
						}
						response, err := (&http.Client{Transport: transport}).Post(scheme+"://"+e.Addr().String()+"/x", "", strings.NewReader(message))
						if err != nil {
							t.Errorf("Post: %v", err)
							return
						}
						got, _ := io.ReadAll(response.Body)
						_ = response.Body.Close()
						if !bytes.Contains(got, []byte(message)) {
							t.Errorf("got %s, want %s in it", got, message)
						}
						roundTrip(t, ws, []byte(message))
						_ = ws.CloseNow()
					}
				})
			}
			clients.Wait()
			waitFor(t, func() bool { return e.Connections() == 0 && e.HTTP().Connections == 0 })
			waitFor(t, func() bool { return filesOpen(t) <= before })
			if got := e.HTTP(); got.Accepted < 8*11-7 || got.Max != httpDefault(t) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func httpDefault(t *testing.T) int {
	files, err := FileLimit()
	if err != nil {
		t.Fatal(err)
	}
	return int(min(files/64, 1000))
}

func filesOpen(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// A client that sends its request and the end of its side still gets the answer.
func TestHTTPHalfClosed(t *testing.T) {
	e := serveHTTP(t, Config{Loops: 1, HTTP: new(mirror)}, Endpoint{}, nil)
	for range 20 {
		c := newTalk(t, e, nil)
		c.say(posted)
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.wantAnswer(`HTTP/1.1 POST /a?b=c "hello" from 127.0.0.1, TLS false`)
		c.wantEnd()
	}
}

// HTTP has places of its own: it takes none of WebSocket's, and finds its own where
// WebSocket has none left. Above its limit it is refused at once.
func TestHTTPPlaces(t *testing.T) {
	for name, client := range flavours(t) {
		t.Run(name, func(t *testing.T) {
			e := serveHTTP(t, Config{Loops: 1, MaxConnections: 1, MaxHTTPConnections: 3, HTTP: new(mirror)}, Endpoint{Protocol: echo}, client)
			var idle []*talk
			for range 3 {
				c := newTalk(t, e, client)
				c.say(posted)
				c.answer()
				idle = append(idle, c)
			}
			ws := newTalk(t, e, client)
			ws.say(request)
			if response, _ := http.ReadResponse(ws.Reader, nil); response == nil || response.StatusCode != 101 {
				t.Fatalf("WebSocket beside HTTP: got %v, want 101", response)
			}
			c := newTalk(t, e, client)
			c.say(posted)
			response, body := c.answer()
			if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || !strings.Contains(body, "HTTP connections") {
				t.Errorf("one too many: got %s %v %s", response.Status, response.Header, body)
			}
			c.wantEnd()
			_ = idle[0].Close()
			waitFor(t, func() bool { return e.HTTP().Connections == 2 })
			c = newTalk(t, e, client) // WebSocket is full, HTTP is not
			c.say(posted)
			if response, _ := c.answer(); response.StatusCode != 200 {
				t.Errorf("HTTP beside WebSocket: got %s", response.Status)
			}
			c = newTalk(t, e, client)
			c.say(request)
			if response, _ := c.answer(); response.StatusCode != 503 {
				t.Errorf("WebSocket where it is full: got %s", response.Status)
			}
		})
	}
}

// ConnectRatePerAddress holds for HTTP too.
func TestHTTPConnectRate(t *testing.T) {
	for name, client := range flavours(t) {
		t.Run(name, func(t *testing.T) {
			e := serveHTTP(t, Config{Loops: 1, ConnectRatePerAddress: 1, HTTP: new(mirror)}, Endpoint{}, client)
			for range 100 { // there would have to be a second between all of them
				c := newTalk(t, e, client)
				c.say(posted)
				response, body := c.answer()
				_ = c.Close()
				if response.StatusCode == 503 && strings.Contains(body, "Too many connections") {
					return
				}
			}
			t.Error("none of 100 connections was refused")
		})
	}
}

// A client that does not read its answer is cut off, and disturbs nobody.
func TestHTTPClientThatDoesNotRead(t *testing.T) {
	ended := make(chan error, 1)
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				ended <- err
				return
			}
		}
	})
	for name, client := range flavours(t) {
		t.Run(name, func(t *testing.T) {
			e := serveHTTP(t, Config{Loops: 1, MessageTimeout: 500 * time.Millisecond, HTTP: endless}, Endpoint{Protocol: echo}, client)
			c := newTalk(t, e, client)
			c.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			if client == nil {
				ws := dial(t, e)
				for range 100 {
					roundTrip(t, ws, []byte("hello"))
				}
			}
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want a deadline", err)
			}
			waitFor(t, func() bool { return e.HTTP().Connections == 0 })
		})
	}
}

// A body that does not come ends its connection, too.
func TestHTTPBodyThatDoesNotCome(t *testing.T) {
	failed := make(chan error, 1)
	read := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
	})
	e := serveHTTP(t, Config{Loops: 1, MessageTimeout: 300 * time.Millisecond, HTTP: read}, Endpoint{}, nil)
	c := newTalk(t, e, nil)
	c.say(posted[:len(posted)-1])
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
}

// hostile are requests that try to be understood in two ways. Each comes once as the
// first of its connection, which its loop reads, and once behind another, and must get
// the same answers; 0 is none. There must be as many requests for the handler as there
// are answers of 200.
var hostile = []struct {
	name, say string
	statuses  []int
}{
	{"two lengths that differ", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", []int{400}},
	{"two lengths that agree", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", []int{400}},
	{"a list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello", []int{400}},
	{"a length with a sign", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello", []int{400}},
	{"a length below zero", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\nhello", []int{400}},
	{"a hexadecimal length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello", []int{400}},
	{"no number as length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\nhello", []int{400}},
	{"length and chunked", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", []int{400}},
	{"chunked and length", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", []int{400}},
	{"a coding that is not known", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []int{501}},
	{"identity", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", []int{400}},
	{"chunked with a vertical tab", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", []int{400}},
	{"a space before the colon", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", []int{400}},
	{"chunked twice", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}},
	{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", []int{400}},
	{"a chunk that ends in a bare LF", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", []int{0}},
	{"a chunk whose size is negative", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", []int{0}},
	{"a chunk of 2^64", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", []int{0}},
	{"a request behind a chunked body", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /behind HTTP/1.1\nHost: h\n\n", []int{200}},
	{"a request behind an upgrade to HTTP/2", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /behind HTTP/1.1\nHost: h\n\n", []int{200}},
	{"obs-fold", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", []int{400}},
	{"obs-fold of a length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n 5\r\n\r\nhello", []int{400}},
	{"bare LF", "GET / HTTP/1.1\nHost: h\n\n", []int{400}},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 5\r\n\r\n", []int{400}},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", []int{400}},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", []int{400}},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", []int{400}},
	{"a bad Host", "GET / HTTP/1.1\r\nHost: h/i\r\n\r\n", []int{400}},
	{"absolute-form", "GET http://other/x HTTP/1.1\r\nHost: h\r\n\r\n", []int{200}},
	{"absolute-form of https without TLS", "GET https://other/x HTTP/1.1\r\nHost: h\r\n\r\n", []int{421}},
	{"CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", []int{200}},
	{"a fragment", "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", []int{400}},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", []int{400}},
	{"no version", "GET /\r\n\r\n", []int{400}},
	{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{505}},
	{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", []int{505}},
	{"a header of 20 KiB", "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", []int{431}},
	{"an expectation that is not known", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", []int{417}},
	{"two GETs at once", "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", []int{200, 200}},
	{"an upgrade behind a GET", "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n" + request, []int{200, 200}},
	{"an upgrade in a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + fmt.Sprint(len(request)) + "\r\n\r\n" + request, []int{200}},
	{"a coding that looks like chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", []int{400}},
	{"chunked in capitals", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", []int{200}},
	{"a chunk with an extension", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", []int{200}},
	{"a space before the size of a chunk", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", []int{0}},
	{"a chunk that is longer than its size", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n", []int{0}},
	{"a length in a trailer", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", []int{200}},
	{"a length that a proxy may take off", "POST / HTTP/1.1\r\nHost: h\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", []int{200}},
	{"a length with white space around it", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \t5 \r\n\r\nhello", []int{200}},
	{"a length that is no name of a field in other programs", "POST / HTTP/1.1\r\nHost: h\r\nContent_Length: 5\r\n\r\n", []int{200}},
	{"a length of 2^64", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n", []int{400}},
	{"a GET with a body", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 26\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", []int{200}},
	{"a field without a colon", "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", []int{400}},
	{"a field without a name", "GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", []int{400}},
	{"a name that is no token", "GET / HTTP/1.1\r\nHost: h\r\nX\xff: x\r\n\r\n", []int{400}},
	{"white space before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", []int{400}},
	{"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", []int{400}},
	{"a control character in the target", "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", []int{400}},
	{"a version in lower case", "GET / http/1.1\r\nHost: h\r\n\r\n", []int{400}},
	{"a version of another form", "GET / HTTP/1.10\r\nHost: h\r\n\r\n", []int{400}},
	{"an empty line before the request", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", []int{200}},
	{"an upgrade behind a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + request, []int{200, 200}},
}

func TestHostileHTTP(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			m := new(mirror)
			e := serveHTTP(t, Config{Loops: 1, HTTP: m}, Endpoint{}, nil)
			c := newTalk(t, e, nil)
			c.wantStatuses(tt.say, tt.statuses)
			c = newTalk(t, e, nil)
			c.say(posted)
			c.answer()
			c.wantStatuses(tt.say, tt.statuses)
			want := 1
			for _, status := range tt.statuses {
				if status == 200 {
					want += 2
				}
			}
			if got := m.requests(); len(got) != want {
				t.Errorf("the handler got %q, want %d requests", got, want)
			}
		})
	}
}

// wantStatuses says something and reads so many answers; 0 is the end.
func (c *talk) wantStatuses(say string, statuses []int) {
	c.t.Helper()
	c.say(say)
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.t.Logf("CloseWrite: %v", err)
	}
	var got []int
	for {
		response, err := http.ReadResponse(c.Reader, nil)
		if err != nil {
			break
		}
		_, _ = io.Copy(io.Discard, response.Body)
		got = append(got, response.StatusCode)
	}
	for len(got) < len(statuses) {
		got = append(got, 0)
	}
	if fmt.Sprint(got) != fmt.Sprint(statuses) {
		c.t.Errorf("got %v, want %v", got, statuses)
	}
}

// pieces is a connection from which bytes come in pieces.
type pieces struct {
	net.Conn
	left [][]byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	return n, nil
}

// What net/http gets of a connection does not depend on the pieces in which it comes,
// and is what was sent, up to the first request that is refused.
func FuzzHTTPConn(f *testing.F) {
	for _, tt := range hostile {
		f.Add([]byte(posted+tt.say), uint64(1))
	}
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		all := func(left [][]byte) []byte {
			got, err := io.ReadAll(iotest.OneByteReader(&httpConn{Conn: &pieces{left: left}}))
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		got, inPieces := all([][]byte{bytes.Clone(sent)}), all(cutAnywhere(bytes.Clone(sent), seed))
		if !bytes.Equal(got, inPieces) {
			t.Errorf("at once: %q\nin pieces: %q", got, inPieces)
		}
		rest := bytes.TrimSuffix(got, refusedRequest)
		for _, b := range rest {
			i := bytes.IndexByte(sent, b)
			if i < 0 || len(bytes.Trim(sent[:i], "\r\n")) > 0 {
				t.Fatalf("got %q, which was not sent", rest)
			}
			sent = sent[i+1:]
		}
	})
}

// Who is trusted to name the client does that for each request.
func TestHTTPForwarded(t *testing.T) {
	on := Listener{Addr: "127.0.0.1:0", ForwardedFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for name, client := range flavours(t) {
		t.Run(name, func(t *testing.T) {
			on := on
			if client != nil {
				on.TLS = serverTLS()
			}
			e := startOn(t, Config{Loops: 1, HTTP: new(mirror)}, Endpoint{Protocol: untouched(t)}, on)
			for _, tt := range []struct{ field, want string }{
				{"X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
				{"X-Forwarded-For: 198.51.100.9, 192.0.2.2\r\n", "192.0.2.2"},
				{"Forwarded: for=192.0.2.3\r\n", "192.0.2.3"},
				{"", "127.0.0.1"},
			} {
				c := newTalk(t, e, client)
				c.say("GET / HTTP/1.1\r\nHost: h\r\n" + tt.field + "\r\n")
				c.wantAnswer(fmt.Sprintf(`HTTP/1.1 GET / "" from %s, TLS %v`, tt.want, client != nil))
			}
			c := newTalk(t, e, client)
			c.say("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.3\r\n\r\n")
			if response, _ := c.answer(); response.StatusCode != 400 {
				t.Errorf("fields that differ: got %s, want 400", response.Status)
			}
			c.wantEnd()
		})
	}
}

// A balancer names the client of all requests, and a unix socket is as good as a port.
func TestHTTPBehindBalancer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "socket")
	e := startOn(t, Config{Loops: 1, HTTP: new(mirror)}, Endpoint{Protocol: untouched(t)},
		Listener{Addr: "127.0.0.1:0", ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Listener{Addr: "unix:" + file})
	c := newTalk(t, e, nil)
	c.say("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n\r\n" + posted + posted)
	for range 2 {
		c.wantAnswer(`HTTP/1.1 POST /a?b=c "hello" from 192.0.2.7, TLS false`)
	}
	conn, err := net.Dial("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c = &talk{conn, bufio.NewReader(conn), t}
	c.say(posted)
	c.wantAnswer(`HTTP/1.1 POST /a?b=c "hello" from , TLS false`)
}

// Shutdown waits for answers that are due, and closes idle connections.
func TestHTTPShutdown(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-finish
		}
		fmt.Fprint(w, "done")
	})
	e := New(Config{Loops: 1, HTTP: slow}, at("/", Endpoint{Protocol: echo}))
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	idle := newTalk(t, e, nil)
	idle.say(posted)
	idle.wantAnswer("done")
	busy := newTalk(t, e, nil)
	busy.say("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-begun
	stopped := make(chan error)
	go func() { stopped <- e.Shutdown(t.Context()) }()
	idle.wantEnd()
	close(finish)
	busy.wantAnswer("done")
	busy.wantEnd()
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// What is not answered when the time is over is cut off.
func TestHTTPCutOff(t *testing.T) {
	begun, cancelled := make(chan struct{}), make(chan struct{})
	forever := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(cancelled)
	})
	e := New(Config{Loops: 1, HTTP: forever}, at("/", Endpoint{Protocol: echo}))
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c := newTalk(t, e, nil)
	c.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "1 connections were cut off") {
		t.Errorf("Shutdown: got %v, want that 1 was cut off", err)
	}
	<-cancelled
	c.wantEnd()
}

// A drain lets each connection have the answer that is due, and ends it.
func TestHTTPDrain(t *testing.T) {
	e := serveHTTP(t, Config{Loops: 1, HTTP: new(mirror)}, Endpoint{}, nil)
	c := newTalk(t, e, nil)
	c.say(posted)
	c.answer()
	if err := e.Drain(t.Context(), 0); err != nil {
		t.Errorf("Drain: %v", err)
	}
	c.wantEnd()
}

// A panic of the handler ends its connection alone, and is counted.
func TestHTTPPanic(t *testing.T) {
	var lines bytes.Buffer
	bad := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			panic("oh")
		}
		fmt.Fprint(w, "good")
	})
	e := serveHTTP(t, Config{Loops: 1, HTTP: bad, Log: slog.New(slog.NewTextHandler(&lines, nil))}, Endpoint{}, nil)
	good := newTalk(t, e, nil)
	good.say(posted)
	good.wantAnswer("good")
	c := newTalk(t, e, nil)
	c.say("GET /bad HTTP/1.1\r\nHost: h\r\n\r\n")
	c.wantEnd()
	good.say(posted)
	good.wantAnswer("good")
	if got := e.HTTP().Panics; got != 1 {
		t.Errorf("got %d panics, want 1", got)
	}
	if !strings.Contains(lines.String(), "an HTTP handler panicked") {
		t.Errorf("the log has %q", lines.String())
	}
}

// A handler that has nothing at a path may answer as an engine without it.
func TestRefuseHTTP(t *testing.T) {
	var served atomic.Pointer[Engine]
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.Load().RefuseHTTP(w, r) })
	e := serveHTTP(t, Config{Loops: 1, HTTP: handler}, Endpoint{}, nil)
	served.Store(e)
	without := start(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	for _, first := range []string{
		"GET / HTTP/1.1", "HEAD / HTTP/1.1", "POST / HTTP/1.1", "OPTIONS / HTTP/1.1", "BREW / HTTP/1.1",
		"GET /nowhere HTTP/1.1", "POST /nowhere HTTP/1.1", "GET / HTTP/1.0", "CONNECT h:80 HTTP/1.1", "GET /%61 HTTP/1.1",
	} {
		t.Run(first, func(t *testing.T) {
			var got [2]string
			for i, e := range []*Engine{e, without} {
				c := newTalk(t, e, nil)
				c.say(first + "\r\nHost: h\r\n\r\n")
				response, err := http.ReadResponse(c.Reader, &http.Request{Method: strings.Fields(first)[0]})
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(response.Body)
				h := response.Header
				h.Del("Date")
				h.Del("X-Content-Type-Options")
				h.Del("Connection")
				got[i] = fmt.Sprint(response.StatusCode, h, response.Close, response.ContentLength, string(body))
				c.wantEnd()
			}
			if got[0] != got[1] {
				t.Errorf("got  %s\nwant %s", got[0], got[1])
			}
		})
	}
}

// A handshake behind another request is told that it is too late, and not that a proxy has
// dropped what is there.
func TestLateHandshake(t *testing.T) {
	var served atomic.Pointer[Engine]
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hello" {
			served.Load().RefuseHTTP(w, r)
		}
	})
	e := serveHTTP(t, Config{Loops: 1, HTTP: handler}, Endpoint{}, nil)
	served.Store(e)
	c := newTalk(t, e, nil)
	c.say("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n" + request)
	for _, want := range []struct {
		status int
		reason string
	}{{200, ""}, {426, "must be the first request of its connection"}} {
		response, err := http.ReadResponse(c.Reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != want.status || !strings.Contains(string(body), want.reason) {
			t.Errorf("got %s %s, want %d %s", response.Status, body, want.status, want.reason)
		}
	}
	c.wantEnd()
}

// A proxy would send a handshake behind another client's request. So it is told not to.
func TestProxyKeepsNoConnection(t *testing.T) {
	e := serveHTTP(t, Config{Loops: 1, HTTP: http.NotFoundHandler()}, Endpoint{}, nil)
	for field, closes := range map[string]bool{
		"Forwarded: for=10.0.0.1": true, "Via: 1.1 cache": true, "X-Forwarded-For: 10.0.0.1": true,
		"X-Forwarded-Proto: https": true, "X-Real-IP: 10.0.0.1": true, "X-Request-ID: 1": false,
	} {
		c := newTalk(t, e, nil)
		c.say("GET / HTTP/1.1\r\nHost: h\r\n" + field + "\r\n\r\n")
		response, err := http.ReadResponse(c.Reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		if response.Close != closes {
			t.Errorf("%s: the connection ends: %t, want %t", field, response.Close, closes)
		}
		if closes {
			c.wantEnd()
		}
	}
}

// What a TLS connection costs has not grown: the runtime has sizes of 80 and 96 bytes.
func TestTransportSize(t *testing.T) {
	if n := unsafe.Sizeof(transport{}); n > 80 {
		t.Errorf("a transport has %d bytes, want at most 80", n)
	}
}
