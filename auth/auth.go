// Package auth answers the question: who may do what?
//
// A hub has Credentials; a session asks them for an Access. The package holds
// no state: what a session was granted is the session's to keep. All of it may
// be called from any goroutine.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Access is what a session may do. The higher includes the lower.
type Access uint8

const (
	None      Access = iota
	ReadOnly         // may subscribe
	ReadWrite        // may subscribe and publish
)

// Codes are the names of the access levels that a client may ask for.
var Codes = map[string]Access{
	"read-only":  ReadOnly,
	"read-write": ReadWrite,
}

// String returns the name of the access level, "none" for None.
func (a Access) String() string {
	switch a {
	case ReadOnly:
		return "read-only"
	case ReadWrite:
		return "read-write"
	}
	return "none"
}

// Credentials are the secrets of a hub, one for each access. If a secret is
// empty, every client gets that access, whatever secret it sends. A ReadWrite
// secret that is not empty gives ReadOnly access too.
type Credentials struct {
	ReadOnly  string
	ReadWrite string
}

// Allow reports whether secret gives access. The time it takes does not depend
// on how much of the secret is right, nor on its length.
func (c Credentials) Allow(access Access, secret string) bool {
	switch access {
	case ReadOnly:
		reads, writes := match(c.ReadOnly, secret), c.Writer(secret)
		return reads || writes
	case ReadWrite:
		return match(c.ReadWrite, secret)
	}
	return false
}

// Writer reports whether secret is the ReadWrite secret. It is false if that
// secret is empty: then a login for reading is checked against ReadOnly alone.
func (c Credentials) Writer(secret string) bool {
	return c.ReadWrite != "" && match(c.ReadWrite, secret)
}

// match compares digests, so that the lengths compared are always the same.
func match(want, got string) bool {
	if want == "" {
		return true
	}
	w, g := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(got))
	return subtle.ConstantTimeCompare(w[:], g[:]) == 1
}
