package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/rate"
)

// A Key lets a backend use a hub.
type Key struct {
	// Name stands in the log, and in the key itself: 1 to 32 letters, digits, "_",
	// "-" and ".".
	Name string

	// SHA256 is the digest of the key, in hexadecimal: the key itself is kept by the
	// backend alone.
	SHA256 string

	// Channels are those that the key is for: names, and patterns as in tokens, "*" or
	// a prefix such as "orders:*".
	Channels []string

	// May is what the key may do there: "publish", "read".
	May []string

	// Rate is how many events a second may be published with it; a second's worth may
	// come at once. If zero, any number.
	Rate int
}

// What a key may do.
const (
	mayPublish = "publish"
	mayRead    = "read"
)

var validName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,32}$`)

// NewKey returns a key for a backend of a name, and its SHA256.
func NewKey(name string) (key, digest string, err error) {
	if !validName.MatchString(name) {
		return "", "", errors.New("the name of a key has 1 to 32 letters, digits, _, - and .")
	}
	key = "rk_" + name + "_" + strings.ToLower(rand.Text())
	sum := sha256.Sum256([]byte(key))
	return key, hex.EncodeToString(sum[:]), nil
}

// Check returns what is wrong with a key.
func (k *Key) Check() error {
	digest, err := hex.DecodeString(k.SHA256)
	switch {
	case !validName.MatchString(k.Name):
		return errors.New("Name: want 1 to 32 letters, digits, _, - and .")
	case err != nil || len(digest) != sha256.Size:
		return errors.New("SHA256: want the 64 hexadecimal digits that rocket key new prints")
	case len(k.Channels) == 0:
		return errors.New(`Channels: want at least one channel or pattern, such as "*"`)
	case len(k.May) == 0:
		return errors.New(`May: want "publish", "read" or both`)
	case k.Rate < 0 || k.Rate > rate.Max:
		return fmt.Errorf("Rate: want a number from 0 to %d", rate.Max)
	}
	for _, c := range k.Channels {
		if _, ok := auth.Pattern(c); !ok && strings.HasSuffix(c, "*") {
			return fmt.Errorf(`Channels: %q is no pattern: "*" stands alone or behind ":"`, c)
		}
	}
	for _, m := range k.May {
		if m != mayPublish && m != mayRead {
			return fmt.Errorf("May: %q is not known; want publish or read", m)
		}
	}
	return nil
}

// keyring is the keys of all hubs. It is not modified once it is in use.
type keyring struct {
	hubs []string // sorted
	keys map[string][]*held
}

// held is a key in use.
type held struct {
	Key
	hub    string
	digest []byte

	mu     sync.Mutex
	bucket rate.Bucket // guarded by mu
}

// SetKeys replaces the keys, by the path of the hub. If it returns an error, those
// before stay.
func (a *API) SetKeys(keys map[string][]Key) error {
	ring := &keyring{hubs: slices.Sorted(maps.Keys(keys)), keys: make(map[string][]*held)}
	for hub, list := range keys {
		names := make(map[string]bool)
		for _, k := range list {
			if err := k.Check(); err != nil {
				return fmt.Errorf("httpapi: key %q of the hub at %s: %w", k.Name, hub, err)
			}
			if names[k.Name] {
				return fmt.Errorf("httpapi: the hub at %s has two keys of the name %q", hub, k.Name)
			}
			names[k.Name] = true
			digest, _ := hex.DecodeString(k.SHA256)
			ring.keys[hub] = append(ring.keys[hub], &held{Key: k, hub: hub, digest: digest})
		}
	}
	a.keys.Store(ring)
	return nil
}

// find returns the key that a request has for a hub; "" is any that has the key.
func (k *keyring) find(token, hub string) *held {
	sum := sha256.Sum256([]byte(token))
	for _, name := range k.hubs {
		if hub != "" && hub != name {
			continue
		}
		for _, key := range k.keys[name] {
			if subtle.ConstantTimeCompare(key.digest, sum[:]) == 1 {
				return key
			}
		}
	}
	return nil
}

// bearer returns the token of a request. "It uses a case-insensitive token to
// identify the authentication scheme" (RFC 9110 §11.1).
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// A caller is who asks for something in a hub.
type caller struct {
	hub string
	key *held // nil for everybody
}

// callerOf returns who a request is from, and which hub it is for.
func (a *API) callerOf(r *http.Request, hub string) (*caller, error) {
	if err := checkQuery(r); err != nil {
		return nil, err
	}
	ring, token := a.keys.Load(), bearer(r)
	if token == "" {
		return &caller{hub: a.hubOr(hub)}, nil
	}
	key := ring.find(token, hub)
	switch {
	case key != nil:
		return &caller{key.hub, key}, nil
	case hub != "" && ring.find(token, "") != nil:
		return nil, denied("the key %q is not for the hub %s", ring.find(token, "").Name, hub)
	}
	return nil, &problem{http.StatusUnauthorized, "invalid_credentials", "the server has no such key; rocket key new makes one, and Keys of the hub lets it in", 0}
}

// checkQuery returns what is wrong with the query of a request: URL.Query leaves out what
// it cannot read, such as the hub that is meant.
func checkQuery(r *http.Request) error {
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return invalid("the query: %v; names and values are percent-encoded, with & in between", err)
	}
	return nil
}

// hubOr returns the hub that is meant: "/" where there is one, or the only one.
func (a *API) hubOr(hub string) string {
	if hub != "" {
		return hub
	}
	if hubs := a.server.Hubs(); len(hubs) == 1 {
		return hubs[0]
	}
	return "/"
}

var errNoKey = &problem{http.StatusUnauthorized, "invalid_credentials", "want a key: Authorization: Bearer rk_…; rocket key new makes one", 0}

// mayUse returns nil if the caller may do something in a channel.
func (c *caller) mayUse(a *API, what, channel string) error {
	if c.key == nil {
		return c.everybodyMay(a, what, channel)
	}
	if !slices.Contains(c.key.May, what) {
		return denied("the key %q may not %s; it may %s", c.key.Name, what, strings.Join(c.key.May, ", "))
	}
	for _, known := range c.key.Channels {
		if prefix, ok := auth.Pattern(known); known == channel || ok && strings.HasPrefix(channel, prefix) {
			return nil
		}
	}
	return denied("the key %q is not for the channel %q; it is for %s", c.key.Name, channel, strings.Join(c.key.Channels, ", "))
}

// everybodyMay returns nil if everybody may publish to a channel, as over WebSocket.
func (c *caller) everybodyMay(a *API, what, channel string) error {
	switch {
	case a.server.Hub(c.hub) == nil:
		return webrocket.ErrNoHub
	case what != mayPublish || !a.server.EverybodyMayPublish(c.hub, channel):
		return errNoKey
	}
	return nil
}

// tooFast returns why n more events are too many at once, nil if they are not.
func (c *caller) tooFast(n int) error {
	if c.key == nil || c.key.Rate == 0 {
		return nil
	}
	c.key.mu.Lock()
	defer c.key.mu.Unlock()
	if c.key.bucket.Take(measure.Now(), n, c.key.Rate) {
		return nil
	}
	return &problem{http.StatusTooManyRequests, "rate_limited", fmt.Sprintf("the key %q may publish %d events a second", c.key.Name, c.key.Rate), 1}
}
