package console

import (
	"net/http"

	"github.com/nu7hatch/webrocket/httpapi"
)

// history answers with events that a channel keeps.
func (c *console) history(r *http.Request) (any, error) {
	query := r.URL.Query()
	if !query.Has("hub") || !query.Has("channel") {
		return nil, badRequest("want hub and channel")
	}
	ask, err := httpapi.HistoryQuery(query)
	if err != nil {
		return nil, badRequest("%s", err)
	}
	page, err := c.Server.History(query.Get("hub"), query.Get("channel"), ask)
	if err != nil {
		return nil, err
	}
	return httpapi.NewHistoryAnswer(page), nil
}
