package auth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// jwkOf writes a public key as RFC 7517 has it.
func jwkOf(t testing.TB, k *Key) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	j := map[string]any{"kid": k.ID, "use": "sig"}
	switch v := k.verify.(type) {
	case *rsa.PublicKey:
		j["kty"], j["n"], j["e"] = "RSA", enc(v.N.Bytes()), enc(big.NewInt(int64(v.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := v.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		j["kty"], j["crv"], j["x"], j["y"] = "EC", "P-256", enc(point[1:33]), enc(point[33:])
	case ed25519.PublicKey:
		j["kty"], j["crv"], j["x"] = "OKP", "Ed25519", enc(v)
	case []byte:
		j["kty"], j["k"] = "oct", enc(v)
	}
	data, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func setOf(t testing.TB, keys ...*Key) string {
	t.Helper()
	var all []string
	for _, k := range keys {
		all = append(all, jwkOf(t, k))
	}
	return `{"keys":[` + strings.Join(all, ",") + `]}`
}

func TestParseKeySet(t *testing.T) {
	k := testKeys()
	keys, err := ParseKeySet([]byte(setOf(t, k["hs"], k["rs"], k["es"], k["ed"], k["es"])))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(keys)
	if want := fmt.Sprint([]*Key{k["rs"], k["es"], k["ed"]}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, key := range keys {
		if key.print != k[key.ID].print {
			t.Errorf("%s is another key", key)
		}
	}
	es := jwkOf(t, k["es"])
	for name, document := range map[string]string{
		"empty":                  ``,
		"no keys":                `{}`,
		"no key":                 `{"keys":[]}`,
		"keys twice":             `{"keys":[],"keys":[` + es + `]}`,
		"null":                   `{"keys":null}`,
		"a secret":               `{"keys":[` + jwkOf(t, k["hs"]) + `]}`,
		"for encryption":         `{"keys":[` + strings.Replace(es, `"sig"`, `"enc"`, 1) + `]}`,
		"another algorithm":      `{"keys":[` + strings.Replace(es, `{`, `{"alg":"ES512",`, 1) + `]}`,
		"only for signing":       `{"keys":[` + strings.Replace(es, `{`, `{"key_ops":["sign"],`, 1) + `]}`,
		"a kid as a number":      `{"keys":[` + strings.Replace(es, `"kid":"es"`, `"kid":1`, 1) + `]}`,
		"not on the curve":       `{"keys":[` + strings.Replace(es, `"x":"`, `"x":"AA`, 1) + `]}`,
		"a weak RSA key":         `{"keys":[{"kty":"RSA","n":"` + strings.Repeat("A", 100) + `w","e":"AQAB"}]}`,
		"an exponent of 1":       `{"keys":[` + strings.Replace(jwkOf(t, k["rs"]), "AQAB", "AQ", 1) + `]}`,
		"an exponent of 64 bits": `{"keys":[` + strings.Replace(jwkOf(t, k["rs"]), "AQAB", "__________8", 1) + `]}`,
	} {
		if keys, err := ParseKeySet([]byte(document)); err == nil {
			t.Errorf("%s: got the keys %v", name, keys)
		}
	}
}

// endpoint serves a key set without a socket, which would stop the clock of a bubble.
type endpoint struct {
	mu      sync.Mutex
	body    string
	err     error
	slow    bool          // never answers
	takes   time.Duration // answers so much later, with what there was when it was asked
	fetches []time.Time
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fetches = append(e.fetches, time.Now())
	if e.slow {
		e.mu.Unlock()
		<-r.Context().Done()
		e.mu.Lock()
		return nil, r.Context().Err()
	}
	body, err := e.body, e.err
	if e.takes > 0 {
		e.mu.Unlock()
		time.Sleep(e.takes)
		e.mu.Lock()
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (e *endpoint) serve(body string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.body, e.err, e.slow = body, err, false
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.fetches)
}

// bubble runs a test with a key set whose clock is virtual.
func bubble(t *testing.T, e *endpoint, test func(t *testing.T, tokens *Tokens, set *KeySet)) {
	synctest.Test(t, func(t *testing.T) {
		set, err := NewKeySet("https://app.example/keys.json", &http.Client{Transport: e}, nil)
		if err != nil {
			t.Fatal(err)
		}
		tokens := newTokens(t, TokenConfig{KeySet: set, Audience: "rocket", CachedTokens: -1})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { set.Run(ctx); close(done) }()
		synctest.Wait()
		test(t, tokens, set)
		cancel()
		<-done
	})
}

// token is one of a key, good for an hour from now on.
func token(t testing.TB, k *Key, kid string) string {
	named := *k
	named.ID = kid
	return sign(t, &named, Claims{Audience: []string{"rocket"}, User: "42", Expires: time.Now().Add(time.Hour)})
}

// unsigned is a token that is good but for its signature.
func unsigned(algorithm, kid string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc(fmt.Appendf(nil, `{"alg":%q,"kid":%q}`, algorithm, kid)) + "." +
		enc(fmt.Appendf(nil, `{"aud":"rocket","exp":%d}`, time.Now().Unix()+3600)) + "." + enc(make([]byte, 64))
}

func wantLogin(t *testing.T, tokens *Tokens, token string, want Reason) {
	t.Helper()
	_, err := tokens.Login(time.Now(), token)
	wantReason(t, err, want)
}

func TestKeySetServesTokens(t *testing.T) {
	k := testKeys()
	e := &endpoint{body: setOf(t, k["rs"], k["es"], k["ed"])}
	bubble(t, e, func(t *testing.T, tokens *Tokens, set *KeySet) {
		<-set.Loaded()
		for _, id := range []string{"rs", "es", "ed"} {
			wantLogin(t, tokens, token(t, k[id], id), Accepted)
		}
		wantLogin(t, tokens, token(t, k["rs"], "es"), BadAlgorithm)
		wantLogin(t, tokens, token(t, k["hs"], "hs"), UnknownKey) // a set has no secrets: not asked for
		if n, _ := set.Keys(); n != 3 || set.Fetches()[Fetched] != 1 {
			t.Errorf("%d keys after %v fetches", n, set.Fetches())
		}
		time.Sleep(24 * time.Hour)
		if n := e.count(); n < 24*60/17 || n > 24*60/13 {
			t.Errorf("%d fetches in a day, want one each 15 min ± 10 %%", n)
		}
	})
}

// A key that the issuer begins to use is found by the token that names it, within 30 s.
func TestKeySetFindsNewKey(t *testing.T) {
	k := testKeys()
	e := &endpoint{body: setOf(t, k["rs"])}
	bubble(t, e, func(t *testing.T, tokens *Tokens, _ *KeySet) {
		g, err := tokens.Login(time.Now(), token(t, k["rs"], "rs"))
		if err != nil {
			t.Fatal(err)
		}
		e.serve(setOf(t, k["es"]), nil)
		wantLogin(t, tokens, token(t, k["es"], "es"), KeysMissing)
		wantReason(t, tokens.Check(time.Now(), g), Accepted)
		time.Sleep(fetchCooldown + time.Second)
		wantLogin(t, tokens, token(t, k["es"], "es"), Accepted)
		wantReason(t, tokens.Check(time.Now(), g), UnknownKey) // and the old one is gone

		time.Sleep(time.Minute)
		before := e.count()
		wantLogin(t, tokens, token(t, k["ed"], "ed"), KeysMissing)
		synctest.Wait()
		if n := e.count() - before; n != 1 {
			t.Errorf("%d fetches at once after a pause, want 1", n)
		}
		time.Sleep(time.Second)
		wantLogin(t, tokens, token(t, k["ed"], "ed"), UnknownKey) // it was asked for
	})
}

// A key that a token names while a fetch is under way may be newer than what the fetch brings:
// its tokens are told to wait for the next one, and are not refused.
func TestKeySetAskedDuringAFetch(t *testing.T) {
	k := testKeys()
	e := &endpoint{body: setOf(t, k["rs"])}
	bubble(t, e, func(t *testing.T, tokens *Tokens, _ *KeySet) {
		time.Sleep(time.Minute)
		e.mu.Lock()
		e.takes = 5 * time.Second
		e.mu.Unlock()
		wantLogin(t, tokens, token(t, k["ed"], "ed"), KeysMissing) // which begins the fetch
		time.Sleep(time.Second)
		e.serve(setOf(t, k["rs"], k["es"]), nil)
		wantLogin(t, tokens, token(t, k["es"], "es"), KeysMissing)
		time.Sleep(5 * time.Second)
		if n := e.count(); n != 2 {
			t.Fatalf("%d fetches, want the second to be over", n)
		}
		wantLogin(t, tokens, token(t, k["ed"], "ed"), UnknownKey)
		wantLogin(t, tokens, token(t, k["es"], "es"), KeysMissing)
		time.Sleep(fetchCooldown + 5*time.Second)
		wantLogin(t, tokens, token(t, k["es"], "es"), Accepted)
	})
}

// Random kids, in a set of any state: a fetch each 30 s at most, and good tokens get in.
func TestKeySetStorm(t *testing.T) {
	k := testKeys()
	good := setOf(t, k["es"])
	for name, e := range map[string]*endpoint{
		"good":  {body: good},
		"down":  {err: errors.New("no route")},
		"empty": {body: `{"keys":[]}`},
		"slow":  {slow: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, e, func(t *testing.T, tokens *Tokens, set *KeySet) {
				start, n := time.Now(), 0
				for time.Since(start) < 10*time.Minute {
					for range 20 {
						_, err := tokens.Login(time.Now(), unsigned("EdDSA", fmt.Sprint("random", n)))
						if n++; err == nil {
							t.Fatal("accepted")
						}
					}
					time.Sleep(time.Second)
				}
				if n := e.count(); n > 21 || n < 14 {
					t.Errorf("%d fetches in 10 min, want one each 30 s at most", n)
				}
				e.mu.Lock()
				for i, at := range e.fetches[1:] {
					if d := at.Sub(e.fetches[i]); d < fetchCooldown {
						t.Errorf("two fetches within %s", d)
					}
				}
				e.mu.Unlock()
				set.mu.Lock()
				if n := len(set.unknown); n > maxUnknownKeys {
					t.Errorf("%d unknown kids are remembered", n)
				}
				set.mu.Unlock()
				// The set comes back in the storm, with a new key.
				e.serve(setOf(t, k["es"], k["rs"]), nil)
				_, _ = tokens.Login(time.Now(), token(t, k["rs"], "rs"))
				time.Sleep(34 * time.Second)
				wantLogin(t, tokens, token(t, k["rs"], "rs"), Accepted)
				wantLogin(t, tokens, token(t, k["es"], "es"), Accepted)
			})
		})
	}
}

// Fetches that fail leave the keys as they were, for a day.
func TestKeySetKeepsKeysWhileDown(t *testing.T) {
	k := testKeys()
	for name, body := range map[string]string{"down": "", "empty": `{"keys":[]}`, "damaged": `{"keys":[`, "too big": strings.Repeat(" ", fetchMaxBytes+1)} {
		t.Run(name, func(t *testing.T) {
			e := &endpoint{body: setOf(t, k["es"])}
			bubble(t, e, func(t *testing.T, tokens *Tokens, set *KeySet) {
				var err error
				if name == "down" {
					err = errors.New("no route")
				}
				e.serve(body, err)
				time.Sleep(23 * time.Hour)
				wantLogin(t, tokens, token(t, k["es"], "es"), Accepted)
				wantLogin(t, tokens, token(t, k["ed"], "new"), KeysMissing)
				time.Sleep(70 * time.Minute)
				wantLogin(t, tokens, token(t, k["es"], "es"), KeysMissing)
				if f := set.Fetches(); f[Fetched] != 1 {
					t.Errorf("the fetches were %v", f)
				}
			})
		})
	}
}

// What cannot be good for other reasons does not make the server fetch.
func TestCheapChecksComeBeforeKeys(t *testing.T) {
	k := testKeys()["ed"]
	e := &endpoint{body: setOf(t, testKeys()["es"])}
	bubble(t, e, func(t *testing.T, tokens *Tokens, set *KeySet) {
		time.Sleep(2 * time.Minute)
		stranger := *k
		stranger.ID = "new"
		for _, c := range []Claims{
			{Audience: []string{"other"}, Expires: time.Now().Add(time.Hour)},
			{Audience: []string{"rocket"}, Expires: time.Now().Add(-time.Hour)},
			{Audience: []string{"rocket"}, Expires: time.Now().Add(100 * time.Hour)},
			{Audience: []string{"rocket"}, Expires: time.Now().Add(time.Hour), NotBefore: time.Now().Add(time.Minute)},
			{Audience: []string{"rocket"}},
		} {
			if _, err := tokens.Login(time.Now(), sign(t, &stranger, c)); err == nil {
				t.Error("accepted")
			}
		}
		synctest.Wait()
		if n := e.count(); n != 1 || len(set.unknown) != 0 {
			t.Errorf("%d fetches, %d unknown kids; want one fetch, none unknown", n, len(set.unknown))
		}
	})
}

// A key set beside keys of the configuration.
func TestKeySetBesideKeys(t *testing.T) {
	k := testKeys()
	unnamed := *k["ed"]
	unnamed.ID = ""
	e := &endpoint{body: setOf(t, k["es"])}
	bubble(t, e, func(t *testing.T, _ *Tokens, set *KeySet) {
		tokens := newTokens(t, TokenConfig{KeySet: set, Keys: []*Key{k["hs"], &unnamed}, Audience: "rocket"})
		wantLogin(t, tokens, token(t, k["es"], "es"), Accepted)
		wantLogin(t, tokens, token(t, k["hs"], "hs"), Accepted)
		wantLogin(t, tokens, token(t, k["ed"], "any"), Accepted)
	})
}

// Over a real socket: what a server may answer, and what NewKeySet's own client does with it.
func TestKeySetFetch(t *testing.T) {
	set := setOf(t, testKeys()["es"])
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    FetchResult
	}{
		"good":      {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, set) }, Fetched},
		"not found": {http.NotFound, FetchRefused},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, FetchRefused},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 4096)); err != nil {
					return
				}
			}
		}, FetchTooBig},
		"not JSON": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, FetchInvalid},
		"cut":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, FetchFailed},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan FetchResult, 1)
			s, err := NewKeySet(server.URL, nil, func(r FetchResult, _ int, _ error) { got <- r })
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { s.Run(ctx); close(done) }()
			if r := <-got; r != tt.want {
				t.Errorf("got %v, want %v", r, tt.want)
			}
			cancel()
			<-done
		})
	}
}

// HTTPS_PROXY and HTTP_PROXY do not change where keys come from.
func TestKeySetUsesNoProxy(t *testing.T) {
	s, err := NewKeySet("https://app.example/", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("the client asks the environment for a proxy")
	}
}

func TestNewKeySetRefuses(t *testing.T) {
	for address, good := range map[string]bool{
		"https://app.example/keys.json": true, "http://localhost:8080/": true, "http://127.0.0.1/": true, "http://[::1]/": true,
		"http://app.example/": false, "http://localhost.evil.example/": false, "file:///etc/keys.json": false, "app.example": false, "": false, ":": false,
	} {
		if _, err := NewKeySet(address, nil, nil); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func FuzzKeySet(f *testing.F) {
	k := testKeys()
	f.Add([]byte(setOf(f, k["rs"], k["es"], k["ed"])))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":""},null,1,{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseKeySet(data)
		if (err == nil) != (len(keys) > 0) || len(keys) > maxSetKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if k.Algorithm == "HS256" || k.sign != nil {
				t.Errorf("%s can sign", k)
			}
			k.signed(&parsedToken{signed: "a.b", signature: make([]byte, 64)}) // does not panic
			again, err := ParseKeySet([]byte(setOf(t, k)))
			if err != nil || again[0].print != k.print {
				t.Errorf("%s written and read again: %v", k, err)
			}
		}
	})
}

// Whoever runs a set is told how many keys are gone: not those that stay, nor those of a
// fetch that fails.
func TestKeySetTellsWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, e := testKeys(), new(endpoint)
		var got []int
		set, err := NewKeySet("https://app.example/keys.json", &http.Client{Transport: e}, func(_ FetchResult, gone int, _ error) {
			got = append(got, gone)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, answer := range []struct {
			body string
			err  error
		}{
			{setOf(t, k["rs"], k["es"], k["ed"]), nil},
			{setOf(t, k["rs"], k["es"], k["ed"]), nil},
			{setOf(t, k["ed"]), nil},
			{"", errors.New("down")},
			{setOf(t, k["es"]), nil},
		} {
			e.serve(answer.body, answer.err)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { set.Run(ctx); close(done) }() // fetches at once
			synctest.Wait()
			cancel()
			<-done
		}
		if want := []int{0, 0, 2, 0, 1}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("gone: got %v, want %v", got, want)
		}
	})
}

// What a set logs does not show its URL, which may have a secret in it.
func TestKeySetErrorsShowNoURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint)
		e.serve("", errors.New("down"))
		var got error
		set, err := NewKeySet("https://app.example/keys.json?token=hidden", &http.Client{Transport: e}, func(_ FetchResult, _ int, err error) {
			got = err
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { set.Run(ctx); close(done) }()
		synctest.Wait()
		cancel()
		<-done
		if got == nil || !strings.Contains(got.Error(), "down") || strings.Contains(got.Error(), "hidden") {
			t.Errorf("got %v", got)
		}
	})
	if _, err := NewKeySet("hidden", nil, nil); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("no URL: got %v", err)
	}
}

// A key that is printed, by whichever verb, does not show its secret.
func TestPrintedKeysShowNoSecret(t *testing.T) {
	secret := strings.Repeat("hidden", 6)
	k, err := ParseKey("k1", "HS256", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{*k, k, []Key{*k}, struct{ Key Key }{*k}} {
			got := fmt.Sprintf(verb, v)
			if !strings.Contains(got, "HS256 key k1") {
				t.Errorf("%s of %T: got %s", verb, v, got)
			}
		}
	}
}
