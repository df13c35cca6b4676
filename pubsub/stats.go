package pubsub

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// ChannelStats describes a channel. What was published before it lost its last
// subscriber is forgotten with it, unless it is permanent.
type ChannelStats struct {
	Name        string
	Permanent   bool
	Subscribers int
	Published   uint64 // messages
	Bytes       uint64 // of their data and the names of their events, before encoding
}

// An Order compares two channels, as cmp.Compare does: the lesser comes first.
type Order func(a, b ChannelStats) int

// Orders of channels. Those that are equal are sorted by name.
func ByName(a, b ChannelStats) int { return strings.Compare(a.Name, b.Name) }

// ByPublished puts first what had most frames.
func ByPublished(a, b ChannelStats) int {
	return cmp.Or(cmp.Compare(b.Published, a.Published), ByName(a, b))
}

// BySubscribers puts first what has most subscribers.
func BySubscribers(a, b ChannelStats) int {
	return cmp.Or(cmp.Compare(b.Subscribers, a.Subscribers), ByName(a, b))
}

// Channels returns the first n channels whose names begin with prefix, in that
// order, and how many such channels there are. It looks at all channels, and
// keeps a few times n of them at most.
func (h *Hub) Channels(prefix string, order Order, n int) (first []ChannelStats, total int) {
	for i := range h.stripes {
		before := len(first)
		first = h.stripes[i].match(first, prefix)
		total += len(first) - before
		if len(first) > 4*n {
			first = head(first, order, n)
		}
	}
	return head(first, order, n), total
}

// head sorts a list and returns its first n elements.
func head(list []ChannelStats, order Order, n int) []ChannelStats {
	slices.SortFunc(list, order)
	return list[:min(n, len(list))]
}

// match appends the channels of a stripe whose names begin with prefix.
func (st *stripe) match(list []ChannelStats, prefix string) []ChannelStats {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, ch := range st.channels {
		if strings.HasPrefix(name, prefix) {
			list = append(list, ch.stats())
		}
	}
	return list
}

// stats describes the channel. The stripe is locked.
func (ch *channel) stats() ChannelStats {
	s := ChannelStats{Name: ch.name, Permanent: ch.permanent, Published: ch.published, Bytes: ch.bytes}
	for _, a := range ch.audiences {
		s.Subscribers += int(a.size.Load())
	}
	return s
}

// Members returns the ids, as the Sink knows them, of the subscribers that a
// channel has on one shard. Loop of the shard only.
func (h *Hub) Members(s *Shard, name []byte) []uint64 {
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	ch := st.channels[string(name)]
	if ch == nil {
		return nil
	}
	var ids []uint64
	for _, a := range ch.audiences {
		if a.shard == s {
			ids = append(ids, a.ids...)
		}
	}
	for i := range ids {
		ids[i] &^= delivery.Several
	}
	return ids
}
