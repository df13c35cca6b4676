// Package console answers the question: how does an operator see and steer a
// running server?
//
// New returns an http.Handler for a port of its own. The main path: console.go
// and host.go (which handler a request gets, and whether it is allowed),
// health.go (probes), metrics.go (what Prometheus reads), api.go (what is
// there, as JSON), cluster.go and nodes.go (the nodes of a cluster), apps.go (the
// applications for Pusher clients), history.go (the events
// that a channel keeps), presence.go (who is in a channel), act.go (what changes
// something) and object.go (what it is asked in). openapi.yaml describes all of it;
// a test holds the two together.
//
// # Ownership
//
// Every request runs on a goroutine of net/http and asks the event loops by
// posting to them; it waits for them for two seconds at most.
//
// # Limits
//
// A request's body has at most 8 MiB, a batch at most 1,000 events, a list at
// most 1,000 entries.
package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/httpapi"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// loopTimeout is how long a request waits for the event loops.
const loopTimeout = 2 * time.Second

// OpenAPI is the description of the requests that New's handler takes.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Config says what a console shows.
type Config struct {
	// Server is the one that is operated. It must be set.
	Server *webrocket.Server

	// Token is what /api/ and /debug/ want as a bearer token. If empty, requests
	// that only read need none, and those that change something are refused.
	Token string

	// Host is a name of the machine that requests may be for if there is no Token,
	// beside localhost and addresses. If empty, none.
	Host string

	// Profiling opens /debug/pprof/.
	Profiling bool

	// CertificateExpiry returns when the first certificate of the chain that clients
	// are sent expires, the zero time if there is no TLS. If nil, there is none.
	CertificateExpiry func() time.Time

	// KeySets returns the keys for tokens that are fetched. The server is not ready
	// before each of them has been fetched once. If nil, there are none.
	KeySets func() []*auth.KeySet

	// Cluster returns what this process knows of its cluster. If nil, it belongs to
	// none.
	Cluster func() cluster.Stats

	// Remove takes a node that does not come back out of those that store histories, as that of
	// a cluster.Node does. If nil, there is no cluster.
	Remove func(ctx context.Context, node string) (whole bool, err error)

	// Apps returns what the applications for Pusher clients hold. If nil, there are none.
	Apps func() []pusher.AppStats

	// API is the HTTP API of the server, which is served here too, below /v1/. If nil,
	// it is not.
	API *httpapi.API

	// Log receives what was changed through the console. It must be set.
	Log *slog.Logger
}

type console struct {
	Config
	timeout time.Duration     // how long a request waits for the event loops
	local   map[string]getter // what other nodes can ask, by path
}

// New returns the console of a server.
func New(config Config) http.Handler {
	return (&console{Config: config, timeout: loopTimeout}).handler()
}

func (c *console) handler() http.Handler {
	mux := http.NewServeMux()
	c.local = make(map[string]getter)
	mux.HandleFunc("GET /livez", c.live)
	mux.HandleFunc("GET /readyz", c.ready)
	mux.Handle("GET /metrics", c.metrics())
	mux.HandleFunc("GET /openapi.yaml", describe)
	for path, get := range map[string]getter{
		"/api/loops": c.loops, "/api/cluster": c.cluster, "/api/hubs": c.hubs, "/api/apps": c.apps,
		"/api/connections": c.connections, "/api/connections/slowest": c.slowest,
	} {
		mux.HandleFunc("GET "+path, c.read(c.perNode(path, get, nil)))
	}
	mux.HandleFunc("GET /api/channels", c.read(c.perNode("/api/channels", c.channels, mergedChannels)))
	mux.HandleFunc("GET /api/patterns", c.read(c.perNode("/api/patterns", c.patterns, mergedPatterns)))
	mux.HandleFunc("GET /api/history", c.change(c.perNode("/api/history", c.history, nil))) // nobody reads events without a token
	mux.HandleFunc("GET /api/presence", c.change(c.perNode("/api/presence", c.presence, nil)))
	c.serveNodes()
	mux.HandleFunc("POST /api/publish", c.change(c.publish))
	mux.HandleFunc("POST /api/disconnect", c.change(c.disconnect))
	mux.HandleFunc("POST /api/revoke", c.change(c.revoke))
	mux.HandleFunc("POST /api/subscribe", c.change(c.subscribe))
	mux.HandleFunc("POST /api/unsubscribe", c.change(c.unsubscribe))
	mux.HandleFunc("POST /api/debug", c.change(c.debug))
	mux.HandleFunc("POST /api/cluster/remove", c.change(c.remove))
	if c.API != nil {
		mux.HandleFunc(httpapi.Prefix, c.api)
	}
	if c.Profiling {
		mux.HandleFunc("/debug/pprof/", c.guarded(pprof.Index))
		mux.HandleFunc("/debug/pprof/cmdline", c.guarded(pprof.Cmdline))
		mux.HandleFunc("/debug/pprof/profile", c.guarded(pprof.Profile))
		mux.HandleFunc("/debug/pprof/symbol", c.guarded(pprof.Symbol))
		mux.HandleFunc("/debug/pprof/trace", c.guarded(pprof.Trace))
	}
	return mux
}

// api answers what is for the HTTP API, which has keys of its own.
func (c *console) api(w http.ResponseWriter, r *http.Request) {
	if err := c.misnamed(r); err != nil {
		reply(w, nil, err)
		return
	}
	c.API.ServeHTTP(w, r)
}

func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(OpenAPI)
}

// A failure is an answer that is not what was asked for.
type failure struct {
	status int
	what   string
}

func (f *failure) Error() string { return f.what }

// read answers a request that changes nothing with what get returns.
func (c *console) read(get func(*http.Request) (any, error)) http.HandlerFunc {
	return c.guarded(func(w http.ResponseWriter, r *http.Request) {
		answer, err := get(r)
		reply(w, answer, err)
	})
}

// change answers a request that does something, if there is a token.
func (c *console) change(act func(*http.Request) (any, error)) http.HandlerFunc {
	if c.Token == "" {
		return func(w http.ResponseWriter, _ *http.Request) {
			reply(w, nil, &failure{http.StatusForbidden, "the server has no admin token, so nothing can be changed here, and no events read; set ROCKET_ADMIN_TOKEN or AdminToken"})
		}
	}
	return c.read(act)
}

// guarded asks for the token, or if there is none for a host that is ours.
func (c *console) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.Token != "" && !c.authorized(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			reply(w, nil, &failure{http.StatusUnauthorized, "want the admin token: Authorization: Bearer TOKEN"})
			return
		}
		if err := c.misnamed(r); err != nil {
			reply(w, nil, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), c.timeout)
		defer cancel()
		if strings.HasPrefix(r.URL.Path, "/debug/") {
			ctx = r.Context() // a profile takes as long as was asked for
		}
		next(w, r.WithContext(ctx))
	}
}

// authorized compares digests, so that the time does not tell how much is right.
func (c *console) authorized(r *http.Request) bool {
	// "It uses a case-insensitive token to identify the authentication scheme" (RFC 9110 §11.1).
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	ok := strings.EqualFold(scheme, "Bearer")
	want, got := sha256.Sum256([]byte(c.Token)), sha256.Sum256([]byte(strings.TrimLeft(token, " ")))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && ok
}

// reply sends an answer, or says why there is none.
func reply(w http.ResponseWriter, answer any, err error) {
	status := http.StatusOK
	if err != nil {
		status, answer = statusOf(err), errorAnswer{err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// If the answer cannot be written, the client has gone.
	_ = json.NewEncoder(w).Encode(answer)
}

type errorAnswer struct {
	Error string `json:"error"`
}
