package hub

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

// An Event is one event of a channel, for a Go program. It may be kept.
type Event struct {
	Channel string
	Event   string
	Data    []byte // as it was published, JSON with the codec of this module; nil for none
	Offset  uint64 // in the channel; 0 where it keeps no history, and in OnPublish

	// Lost, if it is not zero, is how many events are missing at this place, because
	// earlier ones were not taken in time or did not come from another node of a
	// cluster. If it is negative some are, perhaps. Such an Event has no name and no data.
	Lost int
}

// eventOf returns an Event that has nothing in common with the slices.
func eventOf(channel, event, data []byte) Event {
	return Event{Channel: string(channel), Event: string(event), Data: bytes.Clone(data)}
}

// What may wait for the function of one Subscription.
const (
	subscriptionMax      = 1024    // events
	subscriptionBytesMax = 1 << 20 // of their names and data; one event may always wait
)

// A Subscription is a subscription of the program itself.
type Subscription struct {
	listener *pubsub.Listener
	f        func(Event)
	done     chan struct{} // closed when f is not called any more

	mu    sync.Mutex
	more  sync.Cond
	queue []Event // that run has not fetched; guarded by mu
	count int     // events that f has not been called with; guarded by mu
	bytes int     // of their names and data; guarded by mu
	lost  int     // that came after the queue; guarded by mu
	ended bool    // guarded by mu
}

// Subscribe calls f with each event of a channel from now on, one after another
// and in the channel's order, on a goroutine of its own: f may block, and a panic
// of f ends the program. What f does not take in time waits: 1,024 events, or 1 MiB
// of their names and data. What comes beyond that is dropped, and f is told where
// and how many. The channel exists until the Subscription is closed. An error says
// that the channel cannot have that name, or that the hub has no room for it
// (Config.MaxChannels). Any goroutine.
func (h *Hub) Subscribe(channel string, f func(Event)) (*Subscription, error) {
	rules := h.settings.Load()
	if len(channel) > rules.MaxChannelName || !codec.ValidChannelName([]byte(channel)) {
		return nil, fmt.Errorf("webrocket: %q cannot name a channel of the hub %s", channel, h.name)
	}
	s := newSubscription(f)
	listener, err := h.table.Listen(rules.MaxChannels, []byte(channel), s.take)
	if err != nil {
		return nil, fmt.Errorf("webrocket: subscribe to %q: %w", channel, err)
	}
	s.listener = listener
	go s.run()
	return s, nil
}

func newSubscription(f func(Event)) *Subscription {
	s := &Subscription{f: f, done: make(chan struct{})}
	s.more.L = &s.mu
	return s
}

// Close ends the subscription. Once it has returned, f is not called any more; it
// must not be called by f itself. Closing twice does nothing. Any goroutine.
func (s *Subscription) Close() {
	s.listener.Close()
	s.mu.Lock()
	s.ended = true
	s.queue = nil
	s.more.Signal()
	s.mu.Unlock()
	<-s.done
}

// take queues a message.
func (s *Subscription) take(m pubsub.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(m.Event) + len(m.Data)
	if s.lost > 0 || s.count >= subscriptionMax || s.count > 0 && s.bytes+n > subscriptionBytesMax {
		s.lost++
		return
	}
	e := eventOf(m.Channel, m.Event, m.Data)
	e.Offset, e.Lost = m.Offset, int(m.Lost)
	s.queue = append(s.queue, e)
	s.count++
	s.bytes += n
	s.more.Signal()
}

// run calls f with what is queued until Close.
func (s *Subscription) run() {
	defer close(s.done)
	for {
		events, ended := s.await()
		if ended {
			return
		}
		for _, e := range events {
			if s.begin(e) {
				return
			}
			s.f(e)
		}
	}
}

// await returns what has been queued, with a notice of what was lost after that.
func (s *Subscription) await() (events []Event, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && s.lost == 0 && !s.ended {
		s.more.Wait()
	}
	events = s.queue
	if s.lost > 0 {
		events = append(events, Event{Channel: s.listener.Channel(), Lost: s.lost})
	}
	s.queue, s.lost = nil, 0
	return events, s.ended
}

// begin notes that an event waits no more, and reports whether f must not be
// called with it, because the subscription has ended.
func (s *Subscription) begin(e Event) (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Lost == 0 {
		s.count--
		s.bytes -= len(e.Event) + len(e.Data)
	}
	return s.ended
}
