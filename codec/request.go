package codec

import "bytes"

// maxMethod is longer than any registered method, in bytes, so that a first line without a space fails soon.
const maxMethod = 24

// Request is the opening handshake of a client (RFC 6455 §4.2.1). All slices point into the bytes that ParseRequest
// was given and are valid as long as those do not change.
type Request struct {
	Method []byte
	Target []byte // the request target as it was sent
	Path   []byte // its path, percent-encoded as it was sent, "/" if that was empty
	Query  []byte // what follows its first '?', nil if there is none
	Host   []byte // "host" or "host:port": of the target if that is absolute, of the Host field otherwise
	Origin []byte // nil if it was not sent

	key, version []byte
	fields       []byte // all header lines
	authority    []byte // of an absolute target
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
	seenWindow // the offer of permessage-deflate that Deflate accepted has server_max_window_bits
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

// Field returns the values of the header lines with that name, given in lower case, in their order and separated by
// commas (RFC 9110 §5.3).
func (r *Request) Field(name string) string {
	var all []byte
	fields := r.fields
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		field, value, _ := bytes.Cut(line, []byte{':'})
		if is(field, name) {
			all = append(append(all, trim(value)...), ',')
		}
	}
	return string(bytes.TrimSuffix(all, []byte{','}))
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
	if len(method) > maxMethod || !isToken(method) || more && len(method) == 0 {
		return errRequestLine
	}
	target, version, last := bytes.Cut(rest, []byte{' '})
	if more {
		if err := r.parseTarget(target, last); err != nil {
			return err
		}
	}
	if whole && !last {
		return errRequestLine
	}
	r.Method = method
	return checkVersion(version, whole)
}

// checkVersion accepts HTTP/1.1: the client MUST send an "HTTP version [that is] at least 1.1" (RFC 6455 §4.1), and
// the handshake is not defined here for later ones.
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
	if len(version) == len(want) {
		return errVersion
	}
	return nil
}

// complete checks what can only be known when the whole header was read.
func (r *Request) complete() error {
	// "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a
	// Host header field and to any request message that contains more than one Host header field line or a Host
	// header field with an invalid field value." (RFC 9112 §3.2)
	if r.seen&seenHost == 0 {
		return errNoHost
	}
	// "When an origin server receives a request with an absolute-form of request-target, the origin server MUST
	// ignore the received Host header field (if any)" (RFC 9112 §3.2.2)
	if r.authority != nil {
		r.Host = r.authority
	}
	return nil
}
