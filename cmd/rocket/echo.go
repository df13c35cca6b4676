package main

import (
	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/rate"
)

// echoQueue is how many of the longest messages may wait for one client of an
// echo hub. It is far more than in a hub of channels: a client of an echo hub
// may send much before it reads, and only its own messages wait for it.
const echoQueue = 32

// echo is the hub whose Codec is Echo: it sends every message back, so that a
// client or a conformance suite can be tried on the real server.
type echo struct{ hub }

// Register makes echo a webrocket.Handler.
func (e echo) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	endpoint := e.Endpoint
	endpoint.Protocol = echoer{e.CommandRate, e.ByteRate}
	endpoint.MaxQueuedBytes = max(e.MaxQueuedBytes, echoQueue*e.MaxMessageSize)
	endpoint.SlowReaders = webrocket.Disconnect
	return &endpoint, nil
}

// An echoer answers the connections of an echo hub, with at most so many
// messages and bytes of each in a second; 0 is any number. Echoers with the
// same rates are equal, so a reload that keeps the rates keeps the connections.
type echoer struct{ messages, bytes int }

func (e echoer) OnOpen(c *webrocket.Conn, _ *webrocket.Request) {
	if e != (echoer{}) {
		c.SetValue(new(rate.Meter))
	}
}

func (echoer) OnClose(*webrocket.Conn, error) {}

// OnMessage sends the message back. There are no replies that could say that a
// message was not sent back, so a client that sends too fast is closed.
func (e echoer) OnMessage(c *webrocket.Conn, op webrocket.Opcode, payload []byte) {
	if m, ok := c.Value().(*rate.Meter); ok && !m.Within(c.Loop().Began(), len(payload), e.messages, e.bytes) {
		c.Close(codec.StatusPolicyViolation, "too many messages in a second")
		return
	}
	c.Send(op, payload)
}
