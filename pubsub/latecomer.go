package pubsub

import (
	"slices"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A latecomer is a member that gets nothing of what was pending when it joined
// (Start.Live). No walk serves it until one begins with a later message.
type latecomer struct {
	sub   *Subscriber
	waits int // messages that it does not get, and no walk has begun with; below 0: so many of the run are for it
}

// joinLive is join for a member that gets nothing of what is pending. The stripe is
// locked.
func (a *audience) joinLive(s *Subscriber) {
	a.join(s)
	waits := len(a.pending) - a.taken
	if waits == 0 {
		return
	}
	a.setBehind(s.subs.at(s.Len() - 1).index)
	c := &a.shard.catchup
	if c.late == nil {
		c.late = make(map[*audience][]latecomer)
	}
	c.late[a] = append(c.late[a], latecomer{s, waits})
}

// setLate sets which members are latecomers.
func (c *catchup) setLate(a *audience, late []latecomer) {
	if len(late) == 0 {
		delete(c.late, a)
	} else {
		c.late[a] = late
	}
}

// isLate reports whether a member is a latecomer.
func (c *catchup) isLate(a *audience, sub *Subscriber) bool {
	return slices.ContainsFunc(c.late[a], func(l latecomer) bool { return l.sub == sub })
}

// pass notes that a walk has begun with n messages.
func (c *catchup) pass(a *audience, n int) {
	late := c.late[a]
	for i := range late {
		late[i].waits -= n
	}
}

// admitLatecomers makes latecomers whose time has come members that walks serve, and gives
// them what is theirs of the run that is about to be walked.
func (s *Shard) admitLatecomers(a *audience) {
	for late := s.catchup.late[a]; len(late) > 0 && late[0].waits <= 0; late = s.catchup.late[a] {
		l := late[0] // they stand in the order in which they have joined
		s.catchup.setLate(a, late[1:])
		a.setServed(l.sub.subs.at(l.sub.find(a)).index)
		first := len(a.run.Items) + l.waits
		if first < 0 { // the run with the others was given up
			s.catchup.pace.Lost(l.sub.id, delivery.Lost{Channel: a.channel.name, Offset: a.prior()})
			first = 0
		}
		if first < len(a.run.Items) && a.except != l.sub {
			s.give(a, &reader{sub: l.sub}, a.run.Items[first:], a.base)
		}
	}
}
