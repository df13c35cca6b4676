package pubsub

import (
	"errors"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoChannel is returned by Publish for a channel that does not exist.
var ErrNoChannel = errors.New("pubsub: no such channel")

// ErrOverloaded is returned by Publish where a shard cannot keep up.
var ErrOverloaded = errors.New("pubsub: subscribers cannot be served as fast as messages come")

// ErrFull is returned by SubscribeWithin where a further channel would be one too
// many.
var ErrFull = errors.New("pubsub: no room for another channel")

// stripeCount is a power of two, far above the number of cores, so that two
// loops seldom want the same stripe at the same time.
const stripeCount = 256

// A Hub is a table of channels. Its methods may be called from any goroutine,
// except for those that take a Subscriber: they belong on that one's loop.
type Hub struct {
	seed    maphash.Seed
	count   atomic.Int64 // of channels
	named   atomic.Bool  // events are kept by name
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
	hub       *Hub
	stripe    *stripe
	permanent bool
	audiences []*audience // one per shard and kind with members; guarded by the stripe
	published uint64      // frames; guarded by the stripe
	bytes     uint64      // of those frames; guarded by the stripe
}

// NewHub returns a hub in which the permanent channels exist from the start.
func NewHub(permanent ...string) *Hub {
	h := &Hub{seed: maphash.MakeSeed()}
	h.SetPermanent(permanent...)
	return h
}

// SetPermanent replaces the permanent channels. One that stays is there all the
// time.
func (h *Hub) SetPermanent(names ...string) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
		st := h.stripe([]byte(name))
		st.mu.Lock()
		ch := st.channels[name]
		if ch == nil {
			ch = h.channel(st, name)
		}
		ch.permanent = true
		st.mu.Unlock()
	}
	for i := range h.stripes {
		h.stripes[i].forget(h, wanted)
	}
}

// forget makes no channel permanent but those that are wanted, and removes those
// that only that has kept.
func (st *stripe) forget(h *Hub, wanted map[string]bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, ch := range st.channels {
		if wanted[name] {
			continue
		}
		ch.permanent = false
		if len(ch.audiences) == 0 {
			delete(st.channels, name)
			h.count.Add(-1)
		}
	}
}

// Len returns the number of channels.
func (h *Hub) Len() int {
	return int(h.count.Load())
}

// KeepEvents makes the hub tell the Sink the names of the events that
// PublishEvent gives from now on.
func (h *Hub) KeepEvents() { h.named.Store(true) }

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

// PublishEach is PublishEvent without a name.
func (h *Hub) PublishEach(from *Shard, name []byte, frames Frames) error {
	return h.PublishEvent(from, name, nil, frames)
}

// PublishEvent gives every subscriber of the channel the frame for its kind. The
// frames are kept and must not be modified any more. The caller is on the loop
// of from, or from is nil: then it refuses with ErrOverloaded where a shard has
// too much waiting already, and nobody gets the frame. A loop is slowed down
// instead (see Shard.Work). It returns ErrNoChannel if there is none.
func (h *Hub) PublishEvent(from *Shard, name, event []byte, frames Frames) error {
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
	named := h.named.Load()
	var kept string // the same for all
	if named {
		kept = string(event)
	}
	ch.published++
	ch.bytes += uint64(len(frames[Plain]))
	at := ch.publishedAt(from)
	for _, a := range ch.audiences {
		a.append(frames.of(a.kind), at)
		if named {
			a.name(kept)
		}
		if from != nil && from != a.shard && a.shard.overloaded() {
			from.ahead = a.shard
		}
	}
	return nil
}

// Subscribe makes s hear the channel, which is created if need be, and tells
// whether it did not before. Loop of s only.
func (h *Hub) Subscribe(s *Subscriber, name []byte) bool {
	fresh, _ := h.SubscribeWithin(math.MaxInt, s, name)
	return fresh
}

// SubscribeWithin is Subscribe where a hub may have so many channels. It returns
// ErrFull, and nothing has changed, if the channel would be one more. Loop of s
// only.
func (h *Hub) SubscribeWithin(limit int, s *Subscriber, name []byte) (fresh bool, err error) {
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	ch := st.channels[string(name)]
	if ch == nil {
		if !h.takeRoom(limit) {
			return false, ErrFull
		}
		ch = h.newChannel(st, string(name))
	}
	a := ch.audience(s.seat)
	if s.find(a) >= 0 {
		return false, nil
	}
	a.join(s)
	return true, nil
}

// takeRoom counts a channel that is about to be made, if there may be another.
func (h *Hub) takeRoom(limit int) bool {
	for {
		n := h.count.Load()
		if n >= int64(limit) {
			return false
		}
		if h.count.CompareAndSwap(n, n+1) {
			return true
		}
	}
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

// channel adds a channel that is not there yet. The stripe is locked.
func (h *Hub) channel(st *stripe, name string) *channel {
	h.count.Add(1)
	return h.newChannel(st, name)
}

// newChannel is channel for one that has been counted.
func (h *Hub) newChannel(st *stripe, name string) *channel {
	if st.channels == nil {
		st.channels = make(map[string]*channel)
	}
	ch := &channel{name: name, hub: h, stripe: st}
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
		ch.hub.count.Add(-1)
	}
}
