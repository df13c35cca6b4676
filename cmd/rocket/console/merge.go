package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/nu7hatch/webrocket/pubsub"
)

// ClusterChannels is the answer of GET /api/channels with node=*: one list of the channels of
// all nodes. The answer of each of Nodes has its Total only.
type ClusterChannels struct {
	Channels
	Merged
}

// ClusterPatterns is the answer of GET /api/patterns with node=*.
type ClusterPatterns struct {
	Patterns
	Merged
}

// Merged says what a list was merged of.
type Merged struct {
	Exact bool `json:"exact"` // every node has answered with its whole list
	Nodes
}

// nodeList is what is read of the answer of one node: it has one of the lists.
type nodeList struct {
	Total    int       `json:"total"`
	Channels []Channel `json:"channels"`
	Patterns []Pattern `json:"patterns"`
}

// found returns the entries of the list.
func (l *nodeList) found() (all []found) {
	for _, e := range l.Channels {
		all = append(all, found{e.Hub, pubsub.ChannelStats{Name: e.Channel, Permanent: e.Permanent, Subscribers: e.Subscribers, Published: e.Published, Bytes: e.Bytes}})
	}
	for _, e := range l.Patterns {
		all = append(all, found{e.Hub, pubsub.ChannelStats{Name: e.Pattern, Subscribers: e.Subscribers, Published: e.Published, Bytes: e.Bytes}})
	}
	return all
}

// A wrapper makes the answer of a merged list.
type wrapper = func(list []found, total int, m Merged) any

// mergedChannels and mergedPatterns are wrappers.
func mergedChannels(list []found, total int, m Merged) any {
	return ClusterChannels{channelsOf(list, total), m}
}

func mergedPatterns(list []found, total int, m Merged) any {
	return ClusterPatterns{patternsOf(list, total), m}
}

// askForList asks all nodes for a list, and answers with one list. Of a long list each node is asked for
// the first listMax entries, which bounds what is held here.
func (c *console) askForList(r *http.Request, q nodeQuestion, get getter, wrap wrapper) (any, error) {
	limit, err := limitOf(r, 1)
	if err != nil {
		return nil, err
	}
	q.Query.Set("limit", strconv.Itoa(listMax))
	nodes, err := c.askAll(r, q, get)
	if err != nil {
		return nil, err
	}
	list, total, m := merge(nodes, orders[q.Query.Get("sort")])
	return wrap(list[:min(limit, len(list))], total, m), nil
}

// merge makes one list of those of all nodes, in that order, and says how many entries there are
// at least. Subscribers are summed. Every node counts the events of all nodes, from when it has the
// channel: the count of the merged entry is the largest one.
func merge(nodes Nodes, order pubsub.Order) (list []found, total int, m Merged) {
	type key struct{ hub, name string }
	m = Merged{true, nodes}
	at := make(map[key]int)
	for i := range m.Nodes.Nodes {
		one, ok := m.Nodes.Nodes[i].list()
		if !ok {
			m.Exact = false
			continue
		}
		entries := one.found()
		m.Exact = m.Exact && len(entries) == one.Total
		total = max(total, one.Total)
		for _, e := range entries {
			k := key{e.hub, e.Name}
			j, ok := at[k]
			if !ok {
				at[k] = len(list)
				list = append(list, e)
				continue
			}
			sum := &list[j]
			sum.Permanent = sum.Permanent || e.Permanent
			sum.Subscribers += e.Subscribers
			sum.Published, sum.Bytes = max(sum.Published, e.Published), max(sum.Bytes, e.Bytes)
		}
	}
	slices.SortFunc(list, func(a, b found) int {
		return cmp.Or(order(a.ChannelStats, b.ChannelStats), strings.Compare(a.hub, b.hub))
	})
	return list, max(total, len(list)), m
}

// list returns the list that a node has answered with, and leaves its total in the answer. It reports whether
// there is one; what cannot be read becomes the error of the node.
func (a *NodeAnswer) list() (l nodeList, ok bool) {
	if a.Error != "" {
		return l, false
	}
	if err := json.Unmarshal(a.Answer, &l); err != nil {
		a.Answer, a.Error = nil, err.Error()
		return l, false
	}
	a.Answer = fmt.Appendf(nil, `{"total":%d}`, l.Total)
	return l, true
}
