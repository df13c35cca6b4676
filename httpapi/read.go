package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/pubsub"
)

const (
	listMax   = 1000
	offsetMax = 1<<53 - 1 // the greatest offset that the protocol takes
)

// channelStats is what is told of a channel.
type channelStats struct {
	Channel     string `json:"channel"`
	Subscribers int    `json:"subscribers"`
	Published   uint64 `json:"published"`
}

// channels is GET /v1/channels.
func (a *API) channels(w http.ResponseWriter, r *http.Request, _ string) error {
	query, err := strictQueryOf(r, "hub", "prefix", "limit")
	if err != nil {
		return err
	}
	c, err := a.callerOf(r, query.Get("hub"))
	if err != nil {
		return err
	}
	if c.key == nil {
		return errNoKey
	}
	if !slices.Contains(c.key.May, mayRead) {
		return c.key.mayNot(mayRead)
	}
	limit, err := limitOf(query, 1)
	if err != nil {
		return invalid("%s", err)
	}
	answer := struct {
		Channels []channelStats `json:"channels"`
		More     bool           `json:"more"`
	}{Channels: []channelStats{}}
	for _, known := range c.key.Channels {
		prefix, many := auth.Pattern(known)
		if !many {
			prefix = known
		}
		prefix, ok := narrower(prefix, query.Get("prefix"))
		if !ok {
			continue
		}
		list, total, err := a.server.Channels(c.hub, prefix, pubsub.ByName, limit)
		if err != nil {
			return err
		}
		answer.More = answer.More || many && total > len(list) // a name is the first of those that begin with it
		for _, s := range list {
			if c.mayUse(a, mayRead, s.Name) == nil {
				answer.Channels = append(answer.Channels, channelStats{s.Name, s.Subscribers, s.Published})
			}
		}
	}
	slices.SortFunc(answer.Channels, func(a, b channelStats) int { return strings.Compare(a.Channel, b.Channel) })
	answer.Channels = slices.CompactFunc(answer.Channels, func(a, b channelStats) bool { return a.Channel == b.Channel })
	answer.More = answer.More || len(answer.Channels) > limit
	answer.Channels = answer.Channels[:min(limit, len(answer.Channels))]
	return reply(w, http.StatusOK, answer)
}

// narrower returns the longer of two prefixes, if one begins with the other.
func narrower(a, b string) (string, bool) {
	if len(a) < len(b) {
		a, b = b, a
	}
	return a, strings.HasPrefix(a, b)
}

// channel is GET /v1/channels/{channel}.
func (a *API) channel(w http.ResponseWriter, r *http.Request, name string) error {
	c, _, err := a.reader(r, name)
	if err != nil {
		return err
	}
	list, _, err := a.server.Channels(c.hub, name, pubsub.ByName, 1)
	if err != nil {
		return err
	}
	answer := channelStats{Channel: name} // of a channel that does not exist, too
	if len(list) == 1 && list[0].Name == name {
		answer = channelStats{name, list[0].Subscribers, list[0].Published}
	}
	return reply(w, http.StatusOK, answer)
}

// reader returns who asks for a channel, if it may read that, and the request's query,
// which has these parameters and the hub.
func (a *API) reader(r *http.Request, channel string, names ...string) (*caller, url.Values, error) {
	query, err := strictQueryOf(r, append(names, "hub")...)
	if err != nil {
		return nil, nil, err
	}
	c, err := a.callerOf(r, query.Get("hub"))
	if err != nil {
		return nil, nil, err
	}
	return c, query, c.mayUse(a, mayRead, channel)
}

// HistoryAnswer is a part of what a channel keeps, as JSON, like the protocol's reply to
// history.
type HistoryAnswer struct {
	Epoch  string         `json:"epoch"`
	First  uint64         `json:"first"`
	Top    uint64         `json:"top"`
	Events []HistoryEvent `json:"events"`
	More   bool           `json:"more"`
}

// HistoryEvent is one event of it.
type HistoryEvent struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data,omitempty"`
	Offset  uint64          `json:"offset"`
}

// history is GET /v1/history/{channel}.
func (a *API) history(w http.ResponseWriter, r *http.Request, channel string) error {
	c, query, err := a.reader(r, channel, "since", "until", "epoch", "limit")
	if err != nil {
		return err
	}
	ask, err := HistoryQuery(query)
	if err != nil {
		return invalid("%s", err)
	}
	page, err := a.server.History(c.hub, channel, ask)
	if errors.Is(err, webrocket.ErrNotRecovered) {
		return &problem{http.StatusGone, "not_recovered", "what follows this position is not kept any more, or the server was restarted: load the present state", 0}
	}
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, NewHistoryAnswer(page))
}

// NewHistoryAnswer returns the answer that has a page. It shares the page's data.
func NewHistoryAnswer(page webrocket.HistoryPage) HistoryAnswer {
	answer := HistoryAnswer{page.Epoch, page.First, page.Top, []HistoryEvent{}, page.More}
	for _, e := range page.Events {
		answer.Events = append(answer.Events, HistoryEvent{e.Event, e.Channel, e.Data, e.Offset})
	}
	return answer
}

// HistoryQuery returns what the parameters of a request ask for: since or until with
// epoch, and limit. The error says what is wrong with them.
func HistoryQuery(query url.Values) (q webrocket.HistoryQuery, err error) {
	switch {
	case query.Has("since") && query.Has("until"):
		return q, errors.New("want since or until, not both")
	case (query.Has("since") || query.Has("until")) != (query.Get("epoch") != ""):
		return q, errors.New("epoch goes with since or until")
	}
	for name, to := range map[string]*webrocket.Position{"since": &q.Since, "until": &q.Until} {
		if !query.Has(name) {
			continue
		}
		to.Epoch = query.Get("epoch")
		to.Offset, err = strconv.ParseUint(query.Get(name), 10, 64)
		if err != nil || to.Offset > offsetMax {
			return q, fmt.Errorf("%s: want a number from 0 to %d", name, uint64(offsetMax))
		}
	}
	q.Limit, err = limitOf(query, 0)
	return q, err
}
