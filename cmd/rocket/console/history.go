package console

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nu7hatch/webrocket"
)

// historyPage is the answer of GET /api/history, as that of the protocol's history.
type historyPage struct {
	Epoch  string         `json:"epoch"`
	First  uint64         `json:"first"`
	Top    uint64         `json:"top"`
	Events []historyEvent `json:"events"`
	More   bool           `json:"more"`
}

type historyEvent struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data,omitempty"`
	Offset  uint64          `json:"offset"`
}

// history answers with events that a channel keeps.
func (c *console) history(r *http.Request) (any, error) {
	query := r.URL.Query()
	if !query.Has("hub") || !query.Has("channel") {
		return nil, badRequest("want hub and channel")
	}
	ask, err := historyQuery(query)
	if err != nil {
		return nil, err
	}
	page, err := c.Server.History(query.Get("hub"), query.Get("channel"), ask)
	if err != nil {
		return nil, err
	}
	answer := historyPage{page.Epoch, page.First, page.Top, []historyEvent{}, page.More}
	for _, e := range page.Events {
		answer.Events = append(answer.Events, historyEvent{e.Event, e.Channel, e.Data, e.Offset})
	}
	return answer, nil
}

// historyQuery returns what the parameters of a request ask for.
func historyQuery(query url.Values) (q webrocket.HistoryQuery, err error) {
	if query.Has("since") && query.Has("until") {
		return q, badRequest("want since or until, not both")
	}
	if (query.Has("since") || query.Has("until")) != (query.Get("epoch") != "") {
		return q, badRequest("epoch goes with since or until")
	}
	for name, to := range map[string]*webrocket.Position{"since": &q.Since, "until": &q.Until} {
		if !query.Has(name) {
			continue
		}
		to.Epoch = query.Get("epoch")
		to.Offset, err = strconv.ParseUint(query.Get(name), 10, 64)
		if err != nil || to.Offset > offsetMax {
			return q, badRequest("%s: want a number from 0 to %d", name, uint64(offsetMax))
		}
	}
	q.Limit, err = strconv.Atoi(cmp.Or(query.Get("limit"), "100"))
	if err != nil || q.Limit < 0 || q.Limit > listMax {
		return q, badRequest("limit: want a number from 0 to %d", listMax)
	}
	if q.Limit == 0 {
		q.Limit = math.MinInt // only how far it goes
	}
	return q, nil
}

// offsetMax is the greatest offset that the protocol takes.
const offsetMax = 1<<53 - 1
