package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// noon is when the tests take place.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

const secret = "0123456789abcdef0123456789abcdef"

// testKeys are a private key of each algorithm. Their ids are hs, rs, es and ed.
var testKeys = sync.OnceValue(func() map[string]*Key {
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	es, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	keys := map[string]*Key{}
	for id, found := range map[string]any{"hs": []byte(secret), "rs": rs, "es": es, "ed": ed} {
		if keys[id], err = newKey(id, found); err != nil {
			panic(err)
		}
	}
	return keys
})

func allKeys() []*Key {
	k := testKeys()
	return []*Key{k["hs"], k["rs"], k["es"], k["ed"]}
}

func newTokens(t testing.TB, c TokenConfig) *Tokens {
	t.Helper()
	if c.Keys == nil && c.KeySet == nil {
		c.Keys = allKeys()
	}
	if c.Hub == nil {
		c.Hub = []string{"/"}
	}
	tokens, err := NewTokens(c)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// testConfig is for the tokens that good makes.
func testConfig() TokenConfig {
	return TokenConfig{Audience: "rocket", Issuer: "https://app.example"}
}

// good are the claims of a token that is accepted at noon, for an hour.
func good() Claims {
	return Claims{
		Issuer: "https://app.example", Audience: []string{"rocket"}, User: "42", ID: "5f1c",
		Issued: noon, Expires: noon.Add(time.Hour),
		Channels: []Entry{{"chat:*", Subscribe | Publish}, {"news", Subscribe}},
	}
}

func sign(t testing.TB, k *Key, c Claims) string {
	t.Helper()
	token, err := k.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// raw signs a header and a payload as they are, with the algorithm of the key.
func raw(t testing.TB, k *Key, header, payload string) string {
	t.Helper()
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	sig, err := k.method.Sign(signed, k.sign)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + enc.EncodeToString(sig)
}

func wantReason(t testing.TB, err error, want Reason) {
	t.Helper()
	var e *Error
	switch {
	case err == nil && want == Accepted:
	case err == nil || !errors.As(err, &e):
		t.Errorf("got the error %v, want the reason %v", err, want)
	case e.Reason != want:
		t.Errorf("got %q, want the reason %v", err, want)
	}
}

func TestLogin(t *testing.T) {
	for id, k := range testKeys() {
		t.Run(k.Algorithm, func(t *testing.T) {
			c := good()
			c.Subscribe, c.Info, c.Hub = []string{"user:42"}, json.RawMessage(`{ "name": "Ann" }`), "/"
			g, err := newTokens(t, testConfig()).Login(noon, sign(t, k, c))
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(g.User, g.ID, g.Issued.Unix(), g.Expires.Unix(), g.End.Sub(g.Expires), string(g.Info), g.Forced, g.key.ID)
			want := fmt.Sprint("42", "5f1c", noon.Unix(), noon.Unix()+3600, DefaultLeeway, `{"name":"Ann"}`, []string{"user:42"}, id)
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if !g.May(Subscribe|Publish, "chat:1") || g.May(Publish, "news") {
				t.Errorf("the rights are %v", g.Entries())
			}
		})
	}
}

// The examples of RFC 7515 A.1 and A.3, whose claims are those of RFC 7519 §3.1.
func TestLoginWithVectors(t *testing.T) {
	const claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	hs, err := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	hsKey, err := newKey("", hs)
	if err != nil {
		t.Fatal(err)
	}
	esKeys, err := ParseKeySet([]byte(`{"keys":[{"kty":"EC","crv":"P-256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key   *Key
		token string
	}{
		"A.1": {hsKey, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + claims + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
		"A.3": {esKeys[0], "eyJhbGciOiJFUzI1NiJ9." + claims +
			".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := newTokens(t, TokenConfig{Keys: []*Key{tt.key}, Issuer: "joe"})
			_, err := tokens.Login(time.Unix(1300819380-60, 0), tt.token)
			wantReason(t, err, Accepted)
			_, err = tokens.Login(time.Unix(1300819380+31, 0), tt.token)
			wantReason(t, err, Expired)
		})
	}
}

// The example of RFC 8037 A.4. Its payload is no JSON.
func TestEd25519Vector(t *testing.T) {
	keys, err := ParseKeySet([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.RawURLEncoding.DecodeString("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
	if err != nil {
		t.Fatal(err)
	}
	if !keys[0].signed(&parsedToken{signed: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", signature: sig}) {
		t.Error("the signature is refused")
	}
}

func TestLoginRefused(t *testing.T) {
	long := func(n int) []Entry {
		var all []Entry
		for i := range n {
			all = append(all, Entry{fmt.Sprint("c", i), Subscribe})
		}
		return all
	}
	for _, tt := range []struct {
		name   string
		change func(c *Claims)
		want   Reason
		code   string
	}{
		{"good", func(*Claims) {}, Accepted, ""},
		{"no exp", func(c *Claims) { c.Expires = time.Time{} }, BadLifetime, "invalid_credentials"},
		{"just not expired", func(c *Claims) { c.Expires = noon.Add(-29 * time.Second) }, Accepted, ""},
		{"just expired", func(c *Claims) { c.Expires = noon.Add(-30 * time.Second) }, Expired, "token_expired"},
		{"just short enough", func(c *Claims) { c.Expires = noon.Add(24*time.Hour + 30*time.Second) }, Accepted, ""},
		{"too long", func(c *Claims) { c.Expires = noon.Add(24*time.Hour + 31*time.Second) }, BadLifetime, "invalid_credentials"},
		{"issued for too long", func(c *Claims) { c.Issued = noon.Add(-24 * time.Hour) }, BadLifetime, "invalid_credentials"},
		{"issued in the future", func(c *Claims) { c.Issued = noon.Add(31 * time.Second) }, NotYet, "invalid_credentials"},
		{"issued in the future, but for the leeway", func(c *Claims) { c.Issued = noon.Add(30 * time.Second) }, Accepted, ""},
		{"just valid", func(c *Claims) { c.NotBefore = noon.Add(30 * time.Second) }, Accepted, ""},
		{"not yet", func(c *Claims) { c.NotBefore = noon.Add(31 * time.Second) }, NotYet, "invalid_credentials"},
		{"no audience", func(c *Claims) { c.Audience = nil }, OtherAudience, "invalid_credentials"},
		{"another audience", func(c *Claims) { c.Audience = []string{"rocket2"} }, OtherAudience, "invalid_credentials"},
		{"several audiences", func(c *Claims) { c.Audience = []string{"a", "rocket"} }, Accepted, ""},
		{"another issuer", func(c *Claims) { c.Issuer = "https://evil.example" }, OtherIssuer, "invalid_credentials"},
		{"this hub", func(c *Claims) { c.Hub = "/" }, Accepted, ""},
		{"another hub", func(c *Claims) { c.Hub = "/b" }, OtherHub, "invalid_credentials"},
		{"no user", func(c *Claims) { c.User = "" }, Accepted, ""},
		{"user too long", func(c *Claims) { c.User = strings.Repeat("u", 256) }, Malformed, "invalid_credentials"},
		{"64 channels", func(c *Claims) { c.Channels = long(64) }, Accepted, ""},
		{"65 channels", func(c *Claims) { c.Channels = long(65) }, BadClaims, "invalid_credentials"},
		{"65 forced", func(c *Claims) { c.Subscribe = slices.Repeat([]string{"c"}, 65) }, BadClaims, "invalid_credentials"},
		{"info of 1 KiB", func(c *Claims) { c.Info = json.RawMessage(`"` + strings.Repeat("i", 1022) + `"`) }, Accepted, ""},
		{"info too long", func(c *Claims) { c.Info = json.RawMessage(`"` + strings.Repeat("i", 1023) + `"`) }, BadClaims, "invalid_credentials"},
		{"for one channel", func(c *Claims) { c.Channel = "chat:1" }, BadClaims, "invalid_credentials"},
		{"too long", func(c *Claims) { c.Issuer = strings.Repeat("i", 9000) }, Malformed, "invalid_credentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.change(&c)
			tokens := newTokens(t, testConfig())
			for range 2 { // the second may be remembered
				_, err := tokens.Login(noon, sign(t, testKeys()["hs"], c))
				wantReason(t, err, tt.want)
				var e *Error
				if errors.As(err, &e) && e.Code() != tt.code {
					t.Errorf("the code is %q, want %q", e.Code(), tt.code)
				}
			}
		})
	}
}

// What no library would sign, with a signature that is good.
func TestLoginRawTokens(t *testing.T) {
	const (
		header = `{"alg":"HS256","kid":"hs"}`
		rest   = `"aud":"rocket","iss":"https://app.example"`
	)
	exp := fmt.Sprintf(`"exp":%d`, noon.Unix()+3600)
	claims := "{" + exp + "," + rest + "}"
	for _, tt := range []struct {
		name, header, payload string
		want                  Reason
	}{
		{"good", header, claims, Accepted},
		{"unknown claims", header, "{" + exp + `,"x":{"y":1},` + rest + "}", Accepted},
		{"exp twice", header, "{" + exp + "," + exp + "," + rest + "}", Malformed},
		{"exp twice, written otherwise", header, "{" + exp + `,"\u0065xp":1,` + rest + "}", Malformed},
		{"EXP is not exp", header, fmt.Sprintf(`{"EXP":%d,%s}`, noon.Unix()+3600, rest), BadLifetime},
		{"EXP beside exp", header, "{" + exp + `,"EXP":1,` + rest + "}", Accepted},
		{"exp a string", header, `{"exp":"1764463600",` + rest + "}", Malformed},
		{"exp null", header, `{"exp":null,` + rest + "}", Malformed},
		{"exp huge", header, `{"exp":1e300,` + rest + "}", Malformed},
		{"exp too big for a number", header, `{"exp":1e999,` + rest + "}", Malformed},
		{"exp negative", header, `{"exp":-1,` + rest + "}", Malformed},
		{"exp with a fraction", header, fmt.Sprintf(`{"exp":%d.75,%s}`, noon.Unix()+3600, rest), Accepted},
		{"sub a number", header, "{" + exp + `,"sub":42,` + rest + "}", Malformed},
		{"sub null", header, "{" + exp + `,"sub":null,` + rest + "}", Malformed},
		{"sub not UTF-8", header, "{" + exp + ",\"sub\":\"\xff\"," + rest + "}", Malformed},
		{"aud with a number", header, "{" + exp + `,"aud":["rocket",1]}`, Malformed},
		{"aud with null", header, "{" + exp + `,"aud":["rocket",null]}`, Malformed},
		{"rocket a list", header, "{" + exp + `,"rocket":[],` + rest + "}", Malformed},
		{"channels a list", header, "{" + exp + `,"rocket":{"channels":["a"]},` + rest + "}", Malformed},
		{"channels twice", header, "{" + exp + `,"rocket":{"channels":{},"channels":{}},` + rest + "}", Malformed},
		{"a channel twice", header, "{" + exp + `,"rocket":{"channels":{"a":[],"a":["publish"]}},` + rest + "}", Malformed},
		{"rights null", header, "{" + exp + `,"rocket":{"channels":{"a":null}},` + rest + "}", Malformed},
		{"a right of tomorrow", header, "{" + exp + `,"rocket":{"channels":{"a":["fly"]}},` + rest + "}", Accepted},
		{"payload null", header, `null`, Malformed},
		{"payload empty", header, ``, Malformed},
		{"payload a list", header, `[]`, Malformed},
		{"payload and more", header, claims + "{}", Malformed},
		{"header and more", header + "1", claims, Malformed},
		{"alg twice", `{"alg":"none","kid":"hs","alg":"HS256"}`, claims, Malformed},
		{"crit", `{"alg":"HS256","kid":"hs","crit":["b64"],"b64":false}`, claims, Malformed},
		{"crit empty", `{"alg":"HS256","kid":"hs","crit":[]}`, claims, Malformed},
		{"no alg", `{"kid":"hs"}`, claims, BadAlgorithm},
		{"alg in other case", `{"alg":"hs256","kid":"hs"}`, claims, BadAlgorithm},
		{"an algorithm that is not ours", `{"alg":"HS512","kid":"hs"}`, claims, BadAlgorithm},
		{"kid a number", `{"alg":"HS256","kid":1}`, claims, Malformed},
		{"kid of a path", `{"alg":"HS256","kid":"../../dev/null"}`, claims, UnknownKey},
		{"no kid", `{"alg":"HS256"}`, claims, Accepted},
		{"its own key", `{"alg":"HS256","kid":"mine","jwk":{"kty":"oct","k":"MDEyMzQ1"},"jku":"http://127.0.0.1/"}`, claims, UnknownKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newTokens(t, testConfig()).Login(noon, raw(t, testKeys()["hs"], tt.header, tt.payload))
			wantReason(t, err, tt.want)
		})
	}
}

// A token does not choose how it is checked.
func TestAlgorithmConfusion(t *testing.T) {
	payload := fmt.Sprintf(`{"exp":%d,"aud":"rocket","iss":"https://app.example"}`, noon.Unix()+3600)
	der, err := x509.MarshalPKIXPublicKey(testKeys()["rs"].verify)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	// The forger signs with what everyone knows: the public key as a secret.
	forger := &Key{method: jwt.SigningMethodHS256, sign: public}
	enc := base64.RawURLEncoding
	unsigned := enc.EncodeToString([]byte(`{"alg":"none"}`)) + "." + enc.EncodeToString([]byte(payload)) + "."
	publicKeys := []*Key{testKeys()["rs"], testKeys()["es"], testKeys()["ed"]}
	for _, tt := range []struct {
		name, token string
		want        Reason
	}{
		{"HS256 with the public key", raw(t, forger, `{"alg":"HS256","kid":"rs"}`, payload), BadAlgorithm},
		{"the same without a kid", raw(t, forger, `{"alg":"HS256"}`, payload), UnknownKey},
		{"none", unsigned, BadAlgorithm},
		{"None", strings.Replace(unsigned, enc.EncodeToString([]byte(`{"alg":"none"}`)), enc.EncodeToString([]byte(`{"alg":"nOnE"}`)), 1), BadAlgorithm},
		{"another key's kid", raw(t, testKeys()["rs"], `{"alg":"RS256","kid":"es"}`, payload), BadAlgorithm},
		{"another key's algorithm", raw(t, testKeys()["es"], `{"alg":"EdDSA","kid":"ed"}`, payload), BadSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := testConfig()
			c.Keys = publicKeys
			_, err := newTokens(t, c).Login(noon, tt.token)
			wantReason(t, err, tt.want)
		})
	}
	for _, data := range [][]byte{public, append([]byte("\n"), public...)} {
		if _, err := ParseKey("k", "HS256", data); err == nil {
			t.Error("a public key is taken for a secret")
		}
	}
}

// A token has one form: no byte of it can be changed, added or left out.
func TestTokenIsNotMalleable(t *testing.T) {
	for id, k := range testKeys() {
		t.Run(k.Algorithm, func(t *testing.T) {
			c := testConfig()
			c.Keys = []*Key{testKeys()[id]}
			tokens := newTokens(t, c)
			token := sign(t, k, good())
			if _, err := tokens.Login(noon, token); err != nil {
				t.Fatal(err)
			}
			step := 1
			if len(token) > 500 {
				step = 7
			}
			for i := 0; i <= len(token); i += step {
				for _, changed := range []string{
					token[:i], token[:i] + "\n" + token[i:], token[:i] + "=" + token[i:], token[:i] + "." + token[i:],
					token[:i] + "A" + token[min(i+1, len(token)):],
				} {
					if changed == token {
						continue
					}
					if _, err := tokens.Login(noon, changed); err == nil {
						t.Fatalf("accepted after a change at byte %d of %d", i, len(token))
					}
				}
			}
		})
	}
}

func TestKeyRotation(t *testing.T) {
	old, err := newKey("k1", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := newKey("k2", []byte(strings.ToUpper(secret)))
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	with := func(keys ...*Key) *Tokens { c.Keys = keys; return newTokens(t, c) }
	before := sign(t, old, good())
	g, err := with(old).Login(noon, before)
	if err != nil {
		t.Fatal(err)
	}
	both := with(fresh, old)
	for _, token := range []string{before, sign(t, fresh, good())} {
		if _, err := both.Login(noon, token); err != nil {
			t.Error(err)
		}
	}
	wantReason(t, both.Check(noon, g), Accepted)
	wantReason(t, with(fresh).Check(noon, g), UnknownKey)
	_, err = with(fresh).Login(noon, before)
	wantReason(t, err, UnknownKey)
	replaced, err := newKey("k1", []byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, with(replaced).Check(noon, g), UnknownKey)
}

// Keys and tokens without a kid: each key of the algorithm is tried.
func TestKeysWithoutID(t *testing.T) {
	first, second := &Key{}, &Key{}
	for k, text := range map[*Key]string{first: secret, second: strings.ToUpper(secret)} {
		made, err := newKey("", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		*k = *made
	}
	c := testConfig()
	c.Keys = []*Key{first, second, testKeys()["es"]}
	tokens := newTokens(t, c)
	for _, k := range []*Key{first, second} {
		_, err := tokens.Login(noon, sign(t, k, good()))
		wantReason(t, err, Accepted)
		named := *k
		named.ID = "of-the-issuer"
		_, err = tokens.Login(noon, sign(t, &named, good()))
		wantReason(t, err, Accepted)
	}
	stranger := *first
	stranger.ID = "es"
	_, err := tokens.Login(noon, sign(t, &stranger, good()))
	wantReason(t, err, BadAlgorithm)
}

func TestRenew(t *testing.T) {
	tokens, k := newTokens(t, testConfig()), testKeys()["hs"]
	g, err := tokens.Login(noon, sign(t, k, good()))
	if err != nil {
		t.Fatal(err)
	}
	later := good()
	later.Expires = noon.Add(2 * time.Hour)
	renewed, err := tokens.Renew(noon.Add(time.Minute), g, sign(t, k, later))
	if err != nil || !renewed.Expires.Equal(later.Expires) {
		t.Errorf("got %v, %v", renewed, err)
	}
	for _, user := range []string{"43", ""} {
		other := good()
		other.User = user
		_, err := tokens.Renew(noon, g, sign(t, k, other))
		wantReason(t, err, OtherUser)
	}
	// An expired token never prolongs.
	_, err = tokens.Renew(noon.Add(2*time.Hour), g, sign(t, k, good()))
	wantReason(t, err, Expired)
}

func TestChannel(t *testing.T) {
	tokens, k := newTokens(t, testConfig()), testKeys()["es"]
	c := good()
	c.Channels, c.Channel, c.Rights = nil, "chat:*", Subscribe|History
	token := sign(t, k, c)
	for range 2 {
		g, err := tokens.Channel(noon, token, "chat:*", "42")
		if err != nil {
			t.Fatal(err)
		}
		if !g.May(Subscribe|History, "chat:*") || g.May(Publish, "chat:*") {
			t.Errorf("the rights are %v", g.Entries())
		}
		if g.May(Subscribe, "chat:1") {
			t.Error("the name of one channel is taken for a pattern")
		}
		_, err = tokens.Channel(noon, token, "chat:1", "42")
		wantReason(t, err, OtherChannel)
		_, err = tokens.Channel(noon, token, "chat:*", "43")
		wantReason(t, err, OtherUser)
		_, err = tokens.Channel(noon, token, "chat:*", "")
		wantReason(t, err, OtherUser)
		_, err = tokens.Login(noon, token)
		wantReason(t, err, BadClaims)
		_, err = tokens.Channel(noon.Add(2*time.Hour), token, "chat:*", "42")
		wantReason(t, err, Expired)
	}
	_, err := tokens.Channel(noon, sign(t, k, good()), "news", "42")
	wantReason(t, err, BadClaims)

	for payload, want := range map[string]Right{
		`{"channel":"a"}`:                              Subscribe,
		`{"channel":"a","rights":[]}`:                  0,
		`{"channel":"a","rights":["fly"]}`:             0,
		`{"rights":["publish"],"channel":"a"}`:         Publish,
		`{"channel":"a","channels":{"a":["history"]}}`: Subscribe,
	} {
		payload = fmt.Sprintf(`{"exp":%d,"aud":"rocket","iss":"https://app.example","rocket":%s}`, noon.Unix()+60, payload)
		g, err := tokens.Channel(noon, raw(t, k, `{"alg":"ES256"}`, payload), "a", "")
		if err != nil {
			t.Fatal(err)
		}
		if got := g.rightsIn("a"); got != want {
			t.Errorf("%s gives %v, want %v", payload, got, want)
		}
	}
}

// Sessions with one token share a grant, and tokens that grant the same share that.
func TestGrantsAreShared(t *testing.T) {
	tokens, k := newTokens(t, testConfig()), testKeys()["hs"]
	login := func(user string) *Grant {
		c := good()
		c.User, c.Channels = user, []Entry{{"a", Subscribe}}
		g, err := tokens.Login(noon, sign(t, k, c))
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	first, again, other := login("1"), login("1"), login("2")
	if first != again {
		t.Error("one token has two grants")
	}
	if &first.entries[0] != &other.entries[0] {
		t.Error("what two tokens grant alike is kept twice")
	}
}

func TestNewTokensRefuses(t *testing.T) {
	k := testKeys()["hs"]
	set, err := NewKeySet("https://app.example/keys.json", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]TokenConfig{
		"no key":                     {},
		"a key set without audience": {KeySet: set},
		"too many keys":              {Keys: slices.Repeat([]*Key{k}, 17)},
		"two keys of one name":       {Keys: []*Key{k, k}},
	} {
		if _, err := NewTokens(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Problems names all that is wrong, where Login stops at the first.
func TestProblems(t *testing.T) {
	c := good()
	c.Audience, c.Issuer, c.Hub, c.Expires = nil, "x", "/x", noon.Add(-time.Hour)
	stranger := *testKeys()["hs"]
	stranger.sign = []byte(strings.ToUpper(secret))
	var got []Reason
	for _, err := range newTokens(t, testConfig()).Problems(noon, sign(t, &stranger, c)) {
		got = append(got, err.Reason)
	}
	if want := []Reason{Expired, OtherAudience, OtherIssuer, OtherHub, BadSignature}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if all := newTokens(t, testConfig()).Problems(noon, sign(t, testKeys()["hs"], good())); len(all) > 0 {
		t.Errorf("a good token has the problems %v", all)
	}
}

// No error holds a token or a secret.
func TestErrorsKeepSecrets(t *testing.T) {
	k := testKeys()["hs"]
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(text, secret) || strings.Contains(text, "48, 49") {
		t.Errorf("a printed key shows its secret: %s", text)
	}
	token := sign(t, k, good())
	_, err := newTokens(t, testConfig()).Login(noon, token[:len(token)-2])
	if err == nil || strings.Contains(err.Error(), token[:20]) {
		t.Errorf("got the error %v", err)
	}
}

func BenchmarkLogin(b *testing.B) {
	for id, k := range testKeys() {
		c := testConfig()
		c.CachedTokens = -1
		tokens, token := newTokens(b, c), sign(b, k, good())
		b.Run(id, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokens.Login(noon, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	tokens, token := newTokens(b, testConfig()), sign(b, testKeys()["es"], good())
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tokens.Login(noon, token); err != nil {
				b.Fatal(err)
			}
		}
	})
}
