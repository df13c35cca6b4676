package engine

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// A tls.Conn keeps two buffers for good: rawInput, as large as the largest
// record so far, and hand, as large as the ClientHello. An idle connection
// needs neither, and they are half of its memory: 7.5 KB without lend, 4 KB
// with it; after a record of 16 KiB, 17 KB and 4 KB. crypto/tls has no way to
// give them back, so they are taken by their place in the struct. Where a
// release of Go has no such fields, nothing is lent, and all else works the
// same.
var rawInputAt, handAt = bufferAt("rawInput"), bufferAt("hand")

// bufferAt returns the offset of a bytes.Buffer in tls.Conn, -1 if there is
// none.
func bufferAt(name string) int {
	field, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || field.Type != reflect.TypeFor[bytes.Buffer]() {
		return -1
	}
	return int(field.Offset)
}

func bufferOf(session *tls.Conn, at int) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(session), at))
}

// lentMax has room for a record, and what crypto/tls reads ahead.
const lentMax = 20 << 10

// lend gives a session the loop's buffer for its input, while it reads. One
// with a part of a record has its own.
func (l *Loop) lend(session *tls.Conn) {
	if rawInputAt < 0 {
		return
	}
	if l.lent == nil {
		l.lent = make([]byte, 0, lentMax)
	}
	if raw := bufferOf(session, rawInputAt); raw.Len() == 0 {
		*raw = *bytes.NewBuffer(l.lent)
	}
}

// takeBack ends lend, when the session has no whole record left. What there is
// of the next one goes into a buffer of the session's own.
func (l *Loop) takeBack(session *tls.Conn) {
	if rawInputAt < 0 {
		return
	}
	raw := bufferOf(session, rawInputAt)
	switch {
	case raw.Len() == 0:
		*raw = bytes.Buffer{}
	case l.isLent(raw.Bytes()):
		*raw = *bytes.NewBuffer(bytes.Clone(raw.Bytes()))
	}
}

// isLent reports whether b is a part of the loop's buffer.
func (l *Loop) isLent(b []byte) bool {
	start, p := unsafe.SliceData(l.lent), unsafe.SliceData(b)
	return uintptr(unsafe.Pointer(p))-uintptr(unsafe.Pointer(start)) < lentMax
}

// forgetHello frees the session's buffers after the TLS handshake.
func forgetHello(session *tls.Conn) {
	for _, at := range []int{rawInputAt, handAt} {
		if at < 0 {
			continue
		}
		if b := bufferOf(session, at); b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}
