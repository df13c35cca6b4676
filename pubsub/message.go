package pubsub

import "time"

// A Message is one event of a channel on its way from its publisher to the
// subscribers. It is passed by value and not modified. The slices belong to the
// publisher and are valid until Hub.Publish returns: a listener or an observer
// that keeps a message copies them.
type Message struct {
	Channel []byte
	Event   []byte
	Data    []byte // in the format of the hub, nil for none

	// Offset is the place of the message in its channel, from 1. 0: the channel
	// keeps no history.
	Offset uint64

	// At is when the message was published, on the clock of Shard.Clock.
	// Delivery times are measured from it.
	At time.Duration

	// Except is a member of the channel that does not get the message. If nil,
	// every member gets it.
	Except *Subscriber
}

// A Flow says what Hub.Publish does where a shard already has more waiting than
// it should.
type Flow struct {
	refuse bool
	slow   *Shard
}

var (
	// Refuse makes Publish return ErrOverloaded; then no member gets the
	// message.
	Refuse = Flow{refuse: true}

	// Always makes Publish take the message in any case. It is for messages
	// that have been admitted before.
	Always = Flow{}
)

// Slowing makes Publish take the message and slow the publishing loop down: the
// next Shard.Work of the shard s, which is that loop's, returns Ahead.
func Slowing(s *Shard) Flow { return Flow{slow: s} }
