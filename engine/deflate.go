package engine

import (
	"sync"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/codec"
)

// deflaters are the compressors of all loops and publishers. Each has 0.8 MB;
// there are about as many as cores, and none after a time without compression.
var deflaters = sync.Pool{New: func() any { return new(codec.Deflater) }}

// Deflate returns a compressed frame for connections that HearDeflated, to be
// shared by them, or nil if the payload does not get shorter. Any goroutine.
func Deflate(op codec.Opcode, payload []byte) []byte {
	return deflate(op, payload, codec.FullWindow)
}

func deflate(op codec.Opcode, payload []byte, window codec.Deflate) []byte {
	d := deflaters.Get().(*codec.Deflater)
	frame := d.AppendFrame(nil, op, payload, window)
	deflaters.Put(d)
	return frame
}

// DeflateOpen returns the beginning of a compressed frame, to which
// codec.StampDeflated adds the end, or nil if the payload does not get shorter.
// Any goroutine.
func DeflateOpen(payload []byte) []byte {
	d := deflaters.Get().(*codec.Deflater)
	open := d.AppendOpen(payload)
	deflaters.Put(d)
	return open
}

// HearsDeflated reports whether the frames of Deflate may be sent to c. They
// may not if the client has negotiated a smaller window: Send compresses for
// each such client, in its window.
func (c *Conn) HearsDeflated() bool {
	c.loop.own("Conn.HearsDeflated")
	return c.deflate == codec.FullWindow
}

// deflated returns the compressed frame that Send sends, nil if it is not to be
// compressed.
func (c *Conn) deflated(op codec.Opcode, payload []byte) []byte {
	if c.deflate == 0 || op.IsControl() || len(payload) < c.endpoint.CompressionThreshold {
		return nil
	}
	return deflate(op, payload, c.deflate)
}

// inflatedMax is how large a buffer for inflated messages a loop keeps, in
// bytes.
const inflatedMax = 64 << 10

// handlePacked handles a compressed message. What it is inflated to is valid
// until OnMessage returns.
func (c *Conn) handlePacked(op codec.Opcode, packed []byte) error {
	if c.state != open {
		return nil
	}
	l := c.loop
	payload, err := l.inflater.AppendInflated(l.inflated[:0], packed, c.endpoint.MaxMessageSize)
	if err != nil {
		return err
	}
	if cap(payload) <= inflatedMax {
		l.inflated = payload
	}
	if op == codec.OpText && !utf8.Valid(payload) {
		return errNotUTF8
	}
	c.handleMessage(op, payload)
	return nil
}
