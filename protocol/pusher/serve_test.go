package pusher_test

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// key is the first key of the application of tests, next the second.
var (
	key  = pusher.Key{Key: "app-key", Secret: "app-secret"}
	next = pusher.Key{Key: "next-key", Secret: "next-secret"}
)

// at is a webrocket.Handler of an endpoint that is there already.
type at struct{ *webrocket.Endpoint }

func (h at) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) { return h.Endpoint, nil }

// A world is a server with one application, whose hub is served at /native too.
type world struct {
	t      *testing.T
	server *webrocket.Server
	apps   *pusher.Apps
	app    *pusher.App
	hub    *webrocket.Hub
	api    string // URL of the HTTP API
}

// begin starts a server with an application. Its ID and keys are those of the tests.
func begin(t *testing.T, c pusher.Config) *world {
	t.Helper()
	return beginWith(t, c, webrocket.HubConfig{}, webrocket.Config{Loops: 2})
}

func beginWith(t *testing.T, c pusher.Config, hub webrocket.HubConfig, config webrocket.Config) *world {
	t.Helper()
	return beginServer(t, c, hub, func(s *webrocket.Server) { s.Config = config })
}

// beginServer is begin with a server that is set up before it starts.
func beginServer(t *testing.T, c pusher.Config, hub webrocket.HubConfig, setUp func(*webrocket.Server)) *world {
	t.Helper()
	h, err := webrocket.NewHub("app", hub)
	if err != nil {
		t.Fatal(err)
	}
	c.ID, c.Keys = "app-1", []pusher.Key{key, next}
	app, err := pusher.New(h, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	w := &world{t: t, app: app, hub: h, apps: new(pusher.Apps), server: webrocket.NewServer("127.0.0.1:0")}
	setUp(w.server)
	off := pusher.Config{ID: "off", Keys: []pusher.Key{{Key: "off-key", Secret: "s"}}}
	w.apps.Set([]*pusher.App{app}, off)
	handlers := map[string]webrocket.Handler{w.apps.StrangersPath(): at{w.apps.Strangers()}}
	for _, path := range w.apps.Paths(c) {
		handlers[path] = at{app.Endpoint(webrocket.Endpoint{Compression: true, MaxQueuedBytes: 64 << 20})}
	}
	native := webrocket.NewJSONHandler()
	native.Hub = h
	handlers["/native"] = native
	for path, handler := range handlers {
		if err := w.server.Handle(path, handler); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	api := httptest.NewServer(w.apps)
	t.Cleanup(api.Close)
	w.api = api.URL
	return w
}

// A client is one connection.
type client struct {
	t      *testing.T
	ws     *websocket.Conn
	socket string // its socket id
}

// dial connects to a path.
func (w *world) dial(path string, header http.Header) *client {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	ws, answer, err := websocket.Dial(ctx, "ws://"+w.server.Addr().String()+path, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		w.t.Fatalf("Dial %s: %v (%v)", path, err, answer)
	}
	ws.SetReadLimit(1 << 20)
	w.t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t: w.t, ws: ws}
}

// connect is dial to the application, as pusher-js does it.
func (w *world) connect() *client {
	w.t.Helper()
	c := w.dial("/app/app-key?protocol=7&client=js&version=8.6.0&flash=false", nil)
	c.established()
	return c
}

// established takes the first message of the server.
func (c *client) established() {
	c.t.Helper()
	var m struct{ Event, Data string }
	var data struct {
		Socket  string `json:"socket_id"`
		Timeout int    `json:"activity_timeout"`
	}
	text := c.next()
	if json.Unmarshal([]byte(text), &m) != nil || m.Event != "pusher:connection_established" || json.Unmarshal([]byte(m.Data), &data) != nil {
		c.t.Fatalf("got %s, want that the connection is established", text)
	}
	if data.Timeout <= 0 {
		c.t.Errorf("the activity_timeout is %d: pusher-js would end the connection", data.Timeout)
	}
	c.socket = data.Socket
}

// say sends messages, in which SOCKET stands for the socket id.
func (c *client) say(messages ...string) {
	c.t.Helper()
	for _, m := range messages {
		if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(m)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// next returns the next message.
func (c *client) next() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, got, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatalf("want a message, got %v", err)
	}
	return string(got)
}

// want expects messages, in this order. Each is a whole one, or begins with "~": then
// the rest must be a part of it.
func (c *client) want(messages ...string) {
	c.t.Helper()
	for _, want := range messages {
		got := c.next()
		part, loose := strings.CutPrefix(want, "~")
		if got != want && !(loose && strings.Contains(got, part)) {
			c.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// quiet expects that nothing more has come: the answer to a ping is next.
func (c *client) quiet() {
	c.t.Helper()
	c.say(`{"event":"pusher:ping","data":{}}`)
	c.want(`{"event":"pusher:pong","data":"{}"}`)
}

// wantClose expects the end with a code.
func (c *client) wantClose(code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, got, err := c.ws.Read(ctx)
	if websocket.CloseStatus(err) != websocket.StatusCode(code) {
		c.t.Fatalf("got %s, %v, want the end with %d", got, err, code)
	}
}

// quote returns a JSON string.
func quote(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// subscribe returns the message that subscribes to a channel, signed if it needs that.
func (c *client) subscribe(channel string, data ...string) string {
	args := `"channel":` + quote(channel) + `,"auth":""`
	if strings.HasPrefix(channel, "private-") || strings.HasPrefix(channel, "presence-") {
		signed := strings.Join(data, "")
		args = `"channel":` + quote(channel) + `,"auth":` + quote(key.SignChannel(c.socket, channel, signed))
		if signed != "" {
			args += `,"channel_data":` + quote(signed)
		}
	}
	return `{"event":"pusher:subscribe","data":{` + args + `}}`
}

// join subscribes, which must succeed.
func (c *client) join(channel string, data ...string) {
	c.t.Helper()
	c.say(c.subscribe(channel, data...))
	c.want(`~"event":"pusher_internal:subscription_succeeded","channel":` + quote(channel))
}

// signIn returns the message that signs a user in.
func (c *client) signIn(data string) string {
	return `{"event":"pusher:signin","data":{"auth":` + quote(key.SignUser(c.socket, data)) + `,"user_data":` + quote(data) + `}}`
}

func succeeded(channel string) string {
	return `{"event":"pusher_internal:subscription_succeeded","channel":` + quote(channel) + `,"data":"{}"}`
}

// An answer is one of the HTTP API.
type answer struct {
	status int
	body   string
	header http.Header
}

// call sends a signed request to the HTTP API. query is not escaped.
func (w *world) call(method, path, query, body string) answer {
	w.t.Helper()
	return w.request(method, path, w.sign(key, method, path, query, body, time.Now()), body)
}

// sign returns a query with what signs the request, by code that is not the server's.
func (w *world) sign(k pusher.Key, method, path, query, body string, now time.Time) string {
	q, err := url.ParseQuery(query)
	if err != nil {
		w.t.Fatal(err)
	}
	q.Set("auth_key", k.Key)
	q.Set("auth_timestamp", strconv.FormatInt(now.Unix(), 10))
	q.Set("auth_version", "1.0")
	if body != "" {
		sum := md5.Sum([]byte(body))
		q.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	text, _ := url.QueryUnescape(q.Encode())
	mac := hmac.New(sha256.New, []byte(k.Secret))
	io.WriteString(mac, method+"\n"+path+"\n"+text)
	q.Set("auth_signature", hex.EncodeToString(mac.Sum(nil)))
	return q.Encode()
}

// request sends a request as it is.
func (w *world) request(method, path, query, body string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.api+path+"?"+query, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer got.Body.Close()
	text, _ := io.ReadAll(got.Body)
	return answer{got.StatusCode, strings.TrimSpace(string(text)), got.Header}
}

// publish publishes by the HTTP API, which must succeed.
func (w *world) publish(body string) {
	w.t.Helper()
	if got := w.call("POST", "/apps/app-1/events", "", body); got.status != 200 || got.body != "{}" {
		w.t.Fatalf("publish %s: got %+v", body, got)
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

// serveAPI serves the HTTP API of other applications instead.
func (w *world) serveAPI(apps *pusher.Apps) {
	api := httptest.NewServer(apps)
	w.t.Cleanup(api.Close)
	w.api = api.URL
}
