package engine

import (
	"bytes"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/codec"
)

var (
	errTooBig = &codec.CloseError{
		Code: codec.StatusTooBig, Reason: "message over the size limit",
	}
	errNotUTF8 = &codec.CloseError{
		Code: codec.StatusInvalidPayload, Reason: "text is not valid UTF-8",
	}
	errNoMessage = &codec.CloseError{
		Code: codec.StatusProtocolError, Reason: "continuation without a message",
	}
	errHalfSent = &codec.CloseError{
		Code: codec.StatusPolicyViolation, Reason: "a message did not arrive in time",
	}
	errUnfinished = &codec.CloseError{
		Code: codec.StatusProtocolError, Reason: "new message before the last one ended",
	}
)

// input is what has arrived of a frame or message that is not complete.
type input struct {
	since uint32 // tick of its first byte

	head    [codec.MaxHeaderSize]byte // of the next frame
	headLen int

	inFrame bool // header is valid, and some of its payload is missing
	header  codec.Header
	got     int64 // bytes of the payload that have been taken
	control [codec.MaxControlPayload]byte

	opcode  codec.Opcode // of the message, OpContinuation if there is none
	packed  bool         // the message is compressed
	message []byte       // its payload so far
	text    codec.UTF8
}

// read takes bytes of frames and returns those that it has not used.
func (c *Conn) read(b []byte) []byte {
	if c.in != nil {
		return c.resume(b)
	}
	h, n, err := codec.ParseHeader(b, c.deflate)
	if err != nil {
		return c.failRead(err)
	}
	if n == 0 || !h.Fin || int64(len(b)-n) < h.Length {
		c.in = c.loop.getInput()
		c.in.since = c.loop.now
		c.hurry()
		return c.resume(b)
	}
	if err := c.check(h); err != nil {
		return c.failRead(err)
	}
	end := n + int(h.Length)
	payload := b[n:end:end] // appending to it must not reach the next frame
	codec.Mask(payload, h.Mask, 0)
	c.alive()
	switch {
	case h.OpCode.IsControl():
		c.handleControl(h.OpCode, payload)
	case codec.IsDeflated(h):
		if err := c.handlePacked(h.OpCode, payload); err != nil {
			return c.failRead(err)
		}
	case h.OpCode == codec.OpText && !utf8.Valid(payload):
		return c.failRead(errNotUTF8)
	default:
		c.handleMessage(h.OpCode, payload)
	}
	return b[end:]
}

// check returns an error if a frame with this header is not allowed here,
// before any of its payload is taken.
func (c *Conn) check(h codec.Header) error {
	if h.OpCode.IsControl() {
		return nil
	}
	room := int64(c.endpoint.MaxMessageSize)
	inMessage := c.in != nil && c.in.opcode != codec.OpContinuation
	if codec.IsDeflated(h) || inMessage && c.in.packed {
		room = int64(codec.MaxDeflated(c.endpoint.MaxMessageSize))
	}
	if inMessage {
		room -= int64(len(c.in.message))
	}
	switch {
	case h.OpCode == codec.OpContinuation && !inMessage:
		return errNoMessage
	case h.OpCode != codec.OpContinuation && inMessage:
		return errUnfinished
	case h.Length > room:
		return errTooBig
	}
	return nil
}

// resume is read for frames that are cut, or part of a longer message.
func (c *Conn) resume(b []byte) []byte {
	in := c.in
	if !in.inFrame {
		rest, err := c.readHeader(b)
		if err != nil {
			return c.failRead(err)
		}
		if b = rest; !in.inFrame {
			return b
		}
	}
	n := int(min(int64(len(b)), in.header.Length-in.got))
	if err := in.take(b[:n]); err != nil {
		return c.failRead(err)
	}
	if in.got == in.header.Length {
		in.inFrame = false
		c.alive()
		if err := c.endFrame(); err != nil {
			return c.failRead(err)
		}
		if c.in == nil {
			c.alive() // without the deadline of the message
		}
	} else {
		c.arriving()
	}
	return b[n:]
}

// readHeader takes bytes of a frame's header.
func (c *Conn) readHeader(b []byte) (rest []byte, err error) {
	in := c.in
	had := in.headLen
	in.headLen += copy(in.head[had:], b)
	h, n, err := codec.ParseHeader(in.head[:in.headLen], c.deflate)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	if err := c.check(h); err != nil {
		return nil, err
	}
	in.header, in.got, in.headLen, in.inFrame = h, 0, 0, true
	if !h.OpCode.IsControl() && h.OpCode != codec.OpContinuation {
		in.opcode, in.packed = h.OpCode, codec.IsDeflated(h)
	}
	return b[n-had:], nil
}

// take takes bytes of a frame's payload.
func (in *input) take(b []byte) error {
	codec.Mask(b, in.header.Mask, int(in.got))
	if in.header.OpCode.IsControl() {
		in.got += int64(copy(in.control[in.got:], b))
		return nil
	}
	in.got += int64(len(b))
	if in.opcode == codec.OpText && !in.packed && !in.text.Write(b) {
		return errNotUTF8
	}
	in.message = append(in.message, b...)
	return nil
}

// endFrame handles a frame whose last byte has been taken.
func (c *Conn) endFrame() error {
	in := c.in
	if in.header.OpCode.IsControl() {
		if in.opcode == codec.OpContinuation {
			defer c.freeInput()
		}
		c.handleControl(in.header.OpCode, in.control[:in.got])
		return nil
	}
	if !in.header.Fin {
		return nil
	}
	if in.opcode == codec.OpText && !in.text.Done() {
		return errNotUTF8
	}
	defer c.freeInput()
	if in.packed {
		return c.handlePacked(in.opcode, in.message)
	}
	c.handleMessage(in.opcode, in.message)
	return nil
}

func (c *Conn) handleMessage(op codec.Opcode, payload []byte) {
	if c.state == open {
		c.loop.counts.MessagesIn++
		c.endpoint.Protocol.OnMessage(c, op, payload)
	}
}

// handleControl obeys a control frame (RFC 6455 §5.5).
func (c *Conn) handleControl(op codec.Opcode, payload []byte) {
	switch op {
	case codec.OpPing:
		// "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in
		// response, unless it already received a Close frame." (§5.5.2) That we
		// have sent one does not matter.
		c.pong(payload)
	case codec.OpClose:
		if said := bytes.Clone(payload); !c.defers(func() { c.handleClose(said) }) {
			c.handleClose(payload)
		}
	}
}

// pong answers a ping.
func (c *Conn) pong(payload []byte) {
	if c.state == closing && !c.tooMuch() {
		c.push(codec.AppendFrame(nil, codec.OpPong, payload))
		return
	}
	c.Send(codec.OpPong, payload)
}

// failRead fails the connection, and returns that no bytes are left to read.
func (c *Conn) failRead(err error) []byte {
	c.fail(err)
	return nil
}

func (c *Conn) freeInput() {
	if c.in != nil {
		c.loop.putInput(c.in)
		c.in = nil
	}
}
