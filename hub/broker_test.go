package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A wire is a broker that remembers what it is given.
type wire struct {
	joined []*Hub
	sent   []string
	behind bool
}

func (w *wire) Join(h *Hub) { w.joined = append(w.joined, h) }

func (w *wire) Send(h *Hub, m pubsub.Message) {
	w.sent = append(w.sent, strings.Join([]string{h.Name(), string(m.Channel), string(m.Event), string(m.Data), string(m.Key)}, " "))
}

func (w *wire) Behind() bool { return w.behind }

// What a hub publishes goes to its broker, once it is published here: also where nobody
// here hears it, but not what was refused, is a duplicate or came from elsewhere.
func TestBroker(t *testing.T) {
	l := newLoop(t)
	w := new(wire)
	h := newHub(t, Config{OnPublish: func(_ *Session, e Event) error {
		if e.Event == "forbidden" {
			return errors.New("no")
		}
		return nil
	}})
	h.Join(w)
	m := l.enter(h).login(auth.ReadWrite, "")
	m.Subscribe([]byte("c"))
	publish := func(channel, event, key string) Code {
		p := Publication{Channel: []byte(channel), Event: []byte(event), Data: []byte("1")}
		if key != "" {
			p.Key = []byte(key)
		}
		return m.Publish(p).Code
	}
	for _, tt := range []struct {
		channel, event, key string
		want                Code
	}{
		{"c", "e", "", Success},
		{"nobody", "e", "", Success},
		{"c", "forbidden", "", AccessDenied},
		{"", "e", "", InvalidChannel},
		{"a\x00b", "e", "", InvalidChannel},
		{strings.Repeat("x", 256), "e", "", InvalidChannel},
		{"c", "keyed", "k", Success},
		{"c", "keyed", "k", Success},
	} {
		if got := publish(tt.channel, tt.event, tt.key); got != tt.want {
			t.Errorf("%q %q: got %v, want %v", tt.channel, tt.event, got, tt.want)
		}
	}
	if err := h.Publish("elsewhere", "go", 2); err != nil {
		t.Error(err)
	}
	if err := h.Publish("a\nb", "go", 2); !errors.Is(err, ErrInvalidChannel) {
		t.Errorf("a name that no channel can have: got %v", err)
	}
	if err := h.Receive(pubsub.Message{Channel: []byte("c"), Event: []byte("far"), Data: []byte("3")}); err != nil {
		t.Error(err)
	}
	key := string(keyOf("", []byte("k")))
	if want := []string{"test c e 1 ", "test nobody e 1 ", "test c keyed 1 " + key, "test elsewhere go 2 "}; !slices.Equal(w.sent, want) {
		t.Errorf("sent %q, want %q", w.sent, want)
	}
	if got, want := m.hears(), "c e 1, c keyed 1, c far 3"; got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
	if len(w.joined) != 1 || w.joined[0] != h {
		t.Error("the hub has not joined")
	}
}

// Where a broker is behind, clients are slowed and programs refused, until it is not.
func TestBrokerBehind(t *testing.T) {
	l := newLoop(t)
	w := &wire{behind: true}
	h := newHub(t, Config{})
	h.Join(w)
	m := l.enter(h).login(auth.ReadWrite, "")
	if err := h.Publish("c", "e", nil); !errors.Is(err, ErrOverloaded) || len(w.sent) > 0 {
		t.Errorf("got %v, and %q was sent", err, w.sent)
	}
	if pause := l.worker.Work(l.now); pause >= 0 {
		t.Errorf("a loop that has published nothing pauses for %v", pause)
	}
	if r := m.Publish(Publication{Channel: []byte("c"), Event: []byte("e")}); !r.OK() || len(w.sent) != 1 {
		t.Errorf("got %+v, and %q was sent", r, w.sent)
	}
	if pause := l.worker.Work(l.now); pause != aheadPause {
		t.Errorf("got a pause of %v, want %v", pause, aheadPause)
	}
	w.behind = false
	if pause := l.worker.Work(l.now); pause >= 0 {
		t.Errorf("it pauses for %v afterwards", pause)
	}
}

// An event of another process waits where subscribers are not fast enough, and what does
// not come is told, to Go programs too.
func TestReceive(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{MaxChannels: 1, Rules: []Rule{{Match: "kept:*", History: History{Size: 10, TTL: time.Hour}}}})
	m := l.enter(h).login(auth.ReadOnly, "")
	m.Subscribe([]byte("c"))
	large := pubsub.Message{Channel: []byte("c"), Event: []byte("e"), Data: []byte(strings.Repeat("x", 5<<20))}
	if err := h.Receive(large); err != nil {
		t.Fatal(err)
	}
	if err := h.Receive(large); !errors.Is(err, ErrOverloaded) {
		t.Errorf("got %v, want ErrOverloaded", err)
	}
	m.hears()
	if err := h.Receive(pubsub.Message{Channel: []byte("kept:1"), Event: []byte("e")}); err != nil {
		t.Errorf("an event to keep, without room for its channel: got %v", err)
	}
	m.Unsubscribe([]byte("c"))
	events := make(chan Event, 10)
	s, err := h.Subscribe("d", func(e Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h.Lose("d", 3)
	h.LoseAll(time.Second, func(time.Duration) {})
	for _, want := range []int{3, -1} {
		if e := <-events; e.Lost != want || e.Event != "" {
			t.Errorf("got %+v, want %d lost", e, want)
		}
	}
}

// A crew is a Caller that knows who is there, and nothing else.
type crew struct {
	wire
	nodes []string
}

func (c *crew) Serve(string, func(context.Context, []byte) ([]byte, error)) {}

func (c *crew) Call(context.Context, string, []byte, time.Duration) ([]Answer, error) {
	return nil, nil
}

func (c *crew) Nodes() []string { return c.nodes }

// Of all nodes that agree who is there, one is on duty for a key, each for its share; when
// one goes, the others take over what was its own, and nothing else changes hands.
func TestOnDuty(t *testing.T) {
	alone := newHub(t, Config{})
	if !alone.OnDuty("c") {
		t.Error("nobody is on duty where there is one process")
	}
	names := []string{"n0", "n1", "n2"}
	const keys = 3000
	of := func(there ...string) (duty map[string]string) {
		duty = map[string]string{}
		for i, name := range there {
			h := newHub(t, Config{})
			h.Join(&crew{nodes: append([]string{name}, slices.Delete(slices.Clone(there), i, i+1)...)})
			for k := range keys {
				if key := fmt.Sprint("channel-", k); h.OnDuty(key) {
					if other, taken := duty[key]; taken {
						t.Fatalf("%s and %s are on duty for %s", other, name, key)
					}
					duty[key] = name
				}
			}
		}
		if len(duty) != keys {
			t.Fatalf("nobody is on duty for %d keys", keys-len(duty))
		}
		return duty
	}
	all, left := of(names...), of(names[:2]...)
	share := map[string]int{}
	for key, name := range all {
		share[name]++
		if name != "n2" && left[key] != name {
			t.Fatalf("%s goes from %s to %s, which were there all the while", key, name, left[key])
		}
	}
	for _, name := range names {
		if share[name] < keys/4 || share[name] > keys*5/12 {
			t.Errorf("the shares are %v", share)
		}
	}
}

// An event that comes from another process beside the Sequencer, since the rules there are
// others, has no place in the history: subscribers are told that it is missing.
func TestReceiveBesideSequencer(t *testing.T) {
	h := newHub(t, Config{Rules: []Rule{{Match: "kept", History: History{Size: 9, TTL: time.Hour}}}})
	source := new(pubsub.Source)
	h.Sequence(nil, func(string) *pubsub.Source { return source })
	events := make(chan Event, 9)
	s, err := h.Subscribe("kept", func(e Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, channel := range []string{"kept", "nobody"} {
		if err := h.Receive(pubsub.Message{Channel: []byte(channel), Event: []byte("far")}); err != nil {
			t.Errorf("%s: %v", channel, err)
		}
	}
	if err := h.Place(pubsub.Message{Channel: []byte("kept"), Event: []byte("stored"), Offset: 5}, false); err != nil {
		t.Error(err)
	}
	if e := <-events; e.Lost != 1 {
		t.Errorf("got %+v, want that one is lost", e)
	}
	if e := <-events; e.Event != "stored" || e.Lost != 0 {
		t.Errorf("got %+v, want what is stored", e)
	}
}
