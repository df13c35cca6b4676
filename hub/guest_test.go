package hub

import (
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/auth"
)

// A teller is a broker that gives what one hub tells to another one, as a cluster does.
type teller struct {
	wire
	to    *Hub
	known map[Fact]any // without their values
	told  int
}

func (l *teller) Tell(_ *Hub, f Fact) {
	key := f
	key.Value = ""
	l.known[key] = l.to.Learn(f, l.known[key])
	l.told++
}

func (l *teller) Untell(_ *Hub, f Fact) {
	l.to.Unlearn(f, l.known[f])
	delete(l.known, f)
}

// Those who are present by connections of another process are in the lists of this one,
// and those that watch are told: when they come, are somebody else, and go. They are members as
// the rules here say.
func TestGuests(t *testing.T) {
	k := newIssuer(t, "a")
	config := Config{Tokens: k.tokens(), Secrets: secrets, Rules: []Rule{byClient, {
		Match: "u", Subscribe: Users, Presence: Presence{Mode: PresenceUsers, LeaveAfter: time.Millisecond},
	}}}
	here, far := presenceHub(t, config), presenceHub(t, config)
	link := &teller{to: here, known: map[Fact]any{}}
	far.Join(link)
	l, other := newLoop(t), newLoop(t)
	other.ids = 100
	watcher := l.enter(here).login(auth.ReadOnly, "r")
	if r := watcher.watch("c"); !r.OK() {
		t.Fatalf("watch: got %+v", r)
	}
	hears := func(text string) {
		t.Helper()
		here.TellGuests()
		l.turn(time.Minute)
		want(t, "the watcher hears", watcher.hears(), text)
	}
	m := other.enter(far)
	m.show(k.sign(info("42", `"x"`)))
	if m.show(k.token("42", "c=subscribe,presence")); !m.Subscribe([]byte("c")).OK() || !m.Subscribe([]byte("u")).OK() {
		t.Fatal("it does not subscribe")
	}
	want(t, "there", there(t, here, "c"), "client1 client10142")
	want(t, "users", there(t, here, "u"), "42")
	hears("+client10142 1-2 (2, 1)")
	m.show(k.sign(info("42", `"new"`)))
	want(t, "with another info", there(t, here, "u"), `42"new"`)
	m.show(k.token("42", "c=subscribe,presence"))
	m.Subscribe([]byte("c"))

	second := other.enter(far)
	second.show(k.token("42"))
	second.Subscribe([]byte("u"))
	m.Unsubscribe([]byte("u"))
	page, err := here.Presence("u", 0, 0)
	if err != nil || page.Users != 1 || page.Clients != 1 {
		t.Errorf("a user with another connection: got %+v, %v", page, err)
	}
	second.Close()
	for begin := time.Now(); there(t, here, "u") != "" && time.Since(begin) < 30*time.Second; {
		here.TellGuests() // the user leaves after a while
	}
	want(t, "users", there(t, here, "u"), "")

	none := config
	none.Rules = nil
	here.Obey(none)
	if _, err := here.Presence("c", 0, 0); err == nil {
		t.Error("there is presence without a rule")
	}
	here.Obey(config)
	watcher.Reattend()
	want(t, "after another rule and back", there(t, here, "c"), "client1 client10142")
	m.Close()
	want(t, "after the end", there(t, here, "c"), "client1")
	if len(link.known) > 0 || len(here.guests.all) > 0 {
		t.Errorf("left over: %v", link.known)
	}

	told := link.told
	plain := other.enter(far).login(auth.ReadOnly, "r")
	plain.Subscribe([]byte("plain"))
	plain.Close()
	want(t, "facts of a channel without presence", link.told-told, 0)
}
