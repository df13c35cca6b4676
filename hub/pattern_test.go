package hub

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/auth"
)

func TestPatternLimits(t *testing.T) {
	l := newLoop(t)
	m := l.enter(newHub(t, Config{})).login(auth.ReadOnly, "")
	want(t, "where patterns are off", m.SubscribePattern([]byte("a:*")).Code, NotAvailable)
	m = l.enter(newHub(t, Config{Patterns: true, MaxPatterns: 2, MaxSubscriptions: 3})).login(auth.ReadOnly, "")
	for _, pattern := range []string{"", "a", "a*", "a:", "a:\x00:*", strings.Repeat("a:", 9) + "*"} {
		if r := m.SubscribePattern([]byte(pattern)); r.Code != InvalidData || r.Reason == "" {
			t.Errorf("%q: got %+v", pattern, r)
		}
	}
	want(t, "the first", m.SubscribePattern([]byte("a:*")).Code, Success)
	want(t, "the second", m.SubscribePattern([]byte("b:*")).Code, Success)
	want(t, "one too many", m.SubscribePattern([]byte("c:*")).Code, LimitExceeded)
	want(t, "one that it has", m.SubscribePattern([]byte("a:*")).Code, Success)
	want(t, "one that overlaps", m.Subscribe([]byte("a:1")).Code, Overlapping)
	want(t, "a channel", m.Subscribe([]byte("c")).Code, Success)
	want(t, "a channel too many", m.Subscribe([]byte("d")).Code, LimitExceeded)
	m.UnsubscribePattern([]byte("b:*"))
	want(t, "after one has ended", m.SubscribePattern([]byte("d:*")).Code, Success)
	m.Logout()
	want(t, "subscriptions after the logout", m.Subscriptions(), 0)
	want(t, "without a login", m.SubscribePattern([]byte("a:*")).Code, AccessDenied)
}

// A login gives the right to a pattern if it gives that to all channels.
func TestPatternRights(t *testing.T) {
	k := newIssuer(t, "a")
	for _, tt := range []struct {
		grant, pattern string
		want           Code
	}{
		{"chat:*=subscribe", "chat:*", Success},
		{"chat:*=subscribe", "chat:1:*", Success},
		{"*=subscribe", "chat:*", Success},
		{"chat:1:*=subscribe", "chat:*", AccessDenied},
		{"chat:*=publish", "chat:*", AccessDenied},
		{"chat:*=subscribe", "*", AccessDenied},
		{"chat=subscribe", "chat:*", AccessDenied},
	} {
		m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), Patterns: true}))
		if r := m.show(k.token("42", tt.grant)); !r.OK() {
			t.Fatalf("login: got %+v", r)
		}
		want(t, tt.grant+" for "+tt.pattern, m.SubscribePattern([]byte(tt.pattern)).Code, tt.want)
	}
}

// Where a protocol reserves channels, a secret does not open all that a pattern matches.
func TestPatternOfReservedChannels(t *testing.T) {
	h := newHub(t, Config{Patterns: true})
	h.Reserve(func(channel []byte) bool { return string(channel) == "chat:private" })
	m := newLoop(t).enter(h).login(auth.ReadOnly, "")
	want(t, "by a secret", m.SubscribePattern([]byte("chat:*")).Code, AccessDenied)
}

// A token that does not grant a pattern any more ends it, and the client is told.
func TestPatternEndsWithItsRight(t *testing.T) {
	k := newIssuer(t, "a")
	m := newLoop(t).enter(newHub(t, Config{Tokens: k.tokens(), Patterns: true}))
	if r := m.show(k.token("42", "chat:*=subscribe", "news=subscribe")); !r.OK() {
		t.Fatalf("login: got %+v", r)
	}
	want(t, "pattern", m.SubscribePattern([]byte("chat:*")).Code, Success)
	want(t, "channel", m.Subscribe([]byte("news")).Code, Success)
	if r := m.show(k.token("42", "chat:*=subscribe")); !r.OK() {
		t.Fatalf("the second login: got %+v", r)
	}
	want(t, "the pattern is heard", m.HearsPattern([]byte("chat:*")), true)
	want(t, "notices", len(m.Notices()), 1)
	if r := m.show(k.token("42", "chat:1:*=subscribe")); !r.OK() {
		t.Fatalf("the third login: got %+v", r)
	}
	if got := m.Notices(); m.HearsPattern([]byte("chat:*")) || !slices.Equal(got, []Notice{{Unsubscribed: EndedByRights, Pattern: "chat:*"}}) {
		t.Errorf("got %+v, and it is heard: %v", got, m.HearsPattern([]byte("chat:*")))
	}
}

// Rules that do not allow a pattern any more end it, and so does a reload that ends all
// patterns. The client is told.
func TestPatternEndsWithItsRule(t *testing.T) {
	for name, next := range map[string]Config{
		"a rule":      {Secrets: secrets, Patterns: true, Rules: []Rule{{Match: "chat:secret", Subscribe: Nobody}}},
		"no patterns": {Secrets: secrets},
	} {
		h := newHub(t, Config{Secrets: secrets, Patterns: true})
		m := newLoop(t).enter(h).login(auth.ReadOnly, "r")
		want(t, name+": subscribe", m.SubscribePattern([]byte("chat:*")).Code, Success)
		want(t, name+": a channel", m.Subscribe([]byte("news")).Code, Success)
		h.Obey(next)
		m.DropForbidden()
		if got := m.loop.notices[m.id]; !slices.Equal(got, []Notice{{Unsubscribed: EndedByRule, Pattern: "chat:*"}}) {
			t.Errorf("%s: told %+v", name, got)
		}
		want(t, name+": left", m.Subscriptions(), 1)
	}
}

// Every rule that can match a channel of the pattern must allow it, up to one that
// matches them all.
func TestPatternRules(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rules   []Rule
		pattern string
		want    Code
	}{
		{"no rule matches", []Rule{{Match: "other:**", Subscribe: Nobody}}, "chat:*", Success},
		{"the rule matches all", []Rule{{Match: "chat:**"}, {Match: "**", Subscribe: Nobody}}, "chat:*", Success},
		{"the rule matches one segment, the next denies", []Rule{{Match: "chat:*"}, {Match: "**", Subscribe: Nobody}}, "chat:*", AccessDenied},
		{"some channels are denied", []Rule{{Match: "chat:secret", Subscribe: Nobody}, {Match: "chat:**"}}, "chat:*", AccessDenied},
		{"deeper channels are denied", []Rule{{Match: "chat:*:secret", Subscribe: Nobody}}, "chat:*", AccessDenied},
		{"they are beside the pattern", []Rule{{Match: "chat:*:secret", Subscribe: Nobody}}, "chat:1:2:*", Success},
		{"they are within the pattern", []Rule{{Match: "chat:*:secret", Subscribe: Nobody}}, "chat:1:*", AccessDenied},
		{"a name that goes on", []Rule{{Match: "cha*", Subscribe: Nobody}}, "chat:*", Success},
		{"all channels", []Rule{{Match: "x", Subscribe: Nobody}}, "*", AccessDenied},
		{"each user's own", []Rule{{Match: "user:{user}", Subscribe: Owner}, {Match: "**"}}, "user:*", Success},
	} {
		m := newLoop(t).enter(newHub(t, Config{Patterns: true, Rules: tt.rules})).login(auth.ReadOnly, "")
		want(t, tt.name, m.SubscribePattern([]byte(tt.pattern)).Code, tt.want)
	}
	// Without a login that grants it, what a rule gives to an owner is not all.
	m := newLoop(t).enter(newHub(t, Config{Patterns: true, Rules: []Rule{{Match: "user:{user}", Subscribe: Owner}, {Match: "**"}}}))
	want(t, "without a login", m.SubscribePattern([]byte("user:*")).Code, AccessDenied)
}

// A program that decides about channels decides about patterns in a function of its own.
func TestOnSubscribePattern(t *testing.T) {
	c := Config{Patterns: true, OnSubscribe: func(*Session, string) error { return nil }}
	m := newLoop(t).enter(newHub(t, c)).login(auth.ReadOnly, "")
	want(t, "without the function", m.SubscribePattern([]byte("a:*")).Code, AccessDenied)
	c.OnSubscribePattern = func(_ *Session, pattern string) error {
		if pattern == "*" {
			return errors.New("not all")
		}
		return nil
	}
	m = newLoop(t).enter(newHub(t, c)).login(auth.ReadOnly, "")
	want(t, "what it refuses", m.SubscribePattern([]byte("*")), Result{Code: AccessDenied, Reason: "not all"})
	want(t, "what it allows", m.SubscribePattern([]byte("a:*")).Code, Success)
}
