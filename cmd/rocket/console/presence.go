package console

import (
	"net/http"

	"github.com/nu7hatch/webrocket/httpapi"
)

// presence answers with those that are present in a channel.
func (c *console) presence(r *http.Request) (any, error) {
	query := r.URL.Query()
	if !query.Has("hub") || !query.Has("channel") {
		return nil, badRequest("want hub and channel")
	}
	after, limit, err := httpapi.PresenceQuery(query)
	if err != nil {
		return nil, badRequest("%s", err)
	}
	page, err := c.Server.Presence(query.Get("hub"), query.Get("channel"), after, limit)
	if err != nil {
		return nil, err
	}
	return httpapi.NewPresenceAnswer(page), nil
}

// Presence is what a hub holds of those that are present in its channels.
type Presence struct {
	Channels int    `json:"channels"`
	Members  int    `json:"members"`
	Notices  uint64 `json:"notices"`
}
