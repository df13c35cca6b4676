package hub

import (
	"errors"
	"time"

	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Sequencer gives the events of channels that keep a history one order for all nodes of a
// cluster, and stores them. A Broker that has one passes it to Hub.Sequence.
type Sequencer interface {
	// Append takes an event, whose slices are not kept. done is called once, on any
	// goroutine, perhaps before Append returns: with the place of the event when it is
	// stored, or with ErrUnavailable, ErrOverloaded or ErrTooLarge. The hub gets the
	// event itself by Place, after done has been called. Append must not block.
	Append(m pubsub.Message, done func(Published, error))
}

// ErrUnavailable says that what stores the event has not answered in time. The event may
// have been published or not: publish it again with the same key.
var ErrUnavailable = errors.New("webrocket: the event could not be stored in time")

// Sequence makes the hub publish the events of channels with a history by a Sequencer. They
// come back by Place, from the source that of returns for their channel. It must be called
// once, before the hub has sessions.
func (h *Hub) Sequence(q Sequencer, of func(channel string) *pubsub.Source) {
	h.table.SetSources(of)
	h.sequencer.Store(&q)
}

// Keeping is what channels keep by the rules of a hub.
type Keeping struct {
	History time.Duration // how long an event is kept at most; 0: no channel has a history
	Keys    time.Duration // how long the key of a publish is remembered
	KeysMax int           // how many keys are
}

// Keeping returns what channels keep.
func (h *Hub) Keeping() Keeping {
	s := h.settings.Load()
	k := Keeping{Keys: s.IdempotencyWindow, KeysMax: s.MaxIdempotencyKeys}
	if k.Keys <= 0 {
		k.Keys = pubsub.DefaultKeyWindow
	}
	if k.KeysMax <= 0 {
		k.KeysMax = pubsub.DefaultKeys
	}
	for i := range s.Rules {
		k.History = max(k.History, s.Rules[i].History.keeps().TTL)
	}
	return k
}

// Place publishes an event that comes from a Sequencer, at its offset; silently: it is only
// kept, since it was published long ago. m.At is when it was published. It returns
// ErrOverloaded as Receive does. Any goroutine, one at a time for each source.
func (h *Hub) Place(m pubsub.Message, silently bool) error {
	flow := pubsub.Refuse.Within(h.settings.Load().MaxChannels)
	if silently {
		flow = flow.Silently()
	}
	h.findExcept(&m)
	err := h.table.Place(m, flow)
	if errors.Is(err, ErrFull) {
		return nil // nobody hears it, and no position before it is recovered
	}
	return err
}

// Forget says that what a source has given up to an offset is behind a gap, as
// pubsub.Hub.Forget does.
func (h *Hub) Forget(s *pubsub.Source, offset uint64) { h.table.Forget(s, offset) }

// Begin sets the epoch of a source and tells subscribers, as pubsub.Hub.Begin does.
func (h *Hub) Begin(s *pubsub.Source, epoch string, ended []pubsub.Position) {
	h.table.Begin(s, epoch, ended, measure.Now())
}

// sequenced returns what publishes to a channel, nil if the hub does it itself.
func (h *Hub) sequenced(rules *settings, channel []byte) Sequencer {
	q := h.sequencer.Load()
	if q == nil {
		return nil
	}
	if rule, _ := rules.rule(string(channel)); rule == nil || rule.History.keeps() == (pubsub.History{}) {
		return nil
	}
	return *q
}

// await publishes an event of the program itself by a Sequencer, and waits for it.
func (h *Hub) await(q Sequencer, m pubsub.Message) (p Published, err error) {
	done := make(chan struct{})
	q.Append(m, func(published Published, failed error) {
		p, err = published, failed
		close(done)
	})
	<-done
	switch {
	case err != nil:
	case p.Duplicate:
		h.duplicate.Add(1)
	default:
		h.published.Add(1)
	}
	return p, err
}

// appendTo publishes an event of a session by a Sequencer. The result comes later.
func (s *Session) appendTo(q Sequencer, m pubsub.Message) Result {
	w, keyed := s.desk.worker, m.Key != nil
	t := w.addTurn(s, new(Turn))
	q.Append(m, func(p Published, err error) { w.answer(t, storedOr(p, keyed, err)) })
	return Result{Later: t}
}

// storedOr is the result of a publish by a Sequencer.
func storedOr(p Published, keyed bool, err error) Result {
	switch {
	case err == nil:
		return Result{Stored: Stored{p, keyed}}
	case errors.Is(err, ErrTooLarge):
		return Result{Code: LimitExceeded, Reason: "the event is too large for the other nodes"}
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrOverloaded):
		return Result{Code: Unavailable, Reason: "the event could not be stored in time"}
	}
	return Result{Code: InternalError, Reason: err.Error()}
}
