package pubsub

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// joinLive makes a subscriber a member that wants nothing of before.
func joinLive(t *testing.T, h *Hub, sub *Subscriber) {
	t.Helper()
	if b, err := h.SubscribeFrom(100, sub, []byte("c"), Start{Live: true}); err != nil || !b.Fresh {
		t.Fatalf("got %+v, %v", b, err)
	}
}

// A member that joins live gets what is published from then on, once and in order, and
// nothing of before, wherever the walk is interrupted and whoever comes and goes.
func TestJoinLive(t *testing.T) {
	for slice := range 5 {
		for before := range 4 { // messages that wait when the first of them joins
			t.Run(fmt.Sprintf("slices of %d/behind %d", slice, before), func(t *testing.T) {
				h, s := newHub(), newSink(t)
				old := s.members(h, "c", 3)
				all := []*Subscriber{s.subscriber(10), s.subscriber(11), s.subscriber(12), s.subscriber(13)}
				want := map[uint64]string{}
				said := ""
				say := func(except *Subscriber) {
					t.Helper()
					text := fmt.Sprint(len(said))
					if _, err := h.Publish(Message{Channel: []byte("c"), Data: []byte(text), Except: except}, Refuse); err != nil {
						t.Fatal(err)
					}
					for _, sub := range append(slices.Clone(old), all...) {
						if sub.Len() > 0 && sub != except {
							want[sub.id] += text
						}
					}
					said += text
				}
				for range before {
					say(nil)
				}
				joinLive(t, h, all[0])
				s.work(slice)
				say(nil)
				joinLive(t, h, all[1])
				say(all[0])
				joinLive(t, h, all[2])
				if b, err := h.SubscribeFrom(100, all[2], []byte("c"), Start{Live: true}); err != nil || b.Fresh {
					t.Errorf("once more: got %+v, %v", b, err)
				}
				say(all[2])
				joinLive(t, h, all[3])
				all[3].Leave() // before it has got anything
				want[13] = ""
				say(nil)
				for s.work(slice) != Idle {
				}
				say(all[1])
				s.rest()
				for id, text := range want {
					if got := strings.Join(s.heard[id], ""); got != text {
						t.Errorf("member %d: got %q, want %q", id, got, text)
					}
				}
				if behind := s.shard.Stats().Behind; behind != 0 || len(s.shard.catchup.late) > 0 {
					t.Errorf("%d are behind at the end", behind)
				}
				checkHub(t, h)
			})
		}
	}
}

// A latecomer may be the only member, and the last that leaves.
func TestLatecomerIsAlone(t *testing.T) {
	h, s := newHub(), newSink(t)
	first := s.members(h, "c", 1)[0]
	publish(t, h, "c", "0")
	late := s.subscriber(10)
	joinLive(t, h, late)
	if h.FallBehind(late, []byte("c"), 1) {
		t.Error("it has given back what it has not had")
	}
	first.Leave()
	publish(t, h, "c", "1")
	s.rest()
	publish(t, h, "c", "2")
	s.rest()
	if got := strings.Join(s.heard[10], ""); got != "12" || s.heard[0] != nil {
		t.Errorf("got %q, want 12", got)
	}
	publish(t, h, "c", "3")
	again := s.subscriber(11)
	joinLive(t, h, again)
	late.Leave()
	again.Leave()
	if n := s.shard.backlog.Load(); n != 0 || s.shard.stats.Behind != 0 || h.Len() != 0 {
		t.Errorf("a backlog of %d, %d behind, %d channels, want none", n, s.shard.stats.Behind, h.Len())
	}
	s.rest()
}

// A Sink that panics loses a run of those that were to get it. A latecomer that was among
// them is told.
func TestLatecomerOfALostRun(t *testing.T) {
	h, s := newHub(), &toldSink{sink: newSink(t)}
	s.shard = NewShard(s)
	s.members(h, "c", 1)
	publish(t, h, "c", "0")
	for _, id := range []uint64{10, 11} {
		joinLive(t, h, s.subscriber(id))
	}
	publish(t, h, "c", "1")
	s.inWork = func(*sink, int) { panic("of the test") } // it gives the first latecomer the rest of the run
	func() {
		defer func() { _ = recover() }()
		s.work(0)
	}()
	s.inWork = nil
	publish(t, h, "c", "2")
	s.rest()
	if got := s.heard[11]; !slices.Equal(got, []string{"2"}) || !slices.Contains(s.told, 11) {
		t.Errorf("got %q, and %v were told, want 2 and 11", got, s.told)
	}
	checkHub(t, h)
}

// A toldSink notes who is told of a loss.
type toldSink struct {
	*sink
	told []uint64
}

func (s *toldSink) Room(uint64) int                 { return aheadMax }
func (s *toldSink) TimeLeft() time.Duration         { return 0 }
func (s *toldSink) Lost(id uint64, _ delivery.Lost) { s.told = append(s.told, id) }

// Where a channel has a history, a member that joins live has the position of the newest
// message, also if its loop has not delivered that yet.
func TestJoinLiveInAChannelWithHistory(t *testing.T) {
	h := NewHub()
	h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(m Message, _ []byte) []byte { return m.Data }})
	keepHistory(h, History{Size: 10, TTL: time.Hour, Bytes: 1 << 20})
	s := newSink(t)
	s.members(h, "c", 1)
	publish(t, h, "c", "1", "2")
	late := s.subscriber(10)
	b, err := h.SubscribeFrom(100, late, []byte("c"), Start{Live: true})
	if err != nil || b.Offset != 2 {
		t.Fatalf("got %+v, %v, want the offset 2", b, err)
	}
	publish(t, h, "c", "3")
	s.rest()
	if got := strings.Join(s.heard[10], ""); got != "3" {
		t.Errorf("got %q, want 3", got)
	}
	checkHub(t, h)
}

// A latecomer that is left out of the run whose rest would be its own gets nothing of it.
func TestLatecomerIsLeftOut(t *testing.T) {
	h, s := newHub(), newSink(t)
	s.members(h, "c", 1)
	late := s.subscriber(10)
	for _, text := range []string{"0", "1"} { // one run: both leave out the same
		if _, err := h.Publish(Message{Channel: []byte("c"), Data: []byte(text), Except: late}, Refuse); err != nil {
			t.Fatal(err)
		}
		joinLiveOnce(t, h, late)
	}
	publish(t, h, "c", "2")
	s.rest()
	if got := strings.Join(s.heard[10], ""); got != "2" {
		t.Errorf("got %q, want 2", got)
	}
}

// joinLiveOnce is joinLive for a subscriber that may be a member already.
func joinLiveOnce(t *testing.T, h *Hub, sub *Subscriber) {
	t.Helper()
	if sub.Len() == 0 {
		joinLive(t, h, sub)
	}
}
