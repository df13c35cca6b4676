package pubsub

import (
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// ErrNoChannel is returned by Publish for a channel that does not exist.
var ErrNoChannel = errors.New("pubsub: no such channel")

// ErrOverloaded is returned by Publish where a shard cannot keep up.
var ErrOverloaded = errors.New("pubsub: subscribers cannot be served as fast as messages come")

// stripeCount is a power of two, far above the number of cores, so that two
// loops seldom want the same stripe at the same time.
const stripeCount = 256

// A Hub is a table of channels. Its methods may be called from any goroutine,
// except for those that take a Subscriber: they belong on that one's loop.
type Hub struct {
	seed    maphash.Seed
	stripes [stripeCount]stripe
}

// A stripe guards the channels whose names hash to it.
type stripe struct {
	mu       sync.Mutex
	channels map[string]*channel
	_        [48]byte // a cache line of its own
}

// A channel exists while it has an audience, or always if it is permanent.
type channel struct {
	name      string
	stripe    *stripe
	permanent bool
	audiences []*audience // one per shard and kind with members; guarded by the stripe
	published uint64      // frames; guarded by the stripe
	bytes     uint64      // of those frames; guarded by the stripe
}

// NewHub returns a hub in which the permanent channels exist from the start.
func NewHub(permanent ...string) *Hub {
	h := &Hub{seed: maphash.MakeSeed()}
	for _, name := range permanent {
		h.stripe([]byte(name)).channel(name).permanent = true
	}
	return h
}

// Exists tells whether there is a channel of that name.
func (h *Hub) Exists(name []byte) bool {
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.channels[string(name)] != nil
}

// Len returns the number of channels.
func (h *Hub) Len() int {
	n := 0
	for i := range h.stripes {
		st := &h.stripes[i]
		st.mu.Lock()
		n += len(st.channels)
		st.mu.Unlock()
	}
	return n
}

// Hears tells whether the channel has subscribers of a kind.
func (h *Hub) Hears(name []byte, kind Kind) bool {
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	ch := st.channels[string(name)]
	return ch != nil && slices.ContainsFunc(ch.audiences, func(a *audience) bool { return a.kind == kind })
}

// Publish is PublishEach with one frame for all kinds.
func (h *Hub) Publish(from *Shard, name, frame []byte) error {
	return h.PublishEach(from, name, Frames{frame})
}

// PublishEach gives every subscriber of the channel the frame for its kind. The
// frames are kept and must not be modified any more. The caller is on the loop of from, or from is
// nil: then Publish refuses with ErrOverloaded where a shard has too much
// waiting already, and nobody gets the frame. A loop is slowed down instead
// (see Shard.Work). It returns ErrNoChannel if there is none.
func (h *Hub) PublishEach(from *Shard, name []byte, frames Frames) error {
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	ch := st.channels[string(name)]
	if ch == nil {
		return ErrNoChannel
	}
	if from == nil && ch.overloaded() {
		return ErrOverloaded
	}
	ch.published++
	ch.bytes += uint64(len(frames[Plain]))
	at := ch.publishedAt(from)
	for _, a := range ch.audiences {
		a.append(frames.of(a.kind), at)
		if from != nil && from != a.shard && a.shard.overloaded() {
			from.ahead = a.shard
		}
	}
	return nil
}

// Subscribe makes s hear the channel, which is created if need be, and tells
// whether it did not before. Loop of s only.
func (h *Hub) Subscribe(s *Subscriber, name []byte) bool {
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	ch := st.channels[string(name)]
	if ch == nil {
		ch = st.channel(string(name))
	}
	a := ch.audience(s.seat)
	if s.find(a) >= 0 {
		return false
	}
	a.join(s)
	return true
}

// Subscribed tells whether s hears the channel. Loop of s only.
func (h *Hub) Subscribed(s *Subscriber, name []byte) bool {
	return h.find(s, name) >= 0
}

// Unsubscribe ends what Subscribe began, and tells whether there was anything
// to end. Loop of s only.
func (h *Hub) Unsubscribe(s *Subscriber, name []byte) bool {
	i := h.find(s, name)
	if i < 0 {
		return false
	}
	s.drop(i)
	return true
}

// find returns the position of the subscription to a channel, or -1.
func (h *Hub) find(s *Subscriber, name []byte) int {
	st := h.stripe(name)
	st.mu.Lock()
	ch := st.channels[string(name)]
	st.mu.Unlock()
	for i := range s.subs {
		if s.subs[i].audience.channel == ch {
			return i
		}
	}
	return -1
}

func (h *Hub) stripe(name []byte) *stripe {
	return &h.stripes[maphash.Bytes(h.seed, name)%stripeCount]
}

// channel adds a channel that is not there yet. The stripe is locked, or not
// shared yet.
func (st *stripe) channel(name string) *channel {
	if st.channels == nil {
		st.channels = make(map[string]*channel)
	}
	ch := &channel{name: name, stripe: st}
	st.channels[name] = ch
	return ch
}

// publishedAt returns the time that a frame's delivery is measured from. The
// stripe is locked.
func (ch *channel) publishedAt(from *Shard) time.Duration {
	switch {
	case from != nil && from.Began != nil:
		return from.Began()
	case len(ch.audiences) > 0:
		return ch.audiences[0].shard.now()
	}
	return 0
}

// overloaded tells whether a shard of the channel has too much waiting.
// The stripe is locked.
func (ch *channel) overloaded() bool {
	for _, a := range ch.audiences {
		if a.shard.overloaded() {
			return true
		}
	}
	return false
}

// audience returns the channel's audience of one seat. The stripe is locked.
func (ch *channel) audience(s *seat) *audience {
	for _, a := range ch.audiences {
		if a.shard == s.shard && a.kind == s.kind {
			return a
		}
	}
	a := &audience{channel: ch, shard: s.shard, kind: s.kind}
	ch.audiences = append(ch.audiences, a)
	return a
}

// remove forgets an audience without members, and frees the channel with its
// last one.
func (ch *channel) remove(gone *audience) {
	ch.stripe.mu.Lock()
	defer ch.stripe.mu.Unlock()
	for i, a := range ch.audiences {
		if a == gone {
			last := len(ch.audiences) - 1
			ch.audiences[i] = ch.audiences[last]
			ch.audiences[last] = nil
			ch.audiences = ch.audiences[:last]
			break
		}
	}
	gone.discard()
	if len(ch.audiences) == 0 && !ch.permanent {
		delete(ch.stripe.channels, ch.name)
	}
}
