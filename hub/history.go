package hub

import (
	"errors"
	"fmt"

	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// Errors of History.
var (
	// ErrNoHistory says that the channel keeps no history.
	ErrNoHistory = pubsub.ErrNoHistory

	// ErrNotRecovered says that what came behind a position is not kept any more, or
	// that the position is not one of this channel.
	ErrNotRecovered = pubsub.ErrNotRecovered
)

// History limits.
const (
	defaultPage = 100       // events
	maxPage     = 1000      // events
	maxPageSize = 256 << 10 // bytes of frames
)

// A Position is a place in a channel: that of a reader who has had the event with
// this offset and all before it.
type Position = pubsub.Position

// A HistoryQuery says which events of a channel are asked for: the first ones behind
// Since, the last ones up to Until, or the last ones.
type HistoryQuery struct {
	// Since and Until are positions, none where the epoch is empty. At most one is set.
	Since, Until Position

	// Limit is how many events are wanted, at most 1,000. If zero, 100. Negative: none,
	// only how far the history goes.
	Limit int
}

// A HistoryPage is a part of a channel's history.
type HistoryPage struct {
	Epoch string

	// First is the offset of the oldest event that is kept, Top that of the newest
	// that there was. If none is kept, First is Top + 1.
	First, Top uint64

	// Events are the events, the oldest first.
	Events []Event

	// More reports whether there are more: behind the last event, or before the first
	// one if Since was not asked for.
	More bool

	// Reason says why there are no events if the error is ErrNotRecovered: "epoch",
	// "expired" or "ahead", as in the protocol.
	Reason string
}

// Reader says how the program reads what a hub keeps: in the given form, of whose
// frames parse makes events. A protocol calls it for the form that it keeps; the
// first call counts.
func (h *Hub) Reader(form pubsub.Form, parse func(frame []byte) (Event, error)) {
	h.reader.CompareAndSwap(nil, &reader{form, parse})
}

// A reader makes events of what is kept.
type reader struct {
	form  pubsub.Form
	parse func(frame []byte) (Event, error)
}

// History returns a part of what a channel keeps, with at most 256 KiB of events
// beside the first. For the next page ask Since the last event, or Until the position
// before the first. It returns ErrNoHistory, or ErrNotRecovered, and then Epoch,
// First, Top and Reason are set too. Rights are not looked at. Any goroutine, also
// from callbacks.
func (h *Hub) History(channel string, q HistoryQuery) (HistoryPage, error) {
	r := h.reader.Load()
	if r == nil {
		return HistoryPage{}, ErrNoHistory // no protocol is served that could keep something
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultPage
	}
	page, err := h.table.History([]byte(channel), pubsub.Query{
		Since: q.Since, Until: q.Until, Limit: min(max(limit, 0), maxPage), Bytes: maxPageSize,
		Form: r.form, Now: measure.Now(),
	})
	answer := HistoryPage{Epoch: page.Epoch, First: page.First, Top: page.Top, More: page.More, Reason: string(page.Reason)}
	if errors.Is(err, ErrNotRecovered) {
		return answer, fmt.Errorf("webrocket: %w: %s", err, page.Reason)
	}
	if err != nil {
		return answer, err
	}
	for _, item := range page.Items {
		e, err := r.parse(item.Frame)
		if err != nil {
			return answer, fmt.Errorf("webrocket: the history of %q: %w", channel, err)
		}
		e.Channel, e.Offset = channel, item.Offset
		answer.Events = append(answer.Events, e)
	}
	return answer, nil
}
