package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
)

// jwk is a key as RFC 7517 writes it. Its members have other names in no other case: they are
// read through members.
type jwk struct {
	Kty, Use, Alg, Kid, Crv string
	KeyOps                  []string
	N, E, X, Y              string
}

const maxSetKeys = 64

// ParseKeySet reads a JWK Set (RFC 7517 §5) and returns its keys for RS256, ES256 and EdDSA. As the
// RFC wants it, keys of other kinds or uses are left out; so are secrets, which have no
// place in a document that is fetched. It is an error if no key is left.
func ParseKeySet(data []byte) ([]*Key, error) {
	top, err := members(data)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(top, func(m member) bool { return m.name == "keys" })
	var raw []json.RawMessage
	if i < 0 || json.Unmarshal(top[i].value, &raw) != nil {
		return nil, errors.New(`no array "keys"`)
	}
	var keys []*Key
	for _, r := range raw {
		k := parseJWK(r)
		if k == nil || slices.ContainsFunc(keys, func(o *Key) bool { return o.ID == k.ID && o.Algorithm == k.Algorithm }) {
			continue
		}
		if keys = append(keys, k); len(keys) == maxSetKeys {
			break
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no key for RS256, ES256 or EdDSA")
	}
	return keys, nil
}

// parseJWK returns nil if the key cannot be used.
func parseJWK(data []byte) *Key {
	j, ok := readJWK(data)
	if !ok || j.Use != "" && j.Use != "sig" || j.KeyOps != nil && !slices.Contains(j.KeyOps, "verify") {
		return nil
	}
	public := j.public()
	if public == nil {
		return nil
	}
	k, err := newKey(j.Kid, public)
	if err != nil || j.Alg != "" && j.Alg != k.Algorithm {
		return nil
	}
	return k
}

func readJWK(data []byte) (j jwk, ok bool) {
	all, err := members(data)
	if err != nil {
		return j, false
	}
	texts := map[string]*string{
		"kty": &j.Kty, "use": &j.Use, "alg": &j.Alg, "kid": &j.Kid, "crv": &j.Crv,
		"n": &j.N, "e": &j.E, "x": &j.X, "y": &j.Y,
	}
	for _, m := range all {
		if to := texts[m.name]; to != nil {
			*to, err = m.text()
		} else if m.name == "key_ops" {
			j.KeyOps, err = m.list()
		}
		if err != nil {
			return j, false
		}
	}
	return j, len(j.Kid) <= maxName
}

// public returns the public key, or nil if it is none.
func (j jwk) public() any {
	switch {
	case j.Kty == "RSA":
		n, e := coordinate(j.N), coordinate(j.E)
		if len(n) > maxRSABits/8+1 || len(e) > 4 {
			return nil
		}
		exponent := new(big.Int).SetBytes(e).Int64()
		if exponent < 3 || exponent%2 == 0 || exponent > 1<<31-1 {
			return nil
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)}
	case j.Kty == "EC" && j.Crv == "P-256":
		x, y := coordinate(j.X), coordinate(j.Y)
		if len(x) != 32 || len(y) != 32 { // RFC 7518 §6.2.1.2: the full size
			return nil
		}
		k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil { // the point is not on the curve
			return nil
		}
		return k
	case j.Kty == "OKP" && j.Crv == "Ed25519":
		x := coordinate(j.X)
		if len(x) != ed25519.PublicKeySize {
			return nil
		}
		return ed25519.PublicKey(x)
	}
	return nil
}

// coordinate decodes base64url; it returns nil if it is not.
func coordinate(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}
