package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/httpapi"
)

// hub is the configuration of one hub: what the command adds to the settings that
// the library has for a hub and for the connections to it.
type hub struct {
	path, codec, log string
	morePaths        []string
	tokens           *tokens       // nil if no token opens it
	keys             []httpapi.Key // for the HTTP API
	webrocket.HubConfig
	webrocket.Endpoint
}

// paths returns where clients connect.
func (h hub) paths() []string { return append([]string{h.path}, h.morePaths...) }

// handlers returns the handler of each of the hub's paths, with its log from
// logs.
func (h hub) handlers(logs *logs) (map[string]webrocket.Handler, error) {
	all := make(map[string]webrocket.Handler)
	if h.codec == codecEcho {
		for _, path := range h.paths() {
			all[path] = echo{h}
		}
		return all, nil
	}
	config := h.HubConfig
	if h.log != "" {
		log, err := logs.to(h.log)
		if err != nil {
			return nil, err
		}
		config.Log = log
	}
	shared, err := webrocket.NewHub(h.path, config)
	if err != nil {
		return nil, err
	}
	for _, path := range h.paths() {
		handler := webrocket.NewJSONHandler()
		handler.Hub, handler.Endpoint = shared, h.Endpoint
		all[path] = handler
	}
	return all, nil
}

// What a hub speaks.
const (
	codecJSON = "JSON"
	codecEcho = "Echo"
)

// onlyHub returns the hub that is served without a file.
func (c *config) onlyHub() hub {
	h := c.hubDefaults
	h.path, h.codec = "/", codecJSON
	return h
}

// readHubs reads the hubs of the file.
func (c *config) readHubs(n *node) problems {
	items, ok := n.value.([]*node)
	if !ok || len(items) == 0 {
		return problems{n.problem(`want a list of at least one hub such as [{"Path": "/"}], not %s`, emptyOr(n))}
	}
	var found problems
	first := map[string]*node{} // the hub that has a path, by path
	for _, item := range items {
		h := c.hubDefaults
		found = append(found, h.read(item)...)
		for _, path := range h.paths() {
			switch other := first[path]; {
			case path == "" || other == nil:
				first[path] = item
			case other == item:
				found = append(found, item.problem("the path %s is given twice, in Path and Paths; remove one", path))
			default:
				found = append(found, item.problem("the path %s is taken by the hub on line %d; give it another", path, other.line))
			}
		}
		c.hubs = append(c.hubs, h)
	}
	return found
}

// belongs says where in the file a key is to be, if there is such a key.
func belongs(key string) string {
	for _, st := range hubSettings() {
		name, inSecrets := strings.CutPrefix(st.key, "Secrets.")
		switch {
		case inSecrets && (strings.EqualFold(key, name) || strings.EqualFold(key, name+"Secret")):
			return fmt.Sprintf(`; it belongs into Secrets of a hub: "Secrets": {"%s": …}`, name)
		case st.flag == "" && strings.EqualFold(key, name):
			return fmt.Sprintf("; %s belongs into a hub, in the list Hubs", name)
		}
	}
	if strings.EqualFold(key, "Secrets") {
		return "; Secrets belongs into a hub, in the list Hubs"
	}
	for _, st := range settings() {
		if st.key == "" || !strings.EqualFold(key, st.key) {
			continue
		}
		if slices.ContainsFunc(hubDefaults(), func(h hubSetting) bool { return h.key == st.key }) {
			return fmt.Sprintf("; %s belongs into the hub itself, or beside Hubs for all of them", st.key)
		}
		return fmt.Sprintf("; %s belongs beside Hubs: it is for the whole server", st.key)
	}
	if strings.EqualFold(key, "Hubs") {
		return "; Hubs belongs to the outermost object"
	}
	return ""
}

func emptyOr(n *node) string {
	if _, ok := n.value.([]*node); ok {
		return "an empty list"
	}
	return n.show()
}

// read fills the hub, which has the defaults so far.
func (h *hub) read(n *node) problems {
	var fields, secrets []field
	hasPath := false
	for _, st := range hubSettings() {
		if st.def != "" && st.flag == "" {
			_ = st.at(h).fromText("default of "+st.key, st.def)
		}
		read := func(n *node) problems {
			hasPath = hasPath || st.key == "Path"
			return st.at(h).fromNode(n)
		}
		if key, ok := strings.CutPrefix(st.key, "Secrets."); ok {
			secrets = append(secrets, field{key, read})
		} else {
			fields = append(fields, field{st.key, read})
		}
	}
	fields = append(fields, field{"Secrets", func(n *node) problems { return fill(n, secrets) }})
	found := fill(n, fields)
	if _, ok := n.value.([]member); ok && !hasPath {
		found = append(found, n.problem(`Path is missing; add one such as "Path": "/"`))
	}
	if h.codec == codecEcho && (len(h.Channels)+len(h.Rules) > 0 || h.log+h.Secrets.ReadOnly+h.Secrets.ReadWrite != "") {
		found = append(found, n.problem("an Echo hub has no Channels, Rules, Secrets or Log; remove them"))
	}
	if h.codec == codecEcho && h.tokens != nil {
		found = append(found, n.problem("an Echo hub has no Tokens; remove them"))
	}
	if h.codec == codecEcho && len(h.keys) > 0 {
		found = append(found, n.problem("an Echo hub has no Keys; remove them"))
	}
	for _, path := range h.paths() {
		if first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); slices.Contains(reserved, first) {
			found = append(found, n.problem("the path %s is for HTTP requests, as all below /%s/ are; choose another", path, first))
		}
	}
	return found
}

// What a hub lets everyone do.
const (
	locked   = "locked"
	readable = "open to everyone for reading"
	open     = "open to everyone"
)

// access returns what everyone may do. Access for publishing includes reading.
func (h hub) access() string {
	switch {
	case h.tokens != nil:
		return locked
	case h.Secrets.ReadWrite == "":
		return open
	case h.Secrets.ReadOnly == "":
		return readable
	default:
		return locked
	}
}
