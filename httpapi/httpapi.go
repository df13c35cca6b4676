// Package httpapi answers the question: how does a program use a hub without
// WebSocket?
//
// An API is an http.Handler for everything below /v1/, to be mounted in
// Server.HTTP. The main path: httpapi.go (which request is for what), key.go (who
// may ask), crowd.go (how much may come without a key), publish.go, decode.go, read.go
// and presence.go (what backends ask), stream.go and commands.go (a connection for
// clients that WebSocket does not reach, as Server-Sent Events and POST), pipe.go and
// sse.go (what such a stream is made of), problem.go (how a request is refused).
// openapi.yaml describes all of it; a test holds the two together.
//
// # Ownership
//
// Every request runs on a goroutine of net/http. A stream is a WebSocket connection
// within the process (Server.Pipe), so rights, order, recovery and what happens to
// slow readers are those of the hub. Methods of API may be called from any
// goroutine.
//
// # Limits
//
// The body of a request has at most 1 MiB, a batch at most 100 events, a POST to
// /v1/commands at most 64 commands.
package httpapi

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/js"
)

// OpenAPI is the description of the requests that an API takes.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Prefix is what the paths of all requests for an API begin with.
const Prefix = "/v1/"

const (
	bodyMax     = 1 << 20
	bodyTimeout = 10 * time.Second
)

// Config says what an API serves.
type Config struct {
	// Server has the hubs. It must be set.
	Server *webrocket.Server

	// Keys open the hubs, by path. Without a key a hub takes only the events that
	// everybody may publish, and tells nothing.
	Keys map[string][]Key

	// Log receives what an operator should know. If nil, slog.Default().
	Log *slog.Logger
}

// API is the HTTP API of a Server. Make it with New.
type API struct {
	server *webrocket.Server
	log    *slog.Logger
	routes []route
	keys   atomic.Pointer[keyring]
	crowd  crowd
	counts counts

	mu      sync.Mutex
	streams map[string]*stream // by session, guarded by mu
}

// New returns the API of a server, or what is wrong with its keys.
func New(c Config) (*API, error) {
	a := &API{server: c.Server, log: c.Log, streams: make(map[string]*stream)}
	if a.log == nil {
		a.log = slog.Default()
	}
	a.routes = routesOf(a)
	return a, a.SetKeys(c.Keys)
}

// A route is what one kind of request is answered by.
type route struct {
	name    string                                                 // in metrics: the path, without what stands for a channel
	methods string                                                 // "GET", or "POST"; separated by ", "
	cors    bool                                                   // pages of other origins may read the answer
	answer  func(http.ResponseWriter, *http.Request, string) error // the last is the channel in the path
}

// routesOf returns all routes of an API.
func routesOf(a *API) []route {
	return []route{
		{"/v1/publish/{channel}", "POST", false, a.publishData},
		{"/v1/publish", "POST", false, a.publishBody},
		{"/v1/channels", "GET, HEAD", false, a.channels},
		{"/v1/channels/{channel}", "GET, HEAD", false, a.channel},
		{"/v1/history/{channel}", "GET, HEAD", false, a.history},
		{"/v1/presence/{channel}", "GET, HEAD", false, a.presence},
		{"/v1/stream", "GET", true, a.stream},
		{"/v1/commands", "POST", true, a.commands},
		{"/v1/webrocket.js", "GET, HEAD", false, script},
		{"/v1/openapi.yaml", "GET, HEAD", true, describe},
	}
}

// routeOf returns the route of a request, nil if there is none, and the channel in
// its path: all that follows, so that a name may have a "/".
func (a *API) routeOf(path string) (*route, string) {
	for i := range a.routes {
		r := &a.routes[i]
		prefix, ok := strings.CutSuffix(r.name, "{channel}")
		if !ok {
			if path == r.name {
				return r, ""
			}
			continue
		}
		if rest, ok := strings.CutPrefix(path, prefix); ok && rest != "" {
			if channel, err := url.PathUnescape(rest); err == nil {
				return r, channel
			}
		}
	}
	return nil, ""
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, channel := a.routeOf(r.URL.EscapedPath())
	counted := &countedWriter{ResponseWriter: w}
	name := "none"
	defer func() { a.counts.add(name, counted.status) }()
	if route == nil {
		refuse(counted, r, &problem{http.StatusNotFound, "not_found", "there is nothing at this path; docs/http.md has what there is", 0})
		return
	}
	name = route.name
	if route.cors && allowOrigin(counted, r) {
		return
	}
	var err error
	if isOneOf(r.Method, route.methods) {
		err = route.answer(counted, r, channel)
	} else {
		counted.Header().Set("Allow", route.methods)
		err = &problem{http.StatusMethodNotAllowed, "method_not_allowed", fmt.Sprintf("this path takes %s, not %.20q", route.methods, r.Method), 0}
	}
	switch {
	case err == nil:
	case r.Context().Err() != nil:
		counted.status = statusGone
	default:
		refuse(counted, r, err)
	}
}

func isOneOf(method, methods string) bool {
	for m := range strings.SplitSeq(methods, ", ") {
		if m == method {
			return true
		}
	}
	return false
}

// allowOrigin lets the page that sent a request read the answer, whatever it is. The
// hub's own list of origins is checked elsewhere. It reports whether the request was
// only a page's question whether it may ask.
func allowOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Retry-After")
	}
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// script is GET /v1/webrocket.js: the JavaScript client that fits this server.
func script(w http.ResponseWriter, r *http.Request, _ string) error {
	js.Handler().ServeHTTP(w, r)
	return nil
}

func describe(w http.ResponseWriter, _ *http.Request, _ string) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, err := w.Write(OpenAPI)
	return err
}

// bodyOf returns the body of a request, which has bodyTimeout to arrive.
func bodyOf(w http.ResponseWriter, r *http.Request) io.Reader {
	// Where a server has no deadlines, as in a test, the body comes without one.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	return http.MaxBytesReader(w, r.Body, bodyMax)
}

// bodyAtOnce is the longest body for which room is made before it comes.
const bodyAtOnce = 64 << 10

// readBody reads the body of a request.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	from := bodyOf(w, r)
	if r.ContentLength <= 0 || r.ContentLength > bodyAtOnce {
		return readAll(from)
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(from, body); err != nil {
		return nil, bodyProblem(err)
	}
	return checked(body)
}

// readAll reads a body, or the rest of it.
func readAll(from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(from)
	if err != nil {
		return nil, bodyProblem(err)
	}
	return checked(body)
}

func checked(body []byte) ([]byte, error) {
	if !utf8.Valid(body) {
		return nil, invalid("the body is not UTF-8")
	}
	return body, nil
}

// bodyProblem is the problem that a body cannot be read.
func bodyProblem(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &problem{http.StatusRequestEntityTooLarge, "too_large", "the body has more than 1 MiB", 0}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.ErrUnexpectedEOF):
		return &problem{http.StatusRequestTimeout, "timeout", "the body has not come whole within 10 s", 0}
	}
	return invalid("the body: %v", err)
}

// reply sends an answer as JSON.
func reply(w http.ResponseWriter, status int, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("httpapi: %w", err)
	}
	return send(w, status, body)
}

// What the fields of each answer share. They are not modified.
var (
	typeJSON = []string{"application/json"}
	noStore  = []string{"no-store"}
)

// send sends an answer that is JSON.
func send(w http.ResponseWriter, status int, body []byte) error {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = typeJSON, noStore
	w.WriteHeader(status)
	// If the answer cannot be written, the client has gone.
	_, _ = w.Write(append(body, '\n'))
	return nil
}
