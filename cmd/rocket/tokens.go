package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
)

// tokens is which tokens open a hub, as the file says it.
type tokens struct {
	auth.TokenConfig        // without KeySet, Hub and Revoked
	jwks             string // URL, "" if there is none
}

// tokenObject is the object Tokens of a hub.
func tokenObject(p **tokens) value {
	return value{get: func() any { return *p }, objects: func(n *node) problems {
		t := new(tokens)
		*p = t
		found := fill(n, []field{
			{"Audience", text(&t.Audience, "a string", nil).fromNode},
			{"Issuer", text(&t.Issuer, "a string", nil).fromNode},
			{"JWKS", text(&t.jwks, `a URL such as "https://app.example/keys.json"`, checkJWKS).fromNode},
			{"Keys", t.readKeys},
			{"Leeway", durationOrOff(&t.Leeway).fromNode},
			{"MaxLifetime", duration(&t.MaxLifetime).fromNode},
			{"MaxSize", size(&t.MaxSize, 1, 0).fromNode},
			{"MaxInfo", size(&t.MaxInfo, 1, 0).fromNode},
			{"MaxPatterns", integer(&t.MaxPatterns, 1, 0).fromNode},
		})
		if len(found) > 0 {
			return found
		}
		if _, err := t.verifier(unfetched); err != nil {
			return problems{n.problem("%v", err)}
		}
		return nil
	}}
}

// unfetched returns the key set of a URL, to see whether it can be one.
func unfetched(address string) (*auth.KeySet, error) { return auth.NewKeySet(address, nil, nil) }

func checkJWKS(address string) error {
	_, err := unfetched(address)
	return err
}

// readKeys reads the list Keys, and the files that it names.
func (t *tokens) readKeys(n *node) problems {
	items, ok := n.value.([]*node)
	if !ok {
		return problems{n.problem(`want a list of keys such as [{"Kid": "k1", "SecretFile": "k1.secret"}], not %s`, n.show())}
	}
	var found problems
	for _, item := range items {
		key, wrong := readKey(item)
		found = append(found, wrong...)
		if wrong == nil {
			t.Keys = append(t.Keys, key)
		}
	}
	return found
}

// readKey reads one key: its secret, or a file with it or with a key in PEM.
func readKey(n *node) (*auth.Key, problems) {
	var id, algorithm, secretFile, pemFile, plain string
	given := 0
	from := func(v value) func(*node) problems {
		return func(n *node) problems { given++; return v.fromNode(n) }
	}
	found := fill(n, []field{
		{"Kid", text(&id, "a string", nil).fromNode},
		{"Alg", oneOf(&algorithm, "HS256", "RS256", "ES256", "EdDSA").fromNode},
		{"SecretFile", from(file(&secretFile, checkReadable))},
		{"File", from(file(&pemFile, checkReadable))},
		{"Secret", from(secret(&plain))},
	})
	if len(found) > 0 {
		return nil, found
	}
	if given != 1 {
		return nil, problems{n.problem("want one of SecretFile, File and Secret, not %d of them", given)}
	}
	data := []byte(plain)
	if name := secretFile + pemFile; name != "" {
		var err error
		if data, err = os.ReadFile(name); err != nil {
			return nil, problems{n.problem("cannot read %s: %s", name, reason(err))}
		}
	}
	if algorithm == "" && pemFile == "" {
		algorithm = "HS256"
	}
	key, err := auth.ParseKey(id, algorithm, data)
	if err != nil {
		return nil, problems{n.problem("%v", err)}
	}
	if pemFile != "" && key.Algorithm == "HS256" {
		return nil, problems{n.problem("%s has no key in PEM; name the file of a secret as SecretFile", pemFile)}
	}
	return key, nil
}

// verifier returns what verifies the tokens, with the key set of a URL from sets.
func (t *tokens) verifier(sets func(address string) (*auth.KeySet, error)) (*auth.Tokens, error) {
	c := t.TokenConfig
	if t.jwks != "" {
		var err error
		if c.KeySet, err = sets(t.jwks); err != nil {
			return nil, err
		}
	}
	return auth.NewTokens(c)
}

// keyRing is what outlives a reload of the hubs' tokens: revocations, and the keys that
// are fetched. Its methods may be called from any goroutine.
type keyRing struct {
	log     *slog.Logger
	server  atomic.Pointer[webrocket.Server] // nil until there is one
	revoked auth.Revocations
	running sync.WaitGroup

	mu   sync.Mutex
	sets map[string]*fetched // by URL; guarded by mu
}

// fetched is a key set with what ends its fetching.
type fetched struct {
	*auth.KeySet
	stop context.CancelFunc
}

// equip gives the hubs of a configuration what verifies their tokens.
func (r *keyRing) equip(c *config) error {
	for i := range c.hubs {
		h := &c.hubs[i]
		if h.tokens == nil {
			continue
		}
		t := *h.tokens
		t.Hub, t.Revoked = h.paths(), &r.revoked
		var err error
		if h.Tokens, err = t.verifier(r.set); err != nil {
			return fmt.Errorf("tokens of the hub at %s: %w", h.path, err)
		}
	}
	return nil
}

// set returns the key set of a URL, and begins to fetch it.
func (r *keyRing) set(address string) (*auth.KeySet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.sets[address]; known != nil {
		return known.KeySet, nil
	}
	known := false // whether a fetch has worked; the goroutine of Run alone uses it
	set, err := auth.NewKeySet(address, nil, func(result auth.FetchResult, gone int, err error) {
		first := err == nil && !known
		known = known || first
		r.note(address, result, first, gone, err)
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	if r.sets == nil {
		r.sets = map[string]*fetched{}
	}
	r.sets[address] = &fetched{set, stop}
	r.running.Go(func() { set.Run(ctx) })
	return set, nil
}

// note logs what came of a fetch, and ends what was opened by keys that are gone: from the
// set, or with the set that this one has replaced, of which the first fetch tells.
func (r *keyRing) note(address string, result auth.FetchResult, first bool, gone int, err error) {
	if u, wrong := url.Parse(address); wrong == nil {
		u.RawQuery = "" // it may have a secret in it, as the password may
		address = u.Redacted()
	}
	if err != nil {
		r.log.Warn("the keys of tokens cannot be fetched; those that there are stay in use for a day", "url", address, "result", result.String(), "error", err)
		return
	}
	r.log.Debug("the keys of tokens were fetched", "url", address)
	s := r.server.Load()
	if s == nil {
		return
	}
	if gone > 0 {
		r.log.Info("keys of tokens are gone; the connections that they let in are closed", "url", address, "keys", gone)
	}
	if first || gone > 0 {
		s.CheckTokens()
	}
}

// keep ends the fetching of key sets that a configuration does not name.
func (r *keyRing) keep(c *config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for address, set := range r.sets {
		if !slices.ContainsFunc(c.hubs, func(h hub) bool { return h.tokens != nil && h.tokens.jwks == address }) {
			set.stop()
			delete(r.sets, address)
		}
	}
}

// keySets returns the key sets in use.
func (r *keyRing) keySets() []*auth.KeySet {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*auth.KeySet
	for _, address := range slices.Sorted(maps.Keys(r.sets)) {
		all = append(all, r.sets[address].KeySet)
	}
	return all
}

// close ends all fetching, and waits for that.
func (r *keyRing) close() {
	r.keep(&config{})
	r.running.Wait()
}

// tokenWarnings says what is allowed in the tokens of a hub but seldom meant.
func (h *hub) tokenWarnings() []string {
	if h.tokens == nil || h.tokens.Audience != "" {
		return nil
	}
	return []string{fmt.Sprintf("the hub at %s has Tokens without an Audience: tokens that the same keys sign for other services open it", h.path)}
}
