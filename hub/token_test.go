package hub

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/pubsub"
)

// noon is when the tests begin; their loops begin at 0.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// An issuer signs tokens, and has the hub's side of them.
type issuer struct {
	t       testing.TB
	key     *auth.Key
	revoked *auth.Revocations
}

func newIssuer(t testing.TB, id string) *issuer {
	key, err := auth.ParseKey(id, "HS256", []byte(strings.Repeat(id, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, key, new(auth.Revocations)}
}

// tokens verifies what the issuer signs.
func (i *issuer) tokens() *auth.Tokens {
	tokens, err := auth.NewTokens(auth.TokenConfig{Keys: []*auth.Key{i.key}, Revoked: i.revoked})
	if err != nil {
		i.t.Fatal(err)
	}
	return tokens
}

// token returns a token of a user for an hour from noon. Grants are "channel=right,right";
// what has no "=" is a channel to be subscribed to.
func (i *issuer) token(user string, grants ...string) string {
	return i.sign(auth.Claims{User: user, Expires: noon.Add(time.Hour)}, grants...)
}

func (i *issuer) sign(c auth.Claims, grants ...string) string {
	i.t.Helper()
	for _, grant := range grants {
		channel, rights, ok := strings.Cut(grant, "=")
		if !ok {
			c.Subscribe = append(c.Subscribe, channel)
			continue
		}
		e := auth.Entry{Channel: channel}
		for name := range strings.SplitSeq(rights, ",") {
			e.Rights |= auth.RightNamed(name)
		}
		c.Channels = append(c.Channels, e)
	}
	token, err := i.key.Sign(c)
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// show sends a token, when the loop's time is what has passed since noon.
func (m member) show(token string) Result { return m.showSince(token, nil) }

// showSince is show with where the client is in channels.
func (m member) showSince(token string, since map[string]pubsub.Position) Result {
	return m.LoginToken(m.loop.now, noon.Add(m.loop.now), token, since)
}

// told returns what has been told behind the reply, in short.
func (m member) told() []string {
	var all []string
	for _, n := range m.Notices() {
		word := n.Subscribed + n.Unsubscribed
		if n.Unwatched != "" {
			word += "no presence: " + n.Unwatched
		}
		all = append(all, word+" "+n.Channel)
	}
	return all
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantTold(t *testing.T, m member, want ...string) {
	t.Helper()
	if got := m.told(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestTokenGrants(t *testing.T) {
	k := newIssuer(t, "a")
	m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), Channels: []string{"chat:1", "news", "chat"}}))
	want(t, "before the login", m.Subscribe([]byte("news")).Code, AccessDenied)
	r := m.show(k.token("42", "chat:*=subscribe,publish", "news=subscribe"))
	if !r.OK() || !r.LoggedIn || r.Expires != time.Hour || m.User() != "42" {
		t.Fatalf("login: got %+v", r)
	}
	want(t, "subscribe by pattern", m.Subscribe([]byte("chat:1")).Code, Success)
	want(t, "publish by pattern", m.publish("chat:1", "x").Code, Success)
	want(t, "subscribe by name", m.Subscribe([]byte("news")).Code, Success)
	want(t, "publish without the right", m.publish("news", "x").Code, AccessDenied)
	want(t, "a channel of no grant", m.Subscribe([]byte("chat")).Code, AccessDenied)
	m.Logout()
	want(t, "after the logout", m.Subscribe([]byte("news")).Code, AccessDenied)
	want(t, "subscriptions after the logout", m.Subscriptions(), 0)
}

// What a refused token does to the login before it.
func TestTokenRefused(t *testing.T) {
	k, other := newIssuer(t, "a"), newIssuer(t, "b")
	for _, tt := range []struct {
		name     string
		token    string
		want     Code
		keeps    bool // the login
		attempts int  // counted as failed
	}{
		{"not a token", "x", InvalidCredentials, false, 1},
		{"another key", other.token("42", "c=subscribe"), InvalidCredentials, false, 1},
		{"expired", k.sign(auth.Claims{User: "42", Expires: noon.Add(-time.Minute)}), TokenExpired, true, 1},
		{"another user", k.token("43", "c=subscribe"), AccessDenied, true, 0},
		{"no user", k.token("", "c=subscribe"), AccessDenied, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), MaxFailedLogins: 1}))
			m.show(k.token("42", "c=subscribe"))
			m.Subscribe([]byte("c"))
			want(t, "the token", m.show(tt.token).Code, tt.want)
			want(t, "still hears the channel", m.Hears([]byte("c")), tt.keeps)
			want(t, "counted", m.Exhausted(), tt.attempts == 1)
		})
	}
}

// A hub without tokens refuses them all.
func TestNoTokens(t *testing.T) {
	m := newLoop(t).enter(newHub(t, Config{}))
	want(t, "a token", m.show(newIssuer(t, "a").token("42", "c=subscribe")).Code, InvalidCredentials)
}

// With tokens an empty secret opens nothing. Without, it opens the hub.
func TestTokensLockEmptySecrets(t *testing.T) {
	k := newIssuer(t, "a")
	for _, tt := range []struct {
		name    string
		secrets auth.Credentials
		access  auth.Access
		secret  string
		want    Code
	}{
		{"no secrets, to read", auth.Credentials{}, auth.ReadOnly, "", InvalidCredentials},
		{"no secrets, to write", auth.Credentials{}, auth.ReadWrite, "", InvalidCredentials},
		{"a secret to write", auth.Credentials{ReadWrite: "rw"}, auth.ReadWrite, "rw", Success},
		{"which reads too", auth.Credentials{ReadWrite: "rw"}, auth.ReadOnly, "rw", Success},
		{"without it", auth.Credentials{ReadWrite: "rw"}, auth.ReadOnly, "", InvalidCredentials},
		{"a secret to read", auth.Credentials{ReadOnly: "r"}, auth.ReadOnly, "r", Success},
		{"which does not write", auth.Credentials{ReadOnly: "r"}, auth.ReadWrite, "r", InvalidCredentials},
	} {
		m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), Secrets: tt.secrets}))
		want(t, tt.name, m.Login(tt.access, tt.secret).Code, tt.want)
	}
}

func TestTokenRefresh(t *testing.T) {
	k := newIssuer(t, "a")
	m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens()}))
	m.show(k.token("42", "a=subscribe", "b=subscribe", "f"))
	wantTold(t, m, "token f")
	m.Subscribe([]byte("a"))
	m.Subscribe([]byte("b"))
	m.show(k.token("42", "b=subscribe", "c=subscribe", "g"))
	wantTold(t, m, "access_denied a", "access_denied f", "token g")
	want(t, "subscriptions", m.Subscriptions(), 2) // b and g
	want(t, "a new right", m.Subscribe([]byte("c")).Code, Success)
	m.Unsubscribe([]byte("g"))
	want(t, "a forced channel may be left", m.Hears([]byte("g")), false)
	wantTold(t, m)
}

// After a login by a secret nothing of the token is left, and its end is no end.
func TestSecretAfterToken(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	m := l.enter(newHub(t, Config{
		Tokens: k.tokens(), Secrets: auth.Credentials{ReadOnly: "r"},
		Rules: []Rule{{Match: "u:{user}", Subscribe: Owner, Publish: Owner}, {Match: "x", Subscribe: Nobody}},
	}))
	m.show(k.token("42", "x", "c=subscribe,publish"))
	wantTold(t, m, "token x")
	want(t, "the owner publishes", m.publish("u:42", "x").Code, InvalidChannel)
	m.Subscribe([]byte("c"))
	m.login(auth.ReadOnly, "r")
	wantTold(t, m, "access_denied x")
	want(t, "publish", m.publish("c", "x").Code, AccessDenied)
	want(t, "hears", m.Hears([]byte("c")), true)
	l.turn(24 * time.Hour)
	want(t, "closed", l.closed[m.id], "")
	want(t, "user", m.user(), "")
	m.show(k.sign(auth.Claims{User: "7", Expires: noon.Add(25 * time.Hour)}))
	wantTold(t, m, "access_denied c")
}

// What a session hears by a secret is not what its token allows.
func TestTokenAfterSecret(t *testing.T) {
	k := newIssuer(t, "a")
	m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), Secrets: secrets}))
	m.login(auth.ReadWrite, "rw")
	m.Subscribe([]byte("c"))
	m.Subscribe([]byte("d"))
	m.show(k.token("42", "d=subscribe"))
	wantTold(t, m, "access_denied c")
	want(t, "subscriptions", m.Subscriptions(), 1)
	want(t, "publish", m.publish("c", "x").Code, AccessDenied)
}

// The notice comes before the end, the end at exp and leeway.
func TestTokenExpiry(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	m := l.enter(newHub(t, Config{Tokens: k.tokens()}))
	m.show(k.token("42"))
	l.turn(48*time.Minute - time.Second)
	want(t, "notices 12 minutes before", len(l.notices[m.id]), 0)
	l.turn(9*time.Minute + time.Second)
	if n := l.notices[m.id]; len(n) != 1 || n[0] != (Notice{Expires: 3 * time.Minute}) {
		t.Errorf("3 minutes before: got %+v", n)
	}
	l.turn(3*time.Minute + 29*time.Second)
	want(t, "before the leeway is over", l.closed[m.id], "")
	l.turn(time.Second)
	want(t, "after", l.closed[m.id], "4001 the token has expired")
	want(t, "notices", len(l.notices[m.id]), 1)
}

// A refresh moves both, and the end that OnConnect has set stays.
func TestTokenExpiryMoves(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	m := l.enter(newHub(t, Config{Tokens: k.tokens(), OnConnect: func(*Request) (*Identity, error) {
		return &Identity{User: "42", Lifetime: 3 * time.Hour}, nil
	}}))
	want(t, "another user than OnConnect's", m.show(k.token("43")).Code, AccessDenied)
	m.show(k.token("42"))
	l.turn(30 * time.Minute)
	m.show(k.sign(auth.Claims{User: "42", Expires: noon.Add(23 * time.Hour)}))
	l.turn(2 * time.Hour)
	want(t, "after the first token", l.closed[m.id], "")
	want(t, "notices", len(l.notices[m.id]), 0)
	want(t, "identity", m.Identity().User, "42")
	want(t, "user", m.User(), "42")
	l.turn(30 * time.Minute)
	want(t, "after the lifetime", l.closed[m.id], "4001 the session has expired")
}

func TestTokenRevoked(t *testing.T) {
	k, next := newIssuer(t, "a"), newIssuer(t, "b")
	h := newHub(t, Config{Tokens: k.tokens()})
	m := newLoop(t).enter(h)
	m.show(k.token("42"))
	old := h.Config()
	want(t, "at first", m.Revoked(old, noon), "")
	if err := k.revoked.RevokeUser(noon, "42", time.Time{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	const gone = "the token of this login is not valid any more"
	want(t, "the user is revoked", m.Revoked(old, noon), gone)
	want(t, "a new login", m.show(k.token("42")).Code, InvalidCredentials)

	m = newLoop(t).enter(h)
	m.show(k.token("43"))
	h.Obey(Config{Tokens: k.tokens()})
	want(t, "a reload with the key", m.Revoked(old, noon), "")
	h.Obey(Config{Tokens: next.tokens()})
	want(t, "a reload without the key", m.Revoked(old, noon), gone)
	h.Obey(Config{})
	want(t, "a reload without tokens", m.Revoked(old, noon), gone)
}

func TestTokensAreCounted(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	m := l.enter(newHub(t, Config{Tokens: k.tokens()}))
	m.show(k.token("42"))
	m.show("x")
	l.worker.Counts(func(_ *Hub, c *Counts) {
		if c.Tokens[auth.Accepted] != 1 || c.Tokens[auth.Malformed] != 1 {
			t.Errorf("got %v", c.Tokens)
		}
	})
}

// The rules of a hub know the user of a token.
func TestTokenRules(t *testing.T) {
	k := newIssuer(t, "a")
	m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), Rules: []Rule{
		{Match: "user:{user}", Subscribe: Owner, Publish: Nobody},
		{Match: "price:*", Subscribe: Users, Publish: Nobody},
		{Match: "chat:*", History: History{Size: 10, TTL: time.Minute}},
	}}))
	m.show(k.token("42", "chat:*=subscribe,publish", "user:7=publish"))
	for i, step := range []struct {
		got, want Code
	}{
		{m.Subscribe([]byte("user:42")).Code, Success},
		{m.Subscribe([]byte("user:7")).Code, AccessDenied},
		{m.publish("user:7", "x").Code, AccessDenied},
		{m.Subscribe([]byte("price:1")).Code, Success},
		{m.Subscribe([]byte("chat:1")).Code, Success},
		{m.Subscribe([]byte("other")).Code, AccessDenied},
	} {
		want(t, fmt.Sprint("step ", i), step.got, step.want)
	}
}

// prove subscribes with a token for the channel.
func (m member) prove(channel, token string) Result {
	return m.SubscribeProven(m.loop.now, noon.Add(m.loop.now), []byte(channel), Proof{Token: token}, Start{})
}

// channelToken returns a token of a user for one channel, for a time from noon.
func (i *issuer) channelToken(user, channel string, d time.Duration) string {
	return i.sign(auth.Claims{User: user, Channel: channel, Rights: auth.Subscribe | auth.Publish, Expires: noon.Add(d)})
}

func TestChannelToken(t *testing.T) {
	k, other := newIssuer(t, "a"), newIssuer(t, "b")
	l := newLoop(t)
	m := l.enter(newHub(t, Config{Tokens: k.tokens(), MaxFailedLogins: 3}))
	good := k.channelToken("42", "c", time.Hour)
	want(t, "before a login", m.prove("c", good).Code, AccessDenied)
	m.show(k.token("42", "own=subscribe"))
	want(t, "another channel", m.prove("d", good).Code, AccessDenied)
	want(t, "another user", m.prove("c", k.channelToken("43", "c", time.Hour)).Code, AccessDenied)
	want(t, "another key", m.prove("c", other.channelToken("42", "c", time.Hour)).Code, InvalidCredentials)
	want(t, "expired", m.prove("c", k.channelToken("42", "c", -time.Hour)).Code, TokenExpired)
	want(t, "the login stands", m.Subscribe([]byte("own")).Code, Success)
	want(t, "without the token", m.Subscribe([]byte("c")).Code, AccessDenied)
	want(t, "with it", m.prove("c", good).Code, Success)
	want(t, "publish", m.publish("c", "x").Code, Success)
	want(t, "refused again", m.prove("c", "x").Code, InvalidCredentials)
	want(t, "hears it still", m.Hears([]byte("c")), true)
	want(t, "exhausted", m.Exhausted(), true)
	m.Unsubscribe([]byte("c"))
	want(t, "after unsubscribe", m.publish("c", "x").Code, AccessDenied)
}

// The subscription ends with its token, the session does not. A new token in time keeps
// it.
func TestChannelTokenExpiry(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	m := l.enter(newHub(t, Config{Tokens: k.tokens()}))
	m.show(k.sign(auth.Claims{User: "42", Expires: noon.Add(20 * time.Hour)}, "both=subscribe"))
	m.prove("c", k.channelToken("42", "c", time.Minute))
	m.prove("d", k.channelToken("42", "d", time.Minute))
	m.prove("both", k.channelToken("42", "both", time.Minute))
	l.turn(30 * time.Second)
	m.prove("d", k.channelToken("42", "d", time.Hour))
	l.turn(59 * time.Second)
	want(t, "before the leeway is over", m.Hears([]byte("c")), true)
	l.turn(time.Second)
	if n := l.notices[m.id]; len(n) != 1 || n[0] != (Notice{Unsubscribed: EndedByExpiry, Channel: "c"}) {
		t.Errorf("told %+v", n)
	}
	want(t, "hears it", m.Hears([]byte("c")), false)
	want(t, "the renewed one", m.Hears([]byte("d")), true)
	want(t, "the one that the login allows", m.Hears([]byte("both")), true)
	want(t, "closed", l.closed[m.id], "")
}

func TestChannelTokenRevoked(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	m := l.enter(newHub(t, Config{Tokens: k.tokens()}))
	m.show(k.token("42"))
	m.prove("c", k.sign(auth.Claims{User: "42", ID: "x", Channel: "c", Expires: noon.Add(time.Hour)}))
	m.DropRevoked(noon)
	want(t, "at first", m.Hears([]byte("c")), true)
	if err := k.revoked.RevokeID(noon, "x", time.Hour); err != nil {
		t.Fatal(err)
	}
	m.DropRevoked(noon)
	want(t, "revoked", m.Hears([]byte("c")), false)
	if n := l.notices[m.id]; len(n) != 1 || n[0] != (Notice{Unsubscribed: EndedByRevoke, Channel: "c"}) {
		t.Errorf("told %+v", n)
	}
}

// A strict subscription that fails ends that of the channel, and no other at the next
// renewal.
func TestRefreshAfterStrictFailure(t *testing.T) {
	k := newIssuer(t, "a")
	m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), Rules: keeping("a", 5)}))
	login := k.token("42", "a=subscribe,history", "b=subscribe")
	m.show(login)
	m.Subscribe([]byte("a"))
	m.Subscribe([]byte("b"))
	strict := Start{Start: pubsub.Start{Since: pubsub.Position{Epoch: "another", Offset: 1}, Strict: true}}
	want(t, "strict", m.SubscribeFrom([]byte("a"), strict).Code, NotRecovered)
	m.show(login)
	wantTold(t, m)
	want(t, "hears the other channel", m.Hears([]byte("b")), true)
	m.Subscribe([]byte("a"))
	m.show(k.token("42"))
	wantTold(t, m, "access_denied a", "access_denied b")
}

// What a token for a channel grants ends with the subscription, also if that ends because
// a strict one fails.
func TestChannelTokenAfterStrictFailure(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	m := l.enter(newHub(t, Config{Tokens: k.tokens(), Rules: keeping("c", 5)}))
	m.show(k.token("42"))
	proof := Proof{Token: k.sign(auth.Claims{
		User: "42", Channel: "c", Rights: auth.Subscribe | auth.Publish | auth.History, Expires: noon.Add(time.Hour),
	})}
	want(t, "at first", m.SubscribeProven(0, noon, []byte("c"), proof, Start{}).Code, Success)
	strict := Start{Start: pubsub.Start{Since: pubsub.Position{Epoch: "another", Offset: 1}, Strict: true}}
	want(t, "strict", m.SubscribeProven(0, noon, []byte("c"), proof, strict).Code, NotRecovered)
	want(t, "hears it", m.Hears([]byte("c")), false)
	want(t, "publish", m.publish("c", "x").Code, AccessDenied)
	want(t, "without the token", m.Subscribe([]byte("c")).Code, AccessDenied)
}

// A token for a channel that names no user is of use to a session that has none, and not
// to the user whose login follows.
func TestChannelTokenOfNobody(t *testing.T) {
	k := newIssuer(t, "a")
	m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), Secrets: auth.Credentials{ReadOnly: "r"}}))
	free := k.channelToken("", "c", time.Hour)
	want(t, "before a login", m.prove("c", free).Code, AccessDenied)
	m.login(auth.ReadOnly, "r")
	want(t, "after a login by secret", m.prove("c", free).Code, Success)
	want(t, "publish", m.publish("c", "x").Code, Success)
	m.show(k.token("42"))
	wantTold(t, m, "access_denied c")
	want(t, "subscribe", m.Subscribe([]byte("c")).Code, AccessDenied)
	want(t, "publish as the user", m.publish("c", "x").Code, AccessDenied)
}

// What a token for a channel grants holds over logins by which the user stays the same: a
// renewal, and a secret after a secret. It ends where a login by a secret follows one by a token.
func TestChannelTokenAndLogins(t *testing.T) {
	k := newIssuer(t, "a")
	for _, tt := range []struct {
		name          string
		user          string // of the token for the channel
		before, after func(m member)
		keeps         bool
	}{
		{"renewal", "42", func(m member) { m.show(k.token("42")) }, func(m member) { m.show(k.token("42")) }, true},
		{"secret, secret", "", func(m member) { m.login(auth.ReadOnly, "r") }, func(m member) { m.login(auth.ReadOnly, "r") }, true},
		{"token, secret", "42", func(m member) { m.show(k.token("42")) }, func(m member) { m.login(auth.ReadOnly, "r") }, false},
		{"secret, token", "", func(m member) { m.login(auth.ReadOnly, "r") }, func(m member) { m.show(k.token("42")) }, false},
		{"a secret that is wrong", "", func(m member) { m.login(auth.ReadOnly, "r") }, func(m member) { m.Login(auth.ReadOnly, "x"); m.login(auth.ReadOnly, "r") }, false},
	} {
		l := newLoop(t)
		m := l.enter(newHub(t, Config{Tokens: k.tokens(), Secrets: auth.Credentials{ReadOnly: "r"}}))
		tt.before(m)
		want(t, tt.name+": subscribe", m.prove("c", k.channelToken(tt.user, "c", time.Minute)).Code, Success)
		tt.after(m)
		code := AccessDenied
		if tt.keeps {
			code = Success
		}
		want(t, tt.name+": publish", m.publish("c", "x").Code, code)
		l.turn(time.Minute + 30*time.Second)
		want(t, tt.name+": publish when the token is over", m.publish("c", "x").Code, AccessDenied)
	}
}

// A subscription that the token begins rewinds, but not to what has expired by the loop's
// time.
func TestForcedSubscriptionRewinds(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	rules := []Rule{{Match: "c", History: History{Size: 5, TTL: time.Minute}, Rewind: 1}}
	h := newHub(t, Config{Tokens: k.tokens(), Secrets: secrets, Rules: rules})
	l.enter(h).login(auth.ReadWrite, "rw").publish("c", "x")
	l.turn(59 * time.Second)
	m := l.enter(h)
	m.show(k.token("42", "c"))
	want(t, "in time", m.hears(), "c e x")
	l.turn(2 * time.Second)
	m = l.enter(h)
	m.show(k.token("42", "c"))
	want(t, "too late", m.hears(), "")
	want(t, "hears the channel", m.Hears([]byte("c")), true)
}
