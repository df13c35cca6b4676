package pubsub

import (
	"errors"
	"time"
)

// ErrNotRecovered is returned where a position cannot be gone on from. A Reason says
// why.
var ErrNotRecovered = errors.New("pubsub: the history since that position is not kept")

// ErrNoHistory is returned where the history of a channel is asked for that has none.
var ErrNoHistory = errors.New("pubsub: the channel keeps no history")

// A Position is a place in a channel: that of a reader that has had the message with
// this offset, and all before it that were for it.
type Position struct {
	Epoch  string // of the hub
	Offset uint64 // 0: before the first message
}

// A Reason says why a position was not recovered.
type Reason string

const (
	ReasonEpoch     Reason = "epoch"      // it belongs to another epoch
	ReasonExpired   Reason = "expired"    // not all since then is kept
	ReasonAhead     Reason = "ahead"      // there has been no such message
	ReasonNoHistory Reason = "no_history" // nothing of the channel is kept
)

// A Start says where a subscription begins. The zero value: with what is published
// from now on.
type Start struct {
	// Since is the position behind which it begins. None if its epoch is empty.
	Since Position

	// Rewind is how many messages back it begins, or as many as are kept, where there
	// is no Since or it cannot be recovered.
	Rewind int

	// Strict makes SubscribeFrom return ErrNotRecovered if Since cannot be recovered.
	Strict bool

	// Live says that nothing follows that was published before the subscription, where
	// there is no Since and no Rewind, or no history. Without it what waits on the shard
	// follows.
	Live bool

	// Now is the time, on the clock of Message.At.
	Now time.Duration
}

func (s *Start) asks() bool { return s.Since.Epoch != "" || s.Rewind > 0 }

// Begun says where a subscription did begin.
type Begun struct {
	// Fresh says that the subscriber was no member of the channel before.
	Fresh bool

	// Epoch and Offset are the subscriber's position: whatever of the channel has a
	// higher offset follows, in order, each message once, until it leaves or is told
	// that it has lost something. Without a history both are zero.
	Epoch  string
	Offset uint64

	// Top is the highest offset that there is. What follows up to it is older than
	// the subscription.
	Top uint64

	// Recovered says that the subscription begins at Start.Since: nothing is missing.
	// If there was a Since and it does not, Reason says why, and Lost how many messages
	// behind it are not kept any more, 0 if that is not known.
	Recovered bool
	Reason    Reason
	Lost      uint64
}

// SubscribeFrom makes s a member of the channel, which is created if need be, from a
// position on that it has had before. A subscriber that is a member already begins
// anew there if the start asks for something; if not, nothing changes and it is told
// its position. It returns ErrFull, and nothing has changed, if the channel would be
// one more than limit; ErrOverlapping if s hears the channel by a pattern; and ErrNotRecovered if the start is strict, then s is no member.
// The caller must tell the subscriber what was begun before it gets anything else of
// the channel: nothing is delivered before the next Shard.Work. Loop of s only.
func (h *Hub) SubscribeFrom(limit int, s *Subscriber, name []byte, start Start) (Begun, error) {
	b, err := h.begin(limit, s, name, &start)
	if errors.Is(err, ErrNotRecovered) {
		h.Unsubscribe(s, name)
	}
	return b, err
}

func (h *Hub) begin(limit int, s *Subscriber, name []byte, start *Start) (Begun, error) {
	if h.HearsByPattern(s, name) {
		return Begun{}, ErrOverlapping
	}
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	if start.asks() {
		if ch := st.channels[string(name)]; ch != nil && ch.log != nil {
			ch.refresh(start.Now)
		}
	}
	ch, err := h.needChannel(st, name, limit)
	if err != nil {
		return Begun{}, err
	}
	b, base := ch.start(s.seat, start)
	if start.Strict && b.Reason != "" {
		ch.endIfUnused()
		return b, ErrNotRecovered
	}
	a := ch.audience(s.seat)
	i := s.find(a)
	b.Fresh = i < 0
	switch {
	case b.Fresh && start.Live && b.Epoch == "":
		a.joinLive(s)
	case b.Fresh:
		a.join(s)
		if b.Offset != base {
			s.seat.shard.fallBehind(a, s, b.Offset)
		}
	case start.asks() && b.Epoch != "":
		s.seat.shard.fallBehind(a, s, b.Offset)
	case b.Epoch != "":
		b.Offset = a.position(s.subs.at(i).index)
	}
	if b.Epoch != "" && b.Offset == ch.log.top {
		b.Offset = ch.passed()
		b.Top = b.Offset
	}
	return b, nil
}

// start finds where a subscription begins, and the base of its audience. The stripe is locked.
func (ch *channel) start(at *seat, start *Start) (b Begun, base uint64) {
	l, e := ch.log, ch.hub.encodings.Load()
	if l == nil || e == nil || e.replayed[at.form] < 0 {
		if start.Since.Epoch != "" {
			b.Reason = ReasonNoHistory
		}
		return b, 0
	}
	base = l.top
	if a := ch.seated(at); a != nil {
		a.rebase()
		base = a.base
	}
	b = Begun{Epoch: ch.epoch(), Offset: base, Top: l.top}
	if p := ch.hub.present(ch.name, start.Since); p.Epoch != "" {
		b.Reason = l.reason(b.Epoch, p, base, ch.passed())
		switch b.Reason {
		case "":
			b.Offset, b.Recovered = min(p.Offset, l.top), true
		case ReasonExpired:
			if p.Offset >= ch.stripe.kept.ended.floor { // else it may be of an earlier log
				b.Lost = ch.hub.missing(p.Offset, l.floor())
			}
		}
	}
	if b.Epoch == "" {
		return Begun{Reason: b.Reason}, 0 // the source has not begun
	}
	switch {
	case start.Rewind > 0 && !b.Recovered:
		b.Offset = l.back(start.Rewind)
	case start.Live && !start.asks():
		b.Offset = l.top
	}
	return b, base
}

// FallBehind makes a member read the channel's log from the message at offset on: that
// one, and those behind it, it must have dropped. So nothing need be queued for a slow
// reader while the log keeps it. It reports whether s is a member that has been given
// that message. Loop of s only; not within Shard.Work.
func (h *Hub) FallBehind(s *Subscriber, name []byte, offset uint64) bool {
	i := h.find(s, name)
	if i < 0 {
		return false
	}
	a := s.subs.at(i).audience
	if offset == 0 || offset > a.position(s.subs.at(i).index) {
		return false
	}
	s.seat.shard.fallBehind(a, s, before(offset))
	return true
}
