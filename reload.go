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
// The handlers must not be in use, except for those that stay.
func (s *Server) Reload(config Config, handlers map[string]Handler) error {
	s.life.Lock()
	defer s.life.Unlock()
	e := s.running()
	if e == nil || s.stopped {
		return errors.New("webrocket: reload: the server does not run")
	}
	next, err := s.successors(handlers)
	if err != nil {
		return err
	}
	endpoints := make(map[string]Endpoint, len(next))
	for path, n := range next {
		endpoints[path] = *n.endpoint
	}
	if err := e.Reload(config, endpoints); err != nil {
		return fmt.Errorf("webrocket: reload: %w", err)
	}
	s.install(next, endpoints)
	return nil
}

// A successor is what is to be served at a path.
type successor struct {
	handler  Handler
	endpoint *Endpoint
	hub      *HubHandler // nil if it is not a hub
	rules    *rules      // that the hub is to obey, nil if it does
}

// successors finds what stays, and registers what is new.
func (s *Server) successors(handlers map[string]Handler) (map[string]successor, error) {
	if len(handlers) == 0 {
		return nil, errors.New("webrocket: reload: nothing to serve")
	}
	next := make(map[string]successor, len(handlers))
	for path, h := range handlers {
		if err := checkPath(path); err != nil {
			return nil, fmt.Errorf("webrocket: reload: %w", err)
		}
		n, err := s.successor(path, h)
		if err != nil {
			return nil, fmt.Errorf("webrocket: reload: handle %s: %w", path, err)
		}
		next[path] = n
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
		if err != nil {
			return successor{}, err
		}
		return successor{old, old.endpoint(r, hub), old, r}, nil
	case !isHub && same(before, h):
		return successor{h, &endpoint, nil, nil}, nil
	}
	registered, err := s.register(path, h)
	return successor{h, registered, hub, nil}, err
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
		if n.rules != nil {
			s.replaceRules(path, n.hub, n.rules)
		}
	}
}

// replaceRules makes a hub obey other rules, and ends the sessions whose secret
// is gone.
func (s *Server) replaceRules(path string, h *HubHandler, r *rules) {
	old := h.rules.Load()
	h.obeyRules(r)
	for _, l := range s.running().Loops() {
		l.Post(func() {
			l.Each(func(c *Conn) {
				if c.Path() != path {
					return
				}
				if session := c.Value().(*session); !r.holds(session.access, old) {
					session.logout()
					c.Close(codec.StatusPolicyViolation, "the secret of this login is not valid any more")
				}
			})
		})
	}
}
