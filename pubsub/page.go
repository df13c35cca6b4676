package pubsub

import (
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A Query says which part of a channel's history is asked for: the first messages
// behind Since, or the last ones up to Until, or the last ones.
type Query struct {
	Since, Until Position // at most one of them has an epoch
	Limit        int      // messages; 0: only how far the history goes
	Bytes        int      // of their frames, but one message at least; 0: any number
	Form         Form     // that a reader wants; it gets what it would get in a replay
	Now          time.Duration
}

// A Page is a part of a channel's history.
type Page struct {
	Epoch      string
	First, Top uint64          // offsets of the oldest message that is kept and of the newest that there was; if none is kept First is Top+1
	Items      []delivery.Item // the oldest first; their frames may be kept
	More       bool            // the next page is behind the last item, or before the first if Since was not asked for
	Reason     Reason          // with ErrNotRecovered
}

// pageMax is how many messages a page has room for before it is known how many there
// are.
const pageMax = 1000

// History returns a page of a channel's history. It returns ErrNoHistory if the
// channel keeps none, and ErrNotRecovered if a position of the query is none of this
// channel or what follows it is not kept; then Epoch, First and Top are set too. For the
// next page, ask Since the last item, or Until the position before the first. Any
// goroutine.
func (h *Hub) History(name []byte, q Query) (Page, error) {
	items := make([]delivery.Item, 0, min(max(q.Limit, 0), pageMax)) // not under the lock
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	e := h.encodings.Load()
	l := h.logOf(st, name, q.Now)
	if l == nil || e == nil || e.replayed[q.Form] < 0 {
		return Page{Reason: ReasonNoHistory}, ErrNoHistory
	}
	page := Page{Epoch: h.history.epoch, First: l.first(), Top: l.top}
	if source := h.sourceOf(string(name)); source != nil {
		page.Epoch, page.Top = source.Epoch(), max(l.top, source.passed.Load())
		q.Since, q.Until = source.present(q.Since), source.present(q.Until)
		if l.n == 0 {
			page.First = page.Top + 1
		}
	}
	switch {
	case q.Since.Epoch != "":
		page.Reason = l.reason(page.Epoch, q.Since, l.top, page.Top)
	case q.Until.Epoch != "":
		page.Reason = l.reason(page.Epoch, q.Until, l.top, page.Top)
	}
	if page.Reason != "" {
		return page, ErrNotRecovered
	}
	page.Items = items
	l.fill(&page, q, string(name), int(e.replayed[q.Form]))
	return page, nil
}

// logOf returns a channel's log as it is at that time; that of a channel that does
// not exist, but would have one, is empty. The stripe is locked.
func (h *Hub) logOf(st *stripe, name []byte, now time.Duration) *log {
	if ch := st.channels[string(name)]; ch != nil {
		l := ch.log
		if l != nil {
			ch.refresh(now)
		}
		return l
	}
	if !h.history.of(name).keeps() {
		return nil
	}
	l := new(log)
	source := h.sourceOf(string(name))
	l.sparse = source != nil
	if st.kept != nil {
		l.top = st.kept.endedOf(source).top(string(name))
	}
	return l
}

// fill gives a page its items.
func (l *log) fill(page *Page, q Query, channel string, form int) {
	size := 0
	takes := func(i uint32) bool {
		if len(page.Items) >= q.Limit {
			return false
		}
		frame := l.frame(i, form)
		if len(frame) == 0 {
			return true // the form leaves this message out
		}
		if q.Bytes > 0 && len(page.Items) > 0 && size+len(frame) > q.Bytes {
			return false
		}
		size += len(frame)
		page.Items = append(page.Items, delivery.Item{Frame: frame, Channel: channel, Offset: l.offset(i)})
		return true
	}
	if q.Since.Epoch != "" {
		i := l.upTo(q.Since.Offset)
		for i < l.n && takes(i) {
			i++
		}
		page.More = i < l.n
		return
	}
	i := l.n
	if q.Until.Epoch != "" {
		i = l.upTo(q.Until.Offset)
	}
	for i > 0 && takes(i-1) {
		i--
	}
	page.More = i > 0
	slices.Reverse(page.Items)
}
