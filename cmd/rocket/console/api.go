package console

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/build"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// listMax is how many entries a list can have.
const listMax = 1000

// Loops is the answer of GET /api/loops. Counters go on from the start of the
// process; two answers with the same start give the rate.
type Loops struct {
	Version        string    `json:"version"`
	Commit         string    `json:"commit"`
	Ready          bool      `json:"ready"`
	Started        time.Time `json:"started"` // another one: another process, which counts from 0
	UptimeSeconds  float64   `json:"uptimeSeconds"`
	MaxConnections int       `json:"maxConnections"`
	Loops          []Loop    `json:"loops"`
}

// started is when the process began, by a clock that may have been set since.
var started = time.Now().Add(-measure.Now()).UTC()

// Loop is what one event loop has counted and holds.
type Loop struct {
	Loop             int     `json:"loop"`
	Stale            bool    `json:"stale"`
	Connections      int     `json:"connections"`
	Subscriptions    int     `json:"subscriptions"`
	Waiting          int     `json:"waiting"`
	QueuedBytes      int     `json:"queuedBytes"`
	MessagesReceived uint64  `json:"messagesReceived"`
	MessagesSent     uint64  `json:"messagesSent"`
	BytesReceived    uint64  `json:"bytesReceived"`
	BytesSent        uint64  `json:"bytesSent"`
	BusySeconds      float64 `json:"busySeconds"`
	Turns            uint64  `json:"turns"`
	Deliveries       uint64  `json:"deliveries"`
	DeliverySeconds  float64 `json:"deliverySeconds"`
}

func (c *console) loops(r *http.Request) (any, error) {
	answer := Loops{
		Version: webrocket.Version, Commit: build.Commit(), Ready: c.Server.Ready(), MaxConnections: c.Server.MaxConnections(),
		Started: started, UptimeSeconds: measure.Now().Seconds(), Loops: []Loop{},
	}
	for i, l := range c.Server.Stats(r.Context()).Loops {
		answer.Loops = append(answer.Loops, loopOf(i, &l))
	}
	return answer, nil
}

// loopOf is the answer about the loop of that index.
func loopOf(i int, l *webrocket.LoopStats) Loop {
	return Loop{
		Loop: i, Stale: l.Stale, Connections: l.Connections, Subscriptions: l.Shard.Subscriptions,
		Waiting: l.Waiting, QueuedBytes: l.QueuedBytes,
		MessagesReceived: l.MessagesIn, MessagesSent: l.MessagesOut,
		BytesReceived: l.BytesIn, BytesSent: l.BytesOut,
		BusySeconds: l.Busy.Seconds(), Turns: l.Turns.Count(),
		Deliveries: l.Shard.Delivery.Count(), DeliverySeconds: l.Shard.Delivery.Sum.Seconds(),
	}
}

// Hubs is the answer of GET /api/hubs.
type Hubs struct {
	Hubs []Hub `json:"hubs"`
}

// Hub is what is known of one hub.
type Hub struct {
	Hub         string    `json:"hub"`
	Connections int       `json:"connections"`
	Channels    int       `json:"channels"`
	Patterns    int       `json:"patterns"`
	Published   uint64    `json:"published"`
	Commands    []Command `json:"commands"`
	History     History   `json:"history"`
	Presence    Presence  `json:"presence"`
}

// History is what the channels of a hub keep, and what clients had of it.
type History struct {
	Channels   int               `json:"channels"`
	Bytes      int64             `json:"bytes"`
	Evicted    uint64            `json:"evicted"`
	Recoveries map[string]uint64 `json:"recoveries"`
	Duplicates uint64            `json:"duplicates"`
}

// historyOf is the answer about the history of a hub.
func historyOf(h *webrocket.HubStats) History {
	recoveries := make(map[string]uint64)
	for _, r := range h.Recoveries {
		recoveries[r.Result] = r.Count
	}
	return History{h.Kept.Logs, h.Kept.Bytes, h.Kept.Evicted, recoveries, h.Duplicates}
}

// Command counts commands of one kind with one result.
type Command struct {
	Kind   string `json:"kind"`
	Result string `json:"result"`
	Count  uint64 `json:"count"`
}

func (c *console) hubs(r *http.Request) (any, error) {
	answer := Hubs{[]Hub{}}
	for _, h := range c.Server.Stats(r.Context()).Hubs {
		commands := []Command{}
		for _, k := range h.Commands {
			commands = append(commands, Command(k))
		}
		answer.Hubs = append(answer.Hubs, Hub{h.Name, h.Connections, h.Channels, h.Patterns, h.Published, commands, historyOf(&h), Presence(h.Presence)})
	}
	return answer, nil
}

// Channels is the answer of GET /api/channels.
type Channels struct {
	Total    int       `json:"total"`
	Channels []Channel `json:"channels"`
}

// Channel is what is known of one channel.
type Channel struct {
	Hub         string `json:"hub"`
	Channel     string `json:"channel"`
	Permanent   bool   `json:"permanent"`
	Subscribers int    `json:"subscribers"`
	Published   uint64 `json:"published"`
	Bytes       uint64 `json:"bytes"`
}

// orders are the values of the parameter sort.
var orders = map[string]pubsub.Order{
	"":            pubsub.ByName,
	"name":        pubsub.ByName,
	"published":   pubsub.ByPublished,
	"subscribers": pubsub.BySubscribers,
}

func (c *console) channels(r *http.Request) (any, error) {
	list, total, err := c.find(r, c.Server.Channels)
	return channelsOf(list, total), err
}

func channelsOf(list []found, total int) Channels {
	answer := Channels{Total: total, Channels: []Channel{}}
	for _, f := range list {
		answer.Channels = append(answer.Channels, Channel{f.hub, f.Name, f.Permanent, f.Subscribers, f.Published, f.Bytes})
	}
	return answer
}

// Patterns is the answer of GET /api/patterns.
type Patterns struct {
	Total    int       `json:"total"`
	Patterns []Pattern `json:"patterns"`
}

// Pattern is what is known of a pattern that somebody hears.
type Pattern struct {
	Hub         string `json:"hub"`
	Pattern     string `json:"pattern"`
	Subscribers int    `json:"subscribers"`
	Published   uint64 `json:"published"`
	Bytes       uint64 `json:"bytes"`
}

func (c *console) patterns(r *http.Request) (any, error) {
	list, total, err := c.find(r, c.Server.Patterns)
	return patternsOf(list, total), err
}

func patternsOf(list []found, total int) Patterns {
	answer := Patterns{Total: total, Patterns: []Pattern{}}
	for _, f := range list {
		answer.Patterns = append(answer.Patterns, Pattern{f.hub, f.Name, f.Subscribers, f.Published, f.Bytes})
	}
	return answer
}

// found is a channel or a pattern of a hub.
type found struct {
	hub string
	pubsub.ChannelStats
}

// find returns what a request asks for of what list returns for a hub: the first of one
// hub or of all, and how many there are.
func (c *console) find(
	r *http.Request, list func(hub, prefix string, order pubsub.Order, n int) ([]pubsub.ChannelStats, int, error),
) (all []found, total int, err error) {
	query := r.URL.Query()
	order, ok := orders[query.Get("sort")]
	if !ok {
		return nil, 0, &failure{http.StatusBadRequest, "sort: want name, published or subscribers"}
	}
	limit, err := limitOf(r, 1)
	if err != nil {
		return nil, 0, err
	}
	one := query.Has("hub")
	hubs := []string{query.Get("hub")}
	if !one {
		hubs = c.Server.Hubs()
	}
	for _, hub := range hubs {
		first, n, err := list(hub, query.Get("prefix"), order, limit)
		if errors.Is(err, webrocket.ErrNoHub) && !one {
			continue // a reload has just removed it
		}
		if err != nil {
			return nil, 0, err
		}
		total += n
		for _, s := range first {
			all = append(all, found{hub, s})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return order(a.ChannelStats, b.ChannelStats) })
	return all[:min(limit, len(all))], total, nil
}

// limitOf returns the parameter limit, which is at least that.
func limitOf(r *http.Request, least int) (int, error) {
	limit, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("limit"), "100"))
	if err != nil || limit < least || limit > listMax {
		return 0, badRequest("limit: want a number from %d to %d", least, listMax)
	}
	return limit, nil
}

// Connections is the answer of GET /api/connections and of
// /api/connections/slowest.
type Connections struct {
	Connections []Connection `json:"connections"`
	Next        string       `json:"next,omitempty"` // where the page after this one begins, "" if there is none
}

// Connection is what is known of an open connection.
type Connection struct {
	Connection    string `json:"connection"`
	Loop          int    `json:"loop"`
	Hub           string `json:"hub"`
	Address       string `json:"address"`
	QueuedBytes   int    `json:"queuedBytes"`
	QueuedFrames  int    `json:"queuedFrames"`
	Subscriptions int    `json:"subscriptions"`
	Subprotocol   string `json:"subprotocol,omitempty"`
}

func connectionsOf(list []webrocket.ConnStats, next string) Connections {
	answer := Connections{[]Connection{}, next}
	for _, s := range list {
		answer.Connections = append(answer.Connections, Connection{
			s.ID, s.Loop, s.Hub, s.Address, s.QueuedBytes, s.Queued, s.Channels, s.Subprotocol,
		})
	}
	return answer
}

func (c *console) connections(r *http.Request) (any, error) {
	query := r.URL.Query()
	limit, err := limitOf(r, 1)
	if err != nil {
		return nil, err
	}
	if query.Get("channel") != "" && query.Get("hub") == "" {
		return nil, badRequest("channel: want hub with it")
	}
	page, next, err := c.Server.ListConnections(r.Context(), webrocket.ConnQuery{
		Hub: query.Get("hub"), Channel: query.Get("channel"), After: query.Get("after"), Limit: limit,
	})
	if err != nil {
		return nil, err
	}
	return connectionsOf(page, next), nil
}

func (c *console) slowest(r *http.Request) (any, error) {
	limit, err := limitOf(r, 1)
	if err != nil {
		return nil, err
	}
	slowest, err := c.Server.Slowest(r.Context(), limit)
	if err != nil {
		return nil, err
	}
	return connectionsOf(slowest, ""), nil
}
