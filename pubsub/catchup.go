package pubsub

import (
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// aheadMax is how many bytes of replay a member is given at a time.
const aheadMax = 64 << 10

// replayMax is how many messages a member is given at a time.
const replayMax = 1000

// A Replayer is what a Sink is too if members are to read histories at their own
// pace. Without it a member is given a portion in each Work, whether it can take it
// or not, and is not told of losses. All methods are called on the loop only, and
// must not subscribe or unsubscribe anybody.
type Replayer interface {
	// Room returns how many bytes of replay a member takes now. The aim is to have
	// 64 KiB waiting for its socket at most. If it is 0 or less, the Sink calls
	// Shard.Resume when there is room again.
	Room(id uint64) int

	// TimeLeft returns how much is left of the slice of time of this turn.
	TimeLeft() time.Duration

	// Lost tells a member what it does not get. What follows in the channel is behind
	// l.Offset.
	Lost(id uint64, l delivery.Lost)
}

// unpaced is what replays to a Sink that is no Replayer.
type unpaced struct{}

func (unpaced) Room(uint64) int            { return aheadMax }
func (unpaced) TimeLeft() time.Duration    { return 0 }
func (unpaced) Lost(uint64, delivery.Lost) {}

// A catchup is what a shard knows of the members that are behind: they have what is
// up to a position, and no walk serves them.
//
// There are three kinds. A member whose position is below the base of its audience was
// away: it reads the log at its own pace until it has reached base. A member whose
// position is above base was served further by another loop before it came here: it
// waits until this loop begins a run that goes beyond its position, and is given the
// rest of that run. The log need not hold that. A latecomer waits in the same way, in
// channels without a history too (latecomer.go).
type catchup struct {
	pace    Replayer
	readers map[uint64]*reader      // by the member's id
	queue   queue[reader]           // those that have something to read, in turn
	early   map[*audience][]*reader // those that wait for a run
	late    map[*audience][]latecomer
	items   []delivery.Item // room for what is read, empty
}

// A reader is a subscriber that is behind in some of its channels.
type reader struct {
	sub     *Subscriber
	replays []replay
	queued  bool
	parked  bool // there was no room
}

// A replay is a reader's position in one of its channels.
type replay struct {
	audience *audience
	position uint64
	early    bool // it waits for the run that goes beyond its position, and does not read
}

// find returns the index of the replay of an audience, or -1.
func (r *reader) find(a *audience) int {
	for i := range r.replays {
		if r.replays[i].audience == a {
			return i
		}
	}
	return -1
}

// reads reports whether there is something for r in a log.
func (r *reader) reads() bool {
	return slices.ContainsFunc(r.replays, func(p replay) bool { return !p.early })
}

// Resume says that there is room again for a member for which Replayer.Room found
// none. Loop only.
func (s *Shard) Resume(id uint64) {
	if r := s.catchup.readers[id]; r != nil && r.parked {
		r.parked = false
		s.read(r)
	}
}

// read puts a reader that has something to read into the queue.
func (s *Shard) read(r *reader) {
	if r.queued || r.parked || !r.reads() {
		return
	}
	r.queued = true
	if s.catchup.queue.len() == 0 {
		s.sink.Wake()
	}
	s.catchup.queue.push(r)
}

// fallBehind gives a member the position p: it goes on from there.
func (s *Shard) fallBehind(a *audience, sub *Subscriber, p uint64) {
	i := sub.subs.at(sub.find(a)).index
	if i >= a.end() {
		s.forget(a, sub)
	} else {
		i = a.setBehind(i)
	}
	if p == a.base {
		a.setServed(i)
		return
	}
	c := &s.catchup
	r := c.readers[sub.id]
	if r == nil {
		r = &reader{sub: sub}
		if c.readers == nil {
			c.readers, c.early = map[uint64]*reader{}, map[*audience][]*reader{}
		}
		c.readers[sub.id] = r
	}
	r.replays = append(r.replays, replay{a, p, p > a.base})
	if p > a.base {
		c.early[a] = append(c.early[a], r)
		return
	}
	s.read(r)
}

// forget drops what is known of a member that is behind.
func (s *Shard) forget(a *audience, sub *Subscriber) {
	c := &s.catchup
	if c.isLate(a, sub) {
		c.setLate(a, slices.DeleteFunc(c.late[a], func(l latecomer) bool { return l.sub == sub }))
		return
	}
	r := c.readers[sub.id]
	i := r.find(a)
	last := len(r.replays) - 1
	r.replays[i] = r.replays[last]
	r.replays[last] = replay{}
	r.replays = r.replays[:last]
	if last == 0 {
		delete(c.readers, sub.id)
	}
	if early := c.early[a]; early != nil {
		c.setEarly(a, slices.DeleteFunc(early, func(other *reader) bool { return other == r }))
	}
}

// setEarly sets which readers are above base.
func (c *catchup) setEarly(a *audience, early []*reader) {
	if len(early) == 0 {
		delete(c.early, a)
	} else {
		c.early[a] = early
	}
}

// position returns what the member at an index has had.
func (a *audience) position(index int) uint64 {
	switch {
	case index < a.cursor:
		return a.base
	case index < a.end():
		return a.prior()
	case a.shard.catchup.isLate(a, a.members[index]):
		return a.base
	}
	r := a.shard.catchup.readers[a.members[index].id]
	return r.replays[r.find(a)].position
}

// promote makes a member that has reached base one that walks serve.
func (s *Shard) promote(a *audience, sub *Subscriber) {
	s.forget(a, sub)
	a.setServed(sub.subs.at(sub.find(a)).index)
}

// admit gives latecomers, and early readers whose position is not above base any more, the
// rest of the run that is about to be walked.
func (s *Shard) admit(a *audience) {
	s.admitLatecomers(a)
	if a.run.Items[0].Offset == 0 {
		s.release(a)
		return
	}
	for _, r := range slices.Clone(s.catchup.early[a]) {
		if p := r.replays[r.find(a)].position; p <= a.base {
			s.admitOne(a, r, p)
		}
	}
}

// release gives up the replays of an audience whose channel has lost its history, and
// gives their readers the run, which is not a part of it.
func (s *Shard) release(a *audience) {
	for _, sub := range slices.Clone(a.members[a.end():]) {
		if s.catchup.isLate(a, sub) {
			continue
		}
		r := s.catchup.readers[sub.id]
		p := r.replays[r.find(a)]
		if p.early {
			continue // on its loop the run came before its position
		}
		s.promote(a, sub)
		if p.position < a.base {
			n := a.channel.hub.missing(p.position, a.base)
			s.catchup.pace.Lost(sub.id, delivery.Lost{Channel: a.channel.name, N: n, Offset: a.base})
		}
		if a.except != sub {
			s.give(a, r, a.run.Items, a.base)
		}
	}
}

// admitLate makes early readers read the log if their run was given up.
func (s *Shard) admitLate(a *audience) {
	kept := slices.DeleteFunc(s.catchup.early[a], func(r *reader) bool {
		p := &r.replays[r.find(a)]
		if p.early = p.position > a.base; !p.early {
			s.read(r)
		}
		return !p.early
	})
	s.catchup.setEarly(a, kept)
}

// admitOne gives a reader what is behind p in the run.
func (s *Shard) admitOne(a *audience, r *reader, p uint64) {
	i := slices.IndexFunc(a.run.Items, func(item delivery.Item) bool { return item.Offset > p })
	s.promote(a, r.sub)
	if i >= 0 && a.except != r.sub {
		s.give(a, r, a.run.Items[i:], a.base)
	}
}

// give delivers messages up to the position to to a reader alone. If the Sink panics
// the reader has lost some of them, as far as can be told.
func (s *Shard) give(a *audience, r *reader, items []delivery.Item, to uint64) {
	buffer := s.getBuffer()
	run := delivery.Run{Items: items, Joined: items[0].Frame}
	if len(items) > 1 {
		for i := range items {
			buffer = append(buffer, items[i].Frame...)
		}
		run.Joined = buffer
	}
	done := false
	defer func() {
		s.putBuffer(buffer)
		if !done {
			s.read(r)
			s.catchup.pace.Lost(r.sub.id, delivery.Lost{Channel: a.channel.name, Offset: to})
		}
	}()
	s.sink.Deliver([]uint64{a.ids[r.sub.subs.at(r.sub.find(a)).index]}, &run)
	done = true
}

// replayAll serves readers for at most half of what is left of the slice of time, and
// one in any case.
func (s *Shard) replayAll() {
	if s.catchup.queue.len() == 0 {
		return
	}
	enough := s.catchup.pace.TimeLeft() / 2
	for s.replayOne() && s.catchup.pace.TimeLeft() > enough {
	}
}

// replayOne gives the next reader a portion of what it has not had, and reports
// whether there was one.
func (s *Shard) replayOne() bool {
	c := &s.catchup
	if c.queue.len() == 0 {
		return false
	}
	r := c.queue.pop()
	r.queued = false
	if !r.reads() { // it has left
		return true
	}
	room := min(c.pace.Room(r.sub.id), aheadMax)
	r.parked = room <= 0
	for i := 0; room > 0 && i < len(r.replays); {
		if p := &r.replays[i]; !p.early {
			size, done := s.replay(r, p, room)
			room -= size
			if done {
				continue // another has its place
			}
		}
		i++
	}
	s.read(r)
	return true
}

// replay gives a reader what is behind its position in one channel, as far as there
// is room. done: it has all of it, and is served by the next walk.
func (s *Shard) replay(r *reader, p *replay, room int) (size int, done bool) {
	a := p.audience
	items, from, to, size := a.read(p.position, room, s.catchup.items)
	if from > p.position {
		n := a.channel.hub.missing(p.position, from)
		s.catchup.pace.Lost(r.sub.id, delivery.Lost{Channel: a.channel.name, N: n, Offset: from})
	}
	p.position = to
	if len(items) > 0 {
		a.channel.hub.nameEvents(a.form, items)
		s.give(a, r, items, to)
		clear(items)
		s.catchup.items = items[:0]
	}
	if p.position < a.base {
		return size, false
	}
	s.promote(a, r.sub)
	return size, true
}

// read appends to items what the log has behind position p, up to base: one message,
// and more as far as there is room. What is up to from is not kept any more. to is the
// position of a reader that has been given the items.
func (a *audience) read(p uint64, room int, items []delivery.Item) (_ []delivery.Item, from, to uint64, size int) {
	ch := a.channel
	ch.stripe.mu.Lock()
	defer ch.stripe.mu.Unlock()
	form := ch.hub.encodings.Load().replayed[a.form]
	if ch.log == nil || form < 0 {
		return items, a.base, a.base, 0
	}
	ch.refresh(0)
	l := ch.log
	from = max(p, min(l.floor(), a.base))
	to = from
	for i := l.upTo(to); to < a.base; i++ {
		if i == l.n || l.offset(i) > a.base {
			return items, from, a.base, size
		}
		frame := l.frame(i, int(form))
		if len(items) == replayMax || size > 0 && size+len(frame) > room {
			break
		}
		to = l.offset(i)
		if len(frame) > 0 { // else the form leaves this message out
			size += len(frame)
			items = append(items, delivery.Item{Frame: frame, Channel: ch.name, Offset: to})
		}
	}
	return items, from, to, size
}

// nameEvents gives items that were read from a log the names of their events, if the
// hub keeps them.
func (h *Hub) nameEvents(f Form, items []delivery.Item) {
	if !h.named.Load() {
		return
	}
	e := h.encodings.Load()
	if name := e.list[e.kept[e.replayed[f]]].Event; name != nil {
		for i := range items {
			items[i].Event = name(items[i].Frame)
		}
	}
}
