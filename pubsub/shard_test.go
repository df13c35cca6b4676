package pubsub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A turn costs at most one wake, however many channels and members it serves.
func TestOneWake(t *testing.T) {
	h, s, asleep := newHub(), newSink(t), newSink(t)
	s.members(h, "a", 10)
	s.members(h, "b", 10)
	asleep.subscriber(1)
	for turn := range 3 {
		for _, channel := range []string{"a", "b", "a"} {
			publish(t, h, channel, "x", "y")
		}
		if got := s.wakes.Load(); got != 1 {
			t.Errorf("turn %d: got %d wakes, want 1", turn, got)
		}
		s.rest()
	}
	if got := asleep.wakes.Load(); got != 0 {
		t.Errorf("the shard without members: got %d wakes, want 0", got)
	}
	if got := len(s.heard[3]); got != 3*6 {
		t.Errorf("member 3 heard %d frames, want 18", got)
	}
}

// What comes while a shard has work left needs no wake to be found: it is
// found by the Work that More has asked for.
func TestPublishWhileWorking(t *testing.T) {
	h, s := newHub(), newSink(t)
	s.members(h, "a", 4)
	s.members(h, "b", 4)
	publish(t, h, "a", "1")
	if got := s.work(2); got != More {
		t.Fatalf("Work: got %v, want More", got)
	}
	publish(t, h, "a", "2")
	publish(t, h, "b", "1")
	s.rest()
	for id := range uint64(4) {
		if got := len(s.heard[id]); got != 3 {
			t.Errorf("member %d heard %d frames, want 3", id, got)
		}
	}
}

func TestPublishFromTheSink(t *testing.T) {
	h, s := newHub(), newSink(t)
	s.members(h, "c", 3)
	left := 5
	s.inWork = func(s *sink, _ int) {
		if left > 0 {
			left--
			if err := put(h, Slowing(s.shard), "c", []byte{'a' + byte(left)}); err != nil {
				t.Error(err)
			}
		}
	}
	publish(t, h, "c", "f")
	s.rest()
	for id := range uint64(3) {
		if got := strings.Join(s.heard[id], ""); got != "fedcba" {
			t.Errorf("member %d: got %q, want fedcba", id, got)
		}
	}
}

// A small channel is served after one portion of a large one, though the large
// one came first and has more than a slice can hold.
func TestSmallChannelIsNotStarved(t *testing.T) {
	const large = 10 * portion
	h, s := newHub(), newSink(t)
	s.members(h, "large", large)
	small := s.subscriber(large)
	subscribe(h, small, []byte("small"))
	for range 5 {
		publish(t, h, "large", "x")
	}
	publish(t, h, "small", "y")
	for range 3 {
		s.work(portion + 1)
	}
	if got := s.heard[large]; !slices.Equal(got, []string{"y"}) {
		t.Errorf("the small channel: got %q after three slices, want y", got)
	}
	s.rest()
	for id := range uint64(large) {
		if got := len(s.heard[id]); got != 5 {
			t.Fatalf("member %d of the large channel heard %d frames, want 5", id, got)
		}
	}
}

// Members are served in turn, whatever a slice holds.
func TestSlicesGoOnWhereTheyEnded(t *testing.T) {
	const members = 2*portion + 7
	for _, slice := range []int{1, 16, portion - 1, portion, portion + 1, members - 1, members} {
		t.Run(fmt.Sprint(slice), func(t *testing.T) {
			h, s := newHub(), newSink(t)
			s.members(h, "c", members)
			publish(t, h, "c", "x")
			works := 1
			for s.work(slice) == More {
				works++
			}
			seen := map[uint64]bool{}
			for _, id := range s.served {
				seen[id] = true
			}
			if len(s.served) != members || len(seen) != members {
				t.Errorf("got %d deliveries to %d members, want %d", len(s.served), len(seen), members)
			}
			if works < members/slice {
				t.Errorf("got %d slices, want at least %d", works, members/slice)
			}
		})
	}
}

// Alone means that members of one channel only are served in this turn.
func TestAlone(t *testing.T) {
	tests := []struct {
		name    string
		publish []string
		want    bool
	}{
		{"one channel", []string{"a"}, true},
		{"one channel, several frames", []string{"a", "a"}, true},
		{"two channels", []string{"a", "b"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, s := newHub(), newSink(t)
			for _, sub := range s.members(h, "a", 2) {
				subscribe(h, sub, []byte("b"))
			}
			for _, channel := range test.publish {
				publish(t, h, channel, "x")
			}
			s.rest()
			for i, got := range s.alone {
				if got != test.want {
					t.Errorf("run %d: got alone %v, want %v", i, got, test.want)
				}
			}
		})
	}
}

func TestOverload(t *testing.T) {
	const size = 1 << 20
	h, s := newHub(), newSink(t)
	publisher := newSink(t)
	s.members(h, "c", 5)
	other := s.subscriber(1000)
	subscribe(h, other, []byte("d"))
	free := publisher.subscriber(1)
	subscribe(h, free, []byte("free"))
	frame := make([]byte, size)

	for range backlogMax/size + 1 {
		if err := put(h, Refuse, "c", frame); err != nil {
			t.Fatalf("Publish below the limit: %v", err)
		}
	}
	if err := put(h, Refuse, "d", frame); !errors.Is(err, ErrOverloaded) {
		t.Errorf("Publish to another channel of the shard: got %v, want ErrOverloaded", err)
	}
	if err := put(h, Refuse, "free", frame[:1]); err != nil {
		t.Errorf("Publish to a channel on another shard: got %v, want nil", err)
	}
	if err := put(h, Slowing(publisher.shard), "c", frame[:1]); err != nil {
		t.Errorf("Publish from a loop: got %v, want nil", err)
	}
	if got := publisher.work(0); got != Ahead {
		t.Errorf("Work of the publishing loop: got %v, want Ahead", got)
	}
	if got := publisher.work(0); got != Ahead {
		t.Errorf("again: got %v, want Ahead", got)
	}

	// Above the limit the end of a slice is no reason to stop.
	if got := s.work(1); got != More {
		t.Errorf("Work: got %v, want More", got)
	}
	if s.shard.overloaded() {
		t.Errorf("Work gave the loop back with %d bytes waiting", s.shard.backlog.Load())
	}
	if got := publisher.work(0); got != Idle {
		t.Errorf("Work of the publishing loop then: got %v, want Idle", got)
	}
	if err := put(h, Refuse, "c", frame[:1]); err != nil {
		t.Errorf("Publish then: got %v, want nil", err)
	}
	s.rest()
	if got := s.shard.backlog.Load(); got != 0 {
		t.Errorf("backlog: got %d, want 0", got)
	}
	if got, want := len(s.heard[0]), backlogMax/size+1+2; got != want {
		t.Errorf("member 0 heard %d frames, want %d", got, want)
	}
	if got := len(s.heard[1000]); got != 0 {
		t.Errorf("a refused frame was delivered to %d members", got)
	}
}

// A loop that fills its own shard does not wait for itself.
func TestOverloadOfOneself(t *testing.T) {
	h, s := newHub(), newSink(t)
	s.members(h, "c", 1)
	for range 6 {
		if err := put(h, Slowing(s.shard), "c", make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.work(1); got != Idle {
		t.Errorf("Work: got %v, want Idle", got)
	}
}

// Two loops that publish to each other do not wait for each other for ever.
func TestOverloadOfEachOther(t *testing.T) {
	h, a, b := newHub(), newSink(t), newSink(t)
	a.members(h, "a", 2)
	b.members(h, "b", 2)
	for range 6 {
		_ = put(h, Slowing(a.shard), "b", make([]byte, 1<<20))
		_ = put(h, Slowing(b.shard), "a", make([]byte, 1<<20))
	}
	if got := a.work(0); got != Ahead {
		t.Errorf("the first: got %v, want Ahead", got)
	}
	if got := b.work(0); got != Idle {
		t.Errorf("the second: got %v, want Idle", got)
	}
	if got := a.work(0); got != Idle {
		t.Errorf("the first again: got %v, want Idle", got)
	}
}

// The backlog counts what no walk has begun with.
func TestBacklog(t *testing.T) {
	h, s := newHub(), newSink(t)
	all := s.members(h, "c", 3)
	want := func(name string, n int64) {
		t.Helper()
		if got := s.shard.backlog.Load(); got != n {
			t.Errorf("%s: got a backlog of %d, want %d", name, got, n)
		}
	}
	want("new", 0)
	publish(t, h, "c", "12", "345")
	want("published", 5)
	s.work(1)
	want("one of three served", 0)
	publish(t, h, "c", "6")
	want("published again", 1)
	s.rest()
	want("served", 0)
	publish(t, h, "c", "1")
	s.work(1)
	publish(t, h, "c", "2")
	for _, sub := range all {
		sub.Leave()
	}
	s.rest()
	want("all left", 0)
}

// After a burst a shard keeps few buffers.
func TestBuffersKept(t *testing.T) {
	const channels = 50
	h, s := newHub(), newSink(t)
	for c := range channels {
		s.members(h, fmt.Sprint(c), 2*portion)
	}
	for c := range channels {
		publish(t, h, fmt.Sprint(c), "x", "y")
	}
	s.rest()
	if got := len(s.shard.buffers); got > buffersMax {
		t.Errorf("got %d buffers kept, want at most %d", got, buffersMax)
	}
	for _, b := range s.shard.buffers {
		if len(b) != 0 || cap(b) != runMax {
			t.Errorf("a buffer has length %d and capacity %d, want 0 and %d", len(b), cap(b), runMax)
		}
	}
}

// Delivering allocates nothing, and publishing nothing but what the caller makes.
func TestNoAllocations(t *testing.T) {
	h, shard := newHub(), NewShard(nothing{})
	for id := range uint64(100) {
		sub := new(Subscriber)
		sub.Init(shard, id)
		subscribe(h, sub, []byte("c"))
	}
	name, frame := []byte("c"), []byte("x")
	got := testing.AllocsPerRun(100, func() {
		for range 3 {
			_, _ = h.Publish(Message{Channel: name, Data: frame}, Slowing(shard))
		}
		shard.Work()
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

// clumsy is a Sink that panics in some of its deliveries.
type clumsy struct {
	calls, panics int
	got           map[uint64][]string
}

func (c *clumsy) Wake() {}

func (c *clumsy) Deliver(ids []uint64, run *delivery.Run) int {
	c.calls++
	for i, id := range ids {
		if c.calls%3 == 0 && i == 1 {
			c.panics++
			panic("out of order")
		}
		for _, item := range run.Items {
			c.got[id] = append(c.got[id], string(item.Frame))
		}
	}
	return len(ids)
}

// After a panic of the Sink what comes later is delivered, nothing twice, and in
// order.
func TestWorkAfterAPanic(t *testing.T) {
	sink := &clumsy{got: map[uint64][]string{}}
	shard := NewShard(sink)
	h := newHub()
	subscribers := make([]Subscriber, 3)
	for i := range subscribers {
		subscribers[i].Init(shard, uint64(i))
		subscribe(h, &subscribers[i], []byte("c"))
	}
	work := func() {
		defer func() { _ = recover() }()
		shard.Work()
	}
	const rounds = 100
	for i := range rounds {
		if err := put(h, Refuse, "c", fmt.Appendf(nil, "%03d", i)); err != nil {
			t.Fatal(err)
		}
		work()
	}
	for id, got := range sink.got {
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("member %d: got %q", id, got)
		}
		if id != 0 && len(got) != rounds-sink.panics {
			t.Errorf("member %d: got %d of %d, with %d panics", id, len(got), rounds, sink.panics)
		}
	}
	if sink.panics == 0 {
		t.Error("there was no panic")
	}
	for i := range subscribers {
		subscribers[i].Leave()
	}
}
