package codec

import (
	"strconv"
	"unicode/utf8"
)

// AppendReply extends dst by {"ok":true} or {"err":…}, with the reason, and the id as it was sent.
func (JSON) AppendReply(dst []byte, r Reply) []byte {
	if r.Err == "" {
		dst = append(dst, `{"ok":true`...)
	} else {
		dst = appendString(append(dst, `{"err":`...), []byte(r.Err))
	}
	if r.Reason != "" {
		dst = appendString(append(dst, `,"reason":`...), []byte(r.Reason))
	}
	if r.ID != nil {
		dst = append(append(dst, `,"id":`...), r.ID...)
	}
	return append(dst, '}')
}

// AppendEvent extends dst by {"event":…,"channel":…,"data":…}. The data must be valid JSON; it is copied as it is.
func (JSON) AppendEvent(dst []byte, e Event) []byte {
	dst = appendString(append(dst, `{"event":`...), e.Event)
	dst = appendString(append(dst, `,"channel":`...), e.Channel)
	if e.Data != nil {
		dst = append(append(dst, `,"data":`...), e.Data...)
	}
	return append(dst, '}')
}

// AppendLost extends dst by {"lost":n,"channel":…}, which tells a subscriber how many events it has missed.
func (JSON) AppendLost(dst []byte, l Lost) []byte {
	dst = strconv.AppendInt(append(dst, `{"lost":`...), int64(l.N), 10)
	return append(appendString(append(dst, `,"channel":`...), l.Channel), '}')
}

// AppendEventFrame returns the frame in which subscribers get an event, in one allocation.
func AppendEventFrame(c Codec, e Event) []byte {
	const members = `{"event":"","channel":"","data":}`
	b := make([]byte, frameHeaderMax, frameHeaderMax+len(members)+len(e.Event)+len(e.Channel)+len(e.Data))
	b = c.AppendEvent(b, e)
	var head [frameHeaderMax]byte
	header := AppendHeader(head[:0], c.Opcode(), len(b)-frameHeaderMax)
	frame := b[frameHeaderMax-len(header):]
	copy(frame, header)
	return frame
}

// appendString extends dst by s as a JSON string (RFC 8259 §7).
// What is not valid UTF-8 becomes U+FFFD, so that a text message is always valid.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		n := plainPrefix(s)
		dst = append(dst, s[:n]...)
		s = s[n:]
		if len(s) == 0 {
			break
		}
		r, n := utf8.DecodeRune(s)
		dst = appendRune(dst, r)
		s = s[n:]
	}
	return append(dst, '"')
}

// plainPrefix returns how many bytes of s stand for themselves in a JSON string.
func plainPrefix(s []byte) int {
	for i, c := range s {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return len(s)
}

// appendRune extends dst by a character as it must be within a JSON string: "All Unicode characters may be placed
// within the quotation marks, except for the characters that MUST be escaped: quotation mark, reverse solidus, and
// the control characters (U+0000 through U+001F)." (RFC 8259 §7)
func appendRune(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r < ' ':
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	default:
		return utf8.AppendRune(dst, r)
	}
}
