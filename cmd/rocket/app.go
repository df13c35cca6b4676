package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// app is the configuration of one application for Pusher clients: what the command
// adds to the settings that the library has for it.
type app struct {
	pusher.Config
	hub     string // path of the hub that it shares, "" for one of its own
	enabled bool
	limits  hub // of the connections, and of a hub of its own
}

// hubName is the name of the hub of an application that shares none.
func (a *app) hubName() string {
	if a.hub != "" {
		return a.hub
	}
	return "/apps/" + a.ID
}

// appSetting is one setting of an application.
type appSetting struct {
	key, def, doc string
	at            func(*app) value
}

// appSettings returns all keys of an application, in the order of the documentation.
func appSettings() []appSetting {
	return []appSetting{
		{"ID", "", "id of the application, in the paths of its HTTP API; required", func(a *app) value {
			return text(&a.ID, "letters, digits, - and _", nil)
		}},
		{"Keys", "", `list of keys such as {"Key": "…", "Secret": "…"}, or with a SecretFile, the oldest first; each opens the application; required`, func(a *app) value {
			return value{get: func() any { return a.Keys }, objects: func(n *node) problems { return readAppKeys(&a.Keys, n) }}
		}},
		{"Hub", "", "path of the hub that it shares with clients of the native protocol; empty: one of its own", func(a *app) value {
			return text(&a.hub, `the path of a hub such as "/chat"`, checkPath)
		}},
		{"Enabled", "on", "off: its connections are closed with 4003", func(a *app) value { return onOrOff(&a.enabled) }},
		{"TLSOnly", "off", "close connections without TLS with 4000", func(a *app) value { return onOrOff(&a.TLSOnly) }},
		{"Origins", "", "origins of web pages that may connect, others are closed with 4009; empty: any", func(a *app) value {
			return parsedList(&a.Origins, `an origin such as "https://example.com"`, parseOrigin)
		}},
		{"MaxConnections", "0", "connections that it may have, further ones are closed with 4100; 0: any number", func(a *app) value {
			return integer(&a.MaxConnections, 0, 0)
		}},
		{"RefuseForGood", "off", "close them with 4004 instead, after which a page does not try again", func(a *app) value { return onOrOff(&a.RefuseForGood) }},
		{"ClientEvents", "on", "clients may send events to the other members of private and presence channels", func(a *app) value { return onOrOff(&a.ClientEvents) }},
		{"ClientEventRate", "10", "client events of one connection in a second", func(a *app) value { return integer(&a.ClientEventRate, 1, 0) }},
		{"SubscriptionCounts", "off", "tell the subscribers of a channel how many they are", func(a *app) value { return onOrOff(&a.SubscriptionCounts) }},
		{"Watchlist", "off", "tell users which of those whom they watch are signed in", func(a *app) value { return onOrOff(&a.Watchlist) }},
		{"AuthorizedOnly", "off", "close connections with 4009 that do not sign in or subscribe to a private channel", func(a *app) value { return onOrOff(&a.AuthorizedOnly) }},
		{"AuthorizeTimeout", "30s", "time that they have for that", func(a *app) value { return duration(&a.AuthorizeTimeout) }},
		{"ActivityTimeout", "120s", "silence after which a client looks whether the server is there", func(a *app) value { return duration(&a.ActivityTimeout) }},
		{"AuthWindow", "600s", "how far the time in a request of the HTTP API may be from the server's", func(a *app) value { return duration(&a.AuthWindow) }},
		{"RefuseRepeats", "off", "refuse a POST of the HTTP API whose signature was taken before; two equal events in one second have the same", func(a *app) value {
			return onOrOff(&a.RefuseRepeats)
		}},
		{"RequestRate", "0", "requests of the HTTP API in a second, further ones get 429; 0: any number", func(a *app) value { return integer(&a.RequestRate, 0, 0) }},
		{"CacheTTL", "30m", "time for which the last event of a cache channel is kept", func(a *app) value { return duration(&a.CacheTTL) }},
		{"MaxCacheBytes", "64MB", "memory for all of them", func(a *app) value { return size(&a.MaxCacheBytes, 1, 0) }},
		{"MaxChannelName", "200", "length of a channel's name", func(a *app) value { return size(&a.MaxChannelName, 1, 255) }},
		{"MaxEventName", "200", "length of an event's name", func(a *app) value { return size(&a.MaxEventName, 1, 0) }},
		{"MaxEventData", "10KB", "data of an event", func(a *app) value { return size(&a.MaxEventData, 1, 0) }},
		{"MaxEventChannels", "100", "channels of one publish", func(a *app) value { return integer(&a.MaxEventChannels, 1, 0) }},
		{"MaxBatch", "10", "events of one batch", func(a *app) value { return integer(&a.MaxBatch, 1, 1000) }},
		{"MaxMembers", "100", "members of a presence channel", func(a *app) value { return integer(&a.MaxMembers, 1, 0) }},
		{"MaxMemberInfo", "1KB", "what is told of a member", func(a *app) value { return size(&a.MaxMemberInfo, 1, 0) }},
		{"MaxUserID", "128", "length of a member's id", func(a *app) value { return size(&a.MaxUserID, 1, 0) }},
		{"MaxWatchlist", "100", "users that one connection may watch", func(a *app) value { return integer(&a.MaxWatchlist, 1, 0) }},
		{"MaxListedChannels", "10000", "channels in one answer of the HTTP API; if there are more it is 400", func(a *app) value {
			return integer(&a.MaxListedChannels, 1, 0)
		}},
		{"Webhooks", "", "list of [webhooks](#webhooks)", func(a *app) value {
			return value{get: func() any { return a.Webhooks }, objects: func(n *node) problems { return readWebhooks(&a.Webhooks, n) }}
		}},
	}
}

// webhookSetting is one setting of a webhook.
type webhookSetting struct {
	key, def, doc string
	at            func(*pusher.Webhook) value
}

// webhookSettings returns all keys of a webhook.
func webhookSettings() []webhookSetting {
	return []webhookSetting{
		{"URL", "", "endpoint that is told; required", func(w *pusher.Webhook) value { return text(&w.URL, "a URL", nil) }},
		{"Events", "", "names of what it is told: " + strings.Join(pusher.HookEvents, ", ") + "; empty: all", func(w *pusher.Webhook) value {
			return list(&w.Events, "the name of an event", func(string) error { return nil })
		}},
		{"Prefix", "", "only of channels whose names begin like this", func(w *pusher.Webhook) value { return text(&w.Prefix, "a string", nil) }},
		{"Suffix", "", "only of channels whose names end like this", func(w *pusher.Webhook) value { return text(&w.Suffix, "a string", nil) }},
		{"Header", "", "object with further header fields of the requests", func(w *pusher.Webhook) value {
			return value{get: func() any { return w.Header }, objects: func(n *node) problems { return readHeader(&w.Header, n) }}
		}},
		{"Batch", "off", "time over which events are gathered for one request; off: each goes alone", func(w *pusher.Webhook) value { return durationOrOff(&w.Batch) }},
		{"Timeout", "5s", "time that the endpoint has to answer", func(w *pusher.Webhook) value { return duration(&w.Timeout) }},
		{"PublicOnly", "off", "refuse to connect to addresses of this machine and of private networks", func(w *pusher.Webhook) value { return onOrOff(&w.PublicOnly) }},
		{"MaxQueued", "10000", "events that may wait for it, in 64 MB at most; further ones are lost", func(w *pusher.Webhook) value { return integer(&w.MaxQueued, 1, 0) }},
	}
}

// newApp returns an application with the defaults.
func (c *config) newApp() app {
	a := app{limits: c.hubDefaults}
	for _, st := range appSettings() {
		if st.def != "" {
			_ = st.at(&a).fromText("default of "+st.key, st.def)
		}
	}
	return a
}

// readApps reads the applications of the file.
func (c *config) readApps(n *node) problems {
	items, ok := n.value.([]*node)
	if !ok {
		return problems{n.problem(`want a list of applications such as [{"ID": "app", "Keys": [{"Key": "key", "Secret": "…"}]}], not %s`, n.show())}
	}
	var found problems
	for _, item := range items {
		a := c.newApp()
		var fields []field
		for _, st := range appSettings() {
			fields = append(fields, field{st.key, func(n *node) problems { return st.at(&a).fromNode(n) }})
		}
		wrong := fill(item, fields)
		if wrong == nil {
			wrong = c.checkApp(item, &a)
		}
		found = append(found, wrong...)
		c.apps = append(c.apps, a)
	}
	return found
}

// checkApp returns what is wrong with an application, by itself and beside those
// before it.
func (c *config) checkApp(n *node, a *app) problems {
	if err := a.Check(); err != nil {
		return problems{n.problem("%v", err)}
	}
	for _, other := range c.apps {
		if other.ID == a.ID {
			return problems{n.problem("there is another application with the ID %s", a.ID)}
		}
		for _, k := range a.Keys {
			if slices.ContainsFunc(other.Keys, func(o pusher.Key) bool { return o.Key == k.Key }) {
				return problems{n.problem("the application %s has the key %s too", other.ID, k.Key)}
			}
		}
		if a.hub != "" && a.hub == other.hub {
			return problems{n.problem("the application %s shares the hub at %s already", other.ID, a.hub)}
		}
	}
	return nil
}

// checkApps returns what is wrong with applications beside the hubs.
func (c *config) checkApps() problems {
	var found problems
	taken := map[string]bool{}
	table := pusher.Apps{Prefix: c.appsPrefix}
	for _, a := range c.apps {
		for _, path := range table.Paths(a.Config) {
			taken[path] = true
		}
		shared := slices.IndexFunc(c.hubs, func(h hub) bool { return h.path == a.hub })
		where := "application " + a.ID
		switch {
		case a.hub == "":
		case shared < 0:
			found = append(found, problem{where: where, what: fmt.Sprintf("Hub is %s, and no hub has that as its Path", a.hub)})
		case c.hubs[shared].codec == codecEcho:
			found = append(found, problem{where: where, what: fmt.Sprintf("the hub at %s is an Echo hub, which has no channels", a.hub)})
		}
	}
	for _, h := range c.hubs {
		for _, path := range h.paths() {
			if taken[path] {
				found = append(found, problem{where: "hub at " + path, what: "the path is that of an application; give the hub another"})
			}
		}
	}
	return found
}

// readAppKeys reads the list Keys, and the files that it names.
func readAppKeys(keys *[]pusher.Key, n *node) problems {
	items, ok := n.value.([]*node)
	if !ok {
		return problems{n.problem(`want a list of keys such as [{"Key": "key", "Secret": "…"}], not %s`, n.show())}
	}
	*keys = nil
	var found problems
	for _, item := range items {
		var k pusher.Key
		var name string
		wrong := fill(item, []field{
			{"Key", text(&k.Key, "a string", nil).fromNode},
			{"Secret", secret(&k.Secret).fromNode},
			{"SecretFile", file(&name, checkReadable).fromNode},
		})
		switch {
		case wrong != nil:
		case (name == "") == (k.Secret == ""):
			wrong = problems{item.problem("want one of Secret and SecretFile")}
		case name != "":
			data, err := os.ReadFile(name)
			if err != nil {
				wrong = problems{item.problem("cannot read %s: %s", name, reason(err))}
			} else {
				wrong = secret(&k.Secret).fromText(item.where(), string(data))
			}
		}
		found = append(found, wrong...)
		*keys = append(*keys, k)
	}
	return found
}

// readWebhooks reads the list Webhooks.
func readWebhooks(hooks *[]pusher.Webhook, n *node) problems {
	items, ok := n.value.([]*node)
	if !ok {
		return problems{n.problem(`want a list of webhooks such as [{"URL": "https://app.example/hook"}], not %s`, n.show())}
	}
	*hooks = nil
	var found problems
	for _, item := range items {
		var w pusher.Webhook
		var fields []field
		for _, st := range webhookSettings() {
			fields = append(fields, field{st.key, st.at(&w).fromNode})
		}
		wrong := fill(item, fields)
		if wrong == nil {
			if err := w.Check(); err != nil {
				wrong = problems{item.problem("%v", err)}
			}
		}
		found = append(found, wrong...)
		*hooks = append(*hooks, w)
	}
	return found
}

// readHeader reads an object whose values are strings.
func readHeader(header *map[string]string, n *node) problems {
	members, ok := n.value.([]member)
	if !ok {
		return problems{n.problem(`want an object such as {"Authorization": "…"}, not %s`, n.show())}
	}
	*header = map[string]string{}
	var found problems
	for _, m := range members {
		s, ok := m.value.value.(string)
		if !ok {
			found = append(found, m.value.problem("want a string, not %s", m.value.show()))
		}
		(*header)[m.key] = s
	}
	return found
}

// oneApp is the application that is given as ID:KEY:SECRET.
func oneApp(c *config) value {
	v := secret(new(string))
	v.want = "ID:KEY:SECRET"
	v.get = func() any { return c.apps }
	v.set = func(s string) error {
		parts := strings.SplitN(strings.TrimRight(s, "\r\n"), ":", 3)
		if len(parts) != 3 {
			return fmt.Errorf("want ID:KEY:SECRET, three texts with colons between them")
		}
		a := c.newApp()
		a.ID, a.Keys = parts[0], []pusher.Key{{Key: parts[1], Secret: parts[2]}}
		if err := a.Check(); err != nil {
			return err
		}
		c.apps = []app{a}
		return nil
	}
	return v
}

// appHandler is the handler of a path at which an application is served.
type appHandler struct{ endpoint *webrocket.Endpoint }

// Register makes appHandler a webrocket.Handler.
func (h *appHandler) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return h.endpoint, nil
}
