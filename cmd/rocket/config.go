package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nu7hatch/webrocket"
)

// config is what a server is started with.
type config struct {
	host, log, logLevel string
	port                int
	certFile, keyFile   string
	drain               time.Duration
	pidFile             string
	admin, adminToken   string
	profiling           string // "on" or "off"
	clientCA, unix      string
	selfSigned          bool
	tlsPort             int
	proxyFrom           []string
	forwardedFrom       []string
	server              webrocket.Config
	cluster             clusterConfig
	hubDefaults         hub
	hubs                []hub
	apps                []app
	appsPrefix          string // of their paths

	strange []string // warnings about variables
	notes   []string // what is not even a warning

	// origin says, by the flag's name, where a setting that is not the default
	// was given. It is for problems that are found only when all settings have
	// been read.
	origin map[string]string
}

// address returns the "host:port" to listen on.
func (c *config) address() string { return net.JoinHostPort(c.host, strconv.Itoa(c.port)) }

// sources are where settings come from. The zero value gives the defaults.
type sources struct {
	file    string                            // "" for none
	read    func(file string) ([]byte, error) // nil for os.ReadFile
	getenv  func(name string) string          // nil for none
	environ []string                          // all variables, as os.Environ has them; nil for none
	flags   map[string]string                 // by name; later than the environment
}

// load reads the configuration: flags over environment over file over
// defaults. The error is a problems with all that is wrong.
func (s sources) load() (*config, error) {
	c := &config{origin: map[string]string{}, strange: append(strangeVariables(s.environ), s.emptySecrets()...)}
	for _, st := range settings() {
		if st.def != "" {
			_ = st.at(c).fromText("default of "+st.flag, st.def)
		}
	}
	hubs, apps, inFile := s.loadFile(c)
	inText := s.loadText(c)
	// The hubs come last: they begin with the defaults that all others gave.
	if s.file == "" {
		c.hubs = []hub{c.onlyHub()}
	} else if hubs != nil {
		inFile = append(inFile, c.readHubs(hubs)...)
	}
	if apps != nil {
		inFile = append(inFile, c.readApps(apps)...)
	}
	slices.SortStableFunc(inFile, func(a, b problem) int { return a.line - b.line })
	return c, slices.Concat(inFile, inText, c.check()).asError()
}

// loadFile reads the file but for its hubs and applications, which it returns.
func (s sources) loadFile(c *config) (hubs, apps *node, found problems) {
	if s.file == "" {
		return nil, nil, nil
	}
	read := s.read
	if read == nil {
		read = os.ReadFile
	}
	data, err := read(s.file)
	if err != nil {
		return nil, nil, problems{{where: s.file, what: "cannot read it: " + reason(err)}}
	}
	root, found := parseDocument(s.file, data)
	if found != nil {
		return nil, nil, found
	}
	fields := []field{
		{"Hubs", func(n *node) problems { hubs = n; return nil }},
		{"Apps", func(n *node) problems { apps = n; return nil }},
	}
	objects := map[string][]field{}
	for _, st := range settings() {
		read := func(n *node) problems {
			c.origin[st.flag] = n.where()
			return st.at(c).fromNode(n)
		}
		if object, key, nested := strings.Cut(st.key, "."); nested {
			objects[object] = append(objects[object], field{key, read})
		} else if st.key != "" {
			fields = append(fields, field{st.key, read})
		}
	}
	for _, object := range slices.Sorted(maps.Keys(objects)) {
		fields = append(fields, field{object, func(n *node) problems { return fill(n, objects[object]) }})
	}
	found = append(found, fill(root, fields)...)
	if _, ok := root.value.([]member); ok && hubs == nil && apps == nil {
		found = append(found, root.problem(`Hubs is missing; add at least "Hubs": [{"Path": "/"}]`))
	}
	return hubs, apps, found
}

// loadText reads the environment and the flags.
func (s sources) loadText(c *config) problems {
	var found problems
	for _, st := range settings() {
		where, text, ok := s.text(st)
		switch {
		case !ok:
		case isServiceLink(where, text):
			c.notes = append(c.notes, serviceNote(where, text))
		case st.key == "" && s.file != "":
			what := fmt.Sprintf("does not go with a file; put it into %s, in %s", s.file, st.inFile())
			found = append(found, problem{where: where, what: what})
		default:
			c.origin[st.flag] = where
			found = append(found, st.at(c).fromText(where, text)...)
		}
	}
	return found
}

// text returns what a flag, or else the environment, has for a setting.
func (s sources) text(st setting) (where, text string, ok bool) {
	if text, ok := s.flags[st.flag]; ok {
		return "-" + st.flag, text, true
	}
	if s.getenv == nil {
		return "", "", false
	}
	text = s.getenv(st.env())
	if !st.at(&config{}).secret { // which has its own rules
		text = strings.TrimSpace(text)
	}
	return st.env(), text, text != ""
}

// check finds what only two settings together can have wrong.
func (c *config) check() problems {
	var found problems
	for _, rule := range []struct {
		broken     bool
		flag, what string
	}{
		{c.certFile != "" && c.keyFile == "", "tls-cert", "a certificate needs its key; give TLSKeyFile or -tls-key too"},
		{c.keyFile != "" && c.certFile == "", "tls-key", "a key needs its certificate; give TLSCertFile or -tls-cert too"},
		{c.certFile != "" && c.selfSigned, "tls-self-signed", "there is a certificate already; give one of the two"},
		{c.clientCA != "" && !c.secure(), "tls-client-ca", needsTLS},
		{c.tlsPort != 0 && !c.secure(), "tls-port", needsTLS},
		{c.tlsPort != 0 && c.tlsPort == c.port, "tls-port", samePort},
	} {
		if rule.broken {
			found = append(found, problem{where: c.origin[rule.flag], what: rule.what})
		}
	}
	return slices.Concat(found, c.checkApps(), c.checkAdminPort(), c.checkCluster())
}

// checkAdminPort refuses an admin port that is also a port for clients: with
// ReusePort both could listen on it, and each would get some of the other's
// connections. A default address that another process uses is left to
// startAdmin.
func (c *config) checkAdminPort() problems {
	host, text, _ := net.SplitHostPort(c.admin) // "off" has none
	port, _ := strconv.Atoi(text)
	if port == 0 || port != c.port && port != c.tlsPort || !sameHost(host, c.host) {
		return nil
	}
	where, chosen := c.origin["admin"]
	if !chosen && !c.server.ReusePort {
		return nil
	}
	if !chosen {
		where = "Admin"
	}
	return problems{{where: where, what: fmt.Sprintf("clients have the port %d already; give Admin another, or \"off\"", port)}}
}

// sameHost reports whether a server that listens on one host also listens on
// the other.
func sameHost(a, b string) bool {
	address := func(host string) net.IP {
		switch host {
		case "":
			return net.IPv6unspecified
		case "localhost":
			return net.IPv4(127, 0, 0, 1)
		}
		return net.ParseIP(host) // nil for a name
	}
	ipA, ipB := address(a), address(b)
	return a == b || ipA.IsUnspecified() || ipB.IsUnspecified() || ipA != nil && ipA.Equal(ipB)
}

const (
	needsTLS = "there is no TLS; give TLSCertFile and TLSKeyFile, or TLSSelfSigned" // for its settings
	samePort = "ws:// has this port already, as Port; give TLSPort another, or none for wss:// alone on Port"
)

// warnings returns a text for each setting that is allowed but probably a
// mistake.
func (c *config) warnings() []string {
	ws := slices.Clone(c.strange)
	if c.admin != "off" && c.adminToken == "" && !isLoopback(adminHost(c.admin)) {
		ws = append(ws, "the admin port listens beyond this machine without a token: it shows hubs, channels and connections to the network; set ROCKET_ADMIN_TOKEN or AdminToken")
	}
	ws = append(ws, c.clusterWarnings()...)
	for _, h := range c.hubs {
		if h.access() != locked && !isLoopback(c.host) {
			ws = append(ws, fmt.Sprintf("the hub at %s is %s, and the server listens beyond this machine", h.path, h.access()))
		}
		ws = append(ws, h.tokenWarnings()...)
		if h.Secrets.ReadOnly != "" && h.Secrets.ReadWrite == "" && h.tokens == nil {
			ws = append(ws, fmt.Sprintf("the hub at %s has a secret for reading but none for publishing: everyone may publish, and clients that may publish may read", h.path))
		}
		for _, w := range h.Warnings() {
			ws = append(ws, fmt.Sprintf("the hub at %s: %s", h.path, w))
		}
		for _, channel := range h.Channels {
			if len(channel) > h.MaxChannelName {
				ws = append(ws, fmt.Sprintf("the hub at %s has the channel %s, which is longer than its MaxChannelName: no client can subscribe to it", h.path, channel))
			}
		}
	}
	return ws
}

// isLoopback reports whether only this machine can reach a server on host.
func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
