package main

import (
	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
)

// echoQueue is how many of the longest messages may wait for one client of an
// echo hub. It is far more than a hub of channels has, since a client that sends
// faster than it reads is what such a hub is for, and its queue is its own doing.
const echoQueue = 32

// echo is the hub whose Codec is Echo: it sends every message back, so that a
// client or a conformance suite can be tried on the real server.
type echo struct{ hub }

// Register makes echo a webrocket.Handler.
func (e echo) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{
		Handler:        echoer{min(e.commandRate, engine.BucketMax), min(e.byteRate, engine.BucketMax)},
		Origins:        e.origins,
		Subprotocols:   e.subprotocols,
		MaxMessageSize: e.maxMessageSize,
		MaxQueuedBytes: max(e.maxQueuedBytes, echoQueue*e.maxMessageSize),

		Compression:          e.compression,
		CompressionThreshold: e.compressionThreshold,
	}, nil
}

// An echoer answers the connections of an echo hub, so many messages and bytes of
// them in a second, 0 for any number. Those with the same rates are the same, and
// so a reload leaves the connections alone.
type echoer struct{ messages, bytes int }

func (e echoer) OnOpen(c *webrocket.Conn) {
	if e != (echoer{}) {
		c.SetValue(new(engine.Meter))
	}
}

func (echoer) OnClose(*webrocket.Conn, error) {}

// OnMessage sends the message back. There are no replies that could say that one
// was left out, so who sends too fast is sent away.
func (e echoer) OnMessage(c *webrocket.Conn, op webrocket.Opcode, payload []byte) {
	if m, ok := c.Value().(*engine.Meter); ok && !c.Loop().Within(m, len(payload), e.messages, e.bytes) {
		c.Close(codec.StatusPolicyViolation, "too many messages in a second")
		return
	}
	c.Send(op, payload)
}
