package codec

import "bytes"

// Classes of bytes in a header.
const (
	inToken = 1 << iota // tchar (RFC 9110 §5.6.2)
	inValue             // field-vchar, SP and HTAB (RFC 9110 §5.5)
	inHost              // unreserved and sub-delims (RFC 3986 §2.2, §2.3)
)

const alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// class holds the classes of each byte.
var class = func() (t [256]uint8) {
	mark := func(c uint8, bytes string) {
		for i := range len(bytes) {
			t[bytes[i]] |= c
		}
	}
	mark(inToken, alnum+"!#$%&'*+-.^_`|~")
	mark(inHost, alnum+"-._~!$&'()*+,;=")
	mark(inValue, "\t")
	for c := ' '; c <= 0xff; c++ {
		if c != 0x7f {
			t[c] |= inValue
		}
	}
	return t
}()

// isToken reports whether b holds only characters of a token. It is true of nothing.
func isToken(b []byte) bool {
	for _, c := range b {
		if class[c]&inToken == 0 {
			return false
		}
	}
	return true
}

// ValidToken reports whether s is a token (RFC 9110 §5.6.2), as the name of a subprotocol must be.
func ValidToken(s []byte) bool { return len(s) > 0 && isToken(s) }

// isValue reports whether b holds only characters of a field value: "Field values containing CR, LF, or NUL characters
// are invalid and dangerous" (RFC 9110 §5.5). Other control characters are refused too.
func isValue(b []byte) bool {
	for _, c := range b {
		if class[c]&inValue == 0 {
			return false
		}
	}
	return true
}

// cutField splits a header line at its first colon. The line may be the start of one.
func cutField(line []byte) (name, value []byte, found bool, err error) {
	name, value, found = bytes.Cut(line, []byte{':'})
	// "No whitespace is allowed between the field name and colon." (RFC 9112 §5.1)
	// A line that starts with whitespace continues the one before; "A server that receives an obs-fold ... MUST
	// either reject the message ... or replace" (§5.2): it has no name here.
	if !isToken(name) || found && len(name) == 0 {
		return nil, nil, false, errFieldName
	}
	if !isValue(value) {
		return nil, nil, false, errFieldValue
	}
	return name, value, found, nil
}

// checkFieldStart checks a header line that is not whole as far as it goes.
func checkFieldStart(line []byte) error {
	_, _, _, err := cutField(line)
	return err
}

// parseField reads one whole header line (RFC 9112 §5) and keeps what the handshake needs.
func (r *Request) parseField(line []byte) error {
	name, value, found, err := cutField(line)
	if err != nil {
		return err
	}
	if !found {
		return errFieldName
	}
	return r.take(name, trim(value))
}

// take looks at the length first, since most names are of no interest.
func (r *Request) take(name, value []byte) error {
	switch {
	case is(name, "host"):
		return r.takeHost(value)
	case is(name, "origin"):
		r.Origin = value
		return r.once(seenOrigin, errManyOrigins)
	case is(name, "upgrade"):
		r.mark(seenUpgrade, hasToken(value, "websocket"))
	case is(name, "connection"):
		r.mark(seenConnection, hasToken(value, "upgrade"))
	case is(name, "content-length"):
		return r.takeLength(value)
	case is(name, "transfer-encoding"):
		return r.takeCodings(value)
	case is(name, "sec-websocket-key"):
		// "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an HTTP request." (§11.3.1)
		r.key = value
		return r.once(seenKey, errManyKeys)
	case is(name, "sec-websocket-version"):
		// "The |Sec-WebSocket-Version| header field MUST NOT appear more than once in an HTTP request" (§11.3.5)
		r.version = value
		return r.once(seenVersion, errManyVersions)
	case is(name, "sec-websocket-protocol"):
		r.mark(seenProtocol, true)
	case is(name, "sec-websocket-extensions"):
		r.mark(seenExtensions, true)
		if !isExtensionList(value) {
			return errExtensions
		}
	}
	return nil
}

func (r *Request) takeHost(value []byte) error {
	if !isHost(value) {
		return errHost
	}
	r.Host = value
	return r.once(seenHost, errHost)
}

// takeLength reads a Content-Length: "1*DIGIT" (RFC 9110 §8.6). A list of equal numbers is refused, as it may be.
func (r *Request) takeLength(value []byte) error {
	for _, c := range value {
		if c < '0' || c > '9' {
			return errLength
		}
		r.mark(seenBody, c != '0') // however long the number is
	}
	if len(value) == 0 {
		return errLength
	}
	return r.once(seenLength, errLength)
}

// takeCodings reads a part of the list in Transfer-Encoding (RFC 9112 §6.1): "A sender MUST NOT apply the chunked
// transfer coding more than once to a message body", and it is the last.
func (r *Request) takeCodings(list []byte) error {
	r.seen |= seenCoding | seenBody
	for more := true; more; {
		var coding []byte
		coding, list, more = bytes.Cut(list, []byte{','})
		switch coding = trim(coding); {
		case len(coding) == 0:
		case r.seen&seenChunked != 0:
			return errCoding
		case is(coding, "chunked"):
			r.seen |= seenChunked
		default:
			r.seen |= seenOther
		}
	}
	return nil
}

// once notes that a field was there, or returns err if it was before.
func (r *Request) once(s seen, err error) error {
	if r.seen&s != 0 {
		return err
	}
	r.seen |= s
	return nil
}

func (r *Request) mark(s seen, ok bool) {
	if ok {
		r.seen |= s
	}
}

// is reports whether a field has that name, given in lower case.
func is(name []byte, lower string) bool {
	return len(name) == len(lower) && equalFold(name, lower)
}

// equalFold compares b, of the same length, with a text in lower case; only ASCII letters have a case.
func equalFold(b []byte, lower string) bool {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trim removes optional whitespace from both ends (RFC 9110 §5.6.3).
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// hasToken reports whether a comma-separated list has the token, given in lower case (RFC 9110 §5.6.1).
func hasToken(list []byte, lower string) bool {
	for more := true; more; {
		var token []byte
		token, list, more = bytes.Cut(list, []byte{','})
		if is(trim(token), lower) {
			return true
		}
	}
	return false
}
