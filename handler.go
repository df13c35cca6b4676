package webrocket

import (
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/protocol"
	"github.com/nu7hatch/webrocket/protocol/native"
)

// Conn is one connection. Its methods are for callbacks, on the connection's
// loop; from elsewhere use c.Loop().Post.
type Conn = engine.Conn

// Request is the opening handshake of a connection: path, query, header fields
// and cookies.
type Request = codec.Request

// Opcode says what a message is: Text or Binary.
type Opcode = codec.Opcode

// Kinds of messages (RFC 6455 §5.6).
const (
	Text   = codec.OpText
	Binary = codec.OpBinary
)

// Protocol gets the events of the connections to one path. See engine.Protocol
// for what each method may do. If a Protocol has a method Hub() *Hub, as
// protocol.Protocol has, the server counts, lists and reloads the sessions of
// that hub.
type Protocol = engine.Protocol

// Endpoint is a Protocol with its limits.
type Endpoint = engine.Endpoint

// SlowPolicy is what happens to a client that reads too slowly.
type SlowPolicy = engine.SlowPolicy

// What may happen to a slow reader: it is closed with 1013; it loses the events
// that have waited longest, and is told how many; it gets only the newest event
// of each channel and name; it gets the events of channels with a history later, at its
// own pace, as long as they are kept, and loses the others as with DropOldest.
const (
	Disconnect = engine.Disconnect
	DropOldest = engine.DropOldest
	Conflate   = engine.Conflate
	Replay     = engine.Replay
)

// Codec is an encoding of the native protocol: JSON, or one of your own.
type Codec = codec.Codec

// Handler is what a Server serves at a path.
type Handler interface {
	// Register is called once, by Server.Handle, with the path as id, a string.
	// It returns the endpoint that answers the connections, or an error that
	// says why the handler cannot be used.
	Register(s *Server, id any) (*Endpoint, error)
}

// HubHandler serves a hub of channels with the native protocol, which
// docs/protocol.md describes. Make it with NewHandler or NewJSONHandler, and
// set the fields before Server.Handle; later Server.Reload replaces them.
type HubHandler struct {
	// Codec is the encoding of messages.
	Codec Codec

	// Hub is the hub that is served. If nil, Handle makes one of the HubConfig,
	// named by the path. Several handlers may serve one hub, at several paths.
	Hub *Hub

	// HubConfig are the settings of the hub that Handle makes. If Hub is set, that
	// has its own: a HubConfig beside it is an error.
	HubConfig

	// Endpoint has the limits of the connections. The handler sets its Protocol
	// and Lost itself.
	Endpoint

	protocol *native.Protocol
	running  atomic.Pointer[Hub] // what the protocol serves; nil until the handler is in use
}

// NewHandler returns a handler of the native protocol in the given encoding.
func NewHandler(c Codec) *HubHandler { return &HubHandler{Codec: c} }

// NewJSONHandler returns a handler of the native protocol in JSON.
func NewJSONHandler() *HubHandler { return NewHandler(codec.JSON{}) }

// Register makes HubHandler a Handler. A HubHandler serves one path.
func (h *HubHandler) Register(s *Server, id any) (*Endpoint, error) {
	if err := h.checkNew(); err != nil {
		return nil, err
	}
	return h.begin(fmt.Sprint(id), h.Hub)
}

var (
	errInUse       = errors.New("this handler is in use already; make one for each path")
	errTwoSettings = errors.New("the handler has a Hub and settings of a hub; give the settings to NewHub")
)

// checkNew returns why a handler cannot be taken into use.
func (h *HubHandler) checkNew() error {
	if h.running.Load() != nil {
		return errInUse
	}
	return h.check()
}

// check returns what is wrong with the fields.
func (h *HubHandler) check() error {
	if h.Codec == nil {
		return errors.New("the handler has no codec; use NewJSONHandler")
	}
	if _, ok := h.Codec.(native.LossCodec); (h.SlowReaders == DropOldest || h.SlowReaders == Replay) && !ok {
		return errors.New("the codec has no AppendLost; with DropOldest or Replay a client must be told which events it lost")
	}
	if err := checkLists(h.Origins, h.Subprotocols); err != nil {
		return err
	}
	if h.Hub != nil && !reflect.ValueOf(h.HubConfig).IsZero() {
		return errTwoSettings
	}
	return h.HubConfig.Check()
}

// begin makes the handler serve a hub, or one of its own if that is nil.
func (h *HubHandler) begin(path string, hub *Hub) (*Endpoint, error) {
	if hub == nil {
		var err error
		if hub, err = NewHub(path, h.HubConfig); err != nil {
			return nil, err
		}
	}
	p, err := native.New(hub, h.Codec)
	if err != nil {
		return nil, err
	}
	p.Version = Version
	h.protocol = p
	h.running.Store(hub)
	return h.endpoint(&h.Endpoint), nil
}

// endpoint returns the endpoint for the connections of h, with the given
// limits.
func (h *HubHandler) endpoint(limits *Endpoint) *Endpoint {
	e := *limits
	e.Protocol = h.protocol
	e.Lost = h.protocol.Lost()
	if e.Unfinished == nil {
		e.Unfinished = native.Unfinished
	}
	return &e
}

// giveUp undoes begin before any connection can have come. The handler may be
// used again.
func (h *HubHandler) giveUp() { h.running.Store(nil) }

// Publish sends an event to every subscriber of a channel of the handler's hub,
// as Hub.Publish does. Before the handler is in use it returns ErrInvalidChannel.
func (h *HubHandler) Publish(channel, event string, data any) error {
	if hub := h.running.Load(); hub != nil {
		return hub.Publish(channel, event, data)
	}
	return ErrInvalidChannel
}

// PublishJSON is Publish for data that is JSON already, as Hub.PublishJSON is.
func (h *HubHandler) PublishJSON(channel, event string, data []byte) error {
	if hub := h.running.Load(); hub != nil {
		return hub.PublishJSON(channel, event, data)
	}
	return ErrInvalidChannel
}

// hubOf returns the hub that a protocol serves, nil if it serves none.
func hubOf(p Protocol) *Hub {
	if p, ok := p.(protocol.Protocol); ok {
		return p.Hub()
	}
	return nil
}
