package codec

import (
	"encoding/binary"
	"slices"

	"github.com/gobwas/ws"
)

// Opcode says what a frame carries (RFC 6455 §5.2). The zero value is a continuation.
type Opcode = ws.OpCode

// Header is the decoded header of one frame (RFC 6455 §5.2). Length is the payload's, in bytes.
type Header = ws.Header

// Opcodes of RFC 6455 §11.8.
const (
	OpContinuation = ws.OpContinuation
	OpText         = ws.OpText
	OpBinary       = ws.OpBinary
	OpClose        = ws.OpClose
	OpPing         = ws.OpPing
	OpPong         = ws.OpPong
)

// Sizes in bytes.
const (
	MaxHeaderSize     = 14  // of a masked frame with a 64-bit length
	MaxControlPayload = 125 // RFC 6455 §5.5
)

// Bits of the first two bytes of a frame (RFC 6455 §5.2).
const (
	bitFin     = 0x80
	bitsRSV    = 0x70
	bitRSV1    = 0x40
	bitsOpcode = 0x0f
	bitMask    = 0x80
	bitsLength = 0x7f

	length16 = 126 // the length is in the next 2 bytes
	length64 = 127 // the length is in the next 8 bytes
)

var (
	errRSV        = &CloseError{Code: StatusProtocolError, Reason: "reserved bits are set that no negotiated extension uses here"}
	errOpcode     = &CloseError{Code: StatusProtocolError, Reason: "reserved opcode"}
	errFragmented = &CloseError{Code: StatusProtocolError, Reason: "control frame is fragmented"}
	errControl    = &CloseError{Code: StatusProtocolError, Reason: "control frame has more than 125 bytes"}
	errNotMasked  = &CloseError{Code: StatusProtocolError, Reason: "frame from a client is not masked"}
	errNotMinimal = &CloseError{Code: StatusProtocolError, Reason: "payload length is not in its shortest form"}
	errTopBit     = &CloseError{Code: StatusProtocolError, Reason: "top bit of the payload length is set"}
)

// ParseHeader reads the header of a frame that a client sent from b (RFC 6455 §5.2, §5.1).
// It returns the header and its length in bytes, 0 if b is still too short,
// or a *CloseError with code 1002 at the first byte that makes the header invalid.
// Whether a continuation is due is for the caller to know. With deflate agreed the first frame of a message may have
// the bit that says that it is compressed (RFC 7692 §6): IsDeflated.
func ParseHeader(b []byte, deflate Deflate) (h Header, n int, err error) {
	if err := checkHeader(b, deflate); err != nil {
		return Header{}, 0, err
	}
	if len(b) < 2 {
		return Header{}, 0, nil
	}
	length, n := parseLength(b)
	if n == 0 || len(b) < n+4 {
		return Header{}, 0, nil
	}
	h.Fin = b[0]&bitFin != 0
	h.Rsv = b[0] & bitsRSV >> 4
	h.OpCode = Opcode(b[0] & bitsOpcode)
	h.Masked = true
	h.Mask = [4]byte(b[n:])
	h.Length = int64(length)
	return h, n + 4, nil
}

// IsDeflated reports whether h is the first frame of a compressed message.
func IsDeflated(h Header) bool { return h.Rsv1() }

// checkHeader refuses what is wrong in the bytes of a header that have arrived.
func checkHeader(b []byte, deflate Deflate) error {
	if len(b) == 0 {
		return nil
	}
	if err := checkFirst(b[0], deflate); err != nil {
		return err
	}
	if len(b) == 1 {
		return nil
	}
	// "The server MUST close the connection upon receiving a frame that is not masked." (§5.1)
	if b[1]&bitMask == 0 {
		return errNotMasked
	}
	// "All control frames MUST have a payload length of 125 bytes or less" (§5.5)
	if Opcode(b[0]&bitsOpcode).IsControl() && b[1]&bitsLength > MaxControlPayload {
		return errControl
	}
	return checkLength(b)
}

// checkFirst refuses a first byte that no frame has.
func checkFirst(b byte, deflate Deflate) error {
	op := Opcode(b & bitsOpcode)
	// "An endpoint MUST NOT set the 'Per-Message Compressed' bit of control frames and non-first fragments of a data
	// message." (RFC 7692 §6.1)
	if deflate != 0 && (op == OpText || op == OpBinary) {
		b &^= bitRSV1
	}
	switch {
	// "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values." (§5.2)
	case b&bitsRSV != 0:
		return errRSV
	// "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_." (§5.2)
	case op.IsReserved():
		return errOpcode
	// "All control frames ... MUST NOT be fragmented." (§5.5)
	case op.IsControl() && b&bitFin == 0:
		return errFragmented
	}
	return nil
}

// checkLength refuses an extended length as early as its bytes allow.
func checkLength(b []byte) error {
	// "Note that in all cases, the minimal number of bytes MUST be used to encode the length" (§5.2)
	switch b[1] & bitsLength {
	case length16:
		if len(b) >= 4 && binary.BigEndian.Uint16(b[2:]) < length16 {
			return errNotMinimal
		}
	case length64:
		// "the most significant bit MUST be 0" (§5.2)
		if len(b) >= 3 && b[2]&0x80 != 0 {
			return errTopBit
		}
		if len(b) >= 8 && binary.BigEndian.Uint64(b[:8])<<16 == 0 {
			return errNotMinimal
		}
	}
	return nil
}

// parseLength returns the payload length and where the mask begins, 0 if b is too short.
func parseLength(b []byte) (length uint64, n int) {
	switch l := b[1] & bitsLength; l {
	case length16:
		if len(b) < 4 {
			return 0, 0
		}
		return uint64(binary.BigEndian.Uint16(b[2:])), 4
	case length64:
		if len(b) < 10 {
			return 0, 0
		}
		return binary.BigEndian.Uint64(b[2:]), 10
	default:
		return uint64(l), 2
	}
}

// AppendHeader extends dst by the header of a whole, unmasked frame of n bytes, as a server sends it
// ("A server MUST NOT mask any frames that it sends to the client", RFC 6455 §5.1).
func AppendHeader(dst []byte, op Opcode, n int) []byte {
	return appendHeader(dst, op, n, 0)
}

func appendHeader(dst []byte, op Opcode, n int, mask byte) []byte {
	dst = append(dst, bitFin|byte(op))
	switch {
	case n < length16:
		return append(dst, mask|byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, mask|length16), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, mask|length64), uint64(n))
	}
}

// AppendFrame extends dst by a whole, unmasked frame. It copies payload.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	dst = slices.Grow(dst, frameHeaderMax+len(payload)) // at once
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// Payload returns the payload of a whole, unmasked frame, as AppendFrame makes it. It shares the bytes of the frame.
func Payload(frame []byte) []byte {
	_, n := parseLength(frame)
	return frame[n:]
}

// AppendMaskedFrame extends dst by a whole frame as a client sends it: masked (RFC 6455 §5.3).
// It copies payload. "The masking key needs to be unpredictable": that is for the caller.
func AppendMaskedFrame(dst []byte, op Opcode, payload []byte, mask [4]byte) []byte {
	dst = appendHeader(dst, op, len(payload), bitMask)
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	Mask(dst[start:], mask, 0)
	return dst
}

// Mask masks or unmasks b in place (RFC 6455 §5.3).
// The offset is how many bytes of the same payload came before b.
func Mask(b []byte, key [4]byte, offset int) {
	ws.Cipher(b, key, offset)
}
