package bench

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Options say what to run. DefaultOptions are the place to start from.
type Options struct {
	Target  string `json:"target,omitempty"` // ws:// or wss://host:port/path; empty: start a server
	Dialect string `json:"dialect"`
	Secret  string `json:"-"`
	NoAuth  bool   `json:"noAuth,omitempty"` // do not authenticate
	Owned   bool   `json:"-"`                // the target may be another machine

	TLS      bool   `json:"tls,omitempty"`      // the server speaks TLS: it is started so, or the target is wss://
	CA       string `json:"-"`                  // file of certificates in PEM to trust; empty: those of the system
	Insecure bool   `json:"insecure,omitempty"` // take any certificate

	Server     string `json:"server,omitempty"` // program to start; empty: look for it
	ServerArgs string `json:"serverArgs,omitempty"`
	Loops      int    `json:"loops"`
	ServerPID  int    `json:"-"`
	ServerCPUs []int  `json:"serverCPUs,omitempty"`
	CPUs       []int  `json:"cpus,omitempty"` // of the generator

	Conns      int           `json:"conns"`
	Channels   int           `json:"channels,omitempty"`
	Publishers int           `json:"publishers,omitempty"`
	Rate       float64       `json:"rate,omitempty"`     // publishes per second, together; open loop
	Saturate   int           `json:"saturate,omitempty"` // unfinished publishes per publisher and channel; closed loop
	Payload    int           `json:"payload"`            // bytes
	Count      int           `json:"count,omitempty"`    // publishes, warm-up included, after which a run ends early; 0: no bound
	Warmup     time.Duration `json:"warmup"`
	Duration   time.Duration `json:"duration"`
	Drain      time.Duration `json:"drain"` // how long nothing may come before what is missing is lost

	Threads        int           `json:"threads"`
	Handshakes     int           `json:"handshakes"`            // under way at a time, per thread
	ConnectRate    float64       `json:"connectRate,omitempty"` // per second; 0: as fast as they are answered
	ConnectTimeout time.Duration `json:"connectTimeout"`
	Sources        []string      `json:"sources,omitempty"`

	Stalled   float64       `json:"stalled,omitempty"` // slow: share of subscribers that do not read
	Churn     float64       `json:"churn,omitempty"`   // churn: joins per second
	Hold      time.Duration `json:"hold,omitempty"`    // churn: length of a stay
	Rounds    int           `json:"rounds,omitempty"`  // storm, recovery: how often
	Missed    int           `json:"missed,omitempty"`  // recovery: publishes to each channel while nobody is there
	api       bool          // start a server that takes publishes by HTTP
	History   int           `json:"history,omitempty"`   // events that the server keeps of each channel; 0: none
	ProbeRate float64       `json:"probeRate,omitempty"` // broadcast: publishes per second in another channel
	NoFloor   bool          `json:"noFloor,omitempty"`

	Nodes int  `json:"nodes,omitempty"` // 2: two servers, with another between them; publishers are at the other one. 3: see meshNodes
	Near  bool `json:"near,omitempty"`  // with two: publishers are at the subscribers' node

	between     string    // URL of the server between those that are started; empty: there is none
	mesh        []string  // addresses at which servers that are started reach each other, its own first; empty: they do not
	publishTo   []string  // addresses of the servers for connections that only publish, in turn; empty: the target
	subscribeTo []string  // the same for all others
	since       time.Time // from which the run's clock counts; zero: its start
}

// Bounds of a run.
const (
	maxConns    = 2_000_000
	maxDuration = time.Hour
	maxInFlight = 1 << 20
	maxRounds   = 4096
	maxPayload  = 64 << 10
)

// DefaultOptions are common to all scenarios; each has defaults of its own beside them.
func DefaultOptions() Options {
	generator, server := splitCPUs()
	return Options{
		Dialect: "rocket", Loops: 1, CPUs: generator, ServerCPUs: server,
		Payload: 128, Warmup: 2 * time.Second, Duration: 10 * time.Second, Drain: 3 * time.Second,
		Threads: 1, Handshakes: 256, ConnectTimeout: 3 * time.Minute,
	}
}

// ErrUsage is wrapped by all errors about options.
var ErrUsage = errors.New("bad options")

func (o *Options) check() error {
	switch {
	case o.Conns < 1 || o.Conns > maxConns:
		return fmt.Errorf("%w: -conns must be 1 to %d", ErrUsage, maxConns)
	case o.Channels < 1 || o.Channels > o.Conns:
		return fmt.Errorf("%w: -channels must be 1 to the number of connections, %d", ErrUsage, o.Conns)
	case o.Publishers < 1 || o.Publishers > maxConns:
		return fmt.Errorf("%w: -publishers must be 1 to %d", ErrUsage, maxConns)
	case o.Payload < minPayload || o.Payload > maxPayload:
		return fmt.Errorf("%w: -payload must be %d to %d", ErrUsage, minPayload, maxPayload)
	case o.Rate < 0 || o.Saturate < 0 || o.Saturate > maxInFlight || o.ConnectRate < 0 || o.Churn < 0 || o.ProbeRate < 0 || o.Count < 0:
		return fmt.Errorf("%w: a rate or count is negative or too large", ErrUsage)
	case o.Rate > 0 && o.Saturate > 0:
		return fmt.Errorf("%w: -rate and -saturate exclude each other", ErrUsage)
	case o.Warmup < 0 || o.Duration <= 0 || o.Drain <= 0 || o.Warmup+o.Duration > maxDuration:
		return fmt.Errorf("%w: -warmup and -duration must be positive, together at most %v", ErrUsage, maxDuration)
	case o.Threads < 1 || o.Threads > 64 || o.Handshakes < 1 || o.ConnectTimeout <= 0 || o.Loops < 1:
		return fmt.Errorf("%w: -threads must be 1 to 64; -handshakes, -connect-timeout and -loops must be positive", ErrUsage)
	case o.Nodes < 0 || o.Nodes > meshNodes:
		return fmt.Errorf("%w: -nodes must be 1 to %d", ErrUsage, meshNodes)
	case o.Stalled < 0 || o.Stalled >= 1:
		return fmt.Errorf("%w: -stalled must be at least 0 and less than 1", ErrUsage)
	case o.CA != "" && o.Insecure:
		return fmt.Errorf("%w: -ca and -insecure exclude each other", ErrUsage)
	case o.Target == "" && (o.CA != "" || o.Insecure):
		return fmt.Errorf("%w: -ca and -insecure are for a -target; a server that is started is trusted", ErrUsage)
	case o.History < 0 || o.Missed < 0 || o.Missed > o.History:
		return fmt.Errorf("%w: -missed must be at least 0, and at most -history", ErrUsage)
	case o.Rounds < 0 || o.Rounds > maxRounds:
		return fmt.Errorf("%w: -rounds must be at most %d", ErrUsage, maxRounds)
	}
	return nil
}

// parseTarget accepts loopback, and other machines if they are said to be one's own.
func parseTarget(raw string, owned bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: -target: %w", ErrUsage, err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: -target %q is not ws:// or wss://host:port/path", ErrUsage, raw)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	if owned {
		return u, nil
	}
	addrs, err := net.LookupIP(u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("%w: -target: %w", ErrUsage, err)
	}
	for _, a := range addrs {
		if !a.IsLoopback() {
			return nil, fmt.Errorf("%w: %s is not loopback; -i-own-this-target if you may load it", ErrUsage, u.Hostname())
		}
	}
	return u, nil
}
