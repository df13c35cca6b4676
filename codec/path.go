package codec

import (
	"fmt"
	"path"
	"strings"
)

// NormalPath returns the path that a client asks for if a page or a program connects to s: without "." and ".."
// segments, double slashes, query, fragment, scheme and host, and percent-encoded as browsers do it
// (https://url.spec.whatwg.org/#path-state, RFC 3986 §6.2.2). Browsers keep double slashes, but many proxies do not.
// A path that differs from its normal form is one that clients do not reach.
func NormalPath(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok && !strings.HasPrefix(s, "/") {
		s = string(afterAuthority([]byte(rest)))
	}
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	s = "/" + percentEncode(strings.ReplaceAll(s, `\`, "/"))
	normal := path.Clean(s)
	last := s[strings.LastIndexByte(s, '/')+1:]
	if normal != "/" && (last == "" || last == "." || last == "..") {
		normal += "/"
	}
	return normal
}

// unreserved need no percent-encoding (RFC 3986 §2.3).
const unreserved = alnum + "-._~"

// percentEncode encodes what may not stand in a path. What is encoded already gets its normal form.
func percentEncode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			c = fromHex(s[i+1])<<4 | fromHex(s[i+2])
			i += 2
			if strings.IndexByte(unreserved, c) >= 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>`{}%", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// fromHex returns the value of a hexadecimal digit.
func fromHex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
