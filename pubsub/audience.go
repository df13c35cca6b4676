package pubsub

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// runMax is how many bytes of frames one walk over an audience carries: enough
// to make the cost of a write small beside them, and small enough for a core's
// cache and a socket's send buffer.
const runMax = 64 << 10

// An audience is the members of one channel on one shard that hear one form.
//
// The members that the current walk has served stand before the cursor, the
// others behind it; without a walk all are served. Those that no walk serves, because
// they are catching up with the channel's log, have been served further than this
// loop already, or do not get what is pending, stand at the end (catchup.go). Joining and leaving keep
// that division, so a walk may be interrupted anywhere and still reaches every
// member once.
type audience struct {
	channel *channel
	shard   *Shard
	form    Form

	// Guarded by the stripe of the channel.
	pending []waiting     // published; the first of them have been taken
	taken   int           // by walks
	queued  bool          // the shard knows that there is something
	since   time.Duration // when the first of them was published

	size atomic.Int32 // how many members there are; the loop alone sets it

	// The loop's own.
	behind  int32    // members at the end of the list that no walk serves
	ids     []uint64 // members, as the Sink knows them
	members []*Subscriber
	cursor  int
	run     delivery.Run  // that is being walked
	except  *Subscriber   // member that does not get it, nil if all do
	buffer  []byte        // that the run's frames are joined in, nil for none
	began   time.Duration // when the first message of it was published

	// base is the offset of the last message that a walk has begun with: the position
	// of members that are served. 0 where the channel has no history.
	base uint64
}

// waiting is a message that waits for a walk.
type waiting struct {
	frame  []byte
	event  string
	offset uint64 // 0 in the audience of a pattern, whose members have no position
	except *Subscriber
	from   *channel // whose message it is
}

// append queues a message of a channel in the audience's form. The stripe is locked.
func (a *audience) append(from *channel, frame []byte, event string, m *Message) {
	if len(a.pending) == 0 {
		a.since = m.At
	}
	offset := m.Offset
	if a.channel.pattern {
		offset = 0
	}
	a.pending = append(a.pending, waiting{frame, event, offset, m.Except, from})
	a.shard.backlog.Add(int64(len(frame)))
	if !a.queued {
		a.queued = true
		a.shard.enqueue(a)
	}
}

// discard drops what is pending. The stripe is locked.
func (a *audience) discard() {
	for i := range a.pending[a.taken:] {
		a.shard.backlog.Add(-int64(len(a.pending[a.taken+i].frame)))
	}
	a.pending, a.taken = nil, 0
}

// load begins a walk with what is pending, and reports whether there was any.
// If not, the next message queues the audience anew.
func (a *audience) load() bool {
	st := a.channel.stripe
	st.mu.Lock()
	defer st.mu.Unlock()
	waits := a.pending[a.taken:]
	n, size := 0, 0
	for n < len(waits) && joins(waits, n, size) {
		size += len(waits[n].frame)
		n++
	}
	if n == 0 {
		a.queued = false
		return false
	}
	a.run.Items = slices.Grow(a.run.Items, n)
	for _, w := range waits[:n] {
		a.run.Items = append(a.run.Items, delivery.Item{
			Frame: w.frame, Channel: w.from.name, Event: w.event, Offset: w.offset,
		})
	}
	a.except = waits[0].except
	a.shard.backlog.Add(-int64(size))
	if last := waits[n-1].offset; last > 0 {
		a.base = last
	}
	a.take(n)
	if a.behind > 0 {
		a.shard.catchup.pass(a, n)
	}
	a.cursor = 0
	a.began = a.since
	return true
}

// take removes the first n messages that wait. The list moves up when half of it
// is taken: with each run, a long list of short runs would take a time that grows
// with its square.
func (a *audience) take(n int) {
	clear(a.pending[a.taken : a.taken+n])
	a.taken += n
	if 2*a.taken >= len(a.pending) {
		a.pending, a.taken = shift(a.pending, a.taken), 0
	}
}

// joins reports whether the n-th message that waits belongs to the run of those
// before it, which have so many bytes: the same member, or none, is left out of
// them all, and all have offsets, or none has.
func joins(waits []waiting, n, size int) bool {
	return n == 0 || size+len(waits[n].frame) <= runMax && waits[n].except == waits[0].except &&
		(waits[n].offset > 0) == (waits[0].offset > 0)
}

// rebase sets base where the channel's history may have begun since the last walk
// did: what has an offset is pending, or it is taken. The stripe is locked; loop only.
func (a *audience) rebase() {
	for _, w := range a.pending[a.taken:] {
		if w.offset > 0 {
			a.base = before(w.offset)
			return
		}
	}
	if a.channel.log != nil {
		a.base = a.channel.log.top
	}
}

// prior is the position of members that the current walk has still to serve.
func (a *audience) prior() uint64 {
	if len(a.run.Items) > 0 && a.run.Items[0].Offset > 0 {
		return before(a.run.Items[0].Offset)
	}
	return a.base
}

// end returns the index of the first member that no walk serves.
func (a *audience) end() int { return len(a.ids) - int(a.behind) }

// finish ends a walk. The next may begin.
func (a *audience) finish() {
	a.cursor = a.end()
	a.shard.delivered(a.began)
	a.run.Items = shift(a.run.Items, len(a.run.Items))
	a.run.Joined, a.except = nil, nil
	if a.buffer != nil {
		a.shard.putBuffer(a.buffer)
		a.buffer = nil
	}
}

// joinFrames sets the run's frames as one piece.
func (a *audience) joinFrames() {
	switch {
	case a.run.Joined != nil:
	case len(a.run.Items) == 1:
		a.run.Joined = a.run.Items[0].Frame
	default:
		a.buffer = a.shard.getBuffer()
		for i := range a.run.Items {
			a.buffer = append(a.buffer, a.run.Items[i].Frame...)
		}
		a.run.Joined = a.buffer
	}
}

// next returns the members that are served next, at most a portion. The member
// that does not get the run is passed over.
func (a *audience) next() []uint64 {
	end := min(a.cursor+portion, a.end())
	if a.except == nil || a.except.seat.shard != a.shard {
		return a.ids[a.cursor:end]
	}
	if i := a.except.find(a); i >= 0 {
		switch at := a.except.subs.at(i).index; {
		case at >= end:
		case at == a.cursor:
			a.cursor++
			end = min(a.cursor+portion, a.end())
		case at > a.cursor:
			end = min(end, at)
		}
	}
	return a.ids[a.cursor:end]
}

// join makes s a member that counts as served by the current walk. The stripe is
// locked. It is the one place where memberships begin.
func (a *audience) join(s *Subscriber) {
	last := len(a.ids)
	a.ids = append(a.ids, s.id)
	a.members = append(a.members, s)
	s.subs.add(subscription{a, last})
	if s.Len() > 1 {
		a.ids[last] |= delivery.Several
		s.mark(true)
	}
	a.swap(last, a.end()-1)
	a.swap(a.end()-1, a.cursor)
	a.cursor++
	a.count(1)
	a.channel.stripe.joined(a.channel.name, s)
}

// count notes that there are so many members more.
func (a *audience) count(n int) {
	a.size.Store(int32(len(a.ids)))
	a.shard.stats.Subscriptions += n
}

// countBehind notes that so many members more are served by no walk.
func (a *audience) countBehind(n int32) {
	a.behind += n
	a.shard.stats.Behind += int(n)
}

// leave removes the member at index i. It is the one place where memberships end.
func (a *audience) leave(i int) {
	gone := a.members[i]
	if i >= a.end() {
		a.shard.forget(a, gone)
	} else {
		i = a.setBehind(i)
	}
	a.countBehind(-1)
	last := len(a.ids) - 1
	a.swap(i, last)
	a.members[last] = nil
	a.ids, a.members = a.ids[:last], a.members[:last]
	a.count(-1)
	a.channel.stripe.left(a.channel.name, gone)
	if last == 0 {
		a.channel.remove(a)
	}
}

// setBehind moves the member at index i to those that no walk serves, and returns its
// new index.
func (a *audience) setBehind(i int) int {
	if i < a.cursor {
		a.cursor--
		a.swap(i, a.cursor)
		i = a.cursor
	}
	last := a.end() - 1
	a.swap(i, last)
	a.countBehind(1)
	return last
}

// setServed moves the member at index i from those that no walk serves to those
// that the current walk has served.
func (a *audience) setServed(i int) {
	first := a.end()
	a.swap(i, first)
	a.countBehind(-1)
	a.swap(first, a.cursor)
	a.cursor++
}

// swap exchanges two members and tells them their new places.
func (a *audience) swap(i, j int) {
	if i == j {
		return
	}
	a.ids[i], a.ids[j] = a.ids[j], a.ids[i]
	a.members[i], a.members[j] = a.members[j], a.members[i]
	a.members[i].moved(a, i)
	a.members[j].moved(a, j)
}

// frameListMax is how many entries an emptied list may keep.
const frameListMax = 64

// shift removes the first n entries of a list, and gives a large one that is
// empty then to the garbage collector.
func shift[T any](list []T, n int) []T {
	rest := copy(list, list[n:])
	if rest == 0 && cap(list) > frameListMax {
		return nil
	}
	clear(list[rest:])
	return list[:rest]
}
