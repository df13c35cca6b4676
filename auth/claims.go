package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are what a token says, whether it is true or not. Times are zero and texts are
// empty where the token has none.
type Claims struct {
	Algorithm string // alg of the header
	KeyID     string // kid of the header

	Issuer    string   // iss
	Audience  []string // aud
	User      string   // sub
	ID        string   // jti
	Expires   time.Time
	NotBefore time.Time
	Issued    time.Time

	// Of the claim "rocket".
	Hub       string          // the path of the hub that the token is for
	Channels  []Entry         // of a token for a login: what it grants
	Subscribe []string        // of a token for a login: channels that it subscribes to
	Channel   string          // of a token for one channel: its name
	Rights    Right           // of a token for one channel; to subscribe, if it names none
	Info      json.RawMessage // compact

	// Ignored are parts of the claim "rocket" that mean nothing to this version, such as
	// the name of a right that does not exist. They grant nothing.
	Ignored []string

	rightsNamed bool // there is a list of rights, which may be empty
}

// names of at most this many bytes: users and ids of tokens, which revocations keep.
const maxName = 255

// claim is what reads one claim into c.
type claim func(c *Claims, m member) error

// Every claim that is read. Others of the top level are of somebody else, and are ignored
// (RFC 7519 §4).
var topClaims = map[string]claim{
	"iss":    func(c *Claims, m member) (err error) { c.Issuer, err = m.text(); return err },
	"sub":    func(c *Claims, m member) (err error) { c.User, err = m.name255(); return err },
	"jti":    func(c *Claims, m member) (err error) { c.ID, err = m.name255(); return err },
	"aud":    func(c *Claims, m member) (err error) { c.Audience, err = m.textOrList(); return err },
	"exp":    func(c *Claims, m member) (err error) { c.Expires, err = m.date(); return err },
	"nbf":    func(c *Claims, m member) (err error) { c.NotBefore, err = m.date(); return err },
	"iat":    func(c *Claims, m member) (err error) { c.Issued, err = m.date(); return err },
	"rocket": func(c *Claims, m member) error { return c.read(m.value, rocketClaims, true) },
}

var rocketClaims = map[string]claim{
	"hub":       func(c *Claims, m member) (err error) { c.Hub, err = m.text(); return err },
	"channel":   func(c *Claims, m member) (err error) { c.Channel, err = m.text(); return err },
	"subscribe": func(c *Claims, m member) (err error) { c.Subscribe, err = m.list(); return err },
	"rights": func(c *Claims, m member) (err error) {
		c.Rights, err = c.rights(m)
		c.rightsNamed = true
		return err
	},
	"channels": (*Claims).readChannels,
	"info":     (*Claims).readInfo,
}

// read reads the members of an object that known has, and notes the others if asked.
func (c *Claims) read(data []byte, known map[string]claim, note bool) error {
	all, err := members(data)
	if err != nil {
		return err
	}
	for _, m := range all {
		if set, ok := known[m.name]; !ok {
			if note {
				c.Ignored = append(c.Ignored, fmt.Sprintf("the member %q", m.name))
			}
		} else if err := set(c, m); err != nil {
			return err
		}
	}
	return nil
}

// readPayload reads the payload of a token.
func (c *Claims) readPayload(data []byte) error {
	err := c.read(data, topClaims, false)
	if c.Channel != "" && !c.rightsNamed {
		c.Rights = Subscribe
	}
	return err
}

func (c *Claims) readChannels(m member) error {
	all, err := members(m.value)
	if err != nil {
		return fmt.Errorf("%q: %w", m.name, err)
	}
	for _, channel := range all {
		rights, err := c.rights(channel)
		if err != nil {
			return err
		}
		c.Channels = append(c.Channels, Entry{channel.name, rights})
	}
	return nil
}

func (c *Claims) readInfo(m member) error {
	if string(m.value) == "null" {
		return nil
	}
	var b bytes.Buffer
	err := json.Compact(&b, m.value)
	c.Info = b.Bytes()
	return err
}

// rights reads the names of rights. One that does not exist is noted, so that a token of
// tomorrow still opens what today's server knows.
func (c *Claims) rights(m member) (Right, error) {
	names, err := m.list()
	var rights Right
	for _, name := range names {
		r := RightNamed(name)
		if r == 0 {
			c.Ignored = append(c.Ignored, fmt.Sprintf("the right %q", name))
		}
		rights |= r
	}
	return rights, err
}

func (m member) name255() (string, error) {
	s, err := m.text()
	if err == nil && len(s) > maxName {
		err = fmt.Errorf("%q has more than %d bytes", m.name, maxName)
	}
	return s, err
}

func (m member) textOrList() ([]string, error) {
	if m.value[0] == '[' {
		return m.list()
	}
	s, err := m.text()
	return []string{s}, err
}

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

// date reads a NumericDate (RFC 7519 §2), without its fraction of a second.
func (m member) date() (time.Time, error) {
	var f *float64
	if err := json.Unmarshal(m.value, &f); err != nil || f == nil || *f < 0 || *f > lastSecond {
		return time.Time{}, fmt.Errorf("%q is not a number of seconds since 1970", m.name)
	}
	return time.Unix(int64(math.Floor(*f)), 0), nil
}

// parsedToken is a token that was taken apart. Nothing of it is verified.
type parsedToken struct {
	Claims
	signed    string // what the signature is of
	signature []byte
}

var parser = jwt.NewParser(jwt.WithStrictDecoding())

// parseToken takes a token apart (RFC 7519 §7.2). It looks at no key.
func parseToken(token string, maxSize int) (*parsedToken, *Error) {
	if len(token) > maxSize {
		return nil, refuse(Malformed, "the token has %d bytes, more than %d", len(token), maxSize)
	}
	if i := strings.IndexFunc(token, notInToken); i >= 0 {
		// The decoder of base64 would skip the ends of lines.
		return nil, refuse(Malformed, "byte %d of the token is not of base64url", i)
	}
	if n := strings.Count(token, "."); n != 2 {
		return nil, refuse(Malformed, "want 3 parts with dots between them, got %d", n+1)
	}
	p := &parsedToken{signed: token[:strings.LastIndexByte(token, '.')]}
	header, payload, _ := strings.Cut(p.signed, ".")
	if err := p.readHeader(header); err != nil {
		return nil, err
	}
	data, err := parser.DecodeSegment(payload)
	if err == nil {
		err = p.readPayload(data)
	}
	if err != nil {
		return nil, refuse(Malformed, "the claims: %s", err)
	}
	if p.signature, err = parser.DecodeSegment(token[len(p.signed)+1:]); err != nil {
		return nil, refuse(Malformed, "the signature: %s", err)
	}
	return p, nil
}

// readHeader reads the members of the header that matter. jwk, jku, x5c and x5u, which
// bring a key along or say where one is, do not: a forger would bring his own.
func (p *parsedToken) readHeader(header string) *Error {
	data, err := parser.DecodeSegment(header)
	if err != nil {
		return refuse(Malformed, "the header: %s", err)
	}
	all, err := members(data)
	if err != nil {
		return refuse(Malformed, "the header: %s", err)
	}
	for _, m := range all {
		switch m.name {
		case "alg":
			p.Algorithm, err = m.text()
		case "kid":
			p.KeyID, err = m.name255()
		case "crit":
			// RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not
			// understood and supported by the recipient, then the JWS is invalid."
			err = errors.New(`"crit" names extensions that are not supported`)
		}
		if err != nil {
			return refuse(Malformed, "the header: %s", err)
		}
	}
	if methods[p.Algorithm] == nil {
		return refuse(BadAlgorithm, "the algorithm is %q; use HS256, RS256, ES256 or EdDSA", p.Algorithm)
	}
	return nil
}

func notInToken(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

// ReadClaims returns what a token says, without verifying any of it. It is for showing a
// token to a human; the error is an *Error.
func ReadClaims(token string) (*Claims, error) {
	p, err := parseToken(token, DefaultMaxTokenSize)
	if err != nil {
		return nil, err
	}
	return &p.Claims, nil
}

// Sign returns a token with the claims, signed with k, whose Algorithm and ID it gets. Claims
// that are zero are left out.
func (k *Key) Sign(c Claims) (string, error) {
	if k.sign == nil {
		return "", fmt.Errorf("the %s has no private part, so it cannot sign", k)
	}
	token := jwt.NewWithClaims(k.method, c.payload())
	if k.ID != "" {
		token.Header["kid"] = k.ID
	}
	return token.SignedString(k.sign)
}

// payload returns the claims as JSON has them.
func (c *Claims) payload() jwt.MapClaims {
	top, rocket := jwt.MapClaims{}, map[string]any{}
	put(top, "iss", c.Issuer)
	put(top, "sub", c.User)
	put(top, "jti", c.ID)
	if len(c.Audience) == 1 {
		top["aud"] = c.Audience[0]
	} else if len(c.Audience) > 1 {
		top["aud"] = slices.Clone(c.Audience)
	}
	for name, date := range map[string]time.Time{"exp": c.Expires, "nbf": c.NotBefore, "iat": c.Issued} {
		if !date.IsZero() {
			top[name] = date.Unix()
		}
	}
	put(rocket, "hub", c.Hub)
	if put(rocket, "channel", c.Channel); c.Rights != 0 {
		rocket["rights"] = c.Rights.names()
	}
	if len(c.Channels) > 0 {
		channels := map[string][]string{}
		for _, e := range c.Channels {
			channels[e.Channel] = append(channels[e.Channel], e.Rights.names()...)
		}
		rocket["channels"] = channels
	}
	if len(c.Subscribe) > 0 {
		rocket["subscribe"] = c.Subscribe
	}
	if len(c.Info) > 0 {
		rocket["info"] = c.Info
	}
	if len(rocket) > 0 {
		top["rocket"] = rocket
	}
	return top
}

func put(object map[string]any, name, text string) {
	if text != "" {
		object[name] = text
	}
}
