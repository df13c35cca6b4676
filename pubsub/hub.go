package pubsub

import (
	"errors"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
)

// ErrNoChannel is returned by Publish for a channel that does not exist.
var ErrNoChannel = errors.New("pubsub: no such channel")

// ErrOverloaded is returned by Publish where a shard cannot keep up.
var ErrOverloaded = errors.New("pubsub: subscribers cannot be served as fast as messages come")

// ErrFull is returned by Subscribe and Listen if the limit of channels is
// reached.
var ErrFull = errors.New("pubsub: no room for another channel")

// stripeCount is a power of two, far above the number of cores, so that two
// loops seldom want the same stripe at the same time.
const stripeCount = 256

// A Hub is a table of channels. Its methods may be called from any goroutine,
// except for those that take a Subscriber: they belong on that one's loop.
type Hub struct {
	seed      maphash.Seed
	count     atomic.Int64 // of channels
	named     atomic.Bool  // items carry the names of events
	encodings atomic.Pointer[encodings]
	costly    atomic.Int64 // audiences that hear a costly form
	history   histories
	keys      keyring
	patterns  patterns
	stripes   [stripeCount]stripe
}

// A stripe guards the channels whose names hash to it.
type stripe struct {
	mu       sync.Mutex
	channels map[string]*channel
	observer Observer // nil for none
	kept     *kept    // nil if no channel has ever had a log
	keys     *keys    // nil if there are none
	_        [16]byte // a cache line of its own
}

// A channel exists while it has an audience or a listener, or its log keeps a
// message, or always if it is permanent. Its fields are guarded by the stripe.
type channel struct {
	name      string
	hub       *Hub
	stripe    *stripe
	permanent bool
	pattern   bool        // it is one: pattern.go
	ended     bool        // of a pattern: it is not in the table any more
	audiences []*audience // one per shard and form with members
	listeners []*Listener
	published uint64 // messages
	bytes     uint64 // of their data, names of events included
	log       *log   // nil if the channel keeps no history
}

// NewHub returns a hub without channels.
func NewHub() *Hub {
	h := &Hub{seed: maphash.MakeSeed()}
	h.history.epoch = newEpoch()
	h.history.byteMax.Store(DefaultHistoryBytes)
	h.RememberKeys(0, 0)
	return h
}

// SetPermanent replaces the permanent channels. One that stays permanent exists
// all the time.
func (h *Hub) SetPermanent(names ...string) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
		st := h.stripe([]byte(name))
		st.mu.Lock()
		ch, _ := h.needChannel(st, []byte(name), math.MaxInt) // there is no limit to fail for
		ch.permanent = true
		st.mu.Unlock()
	}
	for i := range h.stripes {
		h.stripes[i].keepPermanent(wanted)
	}
}

// keepPermanent ends the permanence of all channels but those that are wanted.
func (st *stripe) keepPermanent(wanted map[string]bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, ch := range st.channels {
		if !wanted[name] {
			ch.permanent = false
			ch.endIfUnused()
		}
	}
}

// Len returns the number of channels.
func (h *Hub) Len() int {
	return int(h.count.Load())
}

// KeepEvents makes the items of messages that are published from now on carry
// the names of their events.
func (h *Hub) KeepEvents() { h.named.Store(true) }

// Exists reports whether there is a channel of that name.
func (h *Hub) Exists(name []byte) bool {
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.channels[string(name)] != nil
}

// Publish gives the message its place behind all earlier ones of its channel, and
// every member the form that it hears; if the channel has a history the log keeps the
// message. The flow says what happens where a shard has too much waiting already. It
// returns ErrNoChannel if the channel neither exists nor has a history, ErrOverloaded,
// or ErrFull; then no member gets the message. Any goroutine; with the flow Slowing only
// on that shard's loop.
func (h *Hub) Publish(m Message, flow Flow) (Published, error) {
	m.Offset = 0
	p, err := h.publish(&m, flow)
	if p.Offset > 0 && h.history.bytes.Load() > h.history.byteMax.Load() {
		h.evict() // without the stripe's lock
	}
	if m.Key != nil {
		h.keys.trim(h, m.At)
	}
	return p, err
}

func (h *Hub) publish(m *Message, flow Flow) (Published, error) {
	var made forms
	var key digest
	st := h.stripe(m.Channel)
	costly, unstamped := h.costly.Load() > 0, false
	if costly {
		unstamped = h.prepare(h.encodings.Load(), &made, st, m)
	}
	if m.Key != nil {
		key = digestOf(m.Channel, m.Key)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if m.Key != nil {
		if offset, found := h.keys.find(st, key, m.At); found {
			return Published{offset, true}, nil
		}
	}
	e := h.encodings.Load() // with the lock: a form of a member has been added before it joined
	var err error
	if ch := st.channels[string(m.Channel)]; ch == nil {
		err = h.publishFirst(e, &made, st, m, flow)
	} else {
		if costly && unstamped != (ch.log != nil) {
			made = forms{} // the history began or ended in between
		}
		if err = ch.publish(e, &made, m, flow); ch.log != nil {
			ch.endIfUnused() // the message may be larger than the log
		}
	}
	if err != nil {
		return Published{}, err
	}
	if m.Key != nil {
		h.keys.add(st, key, m.Offset, m.At)
	}
	return Published{Offset: m.Offset}, nil
}

// publishFirst publishes to a channel that does not exist, if it has a history, or if
// somebody hears it by a pattern. The stripe is locked.
func (h *Hub) publishFirst(e *encodings, made *forms, st *stripe, m *Message, flow Flow) error {
	if !h.history.of(m.Channel).keeps() {
		var room [PatternDepth + 1]*channel
		if len(h.heardBy(m.Channel, room[:0])) > 0 {
			ch := &channel{name: string(m.Channel), hub: h, stripe: st} // for this message alone
			return ch.publish(e, made, m, flow)
		}
		if flow.anywhere {
			return nil
		}
		return ErrNoChannel
	}
	limit := math.MaxInt
	if flow.within > 0 {
		limit = flow.within
	}
	ch, err := h.needChannel(st, m.Channel, limit)
	if err != nil {
		return err
	}
	defer ch.endIfUnused() // nothing was kept
	return ch.publish(e, new(forms), m, flow)
}

// publish gives a message to the log and to all members of the channel. made are the
// forms that there are. The stripe is locked.
func (ch *channel) publish(e *encodings, made *forms, m *Message, flow Flow) error {
	var room [PatternDepth + 1]*channel
	heard := ch.hub.heardBy(m.Channel, room[:0])
	if flow.refuse && (ch.overloaded() || overloadedAny(heard)) {
		return ErrOverloaded
	}
	if ch.log != nil {
		if err := ch.offset(m); err != nil {
			return err
		}
		e.stamp(made, m.Offset)
		for _, f := range e.kept {
			e.make(made, f, m)
		}
	}
	for _, a := range ch.audiences { // all of them, before anybody gets anything
		e.of(made, a.form, m)
	}
	for _, p := range heard {
		p.makeForms(e, made, m)
	}
	if ch.log != nil {
		ch.keep(e, made, m)
		if flow.silent {
			return nil
		}
	}
	ch.deliver(ch, e, made, m, flow)
	for _, p := range heard {
		p.hear(ch, e, made, m, flow)
	}
	return nil
}

// deliver gives a message of a channel, this one or one that the pattern ch matches, to
// all members. The stripe is locked.
func (ch *channel) deliver(from *channel, e *encodings, made *forms, m *Message, flow Flow) {
	ch.published++
	ch.bytes += uint64(len(m.Event) + len(m.Data))
	var event string // one copy for all
	if ch.hub.named.Load() {
		event = string(m.Event)
	}
	for _, a := range ch.audiences {
		frame := e.of(made, a.form, m)
		if len(frame) == 0 {
			continue // the form leaves this message out
		}
		a.append(from, frame, event, m)
		if flow.slow != nil && flow.slow != a.shard && a.shard.overloaded() {
			flow.slow.ahead = a.shard
		}
	}
	for _, l := range ch.listeners {
		l.take(*m)
	}
}

// Subscribe makes s a member of the channel, which is created if need be, and
// reports whether it was not a member before. It returns ErrFull, and nothing
// has changed, if the channel would be one more than limit, and ErrOverlapping if s
// hears the channel by a pattern. Loop of s only.
func (h *Hub) Subscribe(limit int, s *Subscriber, name []byte) (fresh bool, err error) {
	if h.HearsByPattern(s, name) {
		return false, ErrOverlapping
	}
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	ch, err := h.needChannel(st, name, limit)
	if err != nil {
		return false, err
	}
	a := ch.audience(s.seat)
	if s.find(a) >= 0 {
		return false, nil
	}
	a.join(s)
	return true, nil
}

// needChannel returns a channel, which begins to exist if need be, or ErrFull if
// it would be one more than limit. The stripe is locked. It is the one place where
// channels begin.
func (h *Hub) needChannel(st *stripe, name []byte, limit int) (*channel, error) {
	if ch := st.channels[string(name)]; ch != nil {
		return ch, nil
	}
	if !h.takeRoom(limit) {
		return nil, ErrFull
	}
	if st.channels == nil {
		st.channels = make(map[string]*channel)
	}
	ch := &channel{name: string(name), hub: h, stripe: st}
	if history := h.history.of(name); history.keeps() {
		ch.beginLog(history)
	}
	st.channels[ch.name] = ch
	st.channelBegan(ch.name)
	return ch, nil
}

// endIfUnused removes a channel that nothing keeps. The stripe is locked. It is
// the one place where channels end.
func (ch *channel) endIfUnused() {
	if len(ch.audiences) > 0 || len(ch.listeners) > 0 || ch.permanent || ch.log != nil && ch.log.n > 0 {
		return
	}
	if ch.pattern {
		ch.hub.endPattern(ch)
		return
	}
	ch.endLog()
	delete(ch.stripe.channels, ch.name)
	ch.hub.count.Add(-1)
	ch.stripe.channelEnded(ch.name)
}

// takeRoom counts a channel that is about to begin, if there may be another.
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

// Subscribed reports whether s is a member of the channel. Loop of s only.
func (h *Hub) Subscribed(s *Subscriber, name []byte) bool {
	return h.find(s, name) >= 0
}

// Unsubscribe ends what Subscribe began, and reports whether there was anything
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
	for i := range s.Len() {
		if s.subs.at(i).audience.channel == ch {
			return i
		}
	}
	return -1
}

func (h *Hub) stripe(name []byte) *stripe {
	return &h.stripes[maphash.Bytes(h.seed, name)%stripeCount]
}

// overloaded reports whether a shard of the channel has too much waiting.
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
	if a := ch.seated(s); a != nil {
		return a
	}
	a := &audience{channel: ch, shard: s.shard, form: s.form}
	a.rebase()
	ch.audiences = append(ch.audiences, a)
	ch.hub.countCostly(a.form, 1)
	return a
}

// seated returns the audience of one seat, or nil. The stripe is locked.
func (ch *channel) seated(s *seat) *audience {
	for _, a := range ch.audiences {
		if a.shard == s.shard && a.form == s.form {
			return a
		}
	}
	return nil
}

// remove removes an audience without members.
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
	ch.hub.countCostly(gone.form, -1)
	ch.endIfUnused()
}
