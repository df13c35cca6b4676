package hub

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

var secrets = auth.Credentials{ReadOnly: "r", ReadWrite: "rw"}

func TestAccess(t *testing.T) {
	for _, tt := range []struct {
		name               string
		access             auth.Access
		secret             string
		login, read, write Code
	}{
		{"nobody", auth.None, "", InvalidCredentials, AccessDenied, AccessDenied},
		{"a reader", auth.ReadOnly, "r", Success, Success, AccessDenied},
		{"a writer", auth.ReadWrite, "rw", Success, Success, Success},
		{"a writer that asks for less", auth.ReadOnly, "rw", Success, Success, AccessDenied},
		{"a reader that asks for more", auth.ReadWrite, "r", InvalidCredentials, AccessDenied, AccessDenied},
		{"a wrong secret", auth.ReadOnly, "x", InvalidCredentials, AccessDenied, AccessDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newLoop(t).enter(newHub(t, Config{Secrets: secrets, Channels: []string{"c"}}))
			if got := m.Login(tt.access, tt.secret).Code; got != tt.login {
				t.Errorf("Login: got %v, want %v", got, tt.login)
			}
			if got := m.Subscribe([]byte("c")).Code; got != tt.read {
				t.Errorf("Subscribe: got %v, want %v", got, tt.read)
			}
			if got := m.publish("c", "x").Code; got != tt.write {
				t.Errorf("Publish: got %v, want %v", got, tt.write)
			}
			if m.Logout(); m.Subscribe([]byte("c")).Code != AccessDenied || m.Subscriptions() != 0 {
				t.Error("something is left after Logout")
			}
		})
	}
}

// A session that its protocol lets in needs no secret, and a change of secrets
// does not end it.
func TestGrant(t *testing.T) {
	h := newHub(t, Config{Secrets: secrets})
	m := newLoop(t).enter(h)
	m.Grant(auth.ReadWrite)
	old := h.Config()
	h.Obey(Config{Secrets: auth.Credentials{ReadOnly: "x", ReadWrite: "y"}})
	if r := m.Subscribe([]byte("c")); !r.OK() || m.Revoked(old, time.Time{}) != "" {
		t.Errorf("got %v and revoked %q", r, m.Revoked(old, time.Time{}))
	}
}

func TestLimits(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{MaxSubscriptions: 2, MaxChannels: 3, MaxChannelName: 4, MaxFailedLogins: 2})
	a, b := l.enter(h).login(auth.ReadOnly, ""), l.enter(h).login(auth.ReadOnly, "")
	for i, step := range []struct {
		who     member
		channel string
		want    Code
	}{
		{a, "", InvalidChannelName},
		{a, "12345", InvalidChannelName},
		{a, "a\nb", InvalidChannelName},
		{a, "1", Success},
		{a, "2", Success},
		{a, "2", Success}, // again
		{a, "3", LimitExceeded},
		{b, "2", Success},
		{b, "3", Success},
	} {
		if got := step.who.Subscribe([]byte(step.channel)).Code; got != step.want {
			t.Errorf("step %d, %q: got %v, want %v", i, step.channel, got, step.want)
		}
	}
	b.Unsubscribe([]byte("2"))
	if got := b.Subscribe([]byte("4")).Code; got != LimitExceeded {
		t.Errorf("a channel too many: got %v", got)
	}
	if got := a.publish("5", "x").Code; got != AccessDenied {
		t.Errorf("a reader's event: got %v", got)
	}
	if got := b.login(auth.ReadWrite, "").publish("5", "x").Code; got != InvalidChannel {
		t.Errorf("an event of no channel: got %v", got)
	}
}

func TestExhausted(t *testing.T) {
	m := newLoop(t).enter(newHub(t, Config{Secrets: secrets, MaxFailedLogins: 2}))
	for i, want := range []bool{false, true, true} {
		m.Login(auth.ReadOnly, "wrong")
		if got := m.Exhausted(); got != want {
			t.Errorf("failure %d: got %t, want %t", i+1, got, want)
		}
	}
	endless := newLoop(t).enter(newHub(t, Config{Secrets: secrets, MaxFailedLogins: -1}))
	for range 1000 {
		endless.Login(auth.ReadOnly, "wrong")
	}
	if endless.Exhausted() {
		t.Error("there is a limit where none is wanted")
	}
}

// A negative limit is none, whichever it is.
func TestNegativeIsNoLimit(t *testing.T) {
	h := newHub(t, Config{
		MaxSubscriptions: -1, MaxChannels: -1, MaxChannelName: -1, MaxFailedLogins: -1,
		CommandRate: -1, ByteRate: -1,
	})
	m := newLoop(t).enter(h).login(auth.ReadWrite, "")
	for i := range 1000 {
		name := []byte{'a' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10)}
		if r := m.Subscribe(name); !r.OK() {
			t.Fatalf("channel %d: got %v", i, r)
		}
		if fast, _ := m.TooFast(0, 1<<20); fast {
			t.Fatalf("command %d comes too fast", i)
		}
	}
	if r := m.Subscribe(make([]byte, codec.MaxChannelName+1)); r.Code != InvalidChannelName {
		t.Errorf("a name that no channel can have: got %v", r)
	}
}

func TestRates(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{CommandRate: 2, ByteRate: 100})
	m, other := l.enter(h), l.enter(h)
	for i, step := range []struct {
		after       time.Duration
		size        int
		fast, ended bool
	}{
		{0, 10, false, false},
		{0, 10, false, false},
		{0, 10, true, false},
		{time.Second / 2, 10, false, false},
		{time.Second, 1000, false, false}, // one may be larger
		{time.Second, 1, true, false},
		{9 * time.Second, 1, false, false},
	} {
		l.now += step.after
		if fast, ended := m.TooFast(l.now, step.size); fast != step.fast || ended != step.ended {
			t.Errorf("step %d: got %t, %t, want %t, %t", i, fast, ended, step.fast, step.ended)
		}
	}
	if l.worker.Metered() != 1 {
		t.Errorf("%d sessions are counted, want 1", l.worker.Metered())
	}
	for i := range limitedMax {
		m.TooFast(l.now, 1000)
		if _, ended := m.TooFast(l.now, 1); ended != (i == limitedMax/2) && i <= limitedMax/2 {
			t.Errorf("command %d: got %t", i, ended)
		}
	}
	if fast, _ := other.TooFast(l.now, 1); fast {
		t.Error("another session pays for it")
	}
	m.Close()
	other.Close()
	if l.worker.Metered() != 0 {
		t.Errorf("%d sessions are counted after the end", l.worker.Metered())
	}
}

func TestRevoked(t *testing.T) {
	for _, tt := range []struct {
		name         string
		access       auth.Access
		secret       string
		old, now     auth.Credentials
		want, wanted bool
	}{
		{"the same", auth.ReadOnly, "r", secrets, secrets, false, false},
		{"another", auth.ReadOnly, "r", secrets, auth.Credentials{ReadOnly: "x", ReadWrite: "rw"}, true, false},
		{"the other one", auth.ReadOnly, "r", secrets, auth.Credentials{ReadOnly: "r", ReadWrite: "x"}, false, false},
		{"by the writer's", auth.ReadOnly, "rw", secrets, auth.Credentials{ReadOnly: "x", ReadWrite: "rw"}, false, false},
		{"the writer's is gone", auth.ReadOnly, "rw", secrets, auth.Credentials{ReadOnly: "r", ReadWrite: "x"}, true, false},
		{"opened", auth.ReadWrite, "rw", secrets, auth.Credentials{}, false, false},
		{"locked", auth.ReadWrite, "", auth.Credentials{}, secrets, true, false},
		{"nobody", auth.None, "", auth.Credentials{}, secrets, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t, Config{Secrets: tt.old})
			l := newLoop(t)
			early, late := l.enter(h), l.enter(h)
			if tt.access != auth.None {
				early.login(tt.access, tt.secret)
			}
			old := h.Config()
			h.Obey(Config{Secrets: tt.now})
			if got := early.Revoked(old, time.Time{}) != ""; got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
			if late.login(auth.ReadOnly, tt.now.ReadOnly).Revoked(old, time.Time{}) != "" {
				t.Error("a login by the new secret is revoked")
			}
		})
	}
}

func TestHooks(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{
		OnConnect: func(r *Request) (*Identity, error) {
			switch user := r.Header("X-User"); user {
			case "":
				return nil, errors.New("who are you?")
			case "banned":
				return nil, &codec.CloseError{Code: 4003, Reason: "go away"}
			default:
				return &Identity{User: user, Info: r.RemoteAddr.String()}, nil
			}
		},
		OnSubscribe: func(s *Session, channel string) error {
			if channel != s.Identity().User {
				return errors.New("not your channel")
			}
			return nil
		},
		OnPublish: func(s *Session, e Event) error {
			if e.Event != "e" || e.Channel != "ann" || string(e.Data) == "bad" {
				return errors.New("not that")
			}
			return nil
		},
	})
	for user, want := range map[string]codec.CloseError{
		"":       {Code: 1008, Reason: "who are you?"},
		"banned": {Code: 4003, Reason: "go away"},
	} {
		m, err := l.knock(h, map[string]string{"X-User": user})
		var got *codec.CloseError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("user %q: got %v, want %v", user, err, &want)
		}
		m.Close()
	}
	m, err := l.knock(h, map[string]string{"X-User": "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Identity(); got.User != "ann" || got.Info != "192.0.2.7:1" {
		t.Errorf("got %+v", got)
	}
	if r := m.Subscribe([]byte("ann")); r.Code != AccessDenied || r.Reason != "" {
		t.Errorf("before a login: got %v", r)
	}
	m.login(auth.ReadWrite, "")
	for _, step := range []struct {
		name string
		got  Result
		want Result
	}{
		{"subscribe", m.Subscribe([]byte("ann")), Result{}},
		{"to another's", m.Subscribe([]byte("bob")), Result{Code: AccessDenied, Reason: "not your channel"}},
		{"publish", m.publish("ann", "good"), Result{}},
		{"what is not allowed", m.publish("ann", "bad"), Result{Code: AccessDenied, Reason: "not that"}},
	} {
		if step.got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, step.got, step.want)
		}
	}
	if got := m.hears(); got != "ann e good" {
		t.Errorf("got %q", got)
	}
}

// A session whose lifetime is over is closed once, and one that has ended before
// is not.
func TestLifetime(t *testing.T) {
	l := newLoop(t)
	lifetimes := []time.Duration{3 * time.Second, 0, time.Second, 2 * time.Second, time.Second}
	i := -1
	h := newHub(t, Config{OnConnect: func(*Request) (*Identity, error) {
		i++
		return &Identity{Lifetime: lifetimes[i]}, nil
	}})
	var all []member
	for range lifetimes {
		all = append(all, l.enter(h))
	}
	all[4].Close()
	for now, want := range [][]uint64{nil, {3}, {3, 4}, {3, 4, 1}, {3, 4, 1}} {
		if l.turn(time.Second - 1); now == 0 {
			l.now = 0
		} else {
			l.turn(1)
		}
		for id := range uint64(6) {
			closed := false
			for _, w := range want {
				closed = closed || w == id
			}
			if got := l.closed[id]; (got == "4001 the session has expired") != closed {
				t.Errorf("after %d s: session %d: got %q, want closed %t", now, id, got, closed)
			}
		}
	}
	l.closed = map[uint64]string{}
	l.turn(time.Hour)
	if len(l.closed) != 0 {
		t.Errorf("closed again: %v", l.closed)
	}
}

// A lifetime has no length that makes another of it: the longest does not end, and
// one that is over does at once.
func TestLifetimeAtTheEdges(t *testing.T) {
	for lifetime, ends := range map[time.Duration]bool{math.MaxInt64: false, -1: true, math.MinInt64: true} {
		l := newLoop(t)
		l.now = time.Hour
		m := l.enter(newHub(t, Config{OnConnect: func(*Request) (*Identity, error) {
			return &Identity{Lifetime: lifetime}, nil
		}}))
		l.turn(time.Second)
		if _, ended := l.closed[m.subscriber.ID()]; ended != ends {
			t.Errorf("%v: got ended %t, want %t", lifetime, ended, ends)
		}
	}
}

// What a hook is given is its own: the next message arrives in the same buffer.
func TestHookKeepsAnEvent(t *testing.T) {
	var kept Event
	h := newHub(t, Config{OnPublish: func(_ *Session, e Event) error { kept = e; return nil }})
	m := newLoop(t).enter(h).login(auth.ReadWrite, "")
	m.Subscribe([]byte("c"))
	buffer := []byte("cefirst")
	if r := m.Publish(Publication{Channel: buffer[:1], Event: buffer[1:2], Data: buffer[2:]}); !r.OK() {
		t.Fatal(r)
	}
	copy(buffer, "xxxxxxx")
	if kept.Channel != "c" || kept.Event != "e" || string(kept.Data) != "first" {
		t.Errorf("got %s %s %s, want c e first", kept.Channel, kept.Event, kept.Data)
	}
}

// A loop that publishes faster than another one delivers is slowed down until that
// has caught up. No event is refused, and its own subscribers do not slow it.
func TestPublisherIsSlowed(t *testing.T) {
	h := newHub(t, Config{})
	fast, slow := newLoop(t), newLoop(t)
	publisher := fast.enter(h).login(auth.ReadWrite, "")
	publisher.Subscribe([]byte("own"))
	reader := slow.enter(h).login(auth.ReadOnly, "")
	reader.Subscribe([]byte("c"))
	data := strings.Repeat("x", 1<<20)
	for _, channel := range []string{"own", "c"} {
		for range 6 {
			if r := publisher.publish(channel, data); !r.OK() {
				t.Fatalf("Publish: got %v", r)
			}
		}
		want := time.Duration(-1)
		if channel == "c" {
			want = aheadPause
		}
		if got := fast.worker.Work(0); got != want {
			t.Errorf("after events of %s: got a pause of %v, want %v", channel, got, want)
		}
	}
	slow.turn(0)
	if got := fast.worker.Work(0); got >= 0 {
		t.Errorf("once the other loop has caught up: got a pause of %v", got)
	}
	if got := len(slow.heard[reader.id]); got != 6 {
		t.Errorf("the reader: got %d events, want 6", got)
	}
}

// A channel that a protocol has reserved is not opened by a secret, but by a token, a
// rule for it, or the protocol itself.
func TestReserve(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{
		Secrets: secrets,
		Rules:   []Rule{{Match: "private-of-{user}", Subscribe: Owner}},
		OnConnect: func(*Request) (*Identity, error) {
			return &Identity{User: "ann"}, nil
		},
	})
	h.Reserve(func(channel []byte) bool { return strings.HasPrefix(string(channel), "private-") })
	m, trusted := l.enter(h).login(auth.ReadWrite, secrets.ReadWrite), l.enter(h)
	trusted.Grant(auth.ReadWrite)
	for _, tt := range []struct {
		name    string
		m       member
		channel string
		want    Code
	}{
		{"a secret", m, "private-a", AccessDenied},
		{"a secret, for another channel", m, "public", Success},
		{"a rule", m, "private-of-ann", Success},
		{"a rule for somebody else", m, "private-of-bob", AccessDenied},
		{"the protocol itself", trusted, "private-a", Success},
	} {
		if r := tt.m.Subscribe([]byte(tt.channel)); r.Code != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, r.Code, tt.want)
		}
	}
	if r := m.publish("private-a", "1"); r.Code != AccessDenied {
		t.Errorf("publishing: got %v, want %v", r.Code, AccessDenied)
	}
	if r := trusted.publish("private-a", "1"); !r.OK() {
		t.Errorf("publishing by the protocol: got %v", r.Code)
	}
	h.Reserve(nil)
	if r := m.Subscribe([]byte("private-a")); !r.OK() {
		t.Errorf("without reserved channels: got %v", r.Code)
	}
}

// A notice reaches the sessions of one form, in its place among the events.
func TestNotify(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{})
	other := h.AddForm(pubsub.Encoding{Base: pubsub.Itself, Encode: func(m pubsub.Message, _ []byte) []byte {
		return []byte(string(m.Data) + " of " + m.User)
	}})
	a, b, c := l.enter(h).login(auth.ReadWrite, ""), l.enter(h), l.enter(h)
	for _, m := range []member{b, c} {
		m.subscriber.SetForm(other)
		m.Grant(auth.ReadWrite)
	}
	for _, m := range []member{a, b, c} {
		m.Subscribe([]byte("c"))
	}
	b.Publish(Publication{Channel: []byte("c"), Event: []byte("e"), Data: []byte("1"), User: "ann"})
	h.Notify(ChannelNotice{Channel: []byte("c"), Frame: []byte("notice"), Forms: []pubsub.Form{other}, Except: c.Session})
	h.Notify(ChannelNotice{Channel: []byte("nowhere"), Frame: []byte("notice"), Forms: []pubsub.Form{other}})
	if err := h.PublishExcept([]byte("c"), []byte("e"), []byte("2"), b.Session, ""); err != nil {
		t.Fatal(err)
	}
	for m, want := range map[member]string{a: "c e 1, c e 2", b: "1 of ann, notice", c: "1 of ann, 2 of "} {
		if got := m.hears(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := h.Published(); got != 1 {
		t.Errorf("%d events of the program are counted, want 1", got)
	}
	if got := b.Channels(); len(got) != 1 || got[0] != "c" {
		t.Errorf("hears the channels %q, want c", got)
	}
	if err := h.PublishExcept([]byte("nowhere"), []byte("e"), nil, nil, ""); !errors.Is(err, ErrInvalidChannel) {
		t.Errorf("a channel that nobody hears: got %v", err)
	}
}

func TestExceptSelf(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{})
	a, b := l.enter(h).login(auth.ReadWrite, ""), l.enter(h).login(auth.ReadWrite, "")
	a.Subscribe([]byte("c"))
	b.Subscribe([]byte("c"))
	p := Publication{Channel: []byte("c"), Event: []byte("e"), Data: []byte("1"), ExceptSelf: true}
	if r := a.Publish(p); !r.OK() {
		t.Fatal(r)
	}
	a.publish("c", "2")
	if got := a.hears(); got != "c e 2" {
		t.Errorf("the publisher: got %q", got)
	}
	if got := b.hears(); got != "c e 1, c e 2" {
		t.Errorf("the other: got %q", got)
	}
}

// What there may be millions of.
func TestSizeOfSession(t *testing.T) {
	if got := unsafe.Sizeof(Session{}); got != 64 {
		t.Errorf("a Session has %d bytes, want 64", got)
	}
}

func TestCounts(t *testing.T) {
	l := newLoop(t)
	h, other := newHub(t, Config{}), newHub(t, Config{})
	m := l.enter(h)
	l.enter(other)
	l.enter(other)
	m.Note(0, &codec.Command{Kind: codec.Subscribe}, LimitExceeded, 1)
	m.Note(0, &codec.Command{}, InvalidData, 1)
	var sum Counts
	seen := map[*Hub]int{}
	l.worker.Counts(func(h *Hub, c *Counts) {
		seen[h] = c.Sessions
		sum.Add(c)
	})
	if seen[h] != 1 || seen[other] != 2 || sum.Sessions != 3 {
		t.Errorf("got %v and %d in all", seen, sum.Sessions)
	}
	if sum.Commands[codec.Subscribe][LimitExceeded] != 1 || sum.Commands[0][InvalidData] != 1 {
		t.Errorf("got %v", sum.Commands)
	}
}
