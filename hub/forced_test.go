package hub

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/pubsub"
)

// toldAside takes what the client has been told outside of its commands, in short.
func (m member) toldAside() []string {
	var all []string
	for _, n := range m.loop.notices[m.id] {
		all = append(all, n.Subscribed+n.Unsubscribed+" "+n.Channel)
	}
	delete(m.loop.notices, m.id)
	return all
}

func wantAside(t *testing.T, m member, want ...string) {
	t.Helper()
	if got := m.toldAside(); !slices.Equal(got, want) {
		t.Errorf("told aside %q, want %q", got, want)
	}
}

// A rule with Force subscribes each user to a channel, at every login, whatever the right to
// subscribe; but only where it is the rule that counts.
func TestForceByRule(t *testing.T) {
	k := newIssuer(t, "a")
	h := newHub(t, Config{Tokens: k.tokens(), Rules: []Rule{
		{Match: "user:admin", Subscribe: Nobody},
		{Match: "user:{user}", Subscribe: Nobody, Publish: Nobody, Force: true},
		{Match: "{user}:inbox", Subscribe: Owner, Force: true},
	}})
	l := newLoop(t)
	for user, told := range map[string][]string{
		"42":    {"rule user:42", "rule 42:inbox"},
		"admin": {"rule admin:inbox"}, // another rule counts for user:admin
		"a:b":   {},                   // {user} is no more than a part of a name
		"":      {},
	} {
		m := l.enter(h)
		m.show(k.token(user))
		wantTold(t, m, told...)
		want(t, user+": subscriptions", m.Subscriptions(), len(told))
	}
	m := l.enter(h)
	m.show(k.token("42", "user:42"))
	wantTold(t, m, "token user:42", "rule 42:inbox")
	want(t, "another's", m.Subscribe([]byte("user:43")).Code, AccessDenied)
	if err := publishFromGo(h, "user:42", "7"); err != nil {
		t.Fatal(err)
	}
	want(t, "hears", m.hears(), "user:42 e 7")
	m.Unsubscribe([]byte("user:42"))
	want(t, "again", m.Subscribe([]byte("user:42")).Code, Success)
	m.show(k.token("42"))
	wantTold(t, m) // it hears them already
}

// A user that OnConnect names is subscribed by a login with a secret.
func TestForceWithASecret(t *testing.T) {
	h := newHub(t, Config{
		OnConnect: func(*Request) (*Identity, error) { return &Identity{User: "7"}, nil },
		Rules:     []Rule{{Match: "user:{user}", Force: true}},
	})
	m := newLoop(t).enter(h)
	want(t, "before", m.Subscriptions(), 0)
	m.login(auth.ReadOnly, "")
	wantTold(t, m, "rule user:7")
	want(t, "user", m.User(), "7")
	m.Logout()
	want(t, "after the logout", m.Subscriptions(), 0)
}

// publishFromGo publishes an event "e" of the program itself. The data is JSON.
func publishFromGo(h *Hub, channel, data string) error {
	_, err := h.PublishKeyed(channel, "e", []byte(data), "")
	return err
}

func TestForceProblems(t *testing.T) {
	for match, ok := range map[string]bool{
		"user:{user}": true, "{user}": true, "a:{user}:b": true,
		"user:*": false, "user:1": false, "{user}:*": false, "{user}:**": false,
	} {
		err := (&Rule{Match: match, Force: true}).Check()
		want(t, match, err == nil, ok)
	}
}

// A login says where the client is in the channels that it is subscribed to, and gets what it
// has missed there, or is told why not.
func TestForcedSince(t *testing.T) {
	k := newIssuer(t, "a")
	kept := History{Size: 3, TTL: time.Hour}
	h := newHub(t, Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{
		{Match: "user:{user}", Subscribe: Owner, History: kept, Force: true},
		{Match: "kept:*", History: kept},
	}})
	l := newLoop(t)
	for _, data := range []string{"1", "2", "3"} {
		for _, channel := range []string{"user:42", "kept:1", "kept:2"} {
			if r := l.enter(h).login(auth.ReadWrite, "rw").publish(channel, data); !r.OK() {
				t.Fatal(r)
			}
		}
	}
	m := l.enter(h)
	at := func(offset uint64) pubsub.Position { return pubsub.Position{Epoch: h.Epoch(), Offset: offset} }
	m.showSince(k.token("42", "kept:1", "kept:2", "kept:1=history"), map[string]pubsub.Position{
		"user:42": at(2), "kept:1": {Epoch: "other", Offset: 1}, "kept:2": at(1), "nowhere": at(1),
	})
	got := map[string]Notice{}
	for _, n := range m.Notices() {
		got[n.Channel] = n
	}
	want(t, "notices", len(got), 3)
	want(t, "by rule: recovered", got["user:42"].Begun.Recovered, true)
	want(t, "by token: asked", got["kept:1"].Begun.Asked, true)
	want(t, "by token: why not", got["kept:1"].Reason, "epoch")
	want(t, "without the right to read: asked", got["kept:2"].Begun.Asked, false)
	want(t, "hears", m.hears(), "user:42 e 3")
}

// Give subscribes whatever the rights are, tells the client, and outlives a renewal; Take
// ends any subscription.
func TestGiveAndTake(t *testing.T) {
	k := newIssuer(t, "a")
	h := newHub(t, Config{Tokens: k.tokens(), MaxSubscriptions: 2, Rules: []Rule{{Match: "closed", Subscribe: Nobody}}})
	m := newLoop(t).enter(h)
	m.show(k.token("42", "mine=subscribe"))
	want(t, "before", m.Subscribe([]byte("closed")).Code, AccessDenied)
	want(t, "give", m.Give("closed").Code, Success)
	wantAside(t, m, "admin closed")
	want(t, "give again", m.Give("closed").Code, Success)
	wantAside(t, m)
	want(t, "the client subscribes again", m.Subscribe([]byte("closed")).Code, Success)
	m.show(k.token("42", "mine=subscribe"))
	m.DropForbidden()
	wantTold(t, m)
	wantAside(t, m)
	if err := publishFromGo(h, "closed", "7"); err != nil {
		t.Fatal(err)
	}
	want(t, "hears", m.hears(), "closed e 7")

	want(t, "one more", m.Give("open").Code, Success)
	want(t, "too many", m.Give("mine").Code, LimitExceeded)
	wantAside(t, m, "admin open")
	m.Unsubscribe([]byte("open"))
	want(t, "its own", m.Subscribe([]byte("mine")).Code, Success)

	want(t, "take", m.Take("closed"), true)
	want(t, "take what the client has begun", m.Take("mine"), true)
	want(t, "take again", m.Take("mine"), false)
	wantAside(t, m, "admin closed", "admin mine")
	want(t, "rights are as before", m.Subscribe([]byte("closed")).Code, AccessDenied)
	want(t, "rights are as before", m.Subscribe([]byte("mine")).Code, Success)
	m.Give("closed")
	m.Logout()
	want(t, "after the logout", m.Subscriptions(), 0)
	want(t, "after the logout", m.Subscribe([]byte("closed")).Code, AccessDenied)
	want(t, "a name that is none", m.Give("").Code, InvalidChannelName)
}

// Other rules end the subscriptions that they do not allow, of any kind of login, and no
// others.
func TestRulesTakeRightsAway(t *testing.T) {
	k := newIssuer(t, "a")
	config := Config{Tokens: k.tokens(), Secrets: secrets, OnConnect: func(r *Request) (*Identity, error) {
		if user := r.Header("User"); user != "" {
			return &Identity{User: user}, nil
		}
		return nil, nil
	}}
	h := newHub(t, config)
	l := newLoop(t)
	secret, token := l.enter(h).login(auth.ReadOnly, "r"), l.enter(h)
	token.show(k.token("42", "*=subscribe", "forced"))
	token.told()
	connected, err := l.knock(h, map[string]string{"User": "7"})
	if err != nil {
		t.Fatal(err)
	}
	config.Rules = []Rule{{Match: "b", Subscribe: Users}}
	h.Obey(config)
	want(t, "a user", connected.Subscribe([]byte("b")).Code, Success)
	for _, m := range []member{secret, token} {
		for _, channel := range []string{"a", "b", "c"} {
			want(t, channel, m.Subscribe([]byte(channel)).Code, Success)
		}
	}
	config.Rules = []Rule{{Match: "b", Subscribe: Nobody}, {Match: "forced", Subscribe: Nobody}, {Match: "*", Publish: Nobody}}
	h.Obey(config)
	for _, m := range []member{secret, token, connected} {
		m.DropForbidden()
		wantAside(t, m, "rule b")
	}
	want(t, "secret: left", secret.Subscriptions(), 2)
	want(t, "token: left", token.Subscriptions(), 3)
	want(t, "user: left", connected.Subscriptions(), 0)
}

// Giving again what is refused by now takes nothing away.
func TestGiveAgain(t *testing.T) {
	var refuse error
	h := newHub(t, Config{
		Rules:       []Rule{{Match: "*", Subscribe: Nobody}},
		OnSubscribe: func(*Session, string) error { return refuse },
	})
	m := newLoop(t).enter(h)
	want(t, "given", m.Give("c").Code, Success)
	refuse = errors.New("no")
	want(t, "given again", m.Give("c").Code, AccessDenied)
	m.DropForbidden()
	if !m.Hears([]byte("c")) {
		t.Error("the subscription has ended")
	}
}
