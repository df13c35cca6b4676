package engine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

func TestTable(t *testing.T) {
	table := newTable(map[string]Endpoint{
		"/": {}, "/app/{key}": {}, "/app/known": {}, "/app/{key}/more": {}, "/app/deep/{key}": {}, "/{}": {}, "/{any}": {},
	})
	for path, want := range map[string]string{
		"/":                "/",
		"/app/known":       "/app/known",
		"/app/other":       "/app/{key}",
		"/app/%7Bkey%7D":   "/app/{key}",
		"/app/deep/x":      "/app/deep/{key}",
		"/app":             "/{any}",
		"/x":               "/{any}",
		"/app/":            "",
		"/app/other/more":  "",
		"/app/other/":      "",
		"/app/{key}/more":  "/app/{key}/more", // braces that are no last segment stand for themselves
		"/elsewhere/known": "",
	} {
		got := ""
		if e := table.find([]byte(path)); e != nil {
			got = e.path
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// The request of the opening handshake can be read in OnOpen, whole or in
// pieces.
func TestRequestInOnOpen(t *testing.T) {
	const head = "GET /app/k1?v=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: sid=abc\r\nX-Team: blue\r\n\r\n"
	for _, size := range []int{1, 7, len(head)} {
		var got string
		tl := newTestLoop(t, Config{}, Endpoint{})
		tl.engine.endpoints.Store(newTable(map[string]Endpoint{"/app/{key}": {Protocol: opener(func(c *Conn, r *codec.Request) {
			got = fmt.Sprintf("%s %s %s %s %s", c.Path(), r.Path, r.Param("v"), r.Cookie("sid"), r.Header("x-team"))
		})}}))
		tc := tl.dial()
		for rest := head; rest != ""; rest = rest[min(size, len(rest)):] {
			tc.feed([]byte(rest[:min(size, len(rest))]))
		}
		if want := "/app/{key} /app/k1 7 abc blue"; got != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}

// opener is a Protocol that only looks at the request.
type opener func(*Conn, *codec.Request)

func (o opener) OnOpen(c *Conn, r *codec.Request)    { o(c, r) }
func (opener) OnMessage(*Conn, codec.Opcode, []byte) {}
func (opener) OnClose(*Conn, error)                  {}

// A protocol has close codes of its own for what the engine ends.
func TestCloseCodes(t *testing.T) {
	words := func(code uint16) *codec.CloseError { return &codec.CloseError{Code: code, Reason: "mine"} }
	own := Endpoint{MaxQueuedBytes: 100, GoingAway: words(4200), SlowReader: words(4100), Silent: words(4201), Unfinished: words(4202)}
	for _, tt := range []struct {
		name     string
		endpoint Endpoint
		end      func(tc *testConn)
		code     uint16 // 0: the socket is closed without a Close frame
		is       error
	}{
		{"drain", own, func(tc *testConn) { tc.goAway() }, 4200, nil},
		{"slow", own, stall, 4100, ErrSlowReader},
		{"silent", own, fallSilent, 4201, ErrTimeout},
		{"unfinished", own, neverEnd, 4202, nil},
		{"drain, by default", Endpoint{}, func(tc *testConn) { tc.goAway() }, 1001, nil},
		{"slow, by default", Endpoint{MaxQueuedBytes: 100}, stall, 1013, ErrSlowReader},
		{"silent, by default", Endpoint{}, fallSilent, 0, ErrTimeout},
		{"unfinished, by default", Endpoint{}, neverEnd, 1008, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tl := newTestLoop(t, Config{MessageTimeout: 5 * time.Second}, tt.endpoint)
			var reason error
			tl.script.onClose = func(_ *Conn, err error) { reason = err }
			tc := tl.open()
			tt.end(tc)
			tl.turn()
			tc.read(unlimited)
			if tt.code == 0 {
				tc.wantClosed()
			} else {
				tc.wantClose(tt.code)
			}
			if tt.is != nil && !errors.Is(reason, tt.is) {
				t.Errorf("OnClose: got %v, want one that is %v", reason, tt.is)
			}
			stats := tl.Stats()
			if stats.Timeouts != 0 != (tt.is == ErrTimeout) {
				t.Errorf("%d timeouts are counted", stats.Timeouts)
			}
			if want := tt.code; want != 0 && stats.Closed[want] != 1 {
				t.Errorf("got %v closed, want one with %d", stats.Closed, want)
			}
		})
	}
}

// neverEnd begins a message, and sends no more of it.
func neverEnd(tc *testConn) {
	tc.write("1 000 0010")
	tc.advance(5 * time.Second)
}

// stall makes more wait than may.
func stall(tc *testConn) {
	tc.room = 0
	for range 5 {
		tc.SendFrame(text(pad("x")))
	}
}

// fallSilent lets a ping go unanswered.
func fallSilent(tc *testConn) {
	tc.advance(DefaultPingInterval)
	tc.wantFrame(aPing)
	tc.advance(DefaultPongTimeout)
}

// A limit that is negative is none.
func TestNegativeLimits(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxMessageSize: -1, MaxQueuedBytes: -1, CompressionThreshold: -1})
	tc := tl.open()
	if e := tc.endpoint; e.MaxMessageSize != MessageMax {
		t.Errorf("MaxMessageSize: got %d", e.MaxMessageSize)
	}
	tc.room = 0
	for range 100 {
		tc.SendFrame(make([]byte, 1<<20))
	}
	tl.turn()
	tc.wantOpen()
}
