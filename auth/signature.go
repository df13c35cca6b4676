package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Signature lets one connection subscribe to one channel. A backend makes it with a secret
// of HS256, without making a token:
//
//	hex(HMAC-SHA256(secret, "subscribe\n" hub "\n" client "\n" channel "\n" expires))
type Signature struct {
	Hub     string // the path of the hub, as the client connected to it
	Client  string // the client's id, of the reply to its auth
	Channel string
	Expires int64  // seconds since 1970
	KeyID   string // kid of the secret
	Hex     string // 64 digits, in lower or upper case
}

// line returns what is signed. The parts have no control characters (signatureKey), so that no
// two signatures share a line.
func (s Signature) line() []byte {
	return fmt.Appendf(nil, "subscribe\n%s\n%s\n%s\n%d", s.Hub, s.Client, s.Channel, s.Expires)
}

// Subscription returns what a signature grants, which is to subscribe to its channel, or an
// *Error. user is the user of the session; the grant is theirs, issued now: only a revocation
// from now on ends it. Hub, Client and Channel must be
// the session's own, not what the client says.
func (t *Tokens) Subscription(now time.Time, s Signature, user string) (*Grant, error) {
	key, err := t.signatureKey(now, s)
	if err != nil {
		return nil, err
	}
	expires := time.Unix(s.Expires, 0)
	return &Grant{
		User: user, Issued: t.c.Revoked.pastOf(user, now), Channel: s.Channel, Expires: expires, End: expires.Add(t.c.Leeway),
		entries: []Entry{{s.Channel, Subscribe}}, key: key,
	}, nil
}

func (t *Tokens) signatureKey(now time.Time, s Signature) (*Key, *Error) {
	if s.Expires <= 0 || s.Expires > lastSecond {
		return nil, refuse(Malformed, "%d is not a number of seconds since 1970", s.Expires)
	}
	if hasControl(s.Hub) || hasControl(s.Client) || hasControl(s.Channel) {
		return nil, refuse(Malformed, "a name has control characters")
	}
	got, err := hex.DecodeString(s.Hex)
	if err != nil || len(got) != sha256.Size {
		return nil, refuse(Malformed, "the signature is not of %d hexadecimal digits", 2*sha256.Size)
	}
	if err := t.lifetimeProblem(now, &Claims{Expires: time.Unix(s.Expires, 0)}); err != nil {
		return nil, err
	}
	keys, _ := t.candidates(s.KeyID, "HS256")
	for _, k := range keys {
		if hmac.Equal(got, k.mac(s)) { // takes the same time wherever they differ
			return k, nil
		}
	}
	if len(keys) == 0 {
		return nil, refuse(UnknownKey, "there is no HS256 key with the kid %q", s.KeyID)
	}
	return nil, refuse(BadSignature, "the signature was not made with the %s", keys[0])
}

// SignSubscription returns the digits of a signature, with a key for HS256.
func (k *Key) SignSubscription(s Signature) (string, error) {
	if k.Algorithm != "HS256" {
		return "", fmt.Errorf("the %s is no secret; use one for HS256", k)
	}
	return hex.EncodeToString(k.mac(s)), nil
}

func (k *Key) mac(s Signature) []byte {
	h := hmac.New(sha256.New, k.verify.([]byte))
	h.Write(s.line())
	return h.Sum(nil)
}

func hasControl(name string) bool {
	for i := range len(name) {
		if name[i] < 0x20 || name[i] == 0x7f {
			return true
		}
	}
	return false
}
