package console

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
)

// presencePage is the answer of GET /api/presence, as that of the protocol's presence.
type presencePage struct {
	Version uint64           `json:"version"`
	Clients int              `json:"clients"`
	Users   int              `json:"users"`
	Members []presenceMember `json:"members"`
	More    bool             `json:"more"`
}

type presenceMember struct {
	Client string          `json:"client,omitempty"`
	User   string          `json:"user,omitempty"`
	Info   json.RawMessage `json:"info,omitempty"`
	At     uint64          `json:"at"`
}

// presence answers with those that are present in a channel.
func (c *console) presence(r *http.Request) (any, error) {
	query := r.URL.Query()
	if !query.Has("hub") || !query.Has("channel") {
		return nil, badRequest("want hub and channel")
	}
	after, err := strconv.ParseUint(cmp.Or(query.Get("after"), "0"), 10, 64)
	if err != nil || after > versionMax {
		return nil, badRequest("after: want a number from 0 to %d", uint64(versionMax))
	}
	limit, err := limitOf(r, 0)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = -1 // only how many there are
	}
	page, err := c.Server.Presence(query.Get("hub"), query.Get("channel"), after, limit)
	if err != nil {
		return nil, err
	}
	answer := presencePage{page.Version, page.Clients, page.Users, []presenceMember{}, page.More}
	for _, m := range page.Members {
		answer.Members = append(answer.Members, presenceMember{m.Client, m.User, json.RawMessage(m.Info), m.At})
	}
	return answer, nil
}

// versionMax is the greatest version that the protocol takes.
const versionMax = 1<<53 - 1

// Presence is what a hub holds of those that are present in its channels.
type Presence struct {
	Channels int    `json:"channels"`
	Members  int    `json:"members"`
	Notices  uint64 `json:"notices"`
}
