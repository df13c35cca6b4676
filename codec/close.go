package codec

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Status codes of RFC 6455 §7.4.1 and the registry of §11.7.
const (
	StatusNormal          = 1000
	StatusGoingAway       = 1001
	StatusProtocolError   = 1002
	StatusUnsupportedData = 1003
	StatusNoStatus        = 1005 // never on the wire: the Close frame had no payload
	StatusAbnormal        = 1006 // never on the wire: there was no Close frame
	StatusInvalidPayload  = 1007
	StatusPolicyViolation = 1008
	StatusTooBig          = 1009
	StatusInternalError   = 1011
	StatusTryAgainLater   = 1013
)

// maxReason is what a Close frame has room for after the code, in bytes (RFC 6455 §5.5, §5.5.1).
const maxReason = MaxControlPayload - 2

var (
	errCloseShort  = &CloseError{Code: StatusProtocolError, Reason: "close frame with half a status code"}
	errCloseCode   = &CloseError{Code: StatusProtocolError, Reason: "close frame with a status code that must not be sent"}
	errCloseReason = &CloseError{Code: StatusInvalidPayload, Reason: "close reason is not valid UTF-8"}
)

// CloseError is a violation of the protocol: the connection is to be closed with Code and Reason (RFC 6455 §7.4).
// The ones that this package returns are shared; do not modify them.
type CloseError struct {
	Code   uint16
	Reason string
	ByPeer bool // the other side chose them
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("websocket: close %d: %s", e.Code, e.Reason)
}

// AppendClose extends dst by an unmasked Close frame (RFC 6455 §5.5.1).
// The reason is cut to 123 bytes, before the character that does not fit. What is not valid UTF-8 in it becomes
// U+FFFD: a client would have to fail the connection with 1007 otherwise.
// With StatusNoStatus the frame is empty, since that code MUST NOT be sent (§7.4.1).
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == StatusNoStatus {
		return AppendHeader(dst, OpClose, 0)
	}
	reason = cutUTF8(strings.ToValidUTF8(reason, "\uFFFD"), maxReason)
	dst = AppendHeader(dst, OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}

// cutUTF8 shortens s to at most n bytes without splitting a character.
func cutUTF8(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// ParseClose reads the payload of a Close frame (RFC 6455 §5.5.1, §7.4).
// An empty payload is StatusNoStatus (§7.1.5). An invalid one is a *CloseError: code 1002, or 1007 for a bad reason.
func ParseClose(payload []byte) (code uint16, reason string, err error) {
	switch len(payload) {
	case 0:
		return StatusNoStatus, "", nil
	case 1:
		// "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer" (§5.5.1)
		return 0, "", errCloseShort
	}
	code = binary.BigEndian.Uint16(payload)
	if !mayBeSent(code) {
		return 0, "", errCloseCode
	}
	if !utf8.Valid(payload[2:]) {
		return 0, "", errCloseReason
	}
	return code, string(payload[2:]), nil
}

// mayBeSent reports whether a Close frame may carry the code.
func mayBeSent(code uint16) bool {
	switch {
	// "1004 Reserved." "1005 [1006, 1015] is a reserved value and MUST NOT be set as a status code in a Close
	// control frame by an endpoint." (§7.4.1; 1012 to 1014 came later, by §11.7)
	case code == 1004, code == StatusNoStatus, code == StatusAbnormal:
		return false
	case code >= 1000 && code <= 1014:
		return true
	// "Status codes in the range 3000-3999 [4000-4999] are reserved for use by libraries ... [private use]" (§7.4.2)
	default:
		return code >= 3000 && code <= 4999
	}
}
