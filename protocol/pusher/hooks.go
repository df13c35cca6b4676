package pusher

import (
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// HookEvents are the names of what webhooks are told.
var HookEvents = []string{
	"channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event", "cache_miss", "subscription_count",
}

// grace is for how long it is held back that a channel is vacated or a member removed:
// if that ends in between, as where a page is loaded anew, nothing has happened.
const grace = 3 * time.Second

// hooks tells the webhooks of an application what happens. Its methods return at once:
// what happens is queued. It has no goroutine, and does nothing, without a webhook.
type hooks struct {
	app       *App
	endpoints atomic.Pointer[[]*endpointQueue] // nil for none

	mu      sync.Mutex
	held    map[holding]*heldEvent // guarded by mu
	waiting []*heldEvent           // those held, and those dropped, in their order; guarded by mu
	timer   *time.Timer            // for the first that waits; guarded by mu
	running sync.WaitGroup
}

// A holding is a channel that is vacated, or a member of one that is removed, as far
// as is known yet.
type holding struct{ channel, user string }

// A heldEvent is what will be told of a holding, once it is due.
type heldEvent struct {
	key        holding
	name, rest string
	due        time.Time
}

// droppedFew is how many dropped events may always wait.
const droppedFew = 64

// obey replaces the webhooks. Those that are the same as before go on.
func (h *hooks) obey(webhooks []Webhook) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var next []*endpointQueue
	old := h.list()
	for _, w := range webhooks {
		q := take(&old, w)
		if q == nil {
			q = newEndpointQueue(h.app, w)
			h.running.Go(q.run)
		}
		next = append(next, q)
	}
	for _, q := range old {
		q.cancel()
	}
	if next == nil {
		h.endpoints.Store(nil)
		return
	}
	h.endpoints.Store(&next)
}

// take returns the queue of an equal webhook and removes it from the list.
func take(list *[]*endpointQueue, w Webhook) *endpointQueue {
	for i, q := range *list {
		if reflect.DeepEqual(q.hook, w) {
			rest := append([]*endpointQueue{}, (*list)[:i]...)
			*list = append(rest, (*list)[i+1:]...)
			return q
		}
	}
	return nil
}

func (h *hooks) list() []*endpointQueue {
	if all := h.endpoints.Load(); all != nil {
		return *all
	}
	return nil
}

// close ends all goroutines and waits for them.
func (h *hooks) close() {
	h.obey(nil)
	h.mu.Lock()
	clear(h.held)
	h.waiting = nil
	if h.timer != nil {
		h.timer.Stop()
	}
	h.mu.Unlock()
	h.running.Wait()
}

// emit queues what has happened in a channel. rest is what follows the channel in the
// JSON of the event.
func (h *hooks) emit(name, channel, rest string) {
	var event []byte
	for _, q := range h.list() {
		if !q.hook.wants(name, channel) {
			continue
		}
		if event == nil {
			event = appendString([]byte(`{"name":"`+name+`","channel":`), channel)
			event = append(append(event, rest...), '}')
		}
		q.push(event)
	}
}

// once queues what all nodes of a cluster see: that on duty does.
func (h *hooks) once(name, channel, rest string) {
	if h.endpoints.Load() != nil && h.app.hub.OnDuty(channel) {
		h.emit(name, channel, rest)
	}
}

// hold queues what has happened in a while, unless the opposite happens before.
func (h *hooks) hold(name, channel, user, rest string) {
	if h.endpoints.Load() == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := holding{channel, user}
	if h.held == nil {
		h.held = make(map[holding]*heldEvent)
	}
	e := &heldEvent{key: key, name: name, rest: rest, due: time.Now().Add(grace)}
	h.held[key] = e
	if len(h.waiting) >= 2*len(h.held)+droppedFew { // who comes and goes all the time costs no memory
		h.waiting = slices.DeleteFunc(h.waiting, func(e *heldEvent) bool { return h.held[e.key] != e })
	}
	if h.waiting = append(h.waiting, e); len(h.waiting) == 1 {
		h.timer = time.AfterFunc(grace, h.letGo)
	}
}

// letGo queues the events that were held for long enough, in their order. The lock is held
// until they are queued: what happens next in the same channel is queued behind them.
func (h *hooks) letGo() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, n := time.Now(), 0
	for ; n < len(h.waiting) && !h.waiting[n].due.After(now); n++ {
		e := h.waiting[n]
		if h.held[e.key] == e {
			delete(h.held, e.key)
			h.once(e.name, e.key.channel, e.rest)
		}
	}
	clear(h.waiting[:n])
	h.waiting = h.waiting[n:]
	if len(h.waiting) > 0 {
		h.timer = time.AfterFunc(time.Until(h.waiting[0].due), h.letGo)
	}
}

// release reports whether the opposite was held, which is dropped.
func (h *hooks) release(channel, user string) bool {
	if h.endpoints.Load() == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := holding{channel, user}
	if h.held[key] == nil {
		return false
	}
	delete(h.held, key)
	return true
}

func (h *hooks) channelOccupied(channel string) {
	if !h.release(channel, "") {
		h.once("channel_occupied", channel, "")
	}
}

func (h *hooks) channelVacated(channel string) { h.hold("channel_vacated", channel, "", "") }

func userMember(user string) string { return `,"user_id":` + string(appendString(nil, user)) }

func (h *hooks) memberAdded(channel, user string) {
	if h.endpoints.Load() != nil && !h.release(channel, user) {
		h.once("member_added", channel, userMember(user))
	}
}

func (h *hooks) memberRemoved(channel, user string) {
	if h.endpoints.Load() != nil {
		h.hold("member_removed", channel, user, userMember(user))
	}
}

func (h *hooks) cacheMiss(channel string) { h.emit("cache_miss", channel, "") }

func (h *hooks) subscriptionCount(channel string, n int) {
	if h.endpoints.Load() != nil {
		h.once("subscription_count", channel, `,"subscription_count":`+strconv.Itoa(n))
	}
}

// clientEvent tells of an event that a client has sent. Its data is a string, and so is
// the user's id: libraries can read nothing else.
func (h *hooks) clientEvent(m *message, channel, socketID, user string) {
	if h.endpoints.Load() == nil {
		return
	}
	rest := appendString([]byte(`,"event":`), m.event)
	rest = append(rest, `,"data":`...)
	if m.data == nil {
		rest = append(rest, `""`...)
	} else {
		rest = appendData(rest, m.data)
	}
	rest = appendString(append(rest, `,"socket_id":`...), socketID)
	if user != "" {
		rest = append(rest, userMember(user)...)
	}
	h.emit("client_event", channel, string(rest))
}
