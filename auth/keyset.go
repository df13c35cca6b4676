package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// When keys are fetched.
const (
	fetchInterval  = 15 * time.Minute // ± 10 %, so that a fleet does not fetch together
	fetchCooldown  = 30 * time.Second // from the begin of one fetch to that of the next, whatever came of it
	fetchTimeout   = 10 * time.Second // for all of a fetch; less than the cooldown
	fetchMaxBytes  = 256 << 10
	maxKeySetAge   = 24 * time.Hour   // after it, keys that could not be fetched again are not trusted
	unknownTime    = 60 * time.Second // a kid that is not in the set is not asked for again
	maxUnknownKeys = 1024
)

// FetchResult says what came of fetching keys.
type FetchResult uint8

const (
	Fetched      FetchResult = iota // there are new keys, or the same again
	FetchFailed                     // no connection, or it took too long
	FetchRefused                    // not the status 200
	FetchTooBig                     // more than 256 KiB
	FetchInvalid                    // not a JWK Set, or without any key that can be used

	// NumFetchResults is one more than the highest FetchResult.
	NumFetchResults
)

// String returns the name of the result, as metrics have it.
func (r FetchResult) String() string {
	return [NumFetchResults]string{"ok", "failed", "refused", "too_big", "invalid"}[r]
}

// KeySet has the keys that a URL serves as a JWK Set (RFC 7517 §5), and fetches them again from
// time to time, and when a token names one that it does not have. However many such tokens
// come, a fetch begins at most every 30 s. What it has stays good while fetches fail, for a
// day. Keep one KeySet for a URL over reloads: the pause between fetches is its own.
//
// Run fetches. The other methods may be called from any goroutine, and do not wait for it.
type KeySet struct {
	url     string
	client  *http.Client
	onFetch func(result FetchResult, gone int, err error)

	keys   atomic.Pointer[keyTable] // nil until the first fetch that worked
	loaded chan struct{}            // closed then
	wanted chan struct{}            // asks Run for a fetch
	counts [NumFetchResults]atomic.Uint64

	mu      sync.Mutex
	unknown map[keyName]unknownKey
}

type keyName struct{ id, algorithm string }

// keyTable is immutable.
type keyTable struct {
	keys    map[keyName]*Key
	ids     map[string]bool
	fetched time.Time
}

// unknownKey is a key that a token named and that was not in the set.
type unknownKey struct {
	asked   time.Time // when a token named it first
	refused time.Time // until when tokens are refused for it; zero until a fetch was tried
}

// NewKeySet returns a set that has no keys until Run has fetched them. The URL must be https,
// or http to this machine. client may be nil; then it is one that uses no proxy, whatever
// HTTPS_PROXY says, trusts the certificates that the system trusts, and has time-outs. No
// redirect is followed. onFetch may be nil; Run calls it after each fetch, and says how many keys
// that were in the set are gone from it: what they signed does not stand any more (Tokens.Check).
// Neither may what the keys of another set have signed that this one replaces, once the first
// fetch has worked.
func NewKeySet(address string, client *http.Client, onFetch func(result FetchResult, gone int, err error)) (*KeySet, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("the address of the key set is not a URL") // it may have a secret in it
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		// Whoever can change the answer on its way can sign tokens.
		return nil, fmt.Errorf("%s: keys are fetched by https only, or from this machine", u.Redacted())
	}
	if client == nil {
		client = &http.Client{Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: fetchTimeout}).DialContext,
			TLSHandshakeTimeout:    fetchTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true, // fetches are rare
			ForceAttemptHTTP2:      true,
		}}
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if onFetch == nil {
		onFetch = func(FetchResult, int, error) {}
	}
	return &KeySet{
		url: address, client: &own, onFetch: onFetch,
		loaded: make(chan struct{}), wanted: make(chan struct{}, 1),
		unknown: map[keyName]unknownKey{},
	}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Loaded is closed when the first fetch has worked. Until then every token that needs the set
// is answered with KeysMissing.
func (s *KeySet) Loaded() <-chan struct{} { return s.loaded }

// Fetches returns how many fetches ended with each FetchResult.
func (s *KeySet) Fetches() (counts [NumFetchResults]uint64) {
	for i := range counts {
		counts[i] = s.counts[i].Load()
	}
	return counts
}

// Keys returns how many keys the set has, and when they were fetched: zero if never.
func (s *KeySet) Keys() (n int, fetched time.Time) {
	t := s.keys.Load()
	if t == nil {
		return 0, time.Time{}
	}
	return len(t.keys), t.fetched
}

// Run fetches the keys, and again when it is time, until ctx is done. It is run once, on a
// goroutine of the caller, who waits for it.
func (s *KeySet) Run(ctx context.Context) {
	for {
		start := time.Now()
		result, gone, err := s.fetch(ctx, start)
		if ctx.Err() != nil {
			return
		}
		s.counts[result].Add(1)
		s.onFetch(result, gone, err)
		pause := fetchCooldown
		if result == Fetched {
			pause = fetchInterval
		}
		if !s.pause(ctx, start, time.Duration(float64(pause)*(0.9+0.2*rand.Float64()))) {
			return
		}
	}
}

// pause waits until so long after start, or until a key is wanted, but at least for the
// cooldown. It reports whether to go on.
func (s *KeySet) pause(ctx context.Context, start time.Time, d time.Duration) bool {
	cooldown := time.NewTimer(time.Until(start.Add(fetchCooldown)))
	defer cooldown.Stop()
	select {
	case <-cooldown.C:
	case <-ctx.Done():
		return false
	}
	rest := time.NewTimer(time.Until(start.Add(d)))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-s.wanted:
	case <-ctx.Done():
		return false
	}
	return true
}

// fetch fetches the keys, and returns how many are gone. If that fails, the set stays as it is.
func (s *KeySet) fetch(ctx context.Context, start time.Time) (result FetchResult, gone int, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, result, err := s.get(ctx)
	if err != nil {
		return result, 0, fmt.Errorf("fetching keys: %w", err)
	}
	table := &keyTable{keys: map[keyName]*Key{}, ids: map[string]bool{}, fetched: start}
	for _, k := range keys {
		k.remote = true
		table.keys[keyName{k.ID, k.Algorithm}] = k
		table.ids[k.ID] = true
	}
	old := s.keys.Swap(table)
	if old == nil {
		close(s.loaded)
		old = &keyTable{}
	}
	for _, k := range old.keys {
		if !s.has(k) {
			gone++
		}
	}
	s.answer(start)
	return Fetched, gone, nil
}

func (s *KeySet) get(ctx context.Context) ([]*Key, FetchResult, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, FetchFailed, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if u := new(url.Error); errors.As(err, &u) {
		err = u.Err // without the URL, which may have a secret in it
	}
	if err != nil {
		return nil, FetchFailed, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, FetchRefused, fmt.Errorf("status %s, want 200", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, fetchMaxBytes+1))
	if err != nil {
		return nil, FetchFailed, err
	}
	if len(body) > fetchMaxBytes {
		return nil, FetchTooBig, fmt.Errorf("the key set has more than %d bytes", fetchMaxBytes)
	}
	keys, err := ParseKeySet(body)
	return keys, FetchInvalid, err
}

// answer decides about the keys that were asked for before a fetch began: those that it did not
// bring are refused for a while. Those that were asked for since wait for the next.
func (s *KeySet) answer(start time.Time) {
	table := s.keys.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, u := range s.unknown {
		switch {
		case table.ids[name.id]:
			delete(s.unknown, name)
		case u.refused.IsZero() && !u.asked.After(start):
			s.unknown[name] = unknownKey{u.asked, start.Add(unknownTime)}
		case !u.refused.IsZero() && start.After(u.refused):
			delete(s.unknown, name)
		}
	}
}

// find returns a key. If the set does not have it, the Reason of the error is UnknownKey,
// BadAlgorithm if it has one of that id for another algorithm, or KeysMissing if it is still
// to be fetched.
func (s *KeySet) find(now time.Time, id, algorithm string) (*Key, *Error) {
	table := s.keys.Load()
	if table == nil || now.Sub(table.fetched) > maxKeySetAge {
		return nil, refuse(KeysMissing, "the keys could not be fetched yet") // Run tries without being asked
	}
	name := keyName{id, algorithm}
	if k := table.keys[name]; k != nil {
		return k, nil
	}
	if table.ids[id] {
		return nil, refuse(BadAlgorithm, "the key %q is not for %s", id, algorithm)
	}
	if s.refuses(now, name) {
		return nil, refuse(UnknownKey, "the key %q is not in the set", id)
	}
	select {
	case s.wanted <- struct{}{}:
	default: // is wanted already
	}
	return nil, refuse(KeysMissing, "the key %q is not in the set yet", id)
}

// refuses reports whether a key was asked for and not found lately, and otherwise notes it.
func (s *KeySet) refuses(now time.Time, name keyName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.unknown[name]
	if ok && !u.refused.IsZero() && now.Before(u.refused) {
		return true
	}
	if !ok && len(s.unknown) >= maxUnknownKeys {
		// Random kids filled the table. They get no answer but KeysMissing; a good one is
		// found by the fetch that they all wait for.
		return false
	}
	if !ok || !u.refused.IsZero() {
		s.unknown[name] = unknownKey{asked: now}
	}
	return false
}

// has reports whether the key is in the set still, even if the set is old. As long as nothing
// has been fetched, a key of another set counts as if it were: the set may have got another
// URL, and what was granted stands until it is known which keys are there. New tokens wait.
func (s *KeySet) has(key *Key) bool {
	t := s.keys.Load()
	if t == nil {
		return key.remote
	}
	k := t.keys[keyName{key.ID, key.Algorithm}]
	return k != nil && k.print == key.print
}
