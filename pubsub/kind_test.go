package pubsub

import (
	"slices"
	"testing"
)

// Each kind gets its own form of a message, or that for Plain if there is none.
func TestKinds(t *testing.T) {
	h := NewHub("news")
	s := newSink(t)
	name := []byte("news")
	publish := func(frames Frames) {
		t.Helper()
		if err := h.PublishEach(nil, name, frames); err != nil {
			t.Fatal(err)
		}
		s.rest()
	}
	plain, deflated := s.subscriber(1), s.subscriber(2)
	deflated.SetKind(Deflated)
	for _, tt := range []struct {
		name        string
		do          func() bool
		hears       [kinds]bool
		first, then string // what 1 and 2 hear, "" for nothing
	}{
		{"nobody", func() bool { return true }, [kinds]bool{}, "", ""},
		{"one plain", func() bool { return h.Subscribe(plain, name) }, [kinds]bool{true, false}, "p", ""},
		{"both", func() bool { return h.Subscribe(deflated, name) }, [kinds]bool{true, true}, "p", "d"},
		{"again", func() bool { return !h.Subscribe(deflated, name) && h.Subscribed(deflated, name) }, [kinds]bool{true, true}, "p", "d"},
		{"one deflated", func() bool { return h.Unsubscribe(plain, name) }, [kinds]bool{false, true}, "", "d"},
		{"none", func() bool { return h.Unsubscribe(deflated, name) }, [kinds]bool{}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.do() {
				t.Error("got false")
			}
			for k, want := range tt.hears {
				if got := h.Hears(name, Kind(k)); got != want {
					t.Errorf("Hears kind %d: got %t, want %t", k, got, want)
				}
			}
			clear(s.heard)
			publish(Frames{[]byte("p"), []byte("d")})
			publish(Frames{[]byte("P")})
			for id, want := range []string{"", tt.first, tt.then} {
				var all []string
				if want != "" {
					all = []string{want, "P"}
				}
				if got := s.heard[uint64(id)]; !slices.Equal(got, all) {
					t.Errorf("member %d: got %q, want %q", id, got, all)
				}
			}
		})
	}
	if h.Hears([]byte("other"), Plain) {
		t.Error("a channel that does not exist is heard")
	}
}
