// Package presence answers the question: who is there?
//
// A Table holds the members of a hub's channels as they come and go: connections,
// or the users that they belong to. It knows no connection, no protocol and no
// clock: whoever calls it says what time it is.
//
// The main path: Table.Join makes a connection present in a channel and Table.Leave
// ends that (table.go). Each channel with members is a set, which numbers every
// change of its list with the next version (set.go). Table.Page reads the list in
// pages (page.go). Where somebody watches, a change also puts the set into the Queue
// of the calling loop, and Table.Work, on the same loop, makes one Notice of all
// changes of an interval (notice.go).
//
// # What readers can rely on
//
// Each entry of a page or a notice says at which version its member joined or left.
// Of two entries about one member the one with the greater version counts. So pages
// and notices can be put together in any order, and one that comes twice changes
// nothing. A notice says from which version on it has all changes: a reader that has
// the list of that version, or of a later one, has the whole list after it.
//
// Versions of a channel grow for as long as the table lives, also if the channel was
// empty and forgotten in between.
//
// # Ownership
//
// A Table may be used from any goroutine; the lock of a stripe guards the sets of the
// channels in it. A Queue belongs to one event loop, and so does a call of Work with
// it. A Member belongs to the table: callers hold it from Join to Leave, and call
// Leave once. A Who is immutable and shared.
//
// Members need not be connections of this process: what is called by a component
// that learns of members elsewhere, with a Queue of its own, is merged into the same
// lists.
//
// # Limits
//
// Config has them. A change costs a time that does not grow with the members, but for
// a binary search; a page costs its length. No lock is held while a notice is
// delivered. TestBytesPerMember holds the memory of a member.
package presence
