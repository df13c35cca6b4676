package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nu7hatch/webrocket"
)

// config is what a server is started with.
type config struct {
	host, log, logLevel string
	port                int
	certFile, keyFile   string
	server              webrocket.Config
	hubDefaults         hub
	hubs                []hub

	// origin tells by flag name where a setting that is not the default came
	// from, for problems that are seen only when all is read.
	origin map[string]string
}

// hub is the configuration of one hub.
type hub struct {
	path, codec, log    string
	readOnly, readWrite string
	channels            []string
	origins             []string
	subprotocols        []string
	maxMessageSize      int
	maxQueuedBytes      int
	maxSubscriptions    int
}

// address returns the "host:port" to listen on.
func (c *config) address() string { return net.JoinHostPort(c.host, strconv.Itoa(c.port)) }

// sources are where settings come from. The zero value gives the defaults.
type sources struct {
	file   string                   // "" for none
	getenv func(name string) string // nil for none
	flags  map[string]string        // by name; later than the environment
}

// load reads the configuration: flags over environment over file over
// defaults. The error is a problems with all that is wrong.
func (s sources) load() (*config, error) {
	c := &config{origin: map[string]string{}}
	for _, st := range settings() {
		if st.def != "" {
			st.at(c).fromText("default of "+st.flag, st.def)
		}
	}
	hubs, found := s.loadFile(c)
	foundText := s.loadText(c)
	// The hubs come last: they begin with the defaults that all others gave.
	if s.file == "" {
		h := c.hubDefaults
		h.path, h.codec = "/", "JSON"
		c.hubs = []hub{h}
	} else if hubs != nil {
		found = append(found, c.readHubs(hubs)...)
	}
	slices.SortStableFunc(found, func(a, b problem) int { return a.line - b.line })
	found = append(found, foundText...)
	found = append(found, c.check()...)
	return c, found.asError()
}

// loadFile reads the file but for its hubs, which it returns.
func (s sources) loadFile(c *config) (hubs *node, found problems) {
	if s.file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(s.file)
	if err != nil {
		return nil, problems{{where: s.file, what: "cannot read it: " + reason(err)}}
	}
	root, found := parseDocument(s.file, data)
	if found != nil {
		return nil, found
	}
	fields := []field{{"Hubs", func(n *node) problems { hubs = n; return nil }}}
	for _, st := range settings() {
		if st.key == "" {
			continue
		}
		fields = append(fields, field{st.key, func(n *node) problems {
			c.origin[st.flag] = n.where()
			return st.at(c).fromNode(n)
		}})
	}
	found = append(found, fill(root, fields)...)
	if _, ok := root.value.([]member); ok && hubs == nil {
		found = append(found, root.problem(`Hubs is missing; add at least "Hubs": [{"Path": "/"}]`))
	}
	return hubs, found
}

// loadText reads the environment and the flags.
func (s sources) loadText(c *config) problems {
	var found problems
	for _, st := range settings() {
		var where, text string
		if given, ok := s.flags[st.flag]; ok {
			where, text = "-"+st.flag, given
		} else if s.getenv != nil && s.getenv(st.env()) != "" {
			where, text = st.env(), s.getenv(st.env())
		} else {
			continue
		}
		if st.key == "" && s.file != "" {
			found = append(found, problem{where: where, what: fmt.Sprintf("does not go with a file; put it into %s, in Secrets of a hub", s.file)})
			continue
		}
		c.origin[st.flag] = where
		found = append(found, st.at(c).fromText(where, text)...)
	}
	return found
}

// readHubs reads the hubs of the file.
func (c *config) readHubs(n *node) problems {
	items, ok := n.value.([]*node)
	if !ok || len(items) == 0 {
		return problems{n.problem(`want a list of at least one hub such as [{"Path": "/"}], not %s`, emptyOr(n))}
	}
	var found problems
	lines := map[string]int{}
	for _, item := range items {
		h := c.hubDefaults
		found = append(found, h.read(item)...)
		if first, twice := lines[h.path]; twice && h.path != "" {
			found = append(found, item.problem("the path %s is taken by the hub on line %d; give it another", h.path, first))
		} else {
			lines[h.path] = item.line
		}
		c.hubs = append(c.hubs, h)
	}
	return found
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
			st.at(h).fromText("default of "+st.key, st.def)
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
	return found
}

// check finds what only two settings together can have wrong.
func (c *config) check() problems {
	switch {
	case c.certFile != "" && c.keyFile == "":
		return problems{{where: c.origin["tls-cert"], what: "a certificate needs its key; give TLSKeyFile or -tls-key too"}}
	case c.keyFile != "" && c.certFile == "":
		return problems{{where: c.origin["tls-key"], what: "a key needs its certificate; give TLSCertFile or -tls-cert too"}}
	}
	return nil
}

// warnings returns what is allowed but seldom meant.
func (c *config) warnings() []string {
	var ws []string
	for _, h := range c.hubs {
		if h.access() != locked && !isLoopback(c.host) {
			ws = append(ws, fmt.Sprintf("the hub at %s is %s, and the server listens beyond this machine", h.path, h.access()))
		}
		if h.readOnly != "" && h.readWrite == "" {
			ws = append(ws, fmt.Sprintf("the hub at %s has a secret for reading but none for publishing, and who may publish may read", h.path))
		}
	}
	return ws
}

// What a hub lets everyone do.
const (
	locked   = "locked"
	readable = "open to everyone for reading"
	open     = "open to everyone"
)

// access returns what everyone may do. Who may publish may also read.
func (h hub) access() string {
	switch {
	case h.readWrite == "":
		return open
	case h.readOnly == "":
		return readable
	default:
		return locked
	}
}

// isLoopback tells whether only this machine can reach a server on host.
func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
