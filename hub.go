package webrocket

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// Errors of Publish.
var (
	// ErrInvalidChannel says that the channel does not exist: nobody
	// subscribes to it and no configuration names it.
	ErrInvalidChannel = errors.New("webrocket: no such channel")

	// ErrOverloaded says that subscribers cannot be served as fast as messages
	// come. Nobody got this one; try again later.
	ErrOverloaded = pubsub.ErrOverloaded

	// ErrInvalidEvent says that an event has no name.
	ErrInvalidEvent = errors.New("webrocket: an event needs a name")

	// ErrInvalidData says that data is not JSON, or that a channel or event is
	// not what a client could name.
	ErrInvalidData = errors.New("webrocket: a client could not publish that")

	// ErrTooLarge says that a client's message could not be that large.
	ErrTooLarge = errors.New("webrocket: over the hub's limit of a message")
)

// DefaultMaxSubscriptions is how many channels one connection may hear.
const DefaultMaxSubscriptions = 128

// HubHandler serves a hub of channels with the native protocol, which
// docs/protocol.md describes. Make it with NewHandler or NewJSONHandler, and
// set the fields before Server.Handle.
type HubHandler struct {
	// Codec is the encoding of messages.
	Codec Codec

	// Secrets are what clients log in with.
	Secrets Credentials

	// Log receives what concerns this hub: refused logins, and why connections
	// ended, both at level debug. If nil, the server's log.
	Log *slog.Logger

	// Channels are names of channels that exist without a subscriber.
	Channels []string

	// Origins, Subprotocols, MaxMessageSize and MaxQueuedBytes are those of
	// the Endpoint.
	Origins        []string
	Subprotocols   []string
	MaxMessageSize int
	MaxQueuedBytes int

	// Compression and CompressionThreshold are those of the Endpoint. An event
	// is compressed once for all its subscribers.
	Compression          bool
	CompressionThreshold int

	// MaxSubscriptions limits the channels of one connection; a further
	// subscribe gets limit_exceeded. If zero, 128. Negative: no limit; then a
	// client decides how long the list is that each of its commands searches.
	MaxSubscriptions int

	hub       *pubsub.Hub
	replies   *replies
	index     int           // among the server's hubs
	published atomic.Uint64 // events from Go
}

// NewHandler returns a handler of the native protocol in the given encoding.
func NewHandler(c Codec) *HubHandler { return &HubHandler{Codec: c} }

// NewJSONHandler returns a handler of the native protocol in JSON.
func NewJSONHandler() *HubHandler { return NewHandler(codec.JSON{}) }

// Register makes HubHandler a Handler. A HubHandler serves one path.
func (h *HubHandler) Register(s *Server, id any) (*Endpoint, error) {
	if h.hub != nil {
		return nil, errors.New("this handler is in use already; make one for each path")
	}
	if h.Codec == nil {
		return nil, errors.New("the handler has no codec; use NewJSONHandler")
	}
	for _, name := range h.Channels {
		if !codec.ValidChannelName([]byte(name)) {
			return nil, fmt.Errorf("%q cannot name a channel: 1 to %d bytes without control characters", name, codec.MaxChannelName)
		}
	}
	switch {
	case h.MaxSubscriptions == 0:
		h.MaxSubscriptions = DefaultMaxSubscriptions
	case h.MaxSubscriptions < 0:
		h.MaxSubscriptions = math.MaxInt
	}
	if h.CompressionThreshold == 0 {
		h.CompressionThreshold = engine.DefaultCompressionThreshold
	}
	if h.Log == nil {
		h.Log = s.log()
	}
	h.Log = h.Log.With("hub", id)
	h.replies = encodeReplies(h.Codec)
	h.hub = pubsub.NewHub(h.Channels...)
	h.index = s.nextHub()
	return &Endpoint{
		Handler:        protocol{h},
		Origins:        h.Origins,
		Subprotocols:   h.Subprotocols,
		MaxMessageSize: h.MaxMessageSize,
		MaxQueuedBytes: h.MaxQueuedBytes,

		Compression:          h.Compression,
		CompressionThreshold: h.CompressionThreshold,
	}, nil
}

// Publish sends an event to every subscriber of a channel. The data is encoded
// as JSON; nil is no data. Any goroutine, also from callbacks. It returns
// ErrInvalidEvent, ErrInvalidChannel, ErrOverloaded, or why the data cannot be
// encoded.
func (h *HubHandler) Publish(channel, event string, data any) error {
	if event == "" {
		return ErrInvalidEvent
	}
	if h.hub == nil {
		return ErrInvalidChannel
	}
	var encoded []byte
	if data != nil {
		var err error
		if encoded, err = json.Marshal(data); err != nil {
			return fmt.Errorf("webrocket: publish to %q: %w", channel, err)
		}
	}
	return h.publishFromGo([]byte(channel), []byte(event), encoded)
}

// PublishJSON is Publish for data that is JSON already; empty is no data. It
// checks what is checked of a client's publish command, and subscribers get the
// data byte for byte. It returns the errors of Publish, ErrInvalidData or
// ErrTooLarge.
func (h *HubHandler) PublishJSON(channel, event string, data []byte) error {
	if h.hub == nil {
		return ErrInvalidChannel
	}
	if len(data) > 0 && !(json.Valid(data) && utf8.Valid(data)) {
		return ErrInvalidData
	}
	// The command that a client would have sent, so that one place decides.
	message, err := json.Marshal(map[string]any{"publish": map[string]any{"channel": channel, "event": event}})
	if err != nil {
		return err
	}
	if len(data) > 0 {
		message = append(message[:len(message)-2], `,"data":`...)
		message = append(append(message, data...), "}}"...)
	}
	if len(message) > cmp.Or(h.MaxMessageSize, engine.DefaultMaxMessageSize) {
		return ErrTooLarge
	}
	var cmd codec.Command
	if err := (codec.JSON{}).ParseCommand(message, &cmd); err != nil {
		return ErrInvalidData
	}
	return h.publishFromGo(cmd.Channel, cmd.Event, cmd.Data)
}

// publishFromGo is publish for those who are on no loop.
func (h *HubHandler) publishFromGo(channel, event, data []byte) error {
	err := h.publish(nil, channel, event, data)
	if err == nil {
		h.published.Add(1)
	}
	return err
}

// publish encodes the event once for all subscribers, and compresses it once for
// those who have agreed on that. The slices are not kept.
func (h *HubHandler) publish(from *pubsub.Shard, channel, event, data []byte) error {
	frame, payload := eventFrame(h.Codec, event, channel, data)
	frames := pubsub.Frames{frame}
	// Who joins in between, as the first that wants it compressed, gets it plain.
	if h.Compression && len(payload) >= h.CompressionThreshold && h.hub.Hears(channel, pubsub.Deflated) {
		frames[pubsub.Deflated] = engine.Deflate(h.Codec.Opcode(), payload)
	}
	err := h.hub.PublishEach(from, channel, frames)
	if errors.Is(err, pubsub.ErrNoChannel) {
		return ErrInvalidChannel
	}
	return err
}

// worker is what a loop has of this package: its shard of all hubs.
type worker struct {
	*pubsub.Shard
	command codec.Command // the one that is being obeyed
	hubs    []hubCounts   // by the index of the hub
	watch   *watch        // nil if nobody looks on
}

// Work is called in each turn of the loop.
func (w *worker) Work() (pause time.Duration) {
	switch w.Shard.Work() {
	case pubsub.More:
		return 0
	case pubsub.Ahead:
		return aheadPause
	}
	return -1
}

// aheadPause is how long a loop that publishes faster than another delivers is
// left alone before it looks again.
const aheadPause = 200 * time.Microsecond

func newWorker(l *engine.Loop) engine.Worker {
	w := &worker{Shard: pubsub.NewShard(l)}
	w.Clock, w.Began = measure.Now, l.Began
	return w
}
