package presence

import (
	"cmp"
	"slices"
	"time"
)

// A set is who is present in one channel. Its fields are guarded by the stripe.
type set struct {
	channel string
	stripe  *stripe
	config  Config // with the defaults

	version uint64 // of the last change of the list
	clients int    // connections
	members int
	named   map[string]*Member // by user, in the mode Users
	users   map[string]int     // how many connections each has, in the mode Clients

	// order has the members as they joined; those that have left have no member. Of
	// those that are there, the ones that joined before the version front are listed; 0:
	// all are.
	order []place
	gone  int // places without a member
	front uint64

	// What the next notice says, if somebody watches.
	watchers int
	queued   bool           // a Queue has the set
	changes  map[key]change // the last change of each member since the version from
	size     int            // of all changes since then, in bytes
	over     bool           // there were too many of them
	from     uint64
	told     time.Duration // when the last notice was made
}

// A place in the order of members.
type place struct {
	at     uint64
	member *Member // nil: it has left
}

// A key names a member of a set: one of its fields is set.
type key struct{ client, user string }

// key returns the key of a connection's member.
func (s *set) key(who *Who) key {
	if s.config.Mode == Users && who.User != "" {
		return key{user: who.User}
	}
	return key{client: who.Client}
}

// join counts a connection, and returns its member.
func (s *set) join(who *Who) *Member {
	s.clients++
	user := s.key(who).user
	if m := s.named[user]; user != "" && m != nil {
		m.n++
		m.away = 0
		if who.Info != "" {
			s.replace(m, who)
		}
		return m
	}
	m := &Member{set: s, who: who, n: 1}
	if user != "" {
		s.named[user] = m
	}
	s.count(who, 1)
	s.members++
	s.stripe.stats.members.Add(1)
	s.add(m)
	return m
}

// leave is the end of a connection of a member. If the member leaves later, the Queue
// has it.
func (s *set) leave(q *Queue, now time.Duration, m *Member) {
	s.clients--
	m.n--
	switch {
	case m.n > 0:
	case s.config.LeaveAfter > 0 && s.key(m.who).user != "":
		m.away = now + s.config.LeaveAfter
		s.wait(q, m)
	default:
		s.end(m)
	}
}

// end removes a member.
func (s *set) end(m *Member) {
	if user := s.key(m.who).user; user != "" {
		delete(s.named, user)
	}
	s.count(m.who, -1)
	s.crowded()
	s.members--
	s.stripe.stats.members.Add(-1)
	s.version++
	s.remove(m)
	s.note(m, true)
}

// replace says who a member is now.
func (s *set) replace(m *Member, who *Who) {
	s.count(m.who, -1)
	s.count(who, 1)
	same := m.who.User == who.User && m.who.Info == who.Info
	if s.key(who).user == "" || !same {
		m.who = who
	}
	if !same {
		s.remove(m)
		s.add(m)
	}
}

// count counts the user of a connection, in the mode Clients.
func (s *set) count(who *Who, n int) {
	if s.users == nil || who.User == "" {
		return
	}
	if s.users[who.User] += n; s.users[who.User] == 0 {
		delete(s.users, who.User)
	}
}

// userCount returns how many users there are.
func (s *set) userCount() int { return len(s.named) + len(s.users) }

// add puts a member at the end of the order.
func (s *set) add(m *Member) {
	s.version++
	m.at = s.version
	s.order = append(s.order, place{m.at, m})
	if s.front == 0 && s.listed() > s.config.MaxMembers {
		s.front = m.at
	}
	s.crowded()
	s.note(m, false)
}

// remove takes a member out of the order. The first that is not listed takes its place.
func (s *set) remove(m *Member) {
	s.order[s.search(m.at)].member = nil
	s.gone++
	if m.at <= s.front {
		s.front = s.next(s.front)
	}
	if s.gone > len(s.order)/2 && s.gone >= 32 {
		s.order = slices.DeleteFunc(s.order, func(p place) bool { return p.member == nil })
		s.order = slices.Clip(s.order)
		s.gone = 0
	}
}

// listed returns how many members there are in the order.
func (s *set) listed() int { return len(s.order) - s.gone }

// next returns the version with which the first member behind a version joined, 0 if
// there is none.
func (s *set) next(at uint64) uint64 {
	for i := s.search(at + 1); i < len(s.order); i++ {
		if s.order[i].member != nil {
			return s.order[i].at
		}
	}
	return 0
}

// search returns the index of the first place that was taken with a version or later.
func (s *set) search(at uint64) int {
	i, _ := slices.BinarySearchFunc(s.order, at, func(p place, at uint64) int { return cmp.Compare(p.at, at) })
	return i
}

// obey replaces the settings by others of the same mode.
func (s *set) obey(c Config) {
	if s.config == c {
		return
	}
	s.config, s.front = c, 0
	left := c.MaxMembers
	for _, p := range s.order {
		if p.member == nil {
			continue
		}
		if left == 0 {
			s.front = p.at
			break
		}
		left--
	}
}
