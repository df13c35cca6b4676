// Package embedded answers the question: how does a server of NATS run inside a node?
//
// Start runs one that other nodes reach at one port, for routes alone: clients of NATS
// find none, beside the Node of this process, which package cluster connects through
// memory. Only cmd/rocket imports this package: programs that use the servers that they have
// need not link one.
//
// # Who may join
//
// Nodes that are reached over a network prove who they are, and nobody reads what they
// send. A shared secret is enough for both: each node makes an authority of it, the same on
// all nodes, and a certificate of its own by that authority (authority.go). Or there are
// certificates in files.
//
// # Ownership
//
// The goroutines are those of nats-server; Shutdown waits for them.
//
// # Limits
//
// Without a directory there are no streams and no disk. There is one account, beside that of
// the system, of which an operator removes servers that do not come back. A message has 8 MiB
// at most.
package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Config says where the server of a node listens, and for whom.
type Config struct {
	// Name is the name of the cluster, Node that of the node.
	Name, Node string

	// Listen is the "host:port" at which other nodes reach this one.
	Listen string

	// Routes are the addresses of all nodes, this one among them, as "host:port".
	Routes []string

	// Secret lets nodes in that have it, and encrypts between them. If empty, everybody
	// that reaches Listen is let in, unless TLS is set.
	Secret string

	// TLS is the node's certificate and the authorities of the others' ones, instead of
	// those made of the Secret. If nil and there is no Secret, nothing is encrypted.
	TLS *tls.Config

	// Dir is a directory of this node alone, in which streams are stored. It is made if need
	// be. If empty, the server stores nothing; either all nodes have a directory or none.
	// Streams can be made once all nodes have been there; later most of them suffice. A
	// node that is alone in Routes listens for no others.
	Dir string

	// SyncSeldom leaves it to the system when what is stored reaches the disk, within 2
	// minutes. If false, that is so before it is acknowledged.
	SyncSeldom bool

	// Log receives warnings and errors. If nil, slog.Default().
	Log *slog.Logger
}

// A Server is a server of NATS in this process. It is a cluster.Embedded.
type Server struct {
	server                   *server.Server
	password, systemPassword string
	peers                    int
}

// Users of the server. Only this process knows their passwords.
const (
	clientUser = "rocket"
	systemUser = "operator"
)

// maxPayload is how many bytes a message may have.
const maxPayload = 8 << 20

// reportEvery is how many attempts to reach another node fail before it is logged again:
// there is one in a second.
const reportEvery = 600

// startTimeout is how long the server may take until it listens.
const startTimeout = 10 * time.Second

// Start starts a server. It returns an error if the address cannot be listened on, or the
// settings are wrong.
func Start(c Config) (*Server, error) {
	host, port, err := splitAddress(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := free(c.Listen); err != nil {
		return nil, err
	}
	o := &server.Options{
		ServerName: c.Node, Host: "127.0.0.1", Port: server.RANDOM_PORT, // routes begin only if clients have a port
		NoSigs: true, MaxPayload: maxPayload, MaxPending: 64 << 20,
		ConnectErrorReports: reportEvery, ReconnectErrorReports: reportEvery,
		Cluster: server.ClusterOpts{Name: c.Name, Host: host, Port: port, NoAdvertise: true, ConnectRetries: -1, PoolSize: 1},
	}
	if c.Secret != "" {
		sum := sha256.Sum256([]byte("rocket cluster password\x00" + c.Secret))
		o.Cluster.Username, o.Cluster.Password = "rocket", hex.EncodeToString(sum[:])
	}
	if o.Cluster.TLSConfig = c.TLS; c.TLS == nil && c.Secret != "" {
		if o.Cluster.TLSConfig, err = authorityOf(c.Secret, c.Node); err != nil {
			return nil, err
		}
	}
	if o.Cluster.TLSConfig != nil {
		o.Cluster.TLSTimeout = 5
	}
	if c.Dir == "" {
		// NATS refuses a server that has the name of another one, and streams alone need one
		// that stays. Nodes tell by themselves if two have one name.
		o.ServerName += "-" + rand.Text()[:8]
	} else {
		o.JetStream, o.StoreDir, o.SyncAlways = true, c.Dir, !c.SyncSeldom
		o.Cluster.PoolSize = 3
	}
	s := &Server{password: rand.Text(), systemPassword: rand.Text()}
	system := server.NewAccount(server.DEFAULT_SYSTEM_ACCOUNT)
	o.Accounts, o.SystemAccount = []*server.Account{system}, system.Name
	o.Users = []*server.User{
		{Username: clientUser, Password: s.password},
		{Username: systemUser, Password: s.systemPassword, Account: system},
	}
	for _, address := range c.Routes {
		if _, _, err := splitAddress(address); err != nil {
			return nil, fmt.Errorf("route: %w", err)
		}
		route := &url.URL{Scheme: "nats-route", Host: address}
		if c.Secret != "" {
			route.User = url.UserPassword(o.Cluster.Username, o.Cluster.Password)
		}
		o.Routes = append(o.Routes, route)
	}
	s.peers = max(len(c.Routes)-1, 0)
	if c.Dir != "" && s.peers == 0 { // a group of one would wait for others
		o.Cluster, o.Routes = server.ClusterOpts{}, nil
	}
	if s.server, err = server.NewServer(o); err != nil {
		return nil, err
	}
	log := &logger{log: c.log().With("node", c.Node)}
	s.server.SetLoggerV2(log, false, false, false)
	s.server.Start()
	if !s.server.ReadyForConnections(startTimeout) {
		s.server.Shutdown()
		return nil, fmt.Errorf("the server of NATS inside this process does not start: %s", cmp.Or(log.whyNot(), "it takes too long"))
	}
	return s, nil
}

// free returns an error if an address cannot be listened on. nats-server would end the
// process.
func free(address string) error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	return host, port, err
}

func (c *Config) log() *slog.Logger {
	if c.Log == nil {
		return slog.Default()
	}
	return c.Log
}

// InProcessConn makes Server a cluster.Embedded.
func (s *Server) InProcessConn() (net.Conn, error) { return s.server.InProcessConn() }

// Peers makes Server a cluster.Embedded.
func (s *Server) Peers() int { return s.peers }

// Login returns what the client of this process logs in with.
func (s *Server) Login() (user, password string) { return clientUser, s.password }

// SystemLogin makes Server a cluster.Embedded.
func (s *Server) SystemLogin() (user, password string) { return systemUser, s.systemPassword }

// Whole makes Server a cluster.Embedded.
func (s *Server) Whole() error {
	if health := s.server.Healthz(nil); health.StatusCode != http.StatusOK {
		return errors.New(health.Error)
	}
	return nil
}

// Shutdown ends the server, and waits for that.
func (s *Server) Shutdown() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
