package engine

import (
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// Config holds the settings of an Engine. The zero value works.
type Config struct {
	// Loops is the number of event loops, at most 256. If zero, one per core.
	Loops int

	// MaxConnections is how many connections may be open; further ones are
	// refused with 503. If zero, what the open-file limit of the process
	// allows. It is never more than that.
	MaxConnections int

	// HTTP gets the requests that open no WebSocket connection, from net/http
	// (HTTP/1.0 and 1.1): each whose header has neither "Upgrade: websocket" nor
	// one of the Sec-WebSocket fields. Such a connection leaves its loop for good.
	// What comes on it later is HTTP too, and reaches no Endpoint. A request of a
	// trusted proxy (Listener.ForwardedFrom) has its client as RemoteAddr, which
	// has port 0 if the proxy names none. Handlers run on goroutines of their own.
	// One that reads or writes for longer than MessageTimeout has to set a read
	// deadline itself, with http.ResponseController. If nil, such requests are
	// refused, and so they are in a Simulation.
	HTTP http.Handler

	// MaxHTTPConnections is how many connections may be open for HTTP, beside
	// MaxConnections; a further one is refused with 503. If zero, 1,000, or a
	// sixty-fourth of the open files that the process may have, if that is less.
	MaxHTTPConnections int

	// ReusePort allows a port on which another process of the same user listens
	// already: the kernel deals new connections out to both. If false, a port
	// that is taken is an error.
	ReusePort bool

	// ConnectRate is how many connections may come in a second, and
	// ConnectRatePerAddress how many from one address (of IPv6, one network of
	// 64 bits); further ones are refused with 503. A second's worth may come at
	// once. If zero, any number.
	ConnectRate, ConnectRatePerAddress int

	// HandshakeTimeout ends connections that have not sent a whole opening
	// handshake, with that of TLS before it. If zero, 10 s. Negative: never.
	HandshakeTimeout time.Duration

	// HandshakeWorkers is how many TLS handshakes compute at the same time,
	// beside the loops. If zero, one for each two cores, at least one: more
	// would take the loops' time in a flood.
	HandshakeWorkers int

	// PingInterval is the silence after which a ping is sent (RFC 6455 §5.5.2),
	// at most an eighth of it earlier, so that clients are not all pinged at
	// once. If zero, 25 s: proxies close connections that are silent for 50 to
	// 60 s. Negative: no pings.
	PingInterval time.Duration

	// PongTimeout is the silence after a ping that ends the connection. If
	// zero, 20 s.
	PongTimeout time.Duration

	// MessageTimeout is how long a message may take to arrive, from its first
	// byte to its last. If zero, 60 s. Negative: for ever.
	MessageTimeout time.Duration

	// CloseTimeout is how long a closing handshake may take. If zero, 5 s.
	// Negative: for ever.
	CloseTimeout time.Duration

	// MemoryLimit is how much memory the process may use, in bytes: new
	// connections are refused with 503 while 80 % of it are in use. If zero,
	// the limit of the Go runtime (GOMEMLIMIT, debug.SetMemoryLimit). Negative:
	// no limit.
	MemoryLimit int64

	// StallTimeout is the time without a turn after which a loop counts as
	// stalled, which is logged with the stacks of all goroutines. If zero, 10
	// s. Negative: never.
	StallTimeout time.Duration

	// SendBuffer is the size of the kernel's send buffer of each connection, in
	// bytes: what a slow reader can hold there. If zero, 128 KiB. Negative: the
	// kernel decides, up to its tcp_wmem.
	SendBuffer int

	// IOUring says whether the loops send through io_uring, which takes less CPU
	// time where many clients are sent something at the same time. If zero, they do
	// where the kernel lets them.
	IOUring IOUring

	// Log receives what an operator should know. If nil, slog.Default().
	Log *slog.Logger

	// Worker makes the Worker of each loop. If nil, there is none.
	Worker func(*Loop) Worker
}

// Worker does work of its own on a loop, in each turn, between reading and
// writing.
type Worker interface {
	// Work is called on the loop, at least four times a second. now is
	// Loop.Time. It returns 0 to be called again after the next round of input
	// and output, a positive time to pause the whole loop before that, and a
	// negative one if it has nothing left to do and will call Loop.Wake when it
	// has.
	Work(now time.Duration) (pause time.Duration)

	// Written is called on the loop at the end of each turn, when the sockets
	// have been given what was delivered and sent in it.
	Written()
}

// IOUring says whether the loops send through io_uring.
type IOUring uint8

const (
	// IOUringAuto uses io_uring where that works. Where it does not, the log has the
	// reason, and everything is as with IOUringOff.
	IOUringAuto IOUring = iota

	// IOUringOn makes it an error if io_uring does not work.
	IOUringOn

	// IOUringOff sends with send(2).
	IOUringOff
)

// loopsMax is how many loops gnet can have.
const loopsMax = 256

// Defaults of Config and Endpoint.
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultPingInterval     = 25 * time.Second
	DefaultPongTimeout      = 20 * time.Second
	DefaultMessageTimeout   = 60 * time.Second
	DefaultCloseTimeout     = 5 * time.Second
	DefaultStallTimeout     = 10 * time.Second
	DefaultSendBuffer       = 128 << 10
	DefaultMaxMessageSize   = codec.DefaultMaxMessageSize
	DefaultMaxQueuedBytes   = 1 << 20

	DefaultCompressionThreshold = 512

	DefaultMaxHTTPConnections = 1000
)

// MessageMax is the highest MaxMessageSize, in bytes: a message is in memory as
// a whole, and no sum of sizes overflows.
const MessageMax = codec.MaxMessageSize

// withDefaults returns c with every zero field replaced.
func (c Config) withDefaults() Config {
	if c.Loops <= 0 {
		c.Loops = runtime.GOMAXPROCS(0)
	}
	c.Loops = min(c.Loops, loopsMax)
	if c.HandshakeWorkers <= 0 {
		c.HandshakeWorkers = max(runtime.GOMAXPROCS(0)/2, 1)
	}
	setDefault(&c.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&c.PingInterval, DefaultPingInterval)
	setDefault(&c.PongTimeout, DefaultPongTimeout)
	setDefault(&c.MessageTimeout, DefaultMessageTimeout)
	setDefault(&c.CloseTimeout, DefaultCloseTimeout)
	setDefault(&c.StallTimeout, DefaultStallTimeout)
	setDefault(&c.SendBuffer, DefaultSendBuffer)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
