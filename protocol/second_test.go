package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cmd/rocket/console"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
	"github.com/nu7hatch/webrocket/webrockettest"
)

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// serve starts a server with a hub of two protocols: the native one at /, the
// other at /pidgin/{room}.
func serve(t *testing.T, config webrocket.HubConfig) (*webrocket.Server, *webrocket.Hub, map[string]webrocket.Handler) {
	t.Helper()
	h, err := webrocket.NewHub("shared", config)
	if err != nil {
		t.Fatal(err)
	}
	native := webrocket.NewJSONHandler()
	native.Hub = h
	handlers := map[string]webrocket.Handler{"/": native, "/pidgin/{room}": newPidgin(h)}
	s := webrocket.NewServer("127.0.0.1:0")
	s.Config.Loops = 2
	for path, handler := range handlers {
		if err := s.Handle(path, handler); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s, h, handlers
}

func stop(t *testing.T, s *webrocket.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// client is one connection.
type client struct {
	t  *testing.T
	ws *websocket.Conn
}

func dial(t *testing.T, s *webrocket.Server, path string) client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+s.Addr().String()+path, nil)
	if err != nil {
		t.Fatalf("Dial %s: %v", path, err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return client{t, ws}
}

func (c client) say(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(line)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c client) want(lines ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for _, line := range lines {
		if _, got, err := c.ws.Read(ctx); err != nil || terse(string(got)) != line {
			c.t.Fatalf("got %q, %v, want %q", got, err, line)
		}
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

func (c client) wantClose(code websocket.StatusCode) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, got, err := c.ws.Read(ctx); websocket.CloseStatus(err) != code {
		c.t.Fatalf("got %q, %v, want the end with %d", got, err, code)
	}
}

// waitFor returns when it is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for begin := time.Now(); !so(); runtime.Gosched() {
		if time.Since(begin) > patience {
			t.Fatal("it does not come to that")
		}
	}
}

var locked = webrocket.HubConfig{Secrets: webrocket.Credentials{ReadOnly: "r", ReadWrite: "rw"}}

// Two protocols share the channels of a hub: each hears what the other publishes,
// in its own words, and nobody hears himself where the protocol leaves him out.
func TestTwoProtocols(t *testing.T) {
	s, h, _ := serve(t, locked)
	a, b := dial(t, s, "/pidgin/news?key=rw"), dial(t, s, "/pidgin/sports?key=rw")
	n := dial(t, s, "/")
	n.say(`{"auth":{"access":"read-write","secret":"rw"}}`, `{"subscribe":{"channel":"news"}}`)
	n.want(`{"ok":true}`, `{"ok":true}`)
	b.say("+news", "news hi all")
	a.want("news: hi all")
	n.want(`{"event":"line","channel":"news","data":"hi all"}`)
	n.say(`{"publish":{"event":"e","channel":"news","data":"and you"}}`)
	n.want(`{"ok":true}`, `{"event":"e","channel":"news","data":"and you"}`)
	a.want("news: and you")
	b.want("news: and you") // and not what it said itself
	if err := s.Publish("/pidgin/{room}", "sports", "e", "from Go"); err != nil {
		t.Fatal(err)
	}
	b.want("sports: from Go")
	b.say(`news a "quote", "and":1`)
	n.want(`{"event":"line","channel":"news","data":"a \"quote\", \"and\":1"}`)
	a.want(`news: a "quote", "and":1`)
	n.say(`{"publish":{"event":"e","channel":"news","data":{"n":"1"}}}`)
	n.want(`{"ok":true}`, `{"event":"e","channel":"news","data":{"n":"1"}}`)
	a.want(`news: {"n":"1"}`)
	b.want(`news: {"n":"1"}`)
	b.say("-news", "nowhere x", "+a\x00b")
	b.want("! invalid_channel", "! invalid_channel_name")
	if s.Hub("/") != h || s.Hub("/pidgin/{room}") != h || s.Hub("/other") != nil {
		t.Error("Hub: another hub than the one that is served")
	}
}

func TestRefusedWithItsOwnCode(t *testing.T) {
	s, _, _ := serve(t, locked)
	dial(t, s, "/pidgin/news?key=wrong").wantClose(4001)
	dial(t, s, "/pidgin/news").wantClose(4001)
	dial(t, s, "/pidgin/a%00b?key=rw").wantClose(4003)
	for _, path := range []string{"/pidgin/", "/pidgin/a/b", "/pidgin"} {
		response, err := http.Get("http://" + s.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %s, want 404", path, response.Status)
		}
	}
}

// A path in braces is asked for as a page writes it, and decoded for the protocol.
func TestRoomIsDecoded(t *testing.T) {
	s, h, _ := serve(t, webrocket.HubConfig{})
	a := dial(t, s, "/pidgin/b%C3%BCcher%2F2")
	a.say("nowhere x") // an answer says that it has been opened
	a.want("! invalid_channel")
	if err := h.Publish("bücher/2", "e", "hi"); err != nil {
		t.Fatal(err)
	}
	a.want("bücher/2: hi")
}

// A hub without the native protocol logs where the server logs, and knows how large
// an event a client can publish.
func TestHubOfASecondProtocolAlone(t *testing.T) {
	h, err := webrocket.NewHub("alone", webrocket.HubConfig{Channels: []string{"c"}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := webrocket.NewServer("")
	for i := range 9 { // more than a hub has forms
		if err := s.Handle(fmt.Sprintf("/%d", i), newPidgin(h)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Handle("/large", limited{newPidgin(h), webrocket.Endpoint{MaxMessageSize: 1 << 20}}); err != nil {
		t.Fatal(err)
	}
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	webrockettest.Start(t, s)
	h.Log().Info("hello")
	if !strings.Contains(log.String(), "msg=hello hub=alone") {
		t.Errorf("got the log %q", &log)
	}
	large := func(n int) []byte { return []byte(`"` + strings.Repeat("x", n) + `"`) }
	if err := h.PublishJSON("c", "e", large(1<<19)); err != nil {
		t.Errorf("what a client could publish at one of the paths: %v", err)
	}
	if err := h.PublishJSON("c", "e", large(1<<20)); !errors.Is(err, webrocket.ErrTooLarge) {
		t.Errorf("what no client could publish: got %v, want ErrTooLarge", err)
	}
}

// limited is pidgin with other limits.
type limited struct {
	*pidgin
	endpoint webrocket.Endpoint
}

func (l limited) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	l.endpoint.Protocol = l.pidgin
	return &l.endpoint, nil
}

// Conflate keeps the newest event of each name, whatever the protocol.
func TestSecondProtocolConflates(t *testing.T) {
	h, err := webrocket.NewHub("shared", webrocket.HubConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s := webrocket.NewServer("")
	p := limited{newPidgin(h), webrocket.Endpoint{MaxQueuedBytes: 1000, SlowReaders: webrocket.Conflate}}
	if err := s.Handle("/{room}", p); err != nil {
		t.Fatal(err)
	}
	c := webrockettest.Start(t, s).Dial("/news", nil)
	c.Stall()
	for i := range 40_000 {
		for _, event := range []string{"price", "weather"} {
			_ = h.Publish("news", event, fmt.Sprint(event, " ", i))
		}
	}
	c.Resume()
	last := make(map[string]string)
	for last["price"] != "39999" || last["weather"] != "39999" {
		_, message := c.Receive()
		event, number, _ := strings.Cut(strings.TrimPrefix(string(message), "news: "), " ")
		last[event] = number
	}
}

// The server counts, lists and disconnects the sessions of both protocols.
func TestSecondProtocolIsSeen(t *testing.T) {
	s, _, _ := serve(t, webrocket.HubConfig{})
	a := dial(t, s, "/pidgin/news")
	b := dial(t, s, "/")
	b.say(`{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"news"}}`)
	b.want(`{"ok":true}`, `{"ok":true}`)
	a.say("+sports", "sports x")
	waitFor(t, func() bool {
		hubs := s.Stats(t.Context()).Hubs
		for _, c := range hubs[0].Commands {
			if c.Kind == "publish" && c.Result == "ok" && c.Count == 1 {
				return len(hubs) == 1 && hubs[0].Name == "shared" && hubs[0].Connections == 2 && hubs[0].Channels == 2
			}
		}
		return false
	})
	first, total, err := s.Channels("shared", "", pubsub.ByName, 9)
	if err != nil || total != 2 || first[0].Name != "news" || first[0].Subscribers != 2 {
		t.Errorf("got %+v, %d, %v", first, total, err)
	}
	conns, _, err := s.ListConnections(t.Context(), webrocket.ConnQuery{Hub: "shared"})
	if err != nil || len(conns) != 2 || conns[0].Hub != "shared" || conns[1].Hub != "shared" {
		t.Errorf("got the connections %+v, %v, want two of the hub shared", conns, err)
	}
	// The admin API and the metrics show them as well.
	admin := console.New(console.Config{Server: s})
	for path, want := range map[string]string{
		"/api/channels?hub=shared":    `"channel":"news"`,
		"/api/connections?hub=shared": `"hub":"shared"`,
		"/metrics":                    `rocket_hub_connections{hub="shared"} 2`,
	} {
		answer := httptest.NewRecorder()
		admin.ServeHTTP(answer, httptest.NewRequest("GET", "http://localhost"+path, nil))
		if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), want) {
			t.Errorf("%s: got %d, without %s: %.2000s", path, answer.Code, want, answer.Body)
		}
	}
	if done, err := s.DisconnectChannel(t.Context(), "shared", "news", 4003, "no more news"); done.Count != 2 || err != nil {
		t.Errorf("%d are disconnected, %v, want 2", done.Count, err)
	}
	a.wantClose(4003)
	b.wantClose(4003)
	waitFor(t, func() bool { return s.Stats(t.Context()).Hubs[0].Connections == 0 })
}

// A reload that changes the hub keeps the connections of both protocols, but for
// those whose secret is gone.
func TestSecondProtocolSurvivesAReload(t *testing.T) {
	s, h, handlers := serve(t, locked)
	a := dial(t, s, "/pidgin/news?key=rw")
	n := dial(t, s, "/")
	n.say(`{"auth":{"access":"read-only","secret":"r"}}`)
	n.want(`{"ok":true}`)
	reload := func(config webrocket.HubConfig) {
		t.Helper()
		next, err := webrocket.NewHub("shared", config) // lends its settings
		if err != nil {
			t.Fatal(err)
		}
		native := webrocket.NewJSONHandler()
		native.Hub = next
		handlers["/"] = native
		if err := s.Reload(s.Config, handlers); err != nil {
			t.Fatal(err)
		}
	}
	config := locked
	config.Secrets.ReadOnly = "new"
	config.MaxSubscriptions = 2
	reload(config)
	n.wantClose(4401)
	a.say("+one", "+two")
	a.want("! limit_exceeded")
	if s.Hub("/") != h {
		t.Error("the hub is another one")
	}
	config.Secrets.ReadWrite = "new too"
	reload(config)
	a.wantClose(4401)
}

// Drain, slow readers and silence end connections with the codes of the protocol.
func TestCloseCodesOfAProtocol(t *testing.T) {
	s, _, _ := serve(t, webrocket.HubConfig{})
	stalled, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	_, _ = io.WriteString(stalled, "GET /pidgin/flood HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	waitFor(t, func() bool { return s.Hub("/").Len() == 1 })
	for s.Hub("/").Len() == 1 { // until the channel has lost its only subscriber
		_ = s.Publish("/", "flood", "e", strings.Repeat("x", 60_000))
	}
	all, _ := io.ReadAll(stalled)
	if end := codec.AppendClose(nil, 4100, "too slow"); !strings.HasSuffix(string(all), string(end)) {
		t.Errorf("a slow reader: got %q at the end, want %q", all[max(0, len(all)-20):], end)
	}

	drained := dial(t, s, "/pidgin/news")
	gone := make(chan error, 1)
	go func() { gone <- s.Drain(context.Background(), 0) }()
	drained.wantClose(4200)
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

// A hub that goes makes room for another one of its name in another protocol.
func TestAnotherHubOfTheName(t *testing.T) {
	s, old, _ := serve(t, locked)
	n := dial(t, s, "/")
	next, err := webrocket.NewHub("shared", webrocket.HubConfig{})
	if err != nil {
		t.Fatal(err)
	}
	native := webrocket.NewJSONHandler()
	native.Hub = old
	if err := s.Reload(s.Config, map[string]webrocket.Handler{"/": native, "/pidgin/{room}": newPidgin(next)}); err == nil {
		t.Error("two hubs of one name are served")
	}
	if err := s.Reload(s.Config, map[string]webrocket.Handler{"/pidgin/{room}": newPidgin(next)}); err != nil {
		t.Fatal(err)
	}
	n.wantClose(1001)
	if got := s.Hub("/pidgin/{room}"); got != next {
		t.Errorf("got the hub %v, want the new one", got)
	}
}

// A message that does not end closes a connection of the native protocol with 4408, and one
// of a protocol that has said nothing of it with 1008.
func TestUnfinishedMessage(t *testing.T) {
	s := webrocket.NewServer("")
	s.Config.MessageTimeout = 5 * time.Second
	h, err := webrocket.NewHub("shared", webrocket.HubConfig{})
	if err != nil {
		t.Fatal(err)
	}
	native := webrocket.NewJSONHandler()
	native.Hub = h
	for path, handler := range map[string]webrocket.Handler{"/": native, "/pidgin/{room}": newPidgin(h)} {
		if err := s.Handle(path, handler); err != nil {
			t.Fatal(err)
		}
	}
	running := webrockettest.Start(t, s)
	for path, want := range map[string]uint16{"/": 4408, "/pidgin/news": 1008} {
		c := running.Dial(path, nil)
		c.Write([]byte{0x81})
		running.Advance(6 * time.Second)
		if code, reason := c.ReceiveClose(); code != want {
			t.Errorf("%s: got %d %s, want %d", path, code, reason, want)
		}
	}
}
