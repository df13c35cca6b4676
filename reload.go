package webrocket

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/protocol"
)

// Reload makes a running server serve these handlers, by path, and obey the
// limits and times of the Config; the rest of the Config stays. If something is
// wrong with a handler, it returns that as an error and changes nothing.
//
// A HubHandler takes the place of one at the same path with the same Codec and
// a hub of the same name, which is the path if Hub is nil: the hub, its
// connections, channels and subscriptions stay and obey the new settings. A
// connection that logged in with a secret that is gone, or with a token whose key is
// gone, is closed with 4401. Subscriptions that other Rules do not allow any more end, and
// their clients are told.
// Handlers of other kinds, and hubs of other names, begin anew: their
// connections stay if the Endpoint's Protocol equals the one before, and are
// closed with 1001 otherwise. The handlers must never have been in use, except
// for those that stay.
//
// If a HubHandler or a Hub takes the place of another one, only its settings
// are used. Publish with the old one, with Server.Hub or with Server.Publish;
// the new one has no subscribers. Two hubs of one name are an error, and so is a
// fifth Codec for a hub, counted since the hub was made: use the same values
// again. Any goroutine.
func (s *Server) Reload(config Config, handlers map[string]Handler) error {
	e := s.running()
	if e == nil {
		return errNotRunning // also while Start, which has the lock, waits for a callback that calls this
	}
	s.life.Lock()
	defer s.life.Unlock()
	if s.stopped {
		return errNotRunning
	}
	next := &reloading{server: s, hubs: make(map[string]*Hub), configs: make(map[*Hub]*HubConfig)}
	if err := next.add(handlers); err != nil {
		return fmt.Errorf("webrocket: reload: %w", err)
	}
	keepEvents(next.endpoints) // before connections need the names
	if err := e.Reload(config, next.endpoints); err != nil {
		next.giveUp()
		return fmt.Errorf("webrocket: reload: %w", err)
	}
	next.install()
	return nil
}

var errNotRunning = errors.New("webrocket: reload: the server does not run")

// A reloading is what a server is to serve next.
type reloading struct {
	server    *Server
	hubs      map[string]*Hub     // that stay or begin, by name
	configs   map[*Hub]*HubConfig // that those which stay are to obey
	lenders   map[*Hub]any        // whose settings each hub obeys: a *Hub or a *HubHandler
	handlers  map[string]Handler  // by path
	endpoints map[string]Endpoint // by path
	fresh     []*HubHandler       // that have begun
}

// add finds what stays and begins what is new. If it returns an error, nothing
// has begun.
func (n *reloading) add(handlers map[string]Handler) error {
	if len(handlers) == 0 {
		return errors.New("nothing to serve")
	}
	n.handlers = make(map[string]Handler, len(handlers))
	n.endpoints = make(map[string]Endpoint, len(handlers))
	n.lenders = make(map[*Hub]any)
	for _, h := range n.server.hubs() {
		n.hubs[h.Name()] = h
	}
	for path, h := range handlers {
		err := checkPath(path)
		for other := range handlers {
			if samePaths(path, other) {
				err = fmt.Errorf("%s stands for the same paths", other)
			}
		}
		if err == nil {
			err = n.addOne(path, h)
		}
		if err != nil {
			n.giveUp()
			return fmt.Errorf("handle %s: %w", path, err)
		}
	}
	if err := n.checkNames(); err != nil {
		n.giveUp()
		return err
	}
	return nil
}

// checkNames returns an error if two hubs that are to be served have one name.
func (n *reloading) checkNames() error {
	named := make(map[string]*Hub)
	for path, e := range n.endpoints {
		h := hubOf(e.Protocol)
		if h == nil {
			continue
		}
		if other := named[h.Name()]; other != nil && other != h {
			return fmt.Errorf("handle %s: there is another hub of the name %q", path, h.Name())
		}
		named[h.Name()] = h
	}
	return nil
}

func (n *reloading) addOne(path string, h Handler) error {
	s := n.server
	s.mu.RLock()
	old, endpoint := s.handlers[path], s.endpoints[path]
	s.mu.RUnlock()
	if h, ok := h.(*HubHandler); ok {
		return n.addHub(path, h, old)
	}
	if !same(old, h) {
		registered, err := s.register(path, h)
		if err != nil {
			return err
		}
		endpoint = *registered
	}
	n.handlers[path], n.endpoints[path] = h, endpoint
	n.claim(hubOf(endpoint.Protocol))
	return nil
}

// addHub lets the handler that is there obey the settings of h, or begins h.
func (n *reloading) addHub(path string, h *HubHandler, old Handler) error {
	if err := h.check(); err != nil {
		return err
	}
	stays, ok := old.(*HubHandler)
	if ok && same(stays.Codec, h.Codec) && stays.running.Load().Name() == h.hubName(path) {
		n.handlers[path], n.endpoints[path] = stays, *stays.endpoint(&h.Endpoint)
		return n.lend(stays.running.Load(), h)
	}
	if err := h.checkNew(); err != nil {
		return err
	}
	hub := n.hubs[h.hubName(path)]
	if hub == nil {
		hub = h.Hub
	} else if err := n.lend(hub, h); err != nil {
		return err
	}
	endpoint, err := h.begin(path, hub)
	if err != nil {
		return err
	}
	n.fresh = append(n.fresh, h)
	n.handlers[path], n.endpoints[path] = h, *endpoint
	n.claim(h.running.Load())
	return nil
}

// hubName returns the name of the hub that h serves or would serve at a path.
func (h *HubHandler) hubName(path string) string {
	if h.Hub != nil {
		return h.Hub.Name()
	}
	return path
}

// lend notes the settings that a hub takes over from a handler, or reports that
// another handler has lent it others.
func (n *reloading) lend(running *Hub, h *HubHandler) error {
	var lender any = h.Hub
	config := h.HubConfig
	switch h.Hub {
	case running: // it has its settings
		return nil
	case nil:
		lender = h
	default:
		config = h.Hub.Config()
	}
	if other := n.lenders[running]; other != nil && other != lender {
		return fmt.Errorf("another handler has other settings for the hub %q; set the same Hub in both", running.Name())
	}
	n.lenders[running], n.configs[running] = lender, &config
	return nil
}

// claim notes a hub that begins, with settings of its own.
func (n *reloading) claim(h *Hub) {
	if h != nil && n.hubs[h.Name()] == nil {
		n.hubs[h.Name()], n.lenders[h] = h, h
	}
}

// giveUp undoes what add has begun.
func (n *reloading) giveUp() {
	for _, h := range n.fresh {
		h.giveUp()
	}
}

// same reports whether two values are equal and can be compared.
func same(a, b any) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// install makes known what is served now, and makes the hubs that stay obey their
// new settings.
func (n *reloading) install() {
	s := n.server
	before := s.tokenHubs()
	s.mu.Lock()
	s.endpoints, s.handlers = n.endpoints, n.handlers
	s.mu.Unlock()
	first, hubs := s.running().Loops()[0], s.hubs()
	first.Post(func() { protocol.WorkerOf(first).Sweep(hubs) })
	s.setUpHubs(n.endpoints)
	for h, config := range n.configs {
		old := h.Config()
		h.Obey(*config)
		s.endRevoked(h, old)
		if !slices.Equal(old.Rules, config.Rules) || old.Patterns && !config.Patterns {
			s.endForbidden(h)
		}
	}
	if slices.ContainsFunc(s.tokenHubs(), func(h *Hub) bool { return !slices.Contains(before, h) }) {
		s.serveNodes() // what was revoked before there was such a hub
	}
}

// recheckMax is how many subscriptions a loop looks at before it serves its clients again.
const recheckMax = 4096

// endForbidden ends the subscriptions that the rules of a hub do not allow any more.
func (s *Server) endForbidden(h *Hub) {
	for _, l := range s.running().Loops() {
		l.Post(func() { endForbidden(l, h, 0) })
	}
}

// endForbidden does the same on one loop, in slices, from a place in its table on.
func endForbidden(l *engine.Loop, h *Hub, place int) {
	seen := 0
	next, more := l.Slice(place, func(c *Conn) bool {
		if m := protocol.SessionOf(c); m != nil && m.Hub() == h {
			seen += m.Subscriptions()
			m.DropForbidden()
			m.Reattend()
		}
		return seen < recheckMax
	})
	if more {
		l.Post(func() { endForbidden(l, h, next) })
	}
}

// endRevoked closes the connections whose logins by the old settings of a hub, which
// may be those in force, are not valid any more.
func (s *Server) endRevoked(h *Hub, old HubConfig) {
	now := time.Now()
	for _, l := range s.running().Loops() {
		l.Post(func() {
			l.Each(func(c *Conn) {
				m := protocol.SessionOf(c)
				if m == nil || m.Hub() != h {
					return
				}
				if why := m.Revoked(old, now); why != "" {
					m.Logout()
					c.Close(hub.CloseLoginGone, why)
				}
				m.DropRevoked(now)
			})
		})
	}
}
