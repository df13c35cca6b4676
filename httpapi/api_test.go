package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/httpapi"
	"github.com/nu7hatch/webrocket/js"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// A fixture is a server with an API, and what its clients need.
type fixture struct {
	*webrocket.Server
	api *httpapi.API
	url string
	key string // may do all in every channel of "/"
	t   *testing.T
}

// serve starts a server with hubs by path.
func serve(t *testing.T, hubs map[string]*webrocket.HubHandler, adjust ...func(*webrocket.Server)) *fixture {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s.Config.Loops = 2
	for path, h := range hubs {
		if err := s.Handle(path, h); err != nil {
			t.Fatal(err)
		}
	}
	key, digest, err := httpapi.NewKey("all")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Server: s, key: key, t: t}
	f.api, err = httpapi.New(httpapi.Config{Server: s, Keys: map[string][]httpapi.Key{
		"/": {{Name: "all", SHA256: digest, Channels: []string{"*"}, May: []string{"publish", "read"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.HTTP = f.api
	for _, a := range adjust {
		a(s)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	f.url = "http://" + s.Addr().String()
	return f
}

// locked is a hub that needs secrets, and keeps what is said in chat:*.
func locked() *webrocket.HubHandler {
	h := webrocket.NewJSONHandler()
	h.Secrets = webrocket.Credentials{ReadOnly: "r", ReadWrite: "rw"}
	h.Rules = []webrocket.Rule{{Match: "chat:*", History: webrocket.History{Size: 100, TTL: time.Minute}}}
	return h
}

// ask sends a request, and returns the status, header and body of the answer.
func (f *fixture) ask(method, path, key, body string, fields ...string) (*http.Response, string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	describedAnswer(f.t, r, response, answer)
	return response, strings.TrimSpace(string(answer))
}

func (f *fixture) want(method, path, key, body string, status int, answer string) {
	f.t.Helper()
	if response, got := f.ask(method, path, key, body); response.StatusCode != status || !strings.Contains(got, answer) {
		f.t.Errorf("%s %s %.80s: got %s %s\nwant %d with %s", method, path, body, response.Status, got, status, answer)
	}
}

// subscribe returns a WebSocket client that hears channels, and its messages.
func (f *fixture) subscribe(secret string, channels ...string) *client {
	f.t.Helper()
	ws, _, err := websocket.Dial(f.t.Context(), "ws://"+f.Addr().String()+"/", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = ws.CloseNow() })
	c := &client{ws, f.t}
	c.send(fmt.Sprintf(`{"auth":{"access":"read-only","secret":%q}}`, secret))
	c.read()
	for _, channel := range channels {
		c.send(fmt.Sprintf(`{"subscribe":{"channel":%q}}`, channel))
		c.read()
	}
	return c
}

type client struct {
	*websocket.Conn
	t *testing.T
}

func (c *client) send(m string) {
	c.t.Helper()
	if err := c.Write(c.t.Context(), websocket.MessageText, []byte(m)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	_, m, err := c.Read(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return string(m)
}

func (c *client) want(want string) {
	c.t.Helper()
	if got := c.read(); got != want {
		c.t.Errorf("got %s, want %s", got, want)
	}
}

func TestPublish(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	c := f.subscribe("r", "news", "orders/1 ü")
	f.want("POST", "/v1/publish/news?event=e", f.key, ` {"a": 1e999} `, 200, `{"ok":true,"heard":true}`)
	c.want(`{"event":"e","channel":"news","data":{"a": 1e999}}`)
	f.want("POST", "/v1/publish/orders%2F1%20%C3%BC", f.key, "", 200, `{"ok":true,"heard":true}`)
	c.want(`{"event":"message","channel":"orders/1 ü"}`)
	f.want("POST", "/v1/publish", f.key, `{"channel":"news","event":"e","data":[1, 2]}`, 200, `{"ok":true,"heard":true}`)
	c.want(`{"event":"e","channel":"news","data":[1, 2]}`)
	f.want("POST", "/v1/publish/nowhere", f.key, "1", 200, `{"ok":true,"heard":false}`)
	f.want("POST", "/v1/publish/chat:1", f.key, "1", 200, `{"ok":true,"heard":true,"offset":1}`)
	f.want("POST", "/v1/publish", f.key, `{"messages":[{"channel":"news","data":1},{"channel":"","data":2},{"channel":"news","data":3}]}`, 200,
		`{"results":[{"ok":true,"heard":true},{"err":"invalid_channel_name"`)
	c.want(`{"event":"message","channel":"news","data":1}`)
	c.want(`{"event":"message","channel":"news","data":3}`)
}

// Each refusal has a code, and says what to mend.
func TestRefusals(t *testing.T) {
	h := locked()
	h.MaxMessageSize = 1000
	f := serve(t, map[string]*webrocket.HubHandler{"/": h, "/other": webrocket.NewJSONHandler()})
	narrow, digest, _ := httpapi.NewKey("narrow")
	reader, readDigest, _ := httpapi.NewKey("reader")
	slow, slowDigest, _ := httpapi.NewKey("slow")
	err := f.api.SetKeys(map[string][]httpapi.Key{"/": {
		{Name: "narrow", SHA256: digest, Channels: []string{"orders:*", "news"}, May: []string{"publish"}},
		{Name: "reader", SHA256: readDigest, Channels: []string{"*"}, May: []string{"read"}},
		{Name: "slow", SHA256: slowDigest, Channels: []string{"*"}, May: []string{"publish"}, Rate: 2},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, path, key, body string
		status                  int
		want                    string
	}{
		{"POST", "/v1/publish/news", "", "1", 401, `"err":"invalid_credentials","message":"want a key`},
		{"POST", "/v1/publish/news", "rk_x_y", "1", 401, `"message":"the server has no such key`},
		{"POST", "/v1/publish/news", f.key, "1", 401, `no such key`},
		{"POST", "/v1/publish/chat:1", narrow, "1", 403, `the key \"narrow\" is not for the channel \"chat:1\"; it is for orders:*, news`},
		{"POST", "/v1/publish/ordersx", narrow, "1", 403, `access_denied`},
		{"POST", "/v1/publish/orders:", narrow, "1", 200, `"ok":true`},
		{"POST", "/v1/publish/news", reader, "1", 403, `may not publish; it may read`},
		{"GET", "/v1/channels", narrow, "", 403, `may not read; it may publish`},
		{"GET", "/v1/channels", "", "", 401, `invalid_credentials`},
		{"POST", "/v1/publish/news?hub=/other", narrow, "1", 403, `the key \"narrow\" is not for the hub /other`},
		{"POST", "/v1/publish/news?hub=/nowhere", "", "1", 404, `invalid_hub`},
		{"POST", "/v1/publish/news?hub=/other", "", "1", 200, `"heard":false`}, // everybody may
		{"POST", "/v1/publish/news", narrow, "hello", 400, `a text needs quotes around it`},
		{"POST", "/v1/publish/news", narrow, "\xff", 400, `not UTF-8`},
		{"POST", "/v1/publish/news", narrow, `"` + strings.Repeat("x", 1000) + `"`, 413, `too_large`},
		{"POST", "/v1/publish/news", narrow, strings.Repeat(" ", 1<<20+1), 413, `1 MiB`},
		{"POST", "/v1/publish/" + strings.Repeat("x", 256), reader, "1", 403, `access_denied`},
		{"POST", "/v1/publish", narrow, `{"channel":"news","chanel":1}`, 400, `unknown field \"chanel\"`},
		{"POST", "/v1/publish", narrow, `{"channel":7}`, 400, `channel: want a string, not a number`},
		{"POST", "/v1/publish", narrow, `{"Channel":"news"}`, 400, `unknown field \"Channel\"`}, // capitals count
		{"POST", "/v1/publish", narrow, `{"channel":"a","channel":"news"}`, 400, `\"channel\" is there twice`},
		{"POST", "/v1/publish", narrow, `{"channel":"a","ch\u0061nnel":"news"}`, 400, `\"channel\" is there twice`},
		{"POST", "/v1/publish", narrow, `{"channel":null}`, 400, `channel: want a string, not null`},
		{"POST", "/v1/publish", narrow, `{"messages":null}`, 400, `messages: want an array of objects, not null`},
		{"POST", "/v1/publish", narrow, `{"messages":[{"channel":"news"},7]}`, 400, `messages[1]: want an object, not a number`},
		{"POST", "/v1/publish", narrow, `{"messages":[{"channel":"news","Data":1}]}`, 400, `messages[0]: unknown field \"Data\"`},
		{"POST", "/v1/publish", narrow, `{"messages":[{"channel":"news"}],"messages":[{"channel":"news"}]}`, 400, `twice`},
		{"POST", "/v1/publish", reader, `{"channel":"news"}`, 403, `may not publish; it may read`},
		{"POST", "/v1/publish?a;b", narrow, `{"channel":"news"}`, 400, `semicolon`},
		{"GET", "/v1/channels/news?a;b", reader, "", 400, `semicolon`},
		{"GET", "/v1/presence/news", reader, "", 404, `the channel has no presence`},
		{"GET", "/v1/presence/news", narrow, "", 403, `may not read`},
		{"GET", "/v1/presence/news?after=-1", reader, "", 400, `after: want a number`},
		{"POST", "/v1/publish", narrow, `{"channel":"news"} {}`, 400, `something follows`},
		{"POST", "/v1/publish", narrow, `{"channel":"news"} }`, 400, `something follows`},
		{"POST", "/v1/publish", narrow, `{"channel":"news"}` + "\r\n\t ", 200, `"ok":true`},
		{"POST", "/v1/publish/news", narrow, "\u00a01", 400, `not JSON`}, // white space, but none of JSON
		{"POST", "/v1/publish/news?event=a;b", narrow, "1", 400, `semicolon`},
		{"POST", "/v1/publish", narrow, `{"channel":"news"`, 400, `not JSON`},
		{"POST", "/v1/publish", narrow, `[]`, 400, `want an object, not an array`},
		{"POST", "/v1/publish", narrow, `{"messages":[]}`, 400, `want 1 to 100, not 0`},
		{"POST", "/v1/publish", narrow, `{"messages":[` + strings.Repeat(`{},`, 100) + `{}]}`, 400, `want 1 to 100, not 101`},
		{"POST", "/v1/publish", narrow, `{"messages":[{}],"channel":"news"}`, 400, `messages stands alone`},
		{"POST", "/v1/publish", narrow, `{"channel":"news","id":"` + strings.Repeat("x", 129) + `"}`, 400, `more than 128 bytes`},
		{"GET", "/v1/publish", narrow, "", 405, `this path takes POST, not \"GET\"`},
		{"PUT", "/v1/channels", narrow, "", 405, `this path takes GET, HEAD, not \"PUT\"`},
		{"POST", "/v1/publish/news?evnet=e", narrow, "1", 400, `unknown parameter \"evnet\"; want hub, event`},
		{"POST", "/v1/publish/news?event=e&event=f", narrow, "1", 400, `event is there twice`},
		{"POST", "/v1/publish?hub=/", narrow, `{"channel":"news"}`, 400, `unknown parameter \"hub\"; want none, since all is in the body`},
		{"GET", "/v1/channels?perfix=a", reader, "", 400, `want hub, prefix, limit`},
		{"GET", "/v1/channels/news?limit=1", reader, "", 400, `want hub`},
		{"GET", "/v1/history/chat:1?Limit=1", reader, "", 400, `want since, until, epoch, limit, hub`},
		{"GET", "/v1/presence/news?from=1", reader, "", 400, `want after, limit, hub`},
		{"GET", "/v1/", narrow, "", 404, `docs/http.md`},
		{"GET", "/v1/history/news", reader, "", 404, `not_available`},
		{"GET", "/v1/history/chat:1?since=1", reader, "", 400, `epoch goes with since`},
		{"GET", "/v1/history/chat:1?limit=1001", reader, "", 400, `0 to 1000`},
		{"GET", "/v1/channels?limit=0", reader, "", 400, `1 to 1000`},
		{"POST", "/v1/publish/a", slow, "1", 200, `"ok"`},
		{"POST", "/v1/publish/a", slow, "1", 200, `"ok"`},
		{"POST", "/v1/publish/a", slow, "1", 429, `the key \"slow\" may publish 2 events a second`},
	} {
		f.want(tt.method, tt.path, tt.key, tt.body, tt.status, tt.want)
	}
	if r, _ := f.ask("POST", "/v1/publish/a", slow, "1"); r.Header.Get("Retry-After") != "1" {
		t.Errorf("429: got %v, want Retry-After", r.Header)
	}
	if r, got := f.ask("POST", "/v1/publish", narrow, `{"messages":[{"channel":"news"}]}`, "Idempotency-Key: a"); r.StatusCode != 400 {
		t.Errorf("one id for a batch: got %s %s, want 400", r.Status, got)
	}
	if r, _ := f.ask("POST", "/v1/publish/a", "", "1"); r.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("401: got %v, want WWW-Authenticate", r.Header)
	}
	if r, _ := f.ask("GET", "/v1/publish", "", ""); r.Header.Get("Allow") != "POST" {
		t.Errorf("405: got %v, want Allow", r.Header)
	}
}

// A key comes as Bearer. What else there is, such as the password of a site, is no key,
// and is not taken for none.
func TestOtherAuthorization(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": webrocket.NewJSONHandler()})
	for _, field := range []string{"Basic YTpi", "Bearer", "Bearer ", "rk_shop_x", ""} {
		r, got := f.ask("POST", "/v1/publish/news", "", "1", "Authorization: "+field)
		if r.StatusCode != 401 || !strings.Contains(got, "want a key: Authorization: Bearer rk_") {
			t.Errorf("%q: got %s %s, want 401", field, r.Status, got)
		}
		if strings.Contains(got, "rk_shop") {
			t.Errorf("%q: got %s, want nothing of the key in it", field, got)
		}
	}
	if r, got := f.ask("POST", "/v1/publish/news", "", "1", "Authorization: bearer  "+f.key); r.StatusCode != 200 {
		t.Errorf("another spelling: got %s %s", r.Status, got)
	}
}

// Who may not publish anywhere, or names no stream, is told so before the body has come.
func TestRightsBeforeBody(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	reader, digest, _ := httpapi.NewKey("reader")
	if err := f.api.SetKeys(map[string][]httpapi.Key{"/": {
		{Name: "reader", SHA256: digest, Channels: []string{"*"}, May: []string{"read"}},
	}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, fields, begin string
		status              int
	}{
		{"/v1/publish", "", "", 401},
		{"/v1/publish/news", "", "", 401},
		{"/v1/publish", "Authorization: Bearer rk_x\r\n", "", 401},
		{"/v1/publish", "Authorization: Bearer " + reader + "\r\n", "", 403},
		{"/v1/publish/news", "Authorization: Bearer " + reader + "\r\n", "", 403},
		{"/v1/commands", "", `{"session":"x","seq":1}` + "\n", 404},
		{"/v1/commands", "", strings.Repeat("x", 1024), 400},
	} {
		conn, err := net.Dial("tcp", f.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: 1000000\r\n\r\n%s", tt.path, tt.fields, tt.begin)
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s %s: %v", tt.path, tt.fields, err)
		}
		if r.StatusCode != tt.status {
			t.Errorf("%s %s: got %s, want %d", tt.path, tt.fields, r.Status, tt.status)
		}
		_ = r.Body.Close()
		_ = conn.Close()
	}
}

// Names are read as over WebSocket, where half of a surrogate pair stands for U+FFFD.
func TestLoneSurrogate(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	c := f.subscribe("r", "\ufffd")
	f.want("POST", "/v1/publish", f.key, `{"channel":"\ud83d","data":"\ud83d"}`, 200, `"heard":true`)
	c.want(`{"event":"message","channel":"` + "\ufffd" + `","data":"\ud83d"}`)
}

// until asks until the answer has a status, and returns how often it has.
func (f *fixture) until(status int, key, body string) (asked int) {
	f.t.Helper()
	for asked < 10_000 {
		asked++
		if r, got := f.ask("POST", "/v1/publish/news", key, body); r.StatusCode == status {
			return asked
		} else if r.StatusCode != 200 {
			f.t.Fatalf("got %s %s", r.Status, got)
		}
	}
	f.t.Fatalf("no %d in %d answers", status, asked)
	return asked
}

// Who publishes without a key may send, from one address, what one connection may.
func TestKeylessRate(t *testing.T) {
	for name, limit := range map[string]func(*webrocket.HubHandler){
		"CommandRate": func(h *webrocket.HubHandler) { h.CommandRate = 1 },
		"ByteRate":    func(h *webrocket.HubHandler) { h.ByteRate = 10 },
	} {
		t.Run(name, func(t *testing.T) {
			h := webrocket.NewJSONHandler()
			limit(h)
			f := serve(t, map[string]*webrocket.HubHandler{"/": h})
			f.until(429, "", `"0123456789"`)
			for range 20 {
				f.want("POST", "/v1/publish/news", f.key, `"0123456789"`, 200, `"ok":true`) // the key has no Rate
			}
			dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			elsewhere := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}
			defer elsewhere.CloseIdleConnections()
			r, err := elsewhere.Post(f.url+"/v1/publish/news", "", strings.NewReader("1"))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if r.StatusCode != 200 {
				t.Errorf("from another address: got %s", r.Status)
			}
		})
	}
	f := serve(t, map[string]*webrocket.HubHandler{"/": webrocket.NewJSONHandler()})
	for range 50 {
		f.want("POST", "/v1/publish/news", "", "1", 200, `"ok":true`)
	}
}

// A reload is no way to publish more than a key's Rate.
func TestRateOutlivesReload(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	slow, digest, _ := httpapi.NewKey("slow")
	reload := func() {
		if err := f.api.SetKeys(map[string][]httpapi.Key{"/": {
			{Name: "slow", SHA256: digest, Channels: []string{"*"}, May: []string{"publish"}, Rate: 1},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	reload()
	for range 100 { // a second may pass in between, but not each time
		f.until(429, slow, "1")
		reload()
		if f.until(429, slow, "1") == 1 {
			return
		}
	}
	t.Error("after each reload the key may publish at once")
}

func TestPresence(t *testing.T) {
	h := locked()
	h.Rules = append(h.Rules, webrocket.Rule{Match: "room:*", Presence: webrocket.Presence{Mode: webrocket.PresenceClients}})
	f := serve(t, map[string]*webrocket.HubHandler{"/": h})
	f.want("GET", "/v1/presence/room:1", f.key, "", 200, `{"version":0,"clients":0,"users":0,"members":[],"more":false}`)
	for range 3 {
		f.subscribe("r", "room:1")
	}
	ask := func(query string) (p httpapi.PresenceAnswer) {
		t.Helper()
		r, got := f.ask("GET", "/v1/presence/room:1"+query, f.key, "")
		if err := json.Unmarshal([]byte(got), &p); err != nil || r.StatusCode != 200 || p.Clients != 3 || p.Version != 3 {
			t.Errorf("%s: got %s %s", query, r.Status, got)
		}
		return p
	}
	all := ask("")
	if len(all.Members) != 3 || all.More || all.Members[0].Client == "" || all.Members[2].At != 3 {
		t.Errorf("got %+v, want three members", all)
	}
	if first := ask("?limit=2"); len(first.Members) != 2 || !first.More {
		t.Errorf("the first page: got %+v", first)
	}
	if last := ask("?limit=2&after=2"); len(last.Members) != 1 || last.More || last.Members[0].Client != all.Members[2].Client {
		t.Errorf("the last page: got %+v, want the last of %+v", last, all)
	}
	if none := ask("?limit=0"); len(none.Members) != 0 {
		t.Errorf("only how many: got %+v", none)
	}
}

// A body whose end cannot be found will not be better next time.
func TestMalformedBody(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": webrocket.NewJSONHandler()})
	conn, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/publish/news HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n1\r\n0\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, _ := io.ReadAll(r.Body); r.StatusCode != 400 || !strings.Contains(string(body), "invalid_data") {
		t.Errorf("got %s %s, want 400", r.Status, body)
	}
}

// Everybody may publish without a key where everybody may over WebSocket, but pages
// only if the hub wants their origin.
func TestOpenHub(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.Origins = []string{"https://example.com"}
	h.Rules = []webrocket.Rule{{Match: "read:*", Publish: webrocket.Nobody}}
	f := serve(t, map[string]*webrocket.HubHandler{"/": h})
	f.want("POST", "/v1/publish/news", "", "1", 200, `"ok":true`)
	f.want("POST", "/v1/publish/read:1", "", "1", 401, `want a key`)
	f.want("POST", "/v1/publish/read:1", f.key, "1", 200, `"ok":true`)
	for origin, status := range map[string]int{"https://example.com": 200, "https://elsewhere.example": 403} {
		r, got := f.ask("POST", "/v1/publish/news", "", "1", "Origin: "+origin)
		if r.StatusCode != status {
			t.Errorf("%s: got %s %s, want %d", origin, r.Status, got, status)
		}
		if r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s may read the answer to a publish: %v", origin, r.Header)
		}
	}
	_, got := f.ask("POST", "/v1/publish", "", `{"messages":[{"channel":"news"}]}`, "Origin: https://elsewhere.example")
	if !strings.Contains(got, `[{"err":"access_denied"`) {
		t.Errorf("a batch from elsewhere: got %s", got)
	}
	f.want("GET", "/v1/channels/news", "", "", 401, `want a key`)
	f.want("GET", "/v1/history/news", "", "", 401, `want a key`)
}

// Where a login, a token or the program decides who may publish, it takes a key.
func TestClosedHubs(t *testing.T) {
	for name, shut := range map[string]func(*webrocket.HubHandler){
		"OnPublish": func(h *webrocket.HubHandler) {
			h.OnPublish = func(*webrocket.Session, webrocket.Event) error { return nil }
		},
		"OnConnect": func(h *webrocket.HubHandler) {
			h.OnConnect = func(*webrocket.HubRequest) (*webrocket.Identity, error) { return nil, nil }
		},
		"Tokens":  func(h *webrocket.HubHandler) { h.Tokens = &auth.Tokens{} },
		"Secrets": func(h *webrocket.HubHandler) { h.Secrets.ReadWrite = "rw" },
	} {
		t.Run(name, func(t *testing.T) {
			h := webrocket.NewJSONHandler()
			shut(h)
			f := serve(t, map[string]*webrocket.HubHandler{"/": h})
			f.want("POST", "/v1/publish/news", "", "1", 401, `want a key`)
		})
	}
}

// at is a webrocket.Handler of an endpoint that is there already.
type at struct{ *webrocket.Endpoint }

func (h at) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) { return h.Endpoint, nil }

// A hub that everybody may publish to over the native protocol is not open at the path
// of another protocol, and channels that are reserved for that are not open at all.
func TestOtherProtocols(t *testing.T) {
	h := webrocket.NewJSONHandler()
	var err error
	if h.Hub, err = webrocket.NewHub("/", webrocket.HubConfig{}); err != nil {
		t.Fatal(err)
	}
	app, err := pusher.New(h.Hub, pusher.Config{ID: "app", Keys: []pusher.Key{{Key: "k", Secret: "s"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	f := serve(t, map[string]*webrocket.HubHandler{"/": h}, func(s *webrocket.Server) {
		if err := s.Handle("/app/k", at{app.Endpoint(webrocket.Endpoint{})}); err != nil {
			t.Fatal(err)
		}
	})
	f.want("POST", "/v1/publish/news", "", "1", 200, `"ok":true`)
	f.want("POST", "/v1/publish/news?hub=/app/k", "", "1", 401, `want a key`)
	f.want("POST", "/v1/publish/private-news", "", "1", 401, `want a key`)
	f.want("POST", "/v1/publish/private-news", f.key, "1", 200, `"ok":true`)
	f.want("GET", "/v1/stream?hub=/app/k&protocol=7&channel=news", "", "", 404, `invalid_hub`)
}

// An event with an id is published once.
func TestIdempotency(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	c := f.subscribe("r", "chat:1")
	for i := range 3 {
		r, got := f.ask("POST", "/v1/publish/chat:1", f.key, "1", "Idempotency-Key: a")
		want, replayed := `{"ok":true,"heard":true,"offset":1}`, ""
		if i > 0 {
			want, replayed = `{"ok":true,"heard":true,"offset":1,"duplicate":true}`, "true"
		}
		if got != want || r.Header.Get("Idempotency-Replayed") != replayed {
			t.Errorf("%d: got %s %v, want %s", i, got, r.Header, want)
		}
	}
	f.want("POST", "/v1/publish", f.key, `{"channel":"chat:1","data":2,"id":"a"}`, 200, `"duplicate":true`)
	f.want("POST", "/v1/publish", f.key, `{"channel":"chat:1","data":2,"id":"b"}`, 200, `{"ok":true,"heard":true,"offset":2}`)
	c.want(`{"event":"message","channel":"chat:1","data":1,"offset":1}`)
	c.want(`{"event":"message","channel":"chat:1","data":2,"offset":2}`)
	other, digest, _ := httpapi.NewKey("other")
	if err := f.api.SetKeys(map[string][]httpapi.Key{"/": {
		{Name: "other", SHA256: digest, Channels: []string{"*"}, May: []string{"publish"}},
	}}); err != nil {
		t.Fatal(err)
	}
	f.want("POST", "/v1/publish", other, `{"channel":"chat:1","data":3,"id":"a"}`, 200, `{"ok":true,"heard":true,"offset":3}`)
}

// A client whose connection ends between its request and the answer asks again with
// the same id: the event is delivered once, and the order of each client is kept.
func TestBrokenPublishers(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	const publishers, events = 32, 60
	c := f.subscribe("r", "news")
	var clients sync.WaitGroup
	for p := range publishers {
		clients.Go(func() {
			var conn net.Conn
			var answer *bufio.Reader
			for i := 0; i < events; {
				if conn == nil {
					var err error
					if conn, err = net.Dial("tcp", f.Addr().String()); err != nil {
						t.Error(err)
						return
					}
					answer = bufio.NewReader(conn)
				}
				body := fmt.Sprintf(`[%d,%d]`, p, i)
				fmt.Fprintf(conn, "POST /v1/publish/news HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %d-%d\r\nContent-Length: %d\r\n\r\n%s",
					f.key, p, i, len(body), body)
				if (p+i)%7 == 3 { // killed before the answer, and not told whether it came to that
					_ = conn.Close()
					fresh, err := net.Dial("tcp", f.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					conn, answer = fresh, bufio.NewReader(fresh)
					fmt.Fprintf(conn, "POST /v1/publish/news HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %d-%d\r\nContent-Length: %d\r\n\r\n%s",
						f.key, p, i, len(body), body)
				}
				response, err := http.ReadResponse(answer, nil)
				if err != nil {
					t.Error(err)
					return
				}
				got, _ := io.ReadAll(response.Body)
				if response.StatusCode != 200 {
					t.Errorf("got %s %s", response.Status, got)
					return
				}
				i++
			}
			_ = conn.Close()
		})
	}
	var next [publishers]int
	for range publishers * events {
		var e struct{ Data [2]int }
		if err := json.Unmarshal([]byte(c.read()), &e); err != nil {
			t.Fatal(err)
		}
		if p, i := e.Data[0], e.Data[1]; next[p] != i {
			t.Fatalf("publisher %d: got %d, want %d", p, i, next[p])
		}
		next[e.Data[0]]++
	}
	clients.Wait()
	f.want("POST", "/v1/publish/news", f.key, `"end"`, 200, `"ok"`)
	c.want(`{"event":"message","channel":"news","data":"end"}`)
}

// Pages load the client from the server, and ask by its ETag whether it has changed.
func TestScript(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	r, body := f.ask("GET", "/v1/webrocket.js", "", "")
	if r.StatusCode != 200 || body != strings.TrimSpace(string(js.Bundle())) || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("got %s, %d bytes, %v", r.Status, len(body), r.Header)
	}
	if r, _ := f.ask("GET", "/v1/webrocket.js", "", "", "If-None-Match: "+r.Header.Get("ETag")); r.StatusCode != 304 {
		t.Errorf("with its ETag: got %s, want 304", r.Status)
	}
}

func TestReads(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	narrow, digest, _ := httpapi.NewKey("narrow")
	f.subscribe("r", "a:1", "a:2", "b:1", "chat:1")
	f.want("POST", "/v1/publish/chat:1", f.key, `"x"`, 200, `"ok"`)
	f.want("GET", "/v1/channels", f.key, "", 200, `{"channels":[{"channel":"a:1","subscribers":1,"published":0},{"channel":"a:2"`)
	f.want("GET", "/v1/channels?prefix=a:&limit=1", f.key, "", 200, `{"channels":[{"channel":"a:1","subscribers":1,"published":0}],"more":true}`)
	f.want("GET", "/v1/channels/a:1", f.key, "", 200, `{"channel":"a:1","subscribers":1,"published":0}`)
	f.want("GET", "/v1/channels/a:", f.key, "", 200, `{"channel":"a:","subscribers":0,"published":0}`)
	f.want("GET", "/v1/history/chat:1", f.key, "", 200, `"first":1,"top":1,"events":[{"event":"message","channel":"chat:1","data":"x","offset":1}],"more":false}`)
	f.want("GET", "/v1/history/chat:1?since=0&epoch=other", f.key, "", 410, `not_recovered`)
	f.subscribe("r", "a:11") // which begins with a channel of the key below
	if err := f.api.SetKeys(map[string][]httpapi.Key{"/": {{
		Name: "narrow", SHA256: digest, Channels: []string{"b:*", "a:1"}, May: []string{"read"},
	}}}); err != nil {
		t.Fatal(err)
	}
	f.want("GET", "/v1/channels", narrow, "", 200, `{"channels":[{"channel":"a:1","subscribers":1,"published":0},{"channel":"b:1","subscribers":1,"published":0}],"more":false}`)
	f.want("GET", "/v1/channels?prefix=a", narrow, "", 200, `{"channels":[{"channel":"a:1","subscribers":1,"published":0}],"more":false}`)
	f.want("GET", "/v1/channels?prefix=a&limit=1", narrow, "", 200, `"published":0}],"more":false}`) // nor is it told that there are others
	f.want("GET", "/v1/channels/a:2", narrow, "", 403, `access_denied`)
}

// Keys change while clients publish: whoever has a key of both before and after is
// never refused.
func TestKeysChangeUnderLoad(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	_, a, _ := httpapi.NewKey("a")
	_, b, _ := httpapi.NewKey("b")
	stays, digest, _ := httpapi.NewKey("stays")
	keys := func(other string) map[string][]httpapi.Key {
		return map[string][]httpapi.Key{"/": {
			{Name: "stays", SHA256: digest, Channels: []string{"*"}, May: []string{"publish"}},
			{Name: "other", SHA256: other, Channels: []string{"*"}, May: []string{"publish"}},
		}}
	}
	if err := f.api.SetKeys(keys(a)); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 50 {
				f.want("POST", "/v1/publish/news", stays, "1", 200, `"ok":true`)
			}
		})
	}
	for i := range 100 {
		if err := f.api.SetKeys(keys([]string{a, b}[i%2])); err != nil {
			t.Error(err)
		}
	}
	clients.Wait()
}

func TestBadKeys(t *testing.T) {
	_, digest, _ := httpapi.NewKey("a")
	good := httpapi.Key{Name: "a", SHA256: digest, Channels: []string{"*"}, May: []string{"read"}}
	for want, spoil := range map[string]func(*httpapi.Key){
		"Name":     func(k *httpapi.Key) { k.Name = "a b" },
		"SHA256":   func(k *httpapi.Key) { k.SHA256 = digest[:63] },
		"Channels": func(k *httpapi.Key) { k.Channels = []string{"orders.*"} },
		"May":      func(k *httpapi.Key) { k.May = []string{"write"} },
		"Rate":     func(k *httpapi.Key) { k.Rate = -1 },
	} {
		k := good
		spoil(&k)
		if err := k.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	_, err := httpapi.New(httpapi.Config{Server: webrocket.NewServer(":0"), Keys: map[string][]httpapi.Key{"/": {good, good}}})
	if err == nil || !strings.Contains(err.Error(), "two keys") {
		t.Errorf("two of one name: got %v", err)
	}
	if _, _, err := httpapi.NewKey(""); err == nil {
		t.Error("a key without a name: no error")
	}
}

// Whatever comes as a body is answered, and the connection goes on or ends.
func FuzzPublishBody(f *testing.F) {
	for _, s := range []string{`{"channel":"news"}`, `{"messages":[{"channel":"a","data":1}]}`, "", "null", `{"messages":null}`, `{"data":{}}`} {
		f.Add([]byte(s))
	}
	h := locked()
	s := webrocket.NewServer("127.0.0.1:0")
	if err := s.Handle("/", h); err != nil {
		f.Fatal(err)
	}
	key, digest, _ := httpapi.NewKey("a")
	api, err := httpapi.New(httpapi.Config{Server: s, Keys: map[string][]httpapi.Key{
		"/": {{Name: "a", SHA256: digest, Channels: []string{"*"}, May: []string{"publish"}}},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/v1/publish", "/v1/publish/news"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+key)
			w := newRecorder()
			api.ServeHTTP(w, r)
			var answer struct {
				OK      bool
				Err     string
				Message string
				Results []json.RawMessage
			}
			if err := json.Unmarshal(w.Bytes(), &answer); err != nil {
				t.Fatalf("%s %q: got %d %q", path, body, w.status, w.Bytes())
			}
			if ok := w.status == 200; ok != (answer.Err == "") || !ok && answer.Message == "" {
				t.Errorf("%s %q: got %d %s", path, body, w.status, w.Bytes())
			}
		}
	})
}

type recorder struct {
	bytes.Buffer
	header http.Header
	status int
}

func newRecorder() *recorder { return &recorder{header: make(http.Header)} }

func (r *recorder) Header() http.Header    { return r.header }
func (r *recorder) WriteHeader(status int) { r.status = status }
