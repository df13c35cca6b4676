package cluster

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"time"
)

// Config says which cluster a Node belongs to, and how it reaches NATS.
type Config struct {
	// Name is the name of the cluster: letters, digits, "-" and "_". Nodes of other
	// names share the servers of NATS without hearing each other. If empty, "rocket".
	Name string

	// Node is the name of this node, which no other node of the cluster has. A node
	// that is started again keeps it. It must be set.
	Node string

	// Servers are the URLs of the servers of NATS, such as "nats://10.0.0.1:4222".
	Servers []string

	// Credentials is the name of a file with a JWT and its seed, as nsc makes it; User
	// and Password, or Token, are what the servers may want instead. If empty, none.
	Credentials, User, Password, Token string

	// TLS is for connections to Servers. If nil, what their URLs say.
	TLS *tls.Config

	// Embedded, if it is set, is a server in this process, which is used instead of
	// Servers: package embedded starts one.
	Embedded Embedded

	// Streams says how the histories of channels are replicated: the servers of NATS need
	// JetStream. If nil, each node keeps those of its own.
	Streams *Streams

	// Log receives what an operator should know. If nil, slog.Default().
	Log *slog.Logger
}

// Streams says how events of channels with a history are stored in NATS.
type Streams struct {
	// Replicas is how many servers store each event: 1, 3 or 5. If zero, 3.
	Replicas int

	// Logs is how many logs the channels of a hub share. All nodes must have the same
	// number, and a cluster keeps it for good. If zero, 1.
	Logs int

	// MaxBytes is how many bytes each log may have in NATS; beyond them the oldest events
	// go. If zero, 1 GiB.
	MaxBytes int64

	// PublishTimeout is how long a publish waits until its event is stored. If zero, 5
	// seconds.
	PublishTimeout time.Duration
}

// withDefaults returns the settings with the defaults filled in.
func (s Streams) withDefaults() Streams {
	s.Replicas = cmp.Or(s.Replicas, 3)
	s.Logs = cmp.Or(s.Logs, 1)
	s.MaxBytes = cmp.Or(s.MaxBytes, 1<<30)
	s.PublishTimeout = cmp.Or(s.PublishTimeout, 5*time.Second)
	return s
}

// Embedded is a server of NATS in this process.
type Embedded interface {
	InProcessConn() (net.Conn, error)

	// Login returns what the client in this process logs in with.
	Login() (user, password string)

	// SystemLogin returns what its operator logs in with, who can remove a server from those
	// that store streams.
	SystemLogin() (user, password string)

	// Peers returns how many other nodes there should be.
	Peers() int

	// Whole returns an error as long as the server has not all that it should store with others.
	Whole() error
}

// DefaultName is the name of a cluster that has been given none.
const DefaultName = "rocket"

var nameable = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// CheckName returns what is wrong with the name of a cluster or a node.
func CheckName(name string) error {
	if !nameable.MatchString(name) {
		return fmt.Errorf("%q cannot name a cluster or a node: want 1 to 64 letters, digits, - and _", name)
	}
	return nil
}

// check returns what is wrong with the settings.
func (c *Config) check() error {
	switch {
	case c.Embedded == nil && len(c.Servers) == 0:
		return errors.New("neither Servers nor an Embedded one is given")
	case c.Embedded != nil && len(c.Servers) > 0:
		return errors.New("both Servers and an Embedded one are given")
	}
	for _, name := range []string{c.Name, c.Node} {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	if c.Credentials != "" {
		if _, err := os.ReadFile(c.Credentials); err != nil {
			return err
		}
	}
	return nil
}
