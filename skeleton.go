package webrocket

import (
	"log/slog"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// Config holds the settings of a Server. The zero value works; a negative
// value switches the thing off where that makes sense.
type Config struct {
	Loops            int           // event loops. If zero, one per core
	MaxConnections   int           // If zero, what the open-file limit allows
	HandshakeTimeout time.Duration // If zero, 10 s
	PingInterval     time.Duration // silence after which a ping is sent. If zero, 60 s. Negative: no pings
	PongTimeout      time.Duration // silence after a ping that ends a connection. If zero, 20 s
	CloseTimeout     time.Duration // how long a closing handshake may take. If zero, 5 s
	SendBuffer       int           // kernel send buffer per connection in bytes. If zero, 128 KiB; negative: the kernel decides
}

// Endpoint is temporary.
type Endpoint struct{}

// Handler is temporary.
type Handler interface {
	Register(s *Server, id any) (*Endpoint, error)
}

// Credentials are the secrets of a hub.
type Credentials struct{ ReadOnly, ReadWrite string }

// HubHandler serves channels with the native protocol.
type HubHandler struct {
	Codec            codec.Codec
	Secrets          Credentials
	Log              *slog.Logger
	Channels         []string // channels that exist without a subscriber
	Origins          []string // allowed Origin header values ("https://example.com"); empty: any
	Subprotocols     []string
	MaxMessageSize   int // bytes. If zero, 64 KiB
	MaxQueuedBytes   int // bytes waiting for a slow reader. If zero, 1 MiB
	MaxSubscriptions int // per connection. If zero, 128
}

// Register makes HubHandler a Handler.
func (h *HubHandler) Register(s *Server, id any) (*Endpoint, error) { panic("unwritten") }

// Publish is temporary.
func (h *HubHandler) Publish(channel, event string, data any) error { panic("unwritten") }

// NewHandler returns a handler of the native protocol in another encoding.
func NewHandler(c codec.Codec) *HubHandler { return &HubHandler{Codec: c} }

// NewJSONHandler returns a handler of the native protocol in JSON.
func NewJSONHandler() *HubHandler { return NewHandler(nil) }
