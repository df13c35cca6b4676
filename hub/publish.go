package hub

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// Errors of Publish.
var (
	// ErrInvalidChannel says that the channel does not exist: it has no
	// subscriber, and no configuration names it.
	ErrInvalidChannel = errors.New("webrocket: no such channel")

	// ErrOverloaded says that subscribers cannot be served as fast as messages
	// come. No subscriber got this message; try again later.
	ErrOverloaded = pubsub.ErrOverloaded

	// ErrFull says that a channel would have to be made to keep the event, and the hub
	// has as many as it may (Config.MaxChannels).
	ErrFull = pubsub.ErrFull

	// ErrInvalidEvent says that an event has no name, or one that is not UTF-8.
	ErrInvalidEvent = errors.New("webrocket: an event needs a name")

	// ErrInvalidData says that data is not JSON, or that a channel or event is
	// not what a client could name.
	ErrInvalidData = errors.New("webrocket: a client could not publish that")

	// ErrTooLarge says that a client's message could not be that large.
	ErrTooLarge = errors.New("webrocket: over the hub's limit of a message")
)

// Publish sends an event to every subscriber of a channel. The data is encoded
// as JSON; nil is no data. It returns ErrInvalidEvent, ErrInvalidChannel,
// ErrOverloaded, or why the data cannot be encoded. Any goroutine, also from
// callbacks.
//
// In a cluster with replicated history an event of a channel that keeps one is stored
// first: Publish waits for that, for 5 seconds unless the cluster says something else, and
// returns ErrUnavailable then. A callback on an event loop should not wait for so long: let it
// publish on another goroutine.
func (h *Hub) Publish(channel, event string, data any) error {
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
	_, err := h.publishFromGo([]byte(channel), []byte(event), encoded, "")
	return err
}

// PublishJSON is Publish for data that is JSON already; empty is no data. It
// checks what is checked of a client's publish command, and subscribers get the
// data byte for byte. It returns the errors of Publish, ErrInvalidData or
// ErrTooLarge.
func (h *Hub) PublishJSON(channel, event string, data []byte) error {
	_, err := h.PublishKeyed(channel, event, data, "")
	return err
}

// Published is what became of an event: its offset in a channel with a history, and
// whether it was a duplicate.
type Published = pubsub.Published

// PublishKeyed is PublishJSON for an event that is published once, however often
// it is asked for with the same key: a string of 1 to 128 bytes, "" for none. The
// key is remembered for IdempotencyWindow, for the channel. Clients without a user
// share the program's keys, those of users are other ones. It returns the offset of the event, that of the first
// where this one is a duplicate.
func (h *Hub) PublishKeyed(channel, event string, data []byte, key string) (Published, error) {
	if len(key) > codec.MaxKey {
		return Published{}, ErrInvalidData
	}
	if err := h.checkJSON(channel, event, data); err != nil {
		return Published{}, err
	}
	if len(data) == 0 {
		data = nil
	}
	return h.publishFromGo([]byte(channel), []byte(event), data, key)
}

// checkJSON reports why no client could publish an event.
func (h *Hub) checkJSON(channel, event string, data []byte) error {
	if len(data) > 0 && !(json.Valid(data) && utf8.Valid(data)) ||
		event == "" || !utf8.ValidString(channel) || !utf8.ValidString(event) {
		return ErrInvalidData
	}
	if int64(codec.PublishSize(channel, event, data)) > h.limit.Load() {
		return ErrTooLarge
	}
	return nil
}

// PublishExcept is Publish for an event that a protocol has from the program, and has
// checked: event is UTF-8 and not empty, data is one JSON value, nil for none, of any
// size. except is a session of the hub that does not get the event, nil for none; it may
// have ended. elsewhere is one of another process, by the name that FindSession takes; "" for
// none. Any goroutine.
func (h *Hub) PublishExcept(channel, event, data []byte, except *Session, elsewhere string) error {
	m := pubsub.Message{Channel: channel, Event: event, Data: data, At: measure.Now(), ExceptName: elsewhere}
	if except != nil {
		m.Except = &except.subscriber
	}
	_, err := h.publish(m)
	return err
}

// Waits reports whether publishing to a channel waits until other processes have stored the
// event. Any goroutine.
func (h *Hub) Waits(channel []byte) bool {
	return h.others() != nil && h.sequenced(h.settings.Load(), channel) != nil
}

// publishFromGo admits and delivers an event of the program itself.
func (h *Hub) publishFromGo(channel, event, data []byte, key string) (Published, error) {
	m := pubsub.Message{Channel: channel, Event: event, Data: data, At: measure.Now()}
	if key != "" {
		m.Key = keyOf("", []byte(key))
	}
	return h.publish(m)
}

// publish delivers an event of the program itself, if its channel may be there.
func (h *Hub) publish(m pubsub.Message) (Published, error) {
	channel := m.Channel
	rules := h.settings.Load()
	others, flow := h.others(), pubsub.Refuse.Within(rules.MaxChannels)
	if len(channel) > codec.MaxChannelName || (others != nil || h.ruled.Load() || h.table.Patterns() > 0) && !rules.nameable(channel) {
		return Published{}, ErrInvalidChannel
	}
	if others != nil {
		if others.Behind() {
			return Published{}, ErrOverloaded
		}
		if q := h.sequenced(rules, channel); q != nil {
			return h.await(q, m)
		}
		flow = flow.Anywhere()
	}
	p, err := h.table.Publish(m, flow)
	switch {
	case err == nil && p.Duplicate:
		h.duplicate.Add(1)
	case err == nil:
		h.published.Add(1)
		if others != nil {
			others.Send(h, m)
		}
	case errors.Is(err, pubsub.ErrNoChannel):
		return Published{}, ErrInvalidChannel
	}
	return p, err
}

// keyOf returns the key of a user's publish: those of two users never collide.
func keyOf(user string, key []byte) []byte {
	b := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen16+len(user)+len(key)), uint64(len(user)))
	return append(append(b, user...), key...)
}

// Deliver sends an event that has been admitted elsewhere to every subscriber of
// its channel here, and reports whether the channel exists. It refuses nothing.
// The slices of m are not kept. m.At is when the event arrived, by the clock of
// measure.Now.
func (h *Hub) Deliver(m pubsub.Message) bool {
	_, err := h.table.Publish(m, pubsub.Always)
	return err == nil
}

// A Publication is an event that a session asks to be published. The slices are
// not kept.
type Publication struct {
	Channel []byte

	// Event is the name of the event: UTF-8, and not empty.
	Event []byte

	// Data is one JSON value, nil for none. It reaches the subscribers of every
	// protocol byte for byte and is not checked: a protocol that takes anything else
	// from its clients must encode it, or they could forge members of events.
	Data []byte

	// Key, unless it is nil, says that the event is published once for it.
	Key []byte

	// At is when the event arrived, on the clock of NewWorker.
	At time.Duration

	// ExceptSelf leaves the publishing session out.
	ExceptSelf bool

	// User is told to subscribers of protocols that tell who has published an event.
	// "": they are told nothing. It is not checked.
	User string
}

// Publish publishes an event, if the session may.
func (s *Session) Publish(p Publication) Result {
	if r := s.admit(&p); !r.OK() {
		return r
	}
	m := pubsub.Message{Channel: p.Channel, Event: p.Event, Data: p.Data, User: p.User, At: p.At}
	if p.ExceptSelf {
		m.Except = &s.subscriber
	}
	if p.Key != nil {
		m.Key = keyOf(s.user(), p.Key)
	}
	flow := pubsub.Slowing(s.desk.worker.Shard).Within(s.desk.hub.settings.Load().MaxChannels)
	others := s.desk.hub.others()
	if others != nil {
		flow = flow.Anywhere()
		if q := s.desk.hub.sequenced(s.desk.hub.settings.Load(), p.Channel); q != nil {
			s.desk.worker.slow(others)
			return s.appendTo(q, m)
		}
	}
	published, err := s.desk.hub.table.Publish(m, flow)
	switch {
	case err == nil:
		if published.Duplicate {
			s.desk.counts.Duplicates++
		} else if others != nil {
			s.desk.worker.send(others, s.desk.hub, m)
		}
		return Result{Stored: Stored{published, p.Key != nil}}
	case errors.Is(err, pubsub.ErrNoChannel):
		return Result{Code: InvalidChannel}
	case errors.Is(err, pubsub.ErrFull):
		return Result{Code: LimitExceeded}
	default:
		return Result{Code: InternalError, Reason: err.Error()}
	}
}

// admit returns why a session may not publish an event, or success.
func (s *Session) admit(p *Publication) Result {
	rules := s.desk.hub.settings.Load()
	if !s.may(rules, publishing, p.Channel) {
		return Result{Code: AccessDenied}
	}
	h := s.desk.hub
	if (len(rules.rules) > 0 || h.others() != nil || h.table.Patterns() > 0) && !rules.nameable(p.Channel) {
		return Result{Code: InvalidChannel} // a history, another process or a pattern would let it be heard
	}
	may := rules.OnPublish
	if may == nil {
		return Result{}
	}
	return refusal(may(s, eventOf(p.Channel, p.Event, p.Data)))
}

// refusal is the result of a hook that may say no.
func refusal(err error) Result {
	if err == nil {
		return Result{}
	}
	return Result{Code: AccessDenied, Reason: err.Error()}
}
