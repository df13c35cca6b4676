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

	// Value is for the Encode of a form, where a message is no event. Nothing here looks
	// at it.
	Value any

	// User is who has published the message, for forms that tell it. "": they do not.
	User string

	// Offset is the place of the message in its channel, from 1. Publish sets it, and
	// Place is given it. 0: the channel keeps no history.
	Offset uint64

	// Key, unless it is nil, says that this message is published once: others of the
	// same channel with the same key are not, for the time that RememberKeys says.
	// Their data is not compared. Where several users publish, the key must contain
	// the user.
	Key []byte

	// Lost, unless it is 0, says that this is no event but a notice: so many messages of
	// the channel are missing at this place, and if it is negative some, perhaps. Event
	// and Data are nil then. Hub.Lose makes such messages.
	Lost int64

	// At is when the message was published, on the clock of Shard.Clock.
	// Delivery times are measured from it.
	At time.Duration

	// Except is a member of the channel that does not get the message. If nil,
	// every member gets it. It may get the message nevertheless if it comes back, or
	// catches up, and reads it in the channel's history.
	Except *Subscriber

	// ExceptName names a connection of another process that does not get the message, in
	// the words of its protocol. "": none. Nothing here looks at it.
	ExceptName string
}

// A Flow says what Hub.Publish does where a shard already has more waiting than
// it should.
type Flow struct {
	refuse   bool
	anywhere bool
	silent   bool
	slow     *Shard
	within   int // channels; 0: any number
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

// Within returns the flow with a limit: Publish returns ErrFull instead of beginning
// a channel that would be one more than limit.
func (f Flow) Within(limit int) Flow {
	f.within = limit
	return f
}

// Anywhere returns the flow for a message that is heard elsewhere too: Publish does not
// return ErrNoChannel, and remembers the message's key, where the channel does not exist.
func (f Flow) Anywhere() Flow {
	f.anywhere = true
	return f
}

// Silently returns the flow for a message that was published long ago: it is kept where the
// channel has a history, and no member gets it.
func (f Flow) Silently() Flow {
	f.silent = true
	return f
}

// Published is what became of a message.
type Published struct {
	// Offset is the place of the message in its channel, 0 if that keeps no history.
	// Of a duplicate it is that of the first.
	Offset uint64

	// Duplicate says that a message with this Key had been published before. No
	// member got this one.
	Duplicate bool
}
