package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/cluster/embedded"
)

// clusterConfig is which cluster the server belongs to: with a server of NATS of its own
// if there is an address to listen on, with others if they are named, or to none.
type clusterConfig struct {
	name, node, listen string
	routes             []string
	secret             string
	tls                tlsFiles

	dir      string // of the streams of the server in this process
	sync     string
	streams  bool // the other servers have JetStream
	replicas int
	logs     int
	maxBytes int64
	timeout  time.Duration

	servers                            []string
	credentials, user, password, token string
	natsTLS                            tlsFiles
}

// tlsFiles are a certificate, its key, and the authorities of the other side.
type tlsFiles struct{ cert, key, ca string }

// keeps reports whether the nodes store the histories of channels together.
func (c *clusterConfig) keeps() bool { return c.dir != "" || c.streams }

// on reports whether the server belongs to a cluster.
func (c *clusterConfig) on() bool { return c.listen != "" || len(c.servers) > 0 }

// clusterSettings are the settings of the objects Cluster and NATS.
func clusterSettings() []setting {
	return []setting{
		{
			"Cluster.Listen", "cluster-listen", "ADDRESS", "", restart, "address at which other nodes reach this one, as host:port; empty: no server of NATS in this process",
			func(c *config) value { return text(&c.cluster.listen, wantAddress, checkAddress) },
		},
		{
			"Cluster.Routes", "cluster-routes", "LIST", "", restart, "addresses of all nodes, this one among them; the same list for each",
			func(c *config) value { return list(&c.cluster.routes, wantAddress, checkRoute) },
		},
		{
			"Cluster.Secret", "cluster-secret", "SECRET", "", restart, "what the nodes have in common: lets them in, and encrypts between them",
			func(c *config) value { return secret(&c.cluster.secret) },
		},
		{
			"Cluster.Name", "cluster-name", "NAME", cluster.DefaultName, restart, "name of the cluster; nodes of other names do not hear each other",
			func(c *config) value { return text(&c.cluster.name, "a name", cluster.CheckName) },
		},
		{
			"Cluster.Node", "cluster-node", "NAME", "", restart, "name of this node, which it keeps; empty: the machine's name and a port",
			func(c *config) value { return text(&c.cluster.node, "a name", checkNode) },
		},
		{
			"Cluster.TLSCertFile", "cluster-tls-cert", "FILE", "", restart, "certificate of this node, in PEM, instead of one that is made of the secret",
			func(c *config) value { return file(&c.cluster.tls.cert, checkReadable) },
		},
		{
			"Cluster.TLSKeyFile", "cluster-tls-key", "FILE", "", restart, "private key of that certificate",
			func(c *config) value { return file(&c.cluster.tls.key, checkReadable) },
		},
		{
			"Cluster.TLSCAFile", "cluster-tls-ca", "FILE", "", restart, "authorities, in PEM, one of which must have signed the certificates of other nodes",
			func(c *config) value { return file(&c.cluster.tls.ca, checkReadable) },
		},
		{
			"Cluster.Dir", "cluster-dir", "DIR", "", restart, "directory of this node alone, in which events of channels with a history are stored, for all nodes; empty: each node keeps its own, in memory",
			func(c *config) value { return file(&c.cluster.dir, checkStore) },
		},
		{
			"Cluster.Sync", "cluster-sync", "always|interval", "always", restart, "when what is stored in Dir is on the disk: before it is acknowledged, or within 2 minutes",
			func(c *config) value { return oneOf(&c.cluster.sync, "always", "interval") },
		},
		{
			"Cluster.Replicas", "cluster-replicas", "N", "0", restart, "servers that store each event: 1, 3 or 5; 0: 3, or 1 if Routes has fewer than 3 nodes",
			func(c *config) value { return integer(&c.cluster.replicas, 0, 5) },
		},
		{
			"Cluster.Logs", "cluster-logs", "N", "0", restart, "logs that the channels of a hub share, the same number on each node for good; 0: 1",
			func(c *config) value { return integer(&c.cluster.logs, 0, 64) },
		},
		{
			"Cluster.MaxBytes", "cluster-max-bytes", "SIZE", "1073741824", restart, "bytes that each log may have in NATS; beyond them the oldest events go",
			func(c *config) value { return size(&c.cluster.maxBytes, 1<<20, 1<<50) },
		},
		{
			"Cluster.PublishTimeout", "cluster-publish-timeout", "TIME", "5s", restart, "how long a publish waits until its event is stored",
			func(c *config) value { return duration(&c.cluster.timeout) },
		},
		{
			"NATS.Streams", "nats-streams", "", "false", restart, "the servers have JetStream: events of channels with a history are stored there",
			func(c *config) value { return boolean(&c.cluster.streams) },
		},
		{
			"NATS.Servers", "nats-servers", "LIST", "", restart, "servers of NATS that connect the nodes, as nats://host:4222; empty: none",
			func(c *config) value {
				return list(&c.cluster.servers, `a URL such as "nats://10.0.0.1:4222"`, checkNATS)
			},
		},
		{
			"NATS.Credentials", "nats-credentials", "FILE", "", restart, "file with the JWT and the seed of a user",
			func(c *config) value { return file(&c.cluster.credentials, checkReadable) },
		},
		{
			"NATS.User", "nats-user", "NAME", "", restart, "user, if the servers want one",
			func(c *config) value { return text(&c.cluster.user, "a name", nil) },
		},
		{
			"NATS.Password", "nats-password", "SECRET", "", restart, "password of the user",
			func(c *config) value { return secret(&c.cluster.password) },
		},
		{
			"NATS.Token", "nats-token", "SECRET", "", restart, "token, if the servers want that",
			func(c *config) value { return secret(&c.cluster.token) },
		},
		{
			"NATS.TLSCertFile", "nats-tls-cert", "FILE", "", restart, "certificate that is shown to the servers, in PEM",
			func(c *config) value { return file(&c.cluster.natsTLS.cert, checkReadable) },
		},
		{
			"NATS.TLSKeyFile", "nats-tls-key", "FILE", "", restart, "private key of that certificate",
			func(c *config) value { return file(&c.cluster.natsTLS.key, checkReadable) },
		},
		{
			"NATS.TLSCAFile", "nats-tls-ca", "FILE", "", restart, "authorities, in PEM, of the servers' certificates; empty: those of the machine",
			func(c *config) value { return file(&c.cluster.natsTLS.ca, checkReadable) },
		},
	}
}

const wantAddress = `an address such as "10.0.0.1:9774"`

// checkAddress accepts what a node can listen on and be reached at.
func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if n, notNumber := strconv.Atoi(port); s != "" && (err != nil || notNumber != nil || n < 1 || n > 65535) {
		return errWant
	}
	return checkHost(host)
}

// checkStore accepts a directory, or the name of one that can be made.
func checkStore(name string) error {
	if name == "" {
		return nil
	}
	switch info, err := os.Stat(name); {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no directory", name)
	case err != nil && !os.IsNotExist(err):
		return fmt.Errorf("cannot use %s: %s", name, reason(err))
	}
	return nil
}

// checkNode accepts the name of a node, or none.
func checkNode(s string) error {
	if s == "" {
		return nil
	}
	return cluster.CheckName(s)
}

// checkNATS accepts the URL of a server of NATS. What it says is wrong does not show a password.
func checkNATS(s string) error {
	u, err := url.Parse(s)
	known := err == nil && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)
	switch {
	case !known && strings.Contains(s, "@"):
		return errors.New(`want a URL such as "nats://user:password@10.0.0.1:4222"`)
	case !known || u.Hostname() == "" || strings.Contains(u.Host, ","):
		return errWant
	case u.Path != "" && u.Path != "/" && !strings.HasPrefix(u.Scheme, "ws"):
		return fmt.Errorf("a server of NATS has no path; leave %s out", u.Path)
	}
	if n, err := strconv.Atoi(cmp.Or(u.Port(), "4222")); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("the port %s is none from 1 to 65535", u.Port())
	}
	return nil
}

// overWebSocket reports whether a server of NATS is reached by WebSocket.
func overWebSocket(server string) bool { return strings.HasPrefix(server, "ws") }

// checkRoute accepts an address at which other nodes can reach one.
func checkRoute(s string) error {
	if err := checkAddress(s); err != nil {
		return err
	}
	if everyAddress(s) {
		return fmt.Errorf("other nodes cannot reach %s; give the address or the name of the node's machine", s)
	}
	return nil
}

// checkCredentials accepts a file as nsc makes it.
func checkCredentials(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("cannot read %s: %s", name, reason(err))
	}
	if !bytes.Contains(text, []byte("BEGIN NATS USER JWT")) || !bytes.Contains(text, []byte("BEGIN USER NKEY SEED")) {
		return fmt.Errorf("%s has no JWT and seed of a user; nsc generate creds prints one that has", name)
	}
	return nil
}

// checkCluster finds what is wrong with the settings of the cluster together.
func (c *config) checkCluster() problems {
	var found problems
	cl := &c.cluster
	host, _, _ := net.SplitHostPort(cl.listen)
	beyond := cl.listen != "" && !isLoopback(host)
	for _, rule := range []struct {
		broken     bool
		flag, what string
	}{
		{cl.listen != "" && len(cl.servers) > 0, "nats-servers", "there is a server of NATS in this process already, by Cluster.Listen; give one of the two"},
		{cl.listen == "" && len(cl.routes) > 0, "cluster-routes", "routes need Cluster.Listen: the address at which other nodes reach this one"},
		{cl.listen == "" && cl.secret != "", "cluster-secret", "a secret needs Cluster.Listen; servers of NATS have users and passwords of their own, in NATS"},
		{beyond && cl.secret == "" && cl.tls == tlsFiles{}, "cluster-listen", "other machines reach this address; give the nodes a Cluster.Secret, or certificates"},
		{cl.dir != "" && cl.listen == "", "cluster-dir", "a directory needs Cluster.Listen; other servers of NATS store events with NATS.Streams"},
		{cl.streams && len(cl.servers) == 0, "nats-streams", "give NATS.Servers; with Cluster.Listen a Cluster.Dir is what stores events"},
		{cl.dir != "" && len(cl.routes) == 0, "cluster-routes", "with Cluster.Dir want the addresses of all nodes, this one among them: that of this one, if it is alone"},
		{cl.replicas != 0 && cl.replicas%2 == 0, "cluster-replicas", "want 1, 3 or 5: an even number survives no more losses than one less"},
		{cl.dir != "" && cl.replicas > max(len(cl.routes), 1), "cluster-replicas", "there are fewer nodes in Cluster.Routes"},
		{cl.tls.partly(), "cluster-tls-cert", "want all three of TLSCertFile, TLSKeyFile and TLSCAFile"},
		{(cl.natsTLS.cert != "") != (cl.natsTLS.key != ""), "nats-tls-cert", "a certificate needs its key, and a key its certificate"},
		{cl.password != "" && cl.user == "", "nats-password", "a password needs its user; give NATS.User"},
		{cl.credentials != "" && cl.user+cl.token != "", "nats-credentials", "there is a NATS.User or NATS.Token already; give one of them"},
		{cl.user != "" && cl.token != "", "nats-token", "there is a NATS.User already; give one of the two"},
		{slices.ContainsFunc(cl.servers, overWebSocket) && !all(cl.servers, overWebSocket), "nats-servers", "want either ws:// and wss:// or nats:// and tls://, not both"},
		{cl.listen != "" && c.clients(cl.listen), "cluster-listen", "clients have this port already; give the nodes another"},
		{cl.listen != "" && cl.listen == c.admin, "cluster-listen", "it is the admin port; give the nodes another"},
		{cl.secret != "" && len(cl.secret) < secretMin, "cluster-secret", fmt.Sprintf("whoever guesses it reads everything; give at least %d characters, as of: openssl rand -hex 16", secretMin)},
	} {
		if rule.broken {
			found = append(found, problem{where: c.origin[rule.flag], what: rule.what})
		}
	}
	return slices.Concat(found, c.checkRoutes(), c.checkIdle(), c.checkFiles())
}

// all reports whether f is true for each of the strings.
func all(list []string, f func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !f(s) })
}

// clients reports whether clients reach the server at an address, if it is one of this machine.
func (c *config) clients(address string) bool {
	host, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	return (port == c.port || port == c.tlsPort) && sameHost(host, c.host)
}

// checkRoutes finds nodes that are named twice: then there seem to be more than there are.
func (c *config) checkRoutes() (found problems) {
	routes := c.cluster.routes
	for i, route := range routes {
		if slices.Contains(routes[:i], route) {
			found = append(found, problem{where: c.origin["cluster-routes"], what: route + " is there twice; name each node once"})
		}
	}
	return found
}

// checkIdle finds settings which say that a cluster is wanted that there is not.
func (c *config) checkIdle() (found problems) {
	const (
		noListen  = "it is for Cluster.Listen, which is not given; the files for servers of NATS are those of NATS"
		noServers = "there is no server of NATS to connect to; give NATS.Servers"
	)
	cl := &c.cluster
	for flag, value := range map[string]string{"cert": cl.tls.cert, "key": cl.tls.key, "ca": cl.tls.ca} {
		if value != "" && cl.listen == "" {
			found = append(found, problem{where: c.origin["cluster-tls-"+flag], what: noListen})
		}
	}
	for flag, value := range map[string]string{
		"credentials": cl.credentials, "user": cl.user, "password": cl.password, "token": cl.token,
		"tls-cert": cl.natsTLS.cert, "tls-key": cl.natsTLS.key, "tls-ca": cl.natsTLS.ca,
	} {
		if value != "" && len(cl.servers) == 0 {
			found = append(found, problem{where: c.origin["nats-"+flag], what: noServers})
		}
	}
	slices.SortFunc(found, func(a, b problem) int { return cmp.Compare(a.where, b.where) })
	return found
}

// checkFiles finds what is wrong with the files that are named. Pipes can be read only once, so
// it leaves them.
func (c *config) checkFiles() (found problems) {
	cl := &c.cluster
	note := func(flag string, err error) {
		if err != nil {
			found = append(found, problem{where: c.origin[flag], what: err.Error(), content: true})
		}
	}
	if areRegular(cl.credentials) {
		note("nats-credentials", checkCredentials(cl.credentials))
	}
	for i, files := range []tlsFiles{cl.tls, cl.natsTLS} {
		prefix := []string{"cluster-tls-", "nats-tls-"}[i]
		if areRegular(files.cert, files.key) {
			if _, err := tls.LoadX509KeyPair(files.cert, files.key); err != nil {
				note(prefix+"cert", fmt.Errorf("%s and %s are no certificate and its key: %w", files.cert, files.key, err))
			}
		}
		if areRegular(files.ca) {
			_, err := (tlsFiles{ca: files.ca}).config()
			note(prefix+"ca", err)
		}
	}
	return found
}

// areRegular reports whether all of them are the names of regular files.
func areRegular(names ...string) bool {
	return all(names, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.Mode().IsRegular()
	})
}

// secretMin is how long the secret of a cluster is at least: what is sent between nodes can
// be recorded, and secrets tried at leisure.
const secretMin = 16

// partly reports whether some of the files are named, and some are not.
func (f tlsFiles) partly() bool {
	n := 0
	for _, name := range []string{f.cert, f.key, f.ca} {
		if name != "" {
			n++
		}
	}
	return n == 1 || n == 2
}

// clusterWarnings returns what is allowed for a cluster but seldom meant.
func (c *config) clusterWarnings() (ws []string) {
	cl := &c.cluster
	for _, s := range clusterSettings() {
		if _, given := c.origin[s.flag]; !given {
			continue
		}
		name, _ := strings.CutPrefix(s.key, "Cluster.")
		switch {
		case !cl.on() && (name == "Name" || name == "Node"):
			ws = append(ws, s.key+" does nothing: there is no cluster; give Cluster.Listen, or NATS.Servers")
		case cl.dir == "" && name == "Sync", !cl.keeps() && slices.Contains([]string{"Replicas", "Logs", "MaxBytes", "PublishTimeout"}, name):
			ws = append(ws, s.key+" does nothing: the nodes store no events; give Cluster.Dir, or NATS.Streams")
		}
	}
	if !cl.on() {
		return ws
	}
	if host, _, _ := net.SplitHostPort(cl.listen); cl.listen != "" && len(cl.routes) == 0 && !isLoopback(host) {
		ws = append(ws, "there are no Cluster.Routes: this node looks for no others; name all nodes, the same list on each")
	}
	if cl.listen != "" && len(cl.routes) > 0 && !slices.Contains(cl.routes, cl.listen) && !everyAddress(cl.listen) {
		ws = append(ws, fmt.Sprintf("Cluster.Routes lack the address of this node, %s: the list is the same on each node, and names them all", cl.listen))
	}
	if n := len(cl.routes); cl.dir != "" && n%2 == 0 && n > 0 {
		ws = append(ws, fmt.Sprintf("with Cluster.Dir an even number of nodes, %d, survives no more losses than %d: want 1, 3 or 5", n, n-1))
	}
	if cl.dir != "" && cl.isStoredInMemory() {
		ws = append(ws, fmt.Sprintf("Cluster.Dir %s is in memory (tmpfs): what is stored ends with the machine; give it a disk", cl.dir))
	}
	if cl.keeps() && !slices.ContainsFunc(c.hubs, func(h hub) bool { return slices.ContainsFunc(h.Rules, keepsEvents) }) {
		ws = append(ws, "the nodes can store histories together, and no rule of a hub has a History: nothing is stored")
	}
	for _, h := range c.hubs {
		if h.MaxMessageSize > payloadMin {
			ws = append(ws, fmt.Sprintf("the hub at %s takes messages of more than 1 MiB; what NATS has no room for does not reach other nodes, and their clients are told", h.path))
		}
	}
	return ws
}

// clusterSummary says which node this is, how it reaches the others, and where histories are.
func (c *config) clusterSummary() string {
	cl := &c.cluster
	what, err := c.nodeName()
	if err != nil {
		what = "?" // the start will say it
	}
	what = "node " + what
	if cl.listen != "" {
		what += fmt.Sprintf(" at %s, %d in Routes", cl.listen, len(cl.routes))
	} else {
		var servers []string
		for _, s := range cl.servers {
			if u, err := url.Parse(s); err == nil { // it has been checked
				servers = append(servers, u.Redacted())
			}
		}
		what += ", through " + strings.Join(servers, ", ")
	}
	if !cl.keeps() {
		return what + "; each node keeps histories for itself, in memory"
	}
	replicas := cl.streamsConfig().Replicas
	if replicas == 0 {
		replicas = 3
	}
	where := "JetStream"
	if cl.dir != "" {
		where = cl.dir
	}
	return what + fmt.Sprintf("; histories in %s, replicas: %d", where, replicas)
}

// isStoredInMemory reports whether the directory is, or would be, on a disk that is none.
func (c *clusterConfig) isStoredInMemory() bool {
	place := c.dir // or the first directory above it that is there
	for {
		if _, err := os.Stat(place); err == nil || place == filepath.Dir(place) {
			break
		}
		place = filepath.Dir(place)
	}
	var of unix.Statfs_t
	return unix.Statfs(place, &of) == nil && (of.Type == unix.TMPFS_MAGIC || of.Type == unix.RAMFS_MAGIC)
}

// keepsEvents reports whether the channels of a rule have a history.
func keepsEvents(r webrocket.Rule) bool { return r.History.Size > 0 }

// payloadMin is what servers of NATS take at least, unless they are told otherwise.
const payloadMin = 1<<20 - 4<<10

// everyAddress reports whether an address is none that others could name.
func everyAddress(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	return host == "" || net.ParseIP(host).IsUnspecified()
}

// config returns the TLS of the files, nil if there are none.
func (f tlsFiles) config() (*tls.Config, error) {
	if f == (tlsFiles{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: there is no certificate in PEM in it", f.ca)
		}
		c.ClientCAs, c.ClientAuth = c.RootCAs, tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// notNameable is what machines have in their names, and nodes have not.
var notNameable = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// nodeName returns the name of this node: that of the machine, and of the port at which
// other nodes or clients reach it, since there may be several nodes on a machine.
func (c *config) nodeName() (string, error) {
	if c.cluster.node != "" {
		return c.cluster.node, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("this machine has no name; give Cluster.Node: %w", err)
	}
	port := strconv.Itoa(c.port)
	if c.cluster.listen != "" {
		_, port, _ = net.SplitHostPort(c.cluster.listen)
	}
	return nodeNameOf(name, port), nil
}

// nodeNameOf returns the name of a node on a machine. A machine's name that is too long is cut, and
// has a hash for what it lacks: machines may differ there alone.
func nodeNameOf(machine, port string) string {
	const most = 50
	if len(machine) > most {
		sum := sha256.Sum256([]byte(machine))
		machine = machine[:most-9] + "-" + hex.EncodeToString(sum[:4])
	}
	return notNameable.ReplaceAllString(machine, "-") + "-" + port
}

// A clusterMember is this process in a cluster.
type clusterMember struct {
	*cluster.Node
	server *embedded.Server // nil if the servers are others
}

// join makes this process a node of its cluster, if it has one; otherwise it returns nil.
func (c *config) join(log *slog.Logger) (*clusterMember, error) {
	if !c.cluster.on() {
		return nil, nil
	}
	m, err := c.joinOne(log)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return m, nil
}

func (c *config) joinOne(log *slog.Logger) (*clusterMember, error) {
	cl := &c.cluster
	node, err := c.nodeName()
	if err != nil {
		return nil, err
	}
	config := cluster.Config{
		Name: cl.name, Node: node, Servers: cl.servers, Log: log,
		Credentials: cl.credentials, User: cl.user, Password: cl.password, Token: cl.token,
	}
	if config.TLS, err = cl.natsTLS.config(); err != nil {
		return nil, err
	}
	if cl.keeps() {
		config.Streams = cl.streamsConfig()
	}
	m := new(clusterMember)
	if cl.listen != "" {
		if m.server, err = cl.embed(node, log); err != nil {
			return nil, err
		}
		config.Embedded = m.server
	}
	if m.Node, err = cluster.Start(config); err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

// streamsConfig says how events are stored.
func (c *clusterConfig) streamsConfig() *cluster.Streams {
	s := &cluster.Streams{Replicas: c.replicas, Logs: c.logs, MaxBytes: c.maxBytes, PublishTimeout: c.timeout}
	if s.Replicas == 0 && c.dir != "" && len(c.routes) < 3 {
		s.Replicas = 1
	}
	return s
}

// embed starts a server of NATS in this process.
func (c *clusterConfig) embed(node string, log *slog.Logger) (*embedded.Server, error) {
	between, err := c.tls.config()
	if err != nil {
		return nil, err
	}
	return embedded.Start(embedded.Config{
		Name: c.name, Node: node, Listen: c.listen, Routes: c.routes, Secret: c.secret, TLS: between, Log: log,
		Dir: c.dir, SyncSeldom: c.sync == "interval",
	})
}

// goodbyeTimeout is how long the last events may take to NATS.
const goodbyeTimeout = 2 * time.Second

// leave ends what join began. The server of webrocket has been shut down before.
func (m *clusterMember) leave(log *slog.Logger) {
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		log.Warn(err.Error())
	}
	m.stop()
}

// stop ends the server of NATS in this process, if there is one.
func (m *clusterMember) stop() {
	if m.server != nil {
		m.server.Shutdown()
	}
}
