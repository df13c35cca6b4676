package pusher

import (
	"bytes"
	"strconv"
	"sync"
	"time"
)

// cache keeps the last event of each cache channel that was published by the HTTP API.
// Its lock is held while such an event is published and while a connection begins to
// hear such a channel: so the connection gets the last event once, from here or live,
// and after it what comes later. An event that other nodes store is published without the
// lock, for which event loops wait, and who subscribes meanwhile may get it twice.
type cache struct {
	waiting sync.Mutex // held while such an event is kept and published, never by a loop

	mu    sync.Mutex
	last  map[string]*cached // by channel; guarded by mu
	bytes int                // of all; guarded by mu

	misses misses
}

// misses are the cache channels whose subscribers have found nothing there, and of
// which the webhooks know that.
type misses struct {
	mu    sync.Mutex
	known map[string]struct{} // guarded by mu
}

// note reports whether a miss is the first one of a channel since it had an event or
// subscribers.
func (m *misses) note(channel string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[string]struct{})
	}
	_, known := m.known[channel]
	m.known[channel] = struct{}{}
	return !known
}

func (m *misses) forget(channel string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, channel)
}

// cached is the last event of a channel.
type cached struct {
	event string
	data  []byte // as the hub has it
	end   time.Time
}

// cachedOverhead is what an entry costs beside its names and data, in bytes.
const cachedOverhead = 150

func (e *cached) size(channel string) int {
	return cachedOverhead + len(channel) + len(e.event) + len(e.data)
}

// put keeps the last event of a channel. mu is held.
func (c *cache) put(now time.Time, rules *settings, channel, event string, data []byte) {
	if c.last == nil {
		c.last = make(map[string]*cached)
	}
	c.drop(channel)
	c.misses.forget(channel)
	e := &cached{event, bytes.Clone(data), now.Add(rules.CacheTTL)}
	c.last[channel] = e
	c.bytes += e.size(channel)
	if c.bytes <= rules.MaxCacheBytes {
		return
	}
	for other, e := range c.last {
		if now.After(e.end) {
			c.drop(other)
		}
	}
	for other := range c.last { // in no order
		if c.bytes <= rules.MaxCacheBytes {
			return
		}
		c.drop(other)
	}
}

// drop forgets a channel. mu is held.
func (c *cache) drop(channel string) {
	if e := c.last[channel]; e != nil {
		c.bytes -= e.size(channel)
		delete(c.last, channel)
	}
}

// get returns the last event of a channel, nil if there is none. mu is held.
func (c *cache) get(now time.Time, channel string) *cached {
	e := c.last[channel]
	if e == nil || now.After(e.end) {
		return nil
	}
	return e
}

// size returns the memory of all events.
func (c *cache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// append extends dst by what the HTTP API says of a channel: its last event and for how
// many seconds it is kept, or null.
func (c *cache) append(dst []byte, now time.Time, channel string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.get(now, channel)
	if e == nil {
		return append(dst, "null"...)
	}
	dst = appendData(append(dst, `{"data":`...), e.data)
	dst = strconv.AppendInt(append(dst, `,"ttl":`...), int64(e.end.Sub(now)/time.Second), 10)
	return append(dst, '}')
}
