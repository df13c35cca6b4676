package pusher

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
)

// Apps are the applications of a server: their HTTP API, and what answers a client
// that asks for one which is not there. The zero value has none. Any goroutine.
type Apps struct {
	// Prefix is a path before /app/ and /apps/, such as "/pusher", "" for none. It does
	// not change once the Apps are in use.
	Prefix string

	table atomic.Pointer[appTable]
}

// appTable is not modified once it is in use.
type appTable struct {
	byID     map[string]*App
	disabled map[string]bool // ids and keys
}

// Set replaces the applications. Those in disabled are known, and refuse everything.
func (s *Apps) Set(apps []*App, disabled ...Config) {
	t := &appTable{make(map[string]*App), make(map[string]bool)}
	for _, a := range apps {
		t.byID[a.settings.Load().ID] = a
	}
	for _, c := range disabled {
		t.disabled["id "+c.ID] = true
		for _, k := range c.Keys {
			t.disabled["key "+k.Key] = true
		}
	}
	s.table.Store(t)
}

// AppStats is what an application holds, and what became of its webhooks' events.
type AppStats struct {
	App         string // its ID
	Hub         string // the name of its hub
	Connections int
	Channels    int // that have subscribers
	CachedBytes int // of the last events of cache channels
	Webhooks    []HookStats
}

// Stats returns what each application holds, in the order of their IDs. Any goroutine.
func (s *Apps) Stats() []AppStats {
	all := []AppStats{}
	if t := s.table.Load(); t != nil {
		for _, id := range slices.Sorted(maps.Keys(t.byID)) {
			all = append(all, t.byID[id].stats())
		}
	}
	return all
}

func (a *App) stats() AppStats {
	return AppStats{
		App: a.settings.Load().ID, Hub: a.hub.Name(), Connections: int(a.open.Load()), Channels: a.channels.count(),
		CachedBytes: a.cache.size(), Webhooks: a.hookStats(),
	}
}

// Paths returns where the clients of an application connect: a path for each key.
func (s *Apps) Paths(c Config) []string {
	var all []string
	for _, k := range c.Keys {
		all = append(all, s.Prefix+"/app/"+k.Key)
	}
	return all
}

// StrangersPath is the path of all clients that ask for an application which is not
// there, and Strangers its endpoint: they are told so by a close code.
func (s *Apps) StrangersPath() string { return s.Prefix + "/app/{key}" }

// Strangers returns the endpoint of StrangersPath.
func (s *Apps) Strangers() *engine.Endpoint {
	e := endpoint(strangers{s}, engine.Endpoint{})
	return &e
}

// strangers answers clients of applications that are not there.
type strangers struct{ apps *Apps }

func (p strangers) OnOpen(c *engine.Conn, r *codec.Request) {
	if t := p.apps.table.Load(); t != nil && t.disabled["key "+r.LastSegment()] {
		turnAway(c, codeDisabled, "the application is disabled")
		return
	}
	turnAway(c, codeNoApp, "there is no application with this key")
}

func (strangers) OnMessage(*engine.Conn, codec.Opcode, []byte) {}

func (strangers) OnClose(*engine.Conn, error) {}

// APIPath returns the path below which ServeHTTP answers.
func (s *Apps) APIPath() string { return s.Prefix + "/apps/" }

// ServeHTTP is the HTTP API, under APIPath.
func (s *Apps) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// With its escapes, so that the name of something may have what separates names.
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), s.APIPath())
	if !ok {
		http.NotFound(w, r)
		return
	}
	id, rest, _ := strings.Cut(rest, "/")
	t := s.table.Load()
	switch {
	case t != nil && t.disabled["id "+id]:
		http.Error(w, "the application is disabled", http.StatusForbidden)
	case t == nil || t.byID[id] == nil:
		http.Error(w, "there is no application with this id", http.StatusNotFound)
	default:
		t.byID[id].serveAPI(w, r, s.Prefix, rest)
	}
}
