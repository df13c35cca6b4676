package webrocket_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/webrockettest"
)

// tokenKey signs the tokens of these tests.
func tokenKey(t testing.TB) *auth.Key {
	t.Helper()
	key, err := auth.ParseKey("k1", "HS256", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// tokenHub is a hub for tokens of tokenKey, with a secret for the backend.
func tokenHub(t testing.TB) *webrocket.HubHandler {
	t.Helper()
	tokens, err := auth.NewTokens(auth.TokenConfig{Keys: []*auth.Key{tokenKey(t)}, Audience: "rocket"})
	if err != nil {
		t.Fatal(err)
	}
	h := webrocket.NewJSONHandler()
	h.Secrets = webrocket.Credentials{ReadWrite: "backend"}
	h.Tokens = tokens
	h.Rules = []webrocket.Rule{{Match: "kept:*", History: webrocket.History{Size: 3, TTL: time.Hour}}}
	return h
}

// signed returns a token. The claims get the audience, and an hour if they have no end.
func signed(t testing.TB, c auth.Claims) string {
	t.Helper()
	c.Audience = []string{"rocket"}
	if c.Expires.IsZero() {
		c.Expires = time.Now().Add(time.Hour)
	}
	token, err := tokenKey(t).Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// grants gives rights in a channel or a pattern.
func grants(channel string, rights auth.Right) []auth.Entry {
	return []auth.Entry{{Channel: channel, Rights: rights}}
}

func TestTokenDialogues(t *testing.T) {
	tokens := strings.NewReplacer(
		"ANN", signed(t, auth.Claims{User: "42", Channels: grants("chat:*", auth.Subscribe|auth.Publish), Subscribe: []string{"user:42", "kept:42"}}),
		"LESS", signed(t, auth.Claims{User: "42", Channels: grants("news", auth.Subscribe)}),
		"BOB", signed(t, auth.Claims{User: "43", Channels: grants("chat:*", auth.Subscribe)}),
		"OLD", signed(t, auth.Claims{User: "42", Expires: time.Now().Add(-time.Hour)}),
		"CHANNEL", signed(t, auth.Claims{User: "42", Channel: "chat:1"}),
	)
	for _, tt := range []struct{ name, dialogue string }{
		{"a login", `
			a > {"auth":{"token":"ANN"},"id":1}
			a ? "user":"42","expires":3
			a < {"subscribed":"token","channel":"user:42"}
			a < {"subscribed":"token","channel":"kept:42","epoch":"EPOCH","offset":0}
			a > {"subscribe":{"channel":"chat:1"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"chat:1"}}
			a < {"ok":true}
			a < {"event":"e","channel":"chat:1"}
			a > {"subscribe":{"channel":"news"}}
			a < {"err":"access_denied"}
			a > {"publish":{"event":"e","channel":"user:42"}}
			a < {"err":"access_denied"}`},
		{"the backend reaches a channel of a user", `
			a > {"auth":{"token":"ANN"}}
			a ? "ok":true
			a ? "user:42"
			a ? "kept:42"
			b > {"auth":{"access":"read-write","secret":"backend"}}
			b < {"ok":true}
			b > {"publish":{"event":"e","channel":"user:42"}}
			b < {"ok":true}
			a < {"event":"e","channel":"user:42"}`},
		{"an empty secret opens nothing", `
			a > {"auth":{"access":"read-only","secret":""}}
			a < {"err":"invalid_credentials"}`},
		{"fewer rights", `
			a > {"auth":{"token":"ANN"}}
			a ? "ok":true
			a ? "user:42"
			a ? "kept:42"
			a > {"subscribe":{"channel":"chat:1"}}
			a < {"ok":true}
			a > {"auth":{"token":"LESS"}}
			a ? "ok":true
			a < {"unsubscribed":"access_denied","channel":"chat:1"}
			a < {"unsubscribed":"access_denied","channel":"kept:42"}
			a < {"unsubscribed":"access_denied","channel":"user:42"}
			a > {"subscribe":{"channel":"news"}}
			a < {"ok":true}`},
		{"another user, and an expired token, change nothing", `
			a > {"auth":{"token":"LESS"}}
			a ? "ok":true
			a > {"auth":{"token":"BOB"},"id":1}
			a < {"err":"access_denied","id":1}
			a > {"auth":{"token":"OLD"},"id":2}
			a < {"err":"token_expired","id":2}
			a > {"subscribe":{"channel":"news"}}
			a < {"ok":true}
			a > {"logout":true}
			a < {"ok":true}
			a > {"auth":{"token":"BOB"}}
			a ? "user":"43"`},
		{"a token that is not valid ends the login", `
			a > {"auth":{"token":"LESS"}}
			a ? "ok":true
			a > {"auth":{"token":"CHANNEL"}}
			a < {"err":"invalid_credentials"}
			a > {"subscribe":{"channel":"news"}}
			a < {"err":"access_denied"}`},
		{"a token for a channel", `
			a > {"subscribe":{"channel":"chat:1","token":"CHANNEL"}}
			a < {"err":"access_denied"}
			a > {"auth":{"token":"LESS"}}
			a ? "ok":true
			a > {"subscribe":{"channel":"chat:1","token":"CHANNEL"},"id":1}
			a < {"ok":true,"id":1}
			a > {"subscribe":{"channel":"chat:2","token":"CHANNEL"}}
			a < {"err":"access_denied"}
			a > {"subscribe":{"channel":"chat:1","token":"x"}}
			a < {"err":"invalid_credentials"}
			a > {"subscribe":{"channel":"news"}}
			a < {"ok":true}`},
		{"expired tokens are counted", strings.Repeat(`
			a > {"auth":{"token":"OLD"}}
			a < {"err":"token_expired"}`, 10) + `
			a ! 1008`},
		{"so are those in a list of channels, of which the rest is not tried", `
			a > {"auth":{"token":"LESS"}}
			a ? "ok":true
			a > {"subscribe":{"channels":[` + strings.Repeat(`{"channel":"chat:1","token":"x"},`, 10) + `{"channel":"news"}]}}
			a < {"ok":true,"results":[` + strings.TrimSuffix(strings.Repeat(`{"err":"invalid_credentials","channel":"chat:1"},`, 10), ",") + `]}
			a ! 1008`},
		{"a list of channels with tokens", `
			a > {"auth":{"token":"LESS"}}
			a ? "ok":true
			a > {"subscribe":{"channels":[{"channel":"news"},{"channel":"chat:1","token":"CHANNEL"},{"channel":"chat:2"}]}}
			a < {"ok":true,"results":[{"ok":true,"channel":"news"},{"ok":true,"channel":"chat:1"},{"err":"access_denied","channel":"chat:2"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			talkOf(t, serve(t, hubs{"/": tokenHub(t)}), tokens.Replace(tt.dialogue))
		})
	}
}

// Each connection has a client id of its own, on every server, and every login tells it.
func TestClientID(t *testing.T) {
	token := `{"auth":{"token":"` + signed(t, auth.Claims{User: "42"}) + `"}}`
	secret := `{"auth":{"access":"read-only","secret":"r"}}`
	ids := map[string]bool{}
	for range 2 {
		h := tokenHub(t)
		h.Secrets.ReadOnly = "r"
		s := serve(t, hubs{"/": h})
		for range 3 {
			c := dial(t, s, "/")
			var id string
			for _, command := range []string{secret, token, token, secret} {
				c.write(command)
				got, err := c.read()
				found := regexp.MustCompile(`^{"ok":true,"client":"([\w-]{11})"`).FindStringSubmatch(got)
				if err != nil || found == nil || id != "" && found[1] != id {
					t.Fatalf("got %s, %v, want the client %s", got, err, id)
				}
				id = found[1]
			}
			if ids[id] {
				t.Fatalf("two connections are %s", id)
			}
			ids[id] = true
		}
	}
}

// A client is told when it is time for a new token, and closed when the token is over.
func TestTokenExpires(t *testing.T) {
	server := webrocket.NewServer("")
	if err := server.Handle("/", tokenHub(t)); err != nil {
		t.Fatal(err)
	}
	s := webrockettest.Start(t, server)
	c := s.Dial("/", http.Header{})
	c.Send(webrocket.Text, []byte(`{"auth":{"token":"`+signed(t, auth.Claims{User: "42"})+`"}}`))
	c.Receive()
	s.Advance(47 * time.Minute)
	if n := c.Pending(); n != 0 {
		t.Errorf("%d messages 13 minutes before the end", n)
	}
	s.Advance(11 * time.Minute)
	var notice struct{ Expires int }
	_, message := c.Receive()
	if err := json.Unmarshal(message, &notice); err != nil || notice.Expires < 170 || notice.Expires > 730 {
		t.Errorf("got %s, want from 5 to 20 %% of an hour", message)
	}
	s.Advance(3 * time.Minute)
	if code, reason := c.ReceiveClose(); code != 4001 || reason != "the token has expired" {
		t.Errorf("got %d %q", code, reason)
	}
}

// A revoked token ends its connections and is refused from then on.
func TestRevoke(t *testing.T) {
	s := serve(t, hubs{"/": tokenHub(t)})
	made := time.Now().Add(-time.Minute)
	login := func(c *client, claims auth.Claims, want string) {
		t.Helper()
		claims.Issued, claims.Expires = made, made.Add(time.Hour)
		c.write(`{"auth":{"token":"` + signed(t, claims) + `"}}`)
		if got, err := c.read(); err != nil || !strings.Contains(got, want) {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
	}
	one, two, three := dial(t, s, "/"), dial(t, s, "/"), dial(t, s, "/")
	login(one, auth.Claims{User: "42", ID: "x"}, `"ok"`)
	login(two, auth.Claims{User: "42", ID: "y"}, `"ok"`)
	login(three, auth.Claims{User: "43"}, `"ok"`)
	if done, err := s.RevokeToken(t.Context(), "x"); err != nil || done.Nodes != 1 {
		t.Fatalf("got %+v, %v", done, err)
	}
	one.wantClose(4401)
	login(two, auth.Claims{User: "42", ID: "y"}, `"ok"`)
	if _, err := s.RevokeUser(t.Context(), "42", time.Time{}); err != nil {
		t.Fatal(err)
	}
	two.wantClose(4401)
	login(dial(t, s, "/"), auth.Claims{User: "42", ID: "z"}, `invalid_credentials`)
	login(three, auth.Claims{User: "43"}, `"ok"`)

	if _, err := s.RevokeUser(t.Context(), "", time.Time{}); !errors.Is(err, auth.ErrBadRevocation) {
		t.Errorf("no user: got %v", err)
	}
	if _, err := s.RevokeUser(t.Context(), "43", time.Now().Add(time.Hour)); !errors.Is(err, auth.ErrBadRevocation) {
		t.Errorf("from a time that is still to come: got %v", err)
	}
	if _, err := serve(t, hubs{"/": locked()}).RevokeUser(t.Context(), "42", time.Time{}); !errors.Is(err, webrocket.ErrNoTokens) {
		t.Errorf("no tokens: got %v", err)
	}
}

// A signature is of use to the connection that it was made for, and to no other.
func TestSignature(t *testing.T) {
	s := serve(t, hubs{"/": tokenHub(t)})
	connect := func() (c *client, id string) {
		c = dial(t, s, "/")
		c.write(`{"auth":{"token":"` + signed(t, auth.Claims{User: "42"}) + `"}}`)
		got, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		var reply struct{ Client string }
		if err := json.Unmarshal([]byte(got), &reply); err != nil {
			t.Fatal(err)
		}
		return c, reply.Client
	}
	a, id := connect()
	b, _ := connect()
	expires := time.Now().Add(time.Minute).Unix()
	hex, err := tokenKey(t).SignSubscription(auth.Signature{Hub: "/", Client: id, Channel: "c", Expires: expires})
	if err != nil {
		t.Fatal(err)
	}
	subscribe := fmt.Sprintf(`{"subscribe":{"channel":"c","key":"k1","expires":%d,"signature":"%s"}}`, expires, hex)
	b.write(subscribe)
	b.want(`{"err":"invalid_credentials"}`)
	a.write(subscribe)
	a.want(`{"ok":true}`)
	a.write(strings.Replace(subscribe, `"c"`, `"d"`, 1))
	a.want(`{"err":"invalid_credentials"}`)
}

// When a key is gone from a key set, what it has let in is closed.
func TestKeyGoneFromSet(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.ParseKey("old", "EdDSA", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	jwk := func(id string, public ed25519.PublicKey) string {
		return `{"kty":"OKP","crv":"Ed25519","kid":"` + id + `","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}`
	}
	var body atomic.Value
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, body.Load().(string))
	}))
	defer issuer.Close()
	var s *webrocket.Server
	fetched := make(chan int, 1)
	set, err := auth.NewKeySet(issuer.URL, nil, func(_ auth.FetchResult, gone int, _ error) {
		if gone > 0 {
			s.CheckTokens()
		}
		fetched <- gone
	})
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(keys ...string) (gone int) { // Run fetches at once
		body.Store(`{"keys":[` + strings.Join(keys, ",") + `]}`)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { set.Run(ctx); close(done) }()
		gone = <-fetched
		cancel()
		<-done
		return gone
	}
	fetch(jwk("old", public), jwk("new", other))
	h := webrocket.NewJSONHandler()
	if h.Tokens, err = auth.NewTokens(auth.TokenConfig{KeySet: set, Audience: "rocket"}); err != nil {
		t.Fatal(err)
	}
	s = serve(t, hubs{"/": h})
	token, err := key.Sign(auth.Claims{User: "42", Audience: []string{"rocket"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	login := `{"auth":{"token":"` + token + `"}}`
	in, out := dial(t, s, "/"), dial(t, s, "/")
	in.write(login)
	if got, err := in.read(); err != nil || !strings.Contains(got, `"ok"`) {
		t.Fatalf("got %s, %v", got, err)
	}
	if gone := fetch(jwk("old", public), jwk("new", other)); gone != 0 {
		t.Fatalf("%d keys are gone, want none", gone)
	}
	in.write(login)
	if got, err := in.read(); err != nil || !strings.Contains(got, `"ok"`) {
		t.Fatalf("the key is there still: got %s, %v", got, err)
	}
	fetch(jwk("new", other))
	in.wantClose(4401)
	out.write(`{"logout":true}`)
	out.want(`{"ok":true}`)
}

// A rule subscribes each user to a channel of their own, and a login says where the client is
// in it.
func TestForcedByRule(t *testing.T) {
	h := tokenHub(t)
	h.Rules = []webrocket.Rule{{
		Match: "inbox:{user}", Subscribe: webrocket.Owner, Force: true,
		History: webrocket.History{Size: 3, TTL: time.Hour},
	}}
	token := signed(t, auth.Claims{User: "carol"})
	talkOf(t, serve(t, hubs{"/": h}), strings.ReplaceAll(`
		a > {"auth":{"token":"TOKEN"},"id":1}
		a ? "user":"carol"
		a < {"subscribed":"rule","channel":"inbox:carol","epoch":"EPOCH","offset":0}
		b > {"auth":{"access":"read-write","secret":"backend"}}
		b < {"ok":true}
		b > {"publish":{"event":"e","channel":"inbox:carol"}}
		b < {"ok":true,"offset":1}
		a < {"event":"e","channel":"inbox:carol","offset":1}
		a > {"logout":true}
		a < {"ok":true}
		b > {"publish":{"event":"f","channel":"inbox:carol"}}
		b < {"ok":true,"offset":2}
		a > {"auth":{"token":"TOKEN","since":{"inbox:carol":{"epoch":"EPOCH","offset":1}}}}
		a ? "user":"carol"
		a < {"subscribed":"rule","channel":"inbox:carol","epoch":"EPOCH","offset":1,"top":2,"recovered":true}
		a < {"event":"f","channel":"inbox:carol","offset":2}
		a > {"logout":true}
		a < {"ok":true}
		a > {"auth":{"token":"TOKEN","since":{"inbox:carol":{"epoch":"older","offset":1},"x":{"epoch":"older","offset":1}}}}
		a ? "user":"carol"
		a < {"subscribed":"rule","channel":"inbox:carol","reason":"epoch","epoch":"EPOCH","offset":2,"recovered":false}
		a > {"auth":{"token":"TOKEN","since":{"x":1}}}
		a < {"err":"invalid_data","reason":"auth: since is a number, not an object"}`, "TOKEN", token))
}

// The sessions of a user, or that of one client, are subscribed to a channel from Go, and
// unsubscribed, and their clients are told before any event of it.
func TestSubscribeSessions(t *testing.T) {
	h := tokenHub(t)
	h.MaxSubscriptions = 2
	s := serve(t, hubs{"/": h})
	login := func(user string) (c *client, id string) {
		c = dial(t, s, "/")
		c.write(`{"auth":{"token":"` + signed(t, auth.Claims{User: user}) + `"}}`)
		reply, err := c.read()
		found := clientID.FindString(reply)
		if err != nil || found == "" {
			t.Fatalf("got %s, %v", reply, err)
		}
		return c, found[len(`"client":"`) : len(found)-1]
	}
	a, id := login("42")
	b, _ := login("42")
	other, _ := login("43")
	give := func(who webrocket.Sessions, channel string, hear, refused int) {
		t.Helper()
		done, err := s.SubscribeSessions(t.Context(), "/", who, channel)
		if done.Count != hear || done.Refused != refused || err != nil {
			t.Fatalf("%v, %s: got %+v, %v, want %d, %d", who, channel, done, err, hear, refused)
		}
	}
	user := webrocket.Sessions{User: "42"}
	give(user, "kept:7", 2, 0)
	if err := s.Hub("/").Publish("kept:7", "e", 1); err != nil {
		t.Fatal(err)
	}
	epoch := s.Hub("/").Epoch()
	for _, c := range []*client{a, b} {
		c.want(`{"subscribed":"admin","channel":"kept:7","epoch":"` + epoch + `","offset":0}`)
		c.want(`{"event":"e","channel":"kept:7","data":1,"offset":1}`)
	}
	give(webrocket.Sessions{Client: id}, "plain", 1, 0)
	a.want(`{"subscribed":"admin","channel":"plain"}`)
	give(user, "third", 1, 1) // the first connection may have no more
	b.want(`{"subscribed":"admin","channel":"third"}`)
	give(webrocket.Sessions{User: "nobody"}, "plain", 0, 0)

	done, err := s.UnsubscribeSessions(t.Context(), "/", user, "kept:7")
	if done.Count != 2 || err != nil {
		t.Fatalf("UnsubscribeSessions: got %+v, %v, want 2", done, err)
	}
	for _, c := range []*client{a, b} {
		c.want(`{"unsubscribed":"admin","channel":"kept:7"}`)
		c.write(`{"subscribe":{"channel":"kept:7"}}`)
		c.want(`{"err":"access_denied"}`)
	}
	if done, err := s.DisconnectSessions(t.Context(), "/", user, 4000, "go"); done.Count != 2 || err != nil {
		t.Fatalf("DisconnectSessions: got %+v, %v, want 2", done, err)
	}
	a.wantClose(4000)
	b.wantClose(4000)
	other.write(`{"ping":true}`)
	other.want(`{"ok":true}`)

	for name, tt := range map[string]struct {
		path    string
		who     webrocket.Sessions
		channel string
		want    error
	}{
		"no hub":        {"/nowhere", user, "c", webrocket.ErrNoHub},
		"nobody":        {"/", webrocket.Sessions{}, "c", webrocket.ErrBadSessions},
		"both":          {"/", webrocket.Sessions{User: "42", Client: id}, "c", webrocket.ErrBadSessions},
		"no client":     {"/", webrocket.Sessions{Client: "AAAAAAAAAAA"}, "c", webrocket.ErrNoConnection},
		"no such names": {"/", user, "a\nb", webrocket.ErrBadChannelName},
	} {
		if _, err := s.SubscribeSessions(t.Context(), tt.path, tt.who, tt.channel); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}
