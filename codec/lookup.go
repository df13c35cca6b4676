package codec

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
)

// Header returns the value of a header field, without white space around it, "" if it was not sent. The lines of one
// that was sent several times are joined by ", " (RFC 9110 §5.3). It reads all lines; the result may be kept.
func (r *Request) Header(name string) string {
	value, separator := "", ""
	for line := range bytes.Lines(r.fields) {
		field, v, _ := bytes.Cut(line, []byte{':'})
		if bytes.EqualFold(field, []byte(name)) {
			value += separator + strings.Trim(string(v), " \t\r\n")
			separator = ", "
		}
	}
	return value
}

// LastSegment returns what follows the last '/' of the path, decoded: what a client asked for where a handler's path ends
// in a name in braces, as "/app/{key}" does. It need not be UTF-8, and is "" if it is not well-formed. The result may be
// kept.
func (r *Request) LastSegment() string {
	segment, _ := url.PathUnescape(string(r.Path[bytes.LastIndexByte(r.Path, '/')+1:]))
	return segment
}

// Param returns the value of a parameter of the query, decoded, "" if there is none. Of two with one name the first
// counts. What is not well-formed is no parameter. The result may be kept.
func (r *Request) Param(name string) string {
	values, _ := url.ParseQuery(string(r.Query)) // what could be read, whatever else there is
	return values.Get(name)
}

// Cookie returns the value of a cookie (RFC 6265 §4.2), "" if it was not sent. Of two with one name the first counts.
// The result may be kept.
func (r *Request) Cookie(name string) string {
	cookies := http.Request{Header: http.Header{"Cookie": {strings.ReplaceAll(r.Header("Cookie"), ", ", "; ")}}}
	cookie, err := cookies.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}
