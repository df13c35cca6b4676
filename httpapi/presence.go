package httpapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nu7hatch/webrocket"
)

// PresenceAnswer is a part of the list of those that are present in a channel, as JSON,
// like the protocol's reply to presence.
type PresenceAnswer struct {
	Version uint64           `json:"version"`
	Clients int              `json:"clients"`
	Users   int              `json:"users"`
	Members []PresenceMember `json:"members"`
	More    bool             `json:"more"`
}

// PresenceMember is one of them.
type PresenceMember struct {
	Client string          `json:"client,omitempty"`
	User   string          `json:"user,omitempty"`
	Info   json.RawMessage `json:"info,omitempty"`
	At     uint64          `json:"at"`
}

// presence is GET /v1/presence/{channel}.
func (a *API) presence(w http.ResponseWriter, r *http.Request, channel string) error {
	c, query, err := a.reader(r, channel, "after", "limit")
	if err != nil {
		return err
	}
	after, limit, err := PresenceQuery(query)
	if err != nil {
		return invalid("%s", err)
	}
	page, err := a.server.Presence(c.hub, channel, after, limit)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, NewPresenceAnswer(page))
}

// NewPresenceAnswer returns the answer that has a page.
func NewPresenceAnswer(page webrocket.PresencePage) PresenceAnswer {
	answer := PresenceAnswer{page.Version, page.Clients, page.Users, []PresenceMember{}, page.More}
	for _, m := range page.Members {
		answer.Members = append(answer.Members, PresenceMember{m.Client, m.User, json.RawMessage(m.Info), m.At})
	}
	return answer
}

// PresenceQuery returns what the parameters of a request ask Server.Presence for: after
// and limit. The error says what is wrong with them.
func PresenceQuery(query url.Values) (after uint64, limit int, err error) {
	after, err = strconv.ParseUint(cmp.Or(query.Get("after"), "0"), 10, 64)
	if err != nil || after > offsetMax {
		return 0, 0, fmt.Errorf("after: want a number from 0 to %d", uint64(offsetMax))
	}
	limit, err = limitOf(query, 0)
	return after, limit, err
}

// limitOf returns how many items a request asks for; 0 of them, which means only how many
// there are, is math.MinInt.
func limitOf(query url.Values, least int) (int, error) {
	limit, err := strconv.Atoi(cmp.Or(query.Get("limit"), "100"))
	if err != nil || limit < least || limit > listMax {
		return 0, fmt.Errorf("limit: want a number from %d to %d", least, listMax)
	}
	if limit == 0 {
		limit = math.MinInt
	}
	return limit, nil
}
