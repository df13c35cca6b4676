package engine

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// An Endpoint is what answers the connections to one path.
type Endpoint struct {
	// Protocol gets the events of the connections. It must be set.
	Protocol Protocol

	// Origins are the origins of pages that may connect
	// ("https://example.com"), in a spelling that codec.ParseOrigin takes;
	// others match nothing. "*" is any, and "https://*.example.com" are all
	// subdomains of example.com, at any depth. If empty, any. A request without
	// the header is not from a page and is allowed.
	Origins []string

	// Subprotocols are the names that may be selected (RFC 6455 §1.9). The
	// client's order decides.
	Subprotocols []string

	// MaxMessageSize limits a message of a client, in bytes; a larger one is
	// closed with 1009 before it is buffered. If zero, 64 KiB. It is at most
	// MessageMax.
	MaxMessageSize int

	// MaxQueuedBytes limits what waits for one slow reader, in bytes, beside
	// the kernel's send buffer and behind the message that is being sent; above
	// it SlowReaders says what happens. Each message counts 40 bytes more than
	// it has, 80 where events may be dropped. If zero, 1 MiB. Negative: no
	// limit.
	MaxQueuedBytes int

	// SlowReaders is what happens to a client for which more waits than that.
	SlowReaders SlowPolicy

	// Lost makes the frame that tells a client how many events of a channel it
	// has lost. It must be set if SlowReaders is DropOldest or Replay.
	Lost func(delivery.Lost) []byte

	// Compression lets clients agree on permessage-deflate (RFC 7692), without
	// context takeover: no connection keeps a buffer for it.
	Compression bool

	// CompressionThreshold is the shortest message that is compressed, in
	// bytes. If zero, 512. Negative: every message.
	CompressionThreshold int

	// GoingAway closes the connections when the server drains or stops. If nil,
	// 1001 (RFC 6455 §7.4.1).
	GoingAway *codec.CloseError

	// Moving closes those that a drain closes one after the other, over a window, so
	// that they do not come back together. If nil, GoingAway does.
	Moving *codec.CloseError

	// SlowReader closes a slow reader. If nil, ErrSlowReader: 1013.
	SlowReader *codec.CloseError

	// Silent closes a connection that does not answer a ping in time. If nil,
	// the connection is closed without a Close frame, which it would not read.
	Silent *codec.CloseError

	// Unfinished closes a connection whose message has not arrived within
	// Config.MessageTimeout. If nil, 1008.
	Unfinished *codec.CloseError

	path    string
	origins []string // Origins as browsers spell them
}

func (e Endpoint) withDefaults() *Endpoint {
	e.origins = nil
	for _, o := range e.Origins {
		if o, err := codec.ParseOrigin(o); err == nil {
			e.origins = append(e.origins, o)
		}
	}
	e.MaxMessageSize = e.MessageLimit()
	e.MaxQueuedBytes = limit(e.MaxQueuedBytes, DefaultMaxQueuedBytes)
	setDefault(&e.CompressionThreshold, DefaultCompressionThreshold)
	if e.GoingAway == nil {
		e.GoingAway = errGoingAway
	}
	if e.Unfinished == nil {
		e.Unfinished = errHalfSent
	}
	if e.Moving == nil {
		e.Moving = e.GoingAway
	}
	return &e
}

// MessageLimit returns the limit that MaxMessageSize stands for.
func (e *Endpoint) MessageLimit() int {
	return min(limit(e.MaxMessageSize, DefaultMaxMessageSize), MessageMax)
}

// limit returns the limit that a field stands for: the argument zero if it is
// 0, no limit if it is negative.
func limit(field, zero int) int {
	switch {
	case field == 0:
		return zero
	case field < 0:
		return math.MaxInt
	}
	return field
}

// tooSlow returns why a slow reader is closed.
func (e *Endpoint) tooSlow() error {
	if e.SlowReader == nil {
		return ErrSlowReader
	}
	return fmt.Errorf("%w (%w)", e.SlowReader, ErrSlowReader)
}

// A Protocol gets the events of a connection, on the loop that owns it. A panic
// in one of its methods closes that connection with 1011.
type Protocol interface {
	// OnOpen is called once the opening handshake is done. r is the client's
	// request; it is valid until OnOpen returns. Conn.Close refuses the client,
	// with a close code of the protocol's own: a page in a browser cannot see
	// the status of an answer by HTTP.
	OnOpen(c *Conn, r *codec.Request)

	// OnMessage is called with each whole message. The payload is valid until
	// OnMessage returns, and may be modified; text is valid UTF-8.
	OnMessage(c *Conn, op codec.Opcode, payload []byte)

	// OnClose is called once for each OnOpen, when nothing can be sent any
	// more, at the end of the turn in which that became so. The reason is a
	// *codec.CloseError with the code that one of the sides gave, or what broke
	// the connection.
	OnClose(c *Conn, reason error)
}

// A table finds endpoints. It is not modified once it is in use.
type table struct {
	paths    map[string]*Endpoint
	prefixes map[string]*Endpoint // for any last segment, by what comes before it
}

// newTable returns a table of endpoints by path. A path whose last segment is a
// name in braces, such as "/app/{key}", stands for every path with any other
// segment in that place, but for those that have an endpoint of their own.
func newTable(endpoints map[string]Endpoint) *table {
	t := &table{paths: make(map[string]*Endpoint, len(endpoints)), prefixes: make(map[string]*Endpoint)}
	for path, endpoint := range endpoints {
		endpoint.path = path
		e := endpoint.withDefaults()
		t.paths[path] = e
		if prefix, ok := Prefix(path); ok {
			t.prefixes[prefix] = e
		}
	}
	return t
}

// Prefix returns what comes before the name in braces at the end of a path, and
// whether there is one.
func Prefix(path string) (prefix string, ok bool) {
	i := strings.LastIndexByte(path, '/') + 1
	last := path[i:]
	return path[:i], len(last) > 2 && last[0] == '{' && last[len(last)-1] == '}'
}

// find returns the endpoint for the path of a request, nil if there is none.
func (t *table) find(path []byte) *Endpoint {
	if e := t.paths[string(path)]; e != nil {
		return e
	}
	n := bytes.LastIndexByte(path, '/') + 1
	if n == len(path) { // the last segment is empty
		return nil
	}
	return t.prefixes[string(path[:n])]
}
