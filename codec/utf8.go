package codec

import "unicode/utf8"

// UTF8 checks that text which arrives in pieces is valid UTF-8 (RFC 6455 §8.1). The zero value is ready.
//
// It keeps the bytes of a character that a piece leaves open, at most three.
type UTF8 struct {
	open [utf8.UTFMax - 1]byte
	n    uint8
}

// Write reports whether the text is still valid, or can be after more bytes: it is false for the piece with the
// first byte that no valid text has in that place. After that only Reset is of use.
func (u *UTF8) Write(b []byte) bool {
	b, ok := u.finish(b)
	if !ok {
		return false
	}
	whole := len(b) - openTail(b)
	if !utf8.Valid(b[:whole]) {
		return false
	}
	u.n += uint8(copy(u.open[u.n:], b[whole:]))
	return true
}

// Done reports whether the text may end here: no character is left open.
func (u *UTF8) Done() bool { return u.n == 0 }

// Reset makes the validator ready for another text.
func (u *UTF8) Reset() { u.n = 0 }

// finish takes bytes from b until the open character is whole, and returns the rest.
func (u *UTF8) finish(b []byte) (rest []byte, ok bool) {
	var char [utf8.UTFMax]byte
	for u.n > 0 && len(b) > 0 {
		n := copy(char[:], u.open[:u.n])
		char[n] = b[0]
		b = b[1:]
		if !utf8.FullRune(char[:n+1]) {
			u.open[n] = char[n]
			u.n++
			continue
		}
		// FullRune is also true as soon as the bytes cannot become a character.
		if !utf8.Valid(char[:n+1]) {
			return b, false
		}
		u.n = 0
	}
	return b, true
}

// openTail returns how many bytes at the end of b begin a character that b does not finish.
func openTail(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		tail := b[len(b)-n:]
		if !utf8.RuneStart(tail[0]) {
			continue
		}
		if utf8.FullRune(tail) {
			return 0
		}
		return n
	}
	return 0
}
