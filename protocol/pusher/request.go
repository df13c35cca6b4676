package pusher

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A signedRequest is what a signature of the HTTP API is for.
type signedRequest struct {
	method string
	paths  []string // under which the client may have signed it: with the prefix and without
	query  string   // as it was sent
	body   []byte

	// What verify has found good.
	signature string
	at        int64 // its time, in seconds
}

// Why a request is not accepted. The signature that was expected is never told.
var (
	errNoKey      = errors.New("auth_key is not a key of this application")
	errVersion    = errors.New("auth_version must be 1.0")
	errTimestamp  = errors.New("auth_timestamp is not a time in seconds")
	errNoDigest   = errors.New("body_md5 is missing, and the request has a body")
	errDigest     = errors.New("body_md5 is not the MD5 of the body")
	errSignature  = errors.New("auth_signature is not that of this request")
	errTwice      = errors.New("a parameter that begins with auth_, or body_md5, is there twice")
	errUnreadable = errors.New("the query cannot be read")
)

// A parameter is one of a query.
type parameter struct{ name, value string }

// verify returns why a request is not signed by one of the keys, nil if it is. now is
// the time, and window how far the client's may differ from it.
func (r *signedRequest) verify(keys keyring, now time.Time, window time.Duration) error {
	// Libraries differ in whether they escape values. What they sign is not escaped.
	decoded, err := parseQuery(r.query, url.QueryUnescape)
	if err == nil {
		if err = r.verifyAs(decoded, keys, now, window); !errors.Is(err, errSignature) {
			return err
		}
	}
	raw, _ := parseQuery(r.query, func(s string) (string, error) { return s, nil })
	if rawErr := r.verifyAs(raw, keys, now, window); rawErr == nil || err == nil {
		return rawErr
	}
	return err
}

// valuesOf returns what finds the value of a parameter, "" if it is not there. Unlike url.Values
// it reads a query as verify does: with names in any case, and semicolons in values.
func valuesOf(query string) func(name string) string {
	all, err := parseQuery(query, url.QueryUnescape)
	if err != nil {
		all, _ = parseQuery(query, func(s string) (string, error) { return s, nil })
	}
	return func(name string) string {
		for _, p := range all {
			if p.name == name {
				return p.value
			}
		}
		return ""
	}
}

// parseQuery takes a query apart.
func parseQuery(query string, unescape func(string) (string, error)) (all []parameter, err error) {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		var p parameter
		if p.name, err = unescape(name); err != nil {
			return nil, errUnreadable
		}
		if p.value, err = unescape(value); err != nil {
			return nil, errUnreadable
		}
		p.name = strings.ToLower(p.name)
		all = append(all, p)
	}
	return all, nil
}

// verifyAs is verify with the parameters of the query.
func (r *signedRequest) verifyAs(all []parameter, keys keyring, now time.Time, window time.Duration) error {
	auth := make(map[string]string)
	for _, p := range all {
		if !strings.HasPrefix(p.name, "auth_") && p.name != "body_md5" {
			continue
		}
		if _, twice := auth[p.name]; twice {
			return errTwice
		}
		auth[p.name] = p.value
	}
	key := find(keys, auth["auth_key"])
	if key == nil {
		return errNoKey
	}
	if auth["auth_version"] != "1.0" {
		return errVersion
	}
	at, err := checkTimestamp(auth["auth_timestamp"], now, window)
	if err != nil {
		return err
	}
	sum, ok := auth["body_md5"]
	switch {
	case len(r.body) > 0 && !ok:
		return errNoDigest
	case ok && !hmac.Equal([]byte(digest(r.body)), []byte(sum)):
		return errDigest
	}
	signature := []byte(auth["auth_signature"])
	for _, path := range r.paths {
		if hmac.Equal([]byte(key.sign([]byte(r.text(path, all)))), signature) {
			r.signature, r.at = auth["auth_signature"], at
			return nil
		}
	}
	return errSignature
}

// text is what is signed, under one of the paths.
func (r *signedRequest) text(path string, all []parameter) string {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	var b strings.Builder
	b.WriteString(r.method + "\n" + path + "\n")
	first := true
	for _, p := range all {
		if p.name == "auth_signature" {
			continue
		}
		if !first {
			b.WriteByte('&')
		}
		first = false
		b.WriteString(p.name + "=" + p.value)
	}
	return b.String()
}

// checkTimestamp returns the time of a request, or why it is not of now. Without this check one that was
// overheard could be sent again for ever.
func checkTimestamp(text string, now time.Time, window time.Duration) (seconds int64, err error) {
	seconds, err = strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errTimestamp
	}
	most := int64(window / time.Second)
	if off := seconds - now.Unix(); seconds < 0 || off > most || off < -most {
		return 0, fmt.Errorf("auth_timestamp is more than %d s from the server's time, which is %d", most, now.Unix())
	}
	return seconds, nil
}
