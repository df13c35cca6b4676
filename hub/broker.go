package hub

import (
	"errors"
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Broker connects hubs with those of the same name in other processes, the nodes of a
// cluster. Package cluster has one. Its methods may be called from any goroutine, and
// must not block.
type Broker interface {
	// Join makes the broker pass on to h what it gets for a hub of that name: by
	// Receive and Lose. Joining twice changes nothing.
	Join(h *Hub)

	// Send takes an event that this process has published in h, for all others. Those
	// of one publisher are sent in the order in which they come. The slices of m are
	// not kept.
	Send(h *Hub, m pubsub.Message)

	// Behind reports whether events come faster than they can be sent. Clients that
	// publish are slowed then, and the program gets ErrOverloaded.
	Behind() bool
}

// Join makes the hub send its events to a broker, for good. It must be called before the
// hub has sessions; later calls with the same broker change nothing.
func (h *Hub) Join(b Broker) {
	h.broker.Store(&b)
	b.Join(h)
}

// others returns the broker of the hub, nil if the hub is alone.
func (h *Hub) others() Broker {
	if b := h.broker.Load(); b != nil {
		return *b
	}
	return nil
}

// Receive publishes an event that was published in another process: it is not sent
// again, and who may publish it has been decided. A channel that does not exist here is
// no error. It returns ErrOverloaded where subscribers cannot be served as fast as events
// come: then nobody has got the event, and it is to be tried again. m.At is set. Any
// goroutine.
func (h *Hub) Receive(m pubsub.Message) error {
	m.At = measure.Now()
	_, err := h.table.Publish(m, pubsub.Refuse.Within(h.settings.Load().MaxChannels).Anywhere())
	if errors.Is(err, ErrFull) {
		h.table.Lose(m.Channel, 1, m.At) // it is heard by nobody, but would have been kept
		return nil
	}
	return err
}

// Lose tells the subscribers of a channel that n events did not come from other
// processes; 0: some, perhaps. What the channel keeps goes. Any goroutine.
func (h *Hub) Lose(channel string, n uint64) {
	h.table.Lose([]byte(channel), n, measure.Now())
}

// LoseAll is Lose with 0 for every channel, spread over the time that wait takes: it is
// called often, and waits for that part of the whole. Any goroutine.
func (h *Hub) LoseAll(over time.Duration, wait func(time.Duration)) {
	h.table.LoseAll(measure.Now, func(parts int) { wait(over / time.Duration(parts)) })
}

// nameable reports whether a channel can have that name. Where there is no rule and no
// other process this need not be asked: such a channel does not exist.
func (s *settings) nameable(channel []byte) bool {
	return len(channel) <= s.MaxChannelName && codec.ValidChannelName(channel)
}
