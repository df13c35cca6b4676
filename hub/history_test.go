package hub

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/pubsub"
)

// keeping is a rule by which channels keep events for an hour.
func keeping(match string, size int) []Rule {
	return []Rule{{Match: match, History: History{Size: size, TTL: time.Hour}}}
}

// What a hook keeps from being heard cannot be read either.
func TestHistoryAsksOnSubscribe(t *testing.T) {
	m := newLoop(t).enter(newHub(t, Config{Rules: keeping("*", 5), OnSubscribe: func(_ *Session, channel string) error {
		if channel == "secret" {
			return errors.New("not for you")
		}
		return nil
	}})).login(auth.ReadWrite, "")
	m.publish("secret", "x")
	m.publish("open", "x")
	query := pubsub.Query{Limit: -1}
	if r := m.History([]byte("secret"), query); r.Code != AccessDenied || r.Reason != "not for you" || r.Page != nil {
		t.Errorf("got %+v", r)
	}
	if r := m.History([]byte("open"), query); !r.OK() || len(r.Page.Items) != 1 {
		t.Errorf("an open channel: got %+v", r)
	}
}

// Whoever may not read a history gets nothing of it by a position or a rewind either, but
// what the rule gives to everybody.
func TestHistoryRights(t *testing.T) {
	rules := []Rule{{Match: "c", History: History{Size: 5, TTL: time.Hour}, Rewind: 1, ReadHistory: Nobody}}
	m := newLoop(t).enter(newHub(t, Config{Rules: rules})).login(auth.ReadWrite, "")
	for _, data := range []string{"1", "2", "3"} {
		m.publish("c", data)
	}
	here := Position{Epoch: m.Hub().Epoch(), Offset: 1}
	for name, start := range map[string]pubsub.Start{"since": {Since: here}, "rewind": {Rewind: 2}} {
		want(t, name, m.SubscribeFrom([]byte("c"), Start{Start: start}).Code, AccessDenied)
	}
	want(t, "history", m.History([]byte("c"), pubsub.Query{Limit: -1}).Code, AccessDenied)
	want(t, "subscribe", m.Subscribe([]byte("c")).Code, Success)
	want(t, "heard", m.hears(), "c e 3")
}

func TestPagesAreLimited(t *testing.T) {
	m := newLoop(t).enter(newHub(t, Config{Rules: keeping("c", 2000)})).login(auth.ReadWrite, "")
	for range 1500 {
		m.publish("c", "x")
	}
	for limit, events := range map[int]int{-1: 100, 0: 0, 7: 7, 1000: 1000, 1001: 1000, 1 << 40: 1000} {
		r := m.History([]byte("c"), pubsub.Query{Limit: limit})
		if !r.OK() || len(r.Page.Items) != events || !r.Page.More {
			t.Errorf("limit %d: got %v, %d events, more: %v; want %d", limit, r.Code, len(r.Page.Items), r.Page.More, events)
		}
	}
}

// The command for a page of events counts as one for each 100 of them that it brings, and as
// one if there are fewer, or if nothing is limited.
func TestHistoryCountsForTheRate(t *testing.T) {
	for _, tt := range []struct{ rate, asked, commands int }{
		{20, 0, 1}, {20, 100, 1}, {20, 101, 2}, {20, 200, 2}, {20, 1000, 10}, {20, 100_000, 10}, {0, 1000, 0},
	} {
		h := newHub(t, Config{CommandRate: tt.rate, Rules: keeping("c", 2000)})
		l := newLoop(t)
		m := l.enter(h).login(auth.ReadWrite, "")
		for range 1500 {
			m.publish("c", "x")
		}
		m.TooFast(l.now, 1)
		if r := m.History([]byte("c"), pubsub.Query{Limit: tt.asked}); !r.OK() {
			t.Fatalf("history: got %v", r)
		}
		left := 0
		for ; tt.rate > 0; left++ {
			if fast, _ := m.TooFast(l.now, 1); fast {
				break
			}
		}
		if tt.rate-left != tt.commands {
			t.Errorf("%d events asked for at %d a second: it counts as %d commands, want %d", tt.asked, tt.rate, tt.rate-left, tt.commands)
		}
	}
	// What is not there does not count.
	l := newLoop(t)
	m := l.enter(newHub(t, Config{CommandRate: 2, Rules: keeping("c", 2000)})).login(auth.ReadWrite, "")
	m.TooFast(l.now, 1)
	m.History([]byte("c"), pubsub.Query{Limit: 1000})
	if fast, _ := m.TooFast(l.now, 1); fast {
		t.Error("a page without events counts as more than one command")
	}
}

// A rule rewinds a subscription when it begins, and not when it is asked for again.
func TestRewindOnce(t *testing.T) {
	rules := []Rule{{Match: "c", History: History{Size: 5, TTL: time.Hour}, Rewind: 2}}
	m := newLoop(t).enter(newHub(t, Config{Rules: rules})).login(auth.ReadWrite, "")
	for _, data := range []string{"1", "2", "3"} {
		m.publish("c", data)
	}
	m.Subscribe([]byte("c"))
	want(t, "the first time", m.hears(), "c e 2, c e 3")
	expired := Start{Start: pubsub.Start{Since: Position{Epoch: "another"}}}
	if r := m.SubscribeFrom([]byte("c"), expired); !r.OK() || r.Begun.Recovered || r.Begun.Offset != 1 {
		t.Errorf("a position that is not recovered: got %+v", r)
	}
	want(t, "where a position is not recovered", m.hears(), "c e 2, c e 3")
	here := Start{Start: pubsub.Start{Since: Position{Epoch: m.Hub().Epoch(), Offset: 3}}}
	if r := m.SubscribeFrom([]byte("c"), here); !r.OK() || !r.Begun.Recovered {
		t.Errorf("a position that is recovered: got %+v", r)
	}
	expired.Rewind = 1
	if r := m.SubscribeFrom([]byte("c"), expired); !r.OK() || r.Begun.Offset != 2 {
		t.Errorf("a rewind of its own: got %+v", r)
	}
	want(t, "where it asks for less", m.hears(), "c e 3")
	m.Subscribe([]byte("c"))
	want(t, "the second time", m.hears(), "")
	m.Unsubscribe([]byte("c"))
	m.Subscribe([]byte("c"))
	want(t, "anew", m.hears(), "c e 2, c e 3")
}

func TestRecoveriesAreCounted(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{Rules: keeping("c", 2)})
	m := l.enter(h).login(auth.ReadWrite, "")
	for range 5 {
		m.publish("c", "x")
	}
	from := func(epoch string, offset uint64, strict bool) {
		m.SubscribeFrom([]byte("c"), Start{Start: pubsub.Start{Since: pubsub.Position{Epoch: epoch, Offset: offset}, Strict: strict}})
	}
	from(h.Epoch(), 4, true)
	from(h.Epoch(), 1, true)
	from(h.Epoch(), 1, false)
	from("another", 1, true)
	from(h.Epoch(), 9, true)
	m.Subscribe([]byte("c")) // not from a position
	for range 3 {
		m.Publish(Publication{Channel: []byte("c"), Event: []byte("e"), Key: []byte("k")})
	}
	l.worker.Counts(func(_ *Hub, c *Counts) {
		want(t, "recoveries", c.Recoveries, [...]uint64{1, 1, 2, 1, 0})
		want(t, "duplicates", c.Duplicates, 2)
	})
}

// Each user has keys of their own. Those without one share theirs, with the program.
func TestKeysOfUsers(t *testing.T) {
	k := newIssuer(t, "a")
	l := newLoop(t)
	h := newHub(t, Config{Tokens: k.tokens(), Secrets: secrets, Channels: []string{"c"}})
	user := func(name string) member {
		m := l.enter(h)
		m.show(k.token(name, "c=publish"))
		return m
	}
	nobody := func() member { return l.enter(h).login(auth.ReadWrite, "rw") }
	publish := func(m member, key string, duplicate bool) {
		t.Helper()
		r := m.Publish(Publication{Channel: []byte("c"), Event: []byte("e"), Key: []byte(key)})
		if !r.OK() || r.Stored.Duplicate != duplicate {
			t.Errorf("user %q, key %q: got %v, %+v", m.user(), key, r.Code, r.Stored)
		}
	}
	publish(user("42"), "b\x00c", false)
	publish(user("42\x00b"), "c", false)
	publish(user("42"), "k", false)
	publish(user("43"), "k", false)
	publish(user("42"), "k", true)
	publish(nobody(), "k", false)
	publish(nobody(), "k", true)
	if p, err := h.PublishKeyed("c", "e", nil, "k"); err != nil || !p.Duplicate {
		t.Errorf("the program: got %+v, %v", p, err)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		match, channel string
		want           bool
		user           string
	}{
		{"a", "a", true, ""},
		{"a", "ab", false, ""},
		{"chat:*", "chat:1", true, ""},
		{"chat:*", "chat:", false, ""}, // it stands for a character at least
		{"chat:*", "chat:1:2", false, ""},
		{"chat:*:x", "chat:1:x", true, ""},
		{"chat:*:x", "chat:1:2:x", false, ""},
		{"chat:*:x", "chat::x", false, ""},
		{"*", "a", true, ""},
		{"*", "a:b", false, ""},
		{"*-b", "a-b-b", true, ""},
		{"chat:**", "chat:1:2", true, ""},
		{"chat:**", "news:1", false, ""},
		{"**", "a:b", true, ""},
		{"user:{user}", "user:42", true, "42"},
		{"user:{user}", "user:", false, ""},
		{"user:{user}", "user:4:2", false, ""},
		{"user:{user}:**", "user:42:a:b", true, "42"},
		{"*:{user}-x", "a:42-x", true, "42"},
		{"{user}-*", "a-b-c", true, "a-b"},
		{"a-*-*-*-b", "a-1-2-3-b", true, ""},
		{"a-*-*-*-b", "a-1--2-b", false, ""},
		{"a-*-*-*:b", "a-1-2-3-4:b", true, ""},
		{"a-*-*-*:b", "a-1-2-3-4:c", false, ""},
		{"*a*b*c*d", "xaxbxcxbxcxd", true, ""},
		{"*a*b*c*d", "xaxbxdxbxd", false, ""},
	} {
		p, err := compile(tt.match)
		if err != nil {
			t.Fatal(err)
		}
		if user, ok := p.match(tt.channel); ok != tt.want || user != tt.user {
			t.Errorf("%s and %q: got %v, user %q", tt.match, tt.channel, ok, user)
		}
	}
}

// What a pattern matches, and whose the name is, is what a regular expression finds. A
// prefix meets a pattern if a name with it can match, and is held if all do.
func TestMatchIsThatOfARegexp(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	text := func(alphabet string, most int) string {
		b := make([]byte, random.IntN(most+1))
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	expression := strings.NewReplacer(`\*\*`, `.*`, `\*`, `[^:]+`, `u`, `([^:]+)`)
	matched, met, held := 0, 0, 0
	for range 20_000 {
		match := text("ab:**", 9)
		p, err := compile(strings.Replace(match, "b*b", "{user}", 1))
		if err != nil {
			continue
		}
		e := regexp.MustCompile("^" + expression.Replace(regexp.QuoteMeta(strings.Replace(match, "b*b", "u", 1))) + "$")
		prefix := text("ab:", 3)
		all, some := true, false
		for range 30 {
			name := prefix + text("aab:", 8)
			user, ok := p.match(name)
			found := e.FindStringSubmatch(name)
			if ok != (found != nil) || ok && len(found) > 1 && user != found[1] {
				t.Fatalf("%s and %s: got %v, user %q, the regular expression finds %q", match, name, ok, user, found)
			}
			all, some = all && ok, some || ok
		}
		if some && !p.meets(prefix) || !all && p.holds(prefix) {
			t.Fatalf("%s and the prefix %q: got meets %v, holds %v; some match: %v, all: %v", match, prefix, p.meets(prefix), p.holds(prefix), some, all)
		}
		matched, met, held = matched+count(some), met+count(p.meets(prefix)), held+count(p.holds(prefix))
	}
	if matched < 1000 || met < 1000 || held < 100 {
		t.Errorf("%d matched, %d met, %d held: the test shows little", matched, met, held)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Rules that a reload takes away keep nothing, and give no rights, any more.
func TestRulesVanish(t *testing.T) {
	l := newLoop(t)
	asUser := func(*Request) (*Identity, error) { return &Identity{User: "42"}, nil }
	with := Config{OnConnect: asUser, Secrets: secrets, Rules: []Rule{
		{Match: "c", Subscribe: Users, Publish: Users, History: History{Size: 5, TTL: time.Hour}},
	}}
	h := newHub(t, with)
	m := l.enter(h)
	want(t, "subscribe", m.Subscribe([]byte("c")).Code, Success)
	want(t, "publish", m.publish("c", "1").Code, Success)
	with.Rules = nil
	h.Obey(with)
	want(t, "publish without the rule", m.publish("c", "2").Code, AccessDenied)
	want(t, "subscribe without the rule", l.enter(h).Subscribe([]byte("c")).Code, AccessDenied)
	m.login(auth.ReadWrite, "rw")
	if r := m.publish("c", "3"); !r.OK() || r.Stored != (Stored{}) {
		t.Errorf("got %+v, want no offset", r)
	}
	want(t, "history", m.History([]byte("c"), pubsub.Query{Limit: -1}).Code, NotAvailable)
	want(t, "bytes", h.HistoryStats().Bytes, 0)
	want(t, "publish where nobody is", m.publish("d", "x").Code, InvalidChannel)
}

// Where rules can make a channel exist, publishing does so for no name that it could not
// have by a subscription.
func TestPublishToNamesThatNoChannelHas(t *testing.T) {
	h := newHub(t, Config{MaxChannelName: 5, Rules: keeping("**", 5)})
	m := newLoop(t).enter(h).login(auth.ReadWrite, "")
	for name, code := range map[string]Code{
		"right": Success, "wrong!": InvalidChannel, "": InvalidChannel, "a\n": InvalidChannel, strings.Repeat("x", 256): InvalidChannel,
	} {
		if got := m.publish(name, "x").Code; got != code {
			t.Errorf("a session, %q: got %v, want %v", name, got, code)
		}
		if err := h.Publish(name, "e", 1); errors.Is(err, ErrInvalidChannel) != (code != Success) {
			t.Errorf("the program, %q: got %v", name, err)
		}
	}
	channels, _ := h.Channels("", pubsub.ByName, 10)
	if slices.ContainsFunc(channels, func(c pubsub.ChannelStats) bool { return c.Name != "right" }) {
		t.Errorf("there are %+v", channels)
	}
}

// Nor is it heard by a pattern under such a name, where nothing else would need the check.
func TestPatternsHearNamesOfChannelsOnly(t *testing.T) {
	h := newHub(t, Config{MaxChannelName: 5, Patterns: true})
	m := newLoop(t).enter(h).login(auth.ReadWrite, "")
	want(t, "subscribe", m.SubscribePattern([]byte("*")).Code, Success)
	for name, code := range map[string]Code{
		"right": Success, "wrong!": InvalidChannel, "": InvalidChannel, "a\n": InvalidChannel, strings.Repeat("x", 256): InvalidChannel,
	} {
		want(t, "a session publishes to "+name, m.publish(name, "x").Code, code)
		if err := h.Publish(name, "e", 1); errors.Is(err, ErrInvalidChannel) != (code != Success) {
			t.Errorf("the program, %q: got %v", name, err)
		}
	}
	want(t, "heard", m.hears(), "right e x, right e 1")
}

// A client cannot choose a name that keeps the loop busy with rules: not a long one, and
// not one that a rule could match in very many ways.
func TestMatchingTakesNoTime(t *testing.T) {
	rules := []Rule{{Match: "room-*-{user}-x:y"}, {Match: "*-*-*-*-*-*-*-*-*-*:x"}, {Match: "a*b*c*d*e"}, {Match: "*-*:*-*:*-*:*-*:*-*:*-*:z"}}
	h := newHub(t, Config{Patterns: true, Rules: rules})
	m := newLoop(t).enter(h).login(auth.ReadWrite, "")
	for _, name := range []string{
		strings.Repeat("-", 253) + ":", strings.Repeat(strings.Repeat("-", 40)+":", 6), "room" + strings.Repeat("-", 60_000) + ":", strings.Repeat("abcd", 60),
	} {
		m.Subscribe([]byte(name))
		m.publish(name, "x")
		m.History([]byte(name), pubsub.Query{Limit: -1})
		m.SubscribePattern([]byte(name[:min(len(name), 252)] + ":*"))
	}
}

// A reply to history has no more events than MaxHistoryReply, whatever is asked for.
func TestMaxHistoryReply(t *testing.T) {
	h := newHub(t, Config{MaxHistoryReply: 2, Rules: []Rule{{Match: "c", History: History{Size: 5, TTL: time.Hour}}}})
	m := newLoop(t).enter(h).login(auth.ReadWrite, "")
	for range 3 {
		m.publish("c", "1")
	}
	for _, limit := range []int{-1, 3, 1000} {
		r := m.History([]byte("c"), pubsub.Query{Limit: limit})
		if r.Page == nil || len(r.Page.Items) != 2 || !r.Page.More {
			t.Errorf("limit %d: got %+v, want 2 events and more", limit, r.Page)
		}
	}
}
