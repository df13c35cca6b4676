package native

import (
	"encoding/json"
	"math"
	"reflect"
	"sync/atomic"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/presence"
	"github.com/nu7hatch/webrocket/pubsub"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// forms are the two forms in which the sessions of a hub hear events in one
// encoding: as a frame, and as a compressed frame.
type forms struct {
	plain, deflated pubsub.Form
	threshold       atomic.Int64 // bytes; shorter payloads are not compressed
}

// An offsetCodec is a codec whose events have the offset last, so that one which is
// compressed already can get it.
type offsetCodec interface {
	// AppendOffset extends an event, without its last byte, by the offset and the end.
	AppendOffset(dst []byte, offset uint64) []byte
}

// A nameCodec is a codec that can tell the name of an event from its message.
type nameCodec interface{ EventName(message []byte) string }

// A formsKey is the key of the forms of an encoding in a hub: the paths at
// which the hub is served share them.
type formsKey struct{ codec codec.Codec }

// formsOf returns the forms of an encoding in a hub, nil if there is no room for
// them.
func formsOf(h *hub.Hub, c codec.Codec) *forms {
	create := func() any {
		if h.FormsLeft() < 2 {
			return (*forms)(nil)
		}
		f := new(forms)
		f.threshold.Store(engine.DefaultCompressionThreshold)
		stamps, _ := c.(offsetCodec)
		plain := pubsub.Encoding{Base: pubsub.Itself, Kept: true, Encode: func(m pubsub.Message, _ []byte) []byte {
			if m.Lost != 0 {
				epoch, _ := m.Value.(string)
				return lostFrame(c, codec.Lost{N: int(max(m.Lost, 0)), Channel: m.Channel, Offset: m.Offset, Epoch: epoch})
			}
			return codec.AppendEventFrame(c, codec.Event{Channel: m.Channel, Event: m.Event, Data: m.Data, Offset: m.Offset})
		}}
		if names, ok := c.(nameCodec); ok {
			plain.Event = func(frame []byte) string { return names.EventName(codec.Payload(frame)) }
		}
		f.plain = h.AddForms(plain, pubsub.Encoding{Base: pubsub.Itself, Encode: noticesIn(c)})
		if _, ok := c.(codec.JSON); ok {
			h.Reader(f.plain, eventOf)
		}
		deflated := pubsub.Encoding{Base: f.plain, Costly: true, Encode: func(m pubsub.Message, frame []byte) []byte {
			payload := codec.Payload(frame)
			switch {
			case int64(len(payload)) < f.threshold.Load():
				return nil
			case m.Offset == pubsub.Later:
				return engine.DeflateOpen(payload[:len(payload)-1]) // the offset comes in place of the last byte
			}
			return engine.Deflate(c.Opcode(), payload)
		}}
		if stamps != nil {
			deflated.Stamp = func(open []byte, offset uint64) []byte {
				return codec.StampDeflated(open, c.Opcode(), stamps.AppendOffset(nil, offset))
			}
		}
		f.deflated = h.AddForms(deflated, pubsub.Encoding{Base: f.plain, Costly: true, Encode: deflated.Encode})
		return f
	}
	if !reflect.ValueOf(c).Comparable() {
		return create().(*forms)
	}
	return h.Share(formsKey{c}, create).(*forms)
}

// noticesIn returns a function that makes the frame of a notice of who comes and goes:
// nothing if the codec is no NoticeCodec.
func noticesIn(c codec.Codec) func(pubsub.Message, []byte) []byte {
	words, ok := c.(NoticeCodec)
	if !ok {
		return func(pubsub.Message, []byte) []byte { return nil }
	}
	return func(m pubsub.Message, _ []byte) []byte {
		n := m.Value.(*presence.Notice)
		return codec.AppendFrame(nil, c.Opcode(), words.AppendNotice(nil, codec.Notice{
			Channel: m.Channel,
			Moves: &codec.Moves{
				From: n.From, Version: n.Version, Clients: n.Clients, Users: n.Users,
				Joined: membersOf(n.Joined), Left: membersOf(n.Left),
			},
		}))
	}
}

// SetThresholds sets which events are compressed, by the endpoints of a server.
// Endpoints of one hub share the compressed form of an event: the lowest
// threshold among those with compression counts.
func SetThresholds(endpoints map[string]engine.Endpoint) {
	lowest := make(map[*forms]int64)
	for _, e := range endpoints {
		p, ok := e.Protocol.(interface{ eventForms() *forms })
		if !ok {
			continue
		}
		f, threshold := p.eventForms(), thresholdOf(&e)
		if other, ok := lowest[f]; ok {
			threshold = min(threshold, other)
		}
		lowest[f] = threshold
	}
	for f, threshold := range lowest {
		f.threshold.Store(threshold)
	}
}

// eventForms returns the forms that the sessions of p get. A type that embeds a
// Protocol has this method too.
func (p *Protocol) eventForms() *forms { return p.forms }

// thresholdOf returns the size in bytes from which an endpoint compresses events.
func thresholdOf(e *engine.Endpoint) int64 {
	switch {
	case !e.Compression:
		return math.MaxInt64
	case e.CompressionThreshold == 0:
		return engine.DefaultCompressionThreshold
	}
	return int64(e.CompressionThreshold)
}

// A LossCodec is a codec that can tell a subscriber how many events it has
// lost.
type LossCodec interface {
	AppendLost(dst []byte, l codec.Lost) []byte
}

// Lost returns a function that makes the frame that tells a client how many
// events it has lost, nil if the codec is no LossCodec.
func (p *Protocol) Lost() func(delivery.Lost) []byte {
	if _, ok := p.codec.(LossCodec); !ok {
		return nil
	}
	return func(l delivery.Lost) []byte {
		return lostFrame(p.codec, codec.Lost{N: int(l.N), Channel: []byte(l.Channel), Offset: l.Offset})
	}
}

// lostFrame returns the frame that tells a client what it has lost, nil if the codec is
// no LossCodec.
func lostFrame(c codec.Codec, l codec.Lost) []byte {
	words, ok := c.(LossCodec)
	if !ok {
		return nil
	}
	return codec.AppendFrame(nil, c.Opcode(), words.AppendLost(nil, l))
}

// eventOf makes an event of a frame in JSON.
func eventOf(frame []byte) (hub.Event, error) {
	var e struct {
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(codec.Payload(frame), &e); err != nil {
		return hub.Event{}, err
	}
	return hub.Event{Event: e.Event, Data: e.Data}, nil
}
