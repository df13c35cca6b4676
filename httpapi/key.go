package httpapi

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
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

// Opens reports whether a key is for a channel.
func (k *Key) Opens(channel string) bool {
	for _, known := range k.Channels {
		if prefix, ok := auth.Pattern(known); known == channel || ok && strings.HasPrefix(channel, prefix) {
			return true
		}
	}
	return false
}

// keyring is the keys of all hubs. It is not modified once it is in use.
type keyring struct {
	keys map[[sha256.Size]byte][]*held // by digest; a key may open several hubs
}

// held is a key in use.
type held struct {
	Key
	hub   string
	spent *allowance
}

// An allowance is what has been used of a key's Rate.
type allowance struct {
	mu     sync.Mutex
	bucket rate.Bucket // guarded by mu
}

// SetKeys replaces the keys, by the path of the hub. A key that was there before has
// used as much of its Rate as before. If SetKeys returns an error, the keys before stay.
func (a *API) SetKeys(keys map[string][]Key) error {
	before := a.keys.Load()
	ring := &keyring{make(map[[sha256.Size]byte][]*held)}
	for _, hub := range slices.Sorted(maps.Keys(keys)) {
		names := make(map[string]bool)
		for _, k := range keys[hub] {
			if err := k.Check(); err != nil {
				return fmt.Errorf("httpapi: key %q of the hub at %s: %w", k.Name, hub, err)
			}
			if names[k.Name] {
				return fmt.Errorf("httpapi: the hub at %s has two keys of the name %q", hub, k.Name)
			}
			names[k.Name] = true
			var digest [sha256.Size]byte
			_, _ = hex.Decode(digest[:], []byte(k.SHA256)) // it has been checked
			ring.keys[digest] = append(ring.keys[digest], &held{k, hub, before.spent(hub, digest)})
		}
	}
	a.keys.Store(ring)
	return nil
}

// spent returns what has been used of a key's rate. k may be nil.
func (k *keyring) spent(hub string, digest [sha256.Size]byte) *allowance {
	if k != nil {
		for _, key := range k.keys[digest] {
			if key.hub == hub {
				return key.spent
			}
		}
	}
	return new(allowance)
}

// find returns what a key opens: one hub, or several. How long it takes says something of
// digests, but nothing of keys.
func (k *keyring) find(token string) []*held { return k.keys[sha256.Sum256([]byte(token))] }

// authorization returns the scheme and the credentials of a request. "It uses a
// case-insensitive token to identify the authentication scheme" (RFC 9110 §11.1).
func authorization(r *http.Request) (scheme, credentials string) {
	scheme, credentials, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		scheme = "Bearer"
	}
	return scheme, strings.TrimLeft(credentials, " ")
}

// bearer returns the token of a request, "" if it has none.
func bearer(r *http.Request) string {
	if scheme, token := authorization(r); scheme == "Bearer" {
		return token
	}
	return ""
}

// credentials are what a request brings for asking something in hubs.
type credentials struct {
	from string  // RemoteAddr
	keys []*held // nil for everybody
}

// A caller is who asks for something in a hub.
type caller struct {
	hub  string
	from string // RemoteAddr
	key  *held  // nil for everybody
}

// credentialsOf returns what a request brings.
func (a *API) credentialsOf(r *http.Request) (*credentials, error) {
	if r.Header["Authorization"] == nil {
		return &credentials{from: r.RemoteAddr}, nil
	}
	scheme, token := authorization(r)
	if strings.HasPrefix(scheme, "rk_") { // which is not repeated
		return nil, &problem{http.StatusUnauthorized, "invalid_credentials", "Authorization has no scheme; want a key: Authorization: Bearer rk_…", 0}
	}
	if scheme != "Bearer" || token == "" {
		return nil, &problem{http.StatusUnauthorized, "invalid_credentials", fmt.Sprintf("the scheme of Authorization is %.20q; want a key: Authorization: Bearer rk_…", scheme), 0}
	}
	keys := a.keys.Load().find(token)
	if keys == nil {
		return nil, &problem{http.StatusUnauthorized, "invalid_credentials", "the server has no such key; rocket key new makes one, and Keys of the hub lets it in", 0}
	}
	return &credentials{r.RemoteAddr, keys}, nil
}

// in returns who a request is from in the hub that it is for; "" is the hub of the key.
func (a *API) in(c *credentials, hub string) (*caller, error) {
	if c.keys == nil {
		return &caller{hub: a.hubOr(hub), from: c.from}, nil
	}
	for _, key := range c.keys {
		if hub == "" || hub == key.hub {
			return &caller{key.hub, c.from, key}, nil
		}
	}
	return nil, denied("the key %q is not for the hub %s", c.keys[0].Name, hub)
}

// callerOf returns who a request is from, and which hub it is for.
func (a *API) callerOf(r *http.Request, hub string) (*caller, error) {
	c, err := a.credentialsOf(r)
	if err != nil {
		return nil, err
	}
	return a.in(c, hub)
}

// mayPublishSomewhere returns nil if the credentials let a request publish in some
// channel of some hub. It is asked before a body is read that says in which.
func (a *API) mayPublishSomewhere(c *credentials) error {
	if c.keys == nil {
		for _, path := range a.server.Hubs() {
			if a.server.IsNative(path) && !a.server.Hub(path).NeedsLogin() {
				return nil
			}
		}
		return errNoKey
	}
	for _, key := range c.keys {
		if slices.Contains(key.May, mayPublish) {
			return nil
		}
	}
	return c.keys[0].mayNot(mayPublish)
}

// mayNot is the problem that a key may not do something anywhere.
func (k *held) mayNot(what string) *problem {
	return denied("the key %q may not %s; it may %s", k.Name, what, strings.Join(k.May, ", "))
}

// queryOf returns the query of a request. Unlike URL.Query it leaves nothing out that it
// cannot read, such as the hub that is meant.
func queryOf(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query: %v; names and values are percent-encoded, with & in between", err)
	}
	return query, nil
}

// strictQueryOf returns the query of a request that has no other parameters than these,
// and none twice: a backend learns of a name that is misspelt.
func strictQueryOf(r *http.Request, names ...string) (url.Values, error) {
	query, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	for name, values := range query {
		switch {
		case !slices.Contains(names, name):
			return nil, invalid("the query: unknown parameter %.50q; want %s", name, cmp.Or(strings.Join(names, ", "), "none, since all is in the body"))
		case len(values) > 1:
			return nil, invalid("the query: %s is there twice", name)
		}
	}
	return query, nil
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
		return c.key.mayNot(what)
	}
	if c.key.Opens(channel) {
		return nil
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

// tooFast returns why an event of size bytes is one too many at once, nil if it is not.
// Who has no key may send what one WebSocket connection to the hub may.
func (c *caller) tooFast(a *API, size int) error {
	if c.key == nil {
		h := a.server.Hub(c.hub).Config()
		if a.crowd.within(measure.Now(), source{c.hub, addressOf(c.from)}, size, h.CommandRate, h.ByteRate) {
			return nil
		}
		return &problem{http.StatusTooManyRequests, "rate_limited", "from this address comes more in a second than the hub's CommandRate or ByteRate; a key has a Rate of its own", 1}
	}
	if c.key.Rate == 0 {
		return nil
	}
	c.key.spent.mu.Lock()
	defer c.key.spent.mu.Unlock()
	if c.key.spent.bucket.Take(measure.Now(), 1, c.key.Rate) {
		return nil
	}
	return &problem{http.StatusTooManyRequests, "rate_limited", fmt.Sprintf("the key %q may publish %d events a second", c.key.Name, c.key.Rate), 1}
}
