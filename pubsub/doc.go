// Package pubsub answers the question: who hears what, and what happened before?
//
// A Hub is a table of channels, a Shard is the part of all hubs that lives on
// one event loop, and a Subscriber is what one connection hears. The package
// knows no socket, no protocol and no clock: frames are opaque bytes, members
// are opaque numbers, and a Sink, the loop, takes both.
//
// Subscribers are of one of two kinds, and a message may have a form for each
// (form.go): whatever is said here of a shard's audience of a channel is true of
// its audience of each kind.
//
// The main path: Hub.Publish (hub.go) finds the channel in one of the table's
// lock-striped maps and appends the frame to the channel's audience on every
// shard that has one (audience.go). It wakes a shard at most once, however many
// members it has there. The shard's Work (shard.go), on its own loop, takes
// what has come, joins the frames of an audience into one run, and hands the
// run to the Sink for all members at once.
//
// # History
//
// A channel may have a history (history.go): each of its messages gets an offset, one
// more than the one before, and a log (log.go) keeps the newest messages in the forms
// that are marked as kept. An offset belongs to the hub's epoch and never comes twice
// in a channel, also if the channel was forgotten in between. Hub.SubscribeFrom
// (recovery.go) begins behind a position that a subscriber has had, and what it has
// missed follows at the pace of its socket (catchup.go); Hub.History (page.go) reads
// pages. What is too old or too much goes with each publish and each read, and with
// Hub.Sweep (sweep.go). Message.Key makes a publish happen once (keys.go).
//
// The rules that make recovery exact, where the base of an audience is the offset of
// the last message that a walk of it has begun with:
//
//   - All offsets of a channel above base are pending in the audience: a message is put
//     into the log and into every audience under one lock.
//   - Members that the walk has served have each message up to base once. Members that
//     it has still to serve have each message before the run once.
//   - A member that has less reads the log up to base. Then it is a member like others.
//   - A member that has more, because another loop was faster, waits until a run goes
//     beyond its position, and is given the rest of that run.
//   - No lock is held while a frame is delivered, and nothing waits for a subscriber.
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
// Each log has a limit of messages, of age and of bytes; all logs of a hub have one of
// bytes, and all keys one of number. Replays take at most half of what a turn has
// left, and a member is given 64 KiB at a time, or one message.
//
// Frames that a shard has not begun to deliver when a subscriber joins reach it
// too, although they were published shortly before, unless it asks for what is live
// only (Start.Live, latecomer.go).
package pubsub
