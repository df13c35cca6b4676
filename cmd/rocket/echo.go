package main

import "github.com/nu7hatch/webrocket"

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
		Handler:        e,
		Origins:        e.origins,
		Subprotocols:   e.subprotocols,
		MaxMessageSize: e.maxMessageSize,
		MaxQueuedBytes: max(e.maxQueuedBytes, echoQueue*e.maxMessageSize),

		Compression:          e.compression,
		CompressionThreshold: e.compressionThreshold,
	}, nil
}

func (echo) OnOpen(*webrocket.Conn)         {}
func (echo) OnClose(*webrocket.Conn, error) {}

func (echo) OnMessage(c *webrocket.Conn, op webrocket.Opcode, payload []byte) { c.Send(op, payload) }
