// Package pubsub answers the question: who hears what?
//
// A Hub is a table of channels, a Shard is the part of all hubs that lives on
// one event loop, and a Subscriber is what one connection hears. The package
// knows no socket, no protocol and no clock: frames are opaque bytes, members
// are opaque numbers, and a Sink, the loop, takes both.
//
// Subscribers get a message in different forms (form.go), such as a frame or a
// compressed frame. A channel has on each shard one audience for each form that
// members hear there.
//
// The main path: Hub.Publish (hub.go) finds the channel of a Message (message.go)
// in one of the table's lock-striped maps, makes each form that a member hears, and
// appends it to the channel's audiences (audience.go). It wakes a shard at most
// once, however many members it has there. The shard's Work (shard.go), on its own
// loop, takes what has come, joins the frames of an audience into one run, and
// hands the run to the Sink for all members at once. subscriber.go is a member,
// listener.go what hears a channel without being one, observer.go what is told when
// channels and memberships begin and end.
//
// # Ownership
//
// A Shard, its audiences' members and its Subscribers belong to the loop: their
// methods are called there only, and no lock guards them. The tables, and the
// frames that wait in an audience, are shared; a stripe's lock guards them.
// Frames are immutable from Publish on.
//
// # Promises
//
// All frames of a channel are appended under its stripe's lock, and each shard
// walks one run of an audience at a time. So every subscriber of a channel gets
// its frames in the same order, which is the order in which Publish was called
// by any one publisher, and each frame once. A member that joins in the middle
// of a walk starts behind the run that is being walked.
//
// # Limits
//
// A subscriber's list of channels is searched from end to end: a limit of some
// hundreds of subscriptions per connection is the caller's to set. What waits
// on a shard is bounded by backlogMax, beside one run for each channel that is
// being walked: above it Work goes on without giving the loop back, a loop that
// publishes to it waits (Ahead), and others are refused (ErrOverloaded).
//
// Frames that a shard has not begun to deliver when a subscriber joins reach it
// too, although they were published shortly before.
package pubsub
