package codec

import (
	"fmt"
	"strconv"
)

// HandshakeError is a handshake that is refused. The ones that this package returns are shared; do not modify them.
type HandshakeError struct {
	Status int    // of HTTP
	Reason string // for the person at the client: what is wrong, and how to mend it
	Header string // further header lines, each "Name: value\r\n"
	Label  string // a word for statistics; if empty, "invalid"
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("handshake: %d %s: %s", e.Status, statusText(e.Status), e.Reason)
}

func badRequest(reason string) *HandshakeError {
	return &HandshakeError{Status: 400, Reason: reason}
}

// upgradeHeader: "A server that sends a 426 ... MUST send an Upgrade header field" (RFC 9110 §7.8), and a Connection
// field that names it. Together with "Connection: close" that makes a list of two.
const upgradeHeader = "Upgrade: websocket\r\nConnection: Upgrade\r\n"

var (
	errRequestLine  = badRequest("the first line is not a request like \"GET /path HTTP/1.1\"")
	errBareLF       = badRequest("a header line does not end with CR LF")
	errTarget       = badRequest("the request target is neither a path like \"/path\" nor a ws:// or http:// address")
	errHost         = badRequest("the Host field must be there once, with a valid host name and perhaps a port")
	errNoHost       = badRequest("the Host field is missing: HTTP/1.1 requires it")
	errFieldName    = badRequest("a header line has no valid field name before its colon, or continues another line")
	errFieldValue   = badRequest("a header field has a control character in its value")
	errBody         = badRequest("a WebSocket handshake has no body: send neither Content-Length nor Transfer-Encoding")
	errManyOrigins  = badRequest("the Origin field may be there only once")
	errManyKeys     = badRequest("the Sec-WebSocket-Key field may be there only once")
	errManyVersions = badRequest("the Sec-WebSocket-Version field may be there only once")
	errKey          = badRequest("the Sec-WebSocket-Key field must be there, with 16 random bytes in base64")
	errExtensions   = badRequest("the Sec-WebSocket-Extensions field is not a list like \"permessage-deflate; client_max_window_bits, other\"")

	errVersion = &HandshakeError{
		Status: 505,
		Reason: "a WebSocket handshake is spoken in HTTP/1.1",
	}
	errNotGet = &HandshakeError{
		Status: 405,
		Reason: "a WebSocket handshake is a GET request",
		Header: "Allow: GET\r\n",
	}
	errNoUpgrade = &HandshakeError{
		Status: 426,
		Reason: "this is a WebSocket server: connect with a WebSocket client, which sends \"Upgrade: websocket\"",
		Header: upgradeHeader,
	}
	errNoConnection = &HandshakeError{
		Status: 426,
		Reason: "the Connection field must have the token Upgrade; a proxy in between must pass it on",
		Header: upgradeHeader,
	}
	errUpgradeVersion = &HandshakeError{
		Status: 426,
		Reason: "only version 13 of the WebSocket protocol (RFC 6455) is spoken here: send \"Sec-WebSocket-Version: 13\"",
		Header: upgradeHeader + "Sec-WebSocket-Version: 13\r\n",
	}
)

// AppendRefusal extends dst by the whole HTTP response that refuses a handshake. Its body is the reason. The
// connection is to be closed after it.
func AppendRefusal(dst []byte, e *HandshakeError) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(e.Status), 10)
	dst = append(append(dst, ' '), statusText(e.Status)...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(e.Reason)+1), 10)
	dst = append(append(dst, "\r\nConnection: close\r\n"...), e.Header...)
	dst = append(append(dst, "\r\n"...), e.Reason...)
	return append(dst, '\n')
}

// statusText names the statuses that a handshake may be refused with, "" for others: a reason phrase may be empty
// (RFC 9112 §4).
func statusText(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 426:
		return "Upgrade Required"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 503:
		return "Service Unavailable"
	case 505:
		return "HTTP Version Not Supported"
	}
	return ""
}
