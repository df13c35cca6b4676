package pusher

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
)

// channels are the channels that connections of the application hear: how many they
// are, and who is present. Each part has a lock, under which a connection joins and
// leaves the hub's channel too, and the others are told: so all agree about the order.
type channels [64]struct {
	mu   sync.Mutex
	open map[string]*channel // guarded by mu
}

// A channel has at least one subscriber, here or at another node. Its fields are guarded by
// the lock of its part.
type channel struct {
	subscribers int                // here
	far         int                // at other nodes
	members     map[string]*member // of a presence channel, by id of the user
	order       []string           // their ids, in the order in which they came
	counting    bool               // the number of subscribers will be told in a while
}

// A member is a user in a presence channel, who may have several connections.
type member struct {
	info  []byte // JSON
	conns int    // here
	far   int    // other nodes where the user has some
}

var channelSeed = maphash.MakeSeed()

// lock locks the part of a channel and returns its table, which is not nil.
func (all *channels) lock(name string) (open map[string]*channel, unlock func()) {
	part := &all[maphash.String(channelSeed, name)%uint64(len(all))]
	part.mu.Lock()
	if part.open == nil {
		part.open = make(map[string]*channel)
	}
	return part.open, part.mu.Unlock
}

// live is where subscriptions begin: nothing that was published before follows.
var live = hub.Start{Start: pubsub.Start{Live: true}}

// enter makes a connection hear a channel that it does not hear, answers, and tells
// the others.
func (a *App) enter(c *engine.Conn, s *conn, name string, kind Kind, who person) *denial {
	open, unlock := a.channels.lock(name)
	defer unlock()
	ch := open[name]
	if kind.is(Presence) && ch != nil && ch.members[who.id] == nil {
		if most := a.settings.Load().MaxMembers; len(ch.members) >= most {
			return tooMuch(fmt.Sprintf("the channel has %d members already", most))
		}
	}
	// What happened before is in the answer, or in the cache.
	if r := s.SubscribeFrom([]byte(name), live); !r.OK() {
		return denialOf(r)
	}
	ch = a.occupy(open, name, false)
	a.subscribed(ch, name, 1)
	fresh := false
	if kind.is(Presence) {
		rest := s.rest()
		if rest.members == nil {
			rest.members = make(map[string]string)
		}
		rest.members[name] = who.id
		fresh = a.arrive(ch, name, who)
	}
	send(c, internal("pusher_internal:subscription_succeeded", name, ch.snapshot(kind)))
	if fresh {
		a.tell(s, name, "member_added", memberData(who.id, ch.members[who.id].info))
		a.hooks.memberAdded(name, who.id)
	}
	a.count(name, kind, ch)
	return nil
}

// denialOf returns why the hub refuses a subscription.
func denialOf(r hub.Result) *denial {
	switch r.Code {
	case hub.LimitExceeded:
		return tooMuch("there are as many subscriptions or channels as there may be")
	case hub.InvalidChannelName:
		return &denial{"InvalidChannel", r.Reason, 400, r.Code}
	}
	d := unauthorized("the hub does not allow it")
	if r.Reason != "" {
		d.why = r.Reason
	}
	return d
}

// leave ends a subscription, if there is one.
func (a *App) leave(s *conn, name string) {
	if !s.Hears([]byte(name)) {
		return
	}
	open, unlock := a.channels.lock(name)
	defer unlock()
	s.Unsubscribe([]byte(name))
	a.left(open, s, name)
}

// Notice tells a client that a subscription has begun or ended without its doing, as
// the admin API and rules make it. It makes App a protocol.Noticer.
func (a *App) Notice(c *engine.Conn, n hub.Notice) {
	s := c.Value().(*conn)
	switch {
	case n.Unsubscribed != "":
		open, unlock := a.channels.lock(n.Channel)
		a.left(open, s, n.Channel)
		unlock()
		send(c, subscriptionError(n.Channel, "AuthError", "the subscription has ended: "+n.Unsubscribed, 401))
	case n.Subscribed == "":
	case KindOf(n.Channel).is(Presence):
		s.Unsubscribe([]byte(n.Channel)) // nobody knows as whom
	default:
		open, unlock := a.channels.lock(n.Channel)
		defer unlock()
		ch := a.occupy(open, n.Channel, false)
		a.subscribed(ch, n.Channel, 1)
		send(c, internal("pusher_internal:subscription_succeeded", n.Channel, "{}"))
		a.count(n.Channel, KindOf(n.Channel), ch)
	}
}

// occupy returns a channel, which begins to have subscribers if need be; if quiet, the
// webhooks know that. Its part is locked.
func (a *App) occupy(open map[string]*channel, name string, quiet bool) *channel {
	ch := open[name]
	if ch == nil {
		ch = new(channel)
		open[name] = ch
		if !quiet {
			a.hooks.channelOccupied(name)
		}
	}
	return ch
}

// vacate ends a channel that nobody hears. It reports whether that is so. Its part is locked.
func (a *App) vacate(open map[string]*channel, name string, ch *channel) bool {
	if ch.total() > 0 || len(ch.members) > 0 {
		return false
	}
	delete(open, name)
	a.cache.misses.forget(name)
	a.hooks.channelVacated(name)
	return true
}

// total returns how many subscribers there are.
func (ch *channel) total() int { return ch.subscribers + ch.far }

// left notes that a connection does not hear a channel any more. The channel's part is
// locked.
func (a *App) left(open map[string]*channel, s *conn, name string) {
	ch := open[name]
	if ch == nil {
		return
	}
	kind := KindOf(name)
	if kind.is(Presence) && s.more != nil {
		id := s.more.members[name]
		delete(s.more.members, name)
		if a.depart(ch, name, id) {
			a.tellRemoved(s, name, id)
		}
	}
	a.subscribed(ch, name, -1)
	if !a.vacate(open, name, ch) {
		a.count(name, kind, ch)
	}
}

// tellRemoved tells that a user has left a presence channel. except, which may be nil, is not
// told. The channel's part is locked.
func (a *App) tellRemoved(except *conn, name, id string) {
	a.tell(except, name, "member_removed", `{"user_id":`+string(appendString(nil, id))+`}`)
	a.hooks.memberRemoved(name, id)
}

// arrive notes a connection of a user here, and reports whether the user was not there.
func (a *App) arrive(ch *channel, name string, who person) bool {
	m, fresh := ch.member(who)
	if m.conns++; m.conns == 1 {
		a.hub.Tell(hub.Fact{Kind: factMember, Channel: name, Name: who.id, Value: string(m.info)})
	}
	return fresh
}

// member returns a user in the channel, and whether it was not there.
func (ch *channel) member(who person) (m *member, fresh bool) {
	if m := ch.members[who.id]; m != nil {
		return m, false
	}
	info := who.info
	if info == nil {
		info = []byte("null")
	}
	if ch.members == nil {
		ch.members = make(map[string]*member)
	}
	m = &member{info: bytes.Clone(info)}
	ch.members[who.id] = m
	ch.order = append(ch.order, who.id)
	return m, true
}

// depart notes that a connection of a user here has gone, and reports whether the user is
// not there any more.
func (a *App) depart(ch *channel, name, id string) bool {
	m := ch.members[id]
	if m == nil {
		return false
	}
	if m.conns--; m.conns == 0 {
		a.hub.Untell(hub.Fact{Kind: factMember, Channel: name, Name: id})
	}
	return ch.forget(m, id)
}

// forget removes a user that has no connection, and reports whether that is so.
func (ch *channel) forget(m *member, id string) bool {
	if m.conns+m.far > 0 {
		return false
	}
	delete(ch.members, id)
	if i := slices.Index(ch.order, id); i >= 0 {
		ch.order = slices.Delete(ch.order, i, i+1)
	}
	return true
}

// snapshot returns the data of the answer to a subscription: for a presence channel
// who is there.
func (ch *channel) snapshot(kind Kind) string {
	if !kind.is(Presence) {
		return "{}"
	}
	ids, hash := []byte(`{"presence":{"ids":[`), []byte(`],"hash":{`)
	for i, id := range ch.order {
		if i > 0 {
			ids, hash = append(ids, ','), append(hash, ',')
		}
		ids = appendString(ids, id)
		hash = append(appendString(hash, id), ':')
		hash = append(hash, ch.members[id].info...)
	}
	all := append(append(ids, hash...), `},"count":`...)
	return string(append(strconv.AppendInt(all, int64(len(ch.order)), 10), "}}"...))
}

// snapshot returns the same of a channel by name.
func (all *channels) snapshot(name string, kind Kind) string {
	open, unlock := all.lock(name)
	defer unlock()
	if ch := open[name]; ch != nil {
		return ch.snapshot(kind)
	}
	return "{}"
}

// memberData is the data of member_added.
func memberData(id string, info []byte) string {
	dst := appendString([]byte(`{"user_id":`), id)
	return string(append(append(append(dst, `,"user_info":`...), info...), '}'))
}

// tell tells the subscribers of a channel, but for one, what has happened there. The
// channel's part is locked.
func (a *App) tell(except *conn, name, event, data string) {
	n := hub.ChannelNotice{
		Channel: []byte(name), Forms: a.forms.both,
		Frame: finish(internal("pusher_internal:"+event, name, data)),
	}
	if except != nil {
		n.Except = &except.Session
	}
	a.hub.Notify(n)
}

// How often the number of subscribers is told: at each change while there are few,
// otherwise once in a while, or each change would cost a message to everyone.
const (
	fewSubscribers = 100
	countInterval  = 5 * time.Second
)

// count tells how many subscribers a channel has. The channel's part is locked.
func (a *App) count(name string, kind Kind, ch *channel) {
	if kind.is(Presence) || !a.settings.Load().SubscriptionCounts {
		return
	}
	switch {
	case ch.total() <= fewSubscribers:
		a.tellCount(name, ch)
	case !ch.counting:
		ch.counting = true
		time.AfterFunc(countInterval, func() { a.countLater(name) })
	}
}

// countLater tells how many subscribers a channel has that had very many.
func (a *App) countLater(name string) {
	open, unlock := a.channels.lock(name)
	defer unlock()
	if ch := open[name]; ch != nil && ch.counting {
		ch.counting = false
		a.tellCount(name, ch)
	}
}

func (a *App) tellCount(name string, ch *channel) {
	a.tell(nil, name, "subscription_count", `{"subscription_count":`+strconv.Itoa(ch.total())+`}`)
	a.hooks.subscriptionCount(name, ch.total())
}

// count returns how many channels there are.
func (all *channels) count() int {
	n := 0
	for i := range all {
		part := &all[i]
		part.mu.Lock()
		n += len(part.open)
		part.mu.Unlock()
	}
	return n
}

// counts returns how many subscribers and members a channel has.
func (all *channels) counts(name string) (subscribers, members int) {
	open, unlock := all.lock(name)
	defer unlock()
	if ch := open[name]; ch != nil {
		return ch.total(), len(ch.members)
	}
	return 0, 0
}

// users returns the ids of the members of a channel, in the order in which they came.
func (all *channels) users(name string) []string {
	open, unlock := all.lock(name)
	defer unlock()
	if ch := open[name]; ch != nil {
		return slices.Clone(ch.order)
	}
	return nil
}

// names returns the names of the channels that begin with prefix, sorted. ok is false
// if there are more than most.
func (all *channels) names(prefix string, most int) (names []string, ok bool) {
	for i := range all {
		part := &all[i]
		part.mu.Lock()
		for name := range part.open {
			if strings.HasPrefix(name, prefix) && len(names) <= most {
				names = append(names, name)
			}
		}
		part.mu.Unlock()
		if len(names) > most {
			return nil, false
		}
	}
	slices.Sort(names)
	return names, true
}
