package pubsub

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// ErrPlaced is returned by Publish for a channel whose messages get their offsets from a
// Source: they are published by Place.
var ErrPlaced = errors.New("pubsub: the messages of this channel come from elsewhere")

// A Source is where the messages of some channels come from, with their offsets: a log that
// several processes follow. All offsets of its channels are of one numbering, so a position
// may be anywhere in it: who joins a quiet channel is told how far the source has come, and
// not how old the last message is. The zero value is a source that has not begun.
type Source struct {
	epochs atomic.Pointer[epochs]
	passed atomic.Uint64 // all messages with offsets up to it have been placed

	some    atomic.Bool // somebody waits
	mu      sync.Mutex
	waiters map[*waiter]struct{} // guarded by mu
}

// A waiter waits for a source to come to an offset.
type waiter struct {
	offset uint64
	come   func()
}

// Epoch returns what the offsets of the source belong to, "" before it has begun. Any
// goroutine.
func (s *Source) Epoch() string {
	if e := s.epochs.Load(); e != nil {
		return e.now
	}
	return ""
}

// epochs are what the offsets of a source belong to.
type epochs struct {
	now   string
	ended []Position // the last good ones of earlier epochs
}

// present returns a position as one of the present epoch, if it is good there.
func (s *Source) present(p Position) Position {
	if e := s.epochs.Load(); e != nil && p.Epoch != e.now {
		for _, last := range e.ended {
			if p.Epoch == last.Epoch && p.Offset <= last.Offset {
				p.Epoch = e.now
				break
			}
		}
	}
	return p
}

// Pass says that all messages up to an offset have been placed, or are of no channel here.
// Any goroutine, one at a time.
func (s *Source) Pass(offset uint64) {
	offset = max(offset, s.passed.Load())
	s.passed.Store(offset)
	if s.some.Load() {
		s.release(offset)
	}
}

// release ends the waiting for offsets up to this one.
func (s *Source) release(offset uint64) {
	var due []func()
	s.mu.Lock()
	for w := range s.waiters {
		if w.offset <= offset {
			delete(s.waiters, w)
			due = append(due, w.come)
		}
	}
	s.some.Store(len(s.waiters) > 0)
	s.mu.Unlock()
	for _, come := range due {
		come()
	}
}

// Await makes come be called, on any goroutine and perhaps before Await returns, when all
// messages of a channel up to a position are here or it has become known that the position is
// not good. It reports whether come will be: not where there is nothing to wait for. forget
// ends the waiting, if it has not ended. Any goroutine.
func (h *Hub) Await(channel []byte, p Position, come func()) (forget func(), waits bool) {
	s := h.sourceOf(string(channel))
	if s == nil {
		return nil, false
	}
	w := &waiter{p.Offset, come}
	switch epoch := s.Epoch(); {
	case epoch == "":
		w.offset = math.MaxUint64 // it waits for the epoch
	case p.Offset <= s.passed.Load(), s.present(p).Epoch != epoch:
		return nil, false
	}
	s.mu.Lock()
	if s.waiters == nil {
		s.waiters = make(map[*waiter]struct{})
	}
	s.waiters[w] = struct{}{}
	s.some.Store(true)
	s.mu.Unlock()
	// Meanwhile it may have come there, or begun.
	if s.release(s.passed.Load()); w.offset == math.MaxUint64 && s.Epoch() != "" {
		s.release(math.MaxUint64)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiters, w)
		s.some.Store(len(s.waiters) > 0)
	}, true
}

// SetSources says which channels with a history get their messages, with the offsets, from
// which source, of which none may be nil. What channels have kept goes. It must be called
// once, before the hub has members.
func (h *Hub) SetSources(of func(channel string) *Source) {
	h.history.sources = of
	for i := range h.stripes {
		st := &h.stripes[i]
		st.mu.Lock()
		for _, ch := range st.channels {
			if ch.log != nil {
				was := ch.log.bytes
				ch.log.fit(0)
				ch.logChanged(was)
				ch.beginLog(h.history.of([]byte(ch.name)))
			}
		}
		st.mu.Unlock()
	}
}

// sourceOf returns where the messages of a channel come from, if it has a history; nil: the
// hub counts offsets itself.
func (h *Hub) sourceOf(channel string) *Source {
	if h.history.sources == nil {
		return nil
	}
	return h.history.sources(channel)
}

// missing returns how many messages of a channel have offsets in (from, to], 0 if that is not
// known.
func (h *Hub) missing(from, to uint64) uint64 {
	if h.history.sources != nil {
		return 0
	}
	return to - from
}

// endedOf returns what a stripe knows of the logs of a source that are gone, or, without a
// source, of those whose offsets the hub has counted.
func (k *kept) endedOf(s *Source) *ended {
	if s == nil {
		return &k.ended
	}
	e := k.sources[s]
	if e == nil {
		e = new(ended)
		if k.sources == nil {
			k.sources = make(map[*Source]*ended)
		}
		k.sources[s] = e
	}
	return e
}

// raise makes all positions up to an offset expire.
func (e *ended) raise(offset uint64) {
	e.forget(e.younger)
	e.forget(e.older)
	e.younger, e.older, e.floor = nil, nil, max(e.floor, offset)
}

// present returns a position in a channel as one of the present epoch, if it is good there.
func (h *Hub) present(channel string, p Position) Position {
	if source := h.sourceOf(channel); source != nil {
		return source.present(p)
	}
	return p
}

// EpochOf returns what the offsets of a channel belong to, if it has a history; "" if that is
// not known yet. Any goroutine.
func (h *Hub) EpochOf(channel []byte) string {
	if source := h.sourceOf(string(channel)); source != nil {
		return source.Epoch()
	}
	return h.history.epoch
}

// epoch returns what the offsets of a channel with a log belong to, "" if that is not known
// yet.
func (ch *channel) epoch() string {
	if source := ch.hub.sourceOf(ch.name); source != nil {
		return source.Epoch()
	}
	return ch.hub.history.epoch
}

// passed returns the offset up to which the channel has had all messages there are. The
// stripe is locked.
func (ch *channel) passed() uint64 {
	if source := ch.hub.sourceOf(ch.name); source != nil {
		return max(ch.log.top, source.passed.Load())
	}
	return ch.log.top
}

// offset gives a message of a channel with a log its offset, unless it has one from the
// source of the channel.
func (ch *channel) offset(m *Message) error {
	switch {
	case !ch.log.sparse:
		m.Offset = ch.log.next()
	case m.Offset <= ch.log.top:
		return ErrPlaced
	}
	return nil
}

// Place is Publish for a message that has its offset from the source of its channel: above
// all that the source has given before, in any channel. If the channel has no history here
// the members get the message without an offset. It returns ErrOverloaded where the flow
// says so, and ErrFull; a message that was not kept because of that expires. Any goroutine,
// one at a time for each source.
func (h *Hub) Place(m Message, flow Flow) error {
	offset := m.Offset
	if !h.history.of(m.Channel).keeps() {
		if flow.silent {
			return nil
		}
		m.Offset = 0
	}
	_, err := h.publish(&m, flow.Anywhere())
	if h.history.bytes.Load() > h.history.byteMax.Load() {
		h.evict()
	}
	if errors.Is(err, ErrFull) {
		st := h.stripe(m.Channel)
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.kept == nil {
			st.kept = new(kept)
		}
		st.kept.endedOf(h.sourceOf(string(m.Channel))).put(string(m.Channel), offset)
	}
	return err
}

// expireEnded makes positions of channels without a log expire: a log that begins later has
// not had what was published meanwhile.
func (h *Hub) expireEnded() {
	for i := range h.stripes {
		st := &h.stripes[i]
		st.mu.Lock()
		if st.kept != nil {
			for s, e := range st.kept.sources {
				e.raise(s.passed.Load())
			}
		}
		st.mu.Unlock()
	}
}

// Forget says that all messages of a source up to an offset, which none has exceeded, are
// behind a gap, or not known here: what its channels have kept goes, and no position up to
// that offset is recovered. Any goroutine, one at a time for each source.
func (h *Hub) Forget(s *Source, offset uint64) {
	for i := range h.stripes {
		st := &h.stripes[i]
		st.mu.Lock()
		if st.kept == nil {
			st.kept = new(kept)
		}
		st.kept.endedOf(s).raise(offset)
		st.mu.Unlock()
	}
	h.eachOf(s, func(ch *channel) {
		was := ch.log.bytes
		ch.log.clear(max(offset, ch.log.top))
		ch.logChanged(was)
		ch.endIfUnused()
	})
	s.Pass(offset)
}

// Begin sets the epoch of a source, and tells the members of its channels that some
// messages may be missing. The Value of that Message is the epoch. It may go on from earlier
// ones: ended are the last positions of these that are good, and not modified later. now is on
// the clock of Message.At. Any goroutine, one at a time for each source.
func (h *Hub) Begin(s *Source, epoch string, ended []Position, now time.Duration) {
	s.epochs.Store(&epochs{epoch, ended})
	s.release(math.MaxUint64)
	h.eachOf(s, func(ch *channel) {
		ch.tell(h.encodings.Load(), &Message{Channel: []byte(ch.name), Lost: -1, Offset: ch.passed(), Value: epoch, At: now})
	})
}

// eachOf calls f with each channel that gets its messages from a source, locked.
func (h *Hub) eachOf(s *Source, f func(*channel)) {
	for i := range h.stripes {
		st := &h.stripes[i]
		for _, name := range st.names() {
			if h.sourceOf(name) != s {
				continue
			}
			st.mu.Lock()
			if ch := st.channels[name]; ch != nil && ch.log != nil {
				f(ch)
			}
			st.mu.Unlock()
		}
	}
}
