// Package auth answers the question: who may do what?
//
// A hub has Credentials, which are secrets, and may have Tokens, which are JWTs that the
// user's own backend signs (RFC 7519). A session asks them, and keeps what it was granted:
// an Access for a secret, a Grant for a token.
//
// The main path of a token, in reading order: tokens.go (the checks in their order),
// claims.go (what a token says), members.go (JSON that cannot be read in two ways), key.go
// (what a signature is checked with), keyset.go and jwks.go (keys that are fetched), and
// grant.go (what the session may do). signature.go is the short form for one channel,
// revocation.go takes back what was granted.
//
// # Ownership
//
// Everything may be called from any goroutine. Grants and keys are immutable. Nothing here
// starts a goroutine, and nothing waits for the network but KeySet.Run, which the
// caller runs on a goroutine of its own. The time is an argument, except in Run.
//
// # Limits
//
// Tokens are JWS in the compact form; there is no encryption (JWE). The algorithms are HS256,
// RS256, ES256 and EdDSA with Ed25519. Revocations live in memory: a restart forgets them.
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
