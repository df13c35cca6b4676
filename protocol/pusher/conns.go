package pusher

import (
	"sync"

	"github.com/nu7hatch/webrocket/hub"
)

// conns are the connections of an application by their numbers. A publisher names by
// its socket id the one that does not get an event.
type conns [64]struct {
	mu    sync.Mutex
	table table // guarded by mu
}

// part returns the index of the part that a connection with this number belongs to.
func (all *conns) part(number uint64) int { return int(number / 256 % uint64(len(all))) }

func (all *conns) add(c *conn) {
	part := &all[all.part(c.number())]
	part.mu.Lock()
	defer part.mu.Unlock()
	part.table.add(c)
}

func (all *conns) remove(c *conn) {
	part := &all[all.part(c.number())]
	part.mu.Lock()
	defer part.mu.Unlock()
	part.table.remove(c)
}

// session returns the session of a connection, nil if there is none.
func (all *conns) session(number uint64) *hub.Session {
	part := &all[all.part(number)]
	part.mu.Lock()
	defer part.mu.Unlock()
	if c := part.table.find(number); c != nil {
		return &c.Session
	}
	return nil
}

// A table is a hash table of connections (open addressing, linear probing): 10 bytes for
// each on average, where a map has 30 or 40. There may be millions.
type table struct {
	slots []*conn // an eighth of them nil at least
	n     int
}

// fewSlots is how many slots there are at least, so that one is nil: there a search ends.
const fewSlots = 8

// home is where the search for a number begins.
func (t *table) home(number uint64) int {
	hash := number * 0x9e3779b97f4a7c15 >> 32 // 32 bits, as a fraction of all slots
	return int(hash * uint64(len(t.slots)) >> 32)
}

// next returns the slot behind another one.
func (t *table) next(i int) int {
	if i++; i < len(t.slots) {
		return i
	}
	return 0
}

// distance returns how far it is from one slot to another one.
func (t *table) distance(from, to int) int {
	if from <= to {
		return to - from
	}
	return to - from + len(t.slots)
}

// at returns the slot of a number, or the empty one where it would be.
func (t *table) at(number uint64) int {
	i := t.home(number)
	for t.slots[i] != nil && t.slots[i].number() != number {
		i = t.next(i)
	}
	return i
}

func (t *table) find(number uint64) *conn {
	if t.n == 0 {
		return nil
	}
	return t.slots[t.at(number)]
}

// add adds a connection whose number is not there.
func (t *table) add(c *conn) {
	if t.n >= len(t.slots)-len(t.slots)/8 {
		t.resize(len(t.slots) + max(len(t.slots)/4, fewSlots))
	}
	t.slots[t.at(c.number())] = c
	t.n++
}

// remove removes a connection that is there.
func (t *table) remove(c *conn) {
	hole := t.at(c.number())
	t.slots[hole] = nil
	t.n--
	// Those behind it whose way from home leads over the hole move up.
	for i := t.next(hole); t.slots[i] != nil; i = t.next(i) {
		if t.distance(t.home(t.slots[i].number()), i) >= t.distance(hole, i) {
			t.slots[hole], t.slots[i] = t.slots[i], nil
			hole = i
		}
	}
	if t.n < len(t.slots)/4 {
		t.resize(max(len(t.slots)/2, fewSlots))
	}
}

func (t *table) resize(size int) {
	old := t.slots
	t.slots = make([]*conn, size)
	for _, c := range old {
		if c != nil {
			t.slots[t.at(c.number())] = c
		}
	}
}
