package auth

import "fmt"

// Reason says why a token or a signature is refused. The reasons are few and fixed, so
// that they can be counted; Accepted is for counting what is not refused.
type Reason uint8

const (
	Accepted      Reason = iota
	Malformed            // not a token: its size, its parts, its JSON or the type of a claim
	BadAlgorithm         // not the algorithm of the key, or none at all
	Expired              // over
	NotYet               // its nbf is in the future
	BadLifetime          // no exp, or valid for longer than the hub allows
	OtherAudience        // aud is for another service
	OtherIssuer          // iss is not the issuer that the hub trusts
	UnknownKey           // signed with a key that the hub does not have
	BadSignature         // the signature does not fit
	OtherHub             // for another hub
	BadClaims            // too many entries, or of another kind: for a channel instead of a login
	Revoked              // revoked by the operator
	OtherUser            // for another user than the session's
	OtherChannel         // for another channel
	KeysMissing          // the keys are being fetched; the same token may be good in a second

	// NumReasons is one more than the highest Reason, the size for an array of counters.
	NumReasons
)

var reasonNames = [NumReasons]string{
	"accepted", "malformed", "algorithm", "expired", "not_yet", "lifetime", "audience", "issuer",
	"unknown_key", "signature", "hub", "claims", "revoked", "other_user", "other_channel", "unavailable",
}

// String returns the name of the reason, as metrics have it.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Error is why a token or a signature is refused. Every error of Tokens is one.
type Error struct {
	Reason Reason
	Detail string // for the operator; it does not hold the token, and is not for clients
}

// Error returns the reason and the detail, "audience: the token is for …".
func (e *Error) Error() string { return e.Reason.String() + ": " + e.Detail }

// Code returns what a client is told: "token_expired", "unavailable", "access_denied" for
// a token of another user or channel, and "invalid_credentials" for everything else, so
// that a client does not learn which check it failed.
func (e *Error) Code() string {
	switch e.Reason {
	case Expired:
		return "token_expired"
	case KeysMissing:
		return "unavailable"
	case OtherUser, OtherChannel:
		return "access_denied"
	default:
		return "invalid_credentials"
	}
}

func refuse(r Reason, format string, args ...any) *Error {
	return &Error{r, fmt.Sprintf(format, args...)}
}
