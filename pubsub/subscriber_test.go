package pubsub

import (
	"fmt"
	"testing"
)

// The bit Several of each member says whether it has other subscriptions, also
// after its subscriptions have come and gone in every order.
func TestSeveral(t *testing.T) {
	channels := []string{"a", "b", "c"}
	for _, first := range channels {
		for _, second := range channels {
			for _, third := range channels {
				order := []string{first, second, third}
				t.Run(fmt.Sprint(order), func(t *testing.T) {
					h, s := newHub(), newSink(t)
					sub, other := s.subscriber(1), s.subscriber(2)
					s.several = func(id uint64) bool { return id == 1 && sub.Len() > 1 }
					step := func(f func(*Subscriber, []byte) bool, channel string) {
						f(sub, []byte(channel))
						for _, c := range channels {
							if h.Subscribed(sub, []byte(c)) {
								publish(t, h, c, "x")
								s.rest()
							}
						}
					}
					subscribe(h, other, []byte("b"))
					for _, c := range channels {
						step(func(s *Subscriber, c []byte) bool { return subscribe(h, s, c) }, c)
					}
					for _, c := range order {
						step(h.Unsubscribe, c)
						if h.Subscribed(sub, []byte(c)) {
							t.Errorf("still subscribed to %s", c)
						}
					}
					for _, c := range order {
						step(func(s *Subscriber, c []byte) bool { return subscribe(h, s, c) }, c)
					}
					if t.Failed() {
						t.Log("each line above is one delivery")
					}
					sub.Leave()
					if sub.Len() != 0 {
						t.Errorf("Len after Leave: got %d, want 0", sub.Len())
					}
					checkHub(t, h)
				})
			}
		}
	}
}

func TestLeaveTwice(t *testing.T) {
	h, s := newHub(), newSink(t)
	sub := s.subscriber(1)
	for range 2 {
		subscribe(h, sub, []byte("c"))
		sub.Leave()
		sub.Leave()
		if sub.Len() != 0 || h.Len() != 0 {
			t.Errorf("got %d subscriptions and %d channels, want none", sub.Len(), h.Len())
		}
	}
}
