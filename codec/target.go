package codec

import (
	"bytes"
	"net/netip"
)

var schemes = [...]string{"ws://", "wss://", "http://", "https://"}

// parseTarget reads a request target (RFC 9112 §3.2): in authority-form of CONNECT, in asterisk-form, or in origin-form
// or absolute-form. One that is not whole is checked as far as it goes.
func (r *Request) parseTarget(target []byte, whole bool) error {
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return errTarget
		}
	}
	switch {
	case whole && len(target) == 0:
		return errTarget
	case string(r.Method) == "CONNECT":
		r.Target, r.authority = target, target
		return nil // until it is whole
	case len(target) > 0 && target[0] == '*':
		r.Target, r.Path = target, target
		if len(target) > 1 {
			return errTarget
		}
		return nil
	}
	path := target
	if len(target) > 0 && target[0] != '/' {
		n, secure, ok := scheme(target)
		if !ok || whole && n == 0 {
			return errTarget
		}
		if n == 0 {
			return nil
		}
		r.mark(seenSecure, secure)
		path = afterAuthority(target[n:])
		r.authority = target[n : len(target)-len(path)]
		if (whole || len(path) > 0) && !isHost(r.authority) {
			return errTarget
		}
	}
	r.Target = target
	return r.parsePath(path, whole)
}

// checkForm checks that a whole target has a form that its method may have: "authority-form is only used for CONNECT",
// with a port that is there (RFC 9110 §9.3.6), and "asterisk-form is only used for a server-wide OPTIONS request"
// (RFC 9112 §3.2).
func (r *Request) checkForm() error {
	switch {
	case string(r.Method) == "CONNECT":
		host, port := cutPort(r.authority)
		if !isHostName(host) || len(port) < 2 || !isPort(port) {
			return errConnectTarget
		}
	case r.Path[0] == '*' && string(r.Method) != "OPTIONS":
		return errTarget
	}
	return nil
}

// parsePath splits the path from the query.
func (r *Request) parsePath(path []byte, whole bool) error {
	path, query, found := bytes.Cut(path, []byte{'?'})
	if found {
		r.Query = query
	}
	if !isPercentEncoded(path, whole || found) {
		return errTarget
	}
	// "if ... the path component is empty, [it] is equivalent to an absolute path of '/'" (RFC 9110 §4.2.3)
	r.Path = path
	if len(path) == 0 {
		r.Path = []byte("/")
	}
	return nil
}

// scheme returns the length of the scheme and the slashes at the start of target, 0 if they may still come, and whether it
// is one of TLS.
func scheme(target []byte) (n int, secure, ok bool) {
	for _, s := range schemes {
		if len(target) < len(s) {
			ok = ok || equalFold(target, s[:len(target)])
		} else if equalFold(target[:len(s)], s) {
			return len(s), s == "wss://" || s == "https://", true
		}
	}
	return 0, false, ok
}

// afterAuthority returns what follows host and port.
func afterAuthority(b []byte) []byte {
	if i := bytes.IndexAny(b, "/?"); i >= 0 {
		return b[i:]
	}
	return b[len(b):]
}

// isPercentEncoded reports whether every '%' stands before two hexadecimal digits (RFC 3986 §2.1).
func isPercentEncoded(b []byte, whole bool) bool {
	for {
		i := bytes.IndexByte(b, '%')
		if i < 0 {
			return true
		}
		b = b[i+1:]
		for k := range 2 {
			if k >= len(b) {
				return !whole
			}
			if !isHex(b[k]) {
				return false
			}
		}
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// isHost reports whether b is a host with perhaps a port (RFC 9110 §7.2, RFC 3986 §3.2.2), and not empty: "If the
// request's authority is empty and its URI scheme requires a non-empty authority (as is the case for 'http' and
// 'https'), the server can reject the request" (RFC 9112 §3.3).
func isHost(b []byte) bool {
	host, port := cutPort(b)
	return isHostName(host) && isPort(port)
}

// cutPort splits a host from the colon of its port and what follows.
func cutPort(b []byte) (host, port []byte) {
	if len(b) > 0 && b[0] == '[' {
		if i := bytes.IndexByte(b, ']'); i >= 0 {
			return b[:i+1], b[i+1:]
		}
	} else if i := bytes.IndexByte(b, ':'); i >= 0 {
		return b[:i], b[i:]
	}
	return b, nil
}

// isHostName reports whether b is an address in brackets, or a name or an IPv4 address.
func isHostName(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if b[0] == '[' {
		return len(b) > 2 && b[len(b)-1] == ']' && isIPLiteral(b[1:len(b)-1])
	}
	for _, c := range b {
		if class[c]&inHost == 0 && c != '%' {
			return false
		}
	}
	return isPercentEncoded(b, true)
}

// isIPLiteral reports whether b is an IPv6 address without a zone, or
// "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ).
func isIPLiteral(b []byte) bool {
	if b[0]|0x20 != 'v' {
		ip, err := netip.ParseAddr(string(b))
		return err == nil && ip.Is6() && ip.Zone() == ""
	}
	version, address, _ := bytes.Cut(b[1:], []byte{'.'})
	for _, c := range version {
		if !isHex(c) {
			return false
		}
	}
	for _, c := range address {
		if class[c]&inHost == 0 && c != ':' {
			return false
		}
	}
	return len(version) > 0 && len(address) > 0
}

// isPort reports whether b is empty or a colon and "*DIGIT" (RFC 3986 §3.2.3).
func isPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return b[0] == ':'
}
