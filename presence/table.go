package presence

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// stripeCount is a power of two, far above the number of cores.
const stripeCount = 64

// A Table holds who is present in the channels of a hub. Make it with NewTable. Its
// methods may be called from any goroutine.
type Table struct {
	// Current, unless it is nil, returns the settings of a channel as they are now. It
	// is asked while the channel is locked, so that a caller that has taken long does
	// not bring back what a reload has replaced. Where they are Off, those that the
	// caller gives count. It must not call the table. Set it before the first call.
	Current func(channel string) Config

	seed    maphash.Seed
	stats   stats
	stripes [stripeCount]stripe
}

// stats counts for a table.
type stats struct{ channels, members, notices atomic.Int64 }

// Stats is what a table holds, and has counted.
type Stats struct {
	Channels int    // with members
	Members  int    // of all channels
	Notices  uint64 // that were made since the table began
}

// A stripe guards the sets whose channels hash to it.
type stripe struct {
	mu    sync.Mutex
	stats *stats
	sets  map[string]*set
	floor uint64 // the greatest version of all sets that were forgotten
}

// A Who says who a connection is. It is immutable once it has been passed to Join.
type Who struct {
	Client string // names the connection
	User   string // "" for none
	Info   string // JSON for others to see, "" for none
}

// A Member is a place in the list of a channel.
type Member struct {
	set  *set
	who  *Who
	at   uint64        // the version with which it joined
	away time.Duration // when it leaves, if it has no connection
	n    int           // connections
	due  bool          // a Queue looks after it when it may have been away for long enough
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{seed: maphash.MakeSeed()}
	for i := range t.stripes {
		t.stripes[i].stats = &t.stats
	}
	return t
}

// Stats returns what the table holds.
func (t *Table) Stats() Stats {
	return Stats{int(t.stats.channels.Load()), int(t.stats.members.Load()), uint64(t.stats.notices.Load())}
}

// stripe returns the stripe of a channel.
func (t *Table) stripe(channel string) *stripe {
	return &t.stripes[maphash.String(t.seed, channel)%stripeCount]
}

// current returns the settings of a channel, which is locked, for a caller with c.
func (t *Table) current(channel string, c Config) Config {
	if t.Current != nil {
		if now := t.Current(channel); now.Mode != Off {
			c = now
		}
	}
	return c.WithDefaults()
}

// Join makes a connection present in a channel whose settings are c, which must have
// passed Check and have a Mode. If others of the same user are there in the mode
// Users, it is the same Member, whose Info becomes that of who, if there is one. The Queue is that of the calling loop.
func (t *Table) Join(q *Queue, now time.Duration, channel string, c Config, who *Who) *Member {
	st := t.stripe(channel)
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.need(channel, t.current(channel, c))
	m := s.join(who)
	s.wake(q, now)
	return m
}

// Leave ends what one call of Join began.
func (t *Table) Leave(q *Queue, now time.Duration, m *Member) {
	st := m.set.stripe
	st.mu.Lock()
	defer st.mu.Unlock()
	m.set.leave(q, now, m)
	m.set.wake(q, now)
	m.set.endIfUnused()
}

// Update is Leave and Join in one step, for a connection that is somebody else now, or
// has another Info. It returns the member that the connection has from then on. In the
// mode Users the new Info of a user replaces the one before.
func (t *Table) Update(q *Queue, now time.Duration, m *Member, c Config, who *Who) *Member {
	st := m.set.stripe
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.need(m.set.channel, t.current(m.set.channel, c))
	if s == m.set && s.key(m.who) == s.key(who) {
		s.replace(m, who)
		s.wake(q, now)
		return m
	}
	return s.move(q, now, m, who)
}

// Obey is for when the settings of a channel have changed: a connection that is who it
// was when it joined is present by the new ones. It returns the member that the
// connection has from then on.
func (t *Table) Obey(q *Queue, now time.Duration, m *Member, c Config, who *Who) *Member {
	st := m.set.stripe
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.need(m.set.channel, t.current(m.set.channel, c))
	if s == m.set {
		return m
	}
	return s.move(q, now, m, who)
}

// move makes a connection of a member present in the set as somebody else, or from
// another set.
func (s *set) move(q *Queue, now time.Duration, m *Member, who *Who) *Member {
	next := s.join(who) // before the other leaves, so that the set does not end
	m.set.leave(q, now, m)
	s.wake(q, now)
	m.set.wake(q, now)
	m.set.endIfUnused()
	return next
}

// Channel returns the name of the channel that the member is in.
func (m *Member) Channel() string { return m.set.channel }

// need returns the set of a channel. If there is none, or one of another mode, another
// begins. The stripe is locked.
func (st *stripe) need(channel string, c Config) *set {
	old := st.sets[channel]
	if old != nil && old.config.Mode == c.Mode {
		old.obey(c)
		return old
	}
	s := &set{channel: channel, stripe: st, config: c, version: st.floor, told: -c.Interval}
	if c.Mode == Users {
		s.named = make(map[string]*Member)
	} else {
		s.users = make(map[string]int)
	}
	if old == nil {
		st.stats.channels.Add(1)
	} else {
		// Whoever has the list of the old set must not take notices of the new one for
		// its continuation.
		s.version = old.version + 1
		s.watchers, old.watchers = old.watchers, 0
	}
	s.from = s.version
	if st.sets == nil {
		st.sets = make(map[string]*set)
	}
	st.sets[channel] = s
	return s
}

// endIfUnused forgets a set that nobody is in. The stripe is locked.
func (s *set) endIfUnused() {
	st := s.stripe
	if s.members > 0 || s.watchers > 0 || s.queued {
		return
	}
	st.floor = max(st.floor, s.version)
	if st.sets[s.channel] == s {
		delete(st.sets, s.channel)
		st.stats.channels.Add(-1)
	}
}
