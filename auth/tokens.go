package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Defaults of TokenConfig.
const (
	DefaultLeeway       = 30 * time.Second
	DefaultMaxLifetime  = 24 * time.Hour
	DefaultMaxTokenSize = 8 << 10
	DefaultMaxInfo      = 1 << 10
	DefaultMaxPatterns  = 64
	DefaultCachedTokens = 10_000

	maxKeys = 16
)

// TokenConfig says which tokens a hub accepts. It needs Keys or KeySet.
type TokenConfig struct {
	Keys   []*Key  // at most 16; to rotate: add one, sign with it, remove the old one
	KeySet *KeySet // keys that are fetched from a URL; it needs an Audience

	Audience string   // what aud must name; if "", aud is not checked
	Issuer   string   // what iss must be; if "", iss is not checked
	Hub      []string // the paths of the hub: a token with another "hub" is refused

	Leeway       time.Duration // for clocks that differ, both ways; if zero, 30 s; negative: none
	MaxLifetime  time.Duration // of a token; if zero, 24 h. It bounds how long revocations are kept
	MaxSize      int           // bytes of a token; if zero, 8 KiB
	MaxInfo      int           // bytes of its info; if zero, 1 KiB
	MaxPatterns  int           // its channels and patterns, and its forced subscriptions; if zero, 64 each
	CachedTokens int           // verified tokens that are remembered; if zero, 10,000; negative: none

	// Revoked are the tokens that are refused although they have not expired. Keep one
	// over reloads, and share it between hubs. If nil, the Tokens have their own.
	Revoked *Revocations
}

// Tokens verifies the tokens of a hub. All of it may be called from any goroutine, and
// waits for nothing but short locks.
type Tokens struct {
	c TokenConfig

	mu       sync.Mutex
	verified recent[[sha256.Size]byte, *Grant] // by the digest of the token
	entries  recent[string, []Entry]           // by what they grant, so that equal ones are kept once
}

// NewTokens returns an error if the configuration cannot work.
func NewTokens(c TokenConfig) (*Tokens, error) {
	c.Leeway = max(orDefault(c.Leeway, DefaultLeeway), 0)
	c.MaxLifetime = orDefault(c.MaxLifetime, DefaultMaxLifetime)
	c.MaxSize = orDefault(c.MaxSize, DefaultMaxTokenSize)
	c.MaxInfo = orDefault(c.MaxInfo, DefaultMaxInfo)
	c.MaxPatterns = orDefault(c.MaxPatterns, DefaultMaxPatterns)
	c.Keys = slices.Clone(c.Keys)
	if c.Revoked == nil {
		c.Revoked = new(Revocations)
	}
	switch {
	case len(c.Keys) == 0 && c.KeySet == nil:
		return nil, errors.New("tokens need a key: Keys or JWKS")
	case len(c.Keys) > maxKeys:
		return nil, fmt.Errorf("%d keys for tokens, want at most %d", len(c.Keys), maxKeys)
	case c.KeySet != nil && c.Audience == "":
		// The issuer signs tokens for other services with the same keys.
		return nil, errors.New("JWKS needs an Audience, or a token for another service opens the hub")
	case c.MaxLifetime < 0:
		return nil, errors.New("MaxLifetime is negative")
	}
	for i, k := range c.Keys {
		for _, other := range c.Keys[:i] {
			if k.ID == other.ID && k.Algorithm == other.Algorithm && k.ID != "" {
				return nil, fmt.Errorf("there are two of the %s", k)
			}
		}
	}
	cached := max(orDefault(c.CachedTokens, DefaultCachedTokens), 0)
	return &Tokens{
		c:        c,
		verified: recent[[sha256.Size]byte, *Grant]{size: cached},
		entries:  recent[string, []Entry]{size: cached},
	}, nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// RevokeUser is Revocations.RevokeUser for as long as it must be.
func (t *Tokens) RevokeUser(now time.Time, user string, before time.Time) error {
	return t.c.Revoked.RevokeUser(now, user, before, t.RevocationTime())
}

// RevokeID is Revocations.RevokeID for as long as it must be.
func (t *Tokens) RevokeID(now time.Time, id string) error {
	return t.c.Revoked.RevokeID(now, id, t.RevocationTime())
}

// RevocationTime is how long a revocation must be kept: after it, every token that was
// issued before has expired.
func (t *Tokens) RevocationTime() time.Duration { return t.c.MaxLifetime + 2*t.c.Leeway }

// Login returns what a token for a login grants, or an *Error. Nothing of the token is
// kept but what the Grant has.
func (t *Tokens) Login(now time.Time, token string) (*Grant, error) {
	g, err := t.accept(now, token, (*Claims).forLogin)
	if err != nil {
		return nil, err // err of type *Error would not be nil in an error
	}
	return g, nil
}

// Renew is Login for a session that has the grant old, maybe nil. The token must be for the
// same user, or the error has the Reason OtherUser. Any error leaves old as it is.
func (t *Tokens) Renew(now time.Time, old *Grant, token string) (*Grant, error) {
	g, err := t.Login(now, token)
	if err == nil && old != nil && g.User != old.User {
		return nil, refuse(OtherUser, "the session is of the user %q, the token of %q", old.User, g.User)
	}
	return g, err
}

// Channel returns what a token for one channel grants there, or an *Error. user is the
// user of the session, "" if it has none; the token must be of the same.
func (t *Tokens) Channel(now time.Time, token, channel, user string) (*Grant, error) {
	g, err := t.accept(now, token, (*Claims).forChannel)
	switch {
	case err != nil:
		return nil, err
	case g.User != user:
		return nil, refuse(OtherUser, "the session is of the user %q, the token of %q", user, g.User)
	case g.Channel != channel:
		return nil, refuse(OtherChannel, "the token is for the channel %q, not for %q", g.Channel, channel)
	}
	return g, nil
}

// Check returns an *Error if a grant that was accepted does not stand any more: it has
// expired, was revoked, or its key is gone. Ask after a reload or a revocation; t may be
// newer than the grant.
func (t *Tokens) Check(now time.Time, g *Grant) error {
	if err := t.stands(now, g); err != nil {
		return err
	}
	return nil
}

func (t *Tokens) stands(now time.Time, g *Grant) *Error {
	switch {
	case !now.Before(g.End):
		return refuse(Expired, "it expired %s", g.Expires.UTC().Format(time.RFC3339))
	case !t.has(g.key):
		return refuse(UnknownKey, "the %s is not accepted any more", g.key)
	}
	return t.revoked(g.User, g.ID, g.Issued)
}

func (t *Tokens) revoked(user, id string, issued time.Time) *Error {
	if t.c.Revoked.Has(user, id, issued) {
		return refuse(Revoked, "the user or the token was revoked")
	}
	return nil
}

// accept verifies a token, or remembers that it did. check is what its claims must also
// fulfil, which a remembered token must again: it may be used for something else.
func (t *Tokens) accept(now time.Time, token string, check func(*Claims) *Error) (*Grant, *Error) {
	if len(token) > t.c.MaxSize {
		return nil, refuse(Malformed, "the token has %d bytes, more than %d", len(token), t.c.MaxSize)
	}
	digest := sha256.Sum256([]byte(token))
	if g := t.remembered(digest); g != nil && t.stands(now, g) == nil {
		if err := check(&Claims{Channel: g.Channel}); err != nil {
			return nil, err
		}
		return g, nil
	}
	p, err := parseToken(token, t.c.MaxSize)
	if err != nil {
		return nil, err
	}
	if wrong := t.problems(now, &p.Claims); len(wrong) > 0 {
		return nil, wrong[0]
	}
	key, err := t.verify(now, p)
	if err != nil {
		return nil, err
	}
	if wrong := t.ownProblems(&p.Claims); len(wrong) > 0 {
		return nil, wrong[0]
	}
	if err := check(&p.Claims); err != nil {
		return nil, err
	}
	if err := t.revoked(p.User, p.ID, p.Issued); err != nil {
		return nil, err
	}
	return t.remember(digest, p, key), nil
}

func (t *Tokens) remembered(digest [sha256.Size]byte) *Grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, _ := t.verified.get(digest)
	return g
}

func (t *Tokens) remember(digest [sha256.Size]byte, p *parsedToken, key *Key) *Grant {
	g := &Grant{
		User: p.User, ID: p.ID, Issued: p.Issued, Expires: p.Expires, End: p.Expires.Add(t.c.Leeway),
		Info: p.Info, Forced: p.Subscribe, Channel: p.Channel, entries: p.Channels, key: key,
	}
	if g.Channel != "" {
		g.entries = []Entry{{g.Channel, p.Rights}}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g.entries = t.intern(g.entries)
	t.verified.put(digest, g)
	return g
}

// intern returns entries that are equal, and kept already if there are such. t.mu is held.
func (t *Tokens) intern(entries []Entry) []Entry {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%q%d", e.Channel, e.Rights)
	}
	if kept, ok := t.entries.get(b.String()); ok {
		return kept
	}
	t.entries.put(b.String(), entries)
	return entries
}

// problems returns what is wrong with the claims that every token has. It is cheap, and
// comes before any key is looked for, so that tokens which cannot be good do not cost a
// signature, nor make anyone fetch keys.
func (t *Tokens) problems(now time.Time, c *Claims) []*Error {
	return compact(
		t.lifetimeProblem(now, c),
		refuseIf(t.c.Audience != "" && !slices.Contains(c.Audience, t.c.Audience), OtherAudience,
			"aud is %q, and does not name %q", strings.Join(c.Audience, ", "), t.c.Audience),
		refuseIf(t.c.Issuer != "" && c.Issuer != t.c.Issuer, OtherIssuer, "iss is %q, not %q", c.Issuer, t.c.Issuer),
	)
}

func (t *Tokens) lifetimeProblem(now time.Time, c *Claims) *Error {
	longest := t.c.MaxLifetime + t.c.Leeway
	switch left := c.Expires.Sub(now); {
	case c.Expires.IsZero():
		return refuse(BadLifetime, "there is no exp: the token would be valid forever")
	case left+t.c.Leeway <= 0:
		return refuse(Expired, "it expired %s", c.Expires.UTC().Format(time.RFC3339))
	case left > longest:
		return refuse(BadLifetime, "it expires in %s, later than in %s", left.Round(time.Second), t.c.MaxLifetime)
	case now.Add(t.c.Leeway).Before(c.Issued):
		// A revocation of what was issued until now would miss it.
		return refuse(NotYet, "it is issued at %s, in the future", c.Issued.UTC().Format(time.RFC3339))
	case !c.Issued.IsZero() && c.Expires.Sub(c.Issued) > longest:
		// Otherwise a revocation could be forgotten before the token becomes acceptable.
		return refuse(BadLifetime, "it was issued for %s, longer than %s", c.Expires.Sub(c.Issued), t.c.MaxLifetime)
	case now.Add(t.c.Leeway).Before(c.NotBefore):
		return refuse(NotYet, "it is valid from %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// ownProblems returns what is wrong with the claim "rocket".
func (t *Tokens) ownProblems(c *Claims) []*Error {
	return compact(
		refuseIf(c.Hub != "" && !slices.Contains(t.c.Hub, c.Hub), OtherHub, "the token is for the hub %q", c.Hub),
		refuseIf(len(c.Channels) > t.c.MaxPatterns, BadClaims, "%d channels and patterns, more than %d", len(c.Channels), t.c.MaxPatterns),
		refuseIf(len(c.Subscribe) > t.c.MaxPatterns, BadClaims, "%d channels to subscribe to, more than %d", len(c.Subscribe), t.c.MaxPatterns),
		refuseIf(len(c.Info) > t.c.MaxInfo, BadClaims, "info has %d bytes, more than %d", len(c.Info), t.c.MaxInfo),
	)
}

// compact returns the errors that are not nil.
func compact(errs ...*Error) []*Error {
	return slices.DeleteFunc(errs, func(err *Error) bool { return err == nil })
}

func refuseIf(wrong bool, r Reason, format string, args ...any) *Error {
	if !wrong {
		return nil
	}
	return refuse(r, format, args...)
}

func (c *Claims) forLogin() *Error {
	return refuseIf(c.Channel != "", BadClaims, "the token is for one channel, and is no login")
}

func (c *Claims) forChannel() *Error {
	return refuseIf(c.Channel == "", BadClaims, `the token is for a login: it has no "channel"`)
}

// verify checks the signature, and returns the key that it is of. The algorithm is the key's:
// a token that names another is refused, and does not choose how it is checked.
func (t *Tokens) verify(now time.Time, p *parsedToken) (*Key, *Error) {
	keys, named := t.candidates(p.KeyID, p.Algorithm)
	for _, k := range keys {
		if k.signed(p) {
			return k, nil
		}
	}
	switch {
	case t.c.KeySet != nil && !named && p.Algorithm != "HS256": // a set has public keys only
		k, err := t.c.KeySet.find(now, p.KeyID, p.Algorithm)
		if err != nil || k.signed(p) {
			return k, err
		}
		return nil, refuse(BadSignature, "the signature was not made with the %s", k)
	case len(keys) > 0:
		return nil, refuse(BadSignature, "the signature was not made with the %s", keys[0])
	case named:
		return nil, refuse(BadAlgorithm, "the key %q is not for %s", p.KeyID, p.Algorithm)
	default:
		return nil, refuse(UnknownKey, "there is no %s key with the kid %q", p.Algorithm, p.KeyID)
	}
}

// candidates returns the keys of the configuration that a token may be signed with. Either
// the token or the key may have no kid. named tells whether a key has the token's.
func (t *Tokens) candidates(id, algorithm string) (found []*Key, named bool) {
	named = id != "" && slices.ContainsFunc(t.c.Keys, func(k *Key) bool { return k.ID == id })
	for _, k := range t.c.Keys {
		if k.Algorithm == algorithm && (k.ID == id || id == "" || k.ID == "" && !named) {
			found = append(found, k)
		}
	}
	return found, named
}

// signed reports whether k signed the token.
func (k *Key) signed(p *parsedToken) bool {
	return k.method.Verify(p.signed, p.signature, k.verify) == nil
}

// has reports whether a key is accepted still.
func (t *Tokens) has(key *Key) bool {
	for _, k := range t.c.Keys {
		if k.print == key.print {
			return true
		}
	}
	return t.c.KeySet != nil && t.c.KeySet.has(key)
}

// Problems returns everything that is wrong with a token, as errors of type *Error, and
// nothing if Login or Channel would accept it. It is for showing to a human.
func (t *Tokens) Problems(now time.Time, token string) []*Error {
	p, err := parseToken(token, t.c.MaxSize)
	if err != nil {
		return []*Error{err}
	}
	all := append(t.problems(now, &p.Claims), t.ownProblems(&p.Claims)...)
	if _, err := t.verify(now, p); err != nil {
		all = append(all, err)
	}
	if err := t.revoked(p.User, p.ID, p.Issued); err != nil {
		all = append(all, err)
	}
	return all
}
