// Package delivery answers the question: what does a hub hand to an event loop?
//
// It holds the types that pubsub, which finds the subscribers of an event, and
// engine, which writes to their sockets, have in common. So neither imports the
// other.
package delivery

// Several is the bit of a member's id that says: this member has other
// subscriptions, so another run may come for it in the same turn of its loop.
const Several = 1 << 63

// Notice is the Event of a message that is no event but says how things are by now. No
// event can have that name. Where a later one of the same channel waits, a slow reader
// need not get it, and is not told that it is missing.
const Notice = "\xff"

// An Item is one message in the form that the members of a run hear.
type Item struct {
	Frame   []byte // immutable, and may be kept
	Channel string
	Event   string // "" unless the hub keeps the names of events
	Offset  uint64 // the message's place in its channel, 0 where the channel has no history
}

// A Run is consecutive messages for the same members. It is valid until the
// call that it was passed to returns; the frames of its items may be kept.
type Run struct {
	Items  []Item
	Joined []byte // the frames of all items as one piece; not to be kept
	Alone  bool   // no other run comes in this turn, also for members with the bit Several
}

// Lost says what a member of a channel does not get.
type Lost struct {
	Channel string
	N       uint64 // messages in a row; 0: some, perhaps
	Offset  uint64 // of the last of them: the member's position now; 0 where the channel has no history
}
