package codec

import (
	"bytes"
	"encoding/binary"
)

// scanner walks over JSON (RFC 8259). Its methods are false, or nil, where the text is not valid.
type scanner struct {
	b []byte
	i int
}

// peek returns the next byte after whitespace, 0 at the end; 0 is never valid there.
func (s *scanner) peek() byte {
	s.space()
	if s.i == len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// space skips whitespace.
func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// take skips whitespace and the byte c.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

// next reads the name of an object's next member and the colon after it, or the end of the object: then name is nil.
func (s *scanner) next(first bool) (name []byte, ok bool) {
	if s.take('}') {
		return nil, true
	}
	if !first && !s.take(',') {
		return nil, false
	}
	name = s.text()
	return name, name != nil && s.take(':')
}

// text reads a string without escapes and returns what is between the quotes.
func (s *scanner) text() []byte {
	if !s.take('"') {
		return nil
	}
	start := s.i
	if s.plain() != '"' {
		return nil
	}
	s.i++
	return s.b[start : s.i-1 : s.i-1]
}

// raw reads any value and returns it as it stands.
func (s *scanner) raw() []byte {
	s.space()
	start := s.i
	if !s.value(scanDepth) {
		return nil
	}
	return s.b[start:s.i:s.i]
}

// value skips a value with at most depth objects and arrays in one another.
func (s *scanner) value(depth int) bool {
	switch s.peek() {
	case '"':
		s.i++
		return s.string()
	case '{':
		s.i++
		return depth > 0 && s.object(depth-1)
	case '[':
		s.i++
		return depth > 0 && s.array(depth-1)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

func (s *scanner) object(depth int) bool {
	if s.take('}') {
		return true
	}
	for s.take('"') && s.string() && s.take(':') && s.value(depth) {
		if !s.take(',') {
			return s.take('}')
		}
	}
	return false
}

func (s *scanner) array(depth int) bool {
	if s.take(']') {
		return true
	}
	for s.value(depth) {
		if !s.take(',') {
			return s.take(']')
		}
	}
	return false
}

func (s *scanner) literal(want string) bool {
	if !bytes.HasPrefix(s.b[s.i:], []byte(want)) {
		return false
	}
	s.i += len(want)
	return true
}

// number skips a number: [ minus ] int [ frac ] [ exp ] (RFC 8259 §6).
func (s *scanner) number() bool {
	s.skip('-', '-')
	if !s.skip('0', '0') && !s.digits() {
		return false
	}
	if s.skip('.', '.') && !s.digits() {
		return false
	}
	if s.skip('e', 'E') {
		s.skip('+', '-')
		return s.digits()
	}
	return true
}

// skip takes one byte if it is a or b.
func (s *scanner) skip(a, b byte) bool {
	if s.i < len(s.b) && (s.b[s.i] == a || s.b[s.i] == b) {
		s.i++
		return true
	}
	return false
}

// digits skips one digit or more.
func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

// string skips what follows the opening quote, the closing one included.
func (s *scanner) string() bool {
	for {
		switch s.plain() {
		case '"':
			s.i++
			return true
		case '\\':
			if !s.escape() {
				return false
			}
		default:
			return false
		}
	}
}

// escape skips a backslash and what it stands before.
func (s *scanner) escape() bool {
	if s.i+1 == len(s.b) {
		return false
	}
	c := s.b[s.i+1]
	s.i += 2
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		return s.hex(4)
	}
	return false
}

// hex skips n hexadecimal digits.
func (s *scanner) hex(n int) bool {
	for range n {
		if s.i == len(s.b) || !isHex(s.b[s.i]) {
			return false
		}
		s.i++
	}
	return true
}

// plain skips the bytes of a string that stand for themselves and returns the one after them, which it does not skip:
// a quote, a backslash, a control character, or 0 at the end.
func (s *scanner) plain() byte {
	for len(s.b)-s.i >= 8 && isPlain(binary.LittleEndian.Uint64(s.b[s.i:])) {
		s.i += 8
	}
	for ; s.i < len(s.b); s.i++ {
		if c := s.b[s.i]; c < ' ' || c == '"' || c == '\\' {
			return c
		}
	}
	return 0
}

// isPlain tells of eight bytes at once that none is a quote, a backslash or a control character. Subtracting from a
// byte that is too small borrows and sets its top bit; the bytes above 0x7f, which have that bit anyway, are masked.
func isPlain(w uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^(ones*'"'), w^(ones*'\\')
	return ((w-ones*' ')&^w|(quote-ones)&^quote|(backslash-ones)&^backslash)&tops == 0
}
