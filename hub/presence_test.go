package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/presence"
	"github.com/nu7hatch/webrocket/pubsub"
)

// brief is who joined, who left and how many are there.
func brief(n *presence.Notice) string {
	var words []string
	for _, e := range n.Joined {
		words = append(words, "+"+e.Client+e.User+e.Info)
	}
	for _, e := range n.Left {
		words = append(words, "-"+e.Client+e.User+e.Info)
	}
	return fmt.Sprintf("%s %d-%d (%d, %d)", strings.Join(words, " "), n.From, n.Version, n.Clients, n.Users)
}

// presenceHub is a hub whose sessions hear who comes and goes in brief.
func presenceHub(t testing.TB, c Config) *Hub {
	t.Helper()
	h, err := New("test", c)
	if err != nil {
		t.Fatal(err)
	}
	events := pubsub.Encoding{Base: pubsub.Itself, Encode: func(m pubsub.Message, _ []byte) []byte {
		return fmt.Appendf(nil, "%s %s %s", m.Channel, m.Event, m.Data)
	}}
	notices := pubsub.Encoding{Base: pubsub.Itself, Encode: func(m pubsub.Message, _ []byte) []byte {
		return []byte(brief(m.Value.(*presence.Notice)))
	}}
	h.AddForms(events, notices)
	return h
}

var (
	byClient = Rule{Match: "c", Presence: Presence{Mode: PresenceClients}}
	byUser   = Rule{Match: "u", Presence: Presence{Mode: PresenceUsers, LeaveAfter: 5 * time.Second}}
)

// watch subscribes to a channel and its notices.
func (m member) watch(channel string) Result {
	m.loop.t.Helper()
	return m.SubscribeFrom([]byte(channel), Start{Presence: true})
}

// there is who is listed in a channel.
func there(t testing.TB, h *Hub, channel string) string {
	t.Helper()
	page, err := h.Presence(channel, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range page.Members {
		words = append(words, e.Client+e.User+e.Info)
	}
	return strings.Join(words, " ")
}

// info is the claims of a user with something for others to see.
func info(user, text string) auth.Claims {
	return auth.Claims{User: user, Expires: noon.Add(time.Hour), Info: json.RawMessage(text)}
}

// However a membership ends, the member is gone, and those that watch are told.
func TestPresenceEnds(t *testing.T) {
	k := newIssuer(t, "a")
	config := Config{
		Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{byClient}, MaxFailedLogins: -1,
	}
	all := "c=subscribe,history,presence"
	for _, tt := range []struct {
		name string
		end  func(h *Hub, m member)
	}{
		{"unsubscribe", func(_ *Hub, m member) { m.Unsubscribe([]byte("c")) }},
		{"logout", func(_ *Hub, m member) { m.Logout() }},
		{"a login that fails", func(_ *Hub, m member) { m.Login(auth.ReadOnly, "wrong") }},
		{"a token that is wrong", func(_ *Hub, m member) { m.show("x.y.z") }},
		{"a token with fewer rights", func(_ *Hub, m member) { m.show(k.token("42")) }},
		{"the connection", func(_ *Hub, m member) { m.Close() }},
		{"a position that is not there", func(_ *Hub, m member) {
			m.SubscribeFrom([]byte("c"), Start{Start: pubsub.Start{Since: pubsub.Position{Epoch: "x", Offset: 1}, Strict: true}})
		}},
		{"the rules", func(h *Hub, m member) {
			next := config
			next.Rules = nil
			h.Obey(next)
			m.Reattend()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := presenceHub(t, config)
			l, far := newLoop(t), newLoop(t)
			watcher := l.enter(h).login(auth.ReadOnly, "r")
			if r := watcher.watch("c"); !r.OK() || r.Presence.Version != 1 || r.Presence.Clients != 1 {
				t.Fatalf("watch: got %+v", r)
			}
			far.ids = 100
			m := far.enter(h)
			token := k.token("42", all)
			if r := m.show(token); !r.OK() || !m.Subscribe([]byte("c")).OK() {
				t.Fatalf("login: got %+v", r)
			}
			far.turn(0)
			want(t, "joined", watcher.hears(), "+client10142 1-2 (2, 1)")
			want(t, "there", there(t, h, "c"), "client1 client10142")
			tt.end(h, m)
			if tt.name == "the rules" {
				want(t, "left behind", h.PresenceStats().Members, 1)
				watcher.Reattend()
				far.turn(DefaultInterval)
				want(t, "left behind", h.PresenceStats(), PresenceStats{Notices: 1})
				if _, err := h.Presence("c", 0, 0); !errors.Is(err, ErrNoPresence) {
					t.Errorf("Presence: got %v", err)
				}
				return
			}
			want(t, "there", there(t, h, "c"), "client1")
			far.turn(DefaultInterval)
			l.now = far.now
			want(t, "left", watcher.hears(), "-client10142 2-3 (1, 0)")
			want(t, "who the loop keeps", len(far.worker.present), 0)
			watcher.Close()
			want(t, "left behind", h.PresenceStats(), PresenceStats{Notices: 2})
		})
	}
}

// DefaultInterval is that of presence.
const DefaultInterval = presence.DefaultInterval

// A token that expires or is revoked ends a membership with its subscription.
func TestPresenceOfProven(t *testing.T) {
	k := newIssuer(t, "a")
	h := presenceHub(t, Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{byClient}})
	l := newLoop(t)
	m := l.enter(h)
	m.show(k.token("42"))
	own := auth.Claims{User: "42", Channel: "c", ID: "x", Expires: noon.Add(time.Minute), Info: json.RawMessage(`"in c"`)}
	if r := m.prove("c", k.sign(own)); !r.OK() {
		t.Fatal(r)
	}
	want(t, "there", there(t, h, "c"), `client142"in c"`)
	own.Info = json.RawMessage(`"renewed"`)
	if r := m.prove("c", k.sign(own)); !r.OK() {
		t.Fatal(r)
	}
	want(t, "renewed", there(t, h, "c"), `client142"renewed"`)
	l.turn(3 * time.Minute)
	want(t, "after its end", there(t, h, "c"), "")
	own.Expires = noon.Add(time.Hour)
	m.prove("c", k.sign(own))
	want(t, "again", there(t, h, "c"), `client142"renewed"`)
	if err := k.revoked.RevokeID(noon, "x", time.Hour); err != nil {
		t.Fatal(err)
	}
	m.DropRevoked(noon)
	want(t, "revoked", there(t, h, "c"), "")
}

// A user is there from the first connection to the last, and was never away if they come
// back within LeaveAfter.
func TestPresenceOfUsers(t *testing.T) {
	k := newIssuer(t, "a")
	h := presenceHub(t, Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{byUser}})
	l := newLoop(t)
	enter := func(claims auth.Claims) member {
		m := l.enter(h)
		if r := m.show(k.sign(claims, "u=subscribe,presence")); !r.OK() {
			t.Fatal(r)
		}
		m.Subscribe([]byte("u"))
		return m
	}
	backend := l.enter(h).login(auth.ReadOnly, "r")
	backend.watch("u")
	tab := enter(info("42", `{"name":"Ann"}`))
	want(t, "the first", backend.hears(), `+42{"name":"Ann"} 1-2 (2, 1)`)
	l.turn(DefaultInterval)
	other := enter(info("42", `{"name":"Ann"}`))
	want(t, "the second", backend.hears(), "")
	want(t, "there", there(t, h, "u"), `client1 42{"name":"Ann"}`)
	tab.Close()
	want(t, "there, with one", there(t, h, "u"), `client1 42{"name":"Ann"}`)
	other.Close()
	l.turn(4900 * time.Millisecond)
	want(t, "away", backend.hears(), "")
	other = enter(auth.Claims{User: "42", Expires: noon.Add(time.Hour)})
	l.turn(time.Minute)
	want(t, "back", backend.hears(), "")
	enter(info("42", `"another"`)).Close()
	l.turn(DefaultInterval)
	want(t, "in a new tab", backend.hears(), `+42"another" 2-3 (2, 1)`)
	other.Close()
	l.turn(4900 * time.Millisecond)
	other = enter(info("42", `"yet another"`))
	l.turn(time.Minute)
	want(t, "back with a new token", backend.hears(), `+42"yet another" 3-4 (2, 1)`)
	l.turn(DefaultInterval)
	if r := other.show(k.sign(info("42", `"renewed"`), "u=subscribe")); !r.OK() {
		t.Fatal(r)
	}
	want(t, "renewed", backend.hears(), `+42"renewed" 4-5 (2, 1)`)
	l.turn(DefaultInterval)
	other.Unsubscribe([]byte("u"))
	want(t, "gone, not yet", backend.hears(), "")
	l.turn(5 * time.Second)
	want(t, "gone", backend.hears(), "-42 5-6 (1, 0)")
	want(t, "there, in the end", there(t, h, "u"), "client1")
}

// Who logs in as somebody else, or without a user, is somebody else.
func TestPresenceOfAnotherLogin(t *testing.T) {
	k := newIssuer(t, "a")
	rule := Rule{Match: "*", Presence: Presence{Mode: PresenceUsers}}
	h := presenceHub(t, Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{rule}})
	l := newLoop(t)
	m := l.enter(h)
	m.show(k.token("42", "*=subscribe"))
	m.Subscribe([]byte("a"))
	m.Subscribe([]byte("b"))
	m.login(auth.ReadOnly, "r")
	want(t, "by a secret", there(t, h, "a")+" "+there(t, h, "b"), "client1 client1")
	m.Grant(auth.ReadOnly)
	want(t, "by the protocol", there(t, h, "a"), "client1")
	m.Logout()
	want(t, "the end", h.PresenceStats(), PresenceStats{})
}

// What a session may see of others is a right of its own.
func TestPresenceRights(t *testing.T) {
	k := newIssuer(t, "a")
	h := presenceHub(t, Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{
		byClient,
		{Match: "closed", Presence: byClient.Presence, ReadPresence: Nobody},
		{Match: "open", Presence: byClient.Presence, Subscribe: Users},
	}})
	l := newLoop(t)
	m, secret := l.enter(h), l.enter(h).login(auth.ReadOnly, "r")
	m.show(k.token("42", "c=subscribe", "closed=subscribe,presence", "plain=presence"))
	for i, step := range []struct{ got, want Code }{
		{m.watch("c").Code, AccessDenied},
		{m.Presence([]byte("c"), 0, -1, 0).Code, AccessDenied},
		{m.watch("closed").Code, AccessDenied},
		{m.Presence([]byte("plain"), 0, -1, 0).Code, NotAvailable},
		{m.Presence([]byte("hidden"), 0, -1, 0).Code, AccessDenied},
		{m.watch("open").Code, Success},
		{m.Presence([]byte("open"), 0, -1, 0).Code, Success},
		{secret.watch("c").Code, Success},
		{secret.watch("closed").Code, AccessDenied},
		{secret.Presence([]byte("c"), 0, -1, 0).Code, Success},
		{secret.Presence([]byte("open"), 0, -1, 0).Code, Success},
		{secret.watch("plain").Code, Success},
		{l.enter(h).Presence([]byte("c"), 0, -1, 0).Code, AccessDenied},
	} {
		want(t, fmt.Sprint("step ", i), step.got, step.want)
	}
	if m.Hears([]byte("c")) || m.Hears([]byte("closed")) {
		t.Error("a subscribe that was refused has subscribed")
	}
	if r := secret.watch("plain"); r.Presence != nil {
		t.Errorf("a channel without presence: got %+v", r.Presence)
	}
}

// Notices end with the right to them: by a new token, and by other rules. The client is told,
// the subscription stays, and they begin anew where they are asked for.
func TestPresenceRightsEnd(t *testing.T) {
	k := newIssuer(t, "a")
	config := Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{byClient}}
	h := presenceHub(t, config)
	l := newLoop(t)
	m, other := l.enter(h), l.enter(h).login(auth.ReadOnly, "r")
	change := func() string {
		other.Subscribe([]byte("c"))
		other.Unsubscribe([]byte("c"))
		l.turn(time.Second)
		return m.hears()
	}
	m.show(k.token("42", "c=subscribe,presence"))
	m.watch("c")
	want(t, "with the right", change(), "-client2 1-3 (1, 1)")
	wantTold(t, m)
	m.show(k.token("42", "c=subscribe"))
	wantTold(t, m, "no presence: access_denied c")
	want(t, "by another token", change(), "")
	m.show(k.token("42", "c=subscribe,presence"))
	wantTold(t, m)
	want(t, "nobody has asked", change(), "")
	m.watch("c")
	want(t, "asked again", change(), "-client2 7-9 (1, 1)")
	config.Rules = []Rule{{Match: "c", Presence: byClient.Presence, ReadPresence: Nobody}}
	h.Obey(config)
	m.Reattend()
	want(t, "by other rules", change(), "")
	ended := Notice{Unwatched: EndedByRule, Channel: "c"}
	if n := l.notices[m.id]; len(n) != 1 || n[0] != ended {
		t.Errorf("by other rules: told %+v", n)
	}
	m.Reattend()
	if n := l.notices[m.id]; len(n) != 1 {
		t.Errorf("what has ended already is told again: %+v", n[1:])
	}
	if !m.Hears([]byte("c")) || h.notices.Len() != 0 {
		t.Errorf("hears the channel: %v, channels of notices: %d", m.Hears([]byte("c")), h.notices.Len())
	}
}

// Notices that end with a token for the channel, or with the presence of the channel, are told
// with the reason. Those of a subscription that ends are not told apart from that.
func TestPresenceEndIsTold(t *testing.T) {
	k := newIssuer(t, "a")
	for _, tt := range []struct {
		name  string
		login []string
		end   func(h *Hub, l *loop, m member, c Config)
		told  Notice
	}{
		{
			"the token for the channel expires",
			[]string{"c=subscribe"},
			func(_ *Hub, l *loop, _ member, _ Config) { l.turn(3 * time.Minute) },
			Notice{Unwatched: EndedByExpiry, Channel: "c"},
		},
		{
			"and the subscription with it", nil, func(_ *Hub, l *loop, _ member, _ Config) { l.turn(3 * time.Minute) },
			Notice{Unsubscribed: EndedByExpiry, Channel: "c"},
		},
		{"it is revoked", []string{"c=subscribe"}, func(_ *Hub, _ *loop, m member, _ Config) {
			if err := k.revoked.RevokeID(noon, "x", time.Hour); err != nil {
				t.Fatal(err)
			}
			m.DropRevoked(noon)
		}, Notice{Unwatched: EndedByRevoke, Channel: "c"}},
		{"no presence any more", []string{"c=subscribe"}, func(h *Hub, _ *loop, m member, c Config) {
			c.Rules = nil
			h.Obey(c)
			m.DropForbidden()
			m.Reattend()
		}, Notice{Unwatched: EndedByRule, Channel: "c"}},
	} {
		config := Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{byClient}}
		h, l := presenceHub(t, config), newLoop(t)
		m := l.enter(h)
		m.show(k.sign(auth.Claims{User: "42", Expires: noon.Add(time.Hour)}, tt.login...))
		own := auth.Claims{User: "42", Channel: "c", ID: "x", Rights: auth.Subscribe | auth.Presence, Expires: noon.Add(time.Minute)}
		if tt.told.Unwatched != EndedByRevoke {
			own.ID = "y"
		}
		proof := Proof{Token: k.sign(own)}
		if r := m.SubscribeProven(0, noon, []byte("c"), proof, Start{Presence: true}); !r.OK() || r.Presence == nil {
			t.Fatalf("%s: subscribe: got %+v", tt.name, r)
		}
		tt.end(h, l, m, config)
		if n := l.notices[m.id]; len(n) != 1 || n[0] != tt.told {
			t.Errorf("%s: told %+v, want %+v", tt.name, n, tt.told)
		}
	}
}

// A reload does not bring back what a user was called before.
func TestReloadKeepsInfo(t *testing.T) {
	k := newIssuer(t, "a")
	config := Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{{Match: "u", Presence: Presence{Mode: PresenceUsers}, Subscribe: Users}}}
	h := presenceHub(t, config)
	l := newLoop(t)
	tabs := []member{l.enter(h), l.enter(h)}
	for _, m := range tabs {
		m.show(k.sign(info("42", `"old"`)))
		m.Subscribe([]byte("u"))
	}
	tabs[0].show(k.sign(info("42", `"new"`)))
	config.Rules[0].Presence.MaxMembers = 5
	h.Obey(config)
	for _, m := range tabs {
		m.Reattend()
	}
	page, _ := h.Presence("u", 0, 0)
	want(t, "the list", there(t, h, "u"), `42"new"`)
	want(t, "its version", page.Version, 2)
}

// OnSubscribe protects who is there as it protects the events.
func TestPresenceAsksOnSubscribe(t *testing.T) {
	h := presenceHub(t, Config{Rules: []Rule{byClient}, OnSubscribe: func(*Session, string) error { return errors.New("no") }})
	m := newLoop(t).enter(h).login(auth.ReadOnly, "")
	if r := m.Presence([]byte("c"), 0, -1, 0); r.Code != AccessDenied || r.Reason != "no" {
		t.Errorf("got %+v", r)
	}
}

// A reload makes subscribers present, and makes them users instead of connections.
func TestPresenceAfterObey(t *testing.T) {
	k := newIssuer(t, "a")
	config := Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{{Match: "x"}}}
	h := presenceHub(t, config)
	l := newLoop(t)
	a, b := l.enter(h), l.enter(h)
	for _, m := range []member{a, b} {
		m.show(k.token("42", "c=subscribe,presence", "plain=subscribe"))
		m.Subscribe([]byte("c"))
		m.Subscribe([]byte("plain"))
	}
	obey := func(p Presence) {
		config.Rules = []Rule{{Match: "c", Presence: p}}
		h.Obey(config)
		a.Reattend()
		b.Reattend()
	}
	obey(Presence{Mode: PresenceClients})
	want(t, "switched on", there(t, h, "c"), "client142 client242")
	a.watch("c")
	l.turn(time.Second)
	obey(Presence{Mode: PresenceClients, MaxMembers: 1})
	want(t, "other limits", there(t, h, "c"), "client142")
	want(t, "nothing has changed", a.hears(), "")
	obey(Presence{Mode: PresenceUsers})
	want(t, "users", there(t, h, "c"), "42")
	l.turn(time.Second)
	// The version of the list that it had was 2: it has to load the list anew.
	want(t, "told", a.hears(), "+42 3-4 (2, 1)")
	b.Close()
	a.Close()
	want(t, "the end", h.PresenceStats(), PresenceStats{Notices: 1})
}

// A subscription that began before a reload, and ends its way through OnSubscribe after it,
// does not bring the earlier mode back: those who are in the list by the new one stay in it.
func TestPresenceReloadDuringSubscribe(t *testing.T) {
	config := Config{Rules: []Rule{{Match: "c", Presence: Presence{Mode: PresenceClients}}}}
	h := presenceHub(t, config)
	l := newLoop(t)
	a, b := l.enter(h).login(auth.ReadOnly, ""), l.enter(h).login(auth.ReadOnly, "")
	b.Subscribe([]byte("c"))
	next := config
	next.Rules = []Rule{{Match: "c", Presence: Presence{Mode: PresenceUsers}}}
	config.OnSubscribe = func(*Session, string) error {
		h.Obey(next)
		b.Reattend()
		return nil
	}
	h.Obey(config)
	a.Subscribe([]byte("c"))
	want(t, "during the reload", there(t, h, "c"), "client2 client1")
	a.Reattend()
	want(t, "after it", there(t, h, "c"), "client2 client1")
	a.Close()
	b.Close()
	want(t, "the end", h.PresenceStats(), PresenceStats{})
}

// Notices stop where the subscription ends, and go on where others stay.
func TestNoticesStop(t *testing.T) {
	h := presenceHub(t, Config{Rules: []Rule{{Match: "*", Presence: Presence{Mode: PresenceClients}}}})
	l := newLoop(t)
	a, b := l.enter(h).login(auth.ReadOnly, ""), l.enter(h).login(auth.ReadOnly, "")
	a.watch("1")
	a.watch("2")
	want(t, "watching again", a.watch("1").Presence.Version, 1)
	b.Subscribe([]byte("1"))
	b.Subscribe([]byte("2"))
	a.Unsubscribe([]byte("1"))
	want(t, "what is heard", a.hears(), "+client2 1-2 (2, 0)")
	if n := h.notices.Len(); n != 1 {
		t.Errorf("there are %d channels of notices, want 1", n)
	}
	a.Close()
	if n := h.notices.Len(); n != 0 {
		t.Errorf("there are %d channels of notices, want none", n)
	}
}

// Where no rule has presence, it costs a session no allocation, and no entry.
func TestPresenceCostsOthersNothing(t *testing.T) {
	h := presenceHub(t, Config{Channels: []string{"plain"}, Rules: []Rule{byClient}})
	l := newLoop(t)
	m := l.enter(h).login(auth.ReadOnly, "")
	m.Subscribe([]byte("plain"))
	if n := testing.AllocsPerRun(100, func() { m.depart([]byte("plain")); m.identify("", nil); m.departAll() }); n != 0 {
		t.Errorf("a session that is present nowhere costs %v allocations", n)
	}
	if len(l.worker.present) != 0 || h.PresenceStats() != (PresenceStats{}) {
		t.Errorf("the loop keeps %d sessions, the hub %+v", len(l.worker.present), h.PresenceStats())
	}
}

// What a session takes that is present in a channel and watches it, beside its
// subscription: in the first channel, and in each further one.
func TestPresenceBytes(t *testing.T) {
	const n = 5000
	h := presenceHub(t, Config{Rules: []Rule{{Match: "*", Presence: Presence{Mode: PresenceClients}}}})
	l := newLoop(t)
	var all []member
	for range n {
		m := l.enter(h).login(auth.ReadOnly, "")
		for _, channel := range []string{"1", "2"} {
			if _, err := h.table.Subscribe(noLimit, &m.subscriber, []byte(channel)); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, m)
	}
	before := inUse()
	for _, want := range []struct {
		channel string
		most    float64
	}{{"1", 480}, {"2", 240}} {
		for _, m := range all {
			m.watch(want.channel)
		}
		l.turn(time.Second)
		now := inUse()
		if got := float64(now-before) / n; got > want.most {
			t.Errorf("channel %s: %.0f bytes for each session, want %.0f at most", want.channel, got, want.most)
		} else {
			t.Logf("channel %s: %.0f bytes for each session", want.channel, got)
		}
		before = now
	}
	for _, m := range all {
		m.Close()
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
