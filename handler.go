package webrocket

import (
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
)

// Conn is one connection. Its methods are for callbacks, on the connection's
// loop; from elsewhere use c.Loop().Post.
type Conn = engine.Conn

// Opcode says what a message is: Text or Binary.
type Opcode = codec.Opcode

// Kinds of messages (RFC 6455 §5.6).
const (
	Text   = codec.OpText
	Binary = codec.OpBinary
)

// Protocol gets the events of the connections to one path. See engine.Handler
// for what each method may do.
type Protocol = engine.Handler

// Endpoint is a Protocol with its limits.
type Endpoint = engine.Endpoint

// SlowPolicy is what happens to a client that reads too slowly.
type SlowPolicy = engine.SlowPolicy

// What may happen to a slow reader: it is closed with 1013; it loses the events
// that have waited longest, and is told how many; it gets only the newest event
// of each channel and name.
const (
	Disconnect = engine.Disconnect
	DropOldest = engine.DropOldest
	Conflate   = engine.Conflate
)

// Codec is an encoding of the native protocol: JSON, or one of your own.
type Codec = codec.Codec

// Handler is what a Server serves at a path.
type Handler interface {
	// Register is called once, by Server.Handle, with the path as id. It
	// returns what answers the connections, or why the handler cannot be used.
	Register(s *Server, id any) (*Endpoint, error)
}
