package pubsub

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A collector is a sink that remembers what each member gets.
type collector struct{ got map[uint64][]string }

func (c *collector) Wake() {}

func (c *collector) Deliver(ids []uint64, run *delivery.Run) int {
	if c.got == nil {
		c.got = make(map[uint64][]string)
	}
	for _, id := range ids {
		for _, item := range run.Items {
			c.got[id&^delivery.Several] = append(c.got[id&^delivery.Several], string(item.Frame))
		}
	}
	return len(ids)
}

// lossy is an encoding that shows notices.
var lossy = Encoding{Base: Itself, Kept: true, Encode: func(m Message, _ []byte) []byte {
	if m.Lost != 0 {
		return []byte("lost " + strconv.FormatInt(m.Lost, 10) + " at " + strconv.FormatUint(m.Offset, 10))
	}
	return m.Data
}}

// A notice of what is missing stands in its place among the messages, and only the members
// of its channel get it.
func TestLose(t *testing.T) {
	h := NewHub()
	h.AddForm(lossy)
	sink := &collector{}
	shard := NewShard(sink)
	var a, b Subscriber
	a.Init(shard, 1)
	b.Init(shard, 2)
	for s, channel := range map[*Subscriber]string{&a: "c", &b: "d"} {
		if _, err := h.Subscribe(10, s, []byte(channel)); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(data string) {
		t.Helper()
		if _, err := h.Publish(Message{Channel: []byte("c"), Data: []byte(data)}, Always); err != nil {
			t.Fatal(err)
		}
	}
	publish("1")
	h.Lose([]byte("c"), 3, 0)
	publish("5")
	h.Lose([]byte("nobody"), 1, 0)
	shard.Work()
	if want := []string{"1", "lost 3 at 0", "5"}; !slices.Equal(sink.got[1], want) || sink.got[2] != nil {
		t.Errorf("got %q and %q, want %q for the first", sink.got[1], sink.got[2], want)
	}
	parts := 0
	h.LoseAll(func() time.Duration { return 0 }, func(int) { parts++ })
	shard.Work()
	if got := sink.got[2]; !slices.Equal(got, []string{"lost -1 at 0"}) || parts != stripeCount {
		t.Errorf("got %q after %d parts", got, parts)
	}
}

// In a channel with a history a notice says where the gap is: who has had it has a position
// behind the gap, and comes back from there.
func TestLoseInAHistory(t *testing.T) {
	h := NewHub()
	h.AddForm(lossy)
	h.SetHistory(func(string) History { return History{Size: 10, TTL: time.Hour} })
	sink := &collector{}
	shard := NewShard(sink)
	var a, b Subscriber
	a.Init(shard, 1)
	b.Init(shard, 2)
	from(t, h, &a, "c", 0)
	for range 2 {
		if _, err := h.Publish(Message{Channel: []byte("c"), Data: []byte("x")}, Always); err != nil {
			t.Fatal(err)
		}
	}
	h.Lose([]byte("c"), 3, 0)
	shard.Work()
	if got, want := sink.got[1], []string{"x", "x", "lost 3 at 3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if begun := from(t, h, &b, "c", 3); !begun.Recovered {
		t.Errorf("behind the gap: got %+v", begun)
	}
}

// Nobody comes back over a gap unknowingly: positions from before it are not recovered,
// whether the channel was there or had been forgotten.
func TestLoseEndsPositions(t *testing.T) {
	h := NewHub()
	h.AddForm(lossy)
	h.SetHistory(func(string) History { return History{Size: 10, TTL: time.Hour} })
	shard := NewShard(&collector{})
	gone := func() {
		h.Sweep(2 * time.Hour)
		for h.Len() > 0 {
			h.Sweep(3 * time.Hour)
		}
	}
	for _, tt := range []struct {
		name string
		lose func()
	}{
		{"of the channel", func() { h.Lose([]byte("c"), 1, 0) }},
		{"of all", func() { h.LoseAll(func() time.Duration { return 0 }, func(int) {}) }},
		{"of a channel that is gone", func() {
			gone()
			h.Lose([]byte("c"), 1, 0)
		}},
		{"of all, and the channel is gone", func() {
			gone()
			h.LoseAll(func() time.Duration { return 0 }, func(int) {})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := h.Publish(Message{Channel: []byte("c"), Data: []byte("x")}, Always)
			if err != nil {
				t.Fatal(err)
			}
			tt.lose()
			var s Subscriber
			s.Init(shard, 1)
			begun, err := h.SubscribeFrom(10, &s, []byte("c"), Start{Since: Position{h.Epoch(), p.Offset}})
			if err != nil || begun.Recovered || begun.Reason != ReasonExpired || begun.Offset <= p.Offset {
				t.Errorf("got %+v, %v", begun, err)
			}
			s.Leave()
		})
	}
}

// A message that is heard elsewhere too is accepted without a channel here, and its key is
// remembered.
func TestPublishAnywhere(t *testing.T) {
	h := NewHub()
	m := Message{Channel: []byte("c"), Key: []byte("k")}
	if _, err := h.Publish(m, Always); !errors.Is(err, ErrNoChannel) {
		t.Errorf("a hub that is alone: got %v", err)
	}
	for i := range 2 {
		if p, err := h.Publish(m, Always.Anywhere()); err != nil || p.Duplicate != (i == 1) {
			t.Errorf("got %+v, %v", p, err)
		}
	}
	if h.Len() != 0 {
		t.Error("a channel was made")
	}
}
