package cluster

import (
	"maps"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/hub"
)

// Times of facts.
const (
	wantEvery   = 500 * time.Millisecond // an owner is not asked more often
	factsSilent = 3 * time.Second        // after which the facts of an owner are over
	ownerKnown  = time.Minute            // that a silent owner is remembered, for messages that are late
)

// A learner has the facts that hold at other nodes. It knows no socket and no clock. Its
// methods may be called from any goroutine.
type learner struct {
	from uint64 // incarnation of this node
	ask  func(owner uint64, message []byte)

	mu     sync.Mutex
	hubs   map[string]Learner
	owners map[uint64]*owner
	facts  int    // of all owners
	wanted uint64 // shards that were asked for
}

// A Learner gets what holds at other nodes, as a hub.Hub does.
type Learner interface {
	// Learn makes a fact known, or another value of it, if what an earlier call has
	// returned is not nil. What it returns is for the next call; nil: it is not wanted.
	Learn(f hub.Fact, known any) any

	// Unlearn ends what Learn began.
	Unlearn(f hub.Fact, known any)
}

// An owner is another node that has facts.
type owner struct {
	heard  time.Duration
	behind bool          // it has facts that are not known here
	silent bool          // its facts are over
	ended  bool          // for good
	asked  time.Duration // 0 if it may be asked at once
	shards [shards]known
}

// known is what is known of a shard.
type known struct {
	version uint64
	void    bool // the facts were over since: no change is the next, but the whole shard
	facts   map[factKey]learned

	coming *incoming // a shard of which not all parts have come
}

// learned is a fact, and what its Learner has returned.
type learned struct {
	value string
	by    any
}

// incoming is a shard that comes.
type incoming struct {
	version, next uint64 // part
	facts         map[factKey]string
}

func newLearner(from uint64, ask func(owner uint64, message []byte)) *learner {
	return &learner{from: from, ask: ask, hubs: make(map[string]Learner), owners: make(map[uint64]*owner)}
}

// join makes what is known of a hub of that name known to it, as far as that was not wanted
// before, or by another hub.
func (l *learner) join(name string, to Learner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.hubs[name] != to
	l.hubs[name] = to
	for _, o := range l.owners {
		for i := range o.shards {
			for k, f := range o.shards[i].facts {
				if k.hub == name && (fresh || f.by == nil) {
					f.by = to.Learn(k.fact(f.value), nil)
					o.shards[i].facts[k] = f
				}
			}
		}
	}
}

// take takes a message of an owner. It returns an error if it cannot be read.
func (l *learner) take(now time.Duration, k kind, from uint64, b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch k {
	case kindFacts:
		return l.takeFacts(now, from, b)
	case kindVersions:
		flags, versions, err := parseVersions(b)
		if err != nil {
			return err
		}
		if o := l.owner(now, from); o != nil && flags&factsBye != 0 {
			l.end(o)
			o.ended = true
		} else if o != nil {
			l.compare(now, from, o, &versions)
		}
		return nil
	case kindShard:
		return l.takePart(now, from, b)
	}
	return errFrame
}

// owner returns an owner that is heard of, nil if it has ended.
func (l *learner) owner(now time.Duration, id uint64) *owner {
	o := l.owners[id]
	if o == nil {
		o = new(owner)
		l.owners[id] = o
	}
	if o.ended {
		return nil
	}
	o.heard, o.silent = now, false
	return o
}

// takeFacts obeys the changes that are next.
func (l *learner) takeFacts(now time.Duration, from uint64, b []byte) error {
	o := l.owner(now, from)
	for o != nil && len(b) > 0 {
		c, rest, err := parseChange(b)
		if err != nil {
			return err
		}
		b = rest
		s := &o.shards[c.shard]
		if c.version != s.version+1 || s.void {
			continue
		}
		s.version++
		if c.holds {
			l.learn(s, c.key, c.value)
		} else {
			l.unlearn(s, c.key)
		}
	}
	return nil
}

// compare asks an owner for the shards that are behind.
func (l *learner) compare(now time.Duration, from uint64, o *owner, versions *[shards]uint64) {
	mask := uint64(0)
	for i, version := range versions {
		if s := &o.shards[i]; s.version < version || s.void {
			mask |= 1 << i
		}
	}
	o.behind = mask != 0
	if mask == 0 || o.asked > 0 && now-o.asked < wantEvery {
		return
	}
	o.asked = now
	l.wanted += uint64(bits.OnesCount64(mask))
	l.ask(from, appendWant(nil, l.from, mask))
}

// takePart takes a part of a shard; with the last one the shard is as it says.
func (l *learner) takePart(now time.Duration, from uint64, b []byte) error {
	p, b, err := parsePart(b)
	if err != nil {
		return err
	}
	o := l.owner(now, from)
	if o == nil {
		return nil
	}
	s := &o.shards[p.shard]
	if p.version < s.version || p.version == s.version && !s.void {
		return nil // others lack it
	}
	if p.number == 0 {
		s.coming = &incoming{version: p.version, facts: make(map[factKey]string)}
	}
	in := s.coming
	if in == nil || in.version != p.version || in.next != p.number {
		s.coming = nil
		return nil
	}
	in.next++
	for len(b) > 0 {
		k, value, rest, err := parseFact(b)
		if err != nil {
			return err
		}
		in.facts[k] = value
		b = rest
	}
	if !p.last {
		return nil
	}
	s.coming, s.version, s.void = nil, p.version, false
	// What is new comes first: a user who has another connection by now was never away.
	for k, value := range in.facts {
		l.learn(s, k, value)
	}
	for k := range s.facts {
		if _, ok := in.facts[k]; !ok {
			l.unlearn(s, k)
		}
	}
	return nil
}

func (l *learner) learn(s *known, k factKey, value string) {
	old, ok := s.facts[k]
	if ok && old.value == value {
		return
	}
	if !ok {
		l.facts++
	}
	if to := l.hubs[k.hub]; to != nil {
		old.by = to.Learn(k.fact(value), old.by)
	}
	if s.facts == nil {
		s.facts = make(map[factKey]learned)
	}
	s.facts[k] = learned{value, old.by}
}

func (l *learner) unlearn(s *known, k factKey) {
	f, ok := s.facts[k]
	if !ok {
		return
	}
	l.facts--
	delete(s.facts, k)
	if to := l.hubs[k.hub]; to != nil && f.by != nil {
		to.Unlearn(k.fact(f.value), f.by)
	}
}

// tick ends the facts of owners that are silent.
func (l *learner) tick(now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.owners)) { // in one order, so that a simulation can be repeated
		o := l.owners[id]
		silence := now - o.heard
		if silence > factsSilent && !o.silent {
			l.end(o)
		}
		if silence > ownerKnown {
			delete(l.owners, id)
		}
	}
}

// end ends the facts of an owner.
func (l *learner) end(o *owner) {
	o.silent, o.behind = true, false
	for i := range o.shards {
		s := &o.shards[i]
		for k := range s.facts {
			l.unlearn(s, k)
		}
		s.void, s.coming = s.version > 0, nil
	}
}

// informed reports whether all is known that owners have told of.
func (l *learner) informed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.owners {
		if o.behind {
			return false
		}
	}
	return true
}

// counts returns how many facts hold at other nodes, and how many shards were asked for.
func (l *learner) counts() (facts int, wanted uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.facts, l.wanted
}
