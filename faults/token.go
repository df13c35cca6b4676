package faults

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// A signer makes tokens (RFC 7519) with one key.
type signer struct {
	alg, kid string
	sign     func(text []byte) []byte
}

// secretSigner signs with a secret (HS256).
func secretSigner(secret string) signer {
	return signer{alg: "HS256", sign: func(text []byte) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(text)
		return mac.Sum(nil)
	}}
}

// keySigner signs with a private key (EdDSA).
func keySigner(kid string, key ed25519.PrivateKey) signer {
	return signer{alg: "EdDSA", kid: kid, sign: func(text []byte) []byte { return ed25519.Sign(key, text) }}
}

// keySet is the JWK Set (RFC 7517) of a public key.
func keySet(kid string, key ed25519.PublicKey) []byte {
	return fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":%q,"x":%q}]}`,
		kid, base64.RawURLEncoding.EncodeToString(key))
}

// token lets a user subscribe to every channel until it expires.
func (s signer) token(user string, expires time.Time) string {
	header, claims := map[string]any{"alg": s.alg}, map[string]any{
		"aud": "rocket", "sub": user, "exp": expires.Unix(), "rocket": map[string]any{"channels": map[string][]string{"*": {"subscribe"}}},
	}
	if s.kid != "" {
		header["kid"] = s.kid
	}
	text := part(header) + "." + part(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(s.sign([]byte(text)))
}

func part(v any) string {
	b, _ := json.Marshal(v) // it always can be
	return base64.RawURLEncoding.EncodeToString(b)
}

// tokenLogin is the command that logs in with a token.
func tokenLogin(token string) string { return fmt.Sprintf(`{"auth":{"token":%q}}`, token) }
