package pubsub

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

func TestChannels(t *testing.T) {
	h, s, other := newHub("quiet"), newSink(t), newSink(t)
	s.members(h, "a1", 1)
	s.members(h, "a2", 2)
	other.members(h, "a2", 3)
	s.members(h, "b", 4)
	publish(t, h, "b", "x")
	publish(t, h, "a1", "xx", "yy")
	for _, tt := range []struct {
		name   string
		prefix string
		order  Order
		n      int
		want   []string
		total  int
	}{
		{"by name", "", ByName, 9, []string{"a1", "a2", "b", "quiet"}, 4},
		{"by prefix", "a", ByName, 9, []string{"a1", "a2"}, 2},
		{"the first", "", ByName, 1, []string{"a1"}, 4},
		{"none", "x", ByName, 9, nil, 0},
		{"most frames", "", ByPublished, 3, []string{"a1", "b", "a2"}, 4},
		{"most subscribers", "", BySubscribers, 2, []string{"a2", "b"}, 4},
	} {
		found, total := h.Channels(tt.prefix, tt.order, tt.n)
		var got []string
		for _, c := range found {
			got = append(got, c.Name)
		}
		if !slices.Equal(got, tt.want) || total != tt.total {
			t.Errorf("%s: got %v of %d, want %v of %d", tt.name, got, total, tt.want, tt.total)
		}
	}
	found, _ := h.Channels("a", ByName, 2)
	want := []ChannelStats{
		{Name: "a1", Subscribers: 1, Published: 2, Bytes: 4},
		{Name: "a2", Subscribers: 5},
	}
	if !slices.Equal(found, want) {
		t.Errorf("got %+v, want %+v", found, want)
	}
	if found, _ := h.Channels("quiet", ByName, 1); !found[0].Permanent {
		t.Errorf("got %+v, want it permanent", found)
	}
}

// Many channels are looked at, and few kept.
func TestManyChannels(t *testing.T) {
	h := newHub()
	for i := range 3000 {
		name := fmt.Append(nil, i)
		ch, _ := h.needChannel(h.stripe(name), name, math.MaxInt)
		ch.published = uint64(i)
	}
	found, total := h.Channels("", ByPublished, 2)
	if total != 3000 || found[0].Name != "2999" || found[1].Name != "2998" || cap(found) > 512 {
		t.Errorf("got %+v of %d in a list for %d", found, total, cap(found))
	}
}

func TestMembers(t *testing.T) {
	h, s, other := newHub(), newSink(t), newSink(t)
	s.members(h, "a", 3)
	s.members(h, "b", 1)
	got := h.Members(s.shard, []byte("a"))
	slices.Sort(got)
	if len(got) != 3 || got[2]&delivery.Several != 0 {
		t.Errorf("got %x, want the ids of three", got)
	}
	if got := h.Members(other.shard, []byte("a")); got != nil {
		t.Errorf("the other shard: got %x", got)
	}
	if got := h.Members(s.shard, []byte("c")); got != nil {
		t.Errorf("no channel: got %x", got)
	}
}

// Who hears several channels is a member of each by the same id.
func TestMembersOfSeveral(t *testing.T) {
	h, s := newHub(), newSink(t)
	sub := s.subscriber(7)
	for _, channel := range []string{"a", "b"} {
		subscribe(h, sub, []byte(channel))
	}
	for _, channel := range []string{"a", "b"} {
		if got := h.Members(s.shard, []byte(channel)); !slices.Equal(got, []uint64{7}) {
			t.Errorf("%s: got %x, want 7", channel, got)
		}
	}
}

func TestSubscriptionsAreCounted(t *testing.T) {
	h, s := newHub("c"), newSink(t)
	one, two := s.subscriber(1), s.subscriber(2)
	for i, step := range []struct {
		do   func()
		want int
	}{
		{func() { subscribe(h, one, []byte("a")) }, 1},
		{func() { subscribe(h, one, []byte("a")) }, 1},
		{func() { subscribe(h, one, []byte("b")) }, 2},
		{func() { subscribe(h, two, []byte("a")) }, 3},
		{func() { subscribe(h, two, []byte("c")) }, 4},
		{func() { h.Unsubscribe(one, []byte("a")) }, 3},
		{func() { h.Unsubscribe(one, []byte("a")) }, 3},
		{func() { two.Leave() }, 1},
		{func() { one.Leave() }, 0},
	} {
		step.do()
		if got := s.shard.Stats().Subscriptions; got != step.want {
			t.Errorf("step %d: got %d subscriptions, want %d", i, got, step.want)
		}
	}
}

// The time of a run counts from its first frame until its last member's write.
func TestDeliveryIsMeasured(t *testing.T) {
	h, s := newHub(), newSink(t)
	var now time.Duration
	s.shard.Clock = func() time.Duration { return now }
	s.members(h, "a", 2)
	at := func(when time.Duration, data string) {
		t.Helper()
		now = when
		m := Message{Channel: []byte("a"), Data: []byte(data), At: when}
		if _, err := h.Publish(m, Slowing(s.shard)); err != nil {
			t.Fatal(err)
		}
	}
	at(0, "1")
	at(time.Second, "2")
	now = 3 * time.Second
	if got := s.work(1); got != More {
		t.Fatalf("got %v, want More", got)
	}
	s.shard.Written() // not to the second member
	now = 4 * time.Second
	s.rest()
	if stats := s.shard.Stats(); stats.Delivery.Count() != 0 {
		t.Error("a run is measured before it is written")
	}
	now = 5 * time.Second
	s.shard.Written()
	at(2*time.Second, "3")
	now = 3 * time.Second
	s.rest()
	s.shard.Written()
	s.shard.Written()
	stats := s.shard.Stats()
	if stats.Subscriptions != 2 || stats.Delivery.Count() != 2 || stats.Delivery.Sum != 6*time.Second {
		t.Errorf("got %+v, want runs of 5 s and 1 s for 2 subscriptions", stats)
	}
}
