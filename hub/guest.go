package hub

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/presence"
	"github.com/nu7hatch/webrocket/pubsub"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// guests are those who are present in the channels of a hub by connections of other
// processes. They are in the same lists as those of this one. It is a Learner.
type guests struct {
	hub *Hub

	mu    sync.Mutex
	queue presence.Queue // what is to be done about them
	all   []*guest
}

// A guest is one of them.
type guest struct {
	channel string
	who     *presence.Who
	member  *presence.Member // nil where the rules here give the channel no presence
	index   int              // in all
}

// tellPresent tells other processes who is present in a channel, by a connection.
func (h *Hub) tellPresent(channel string, who *presence.Who) {
	if h.others() == nil {
		return
	}
	value := binary.AppendUvarint(nil, uint64(len(who.User)))
	value = append(append(value, who.User...), who.Info...)
	h.Tell(Fact{factPresence, channel, who.Client, string(value)})
}

// untellPresent ends that.
func (h *Hub) untellPresent(channel string, who *presence.Who) {
	h.Untell(Fact{Kind: factPresence, Channel: channel, Name: who.Client})
}

// whoOf returns what tellPresent has told.
func whoOf(f Fact) *presence.Who {
	w := &presence.Who{Client: f.Name}
	n, size := binary.Uvarint([]byte(f.Value[:min(len(f.Value), binary.MaxVarintLen32)]))
	if rest := f.Value[max(size, 0):]; size > 0 && n <= uint64(len(rest)) {
		w.User, w.Info = rest[:n], rest[n:]
	}
	return w
}

// Learn makes guests a Learner.
func (g *guests) Learn(f Fact, known any) any {
	g.mu.Lock()
	defer g.mu.Unlock()
	one, ok := known.(*guest)
	if !ok {
		one = &guest{channel: f.Channel, index: len(g.all)}
		g.all = append(g.all, one)
	}
	one.who = whoOf(f)
	g.place(one, func(now time.Duration, c Presence) *presence.Member {
		return g.hub.presence.Update(&g.queue, now, one.member, c, one.who)
	})
	return one
}

// Unlearn makes guests a Learner.
func (g *guests) Unlearn(_ Fact, known any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := known.(*guest)
	g.leave(one)
	last := g.all[len(g.all)-1]
	g.all[one.index], last.index = last, one.index
	g.all[len(g.all)-1] = nil
	g.all = g.all[:len(g.all)-1]
}

// place makes a guest present as the rules say; if it is already, that is what again
// changes. mu is held.
func (g *guests) place(one *guest, again func(time.Duration, Presence) *presence.Member) {
	rule, _ := g.hub.settings.Load().rule(one.channel)
	switch {
	case rule == nil || rule.Presence.Mode == PresenceOff:
		g.leave(one)
	case one.member == nil:
		one.member = g.hub.presence.Join(&g.queue, measure.Now(), one.channel, rule.Presence, one.who)
	default:
		one.member = again(measure.Now(), rule.Presence)
	}
}

// leave ends the presence of a guest. mu is held.
func (g *guests) leave(one *guest) {
	if one.member != nil {
		g.hub.presence.Leave(&g.queue, measure.Now(), one.member)
		one.member = nil
	}
}

// obey makes all present as the rules say that have just changed.
func (g *guests) obey() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, one := range g.all {
		g.place(one, func(now time.Duration, c Presence) *presence.Member {
			return g.hub.presence.Obey(&g.queue, now, one.member, c, one.who)
		})
	}
}

// TellGuests does what is due about those who are present by connections of other
// processes: it tells those here that watch who has come and gone. It returns when it is
// to be called again, and whether it is. Brokers call it, after Learn and Unlearn too.
func (h *Hub) TellGuests() (next time.Duration, again bool) {
	g := &h.guests
	g.mu.Lock()
	defer g.mu.Unlock()
	now := measure.Now()
	h.presence.Work(&g.queue, now, func(n *presence.Notice) { h.notify(n, now, pubsub.Always) })
	return g.queue.Next()
}

// notify gives a notice to those that watch. Without the channel nobody is left to be told.
func (h *Hub) notify(n *presence.Notice, now time.Duration, flow pubsub.Flow) {
	_, _ = h.notices.Publish(pubsub.Message{
		Channel: []byte(n.Channel), Event: []byte(delivery.Notice), Value: n, At: now,
	}, flow)
}
