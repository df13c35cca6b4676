package engine

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/nu7hatch/webrocket/codec"
)

// The header fields in which an HTTP proxy names the client that it speaks for.
const (
	fieldForwarded    = "forwarded"       // RFC 7239
	fieldForwardedFor = "x-forwarded-for" // addresses, each proxy adds one at the end
)

// errForwarded refuses a request whose two fields differ. A proxy writes one of
// them and often passes the other on as the client wrote it, and which one that
// is cannot be seen here: to prefer either would let clients choose their
// address.
var errForwarded = &codec.HandshakeError{
	Status: 400,
	Reason: "The fields Forwarded and X-Forwarded-For do not name the same client. The proxy must remove the one that it does not write.",
	Label:  "forwarded",
}

// identify takes the client's address from the request of a trusted proxy, and
// checks the rates of connecting for it. It returns false if the connection has
// been refused or closed.
func (c *Conn) identify(r *codec.Request) bool {
	if !c.transport.awaitsForwarded() {
		return true
	}
	t := c.transport
	t.forwarded = true
	client, err := forwardedClient(r.Header(fieldForwarded), r.Header(fieldForwardedFor), t.listener.forwarders)
	if err != nil {
		c.refuse(err, r.Method)
		return false
	}
	if client.IsValid() {
		t.remote = net.TCPAddrFromAddrPort(client)
	}
	c.admitClient()
	return c.state == opening
}

// forwardedClient returns the client that the values of the two fields name,
// with port 0 if they name none. The zero value says that the client is not
// known. The error is errForwarded if both fields are there and differ.
func forwardedClient(forwarded, forwardedFor string, trusted []netip.Prefix) (netip.AddrPort, error) {
	one, isOne := walk(forwarded, trusted, cutForwarded)
	two, isTwo := walk(forwardedFor, trusted, cutForwardedFor)
	switch {
	case isOne && isTwo && one.Addr() != two.Addr():
		return netip.AddrPort{}, errForwarded
	case isOne:
		return one, nil
	}
	return two, nil
}

// walk goes through a list of proxies from its end, as they have added to it,
// past those that are trusted, and returns the first address that is not. What
// is left of that may be a client's invention. If all are trusted it is the
// first of the list. The address is the zero value where the walk ends at
// something else: "unknown", a pseudonym, nonsense. There is nothing to walk
// through if the list has no elements.
func walk(list string, trusted []netip.Prefix, cut func(string) (rest, node string)) (client netip.AddrPort, any bool) {
	for list = trimList(list); list != ""; list = trimList(list) {
		var node string
		list, node = cut(list)
		addr, ok := parseNode(node)
		if !ok {
			return netip.AddrPort{}, true
		}
		client, any = addr, true
		if !contain(trusted, addr.Addr()) {
			break
		}
	}
	return client, any
}

// trimList removes empty elements from the end: "A recipient MUST parse and
// ignore a reasonable number of empty list elements" (RFC 9110 §5.6.1.2).
func trimList(list string) string { return strings.TrimRight(list, ", \t") }

// cutForwardedFor cuts the last address off a list.
func cutForwardedFor(list string) (rest, node string) {
	i := strings.LastIndexByte(list, ',')
	return list[:max(i, 0)], strings.TrimLeft(list[i+1:], " \t")
}

// cutForwarded cuts the last element off a list of RFC 7239 §4 and returns its
// "for", "" if it has none or is not valid. It looks from the end, so that a
// quote that a client has left open swallows nothing of what proxies have
// added.
func cutForwarded(list string) (rest, node string) {
	i := len(list) - 1
	for quoted := false; i >= 0 && (quoted || list[i] != ','); i-- {
		if list[i] == '"' && !escaped(list[:i]) {
			quoted = !quoted
		}
	}
	return list[:max(i, 0)], parameterFor(list[i+1:])
}

// escaped reports whether the character after s is part of a quoted-pair.
func escaped(s string) bool { return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1 }

// parameterFor returns the value of "for" in an element such as
// `for="[2001:db8::1]:4711";proto=https`.
func parameterFor(element string) (node string) {
	seen := false
	for more := true; more; {
		name, value, ok := strings.Cut(element, "=")
		if !ok {
			if strings.TrimLeft(name, "; \t") != "" {
				return ""
			}
			return node // the rest has no parameters
		}
		name = strings.TrimLeft(name, "; \t")
		if value, element, ok = cutValue(value); !ok {
			return ""
		}
		element, more = strings.CutPrefix(element, ";")
		if !more && element != "" {
			return ""
		}
		if strings.EqualFold(name, "for") {
			// "Each parameter MUST NOT occur more than once per field-value."
			if seen {
				return ""
			}
			node, seen = value, true
		}
	}
	return node
}

// cutValue reads a token or a quoted-string (RFC 9110 §5.6.4) from the start of
// s. Tokens may have any characters: colons and brackets are sent without
// quotes too.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexByte(s, ';')
		if i < 0 {
			i = len(s)
		}
		value = strings.TrimRight(s[:i], " \t")
		return value, s[i:], !strings.Contains(value, `"`)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), strings.TrimLeft(s[i+1:], " \t"), true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// parseNode reads an address as it stands in these fields: "192.0.2.1",
// "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:4711". A
// port may be a pseudonym ("_p", RFC 7239 §6.3).
func parseNode(s string) (netip.AddrPort, bool) {
	host, port, hasPort := s, "", false
	inner, inBrackets := strings.CutPrefix(s, "[")
	if inBrackets {
		var closed bool
		if host, port, closed = strings.Cut(inner, "]"); !closed {
			return netip.AddrPort{}, false
		}
		if port != "" {
			if port, hasPort = strings.CutPrefix(port, ":"); !hasPort {
				return netip.AddrPort{}, false
			}
		}
	} else if strings.Count(s, ":") == 1 {
		host, port, hasPort = strings.Cut(s, ":")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" || inBrackets && !addr.Is6() {
		return netip.AddrPort{}, false
	}
	number := uint64(0)
	if hasPort && !strings.HasPrefix(port, "_") {
		if number, err = strconv.ParseUint(port, 10, 16); err != nil {
			return netip.AddrPort{}, false
		}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), true
}
