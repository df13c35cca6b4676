package pubsub

import (
	"sync/atomic"
	"time"
)

// runMax is how many bytes of frames one walk over an audience carries: enough
// to make the cost of a write small beside them, and small enough for a core's
// cache and a socket's send buffer.
const runMax = 64 << 10

// An audience is the members of one channel on one shard that are of one kind.
//
// The members that the current walk has served stand before the cursor, the
// others behind it; without a walk all are served. Joining and leaving keep
// that division, so a walk may be interrupted anywhere and still reaches every
// member once.
type audience struct {
	channel *channel
	shard   *Shard
	kind    Kind

	// Guarded by the stripe of the channel.
	pending [][]byte      // frames published and not walked yet
	events  []string      // their names, if the hub keeps them
	queued  bool          // the shard knows that there are some
	since   time.Duration // when the first of them was published

	size atomic.Int32 // how many members there are; the loop alone sets it

	// The loop's own.
	ids     []uint64 // members, as the Sink knows them
	members []*Subscriber
	cursor  int
	frames  [][]byte      // the run that is being walked
	names   []string      // of its events, if the hub keeps them
	joined  []byte        // the same as one piece
	began   time.Duration // when the first frame of it was published
}

// append queues a frame that was published at that time. The stripe is locked.
func (a *audience) append(frame []byte, at time.Duration) {
	if len(a.pending) == 0 {
		a.since = at
	}
	a.pending = append(a.pending, frame)
	a.shard.backlog.Add(int64(len(frame)))
	if !a.queued {
		a.queued = true
		a.shard.enqueue(a)
	}
}

// name names the frame that was appended last. The stripe is locked.
func (a *audience) name(event string) {
	for len(a.events) < len(a.pending)-1 {
		a.events = append(a.events, "") // from before the hub kept them
	}
	a.events = append(a.events, event)
}

// discard drops what is pending. The stripe is locked.
func (a *audience) discard() {
	for _, f := range a.pending {
		a.shard.backlog.Add(-int64(len(f)))
	}
	a.pending, a.events = nil, nil
}

// load begins a walk with what is pending, and tells whether there was any.
// If not, the next frame queues the audience anew.
func (a *audience) load() bool {
	st := a.channel.stripe
	st.mu.Lock()
	defer st.mu.Unlock()
	n, size := 0, 0
	for n < len(a.pending) && (n == 0 || size+len(a.pending[n]) <= runMax) {
		size += len(a.pending[n])
		n++
	}
	if n == 0 {
		a.queued = false
		return false
	}
	a.shard.backlog.Add(-int64(size))
	a.frames = append(a.frames, a.pending[:n]...)
	a.pending = shift(a.pending, n)
	if len(a.events) > 0 {
		known := min(n, len(a.events))
		a.names = append(a.names, a.events[:known]...)
		a.events = shift(a.events, known)
	}
	a.cursor = 0
	a.began = a.since
	return true
}

// finish ends a walk. The next may begin.
func (a *audience) finish() {
	a.cursor = len(a.ids)
	a.shard.delivered(a.began)
	a.frames = shift(a.frames, len(a.frames))
	a.names = shift(a.names, len(a.names))
	if a.joined != nil {
		a.shard.putBuffer(a.joined)
		a.joined = nil
	}
}

// run returns the frames of the walk as one piece.
func (a *audience) run() []byte {
	if len(a.frames) == 1 {
		return a.frames[0]
	}
	if a.joined == nil {
		a.joined = a.shard.getBuffer()
		for _, f := range a.frames {
			a.joined = append(a.joined, f...)
		}
	}
	return a.joined
}

// join makes s a member that counts as served by the current walk.
// The stripe is locked.
func (a *audience) join(s *Subscriber) {
	last := len(a.ids)
	a.ids = append(a.ids, s.id)
	a.members = append(a.members, s)
	s.subs = append(s.subs, subscription{a, last})
	if len(s.subs) > 1 {
		a.ids[last] |= Several
		s.mark(true)
	}
	a.swap(last, a.cursor)
	a.cursor++
	a.count(1)
}

// count notes that there are so many members more.
func (a *audience) count(n int) {
	a.size.Store(int32(len(a.ids)))
	a.shard.stats.Subscriptions += n
}

// leave removes the member at index i.
func (a *audience) leave(i int) {
	if i < a.cursor {
		a.cursor--
		a.swap(i, a.cursor)
		i = a.cursor
	}
	last := len(a.ids) - 1
	a.swap(i, last)
	a.members[last] = nil
	a.ids, a.members = a.ids[:last], a.members[:last]
	a.count(-1)
	if last == 0 {
		a.channel.remove(a)
	}
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
