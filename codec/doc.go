// Package codec answers: how do bytes become messages?
//
// It reads what a WebSocket client sends and writes what it hears, as functions over byte slices: no I/O, clock,
// goroutine or lock.
//
// # The main path
//
//	request.go    bytes become the request that opens a connection: first line, header lines; target.go, field.go
//	handshake.go  the request is checked and answered with 101; refusal.go says no
//	negotiate.go  compression is agreed on; extension.go reads the offers
//	origin.go     the page's origin is compared with those that are allowed
//	frame.go      bytes become a frame header, and back
//	utf8.go       text is checked while its frames arrive
//	deflate.go    messages are compressed and inflated
//	command.go    a message becomes a Command, whatever the Codec
//	json.go       the Codec of the native protocol; scan.go and scanner.go are its short cut,
//	              and reason.go says what is wrong
//	encode.go     replies and events become messages
//	close.go      the last frame
//
// Aside from it, path.go says how clients spell the path of a hub.
//
// ParseX functions that take a stream (ParseRequest, ParseHeader) return the bytes used, 0 if there are not enough
// yet, and fail at the first byte that cannot be right. The caller keeps the bytes and limits how many.
//
// # Ownership
//
// Functions may be called from any goroutine; a value belongs to one at a time, a Deflater or Inflater too. Parse
// functions keep nothing after they return, but what they return may point into their input: a Request into the header
// block, a Command into the message. AppendX extends dst, which may be nil, copies what it is given and returns the
// longer slice. The errors are shared values: do not modify them.
//
// # Limits
//
// Compression (RFC 7692) is without context takeover: every message stands for itself.
// Whether a frame is expected in its place (a continuation, data after Close) is for the connection to know.
// The handshake is HTTP/1.1 without a body (RFC 6455 §4.2.1). Every other request that HTTP allows gets its answer and the
// end of the connection; a body is never read.
// JSON may be nested 10,000 deep. A command, and the object in it, may have 64 members.
package codec
