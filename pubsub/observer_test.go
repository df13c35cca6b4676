package pubsub

import (
	"fmt"
	"slices"
	"testing"
)

// diary is an Observer that notes what it is told.
type diary []string

func (d *diary) ChannelBegan(channel string) { *d = append(*d, "+"+channel) }
func (d *diary) ChannelEnded(channel string) { *d = append(*d, "-"+channel) }
func (d *diary) Joined(channel string, s *Subscriber) {
	*d = append(*d, fmt.Sprint(s.ID(), " joins ", channel))
}

func (d *diary) Left(channel string, s *Subscriber) {
	*d = append(*d, fmt.Sprint(s.ID(), " leaves ", channel))
}

// The observer is told of each beginning and each end once, in order.
func TestObserver(t *testing.T) {
	h, s := newHub("before"), newSink(t)
	d := new(diary)
	if h.Observe(d); !slices.Equal(*d, diary{"+before"}) {
		t.Errorf("channels that exist: got %q", *d)
	}
	a, b := s.subscriber(1), s.subscriber(2)
	var heard []string
	var l *Listener
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"one ends", func() { h.SetPermanent() }, []string{"-before"}},
		{"the first", func() { subscribe(h, a, []byte("c")) }, []string{"+c", "1 joins c"}},
		{"again", func() { subscribe(h, a, []byte("c")) }, nil},
		{"a second", func() { subscribe(h, b, []byte("c")) }, []string{"2 joins c"}},
		{"refused", func() { _, _ = h.Subscribe(1, b, []byte("d")) }, nil},
		{"unsubscribe", func() { h.Unsubscribe(a, []byte("c")) }, []string{"1 leaves c"}},
		{"not there", func() { h.Unsubscribe(a, []byte("c")) }, nil},
		{"the last", func() { b.Leave() }, []string{"2 leaves c", "-c"}},
		{"permanent", func() { h.SetPermanent("c", "d") }, []string{"+c", "+d"}},
		{"still permanent", func() { subscribe(h, a, []byte("c")); a.Leave() }, []string{"1 joins c", "1 leaves c"}},
		{"no more", func() { h.SetPermanent("c") }, []string{"-d"}},
		{"a listener", func() { l, _ = h.Listen(9, []byte("e"), func(m Message) { heard = append(heard, string(m.Data)) }) }, []string{"+e"}},
		{"beside a member", func() { subscribe(h, a, []byte("e")); a.Leave() }, []string{"1 joins e", "1 leaves e"}},
		{"a message", func() { publish(t, h, "e", "x") }, nil},
		{"the listener ends", func() { l.Close(); l.Close() }, []string{"-e"}},
	} {
		*d = nil
		step.do()
		if !slices.Equal(*d, step.want) {
			t.Errorf("%s: got %q, want %q", step.name, *d, step.want)
		}
	}
	if !slices.Equal(heard, []string{"x"}) {
		t.Errorf("the listener: got %q, want x", heard)
	}
}
