package main

import (
	"fmt"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// applications are the applications that run. They outlive a reload.
type applications struct {
	table   pusher.Apps
	running map[string]*running // by ID
}

// running is an application with where its hub comes from.
type running struct {
	*pusher.App
	hub string         // path of the hub that it shares
	own *webrocket.Hub // nil if it shares one
}

// A change is what the applications of a configuration will be, once the server serves
// them.
type change struct {
	all      *applications
	next     map[string]*running
	fresh    []*running
	configs  []app
	disabled []pusher.Config
}

// prepare makes the applications of a configuration, with the handlers of their paths.
// Those that run stay. hubs are the handlers of the hubs, for applications that share
// one; server is nil where none runs yet.
func (all *applications) prepare(c *config, hubs map[string]webrocket.Handler, server *webrocket.Server) (*change, map[string]webrocket.Handler, error) {
	ch := &change{all: all, next: map[string]*running{}}
	handlers := map[string]webrocket.Handler{}
	for _, a := range c.apps {
		if !a.enabled {
			ch.disabled = append(ch.disabled, a.Config)
			continue
		}
		r := all.running[a.ID]
		if r == nil || r.hub != a.hub {
			var err error
			if r, err = begin(a, hubs, server); err != nil {
				ch.giveUp()
				return nil, nil, fmt.Errorf("application %s: %w", a.ID, err)
			}
			ch.fresh = append(ch.fresh, r)
		}
		ch.next[a.ID] = r
		ch.configs = append(ch.configs, a)
		for _, path := range all.table.Paths(a.Config) {
			handlers[path] = &appHandler{r.Endpoint(a.limits.Endpoint)}
		}
	}
	if len(c.apps) > 0 {
		handlers[all.table.StrangersPath()] = &appHandler{all.table.Strangers()}
	}
	return ch, handlers, nil
}

// begin makes an application and, unless it shares one, its hub.
func begin(a app, hubs map[string]webrocket.Handler, server *webrocket.Server) (*running, error) {
	r := &running{hub: a.hub}
	var h *webrocket.Hub
	if a.hub != "" {
		if server != nil {
			h = server.Hub(a.hub) // which stays
		}
		if h == nil {
			h = hubs[a.hub].(*webrocket.HubHandler).Hub
		}
	} else {
		var err error
		if r.own, err = webrocket.NewHub(a.hubName(), a.limits.HubConfig); err != nil {
			return nil, err
		}
		h = r.own
	}
	var err error
	r.App, err = pusher.New(h, a.Config)
	if err == nil && r.own != nil {
		r.own.Reserve(func([]byte) bool { return true }) // nobody else has a right there
	}
	return r, err
}

// giveUp undoes prepare.
func (ch *change) giveUp() {
	for _, r := range ch.fresh {
		r.Close()
	}
}

// install makes the applications obey their settings, once the server serves them, and
// ends those that are gone.
func (ch *change) install() error {
	var apps []*pusher.App
	for _, a := range ch.configs {
		r := ch.next[a.ID]
		if r.own != nil {
			r.own.Obey(a.limits.HubConfig)
		}
		if err := r.Obey(a.Config); err != nil {
			return fmt.Errorf("application %s: %w", a.ID, err)
		}
		apps = append(apps, r.App)
	}
	ch.all.table.Set(apps, ch.disabled...)
	gone := ch.all.running
	ch.all.running = ch.next
	for id, r := range gone {
		if ch.next[id] != r {
			ch.end(r)
		}
	}
	return nil
}

// end ends an application. Where it leaves a hub that no other one shares, nothing is
// reserved there any more.
func (ch *change) end(gone *running) {
	gone.Close()
	for _, r := range ch.next {
		if r.Hub() == gone.Hub() {
			return
		}
	}
	gone.Hub().Reserve(nil)
}

// close ends all of them.
func (all *applications) close() {
	for _, r := range all.running {
		r.Close()
	}
}
