package codec

import (
	"bytes"
	"net/netip"
)

var schemes = [...]string{"ws://", "wss://", "http://", "https://"}

// parseTarget reads a request target in origin-form or absolute-form (RFC 9112 §3.2). One that is not whole is
// checked as far as it goes.
func (r *Request) parseTarget(target []byte, whole bool) error {
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return errTarget
		}
	}
	path := target
	if len(target) > 0 && target[0] != '/' {
		n, ok := scheme(target)
		if !ok || whole && n == 0 {
			return errTarget
		}
		if n == 0 {
			return nil
		}
		path = afterAuthority(target[n:])
		r.authority = target[n : len(target)-len(path)]
		if (whole || len(path) > 0) && !isHost(r.authority) {
			return errTarget
		}
	}
	if whole && len(target) == 0 {
		return errTarget
	}
	r.Target = target
	return r.parsePath(path, whole)
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

// scheme returns the length of the scheme and the slashes at the start of target, 0 if they may still come.
func scheme(target []byte) (n int, ok bool) {
	for _, s := range schemes {
		if len(target) < len(s) {
			ok = ok || equalFold(target, s[:len(target)])
		} else if equalFold(target[:len(s)], s) {
			return len(s), true
		}
	}
	return 0, ok
}

// afterAuthority returns what follows host and port.
func afterAuthority(b []byte) []byte {
	if i := bytes.IndexAny(b, "/?"); i >= 0 {
		return b[i:]
	}
	return b[len(b):]
}

// isPercentEncoded tells whether every '%' stands before two hexadecimal digits (RFC 3986 §2.1).
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

// isHost tells whether b is a host with perhaps a port (RFC 9110 §7.2, RFC 3986 §3.2.2), and not empty.
// Percent-encoded names are refused: no browser sends them.
func isHost(b []byte) bool {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 {
			return false
		}
		host, port = b[:i+1], b[i+1:]
	} else if i := bytes.IndexByte(b, ':'); i >= 0 {
		host, port = b[:i], b[i:]
	}
	return isHostName(host) && isPort(port)
}

func isHostName(b []byte) bool {
	if len(b) > 0 && b[0] == '[' {
		ip, err := netip.ParseAddr(string(b[1 : len(b)-1]))
		return err == nil && ip.Is6() && ip.Zone() == ""
	}
	for _, c := range b {
		if class[c]&inHost == 0 {
			return false
		}
	}
	return len(b) > 0
}

// isPort tells whether b is empty or a colon and up to five digits.
func isPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != ':' || len(b) > len(":65535") {
		return false
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
