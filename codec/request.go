package codec

import "bytes"

// maxMethod is longer than any registered method, in bytes, so that a first line without a space fails soon.
const maxMethod = 24

// Request is the opening handshake of a client (RFC 6455 §4.2.1), or another request that is answered instead. All
// slices point into the bytes that ParseRequest was given and are valid as long as those do not change.
type Request struct {
	Method []byte
	Target []byte // the request target as it was sent
	Path   []byte // its path, percent-encoded as it was sent, "/" if that was empty; "*" of OPTIONS *, nil of CONNECT
	Query  []byte // what follows its first '?', nil if there is none
	Host   []byte // "host" or "host:port": of the target if that is absolute, of the Host field otherwise
	Origin []byte // nil if it was not sent

	key, version []byte
	fields       []byte // all header lines
	authority    []byte // of an absolute target, or one of CONNECT
	seen         seen
}

// seen is a set of what the header had.
type seen uint16

const (
	seenHost seen = 1 << iota
	seenOrigin
	seenKey
	seenVersion
	seenLength
	seenUpgrade    // with the token websocket
	seenConnection // with the token upgrade
	seenProtocol
	seenExtensions
	seenBody    // announced by one of the two fields for it
	seenCoding  // Transfer-Encoding
	seenChunked // as the last coding so far
	seenOther   // another coding
	seenSecure  // an absolute target with wss:// or https://
	seenWindow  // the offer of permessage-deflate that Deflate accepted has server_max_window_bits
	seenOld     // HTTP/1.0
)

// ParseRequest reads the header block of an opening handshake from the start of b (RFC 6455 §4.2.1, RFC 9112).
// It returns the length of the block in bytes, blank line included, or 0 if b does not hold all of it yet; what
// follows in b belongs to the WebSocket connection. The error is a *HandshakeError, as soon as b cannot become a
// valid header block. How long a block may be is for the caller to limit: each call reads b from its start.
func ParseRequest(b []byte) (r Request, n int, err error) {
	n, err = r.parse(b)
	if n == 0 || err != nil {
		return Request{}, 0, err
	}
	return r, n, nil
}

func (r *Request) parse(b []byte) (n int, err error) {
	// "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line (CRLF)
	// received prior to the request-line" (RFC 9112 §2.2)
	line, rest, err := cutLine(bytes.TrimPrefix(b, []byte("\r\n")))
	if err != nil {
		return 0, err
	}
	if err := r.parseRequestLine(line, rest != nil); err != nil || rest == nil {
		return 0, err
	}
	start := len(b) - len(rest)
	for {
		end := len(b) - len(rest)
		line, rest, err = cutLine(rest)
		switch {
		case err != nil:
			return 0, err
		case rest == nil:
			return 0, checkFieldStart(line)
		case len(line) == 0:
			r.fields = b[start:end]
			return len(b) - len(rest), r.complete()
		}
		if err := r.parseField(line); err != nil {
			return 0, err
		}
	}
}

// cutLine returns the first line of b without its CRLF and what follows, which is nil if the line is not whole.
func cutLine(b []byte) (line, rest []byte, err error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return bytes.TrimSuffix(b, []byte{'\r'}), nil, nil
	}
	// "a recipient MAY recognize a single LF as a line terminator" (RFC 9112 §2.2): that invites smuggling.
	if i == 0 || b[i-1] != '\r' {
		return nil, nil, errBareLF
	}
	return b[:i-1], b[i+1:], nil
}

// parseRequestLine reads method SP target SP version (RFC 9112 §3). A line that is not whole is checked as far as
// it goes.
func (r *Request) parseRequestLine(line []byte, whole bool) error {
	method, rest, more := bytes.Cut(line, []byte{' '})
	switch {
	case !isToken(method) || more && len(method) == 0:
		return errRequestLine
	case len(method) > maxMethod:
		// "A server that receives a method longer than any that it implements SHOULD respond with a 501" (§3)
		return errMethod
	}
	r.Method = method
	target, version, last := bytes.Cut(rest, []byte{' '})
	if more {
		if err := r.parseTarget(target, last); err != nil {
			return err
		}
	}
	if whole && !last {
		return errRequestLine
	}
	if err := checkVersion(version, whole); err != nil || !whole {
		return err
	}
	r.mark(seenOld, version[7] == '0')
	return r.checkForm()
}

// checkVersion accepts HTTP/1.1, and HTTP/1.0, which CheckMethod refuses: the header of such a request tells whether it is
// for others. The handshake is not defined here for HTTP/2. "A recipient that receives a message with a major version number that
// it implements and a minor version number higher than what it implements ... SHOULD process the message as if it was in
// the highest minor version within that major version" (RFC 9110 §2.5).
func checkVersion(version []byte, whole bool) error {
	const want = "HTTP/1.1"
	if string(version) == want {
		return nil
	}
	if len(version) > len(want) || whole && len(version) < len(want) {
		return errRequestLine
	}
	for i, c := range version {
		isDigit := c >= '0' && c <= '9'
		if i == 5 || i == 7 {
			if !isDigit {
				return errRequestLine
			}
		} else if c != want[i] {
			return errRequestLine
		}
	}
	if len(version) < len(want) || version[5] == '1' {
		return nil
	}
	return errVersion
}

// complete checks what can only be known when the whole header was read.
func (r *Request) complete() error {
	// "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a
	// Host header field and to any request message that contains more than one Host header field line or a Host
	// header field with an invalid field value." (RFC 9112 §3.2)
	if r.seen&(seenHost|seenOld) == 0 {
		return errNoHost
	}
	// "When an origin server receives a request with an absolute-form of request-target, the origin server MUST
	// ignore the received Host header field (if any)" (RFC 9112 §3.2.2)
	if r.authority != nil {
		r.Host = r.authority
	}
	return r.completeBody()
}

// completeBody checks that it is known where a body ends (RFC 9112 §6.3).
func (r *Request) completeBody() error {
	switch {
	case r.seen&seenCoding == 0:
		return nil
	// "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat the message
	// as if the framing is faulty" (§6.1)
	case r.seen&seenOld != 0:
		return errOldCoding
	// "If a Transfer-Encoding header field is present in a request and the chunked transfer coding is not the final
	// encoding, the message body length cannot be determined reliably; the server MUST respond with the 400"
	case r.seen&seenChunked == 0:
		return errCoding
	// "Such a message might indicate an attempt to perform request smuggling ... and ought to be handled as an error."
	case r.seen&seenLength != 0:
		return errLengths
	// "A server that receives a request message with a transfer coding it does not understand SHOULD respond with 501"
	// (§6.1)
	case r.seen&seenOther != 0:
		return errOtherCoding
	}
	return nil
}
