package hub

import (
	"errors"
	"time"

	"github.com/nu7hatch/webrocket/presence"
	"github.com/nu7hatch/webrocket/pubsub"
)

// Presence says whether and how others see who is in a channel.
type Presence = presence.Config

// Modes of Presence.
const (
	PresenceOff     = presence.Off
	PresenceClients = presence.Clients
	PresenceUsers   = presence.Users
)

// A PresencePage is a part of the list of those that are present in a channel.
type PresencePage = presence.Page

// A PresenceEntry is one of them.
type PresenceEntry = presence.Entry

// PresenceStats is what a hub holds of presence, and has counted.
type PresenceStats = presence.Stats

// ErrNoPresence says that the rules of the hub give the channel no presence.
var ErrNoPresence = errors.New("webrocket: the channel has no presence")

// Presence limits.
const (
	defaultMembers = 100
	maxMembers     = 1000
)

// Presences are those that are present in a channel.
type Presences struct {
	presence.Page
	Listed bool // the members were asked for, and not only how many there are
}

// PresenceStats returns how many are present in the hub's channels.
func (h *Hub) PresenceStats() PresenceStats { return h.presence.Stats() }

// Presence returns those that are present in a channel and joined after a version,
// limit of them at most: 100 if it is zero, 1,000 at most, none if it is negative. The
// next page is that after the last At. It returns ErrNoPresence where there is none.
// Rights are not looked at. Any goroutine, also from callbacks.
func (h *Hub) Presence(channel string, after uint64, limit int) (PresencePage, error) {
	return h.present(channel, after, limit, 0)
}

// present is Presence with a limit for the bytes of a page, 0 for none of its own.
func (h *Hub) present(channel string, after uint64, limit, size int) (PresencePage, error) {
	if rule, _ := h.settings.Load().rule(channel); rule == nil || rule.Presence.Mode == PresenceOff {
		return PresencePage{}, ErrNoPresence
	}
	if limit == 0 {
		limit = defaultMembers
	}
	return h.presence.Page(channel, after, min(max(limit, 0), maxMembers), size), nil
}

// Presence returns those that are present in a channel, as Hub.Presence does; a
// negative limit is 100, 0 only their number. size is how many bytes of entries there
// may be, beside the first: at most 256 KiB, as for 0.
func (s *Session) Presence(channel []byte, after uint64, limit, size int) Result {
	h := s.desk.hub
	if r := s.mayRead(h.settings.Load(), readingPresence, channel); !r.OK() {
		return r
	}
	listed := limit != 0
	switch {
	case !listed:
		limit = -1
	case limit < 0:
		limit = 0
	}
	page, err := h.present(string(channel), after, limit, size)
	if err != nil {
		return Result{Code: NotAvailable}
	}
	return Result{Presence: &Presences{page, listed}}
}

// An attendance is where a session is present. Only sessions that are present
// somewhere have one, in Worker.present.
type attendance struct {
	client string
	places []attended
	ear    *pubsub.Subscriber // hears the notices; nil until it is to hear some
}

// attended is a channel that a session is present in.
type attended struct {
	member  *presence.Member
	who     *presence.Who
	watches bool
}

// attend makes the session present in a channel that it has subscribed to, if the rule
// of the channel, which may be nil, has presence. If watch is true, the session is told
// who comes and goes from now on, and the result says how many are there.
func (s *Session) attend(rule *compiled, channel []byte, watch bool) *Presences {
	if rule == nil || rule.Presence.Mode == PresenceOff {
		return nil
	}
	a := s.attendance()
	if a == nil {
		a = &attendance{client: s.desk.worker.out.ClientID(s.subscriber.ID())}
		if s.desk.worker.present == nil {
			s.desk.worker.present = make(map[*Session]*attendance)
		}
		s.desk.worker.present[s] = a
	}
	p := a.in(string(channel))
	if p == nil {
		who := a.shared(s.who(a, string(channel)))
		member := s.desk.hub.presence.Join(&s.desk.queue, s.desk.clock(), string(channel), rule.Presence, who)
		a.places = append(a.places, attended{member: member, who: who})
		p = &a.places[len(a.places)-1]
		s.desk.hub.tellPresent(string(channel), who)
		s.desk.wake()
	}
	if !watch {
		return nil
	}
	return &Presences{Page: presence.Page{Counts: s.listen(a, p)}}
}

// listen makes the session hear the notices about a channel.
func (s *Session) listen(a *attendance, p *attended) presence.Counts {
	t := s.desk.hub.presence
	if p.watches {
		return t.Page(p.member.Channel(), 0, 0, 0).Counts
	}
	if a.ear == nil {
		a.ear = new(pubsub.Subscriber)
		a.ear.Init(s.desk.worker.Shard, s.subscriber.ID())
		a.ear.SetForm(s.subscriber.Form())
	}
	p.watches = true
	// It hears them before the list is looked at, so that none is missing in between.
	_, _ = s.desk.hub.notices.Subscribe(noLimit, a.ear, []byte(p.member.Channel()))
	return t.Watch(p.member)
}

// noLimit is a limit that is not reached.
const noLimit = 1<<31 - 1

// attendance returns where the session is present, nil for nowhere.
func (s *Session) attendance() *attendance { return s.desk.worker.present[s] }

// in returns the place of a session in a channel, nil if it is not present there.
func (a *attendance) in(channel string) *attended {
	for i := range a.places {
		if a.places[i].member.Channel() == channel {
			return &a.places[i]
		}
	}
	return nil
}

// shared returns who it is as a place has it already, if one does.
func (a *attendance) shared(who presence.Who) *presence.Who {
	for i := range a.places {
		if *a.places[i].who == who {
			return a.places[i].who
		}
	}
	return &who
}

// who returns who the session is in a channel. What a token for the channel says goes
// before what that of the login says.
func (s *Session) who(a *attendance, channel string) presence.Who {
	w := presence.Who{Client: a.client, User: s.user()}
	t := s.token()
	if t == nil {
		return w
	}
	if t.grant != nil {
		w.Info = string(t.grant.Info)
	}
	if own := t.channels[channel].grant; own != nil {
		if w.User == "" {
			w.User = own.User
		}
		if own.Info != nil {
			w.Info = string(own.Info)
		}
	}
	return w
}

// identify makes known who the session is by now, where it is present, and ends the
// notices that it has no right for any more: why is what tell is given for each.
func (s *Session) identify(why string, tell func(Notice)) {
	a := s.attendance()
	if a == nil {
		return
	}
	rules := s.desk.hub.settings.Load()
	for i := range a.places {
		p := &a.places[i]
		channel := p.member.Channel()
		if p.watches && !s.may(rules, readingPresence, []byte(channel)) {
			s.stopWatching(p, why, tell)
		}
		who := s.who(a, channel)
		if who == *p.who {
			continue
		}
		rule, _ := rules.rule(channel)
		if rule == nil || rule.Presence.Mode == PresenceOff {
			continue // Reattend comes
		}
		next := a.shared(who)
		p.member = s.desk.hub.presence.Update(&s.desk.queue, s.desk.clock(), p.member, rule.Presence, next)
		p.who = next
		s.desk.hub.tellPresent(channel, next)
	}
	s.desk.wake()
}

// depart ends the presence of the session in a channel.
func (s *Session) depart(channel []byte) {
	a := s.attendance()
	if a == nil {
		return
	}
	for i := range a.places {
		if a.places[i].member.Channel() == string(channel) {
			s.quit(&a.places[i])
			last := len(a.places) - 1
			a.places[i], a.places[last] = a.places[last], attended{}
			a.places = a.places[:last]
			break
		}
	}
	if len(a.places) == 0 {
		delete(s.desk.worker.present, s)
	}
	s.desk.wake()
}

// departAll ends the presence of the session everywhere.
func (s *Session) departAll() {
	a := s.attendance()
	if a == nil {
		return
	}
	for i := range a.places {
		s.quit(&a.places[i])
	}
	delete(s.desk.worker.present, s)
	s.desk.wake()
}

// quit ends the presence of the session in one place.
func (s *Session) quit(p *attended) {
	s.ignore(p)
	s.desk.hub.untellPresent(p.member.Channel(), p.who)
	s.desk.hub.presence.Leave(&s.desk.queue, s.desk.clock(), p.member)
}

// stopWatching ends the notices about a place, and tells the client, which still hears
// the channel.
func (s *Session) stopWatching(p *attended, why string, tell func(Notice)) {
	s.ignore(p)
	tell(Notice{Unwatched: why, Channel: p.member.Channel()})
}

// ignore ends the notices about a place, if it has them.
func (s *Session) ignore(p *attended) {
	if !p.watches {
		return
	}
	p.watches = false
	s.desk.hub.notices.Unsubscribe(s.attendance().ear, []byte(p.member.Channel()))
	s.desk.hub.presence.Unwatch(p.member)
}

// Reattend makes the session present where the rules of the hub say that subscribers
// are, and nowhere else. It is for after Obey.
func (s *Session) Reattend() {
	rules := s.desk.hub.settings.Load()
	if a := s.attendance(); a == nil && !rules.presence {
		return
	}
	for _, channel := range s.subscriber.Channels() {
		var p *attended
		if a := s.attendance(); a != nil {
			p = a.in(channel)
		}
		rule, _ := rules.rule(channel)
		off := rule == nil || rule.Presence.Mode == PresenceOff
		if p != nil && p.watches && (off || !s.may(rules, readingPresence, []byte(channel))) {
			s.stopWatching(p, EndedByRule, s.tell)
		}
		switch {
		case off:
			s.depart([]byte(channel))
		case p == nil:
			s.attend(rule, []byte(channel), false)
		default:
			p.member = s.desk.hub.presence.Obey(&s.desk.queue, s.desk.clock(), p.member, rule.Presence, p.who)
		}
	}
	s.desk.wake()
}

// clock returns the time for presence: that of all loops.
func (d *desk) clock() time.Duration { return d.worker.Clock() }

// wake makes the loop take a turn if there is something to tell now.
func (d *desk) wake() {
	if due, ok := d.queue.Next(); ok && due <= d.clock() {
		d.worker.out.Wake()
	}
}

// tellPresence does what is due, and gives the notices to those that watch.
func (d *desk) tellPresence() {
	due, ok := d.queue.Next()
	if !ok {
		return
	}
	now := d.clock()
	if due > now {
		return
	}
	d.hub.presence.Work(&d.queue, now, func(n *presence.Notice) { d.hub.notify(n, now, pubsub.Slowing(d.worker.Shard)) })
}
