package codec

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
)

// acceptGUID is appended to the key of the client to compute the accept value (RFC 6455 §1.3, §4.2.2).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// keySize is the length of a Sec-WebSocket-Key: 16 bytes in base64.
const keySize = 24

// IsHandshake reports whether a request means to open a WebSocket connection: it has a field of the opening handshake that
// no other request has. A proxy may have removed the rest of them.
func (r *Request) IsHandshake() bool {
	return r.seen&(seenUpgrade|seenKey|seenVersion|seenProtocol|seenExtensions) != 0
}

// BodyLength returns how many bytes the body of a request has, -1 if that is not known before it ends: it is chunked, or what
// follows is not HTTP, as it may be behind an Upgrade or a CONNECT.
func (r *Request) BodyLength() int64 {
	if r.seen&seenCoding != 0 || string(r.Method) == "CONNECT" || r.Header("Upgrade") != "" {
		return -1
	}
	if r.seen&seenBody == 0 {
		return 0
	}
	n, err := strconv.ParseInt(r.Header("Content-Length"), 10, 64)
	if err != nil { // it is too long a number, and no body is as long
		return -1
	}
	return n
}

// CheckMethod refuses, with a *HandshakeError, what no path of the server has: requests of HTTP/1.0, methods that are not
// known, and requests for no path. The client MUST send an "HTTP version [that is] at least 1.1" (RFC 6455 §4.1). "An origin server that receives a request method that is unrecognized or not implemented SHOULD respond
// with the 501 (Not Implemented) status code." (RFC 9110 §9.1)
func (r *Request) CheckMethod() error {
	if r.seen&seenOld != 0 {
		return errVersion10
	}
	switch string(r.Method) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE":
		return nil
	case "CONNECT":
		return errNotGet
	case "OPTIONS":
		if r.Path[0] == '*' {
			return errOptions
		}
		return nil
	}
	return errMethod
}

// Secure reports whether the target is an address with wss:// or https://: "a request for an 'https' resource MUST be
// rejected unless it has been received over a connection that has been secured" (RFC 9110 §7.4).
func (r *Request) Secure() bool { return r.seen&seenSecure != 0 }

// CheckUpgrade reports whether the request opens a WebSocket connection (RFC 6455 §4.2.1), and refuses it with a
// *HandshakeError if it does not. The origin, path and host are for the caller to judge.
func (r *Request) CheckUpgrade() error {
	switch {
	case string(r.Method) == "OPTIONS":
		return errOptions
	// "The method of the request MUST be GET" (§4.1). "The HEAD method is identical to GET except that the server MUST NOT
	// send content in the response" (RFC 9110 §9.3.2): it is told what a GET without an upgrade is told.
	case string(r.Method) == "HEAD":
		return errNoUpgrade
	case string(r.Method) != "GET":
		return errNotGet
	case r.seen&seenBody != 0:
		return errBody
	// "An |Upgrade| header field containing the value 'websocket', treated as an ASCII case-insensitive value."
	case r.seen&seenUpgrade == 0:
		return errNoUpgrade
	// "A |Connection| header field that includes the token 'Upgrade', treated as an ASCII case-insensitive value."
	case r.seen&seenConnection == 0:
		return errNoConnection
	// "If this version does not match a version understood by the server, the server MUST abort the WebSocket
	// handshake ... and instead send an appropriate HTTP error code (such as 426 Upgrade Required) and a
	// |Sec-WebSocket-Version| header field indicating the version(s) the server is capable of understanding." (§4.2.2)
	case string(r.version) != "13":
		return errUpgradeVersion
	// "A |Sec-WebSocket-Key| header field with a base64-encoded value that, when decoded, is 16 bytes in length."
	case !isKey(r.key):
		return errKey
	}
	return nil
}

// RefuseMethod is CheckMethod for a request that net/http has read. It returns nil if there is nothing to refuse.
func RefuseMethod(method string, atLeast11 bool) *HandshakeError {
	r := Request{Method: []byte(method), Path: []byte{'/'}}
	r.mark(seenOld, !atLeast11)
	return refusalOf(r.CheckMethod())
}

// RefuseOther is CheckUpgrade for a request that is no handshake, and that net/http has read: what there is at the path is
// for WebSocket alone.
func RefuseOther(method string) *HandshakeError {
	r := Request{Method: []byte(method)}
	return refusalOf(r.CheckUpgrade())
}

// RefuseLate refuses a handshake that net/http has read, because another request came before it.
func RefuseLate() *HandshakeError { return errLate }

func refusalOf(err error) (refusal *HandshakeError) {
	errors.As(err, &refusal)
	return refusal
}

// isKey reports whether b is 16 bytes in base64.
func isKey(b []byte) bool {
	if len(b) != keySize {
		return false
	}
	var buf [keySize / 4 * 3]byte
	n, err := base64.StdEncoding.Decode(buf[:], b)
	return err == nil && n == 16
}

// Subprotocol returns the first of the client's offers that is among the supported ones, "" if there is none
// (RFC 6455 §4.2.2, §11.3.4). Names are compared exactly.
func (r *Request) Subprotocol(supported []string) string {
	if r.seen&seenProtocol == 0 || len(supported) == 0 {
		return ""
	}
	fields := r.fields
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, offers, _ := bytes.Cut(line, []byte{':'})
		if !is(name, "sec-websocket-protocol") {
			continue
		}
		if s := firstOf(offers, supported); s != "" {
			return s
		}
	}
	return ""
}

// firstOf returns the first element of a comma-separated list that is supported.
func firstOf(list []byte, supported []string) string {
	for more := true; more; {
		var offer []byte
		offer, list, more = bytes.Cut(list, []byte{','})
		offer = trim(offer)
		i := slices.IndexFunc(supported, func(s string) bool { return s == string(offer) })
		if i >= 0 {
			return supported[i]
		}
	}
	return ""
}

// AppendUpgrade extends dst by the response that opens the connection (RFC 6455 §4.2.2). The request must have passed
// CheckUpgrade; subprotocol and deflate are what Subprotocol and Deflate returned, or zero.
func AppendUpgrade(dst []byte, r *Request, subprotocol string, deflate Deflate) []byte {
	dst = slices.Grow(dst, upgradeSize) // at once
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\n"+
		"Upgrade: websocket\r\n"+
		"Connection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "...)
	dst = appendAccept(dst, r.key)
	if subprotocol != "" {
		dst = append(append(dst, "\r\nSec-WebSocket-Protocol: "...), subprotocol...)
	}
	if deflate != 0 {
		dst = appendDeflate(dst, deflate, r.seen&seenWindow != 0)
	}
	return append(dst, "\r\n\r\n"...)
}

// upgradeSize is enough for a response without a subprotocol and extensions, in bytes.
const upgradeSize = 144

// appendAccept extends dst by the answer to a key: "base64-encoded ... SHA-1 hash of the concatenation" (§4.2.2).
func appendAccept(dst, key []byte) []byte {
	var buf [keySize + len(acceptGUID)]byte
	copy(buf[:], key)
	copy(buf[keySize:], acceptGUID)
	sum := sha1.Sum(buf[:])
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}
