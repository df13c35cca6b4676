package console

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/nu7hatch/webrocket"
)

const token = "topsecret"

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// operator is an HTTP client of a console that holds every exchange against
// openapi.yaml.
type operator struct {
	t      *testing.T
	server *webrocket.Server
	url    string
	host   string // that requests are for, if it is not that of url
	ws     string
	log    *logText
	router routers.Router
	seen   map[string]bool // "GET /api/hubs 200"
}

// operate runs a server with the hub "/" and its console, which change may
// alter.
func operate(t *testing.T, change func(*console, *webrocket.Server)) *operator {
	t.Helper()
	log := &logText{}
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.NewJSONHandler(log, nil))
	s.Config.Loops = 2
	h := webrocket.NewJSONHandler()
	h.Channels = []string{"news"}
	h.Rules = []webrocket.Rule{{Match: "chat:*", History: webrocket.History{Size: 3, TTL: time.Hour}}, {
		Match: "room:*", Presence: webrocket.Presence{Mode: webrocket.PresenceClients},
	}}
	h.MaxMessageSize = 4096
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	c := &console{Config: Config{Server: s, Token: token, Log: s.Log}, timeout: time.Minute}
	if change != nil {
		change(c, s)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
	})
	web := httptest.NewServer(c.handler())
	t.Cleanup(web.Close)
	return &operator{
		t: t, server: s, url: web.URL, ws: "ws://" + s.Addr().String(), log: log,
		router: newRouter(t), seen: map[string]bool{},
	}
}

func newRouter(t *testing.T) routers.Router {
	t.Helper()
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	router, err := gorillamux.NewRouter(description(t))
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// description is openapi.yaml, which must be valid.
func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// logText is what has been logged.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// ask makes a request with the token, and returns the answer's body.
func (o *operator) ask(method, path, body string, status int) string {
	o.t.Helper()
	return o.askAs(token, method, path, body, status)
}

func (o *operator) askAs(token, method, path, body string, status int) string {
	o.t.Helper()
	request, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	request.Host = o.host
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		o.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if response.StatusCode != status {
		o.t.Errorf("%s %s: got %s %s, want %d", method, path, response.Status, answer, status)
	}
	o.holdAgainstDescription(request, body, response, answer)
	return string(answer)
}

// holdAgainstDescription checks that openapi.yaml allows the answer, and the
// request if it was granted.
func (o *operator) holdAgainstDescription(request *http.Request, body string, response *http.Response, answer []byte) {
	o.t.Helper()
	relative := request.Clone(o.t.Context())
	relative.URL.Scheme, relative.URL.Host = "", ""
	relative.Body = io.NopCloser(strings.NewReader(body))
	route, params, err := o.router.FindRoute(relative)
	if err != nil {
		o.t.Errorf("%s %s: openapi.yaml: %v", request.Method, request.URL, err)
		return
	}
	o.seen[route.Method+" "+route.Path+" "+response.Status[:3]] = true
	input := &openapi3filter.RequestValidationInput{
		Request: relative, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true,
			AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
		},
	}
	if response.StatusCode == http.StatusOK {
		if err := openapi3filter.ValidateRequest(o.t.Context(), input); err != nil {
			o.t.Errorf("%s %s: the server takes what openapi.yaml does not: %v", request.Method, request.URL, err)
		}
	}
	err = openapi3filter.ValidateResponse(o.t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: response.StatusCode, Header: response.Header,
		Body: io.NopCloser(bytes.NewReader(answer)), Options: input.Options,
	})
	if err != nil {
		o.t.Errorf("%s %s: the answer %s is not what openapi.yaml says: %v", request.Method, request.URL, answer, err)
	}
}

// get decodes the answer to a GET.
func get[T any](o *operator, path string) T {
	o.t.Helper()
	var answer T
	text := o.ask(http.MethodGet, path, "", http.StatusOK)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		o.t.Fatalf("%s: %v", path, err)
	}
	return answer
}

// client is a WebSocket client of the server.
type client struct {
	t    *testing.T
	conn *websocket.Conn
}

// dial opens a connection that is logged in and hears the channels.
func (o *operator) dial(channels ...string) *client {
	o.t.Helper()
	conn, _, err := websocket.Dial(o.t.Context(), o.ws, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = conn.CloseNow() })
	c := &client{o.t, conn}
	c.do(`{"auth":{"access":"read-write","secret":""}}`, `{"ok":true}`)
	for _, channel := range channels {
		c.do(`{"subscribe":{"channel":"`+channel+`"}}`, `{"ok":true}`)
	}
	return c
}

// do sends a message and wants the next one to be want.
func (c *client) do(message, want string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
	c.want(want)
}

func (c *client) want(want string) {
	c.t.Helper()
	if got := c.next(); terse(got) != want {
		c.t.Fatalf("got %s, want %s", got, want)
	}
}

// next reads a message.
func (c *client) next() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, got, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(got)
}

// terse returns a reply to a login without what it says of the connection, which is
// another thing each time.
func terse(message string) string {
	if head, _, ok := strings.Cut(message, `,"client":"`); ok && strings.HasPrefix(head, `{"ok":true`) {
		return head + "}"
	}
	return message
}

// wantClose reads up to the end of the connection.
func (c *client) wantClose(code websocket.StatusCode, reason string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, message, err := c.conn.Read(ctx)
	want := websocket.CloseError{Code: code, Reason: reason}
	if got := websocket.CloseStatus(err); got != code || !strings.Contains(err.Error(), reason) {
		c.t.Errorf("got %s, %v, want %v", message, err, want)
	}
}

// send opens a connection and sends one message.
func (o *operator) send(message string) {
	o.t.Helper()
	conn, _, err := websocket.Dial(o.t.Context(), o.ws, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = conn.CloseNow() })
	if err := conn.Write(o.t.Context(), websocket.MessageText, []byte(message)); err != nil {
		o.t.Fatal(err)
	}
}

// refused tries to connect to a path.
func (o *operator) refused(path string) (status int, err error) {
	_, response, err := websocket.Dial(o.t.Context(), o.ws+path, nil)
	if response != nil {
		status = response.StatusCode
	}
	return status, err
}
