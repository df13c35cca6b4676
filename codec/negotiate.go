package codec

import (
	"bytes"
	"strconv"
)

// Deflate is what a connection has negotiated for permessage-deflate (RFC 7692 §7.1): the window in which its server
// compresses, as the binary logarithm of its bytes, from 8 to 15. The zero value is no compression.
//
// There is no context takeover in either direction, so that no connection needs memory for it and a message can be
// compressed once for all subscribers.
type Deflate uint8

// FullWindow is the window of DEFLATE, 32 KiB. A client may ask for a smaller one.
const FullWindow Deflate = 15

const leastWindow Deflate = 8

// Deflate returns the answer to the first offer of permessage-deflate that can be accepted, 0 if there is none.
// "The server ... in the order of preference" of the client (RFC 7692 §5). It notes in r what AppendUpgrade has to answer.
func (r *Request) Deflate() Deflate {
	if r.seen&seenExtensions == 0 {
		return 0
	}
	fields := r.fields
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, offers, _ := bytes.Cut(line, []byte{':'})
		if !is(name, "sec-websocket-extensions") {
			continue
		}
		if d, windowed := firstDeflate(offers); d != 0 {
			r.mark(seenWindow, windowed)
			return d
		}
	}
	return 0
}

// firstDeflate returns the answer to the first offer in a list that can be accepted, and whether that offer has
// server_max_window_bits.
func firstDeflate(offers []byte) (d Deflate, windowed bool) {
	for len(offers) > 0 {
		var e extension
		e, offers, _ = nextExtension(offers)
		if string(e.name) != "permessage-deflate" {
			continue
		}
		if d, windowed := acceptDeflate(e.params); d != 0 {
			return d, windowed
		}
	}
	return 0, false
}

// Parameters of permessage-deflate (RFC 7692 §7.1).
const (
	serverNoContext = 1 << iota
	clientNoContext
	serverWindow
	clientWindow
)

// acceptDeflate returns the answer to an offer, 0 to decline it, and whether it has server_max_window_bits: "A server MUST decline an extension negotiation offer
// for this extension if ... [it] contains an extension parameter not defined for use in an offer ... with an invalid
// value ... multiple extension parameters with the same name" (RFC 7692 §7.1).
func acceptDeflate(params []byte) (d Deflate, windowed bool) {
	d = FullWindow
	seen := 0
	for {
		p, rest, more, _ := nextParam(params)
		if !more {
			return d, seen&serverWindow != 0
		}
		which, bits := readParam(p)
		if which == 0 || seen&which != 0 {
			return 0, false
		}
		if which == serverWindow {
			d = bits
		}
		seen |= which
		params = rest
	}
}

// readParam returns which parameter of an offer it is, 0 if it is none, and its value, if it must have one.
// What a client says of its own window (§7.1.2.2) does not matter: a full one is there to inflate.
func readParam(p param) (which int, bits Deflate) {
	bits, isWindow := windowBits(p.value)
	switch string(p.name) {
	case "server_no_context_takeover":
		which = serverNoContext
		isWindow = !p.valued
	case "client_no_context_takeover":
		which = clientNoContext
		isWindow = !p.valued
	case "server_max_window_bits":
		which = serverWindow
	case "client_max_window_bits":
		which = clientWindow
		isWindow = isWindow || !p.valued
	}
	if !isWindow {
		return 0, 0
	}
	return which, bits
}

// windowBits reads "a decimal integer value without leading zeroes between 8 to 15, inclusive" (RFC 7692 §7.1.2).
func windowBits(b []byte) (bits Deflate, ok bool) {
	switch {
	case len(b) == 1 && (b[0] == '8' || b[0] == '9'):
		return Deflate(b[0] - '0'), true
	case len(b) == 2 && b[0] == '1' && b[1] >= '0' && b[1] <= '5':
		return 10 + Deflate(b[1]-'0'), true
	}
	return 0, false
}

// appendDeflate extends dst by the header field that accepts an offer. "A server accepts an extension negotiation offer
// with this parameter by including the 'server_max_window_bits' extension parameter in the extension negotiation response
// ... with the same or smaller value" (RFC 7692 §7.1.2.1): also 15, which clients wait for that have asked for it.
func appendDeflate(dst []byte, d Deflate, windowed bool) []byte {
	dst = append(dst, "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"...)
	if windowed {
		dst = strconv.AppendUint(append(dst, "; server_max_window_bits="...), uint64(d), 10)
	}
	return dst
}
