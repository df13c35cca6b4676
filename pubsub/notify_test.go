package pubsub

import (
	"slices"
	"testing"
	"time"
)

// In a channel with a history a notice has no offset and is not kept, and changes
// nothing of what is recovered.
func TestNotifyInAChannelWithHistory(t *testing.T) {
	h := NewHub()
	h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(m Message, _ []byte) []byte { return m.Data }})
	keepHistory(h, History{Size: 10, TTL: time.Hour, Bytes: 1 << 20})
	s := newSink(t)
	live, late := s.subscriber(1), s.subscriber(2)
	subscribe(h, live, []byte("c"))
	publish(t, h, "c", "1")
	h.Notify(Notice{Channel: []byte("c"), Frame: []byte("notice"), Forms: []Form{0, 3}})
	publish(t, h, "c", "2")
	s.rest()
	begun, err := h.SubscribeFrom(100, late, []byte("c"), Start{Since: Position{Epoch: h.Epoch()}})
	if err != nil || begun.Top != 2 {
		t.Fatalf("got %+v, %v, want the top 2", begun, err)
	}
	s.rest()
	for id, want := range map[uint64][]string{1: {"1", "notice", "2"}, 2: {"1", "2"}} {
		if got := s.heard[id]; !slices.Equal(got, want) {
			t.Errorf("member %d: got %q, want %q", id, got, want)
		}
	}
	checkHub(t, h)
}
