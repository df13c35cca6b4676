package engine

import (
	"log/slog"
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

	// PingInterval is the silence after which a ping is sent (RFC 6455 §5.5.2), at
	// most an eighth of it earlier, so that not everybody is pinged at once.
	// If zero, 25 s: proxies cut connections off that are silent for 50 to 60 s.
	// Negative: no pings.
	PingInterval time.Duration

	// PongTimeout is the silence after a ping that ends the connection. If zero,
	// 20 s.
	PongTimeout time.Duration

	// MessageTimeout is how long a message may take to arrive, from its first byte
	// to its last. If zero, 60 s. Negative: for ever.
	MessageTimeout time.Duration

	// CloseTimeout is how long a closing handshake may take. If zero, 5 s.
	// Negative: for ever.
	CloseTimeout time.Duration

	// MemoryLimit is how much memory the process may use, in bytes: newcomers are
	// refused with 503 when 80 % of it are in use. If zero, what the Go runtime
	// has been told (GOMEMLIMIT, debug.SetMemoryLimit). Negative: no limit.
	MemoryLimit int64

	// StallTimeout is how long a loop may be at one piece of work before that is
	// logged, with what all goroutines are doing. If zero, 10 s. Negative: never.
	StallTimeout time.Duration

	// SendBuffer is the size of the kernel's send buffer of each connection, in
	// bytes: what a slow reader can hold there. If zero, 128 KiB. Negative: the
	// kernel decides, up to its tcp_wmem.
	SendBuffer int

	// Log receives what an operator should know. If nil, slog.Default().
	Log *slog.Logger

	// Worker makes what works on each loop in each turn. If nil, nothing does.
	Worker func(*Loop) Worker
}

// Worker does work of its own on a loop, in each turn, between reading and
// writing.
type Worker interface {
	// Work is called on the loop. It returns for how long it wants to be left
	// alone: 0 to be called again after the next round of input and output,
	// more to pause the whole loop before that, negative if it has nothing left
	// to do and will call Loop.Wake when it has.
	Work() (pause time.Duration)
}

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
	DefaultMaxMessageSize   = 64 << 10
	DefaultMaxQueuedBytes   = 1 << 20

	DefaultCompressionThreshold = 512
)

// MessageMax is the highest MaxMessageSize, in bytes: a message is in memory as a
// whole, and no sum of sizes overflows.
const MessageMax = 1 << 30

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

// An Endpoint is what answers the connections to one path.
type Endpoint struct {
	// Handler gets the events of the connections. It must be set.
	Handler Handler

	// Origins are the origins of pages that may connect ("https://example.com"),
	// in a spelling that codec.ParseOrigin takes; others match nothing. "*" is any,
	// and "https://*.example.com" are all subdomains of example.com, at any depth.
	// If empty, any. A request without the header is not from a page and is let in.
	Origins []string

	// Subprotocols are the names that may be selected (RFC 6455 §1.9). The
	// client's order decides.
	Subprotocols []string

	// MaxMessageSize limits a message of a client, in bytes; a larger one is
	// closed with 1009 before it is buffered. If zero, 64 KiB. It is at most
	// MessageMax.
	MaxMessageSize int

	// MaxQueuedBytes limits what waits for one slow reader, in bytes, beside
	// the kernel's send buffer and behind the message that is being sent; above
	// it Slow says what happens. Each message counts 40 bytes more than it has, 80
	// where Slow drops events. If zero, 1 MiB.
	MaxQueuedBytes int

	// Slow is what happens to a reader for which more waits than that.
	Slow SlowPolicy

	// Lost makes the frame that tells a client how many events of a channel it
	// has lost. It must be set if Slow is DropOldest.
	Lost func(channel string, n int) []byte

	// Compression lets clients agree on permessage-deflate (RFC 7692), without
	// context takeover: no connection keeps a buffer for it.
	Compression bool

	// CompressionThreshold is the shortest message that is compressed, in
	// bytes. If zero, 512.
	CompressionThreshold int

	path    string
	origins []string // Origins as browsers spell them
}

func (e Endpoint) withDefaults() *Endpoint {
	e.origins = nil
	for _, o := range e.Origins {
		if o, err := codec.ParseOrigin(o); err == nil {
			e.origins = append(e.origins, o)
		}
	}
	setDefault(&e.MaxMessageSize, DefaultMaxMessageSize)
	e.MaxMessageSize = min(e.MaxMessageSize, MessageMax)
	setDefault(&e.MaxQueuedBytes, DefaultMaxQueuedBytes)
	setDefault(&e.CompressionThreshold, DefaultCompressionThreshold)
	return &e
}

// A Handler gets the events of a connection, on the loop that owns it. A panic
// in one of its methods closes that connection with 1011.
type Handler interface {
	// OnOpen is called once the opening handshake is done.
	OnOpen(c *Conn)

	// OnMessage is called with each whole message. The payload is valid until
	// OnMessage returns, and may be modified; text is valid UTF-8.
	OnMessage(c *Conn, op codec.Opcode, payload []byte)

	// OnClose is called once for each OnOpen, when nothing can be sent any
	// more, at the end of the turn in which that became so. The reason is a
	// *codec.CloseError with the code that one of the sides gave, or what broke
	// the connection.
	OnClose(c *Conn, reason error)
}
