package presence

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// What a notice lists at most; with more it has the numbers alone.
const (
	maxChanges     = 100
	maxChangesSize = 32 << 10 // bytes of them in memory
)

// An Entry says that a member has joined, or left, at a version.
type Entry struct {
	Client string // "" for a user
	User   string // "" for none
	Info   string // JSON, "" for none and for those that have left
	At     uint64
}

// A Counts is how many are present at a version of the list.
type Counts struct {
	Version uint64
	Clients int // connections
	Users   int
}

// A Notice is what has changed in a channel: all changes after the version From, up to
// Version. Each member is in one of the lists at most, with its last change.
type Notice struct {
	Channel string
	From    uint64
	Counts
	Joined, Left []Entry // by At; empty where there are too many members or changes
}

// A Queue holds what an event loop has to do later for a Table. The zero value is empty.
type Queue struct{ tasks tasks }

// A task is due at some time: a notice of a set, or a member that leaves.
type task struct {
	due    time.Duration
	set    *set
	member *Member
}

// entry returns the entry of a member.
func (s *set) entry(m *Member) Entry {
	e := Entry{Client: m.who.Client, User: m.who.User, Info: m.who.Info, At: m.at}
	if s.key(m.who).user != "" {
		e.Client = ""
	}
	return e
}

// note remembers a change for the next notice.
func (s *set) note(m *Member, left bool) {
	if s.watchers == 0 || s.over {
		return
	}
	e := s.entry(m)
	if left {
		e.Info, e.At = "", s.version
	}
	k := s.key(m.who)
	old, known := s.changes[k]
	s.size += e.size()
	if known {
		s.size -= old.size()
	}
	if !known && len(s.changes) == maxChanges || s.size > maxChangesSize {
		s.over, s.changes = true, nil
		return
	}
	if s.changes == nil {
		s.changes = make(map[key]change)
	}
	s.changes[k] = change{e, left}
}

// size returns how many bytes an entry takes.
func (e *Entry) size() int { return 64 + len(e.Client) + len(e.User) + len(e.Info) }

// A change is the last that happened to a member.
type change struct {
	Entry
	left bool
}

// crowded looks whether there are too many members to say who comes and goes. It is
// called before one leaves, and when one has joined.
func (s *set) crowded() {
	if s.watchers > 0 && s.members > s.config.MaxListed {
		s.over, s.changes = true, nil
	}
}

// forgetChanges begins the next notice.
func (s *set) forgetChanges() { s.changes, s.size, s.over = nil, 0, false }

// wake makes the loop of a Queue look after the set if there is something to tell.
func (s *set) wake(q *Queue, now time.Duration) {
	if s.queued || s.watchers == 0 || s.version == s.from {
		return
	}
	s.queued = true
	q.add(task{due: max(now, s.told+s.config.Interval), set: s})
}

// Watch says that somebody in a channel is told who comes and goes, and returns how
// many are there: notices have all changes after that version. The caller hears
// notices already, and is a member until Unwatch at least.
func (t *Table) Watch(m *Member) Counts {
	st := m.set.stripe
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.sets[m.set.channel]
	if s == nil { // all that had been told of another Mode have left
		s = m.set
		s.version = max(s.version, st.floor)
		st.sets[s.channel] = s
		st.stats.channels.Add(1)
	}
	if s.watchers == 0 {
		s.from = s.version
		s.forgetChanges()
	}
	s.watchers++
	return s.counts()
}

// Unwatch ends what Watch began, before the member leaves.
func (t *Table) Unwatch(m *Member) {
	st := m.set.stripe
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.sets[m.set.channel]
	if s.watchers--; s.watchers == 0 {
		s.forgetChanges()
		s.endIfUnused()
	}
}

// counts returns how many are there.
func (s *set) counts() Counts { return Counts{s.version, s.clients, s.userCount()} }

// Next returns the time at which Work has something to do, and whether there is one.
func (q *Queue) Next() (due time.Duration, ok bool) {
	if len(q.tasks) == 0 {
		return 0, false
	}
	return q.tasks[0].due, true
}

// Work does what is due, and calls tell with each notice. It is called on the loop of
// the Queue. Notices about one channel come one after the other, whichever loops they
// come from.
func (t *Table) Work(q *Queue, now time.Duration, tell func(*Notice)) {
	for due, ok := q.Next(); ok && due <= now; due, ok = q.Next() {
		next := heap.Pop(&q.tasks).(task)
		if next.member != nil {
			next.member.set.timeout(q, now, next.member)
			continue
		}
		if n := next.set.notice(now); n != nil {
			t.stats.notices.Add(1)
			tell(n)
		}
		next.set.done(q, now)
	}
}

// wait makes the loop of a Queue look after a member that is away. One task is enough,
// however often the user comes and goes.
func (s *set) wait(q *Queue, m *Member) {
	if !m.due {
		m.due = true
		q.add(task{due: m.away, member: m})
	}
}

// timeout ends a member that has been away for long enough.
func (s *set) timeout(q *Queue, now time.Duration, m *Member) {
	s.stripe.mu.Lock()
	defer s.stripe.mu.Unlock()
	m.due = false
	switch {
	case m.away == 0: // it is back, or has ended
		return
	case m.away > now: // it was back, and has gone again
		s.wait(q, m)
		return
	}
	m.away = 0
	s.end(m)
	s.wake(q, now)
	s.endIfUnused()
}

// notice returns the next notice, nil if there is nothing to tell.
func (s *set) notice(now time.Duration) *Notice {
	s.stripe.mu.Lock()
	defer s.stripe.mu.Unlock()
	if s.watchers == 0 || s.version == s.from {
		return nil
	}
	n := &Notice{Channel: s.channel, From: s.from, Counts: s.counts()}
	for _, c := range s.changes {
		if c.left {
			n.Left = append(n.Left, c.Entry)
		} else {
			n.Joined = append(n.Joined, c.Entry)
		}
	}
	slices.SortFunc(n.Joined, byAt)
	slices.SortFunc(n.Left, byAt)
	s.from, s.told = s.version, now
	s.forgetChanges()
	return n
}

func byAt(a, b Entry) int { return cmp.Compare(a.At, b.At) }

// done gives the set back when its notice has been delivered. Until then no other loop
// makes the next one.
func (s *set) done(q *Queue, now time.Duration) {
	s.stripe.mu.Lock()
	defer s.stripe.mu.Unlock()
	s.queued = false
	s.wake(q, now)
	s.endIfUnused()
}

func (q *Queue) add(t task) { heap.Push(&q.tasks, t) }

// tasks is a heap.Interface by time.
type tasks []task

func (h tasks) Len() int           { return len(h) }
func (h tasks) Less(i, j int) bool { return h[i].due < h[j].due }
func (h tasks) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *tasks) Push(x any)        { *h = append(*h, x.(task)) }

func (h *tasks) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = task{}
	*h = (*h)[:last]
	return t
}
