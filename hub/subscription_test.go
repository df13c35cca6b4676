package hub

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Go program hears what sessions and itself publish, in order, until Close.
func TestSubscription(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{})
	m := l.enter(h).login(auth.ReadWrite, "")
	heard := make(chan Event, 10)
	s, err := h.Subscribe("c", func(e Event) { heard <- e })
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(`"1"`)
	if r := m.Publish(Publication{Channel: []byte("c"), Event: []byte("e"), Data: data}); !r.OK() {
		t.Fatalf("nobody else hears the channel: got %v", r)
	}
	clear(data)
	if err := h.Publish("c", "f", nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Event{{Channel: "c", Event: "e", Data: []byte(`"1"`)}, {Channel: "c", Event: "f"}} {
		got := <-heard
		if got.Channel != want.Channel || got.Event != want.Event || !bytes.Equal(got.Data, want.Data) || got.Lost != 0 {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	s.Close()
	s.Close()
	if err := h.Publish("c", "g", nil); !errors.Is(err, ErrInvalidChannel) {
		t.Errorf("after Close: got %v, want ErrInvalidChannel", err)
	}
	if len(heard) != 0 {
		t.Errorf("after Close: got %+v", <-heard)
	}
}

// A function that is too slow is told where events are missing and how many; what
// it gets is in order and nothing else is missing.
func TestSubscriptionLoses(t *testing.T) {
	for _, size := range []int{2, subscriptionBytesMax / 10} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const events = 3 * subscriptionMax
				wait := min(subscriptionMax, subscriptionBytesMax/size)
				h := newHub(t, Config{})
				go1, got, lost := make(chan struct{}), 0, 0
				s, err := h.Subscribe("c", func(e Event) {
					<-go1
					lost += e.Lost
					if e.Lost == 0 {
						if want := fmt.Sprint(got + lost); e.Event != want {
							t.Errorf("got event %s, want %s", e.Event, want)
						}
						got++
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				data := bytes.Repeat([]byte("x"), size)
				for i := range events {
					h.Deliver(pubsub.Message{Channel: []byte("c"), Event: fmt.Append(nil, i), Data: data})
				}
				close(go1)
				synctest.Wait()
				// Beside what waits there is the event that f has been called with.
				if got+lost != events || got > wait+1 || got < wait-1 {
					t.Errorf("got %d events of %d bytes and %d lost, of %d; want %d to wait", got, size, lost, events, wait)
				}
				before := got
				h.Deliver(pubsub.Message{Channel: []byte("c"), Event: fmt.Append(nil, events)})
				synctest.Wait()
				if got != before+1 {
					t.Errorf("later: got %d events, want 1", got-before)
				}
				s.Close()
			})
		})
	}
}

// The notice of lost events stands where they are missing, also if there was room
// for later ones before the program was told.
func TestSubscriptionNoticeInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Config{})
		step, next := make(chan struct{}), 0
		s, err := h.Subscribe("c", func(e Event) {
			<-step
			if next += e.Lost; e.Lost > 0 {
				return
			}
			if want := fmt.Sprint(next); e.Event != want {
				t.Errorf("got event %s, want %s", e.Event, want)
			}
			next++
		})
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		for range 2*subscriptionMax + 10 {
			h.Deliver(pubsub.Message{Channel: []byte("c"), Event: fmt.Append(nil, sent)})
			sent++
		}
		for range subscriptionMax + 20 { // one is taken, and two come
			synctest.Wait()
			step <- struct{}{}
			synctest.Wait()
			for range 2 {
				h.Deliver(pubsub.Message{Channel: []byte("c"), Event: fmt.Append(nil, sent)})
				sent++
			}
		}
		close(step)
		synctest.Wait()
		if next != sent {
			t.Errorf("got or lost %d events, want %d", next, sent)
		}
		s.Close()
	})
}

func TestSubscriptionRefused(t *testing.T) {
	h := newHub(t, Config{MaxChannels: 1, MaxChannelName: 3})
	for _, name := range []string{"", "long", "a\n"} {
		if _, err := h.Subscribe(name, func(Event) {}); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
	s, err := h.Subscribe("one", func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := h.Subscribe("two", func(Event) {}); !errors.Is(err, pubsub.ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
}
