package codec

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// HandshakeError is the answer to a request that does not open a connection: a refused handshake, or another request.
// The ones that this package returns are shared; do not modify them.
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

// allowHeader: "The origin server MUST generate an Allow header field in a 405 response containing a list of the target
// resource's currently supported methods." (RFC 9110 §15.5.6)
const allowHeader = "Allow: GET, HEAD, OPTIONS\r\n"

// nginxUpgrade is the configuration that an nginx in front needs, because by default it drops the header fields of the
// upgrade.
const nginxUpgrade = "\"proxy_set_header Upgrade $http_upgrade;\" and \"proxy_set_header Connection upgrade;\""

var (
	errRequestLine  = badRequest("the first line is not a request like \"GET /path HTTP/1.1\"")
	errBareLF       = badRequest("a header line does not end with CR LF")
	errTarget       = badRequest("the request target is neither a path like \"/path\" nor a ws:// or http:// address")
	errHost         = badRequest("the Host field must be there once, with a valid host name and perhaps a port")
	errNoHost       = badRequest("the Host field is missing: HTTP/1.1 requires it")
	errFieldName    = badRequest("a header line has no valid field name before its colon, or continues another line")
	errFieldValue   = badRequest("a header field has a control character in its value")
	errLength       = badRequest("the Content-Length field must be one whole number, and there only once")
	errLengths      = badRequest("the request has both Content-Length and Transfer-Encoding: where its body ends is not clear")
	errCoding       = badRequest("the Transfer-Encoding field must have chunked once, at its end")
	errOldCoding    = badRequest("HTTP/1.0 has no Transfer-Encoding")
	errBody         = badRequest("a WebSocket handshake has no body: send neither Content-Length nor Transfer-Encoding")
	errManyOrigins  = badRequest("the Origin field may be there only once")
	errManyKeys     = badRequest("the Sec-WebSocket-Key field may be there only once")
	errManyVersions = badRequest("the Sec-WebSocket-Version field may be there only once")
	errKey          = badRequest("the Sec-WebSocket-Key field must be there, with 16 random bytes in base64")
	errExtensions   = badRequest("the Sec-WebSocket-Extensions field is not a list like \"permessage-deflate; client_max_window_bits, other\"")

	errConnectTarget = badRequest("the target of CONNECT is a host and a port")

	errVersion = &HandshakeError{
		Status: 505,
		Reason: "a WebSocket handshake is spoken in HTTP/1.1",
	}
	errVersion10 = &HandshakeError{
		Status: 505,
		Reason: "a WebSocket handshake is spoken in HTTP/1.1, and this request came in HTTP/1.0, perhaps from a proxy in " +
			"between; nginx needs \"proxy_http_version 1.1;\", " + nginxUpgrade,
	}
	errMethod = &HandshakeError{
		Status: 501,
		Reason: "this method is not known here: a WebSocket handshake is a GET request, and GET is in capital letters",
	}
	errOtherCoding = &HandshakeError{
		Status: 501,
		Reason: "of transfer codings only chunked is known here",
	}
	errOptions = &HandshakeError{
		Status: 200,
		Reason: "this is a WebSocket server: connect with a WebSocket client",
		Header: allowHeader + upgradeHeader,
	}
	errNotGet = &HandshakeError{
		Status: 405,
		Reason: "a WebSocket handshake is a GET request",
		Header: allowHeader,
	}
	errNoUpgrade = &HandshakeError{
		Status: 426,
		Reason: "this is a WebSocket server: connect with a WebSocket client, which sends \"Upgrade: websocket\"; if it is " +
			"one, a proxy in between does not pass that on: nginx needs " + nginxUpgrade,
		Header: upgradeHeader,
	}
	errLate = &HandshakeError{
		Status: 426,
		Reason: "a WebSocket handshake must be the first request of its connection: open another one; if a proxy in between has used " +
			"this one before, it must not: HAProxy needs \"option http-server-close\"",
		Header: upgradeHeader,
	}
	errNoConnection = &HandshakeError{
		Status: 426,
		Reason: "the Connection field must have the token Upgrade; a proxy in between must pass it on: nginx needs " + nginxUpgrade,
		Header: upgradeHeader,
	}
	errUpgradeVersion = &HandshakeError{
		Status: 426,
		Reason: "only version 13 of the WebSocket protocol (RFC 6455) is spoken here: send \"Sec-WebSocket-Version: 13\"",
		Header: upgradeHeader + "Sec-WebSocket-Version: 13\r\n",
	}
)

// AppendRefusal extends dst by the whole HTTP response that refuses a handshake. Its body is the reason. The
// connection is to be closed after it. The request is what has arrived of it, or its method: "The server MUST NOT send
// content in the response" to HEAD (RFC 9110 §9.3.2), and its fields are those that a body would have had.
func AppendRefusal(dst []byte, e *HandshakeError, request []byte, now time.Time) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(e.Status), 10)
	dst = append(append(dst, ' '), statusText(e.Status)...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(e.Reason)+1), 10)
	// "An origin server with a clock MUST generate a Date header field in all 2xx (Successful), 3xx (Redirection), and 4xx
	// (Client Error) responses" (RFC 9110 §6.6.1)
	dst = now.UTC().AppendFormat(append(dst, "\r\nDate: "...), "Mon, 02 Jan 2006 15:04:05 GMT")
	dst = append(append(dst, "\r\nConnection: close\r\n"...), e.Header...)
	dst = append(dst, "\r\n"...)
	if isHead(request) {
		return dst
	}
	return append(append(dst, e.Reason...), '\n')
}

// isHead reports whether a request has the method HEAD.
func isHead(request []byte) bool {
	method, _, _ := bytes.Cut(bytes.TrimPrefix(request, []byte("\r\n")), []byte{' '})
	return string(method) == "HEAD"
}

// RequestLineEnds reports whether the first line of a request is whole.
func RequestLineEnds(b []byte) bool {
	return bytes.IndexByte(bytes.TrimPrefix(b, []byte("\r\n")), '\n') >= 0
}

// statusText names the statuses that a handshake may be refused with, "" for others: a reason phrase may be empty
// (RFC 9112 §4).
func statusText(status int) string {
	switch status {
	case 200:
		return "OK"
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
	case 414:
		return "URI Too Long"
	case 421:
		return "Misdirected Request"
	case 426:
		return "Upgrade Required"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 503:
		return "Service Unavailable"
	case 505:
		return "HTTP Version Not Supported"
	}
	return ""
}
