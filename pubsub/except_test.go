package pubsub

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A member that is left out of a message misses that one only, wherever it stands
// in its audience and wherever the walk is interrupted; all others get everything
// once and in order.
func TestExcept(t *testing.T) {
	const members = 5
	for out := range members {
		for slice := range members + 1 {
			t.Run(fmt.Sprintf("member %d/slices of %d", out, slice), func(t *testing.T) {
				h, s := newHub(), newSink(t)
				all := s.members(h, "c", members)
				for i, except := range []*Subscriber{nil, all[out], all[out], nil, all[(out+1)%members]} {
					m := Message{Channel: []byte("c"), Data: fmt.Append(nil, i), Except: except}
					if _, err := h.Publish(m, Refuse); err != nil {
						t.Fatal(err)
					}
				}
				for s.work(slice) != Idle {
				}
				for id := range members {
					want := "01234"
					switch id {
					case out:
						want = "034"
					case (out + 1) % members:
						want = "0123"
					}
					if got := strings.Join(s.heard[uint64(id)], ""); got != want {
						t.Errorf("member %d: got %q, want %q", id, got, want)
					}
				}
				checkHub(t, h)
			})
		}
	}
}

// A member that is left out may be of another shard or channel, may have left, and
// may come back.
func TestExceptNoMember(t *testing.T) {
	h, s, far := newHub("c"), newSink(t), newSink(t)
	s.members(h, "c", 2)
	other, moved := far.subscriber(1), s.subscriber(9)
	subscribe(h, other, []byte("d"))
	subscribe(h, moved, []byte("c"))
	send := func(data string, except *Subscriber) {
		t.Helper()
		if _, err := h.Publish(Message{Channel: []byte("c"), Data: []byte(data), Except: except}, Refuse); err != nil {
			t.Fatal(err)
		}
	}
	send("1", other)
	send("2", moved)
	moved.Leave()
	s.work(1)
	subscribe(h, moved, []byte("c"))
	send("3", moved)
	send("4", nil)
	s.rest()
	for id, want := range map[uint64][]string{0: {"1", "2", "3", "4"}, 1: {"1", "2", "3", "4"}, 9: {"4"}} {
		if got := s.heard[id]; !slices.Equal(got, want) {
			t.Errorf("member %d: got %q, want %q", id, got, want)
		}
	}
	only := s.subscriber(20)
	subscribe(h, only, []byte("alone"))
	if _, err := h.Publish(Message{Channel: []byte("alone"), Data: []byte("x"), Except: only}, Refuse); err != nil {
		t.Fatal(err)
	}
	s.rest()
	if got := s.heard[20]; got != nil || s.shard.backlog.Load() != 0 {
		t.Errorf("the only member, left out: got %q and a backlog of %d", got, s.shard.backlog.Load())
	}
}

// Messages that one publisher does not get itself are delivered together, as
// others are, and a member that leaves takes what waits for it along.
func TestExceptIsJoined(t *testing.T) {
	h, s := newHub(), newSink(t)
	all := s.members(h, "c", 3)
	for i, except := range []*Subscriber{all[0], all[0], all[0], all[1], nil, nil} {
		if _, err := h.Publish(Message{Channel: []byte("c"), Data: fmt.Append(nil, i), Except: except}, Refuse); err != nil {
			t.Fatal(err)
		}
	}
	s.work(1) // of the first run
	for _, sub := range all[1:] {
		sub.Leave()
	}
	s.rest()
	if got := strings.Join(s.heard[0], ""); got != "345" {
		t.Errorf("member 0: got %q, want 345", got)
	}
	if len(s.alone) != 3 {
		t.Errorf("got %d deliveries, want one for each run of the same member", len(s.alone))
	}
	all[0].Leave()
	if got := s.shard.backlog.Load(); got != 0 {
		t.Errorf("got a backlog of %d, want 0", got)
	}
}

// An audience that ends between two of its runs leaves no backlog.
func TestExceptDiscarded(t *testing.T) {
	h, s := newHub(), newSink(t)
	all := s.members(h, "c", 2)
	for i := range 10 {
		if _, err := h.Publish(Message{Channel: []byte("c"), Data: []byte("data"), Except: all[i%2]}, Refuse); err != nil {
			t.Fatal(err)
		}
	}
	s.work(1)
	s.work(1)
	for _, sub := range all {
		sub.Leave()
	}
	if got := s.shard.backlog.Load(); got != 0 {
		t.Errorf("got a backlog of %d, want 0", got)
	}
	s.rest()
}
