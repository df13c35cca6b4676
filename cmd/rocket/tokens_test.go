package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
)

// hs256File writes a secret for HS256, and returns its file and the key.
func hs256File(t *testing.T, id string) (file string, key *auth.Key) {
	t.Helper()
	text := strings.Repeat(id, 32)[:32] + "\n"
	file = filepath.Join(t.TempDir(), id+".secret")
	rewrite(t, file, text)
	key, err := auth.ParseKey(id, "HS256", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return file, key
}

// sign returns a token of a user that may subscribe to the channel c.
func sign(t *testing.T, key *auth.Key, user string) string {
	t.Helper()
	token, err := key.Sign(auth.Claims{
		User: user, Audience: []string{"rocket"}, Expires: time.Now().Add(time.Hour),
		Channels: []auth.Entry{{Channel: "c", Rights: auth.Subscribe}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenProblems(t *testing.T) {
	secret, _ := hs256File(t, "k1")
	public := filepath.Join(t.TempDir(), "k.pem")
	rewrite(t, public, "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n")
	short := filepath.Join(t.TempDir(), "short")
	rewrite(t, short, "short")
	for _, tt := range []struct{ name, tokens, want string }{
		{"no key", `{"Audience": "rocket"}`, "my.json:2: Hubs[0].Tokens: tokens need a key: Keys or JWKS"},
		{"unknown key", `{"Jwks": "x"}`, "my.json:2: Hubs[0].Tokens.Jwks: unknown key; did you mean JWKS?"},
		{"no object", `"x"`, "my.json:2: Hubs[0].Tokens: want an object with Audience"},
		{"keys are no list", `{"Keys": "x"}`, `my.json:2: Hubs[0].Tokens.Keys: want a list of keys`},
		{"a key without a secret", "{\"Keys\": [\n{\"Kid\": \"k1\"}]}", "my.json:3: Hubs[0].Tokens.Keys[0]: want one of SecretFile, File and Secret, not 0 of them"},
		{"a key with two", `{"Keys": [{"Secret": "x", "SecretFile": "` + secret + `"}]}`, "want one of SecretFile, File and Secret, not 2 of them"},
		{"no such file", `{"Keys": [{"SecretFile": "/no/such"}]}`, "my.json:2: Hubs[0].Tokens.Keys[0].SecretFile: cannot read /no/such: no such file"},
		{"a short secret", `{"Keys": [{"SecretFile": "` + short + `"}]}`, "my.json:2: Hubs[0].Tokens.Keys[0]: "},
		{"a secret as a file with a key", `{"Keys": [{"File": "` + secret + `"}]}`, "has no key in PEM; name the file of a secret as SecretFile"},
		{"a broken key", `{"Keys": [{"File": "` + public + `"}]}`, "my.json:2: Hubs[0].Tokens.Keys[0]: "},
		{"an algorithm", `{"Keys": [{"Alg": "none", "SecretFile": "` + secret + `"}]}`, `Keys[0].Alg: want HS256, RS256, ES256 or EdDSA, not "none"`},
		{"JWKS without https", `{"Audience": "rocket", "JWKS": "http://app.example/keys"}`, "my.json:2: Hubs[0].Tokens.JWKS: http://app.example/keys: keys are fetched by https only"},
		{"JWKS without an audience", `{"JWKS": "https://app.example/keys"}`, "my.json:2: Hubs[0].Tokens: JWKS needs an Audience"},
		{"two of one name", `{"Keys": [{"Kid": "a", "SecretFile": "` + secret + `"}, {"Kid": "a", "SecretFile": "` + secret + `"}]}`, "my.json:2: Hubs[0].Tokens: there are two"},
		{"leeway", `{"Leeway": 30}`, `Tokens.Leeway: want a duration above zero such as "10s", or "off", not 30; write "30s"`},
		{"an echo hub", `{"Keys": [{"SecretFile": "` + secret + `"}]}, "Codec": "Echo"`, "an Echo hub has no Tokens; remove them"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := writeFile(t, "{\"Hubs\": [{\"Path\": \"/\",\n\"Tokens\": "+tt.tokens+"}]}")
			_, err := sources{file: file}.load()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "k1k1") {
				t.Error("the secret is shown")
			}
		})
	}
}

// A hub with tokens is locked, whichever secrets it has.
func TestTokensLock(t *testing.T) {
	secret, _ := hs256File(t, "k1")
	file := writeFile(t, `{"Hubs": [{"Path": "/", "Tokens": {"Keys": [{"SecretFile": "`+secret+`"}]}}]}`)
	c, err := sources{file: file}.load()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.hubs[0].access(); got != locked {
		t.Errorf("the hub is %s", got)
	}
	want := "the hub at / has Tokens without an Audience: tokens that the same keys sign for other services open it"
	if got := strings.Join(c.warnings(), "\n"); got != want {
		t.Errorf("got the warnings %q, want %q", got, want)
	}
}

// A login is one connection that sends a token.
type login struct {
	t    *testing.T
	conn *websocket.Conn
}

func logIn(t *testing.T, url, token string) *login {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	l := &login{t, conn}
	l.send(`{"auth":{"token":"` + token + `"}}`)
	return l
}

func (l *login) send(message string) {
	l.t.Helper()
	if err := l.conn.Write(l.t.Context(), websocket.MessageText, []byte(message)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *login) want(part string) *login {
	l.t.Helper()
	_, got, err := l.conn.Read(l.t.Context())
	if err != nil || !strings.Contains(string(got), part) {
		l.t.Fatalf("got %s, %v, want something with %s", got, err, part)
	}
	return l
}

func (l *login) wantClose(code websocket.StatusCode) {
	l.t.Helper()
	if _, got, err := l.conn.Read(l.t.Context()); websocket.CloseStatus(err) != code {
		l.t.Fatalf("got %s, %v, want the end with %d", got, err, code)
	}
}

// Keys in files open a hub. A reload reads the files again: a new key opens it, and one
// that is gone ends its connections.
func TestTokenKeysEndToEnd(t *testing.T) {
	first, k1 := hs256File(t, "k1")
	second, k2 := hs256File(t, "k2")
	config := func(keys string) string {
		return `{"AdminToken": "t", "Hubs": [{"Path": "/", "Tokens": {"Audience": "rocket", "Keys": [` + keys + `]}}]}`
	}
	one := fmt.Sprintf(`{"Kid": "k1", "SecretFile": %q}`, first)
	two := fmt.Sprintf(`{"Kid": "k2", "Alg": "HS256", "SecretFile": %q}`, second)
	file := writeFile(t, config(one))
	server, url := startServer(t, nil, file)
	a := logIn(t, url, sign(t, k1, "42")).want(`"user":"42"`)
	a.send(`{"subscribe":{"channel":"c"}}`)
	a.want(`{"ok":true}`)
	logIn(t, url, sign(t, k2, "42")).want(`invalid_credentials`)

	rewrite(t, file, config(one+","+two))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	b := logIn(t, url, sign(t, k2, "43")).want(`"user":"43"`)

	rewrite(t, file, config(two))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	a.wantClose(4401)
	b.send(`{"subscribe":{"channel":"c"}}`)
	b.want(`{"ok":true}`)

	// The content of a file counts, not its name.
	rewrite(t, second, strings.Repeat("x", 32))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	b.wantClose(4401)
}

// The admin API takes tokens back, and a reload does not forget it.
func TestRevokeEndToEnd(t *testing.T) {
	secret, key := hs256File(t, "k1")
	file := writeFile(t, `{"AdminToken": "t", "Hubs": [{"Path": "/", "Tokens": {"Audience": "rocket", "Keys": [{"Kid": "k1", "SecretFile": "`+secret+`"}]}}]}`)
	server, url, admin := startBoth(t, file)
	a := logIn(t, url, sign(t, key, "42")).want(`"user":"42"`)
	if status, got := adminAsk(t, "POST", admin+"/api/revoke", `{"user":"42"}`); got != `{"revoked":true,"nodes":1}` {
		t.Fatalf("got %d %s", status, got)
	}
	a.wantClose(4401)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	logIn(t, url, sign(t, key, "42")).want(`invalid_credentials`)
	logIn(t, url, sign(t, key, "43")).want(`"user":"43"`)
}

// The server is ready when it has the keys of a JWK Set, and knows their tokens then.
func TestJWKSEndToEnd(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var up atomic.Bool
	others := make(chan struct{}) // closed when the set with another key may be had
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		public := public
		if r.URL.Path == "/others" {
			<-others
			public, _, _ = ed25519.GenerateKey(rand.Reader)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{
			"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "e1", "use": "sig", "x": base64.RawURLEncoding.EncodeToString(public),
		}}})
	}))
	defer issuer.Close()
	key, err := auth.ParseKey("e1", "EdDSA", pkcs8(t, private))
	if err != nil {
		t.Fatal(err)
	}
	config := func(address string) string {
		return fmt.Sprintf(`{"AdminToken": "t", "Hubs": [{"Path": "/", "Tokens": {"Audience": "rocket", "JWKS": %q}}]}`, address)
	}
	file := writeFile(t, config(issuer.URL))
	server, url, admin := startBoth(t, file)
	server.stderr.want(`the keys of tokens cannot be fetched`)
	if status, got := adminAsk(t, "GET", admin+"/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("readyz without keys: got %d %s", status, got)
	}
	a := logIn(t, url, sign(t, key, "42")).want(`"err":"unavailable"`)

	// A reload with another URL asks there, and at once.
	up.Store(true)
	rewrite(t, file, config(issuer.URL+"/keys.json"))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	waitFor(t, "ready", func() bool {
		status, _ := adminAsk(t, "GET", admin+"/readyz", "")
		return status == http.StatusOK
	})
	a.send(`{"auth":{"token":"` + sign(t, key, "42") + `"}}`)
	a.want(`"user":"42"`)

	// Where the keys have moved, what they have opened stays, also before they are fetched; what
	// another set does not have ends then.
	for _, path := range []string{"/moved", "/others"} {
		rewrite(t, file, config(issuer.URL+path))
		server.signal(syscall.SIGHUP)
		server.stderr.want(`"reloaded"`)
		if path == "/moved" {
			waitFor(t, "ready", func() bool {
				status, _ := adminAsk(t, "GET", admin+"/readyz", "")
				return status == http.StatusOK
			})
		}
		a.send(`{"ping":true}`)
		a.want(`{"ok":true}`)
	}
	close(others)
	a.wantClose(4401)
	server.signal(syscall.SIGINT)
	server.wantStatus(0)
}

// The address of a key set may have a secret in it, and the log does not.
func TestJWKSAddressIsLoggedWithoutSecrets(t *testing.T) {
	var log strings.Builder
	r := &keyRing{log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	r.server.Store(webrocket.NewServer(""))
	const address = "https://app:hidden@app.example/keys.json?token=hidden"
	r.note(address, auth.FetchFailed, false, 0, errors.New("down"))
	r.note(address, auth.Fetched, false, 1, nil)
	for _, want := range []string{"cannot be fetched", "were fetched", "are gone"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say that the keys %s", want)
		}
	}
	if got := log.String(); strings.Count(got, "app.example/keys.json") != 3 || strings.Contains(got, "hidden") {
		t.Errorf("got the log\n%s", got)
	}
}

// pkcs8 is a private key in PEM.
func pkcs8(t *testing.T, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// startBoth is startServer with the URL of the admin API.
func startBoth(t *testing.T, file string) (p *process, url, admin string) {
	t.Helper()
	p = start(t, nil, "-port", "0", "-admin", "127.0.0.1:0", file)
	url = p.stdout.want(`(ws://localhost:\d+)/ `)[1]
	admin = p.stdout.want(`admin +(http://\S+)`)[1]
	p.stdout.want(`^Ready`)
	return p, url, admin
}

// adminAsk makes a request of the admin API, whose token is t.
func adminAsk(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer t")
	response, err := direct.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(text))
}
