package pubsub

import (
	"bytes"
	"math"
	"sync/atomic"
	"testing"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A sink records what a shard delivers, and stops where the test wants it to.
type sink struct {
	t     testing.TB
	shard *Shard
	wakes atomic.Int64 // since Work was called last

	slice   int                  // members that one Work serves, 0 for all
	left    int                  // of them in this Work
	heard   map[uint64][]string  // frames by member
	served  []uint64             // members in the order in which they were served
	several func(id uint64) bool // what the bit Several has to be; nil: not checked
	alone   []bool               // of each Deliver
	inWork  func(s *sink, n int) // called in each Deliver, which serves n; may be nil
}

func newSink(t testing.TB) *sink {
	s := &sink{t: t, heard: map[uint64][]string{}}
	s.shard = NewShard(s)
	return s
}

func (s *sink) Wake() { s.wakes.Add(1) }

// work calls Work with a slice that ends after so many members, 0 for none.
func (s *sink) work(slice int) State {
	s.wakes.Store(0)
	s.slice, s.left = slice, slice
	return s.shard.Work()
}

// rest works until nothing is left.
func (s *sink) rest() {
	s.t.Helper()
	for range 1000 {
		if s.work(0) == Idle {
			return
		}
	}
	s.t.Fatal("Work does not come to an end")
}

func (s *sink) Deliver(ids []uint64, run *delivery.Run) int {
	frames := framesOf(run)
	if len(ids) == 0 || len(frames) == 0 {
		s.t.Errorf("Deliver: got %d members and %d frames, want some of both", len(ids), len(frames))
	}
	if want := bytes.Join(frames, nil); !bytes.Equal(run.Joined, want) {
		s.t.Errorf("Deliver: joined is %q, the frames are %q", run.Joined, want)
	}
	n := len(ids)
	if s.slice > 0 {
		// A slice that is over still serves one: the walk has to get on.
		n = min(n, max(s.left, 1))
		s.left -= n
	}
	for _, id := range ids[:n] {
		s.take(id, frames)
	}
	s.alone = append(s.alone, run.Alone)
	if s.inWork != nil {
		s.inWork(s, n)
	}
	return n
}

func (s *sink) take(id uint64, frames [][]byte) {
	several := id&delivery.Several != 0
	id &^= delivery.Several
	if s.several != nil && several != s.several(id) {
		s.t.Errorf("member %d: got Several %v, want %v", id, several, s.several(id))
	}
	s.served = append(s.served, id)
	for _, f := range frames {
		s.heard[id] = append(s.heard[id], string(f))
	}
}

// subscriber returns one with that id.
func (s *sink) subscriber(id uint64) *Subscriber {
	sub := new(Subscriber)
	sub.Init(s.shard, id)
	return sub
}

// members makes subscribers 0 to n-1 of a channel.
func (s *sink) members(h *Hub, channel string, n int) []*Subscriber {
	all := make([]*Subscriber, n)
	for i := range all {
		all[i] = s.subscriber(uint64(i))
		subscribe(h, all[i], []byte(channel))
	}
	return all
}

// newHub returns a hub with two forms: the data as it is, and the same behind a "+"
// where the event is "both".
func newHub(permanent ...string) *Hub {
	h := NewHub()
	h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return m.Data }})
	h.AddForm(Encoding{Base: 0, Costly: true, Encode: func(m Message, base []byte) []byte {
		if string(m.Event) != "both" {
			return nil
		}
		return append([]byte("+"), base...)
	}})
	h.SetPermanent(permanent...)
	return h
}

// put publishes data to a channel.
func put(h *Hub, flow Flow, channel string, data []byte) error {
	_, err := h.Publish(Message{Channel: []byte(channel), Data: data}, flow)
	return err
}

// subscribe is Subscribe without a limit of channels.
func subscribe(h *Hub, s *Subscriber, channel []byte) bool {
	fresh, err := h.Subscribe(math.MaxInt, s, channel)
	return fresh && err == nil
}

func framesOf(run *delivery.Run) [][]byte {
	var frames [][]byte
	for _, item := range run.Items {
		frames = append(frames, item.Frame)
	}
	return frames
}

// publish sends data from nowhere.
func publish(t testing.TB, h *Hub, channel string, data ...string) {
	t.Helper()
	for _, f := range data {
		if err := put(h, Refuse, channel, []byte(f)); err != nil {
			t.Fatalf("Publish(%q, %q): %v", channel, f, err)
		}
	}
}
