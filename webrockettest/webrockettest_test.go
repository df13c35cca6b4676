package webrockettest_test

import (
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/webrockettest"
)

// probe tells what its callbacks are given, and sends messages back.
type probe struct {
	endpoint webrocket.Endpoint
	opened   chan string // subprotocols
	closed   chan error
}

func newProbe() *probe { return &probe{opened: make(chan string, 9), closed: make(chan error, 9)} }

func (p *probe) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	p.endpoint.Protocol = p
	return &p.endpoint, nil
}

func (p *probe) OnOpen(c *webrocket.Conn, _ *webrocket.Request) { p.opened <- c.Subprotocol() }

func (p *probe) OnMessage(c *webrocket.Conn, op webrocket.Opcode, message []byte) {
	switch string(message) {
	case "flood":
		for range 10 {
			c.Send(op, make([]byte, 1000))
		}
	case "later":
		loop := c.Loop()
		go loop.Post(func() { c.Send(op, []byte("now")) })
	default:
		c.Send(op, message)
	}
}

func (p *probe) OnClose(_ *webrocket.Conn, reason error) { p.closed <- reason }

// start runs a server with a handler at "/".
func start(t *testing.T, h webrocket.Handler, change func(*webrocket.Server)) *webrockettest.Server {
	t.Helper()
	s := webrocket.NewServer("")
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	return webrockettest.Start(t, s)
}

func wantMessage(t *testing.T, c *webrockettest.Client, want string) {
	t.Helper()
	if _, got := c.Receive(); terse(string(got)) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// terse returns a reply to a login without what it says of the connection, which is
// another thing each time.
func terse(message string) string {
	if head, _, ok := strings.Cut(message, `,"client":"`); ok && strings.HasPrefix(head, `{"ok":true`) {
		return head + "}"
	}
	return message
}

func wantClose(t *testing.T, c *webrockettest.Client, want uint16) {
	t.Helper()
	if code, reason := c.ReceiveClose(); code != want {
		t.Errorf("got %d %s, want %d", code, reason, want)
	}
}

// The opening handshake is the server's: it selects and refuses as with a port.
func TestHandshake(t *testing.T) {
	p := newProbe()
	p.endpoint.Origins, p.endpoint.Subprotocols = []string{"https://example.com"}, []string{"v1", "v2"}
	s := start(t, p, func(s *webrocket.Server) { s.Config.MaxConnections = 1 })
	c := s.Dial("/?token=x", http.Header{"Sec-Websocket-Protocol": {"v2, v1"}, "Origin": {"https://example.com"}})
	if got := c.Response.Header.Get("Sec-WebSocket-Protocol"); c.Response.StatusCode != 101 || got != "v2" || <-p.opened != "v2" {
		t.Errorf("got %s with %q", c.Response.Status, got)
	}
	if got := s.Dial("/", nil).Response.StatusCode; got != 503 {
		t.Errorf("one too many: got %d", got)
	}
	c.Close(1000, "")
	wantClose(t, c, 1000)
	for path, want := range map[string]int{"/nowhere": 404, "/": 403} {
		refused := s.Dial(path, http.Header{"Origin": {"https://elsewhere.example"}})
		if got := refused.Response.StatusCode; got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
}

// Framing and its limits are the server's.
func TestFrames(t *testing.T) {
	p := newProbe()
	p.endpoint.MaxMessageSize, p.endpoint.Compression, p.endpoint.CompressionThreshold = 1000, true, 10
	s := start(t, p, nil)
	c := s.Dial("/", http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}})
	for _, message := range []string{"", "hello", strings.Repeat("x", 126), strings.Repeat("y", 1000)} {
		c.Send(webrocket.Text, []byte(message))
		wantMessage(t, c, message)
	}
	frame := codec.AppendMaskedFrame(nil, webrocket.Binary, []byte("in pieces"), [4]byte{1, 2, 3, 4})
	for _, b := range frame {
		if c.Pending() != 0 {
			t.Error("an answer to a part of a message")
		}
		c.Write([]byte{b})
	}
	if op, got := c.Receive(); op != webrocket.Binary || string(got) != "in pieces" {
		t.Errorf("got %v %q", op, got)
	}
	for want, b := range map[uint16][]byte{
		1002: codec.AppendFrame(nil, webrocket.Text, []byte("not masked")),
		1007: codec.AppendMaskedFrame(nil, webrocket.Text, []byte("\xff"), [4]byte{}),
		1009: codec.AppendMaskedFrame(nil, webrocket.Text, make([]byte, 1001), [4]byte{}),
	} {
		c := s.Dial("/", nil)
		c.Write(b)
		wantClose(t, c, want)
		var reason *codec.CloseError
		if err := <-p.closed; !errors.As(err, &reason) || reason.Code != want {
			t.Errorf("OnClose got %v, want %d", err, want)
		}
	}
}

// Time passes when the test says so, for everything that has a deadline.
func TestAdvance(t *testing.T) {
	p := newProbe()
	p.endpoint.MaxQueuedBytes = 5000
	s := start(t, p, func(s *webrocket.Server) {
		s.Config.PingInterval, s.Config.PongTimeout, s.Config.CloseTimeout = time.Minute, 20*time.Second, 5*time.Second
	})
	alive, vanished := s.Dial("/", nil), s.Dial("/", nil)
	vanished.Stall()
	s.Advance(time.Minute)
	if n := s.Connections(); n != 2 {
		t.Fatalf("after a minute there are %d connections", n)
	}
	s.Advance(time.Hour)
	if err := <-p.closed; !errors.Is(err, engine.ErrTimeout) || s.Connections() != 1 {
		t.Errorf("got %v, %d connections", err, s.Connections())
	}
	vanished.Resume()
	wantClose(t, vanished, codec.StatusAbnormal)
	alive.Send(webrocket.Text, []byte("still here"))
	wantMessage(t, alive, "still here")
}

// What waits for a client that reads nothing has the endpoint's limit.
func TestStall(t *testing.T) {
	p := newProbe()
	p.endpoint.MaxQueuedBytes = 20_000
	s := start(t, p, nil)
	slow := s.Dial("/", nil)
	slow.Stall()
	slow.Send(webrocket.Text, []byte("flood"))
	if slow.Pending() != 0 {
		t.Error("a stalled client has read")
	}
	slow.Resume()
	for range 10 {
		slow.Receive()
	}
	slow.Stall()
	for range 2 {
		slow.Send(webrocket.Text, []byte("flood"))
	}
	slow.Send(webrocket.Text, []byte("flood"))
	if err := <-p.closed; !errors.Is(err, engine.ErrSlowReader) {
		t.Errorf("got %v", err)
	}
}

// A lost connection is no Close frame to the handler; one that hung up is gone.
func TestHangUp(t *testing.T) {
	p := newProbe()
	s := start(t, p, nil)
	c := s.Dial("/", nil)
	c.HangUp()
	var closed *codec.CloseError
	if err := <-p.closed; errors.As(err, &closed) || s.Connections() != 0 {
		t.Errorf("got %v", err)
	}
	wantClose(t, c, codec.StatusAbnormal)
	c.HangUp()
}

// What a handler sends from a goroutine of its own is waited for, in a bubble of
// testing/synctest too.
func TestPost(t *testing.T) {
	run := func(t *testing.T) {
		c := start(t, newProbe(), nil).Dial("/", nil)
		c.Send(webrocket.Text, []byte("later"))
		wantMessage(t, c, "now")
	}
	run(t)
	synctest.Test(t, run)
}

// Hubs work, and so do the methods of the server.
func TestHub(t *testing.T) {
	s := start(t, webrocket.NewJSONHandler(), nil)
	var clients []*webrockettest.Client
	for range 3 {
		c := s.Dial("/", nil)
		for _, command := range []string{`{"auth":{"access":"read-write","secret":""}}`, `{"subscribe":{"channel":"c"}}`} {
			c.Send(webrocket.Text, []byte(command))
			wantMessage(t, c, `{"ok":true}`)
		}
		clients = append(clients, c)
	}
	if err := s.Publish("/", "c", "e", 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		wantMessage(t, c, `{"event":"e","channel":"c","data":1}`)
	}
	list, _, err := s.ListConnections(t.Context(), webrocket.ConnQuery{Hub: "/", Channel: "c"})
	if err != nil || len(list) != 3 || list[0].Address == list[1].Address {
		t.Fatalf("got %+v, %v", list, err)
	}
	if err := s.Disconnect(t.Context(), list[0].ID, 4000, "go"); err != nil {
		t.Fatal(err)
	}
	wantClose(t, clients[0], 4000)
	if stats := s.Stats(t.Context()); len(stats.Loops) != 1 || stats.Hubs[0].Connections != 2 {
		t.Errorf("got %+v", stats)
	}
}

// Shutdown says goodbye to clients, and ends the server.
func TestShutdown(t *testing.T) {
	p := newProbe()
	s := start(t, p, nil)
	clients := []*webrockettest.Client{s.Dial("/", nil), s.Dial("/", nil)}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for _, c := range clients {
		wantClose(t, c, 1001)
	}
	if err := s.Wait(); err != nil || len(p.closed) != 2 {
		t.Errorf("got %v, %d of 2 OnClose", err, len(p.closed))
	}
	if err := s.Start(); !errors.Is(err, webrocket.ErrServerClosed) {
		t.Errorf("after the end: got %v", err)
	}
	if _, err := s.Simulate(); !errors.Is(err, webrocket.ErrServerClosed) {
		t.Errorf("after the end: got %v", err)
	}
}

// fatalT notes how a test fails, and ends its goroutine as testing.T does.
type fatalT struct {
	testing.TB
	failed chan string
}

func (f fatalT) Helper() {}
func (f fatalT) Fatalf(format string, _ ...any) {
	f.failed <- format
	runtime.Goexit()
}

// Every test that does not get what it wants fails, and says why.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		do         func(*webrockettest.Server)
	}{
		{"a message that does not come", "the connection is closed", func(s *webrockettest.Server) {
			c := s.Dial("/", nil)
			c.Close(1000, "")
			c.Receive()
		}},
		{"a message instead of a close", "want a Close frame", func(s *webrockettest.Server) {
			c := s.Dial("/", nil)
			c.Send(webrocket.Text, []byte("x"))
			c.ReceiveClose()
		}},
		{"to send where it was refused", "refused the handshake", func(s *webrockettest.Server) {
			s.Dial("/nowhere", nil).Send(webrocket.Text, nil)
		}},
		{"to send after the end", "the connection is closed", func(s *webrockettest.Server) {
			c := s.Dial("/", nil)
			c.Close(1000, "")
			c.Send(webrocket.Text, nil)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := webrocket.NewServer("")
			if err := server.Handle("/", newProbe()); err != nil {
				t.Fatal(err)
			}
			failed := make(chan string, 1)
			go tt.do(webrockettest.Start(fatalT{t, failed}, server))
			if got := <-failed; !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
