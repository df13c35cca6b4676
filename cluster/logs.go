package cluster

import (
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// logs are all logs that a node follows. nil: none, since histories are not replicated.
type logs struct {
	node   *Node
	config Streams
	conn   *nats.Conn // for publishing and the feeds
	reads  *nats.Conn // for what answers at length

	list atomic.Pointer[[]*stream] // all of them

	mu     sync.Mutex
	hubs   []*hubLogs    // guarded by mu
	waited time.Duration // by join in vain; guarded by mu
}

// hubLogs are the logs of one hub. They are its hub.Sequencer.
type hubLogs struct {
	hub     *hub.Hub
	streams []*stream
	begun   bool // guarded by logs.mu
}

// joinMax is how long Join waits for the logs of a hub, or of several that do not come.
const joinMax = 15 * time.Second

func newLogs(n *Node, s Streams) *logs {
	l := &logs{node: n, config: s.withDefaults()}
	l.list.Store(new([]*stream))
	return l
}

// connect begins to connect.
func (l *logs) connect() (err error) {
	if l == nil {
		return nil
	}
	again := nats.ReconnectHandler(func(c *nats.Conn) { l.reconnected(c) })
	first := nats.ConnectHandler(func(c *nats.Conn) { l.reconnected(c) })
	if l.conn, err = l.node.dial("rocket "+l.node.config.Node+" logs", again, first); err != nil {
		return err
	}
	if l.reads, err = l.node.dial("rocket " + l.node.config.Node + " reads"); err != nil {
		l.conn.Close()
	}
	return err
}

// reconnected looks anew at what a message may have, and at whether the logs have been
// interrupted.
func (l *logs) reconnected(c *nats.Conn) {
	most := int(c.MaxPayload())
	for _, s := range *l.list.Load() {
		if most > 0 {
			s.appender.reach(most)
		}
		s.follower.suspect()
	}
}

// join gives a hub its logs, and waits until they are followed if it needs them at once.
func (l *logs) join(h *hub.Hub) {
	if l == nil {
		return
	}
	of := &hubLogs{hub: h}
	for i := range l.config.Logs {
		of.streams = append(of.streams, newStream(l, h, i))
	}
	h.Sequence(of, func(channel string) *pubsub.Source { return &of.streamOf(channel).source })
	l.mu.Lock()
	l.hubs = append(l.hubs, of)
	all := slices.Concat(*l.list.Load(), of.streams)
	l.list.Store(&all)
	most := joinMax - l.waited
	l.mu.Unlock()
	l.begin()
	live := func() bool { return l.every(func(s *stream) bool { return s.hub != h || s.follower.live.Load() }) }
	began := measure.Now()
	for l.node.connected.Load() && measure.Now()-began < most && !live() {
		time.Sleep(10 * time.Millisecond)
	}
	came := live()
	l.mu.Lock()
	if l.waited += measure.Now() - began; came {
		l.waited = 0
	}
	l.mu.Unlock()
	if !came {
		l.node.log.Warn("the logs of a hub are not there yet; events of channels with a history cannot be published", "hub", h.Name())
	}
}

// begin begins to follow the logs of hubs that keep something by now.
func (l *logs) begin() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hubs {
		if h.hub.Keeping().History == 0 {
			continue
		}
		if h.begun {
			for _, s := range h.streams {
				s.renew()
			}
			continue
		}
		h.begun = true
		for _, s := range h.streams {
			s.start()
		}
	}
}

// streamOf returns the log of a channel.
func (h *hubLogs) streamOf(channel string) *stream {
	if len(h.streams) == 1 {
		return h.streams[0]
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(channel)) // it does not fail
	return h.streams[sum.Sum64()%uint64(len(h.streams))]
}

// Append makes hubLogs a hub.Sequencer.
func (h *hubLogs) Append(m pubsub.Message, done func(hub.Published, error)) {
	h.streamOf(string(m.Channel)).appender.append(measure.Now(), &m, done)
}

// behind reports whether publishers are to be slowed.
func (l *logs) behind() bool {
	if l == nil {
		return false
	}
	return slices.ContainsFunc(*l.list.Load(), func(s *stream) bool {
		return s.appender.full.Load() && s.appender.behind(measure.Now())
	})
}

// every calls f with each log that is followed, or will be, until f returns false. It reports
// whether f never has.
func (l *logs) every(f func(*stream) bool) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hubs {
		for _, s := range h.streams {
			if h.begun && !f(s) {
				return false
			}
		}
	}
	return true
}

// ready reports whether all logs are followed, and this node is not cut off from them.
func (l *logs) ready() bool {
	now := measure.Now()
	return l.every(func(s *stream) bool { return s.follower.live.Load() && !s.appender.cut(now) })
}

// close gives up what is not stored.
func (l *logs) close() {
	if l == nil {
		return
	}
	for _, s := range *l.list.Load() {
		s.appender.close()
	}
	l.conn.Close()
	l.reads.Close()
}

// stats returns what is known of each log.
func (l *logs) stats() (all []LogStats) {
	l.every(func(s *stream) bool {
		all = append(all, s.stats())
		return true
	})
	return all
}
