package webrocket

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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

	// ErrInvalidEvent says that an event has no name, or one that is not UTF-8.
	ErrInvalidEvent = errors.New("webrocket: an event needs a name")

	// ErrInvalidData says that data is not JSON, or that a channel or event is
	// not what a client could name.
	ErrInvalidData = errors.New("webrocket: a client could not publish that")

	// ErrTooLarge says that a client's message could not be that large.
	ErrTooLarge = errors.New("webrocket: over the hub's limit of a message")
)

// DefaultMaxFailedLogins is how many logins of one connection may fail.
const DefaultMaxFailedLogins = 10

// DefaultMaxSubscriptions is how many channels one connection may hear.
const DefaultMaxSubscriptions = 128

// HubHandler serves a hub of channels with the native protocol, which
// docs/protocol.md describes. Make it with NewHandler or NewJSONHandler, and
// set the fields before Server.Handle; later Server.Reload replaces them.
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

	// SlowReaders is what happens to a client for which more than MaxQueuedBytes
	// wait. DropOldest needs a codec with the method AppendLost, as JSON has it.
	SlowReaders SlowPolicy

	// Compression and CompressionThreshold are those of the Endpoint. An event
	// is compressed once for all its subscribers.
	Compression          bool
	CompressionThreshold int

	// MaxSubscriptions limits the channels of one connection; a further
	// subscribe gets limit_exceeded. If zero, 128. Negative: no limit; then a
	// client decides how long the list is that each of its commands searches.
	MaxSubscriptions int

	// MaxChannels limits the channels of the hub; a subscribe that would make a
	// further one gets limit_exceeded. If zero, no limit.
	MaxChannels int

	// MaxChannelName limits the length of a channel's name in bytes. If zero,
	// or more than that, 255.
	MaxChannelName int

	// MaxFailedLogins is how many logins of one connection may fail; the last of
	// them closes it with 1008. If zero, 10. Negative, or more than 255: no limit.
	MaxFailedLogins int

	// CommandRate and ByteRate limit the commands, and the bytes of their
	// messages, of one connection in a second; a second's worth may come at once.
	// A command above it gets rate_limited and is not obeyed; the tenth in a row
	// closes the connection with 1008. If zero, no limit.
	CommandRate, ByteRate int

	replies   *replies
	rules     atomic.Pointer[rules] // with the hub; nil until it begins
	index     int                   // among the server's hubs
	published atomic.Uint64         // events from Go
}

// NewHandler returns a handler of the native protocol in the given encoding.
func NewHandler(c Codec) *HubHandler { return &HubHandler{Codec: c} }

// NewJSONHandler returns a handler of the native protocol in JSON.
func NewJSONHandler() *HubHandler { return NewHandler(codec.JSON{}) }

// Register makes HubHandler a Handler. A HubHandler serves one path.
func (h *HubHandler) Register(s *Server, id any) (*Endpoint, error) {
	r, err := h.checkNew(s, id)
	if err != nil {
		return nil, err
	}
	return h.begin(s, r), nil
}

// checkNew is check for a handler that is to begin.
func (h *HubHandler) checkNew(s *Server, id any) (*rules, error) {
	if h.rules.Load() != nil {
		return nil, errInUse
	}
	return h.check(s, id)
}

var errInUse = errors.New("this handler is in use already; make one for each path")

// begin makes a hub of the handler.
func (h *HubHandler) begin(s *Server, r *rules) *Endpoint {
	h.replies = encodeReplies(h.Codec)
	h.index = s.nextHub()
	r.hub = pubsub.NewHub()
	h.obeyRules(r)
	return h.endpoint(r, h)
}

// giveUp undoes begin where nobody can have come yet: the handler may be used again.
func (h *HubHandler) giveUp() { h.rules.Store(nil) }

// check tells what is wrong with the fields, or returns the rules that they make.
func (h *HubHandler) check(s *Server, id any) (*rules, error) {
	if h.Codec == nil {
		return nil, errors.New("the handler has no codec; use NewJSONHandler")
	}
	for _, name := range h.Channels {
		if !codec.ValidChannelName([]byte(name)) {
			return nil, fmt.Errorf("%q cannot name a channel: 1 to %d bytes without control characters", name, codec.MaxChannelName)
		}
	}
	if err := checkLists(h.Origins, h.Subprotocols); err != nil {
		return nil, err
	}
	lost, err := h.lossNotice()
	if err != nil {
		return nil, err
	}
	return h.rulesFor(s, id, lost), nil
}

// obeyRules makes the hub obey them from now on.
func (h *HubHandler) obeyRules(r *rules) {
	r.hub.SetPermanent(r.channels...)
	if r.conflate {
		r.hub.KeepEvents()
	}
	h.rules.Store(r)
}

// endpoint returns what answers the connections of h, with the limits of from.
func (h *HubHandler) endpoint(r *rules, from *HubHandler) *Endpoint {
	return &Endpoint{
		Handler:        protocol{h},
		Origins:        from.Origins,
		Subprotocols:   from.Subprotocols,
		MaxMessageSize: from.MaxMessageSize,
		MaxQueuedBytes: from.MaxQueuedBytes,
		Slow:           from.SlowReaders,
		Lost:           r.lost,

		Compression:          from.Compression,
		CompressionThreshold: from.CompressionThreshold,
	}
}

// lossNotice returns what makes the frame that tells a client what it has lost,
// nil if nobody is to be told.
func (h *HubHandler) lossNotice() (func(channel string, n int) []byte, error) {
	if h.SlowReaders != DropOldest {
		return nil, nil
	}
	c, ok := h.Codec.(interface {
		AppendLost(dst []byte, n int, channel []byte) []byte
	})
	if !ok {
		return nil, errors.New("the codec has no AppendLost, without which nobody can be told what DropOldest drops")
	}
	return func(channel string, n int) []byte {
		return codec.AppendFrame(nil, h.Codec.Opcode(), c.AppendLost(nil, n, []byte(channel)))
	}, nil
}

// Publish sends an event to every subscriber of a channel. The data is encoded
// as JSON; nil is no data. Any goroutine, also from callbacks. It returns
// ErrInvalidEvent, ErrInvalidChannel, ErrOverloaded, or why the data cannot be
// encoded.
func (h *HubHandler) Publish(channel, event string, data any) error {
	if event == "" || !utf8.ValidString(event) {
		return ErrInvalidEvent
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
	r := h.rules.Load()
	if r == nil {
		return ErrInvalidChannel
	}
	if len(data) > 0 && !(json.Valid(data) && utf8.Valid(data)) || !utf8.ValidString(channel) || !utf8.ValidString(event) {
		return ErrInvalidData
	}
	// The command that a client would have sent, so that one place decides.
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(map[string]any{"publish": map[string]any{"channel": channel, "event": event}})
	if err != nil {
		return err
	}
	message := bytes.TrimSpace(b.Bytes())
	if len(data) > 0 {
		message = append(message[:len(message)-2], `,"data":`...)
		message = append(append(message, data...), "}}"...)
	}
	if len(message) > r.maxMessageSize {
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
	r := h.rules.Load()
	if r == nil {
		return ErrInvalidChannel
	}
	frame, payload := eventFrame(h.Codec, event, channel, data)
	frames := pubsub.Frames{frame}
	// Who joins in between, as the first that wants it compressed, gets it plain.
	if r.compression && len(payload) >= r.compressionThreshold && r.hub.Hears(channel, pubsub.Deflated) {
		frames[pubsub.Deflated] = engine.Deflate(h.Codec.Opcode(), payload)
	}
	err := r.hub.PublishEvent(from, channel, event, frames)
	if errors.Is(err, pubsub.ErrNoChannel) {
		return ErrInvalidChannel
	}
	return err
}

// worker is what a loop has of this package: its shard of all hubs.
type worker struct {
	*pubsub.Shard
	command codec.Command              // the one that is being obeyed
	meters  map[*session]*engine.Meter // there is none where a hub limits nothing: not a byte for each
	hubs    []hubCounts                // by the index of the hub
	watch   *watch                     // nil if nobody looks on
}

// meter returns what counts the commands of a session.
func (w *worker) meter(s *session) *engine.Meter {
	m := w.meters[s]
	if m == nil {
		m = new(engine.Meter)
		if w.meters == nil {
			w.meters = make(map[*session]*engine.Meter)
		}
		w.meters[s] = m
	}
	return m
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
