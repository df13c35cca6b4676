package webrocket

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/nu7hatch/webrocket/codec"
)

// Reload makes a running server serve these handlers, by path, and obey the
// limits and times of the Config; the rest of the Config stays. It returns what
// is wrong with a handler, and then nothing has changed.
//
// A HubHandler takes the place of one at the same path with the same Codec: the
// hub, its connections, channels and subscriptions stay and obey the new fields.
// Who has logged in with a secret that is gone is closed with 1008. Handlers of
// other kinds, and hubs at other paths, begin anew; connections stay where the
// Endpoint's Handler equals the one before, and are closed with 1001 elsewhere.
// The handlers must never have been in use, except for those that stay.
//
// A HubHandler that takes another's place only lends its fields: publish with the
// one that was there, or with Server.Publish. Any goroutine.
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
	next, err := s.successors(handlers)
	if err != nil {
		return err
	}
	endpoints := make(map[string]Endpoint, len(next))
	for path, n := range next {
		endpoints[path] = *n.begin(s)
	}
	if err := e.Reload(config, endpoints); err != nil {
		for _, n := range next {
			if n.fresh {
				n.hub.giveUp()
			}
		}
		return fmt.Errorf("webrocket: reload: %w", err)
	}
	s.install(next, endpoints)
	return nil
}

var errNotRunning = errors.New("webrocket: reload: the server does not run")

// A successor is what is to be served at a path.
type successor struct {
	handler  Handler
	endpoint *Endpoint   // nil for a hub
	hub      *HubHandler // nil for another handler
	fresh    bool        // the hub is new
	fields   *HubHandler // what the hub is to obey
	rules    *rules      // that these make
}

// successors finds what stays and what is new. A hub is only checked.
func (s *Server) successors(handlers map[string]Handler) (map[string]successor, error) {
	if len(handlers) == 0 {
		return nil, errors.New("webrocket: reload: nothing to serve")
	}
	next := make(map[string]successor, len(handlers))
	taken := make(map[*HubHandler]bool)
	for path, h := range handlers {
		if err := checkPath(path); err != nil {
			return nil, fmt.Errorf("webrocket: reload: %w", err)
		}
		n, err := s.successor(path, h)
		if err == nil && n.fresh && taken[n.hub] {
			err = errInUse
		}
		if err != nil {
			return nil, fmt.Errorf("webrocket: reload: handle %s: %w", path, err)
		}
		next[path] = n
		taken[n.hub] = n.fresh
	}
	return next, nil
}

func (s *Server) successor(path string, h Handler) (successor, error) {
	s.mu.RLock()
	old, before := s.hubs[path], s.handlers[path]
	endpoint := s.endpoints[path]
	s.mu.RUnlock()
	hub, isHub := h.(*HubHandler)
	switch {
	case isHub && old != nil && same(old.Codec, hub.Codec):
		r, err := hub.check(s, path)
		return successor{handler: old, hub: old, fields: hub, rules: r}, err
	case isHub:
		r, err := hub.checkNew(s, path)
		return successor{handler: hub, hub: hub, fresh: true, fields: hub, rules: r}, err
	case same(before, h):
		return successor{handler: h, endpoint: &endpoint}, nil
	}
	registered, err := s.register(path, h)
	return successor{handler: h, endpoint: registered}, err
}

// begin returns what answers the connections. A new hub begins, one that stays
// goes on as it was until install.
func (n successor) begin(s *Server) *Endpoint {
	switch {
	case n.hub == nil:
		return n.endpoint
	case n.fresh:
		return n.hub.begin(s, n.rules)
	}
	if n.rules.conflate {
		n.hub.rules.Load().hub.KeepEvents() // before connections want the names
	}
	return n.hub.endpoint(n.rules, n.fields)
}

// same tells whether two values are known to be one.
func same(a, b any) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// install makes known what is served now, and sends away who may not stay.
func (s *Server) install(next map[string]successor, endpoints map[string]Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = endpoints
	s.hubs = make(map[string]*HubHandler)
	s.handlers = make(map[string]Handler)
	for path, n := range next {
		s.handlers[path] = n.handler
		if n.hub != nil {
			s.hubs[path] = n.hub
		}
		if n.hub != nil && !n.fresh {
			s.replaceRules(path, n.hub, n.rules)
		}
	}
}

// replaceRules makes a hub obey other rules, and ends the sessions whose secret
// is gone.
func (s *Server) replaceRules(path string, h *HubHandler, r *rules) {
	old := h.rules.Load()
	r.hub, r.generation = old.hub, old.generation+1
	h.obeyRules(r)
	for _, l := range s.running().Loops() {
		l.Post(func() {
			l.Each(func(c *Conn) {
				if c.Path() != path {
					return
				}
				session := c.Value().(*session)
				if session.generation < r.generation && !r.holds(session, old) {
					session.logout()
					c.Close(codec.StatusPolicyViolation, "the secret of this login is not valid any more")
				}
			})
		})
	}
}
