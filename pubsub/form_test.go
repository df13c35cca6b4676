package pubsub

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// Each member hears the form that it has chosen. A form is made once for each
// message, and only if a member hears it.
func TestForms(t *testing.T) {
	h, made := NewHub(), map[string]int{}
	form := func(name string, base Form, costly bool) Form {
		return h.AddForm(Encoding{Base: base, Costly: costly, Encode: func(m Message, b []byte) []byte {
			made[name]++
			if bytes.Contains(m.Data, []byte("no "+name)) {
				return nil
			}
			return append([]byte(name+" "), cmpOr(b, m.Data)...)
		}})
	}
	form("plain", Itself, false)
	form("packed", 0, true)
	form("other", Itself, false)
	s, far := newSink(t), newSink(t)
	a, b, c, d := s.subscriber(1), s.subscriber(2), s.subscriber(3), far.subscriber(4)
	b.SetForm(1)
	c.SetForm(2)
	d.SetForm(1)
	for _, tt := range []struct {
		name  string
		join  []*Subscriber
		data  string
		heard map[uint64]string
		made  string // the names of the forms that are made
	}{
		{"nobody", nil, "x", nil, ""},
		{"one", []*Subscriber{a}, "x", map[uint64]string{1: "plain x"}, "plain"},
		{"made of another that nobody hears", []*Subscriber{b}, "x", map[uint64]string{2: "packed plain x"}, "packed plain"},
		{"on two loops", []*Subscriber{b, d}, "x", map[uint64]string{2: "packed plain x", 4: "packed plain x"}, "packed plain"},
		{"by itself", []*Subscriber{c}, "x", map[uint64]string{3: "other x"}, "other"},
		{"all", []*Subscriber{a, b, c, d}, "x", map[uint64]string{1: "plain x", 2: "packed plain x", 3: "other x", 4: "packed plain x"}, "other packed plain"},
		{"the base instead", []*Subscriber{b}, "no packed", map[uint64]string{2: "plain no packed"}, "packed plain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.SetPermanent("c")
			for _, sub := range tt.join {
				subscribe(h, sub, []byte("c"))
			}
			clear(made)
			clear(s.heard)
			clear(far.heard)
			publish(t, h, "c", tt.data)
			s.rest()
			far.rest()
			for id := range uint64(5) {
				got, want := strings.Join(append(s.heard[id], far.heard[id]...), ", "), tt.heard[id]
				if got != want {
					t.Errorf("member %d: got %q, want %q", id, got, want)
				}
			}
			var names []string
			for name, n := range made {
				names = append(names, name)
				if n != 1 {
					t.Errorf("%s: made %d times, want once", name, n)
				}
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != tt.made {
				t.Errorf("made: got %q, want %q", got, tt.made)
			}
			for _, sub := range tt.join {
				sub.Leave()
			}
		})
	}
}

func cmpOr(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}

// A member that joins after the costly forms have been made, as the first that
// hears this one, gets the base form of that message.
func TestJoinWhileACostlyFormIsMade(t *testing.T) {
	h, s := NewHub(), newSink(t)
	early, late := s.subscriber(1), s.subscriber(2)
	h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return m.Data }})
	h.AddForm(Encoding{Base: 0, Costly: true, Encode: func(_ Message, base []byte) []byte {
		subscribe(h, late, []byte("c")) // no lock is held
		return append([]byte("first "), base...)
	}})
	h.AddForm(Encoding{Base: 0, Costly: true, Encode: func(_ Message, base []byte) []byte {
		return append([]byte("second "), base...)
	}})
	early.SetForm(1)
	late.SetForm(2)
	subscribe(h, early, []byte("c"))
	publish(t, h, "c", "x", "y")
	s.rest()
	for id, want := range map[uint64][]string{1: {"first x", "first y"}, 2: {"x", "second y"}} {
		if got := s.heard[id]; !slices.Equal(got, want) {
			t.Errorf("member %d: got %q, want %q", id, got, want)
		}
	}
}

// A form that panics has given nobody anything, and the hub goes on.
func TestFormPanics(t *testing.T) {
	h, s := NewHub(), newSink(t)
	a, b := s.subscriber(1), s.subscriber(2)
	h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return m.Data }})
	h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte {
		if string(m.Data) == "bad" {
			panic("bad")
		}
		return m.Data
	}})
	b.SetForm(1)
	subscribe(h, a, []byte("c"))
	subscribe(h, b, []byte("c"))
	func() {
		defer func() { _ = recover() }()
		_ = put(h, Refuse, "c", []byte("bad"))
		t.Error("no panic")
	}()
	publish(t, h, "c", "good")
	s.rest()
	for id := range uint64(2) {
		if got := s.heard[id+1]; !slices.Equal(got, []string{"good"}) {
			t.Errorf("member %d: got %q, want only good", id+1, got)
		}
	}
}

// A publish looks for costly forms only while somebody hears one.
func TestCostlyFormsAreCounted(t *testing.T) {
	h, s := newHub("c"), newSink(t) // its second form is costly
	plain, costly := s.subscriber(1), s.subscriber(2)
	costly.SetForm(1)
	for i, step := range []struct {
		do   func()
		want int64
	}{
		{func() { subscribe(h, plain, []byte("c")) }, 0},
		{func() { subscribe(h, costly, []byte("c")) }, 1},
		{func() { subscribe(h, costly, []byte("d")) }, 2},
		{func() { plain.Leave() }, 2},
		{func() { h.Unsubscribe(costly, []byte("d")) }, 1},
		{func() { costly.Leave() }, 0},
	} {
		step.do()
		if got := h.costly.Load(); got != step.want {
			t.Errorf("step %d: got %d, want %d", i, got, step.want)
		}
	}
}

// A form can leave a message out: its members, and those of forms that are made of
// it, get the others only.
func TestFormLeavesOut(t *testing.T) {
	h, s, made := NewHub(), newSink(t), 0
	h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte {
		made++
		if string(m.Data) == "secret" {
			return nil
		}
		return m.Data
	}})
	h.AddForm(Encoding{Base: 0, Encode: func(_ Message, base []byte) []byte { return append([]byte("+"), base...) }})
	h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return m.Data }})
	for f := range Form(3) {
		sub := s.subscriber(uint64(f))
		sub.SetForm(f)
		subscribe(h, sub, []byte("c"))
	}
	publish(t, h, "c", "1", "secret", "2")
	s.rest()
	for id, want := range map[uint64][]string{0: {"1", "2"}, 1: {"+1", "+2"}, 2: {"1", "secret", "2"}} {
		if got := s.heard[id]; !slices.Equal(got, want) {
			t.Errorf("member %d: got %q, want %q", id, got, want)
		}
	}
	if made != 3 {
		t.Errorf("made %d times, want once for each message", made)
	}
}

// A form may be added, and a member hear in it, while a publish is under way.
func TestFormAddedWhilePublishing(t *testing.T) {
	h, s := NewHub(), newSink(t)
	early, late := s.subscriber(1), s.subscriber(2)
	h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return m.Data }})
	h.AddForm(Encoding{Base: 0, Costly: true, Encode: func(_ Message, base []byte) []byte {
		if late.Len() == 0 { // no lock is held
			late.SetForm(h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return []byte("new") }}))
			subscribe(h, late, []byte("c"))
		}
		return base
	}})
	early.SetForm(1)
	subscribe(h, early, []byte("c"))
	publish(t, h, "c", "x")
	s.rest()
	for id, want := range map[uint64]string{1: "x", 2: "new"} {
		if got := s.heard[id]; !slices.Equal(got, []string{want}) {
			t.Errorf("member %d: got %q, want %s", id, got, want)
		}
	}
}
