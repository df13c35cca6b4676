package pusher_test

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// Whatever is wrong with a connection is told after the handshake, by an error and a
// close code: a page sees nothing of an answer by HTTP, and would try for ever.
func TestTurnedAway(t *testing.T) {
	w := begin(t, pusher.Config{Origins: []string{"https://*.example.com"}})
	for _, tt := range []struct {
		name, path, origin string
		code               int // 0: it is established
	}{
		{"good", "/app/app-key?protocol=7", "https://a.example.com", 0},
		{"the other key", "/app/next-key?protocol=7", "", 0},
		{"version 5", "/app/app-key?protocol=5", "", 0},
		{"version 6", "/app/app-key?protocol=6", "", 0},
		{"no such key", "/app/nobody?protocol=7", "", 4001},
		{"an application that is disabled", "/app/off-key?protocol=7", "", 4003},
		{"no version", "/app/app-key", "", 4008},
		{"an empty version", "/app/app-key?protocol=", "", 4008},
		{"a version that is no number", "/app/app-key?protocol=seven", "", 4006},
		{"an old version", "/app/app-key?protocol=4", "", 4007},
		{"a version that is to come", "/app/app-key?protocol=8", "", 4007},
		{"a page of another origin", "/app/app-key?protocol=7", "https://example.org", 4009},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.origin != "" {
				header.Set("Origin", tt.origin)
			}
			c := w.dial(tt.path, header)
			if tt.code == 0 {
				c.established()
				return
			}
			c.want(`~"event":"pusher:error","data":{"message":"`)
			c.wantClose(tt.code)
		})
	}
}

func TestTLSOnly(t *testing.T) {
	w := begin(t, pusher.Config{TLSOnly: true})
	c := w.dial("/app/app-key?protocol=7", nil)
	c.want(`~"code":4000`)
	c.wantClose(4000)
	// Anybody can write the field.
	c = w.dial("/app/app-key?protocol=7", http.Header{"X-Forwarded-Proto": {"https"}})
	c.want(`~"code":4000`)
	c.wantClose(4000)

	behind := beginServer(t, pusher.Config{TLSOnly: true}, webrocket.HubConfig{}, func(s *webrocket.Server) {
		s.ForwardedFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	behind.dial("/app/app-key?protocol=7", http.Header{"X-Forwarded-Proto": {"https"}}).established()
	for _, proto := range []string{"", "http", "http, https"} {
		c = behind.dial("/app/app-key?protocol=7", http.Header{"X-Forwarded-Proto": {proto}})
		c.want(`~"code":4000`)
		c.wantClose(4000)
	}
}

// A connection whose time is over is not told 4001, which would keep its page away for
// ever.
func TestLifetime(t *testing.T) {
	w := beginWith(t, pusher.Config{}, webrocket.HubConfig{OnConnect: func(*webrocket.HubRequest) (*webrocket.Identity, error) {
		return &webrocket.Identity{Lifetime: time.Millisecond}, nil
	}}, webrocket.Config{Loops: 1})
	c := w.dial("/app/app-key?protocol=7", nil)
	c.established()
	c.want(`~"code":4100`)
	c.wantClose(4100)
}

// A connection over the quota comes back in a second, unless the operator wants it to
// stay away: what is over soon must not leave a page dead.
func TestQuota(t *testing.T) {
	for _, tt := range []struct {
		forGood bool
		code    int
	}{{false, 4100}, {true, 4004}} {
		w := begin(t, pusher.Config{MaxConnections: 1, RefuseForGood: tt.forGood})
		first := w.connect()
		c := w.dial("/app/app-key?protocol=7", nil)
		c.want(`~"event":"pusher:error"`)
		c.wantClose(tt.code)
		_ = first.ws.CloseNow()
		waitFor(t, func() bool { return w.server.Connections() == 0 })
		w.connect()
	}
}

// The socket id is two numbers that JavaScript has exactly, and no two connections have
// the same.
func TestSocketID(t *testing.T) {
	w := begin(t, pusher.Config{})
	seen := make(map[string]bool)
	for range 20 {
		id := w.connect().socket
		if !regexp.MustCompile(`^\d{1,15}\.\d{1,15}$`).MatchString(id) || seen[id] {
			t.Errorf("got %s", id)
		}
		seen[id] = true
	}
}

func TestMessages(t *testing.T) {
	w := begin(t, pusher.Config{MaxInvalid: 3})
	c := w.connect()
	for _, tt := range []struct{ name, say, want string }{
		{"ping", `{"event":"pusher:ping","data":{}}`, `{"event":"pusher:pong","data":"{}"}`},
		{"ping with a string", `{"event":"pusher:ping","data":"{}"}`, `{"event":"pusher:pong","data":"{}"}`},
		{"ping without data", `{"event":"pusher:ping"}`, `{"event":"pusher:pong","data":"{}"}`},
		{"pong", `{"event":"pusher:pong","data":{}}`, ""},
		{"what the server alone may say", `{"event":"pusher_internal:member_added","channel":"presence-a","data":"{}"}`, ""},
		{"an event that nobody knows", `{"event":"pusher:future"}`, `~"code":null`},
		{"arguments in a string", `{"event":"pusher:subscribe","data":"{\"channel\":\"c\"}"}`, succeeded("c")},
		{"unsubscribe", `{"event":"pusher:unsubscribe","data":{"channel":"c"}}`, ""},
		{"unsubscribe without a subscription", `{"event":"pusher:unsubscribe","data":{"channel":"other"}}`, ""},
		{"no JSON", `hello`, `~"message":"invalid message`},
		{"no channel", `{"event":"pusher:subscribe","data":{}}`, `~"message":"invalid message`},
		{"the last one that is invalid", `{}`, `~"message":"invalid message`},
	} {
		c.say(tt.say)
		if tt.want != "" {
			c.want(tt.want)
		}
	}
	c.wantClose(1008)

	c = w.connect()
	if err := c.ws.Write(t.Context(), websocket.MessageBinary, []byte(`{"event":"pusher:ping"}`)); err != nil {
		t.Fatal(err)
	}
	c.wantClose(1003)
}

// A client that is sent much and says nothing is pinged, and closed if it does not
// answer: what the server sends is no sign of life.
func TestSilentClient(t *testing.T) {
	w := beginWith(t, pusher.Config{}, webrocket.HubConfig{}, webrocket.Config{Loops: 1, PingInterval: 500 * time.Millisecond, PongTimeout: 500 * time.Millisecond, CloseTimeout: time.Second})
	c := w.connect()
	c.join("c")
	over := make(chan struct{})
	defer close(over)
	go func() {
		for { // the reader of the socket is what answers pings: it is not called
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
				_ = w.server.Publish("/native", "c", "e", 1)
			}
		}
	}()
	waitFor(t, func() bool { return w.server.Connections() == 0 })
	for {
		_, _, err := c.ws.Read(t.Context())
		if err == nil {
			continue
		}
		if code := websocket.CloseStatus(err); code != 4201 {
			t.Errorf("got %v, want the end with 4201", err)
		}
		return
	}
}

// A drain closes one connection after the other, with a code that makes pusher-js come
// back at once; those that are left at the end come back a second later.
func TestDrain(t *testing.T) {
	w := begin(t, pusher.Config{})
	var all []*client
	for range 8 {
		all = append(all, w.connect())
	}
	codes := make(chan websocket.StatusCode, len(all))
	for _, c := range all {
		go func() {
			_, _, err := c.ws.Read(t.Context())
			codes <- websocket.CloseStatus(err)
		}()
	}
	begun := time.Now()
	if err := w.server.Drain(t.Context(), 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < time.Second {
		t.Errorf("all came to their end within %v, want it spread over the window", took)
	}
	count := make(map[websocket.StatusCode]int)
	for range all {
		count[<-codes]++
	}
	if count[4200] < len(all)/2 || count[4200]+count[4100] != len(all) {
		t.Errorf("closed by code: %v, want 4200, and 4100 for the last ones", count)
	}
}

// An endpoint has the protocol's close codes, and nothing that its clients would not
// understand, whatever it is made of.
func TestEndpoint(t *testing.T) {
	w := begin(t, pusher.Config{})
	e := w.app.Endpoint(engine.Endpoint{
		Origins: []string{"https://example.com"}, SlowReaders: engine.Replay, Silent: &codec.CloseError{Code: 1001}, MaxMessageSize: 7,
	})
	for name, got := range map[string]*codec.CloseError{"GoingAway": e.GoingAway, "SlowReader": e.SlowReader, "Unfinished": e.Unfinished} {
		if got.Code != 4100 {
			t.Errorf("%s has the code %d, want 4100, after which a page comes back", name, got.Code)
		}
	}
	if e.Silent.Code != 4201 || e.Moving.Code != 4200 {
		t.Errorf("silent clients get %d and those that a drain closes %d", e.Silent.Code, e.Moving.Code)
	}
	if e.Origins != nil || e.SlowReaders != engine.Disconnect || e.MaxMessageSize != 7 {
		t.Errorf("got %+v, want the limits and neither origins nor another policy", e)
	}
}

// A connection that has to be authorized is closed if that takes too long.
func TestAuthorizedOnly(t *testing.T) {
	w := begin(t, pusher.Config{AuthorizedOnly: true, AuthorizeTimeout: 300 * time.Millisecond})
	public, private, user := w.connect(), w.connect(), w.connect()
	public.join("c")
	private.join("private-c")
	user.say(user.signIn(`{"id":"1"}`))
	user.want(`~"event":"pusher:signin_success"`)
	public.want(`~"code":4009`)
	public.wantClose(4009)
	private.quiet()
	user.quiet()
}

// A client that sends too much is told so, and in the end comes back a second later.
func TestTooFast(t *testing.T) {
	w := beginWith(t, pusher.Config{}, webrocket.HubConfig{CommandRate: 1}, webrocket.Config{Loops: 1})
	c := w.connect()
	for range 12 {
		c.say(`{"event":"pusher:ping"}`)
	}
	for text := ""; !strings.Contains(text, "too fast"); text = c.next() {
	}
	for {
		if _, _, err := c.ws.Read(t.Context()); err != nil {
			if code := websocket.CloseStatus(err); code != 4100 {
				t.Errorf("got %v, want the end with 4100", err)
			}
			return
		}
	}
}
