package native

import (
	"math"
	"reflect"
	"sync/atomic"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
)

// forms are the two forms in which the sessions of a hub hear events in one
// encoding: as a frame, and as a compressed frame.
type forms struct {
	plain, deflated pubsub.Form
	threshold       atomic.Int64 // bytes; shorter payloads are not compressed
}

// A formsKey is the key of the forms of an encoding in a hub: the paths at
// which the hub is served share them.
type formsKey struct{ codec codec.Codec }

func formsOf(h *hub.Hub, c codec.Codec) *forms {
	var key any = formsKey{c}
	if !reflect.ValueOf(c).Comparable() {
		key = new(formsKey) // equal to no other key
	}
	return h.Share(key, func() any {
		f := new(forms)
		f.threshold.Store(engine.DefaultCompressionThreshold)
		f.plain = h.AddForm(pubsub.Encoding{Base: pubsub.Itself, Encode: func(m pubsub.Message, _ []byte) []byte {
			return codec.AppendEventFrame(c, codec.Event{Channel: m.Channel, Event: m.Event, Data: m.Data})
		}})
		f.deflated = h.AddForm(pubsub.Encoding{Base: f.plain, Costly: true, Encode: func(_ pubsub.Message, frame []byte) []byte {
			payload := codec.Payload(frame)
			if int64(len(payload)) < f.threshold.Load() {
				return nil
			}
			return engine.Deflate(c.Opcode(), payload)
		}})
		return f
	}).(*forms)
}

// Limit makes the hub obey the limits of an endpoint: how long a message may be,
// which events are compressed, and what the policy for slow readers needs. Where a
// hub is served at several paths, what was set last counts.
func (p *Protocol) Limit(limits *engine.Endpoint) {
	p.hub.LimitMessages(limits.MessageLimit())
	threshold := int64(limits.CompressionThreshold)
	switch {
	case !limits.Compression:
		threshold = math.MaxInt64
	case threshold == 0:
		threshold = engine.DefaultCompressionThreshold
	}
	p.forms.threshold.Store(threshold)
	if limits.SlowReaders == engine.Conflate {
		p.hub.KeepEvents()
	}
}

// A LossCodec is a codec that can tell a subscriber how many events it has
// lost.
type LossCodec interface {
	AppendLost(dst []byte, l codec.Lost) []byte
}

// Lost returns a function that makes the frame that tells a client how many
// events it has lost, nil if the codec is no LossCodec.
func (p *Protocol) Lost() func(channel string, n int) []byte {
	words, ok := p.codec.(LossCodec)
	if !ok {
		return nil
	}
	return func(channel string, n int) []byte {
		message := words.AppendLost(nil, codec.Lost{N: n, Channel: []byte(channel)})
		return codec.AppendFrame(nil, p.codec.Opcode(), message)
	}
}
