package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Key verifies tokens of one algorithm, and signs them if it has a private part. It is
// immutable. It has no field of its secret, so that a log of it does not show one.
type Key struct {
	ID        string // the kid of tokens that it signs, or "" if they have none
	Algorithm string // "HS256", "RS256", "ES256" or "EdDSA"

	method jwt.SigningMethod
	verify any               // as the method wants it
	sign   any               // nil if tokens can only be verified
	remote bool              // of a KeySet, which sets it before anybody sees the key
	print  [sha256.Size]byte // of all of the above: equal keys have equal prints
}

// methods are the algorithms that a Key may have. "none" is not one.
var methods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256,
	"RS256": jwt.SigningMethodRS256,
	"ES256": jwt.SigningMethodES256,
	"EdDSA": jwt.SigningMethodEdDSA,
}

// Limits of keys. RFC 7518 §3.2: "A key of the same size as the hash output (for instance,
// 256 bits for "HS256") or larger MUST be used"; §3.3: "A key of size 2048 bits or larger
// MUST be used". The upper one bounds what a signature costs.
const (
	minSecret  = 32
	minRSABits = 2048
	maxRSABits = 8192
)

// ParseKey reads the key in a file: a public or private key or a certificate in PEM, or,
// if it is not PEM, a secret for HS256, less the end of its last line. algorithm may
// be "", then the kind of key decides. Private keys also sign.
func ParseKey(id, algorithm string, data []byte) (*Key, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return parseSecret(id, algorithm, data)
	}
	if algorithm == "HS256" {
		// A public key that is taken for a secret lets everyone who knows it sign.
		return nil, errors.New("HS256 wants a secret, and this is a key in PEM")
	}
	found, err := parsePEM(block)
	if err != nil {
		return nil, err
	}
	k, err := newKey(id, found)
	if err == nil && algorithm != "" && algorithm != k.Algorithm {
		return nil, fmt.Errorf("the key is for %s, not for %s", k.Algorithm, algorithm)
	}
	return k, err
}

func parseSecret(id, algorithm string, data []byte) (*Key, error) {
	if algorithm != "" && algorithm != "HS256" {
		if _, ok := methods[algorithm]; !ok {
			return nil, fmt.Errorf("%q is not an algorithm; use HS256, RS256, ES256 or EdDSA", algorithm)
		}
		return nil, fmt.Errorf("%s wants a key in PEM", algorithm)
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, errors.New("the PEM is damaged: a line is missing, or it is not base64")
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes; HS256 needs %d or more (RFC 7518 §3.2): openssl rand -hex 32", len(secret), minSecret)
	}
	return newKey(id, bytes.Clone(secret))
}

// parsePEM returns the key in a block: []byte is a secret, so none is returned here.
func parsePEM(block *pem.Block) (any, error) {
	if block.Headers["Proc-Type"] != "" || block.Type == "ENCRYPTED PRIVATE KEY" {
		return nil, errors.New("the key is encrypted; decrypt it: openssl pkey -in KEY -out PLAIN")
	}
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	default:
		return nil, fmt.Errorf("%s is not a kind of key that can be used (of openssl ecparam, leave out the parameters: -noout)", block.Type)
	}
}

// newKey makes a Key of a secret or of what the crypto packages parse.
func newKey(id string, found any) (*Key, error) {
	k := &Key{ID: id, verify: found}
	if signer, ok := found.(crypto.Signer); ok {
		k.sign, k.verify = found, signer.Public()
	}
	var material []byte
	var err error
	switch v := k.verify.(type) {
	case []byte:
		k.Algorithm, k.sign, material = "HS256", v, v
	case *rsa.PublicKey:
		if n := v.N.BitLen(); n < minRSABits || n > maxRSABits {
			return nil, fmt.Errorf("the RSA key has %d bits, want %d to %d", n, minRSABits, maxRSABits)
		}
		k.Algorithm = "RS256"
	case *ecdsa.PublicKey:
		if v.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the key is on the curve %s; ES256 wants P-256", v.Curve.Params().Name)
		}
		k.Algorithm = "ES256"
	case ed25519.PublicKey:
		k.Algorithm = "EdDSA"
	default:
		return nil, errors.New("the key is of a kind that cannot be used: want RSA, ECDSA on P-256, or Ed25519")
	}
	if k.Algorithm != "HS256" {
		if material, err = x509.MarshalPKIXPublicKey(k.verify); err != nil {
			return nil, err
		}
	}
	k.method = methods[k.Algorithm]
	k.print = sha256.Sum256(fmt.Appendf(nil, "%s\n%q\n%s", k.Algorithm, id, material))
	return k, nil
}

// String returns the algorithm and the id, "ES256 key k2", or "ES256 key" if it has none.
func (k Key) String() string {
	if k.ID == "" {
		return k.Algorithm + " key"
	}
	return fmt.Sprintf("%s key %s", k.Algorithm, k.ID)
}

// GoString keeps secrets out of what %#v prints.
func (k Key) GoString() string { return k.String() }
