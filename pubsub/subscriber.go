package pubsub

import "github.com/nu7hatch/webrocket/pubsub/delivery"

// A Subscriber is what one connection hears. It belongs to its shard's loop.
// The zero value is not usable: call Init.
type Subscriber struct {
	seat *seat
	id   uint64
	subs subscriptions
}

// Init binds s to a shard. The id is what the shard's Sink will know it by; its
// top bit must be clear.
func (s *Subscriber) Init(shard *Shard, id uint64) {
	s.seat, s.id = &shard.seats[0], id
}

// SetForm says in which form s hears messages; without it, in the first one of
// its hub. It comes after Init, before s hears anything.
func (s *Subscriber) SetForm(f Form) { s.seat = &s.seat.shard.seats[f] }

// Form returns the form in which s hears messages. Loop only.
func (s *Subscriber) Form() Form { return s.seat.form }

// ID returns what Init was given. Loop only.
func (s *Subscriber) ID() uint64 { return s.id }

// Len returns the number of subscriptions. Loop only.
func (s *Subscriber) Len() int { return s.subs.len() }

// Channels returns the names of the channels that s is a member of. Loop only.
func (s *Subscriber) Channels() []string {
	names := make([]string, 0, s.Len())
	for i := range s.Len() {
		if ch := s.subs.at(i).audience.channel; !ch.pattern {
			names = append(names, ch.name)
		}
	}
	return names
}

// Leave ends all subscriptions. Loop only.
func (s *Subscriber) Leave() {
	for s.Len() > 0 {
		s.drop(s.Len() - 1)
	}
	s.subs = subscriptions{}
}

// find returns the position of the subscription to a, or -1.
func (s *Subscriber) find(a *audience) int {
	for i := range s.Len() {
		if s.subs.at(i).audience == a {
			return i
		}
	}
	return -1
}

// drop ends the subscription at position i.
func (s *Subscriber) drop(i int) {
	sub := *s.subs.at(i)
	s.subs.remove(i)
	if s.Len() == 1 {
		s.mark(false)
	}
	sub.audience.leave(sub.index)
}

// moved notes the new place of s in an audience, unless s is just leaving it.
func (s *Subscriber) moved(a *audience, index int) {
	if i := s.find(a); i >= 0 {
		s.subs.at(i).index = index
	}
}

// mark sets or clears the bit delivery.Several of s in its first audience.
func (s *Subscriber) mark(several bool) {
	sub := s.subs.first
	if several {
		sub.audience.ids[sub.index] |= delivery.Several
	} else {
		sub.audience.ids[sub.index] &^= delivery.Several
	}
}
