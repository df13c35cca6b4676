package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of RFC 6455 §5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// maxFrame is the longest frame that a server may send us.
const maxFrame = 128 << 10

var errShort = errors.New("frame is incomplete")

// maskKey masks all our frames. It is not random: there is no proxy between us and the server to protect (RFC 6455
// §10.3), and a frame that is built once can be sent many times. It is not zero either, so that no server can skip the
// work.
var maskKey = [4]byte{0x52, 0x6f, 0x63, 0x6b}

// appendFrame appends a whole masked frame to dst.
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, maskKey[:]...)
	at := len(dst)
	dst = append(dst, payload...)
	maskAt(dst[at:], 0)
	return dst
}

// maskAt masks b, which lies at offset pos of the frame's payload.
func maskAt(b []byte, pos int) {
	for i := range b {
		b[i] ^= maskKey[(pos+i)&3]
	}
}

// parseFrame reads the frame at the start of b: its opcode, where its payload starts and where the frame ends.
// It returns errShort if b ends before the frame does.
func parseFrame(b []byte) (opcode byte, start, end int, err error) {
	if len(b) < 2 {
		return 0, 0, 0, errShort
	}
	n := uint64(b[1])
	start = 2
	switch {
	case n >= 128:
		return 0, 0, 0, errors.New("the server masks its frames")
	case n == 126:
		if len(b) < 4 {
			return 0, 0, 0, errShort
		}
		n, start = uint64(binary.BigEndian.Uint16(b[2:])), 4
	case n == 127:
		if len(b) < 10 {
			return 0, 0, 0, errShort
		}
		n, start = binary.BigEndian.Uint64(b[2:]), 10
	}
	if b[0]&0xF0 != 0x80 || b[0]&0x0F == opContinuation {
		return 0, 0, 0, fmt.Errorf("frame starts with %#x: only whole messages without extensions are understood", b[0])
	}
	if n > maxFrame {
		return 0, 0, 0, fmt.Errorf("frame of %d bytes is longer than %d", n, maxFrame)
	}
	if uint64(len(b)-start) < n {
		return 0, 0, 0, errShort
	}
	return b[0] & 0x0F, start, start + int(n), nil
}
