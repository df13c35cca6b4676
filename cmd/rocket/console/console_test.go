package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
)

// Every answer that openapi.yaml describes is one that the server gives.
func TestEveryDescribedAnswerIsGiven(t *testing.T) {
	o := operate(t, nil)
	for _, r := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/livez", "", 200},
		{"GET", "/readyz", "", 200},
		{"GET", "/metrics", "", 200},
		{"GET", "/openapi.yaml", "", 200},
		{"GET", "/api/loops", "", 200},
		{"GET", "/api/hubs", "", 200},
		{"GET", "/api/channels", "", 200},
		{"GET", "/api/channels?sort=size", "", 400},
		{"GET", "/api/channels?hub=/nowhere", "", 404},
		{"GET", "/api/patterns", "", 200},
		{"GET", "/api/patterns?sort=size", "", 400},
		{"GET", "/api/patterns?hub=/nowhere", "", 404},
		{"GET", "/api/connections", "", 200},
		{"GET", "/api/connections?after=x", "", 400},
		{"GET", "/api/connections?hub=/nowhere", "", 404},
		{"GET", "/api/cluster", "", 200},
		{"GET", "/api/apps", "", 200},
		{"GET", "/api/connections/slowest", "", 200},
		{"GET", "/api/connections/slowest?limit=0", "", 400},
		{"GET", "/api/history?hub=/&channel=chat:1", "", 200},
		{"GET", "/api/history?hub=/", "", 400},
		{"GET", "/api/history?hub=/&channel=news", "", 404},
		{"GET", "/api/history?hub=/&channel=chat:1&epoch=other&since=1", "", 410},
		{"GET", "/api/presence?hub=/&channel=room:1", "", 200},
		{"GET", "/api/presence?hub=/", "", 400},
		{"GET", "/api/presence?hub=/&channel=news", "", 404},
		{"POST", "/api/publish", `{"messages":[{"hub":"/","channel":"news","event":"e"}]}`, 200},
		{"POST", "/api/publish", `{}`, 400},
		{"POST", "/api/publish", strings.Repeat(" ", 8<<20+1), 413},
		{"POST", "/api/disconnect", `{"hub":"/","channel":"news"}`, 200},
		{"POST", "/api/disconnect", `{"hub":"/","user":"42"}`, 200},
		{"POST", "/api/disconnect", `{"hub":"/","client":"x"}`, 404},
		{"POST", "/api/disconnect", `{}`, 400},
		{"POST", "/api/disconnect", `{"connection":"0-1-1@127.0.0.1:1"}`, 404},
		{"POST", "/api/disconnect", strings.Repeat(" ", 8<<20+1), 413},
		{"POST", "/api/debug", `{"hub":"/","channel":"news","every":1,"seconds":0}`, 200},
		{"POST", "/api/debug", `{}`, 400},
		{"POST", "/api/debug", `{"hub":"/nowhere","channel":"c"}`, 404},
		{"POST", "/api/debug", strings.Repeat(" ", 8<<20+1), 413},
		{"POST", "/api/revoke", `{"user":"42","jti":"x"}`, 400},
		{"POST", "/api/revoke", `{"user":"42"}`, 404}, // no hub takes tokens
		{"POST", "/api/revoke", strings.Repeat(" ", 8<<20+1), 413},
		{"POST", "/api/subscribe", `{"hub":"/","user":"42","channel":"c"}`, 200},
		{"POST", "/api/subscribe", `{"hub":"/","user":"42","client":"x","channel":"c"}`, 400},
		{"POST", "/api/subscribe", `{"hub":"/","user":"42","channel":"\n"}`, 400},
		{"POST", "/api/subscribe", `{"hub":"/","client":"x","channel":"c"}`, 404},
		{"POST", "/api/subscribe", strings.Repeat(" ", 8<<20+1), 413},
		{"POST", "/api/unsubscribe", `{"hub":"/","user":"42","channel":"c"}`, 200},
		{"POST", "/api/unsubscribe", `{"hub":"/","channel":"c"}`, 400},
		{"POST", "/api/unsubscribe", `{"hub":"/nowhere","user":"42","channel":"c"}`, 404},
		{"POST", "/api/unsubscribe", strings.Repeat(" ", 8<<20+1), 413},
	} {
		o.ask(r.method, r.path, r.body, r.status)
		if r.status == 200 && strings.HasPrefix(r.path, "/api/") {
			o.askAs("", r.method, r.path, r.body, 401)
			o.askAs("wrong", r.method, r.path, r.body, 401)
		}
	}
	o.withTokens()
	o.withoutToken()
	o.inCluster()
	o.whereNodesGo()
	o.whileALoopIsStuck()
	o.whileShuttingDown()
	for path, item := range description(t).Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if name := method + " " + path + " " + status; !o.seen[name] {
					t.Errorf("openapi.yaml has %s, and no test got it", name)
				}
			}
		}
	}
}

// serveTokens makes a server serve a hub at /tokens for tokens of a key.
func serveTokens(t *testing.T, s *webrocket.Server) *auth.Key {
	t.Helper()
	key, err := auth.ParseKey("k1", "HS256", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	h := webrocket.NewJSONHandler()
	if h.Tokens, err = auth.NewTokens(auth.TokenConfig{Keys: []*auth.Key{key}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Handle("/tokens", h); err != nil {
		t.Fatal(err)
	}
	return key
}

// withTokens asks a server whose hub takes tokens.
func (o *operator) withTokens() {
	o.t.Helper()
	var served *webrocket.Server
	with := operate(o.t, func(_ *console, s *webrocket.Server) {
		serveTokens(o.t, s)
		served = s
	})
	with.seen = o.seen
	for _, body := range []string{`{"user":"42"}`, `{"user":"42","before":1764460000}`, `{"jti":"5f1c"}`} {
		with.ask("POST", "/api/revoke", body, 200)
	}
	with.askAs("", "POST", "/api/revoke", `{"jti":"x"}`, 401)
	for _, body := range []string{`{}`, `{"user":""}`, `{"jti":"x","before":1}`, `{"user":"42","before":-1}`, `{"user":"` + strings.Repeat("x", 256) + `"}`, fmt.Sprintf(`{"user":"42","before":%d}`, time.Now().Add(time.Hour).Unix()), `{"user":"42","before":9223372036854775807}`} {
		with.ask("POST", "/api/revoke", body, 400)
	}
	if log := with.log.String(); !strings.Contains(log, "tokens were revoked through the admin API") {
		o.t.Errorf("the log does not say that tokens were revoked:\n%s", log)
	}
	tokens, now := served.Hub("/tokens").Config().Tokens, time.Now()
	for i := 0; tokens.RevokeID(now, strconv.Itoa(i)) == nil; i++ {
	}
	with.ask("POST", "/api/revoke", `{"jti":"one more"}`, 503)
	with.ask("POST", "/api/revoke", `{"jti":"5f1c"}`, 200) // is kept already
}

// Logins with tokens are counted by why they were refused, from the start.
func TestTokenMetrics(t *testing.T) {
	var key *auth.Key
	o := operate(t, func(_ *console, s *webrocket.Server) { key = serveTokens(t, s) })
	token, err := key.Sign(auth.Claims{User: "42", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	o.ws += "/tokens"
	o.send(`{"auth":{"token":"` + token + `"}}`)
	waitForText(t, func() string { return o.ask("GET", "/metrics", "", 200) }, `rocket_tokens_total{hub="/tokens",reason="accepted"}`, "1")
	text := o.ask("GET", "/metrics", "", 200)
	for _, series := range []string{
		`rocket_tokens_total{hub="/tokens",reason="expired"}`,
		`rocket_token_key_fetches_total{result="` + auth.FetchFailed.String() + `"}`,
	} {
		if got := value(text, series); got != "0" {
			t.Errorf("%s: got %q, want 0", series, got)
		}
	}
	if strings.Contains(text, `rocket_tokens_total{hub="/",`) {
		t.Error("a hub without tokens counts them")
	}
}

// waitForText waits until a series in a text has a value.
func waitForText(t *testing.T, ask func() string, series, want string) {
	t.Helper()
	for begin := time.Now(); value(ask(), series) != want; {
		if time.Since(begin) > patience {
			t.Fatalf("%s is not %s in time", series, want)
		}
	}
}

// withoutToken asks a server that has none.
func (o *operator) withoutToken() {
	o.t.Helper()
	open := operate(o.t, func(c *console, _ *webrocket.Server) { c.Token = "" })
	open.seen = o.seen
	for _, path := range []string{"/api/publish", "/api/disconnect", "/api/debug", "/api/revoke", "/api/subscribe", "/api/unsubscribe"} {
		open.askAs("", "POST", path, "{}", http.StatusForbidden)
		open.askAs("any", "POST", path, "{}", http.StatusForbidden)
	}
	open.askAs("", "GET", "/api/history?hub=/&channel=chat:1", "", http.StatusForbidden)
	open.askAs("", "GET", "/api/presence?hub=/&channel=room:1", "", http.StatusForbidden)
	for _, path := range []string{
		"/api/loops", "/api/cluster", "/api/hubs", "/api/apps", "/api/channels", "/api/patterns", "/api/connections", "/api/connections/slowest",
	} {
		open.askAs("", "GET", path, "", http.StatusOK)
		open.host = "evil.example"
		open.askAs("", "GET", path, "", http.StatusForbidden)
		open.host = ""
	}
}

// stuck holds up the loop of whoever sends a message, until free is closed.
type stuck struct {
	in   chan int // which loop that is
	free chan struct{}
}

func (s *stuck) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{Protocol: s}, nil
}
func (s *stuck) OnOpen(_ *webrocket.Conn, _ *webrocket.Request) {}
func (s *stuck) OnClose(*webrocket.Conn, error)                 {}
func (s *stuck) OnMessage(c *webrocket.Conn, _ webrocket.Opcode, _ []byte) {
	s.in <- c.Loop().Index()
	<-s.free
}

// whileALoopIsStuck asks a server with a loop that makes no progress.
func (o *operator) whileALoopIsStuck() {
	o.t.Helper()
	hold := &stuck{make(chan int), make(chan struct{})}
	busy := operate(o.t, func(c *console, s *webrocket.Server) {
		c.timeout = time.Millisecond
		if err := s.Handle("/stuck", hold); err != nil {
			o.t.Fatal(err)
		}
	})
	busy.seen = o.seen
	busy.ws += "/stuck"
	busy.send("x")
	loop := <-hold.in
	busy.ask("GET", "/livez", "", 503)
	busy.ask("GET", "/api/connections/slowest", "", 503)
	busy.ask("GET", fmt.Sprintf("/api/connections?after=%d-0", loop), "", 503)
	busy.ask("POST", "/api/disconnect", `{"hub":"/","channel":"news"}`, 503)
	busy.ask("POST", "/api/debug", `{"hub":"/","channel":"news"}`, 503)
	busy.ask("POST", "/api/subscribe", `{"hub":"/","user":"42","channel":"c"}`, 503)
	busy.ask("POST", "/api/unsubscribe", `{"hub":"/","user":"42","channel":"c"}`, 503)
	series := fmt.Sprintf(`rocket_loop_stale{loop="%d"}`, loop)
	if text := busy.ask("GET", "/metrics", "", 200); value(text, series) != "1" {
		o.t.Errorf("the metrics do not say that loop %d is stale:\n%s", loop, text)
	}
	close(hold.free)
}

// whileShuttingDown asks a server that is.
func (o *operator) whileShuttingDown() {
	o.t.Helper()
	if err := o.server.Shutdown(o.t.Context()); err != nil {
		o.t.Error(err)
	}
	o.ask("GET", "/readyz", "", 503)
	o.ask("GET", "/livez", "", 200)
	o.ask("GET", "/metrics", "", 200)
}

func TestBeforeTheStart(t *testing.T) {
	c := New(Config{Server: webrocket.NewServer(""), Log: slog.New(slog.DiscardHandler)})
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/metrics": 200, "/api/loops": 200, "/api/connections/slowest": 200} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost"+path, nil))
		if w.Code != want {
			t.Errorf("%s: got %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
}

// A server that would refuse a newcomer says so to whoever deals them out.
func TestNotReadyWhileFull(t *testing.T) {
	o := operate(t, func(_ *console, s *webrocket.Server) { s.Config.MaxConnections = 1 })
	o.ask("GET", "/readyz", "", 200)
	o.dial("news")
	if got := o.ask("GET", "/readyz", "", 503); !strings.Contains(got, "full") {
		t.Errorf("got %s", got)
	}
	if got := value(o.ask("GET", "/metrics", "", 200), "rocket_ready"); got != "0" || get[Loops](o, "/api/loops").Ready {
		t.Errorf("rocket_ready is %s", got)
	}
	if status, err := o.refused("/"); status != http.StatusServiceUnavailable {
		t.Errorf("a newcomer gets %d, %v", status, err)
	}
}

func TestPublish(t *testing.T) {
	o := operate(t, nil)
	c := o.dial("news")
	large, err := json.Marshal(strings.Repeat("x", 4096))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, message, want string }{
		{"data as it was sent", `{"hub":"/","channel":"news","event":"e","data":{"a": 1.0, "b":"<é>"}}`, "ok"},
		{"no data", `{"hub":"/","channel":"news","event":"e"}`, "ok"},
		{"null", `{"hub":"/","channel":"news","event":"e","data":null}`, "ok"},
		{"no such hub", `{"hub":"/x","channel":"news","event":"e"}`, "invalid_hub"},
		{"no such channel", `{"hub":"/","channel":"nobody","event":"e"}`, "invalid_channel"},
		{"no event", `{"hub":"/","channel":"news","event":""}`, "invalid_data"},
		{"too large", `{"hub":"/","channel":"news","event":"e","data":` + string(large) + `}`, "too_large"},
	} {
		var answer publishAnswer
		text := o.ask("POST", "/api/publish", `{"messages":[`+tt.message+`]}`, 200)
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		want := publishAnswer{0, []publishResult{{Err: tt.want}}}
		if tt.want == "ok" {
			want = publishAnswer{1, []publishResult{{OK: true}}}
		}
		if !reflect.DeepEqual(answer, want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, answer, want)
		}
	}
	c.want(`{"event":"e","channel":"news","data":{"a": 1.0, "b":"<é>"}}`)
	c.want(`{"event":"e","channel":"news"}`)
	c.want(`{"event":"e","channel":"news","data":null}`)
}

// What openapi.yaml does not allow is refused, with a word on what is wrong.
func TestBodiesAreStrict(t *testing.T) {
	o := operate(t, nil)
	const good = `{"hub":"/","channel":"news","event":"e"}`
	for _, tt := range []struct{ path, body, want string }{
		{"publish", "{\"messages\":[{\"hub\":\"/\",\"channel\":\"news\",\"event\":\"\xff\xfe\"}]}", "not UTF-8"},
		{"publish", "{\"messages\":[{\"hub\":\"/\",\"channel\":\"news\",\"event\":\"e\",\"data\":\"\xff\"}]}", "not UTF-8"},
		{"publish", `{"MESSAGES":[` + good + `]}`, `unknown member \"MESSAGES\"`},
		{"publish", `{"messages":[{"HUB":"/","channel":"news","event":"e"}]}`, `messages[0]: unknown member \"HUB\"`},
		{"publish", `{"messages":[` + good + `,null]}`, "messages[1]: want an object, not null"},
		{"publish", `{"messages":null}`, "messages: it is null"},
		{"publish", `{"messages":[{"hub":"/","channel":"news"}]}`, "messages[0]: event is missing"},
		{"publish", `{"messages":[{"hub":"/","channel":null,"event":"e"}]}`, "messages[0]: channel: it is null"},
		{"publish", `{"messages":[` + good + `]}{}`, "after top-level value"},
		{"publish", `null`, "want an object, not null"},
		{"disconnect", `{"hub":"/","Channel":"news"}`, `unknown member \"Channel\"`},
		{"disconnect", `{"hub":"/","channel":"news","code":null}`, "code: it is null"},
		{"publish", `{"messages":[{"hub":"/","channel":"news","event":"e","key":""}]}`, "messages[0]: key: want a string of 1 to 128 bytes"},
		{"publish", `{"messages":[{"hub":"/","channel":"news","event":"e","key":"` + strings.Repeat("x", 129) + `"}]}`, "messages[0]: key: want a string"},
		{"publish", `{"messages":[{"hub":"/","channel":"news","event":"e","key":7}]}`, "messages[0]: key: want a string"},
		{"publish", `{"messages":[{"hub":"/","channel":"news","event":"e","key":null}]}`, "messages[0]: key: it is null"},
		{"publish", `[]`, `"the body: want an object"`},
		{"publish", `{"messages":{}}`, `"the body: messages: want an array"`},
		{"publish", `{"messages":[` + good + `,7]}`, `"messages[1]: want an object"`},
		{"publish", `{"messages":[{"hub":"/","channel":["news"],"event":"e"}]}`, `"messages[0]: channel: want a string"`},
		{"publish", `{"messages":[`, "unexpected end of JSON input"},
		{"disconnect", `{"hub":"/","channel":"news","code":70000}`, `"the body: code: want a whole number from 0 to 65535"`},
		{"disconnect", `{"hub":"/","channel":"news","code":"1008"}`, `"the body: code: want a whole number from 0 to 65535"`},
		{"debug", `{"hub":"/","channel":"news","seconds":1.5}`, `"the body: seconds: want a whole number"`},
		{"debug", `{"hub":"/","channel":"news","SECONDS":1}`, `unknown member \"SECONDS\"`},
		{"debug", `{"hub":"/","channel":"news","seconds":null}`, "seconds: it is null"},
	} {
		if got := o.ask("POST", "/api/"+tt.path, tt.body, 400); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s want %s", tt.body, got, tt.want)
		}
	}
	if got := get[Channels](o, "/api/channels").Channels[0].Published; got != 0 {
		t.Errorf("%d events of refused batches were published", got)
	}
}

func TestPublishBatch(t *testing.T) {
	o := operate(t, nil)
	c := o.dial("news")
	const message = `{"hub":"/","channel":"%s","event":"%d"}`
	var batch []string
	for i, channel := range []string{"news", "nobody", "news"} {
		batch = append(batch, fmt.Sprintf(message, channel, i))
	}
	got := o.ask("POST", "/api/publish", `{"messages":[`+strings.Join(batch, ",")+`]}`, 200)
	if want := `{"published":2,"results":[{"ok":true},{"err":"invalid_channel"},{"ok":true}]}` + "\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	c.want(`{"event":"0","channel":"news"}`)
	c.want(`{"event":"2","channel":"news"}`)
	for _, bad := range []string{
		"", "[]", `{"messages":[]}`, `{"messages":[{"hub":"/","channel":"news","event":"e","secret":"s"}]}`,
		`{"messages":[]} {}`, `{"messages":[` + strings.Repeat(batch[0]+",", 1000) + batch[0] + `]}`,
	} {
		o.ask("POST", "/api/publish", bad, 400)
	}
}

func TestDisconnect(t *testing.T) {
	o := operate(t, nil)
	a, b, c := o.dial("news"), o.dial("news"), o.dial("weather")
	if got := o.ask("POST", "/api/disconnect", `{"hub":"/","channel":"news","code":4000,"reason":"go"}`, 200); got != "{\"disconnected\":2,\"nodes\":1}\n" {
		t.Errorf("got %s", got)
	}
	a.wantClose(4000, "go")
	b.wantClose(4000, "go")
	c.do(`{"unsubscribe":{"channel":"weather"}}`, `{"ok":true}`)
	for _, bad := range []string{
		`{"connection":"0-1-1@a","channel":"news"}`, `{"hub":"/","channel":"news","code":1006}`,
		`{"hub":"/","channel":"news","user":"42"}`, `{"hub":"/","client":"x","user":"42"}`,
		`{"hub":"/","channel":"news","reason":"` + strings.Repeat("x", 124) + `"}`,
	} {
		o.ask("POST", "/api/disconnect", bad, 400)
	}
	for _, none := range []string{"x", "-1-1@a", "0-1@a", "9-1-1@a", "0-x-1@a", "0-1-1@a", "0-ffffffffffffffff-1@a"} {
		o.ask("POST", "/api/disconnect", `{"connection":"`+none+`"}`, 404)
	}
	if text := o.log.String(); !strings.Contains(text, `"connections":2`) || !strings.Contains(text, "closed through the admin API") {
		t.Errorf("the log does not tell what was done:\n%s", text)
	}
}

// The frame that says why a connection is closed has room for 123 bytes of it
// (RFC 6455 §5.5), as openapi.yaml says where it counts characters.
func TestReasonIsMeasuredInBytes(t *testing.T) {
	const most = 123
	o := operate(t, nil)
	reason := description(t).Components.Schemas["Disconnect"].Value.Properties["reason"].Value
	if *reason.MaxLength != most || !strings.Contains(reason.Description, fmt.Sprintf("%d bytes of UTF-8", most)) {
		t.Errorf("openapi.yaml has at most %d and %q", *reason.MaxLength, reason.Description)
	}
	longest := strings.Repeat("é", most/2) + "e"
	ask := `{"hub":"/","channel":"news","code":4000,"reason":"%s"}`
	c := o.dial("news")
	o.ask("POST", "/api/disconnect", fmt.Sprintf(ask, longest+"e"), 400)
	o.ask("POST", "/api/disconnect", fmt.Sprintf(ask, longest), 200)
	c.wantClose(4000, longest)
}

func TestChannels(t *testing.T) {
	o := operate(t, nil)
	c := o.dial("a1", "a2", "b1")
	o.dial("a2")
	c.do(`{"publish":{"channel":"a1","event":"e"}}`, `{"ok":true}`)
	for _, tt := range []struct {
		query, want string
		total       int
	}{
		{"", "a1 a2 b1 news", 4},
		{"?prefix=a", "a1 a2", 2},
		{"?sort=published&limit=1", "a1", 4},
		{"?sort=subscribers&hub=/&limit=2", "a2 a1", 4},
		{"?prefix=x", "", 0},
	} {
		answer := get[Channels](o, "/api/channels"+tt.query)
		var names []string
		for _, channel := range answer.Channels {
			names = append(names, channel.Channel)
		}
		if got := strings.Join(names, " "); got != tt.want || answer.Total != tt.total {
			t.Errorf("%s: got %q of %d, want %q of %d", tt.query, got, answer.Total, tt.want, tt.total)
		}
	}
	for _, channel := range get[Channels](o, "/api/channels?sort=published").Channels[:1] {
		if channel.Subscribers != 1 || channel.Published != 1 || channel.Bytes == 0 || channel.Permanent {
			t.Errorf("got %+v", channel)
		}
	}
}

// Patterns that somebody hears are listed and counted, and are no channels.
func TestPatternsAreListed(t *testing.T) {
	o := operate(t, func(_ *console, s *webrocket.Server) {
		h := webrocket.NewJSONHandler()
		h.Patterns = true
		if err := s.Handle("/patterns", h); err != nil {
			t.Fatal(err)
		}
	})
	o.ws += "/patterns"
	c, d := o.dial(), o.dial()
	for _, pattern := range []string{"a:*", "a:1:*", "b:*"} {
		d.do(`{"subscribe":{"pattern":"`+pattern+`"}}`, map[bool]string{true: `{"err":"overlapping"}`, false: `{"ok":true}`}[pattern == "a:1:*"])
	}
	c.do(`{"subscribe":{"pattern":"a:*"}}`, `{"ok":true}`)
	o.ask("POST", "/api/publish", `{"messages":[{"hub":"/patterns","channel":"b:1","event":"e","data":"123"}]}`, 200)
	for query, want := range map[string]Patterns{
		"?prefix=a":                       {1, []Pattern{{"/patterns", "a:*", 2, 0, 0}}},
		"?hub=/patterns&sort=subscribers": {2, []Pattern{{"/patterns", "a:*", 2, 0, 0}, {"/patterns", "b:*", 1, 1, 6}}},
		"?sort=published&limit=1":         {2, []Pattern{{"/patterns", "b:*", 1, 1, 6}}},
		"?hub=/":                          {0, []Pattern{}},
	} {
		if got := get[Patterns](o, "/api/patterns"+query); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", query, got, want)
		}
	}
	if got := value(o.ask("GET", "/metrics", "", 200), `rocket_patterns{hub="/patterns"}`); got != "2" {
		t.Errorf("rocket_patterns is %q, want 2", got)
	}
	if got := get[Channels](o, "/api/channels").Total; got != 1 {
		t.Errorf("there are %d channels, want 1", got)
	}
}

// The list of all channels is there while hubs come and go.
func TestChannelsWhileHubsGo(t *testing.T) {
	var server *webrocket.Server
	o := operate(t, func(_ *console, s *webrocket.Server) { server = s })
	handler := New(Config{Server: server, Token: token, Log: server.Log})
	hubs := map[string]webrocket.Handler{"/": webrocket.NewJSONHandler()}
	for i := range 64 {
		hubs[fmt.Sprintf("/%d", i)] = webrocket.NewJSONHandler()
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range 2 {
		asking.Go(func() {
			for ctx.Err() == nil {
				r := httptest.NewRequestWithContext(ctx, "GET", "/api/channels", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					t.Errorf("got %d %s", w.Code, w.Body)
					return
				}
			}
		})
	}
	for range 15 {
		for _, handlers := range []map[string]webrocket.Handler{hubs, {"/": hubs["/"]}} {
			if err := server.Reload(server.Config, handlers); err != nil {
				t.Fatal(err)
			}
		}
		for path := range hubs {
			if path != "/" {
				hubs[path] = webrocket.NewJSONHandler() // they are served once
			}
		}
	}
	o.ask("GET", "/api/channels?hub=/1", "", 404)
}

func TestHubsCountCommands(t *testing.T) {
	o := operate(t, nil)
	c := o.dial("news")
	c.do(`{"logout":0}`, `{"err":"invalid_data","reason":"logout is a number, not true"}`)
	c.do(`{"publish":{"channel":"nobody","event":"e"}}`, `{"err":"invalid_channel"}`)
	c.do(`{"ping":true}`, `{"ok":true}`)
	got := get[Hubs](o, "/api/hubs")
	want := Hubs{[]Hub{{Hub: "/", Connections: 1, Channels: 1, Commands: []Command{
		{"none", "invalid_data", 1}, {"auth", "ok", 1}, {"subscribe", "ok", 1}, {"publish", "invalid_channel", 1}, {"ping", "ok", 1},
	}, History: History{Recoveries: map[string]uint64{"recovered": 0, "epoch": 0, "expired": 0, "ahead": 0, "no_history": 0}}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v want %+v", got, want)
	}
}

// A sample of commands is logged, never what they carry.
func TestDebug(t *testing.T) {
	o := operate(t, nil)
	c := o.dial("news")
	const publish = `{"publish":{"channel":"news","event":"e","data":"private"}}`
	o.ask("POST", "/api/debug", `{"hub":"/","channel":"news","every":2}`, 200)
	for range 4 {
		c.do(publish, `{"ok":true}`)
		c.want(`{"event":"e","channel":"news","data":"private"}`)
	}
	o.ask("POST", "/api/debug", `{"hub":"/","channel":"news","seconds":0}`, 200)
	c.do(publish, `{"ok":true}`)
	text := o.log.String()
	if n := strings.Count(text, "a watched command"); n != 2 {
		t.Errorf("got %d records, want 2:\n%s", n, text)
	}
	if !strings.Contains(text, `"command":"publish","channel":"news","event":"e","bytes":59,"result":"ok"`) || strings.Contains(text, "private") {
		t.Errorf("the log has\n%s", text)
	}
	o.ask("POST", "/api/debug", `{"hub":"/","channel":"news","seconds":-1}`, 400)
	o.ask("POST", "/api/debug", `{"hub":"/","channel":"news","every":-1}`, 400)
}

// To ask for a connection that is not there does not end what is logged.
func TestDebugOfNobody(t *testing.T) {
	o := operate(t, nil)
	c := o.dial("news")
	o.ask("POST", "/api/debug", `{"hub":"/","channel":"news"}`, 200)
	left := o.dial("news")
	record := regexp.MustCompile(`"connection":"([^"]+)"`).FindStringSubmatch(o.log.String())
	if record == nil {
		t.Fatalf("the log has\n%s", o.log)
	}
	o.ask("POST", "/api/disconnect", `{"connection":"`+record[1]+`"}`, 200)
	left.wantClose(1008, "")

	for _, nobody := range []string{record[1], "0-7-1@nobody", "0-1-1@127.0.0.1:1", "9-1-1@a", "x"} {
		o.ask("POST", "/api/debug", `{"connection":"`+nobody+`"}`, 404)
	}
	o.ask("POST", "/api/debug", `{"hub":"/nowhere","channel":"news"}`, 404)
	c.do(`{"publish":{"event":"e","channel":"news"}}`, `{"ok":true}`)
	if text := o.log.String(); strings.Count(text, `"command":"publish"`) != 1 {
		t.Errorf("the log has\n%s", text)
	}
	o.ask("POST", "/api/debug", `{"connection":"`+record[1]+`","seconds":0}`, 200)
	c.want(`{"event":"e","channel":"news"}`)
	c.do(`{"publish":{"event":"e","channel":"news"}}`, `{"ok":true}`)
	if text := o.log.String(); strings.Count(text, `"command":"publish"`) != 1 {
		t.Errorf("after the end the log has\n%s", text)
	}
}

// Nothing but the whole token is good, and only as a bearer token. The scheme of an
// Authorization header has no case, the token has one.
func TestAuthorization(t *testing.T) {
	o := operate(t, nil)
	wants := map[string]int{
		"Bearer " + token: 200, "bearer " + token: 200, "BEARER " + token: 200, "Bearer  " + token: 200,
		"Bearer " + strings.ToUpper(token): 401, "Basic " + token: 401, "Bearer" + token: 401, "Bearer": 401, token: 401, "": 401,
		"Bearer " + token + "x": 401, "Bearer x" + token: 401, "Bearer x " + token: 401, "Bearer " + token + " " + token: 401,
	}
	for n := range len(token) {
		wants["Bearer "+token[:n]] = 401
	}
	for authorization, want := range wants {
		if got := o.status("/api/hubs", authorization); got != want {
			t.Errorf("Authorization: %q: got %d, want %d", authorization, got, want)
		}
	}
}

func TestProfilingIsOnRequest(t *testing.T) {
	for _, on := range []bool{false, true} {
		o := operate(t, func(c *console, _ *webrocket.Server) { c.Profiling = on })
		for _, profile := range []string{"", "heap", "cmdline", "symbol", "profile?seconds=1", "trace?seconds=0.01"} {
			for token, want := range map[string]int{"": 401, token: 200} {
				if !on {
					want = 404
				}
				if got := o.status("/debug/pprof/"+profile, "Bearer "+token); got != want {
					t.Errorf("profiling %v, %s, token %q: got %d, want %d", on, profile, token, got, want)
				}
			}
		}
	}
}

// status makes a request with that Authorization header, and returns the status of
// the answer.
func (o *operator) status(path, authorization string) int {
	o.t.Helper()
	request, err := http.NewRequestWithContext(o.t.Context(), "GET", o.url+path, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	request.Header.Set("Authorization", authorization)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		o.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// docs/operations.md explains each request.
func TestDocsNameEveryRequest(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range description(t).Paths.Map() {
		for method := range item.Operations() {
			if row := fmt.Sprintf("\n| `%s %s` |", method, path); !strings.Contains(string(docs), row) {
				t.Errorf("docs/operations.md lacks the row %q", row)
			}
		}
	}
}

// Every message that docs/operations.md explains is one that is logged.
func TestDocumentedLogMessages(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(docs), "| message | level | means |")
	table, _, _ = strings.Cut(table, "\n\n")
	source := readSource(t)
	rows := regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(table, -1)
	if len(rows) < 5 {
		t.Fatalf("got the rows %v", rows)
	}
	for _, row := range rows {
		for _, message := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			start, _, _ := strings.Cut(message[1], "…")
			if !strings.Contains(source, `"`+start) {
				t.Errorf("nothing logs %q", message[1])
			}
		}
	}
}

// readSource returns the code of the module, without its tests.
func readSource(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"../../../*.go", "../../../engine/*.go", "../../../hub/*.go", "../../../protocol/*/*.go", "../*.go", "*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}
