package pubsub

import (
	"crypto/rand"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A History says what is kept of a channel. Nothing is, and its messages have no
// offsets, unless both Size and TTL are set.
type History struct {
	Size  int           // messages that are kept, at most 2^24
	TTL   time.Duration // how long each is kept, up to a second more; rounded up to seconds
	Bytes int64         // that they may have; 0 and above 2^32-1: 2^32-1
}

const sizeMax = 1 << 24

func (h History) keeps() bool { return h.Size > 0 && h.TTL > 0 }

func (h History) size() uint32 { return uint32(min(h.Size, sizeMax)) }

func (h History) seconds() uint32 {
	return uint32(min((h.TTL+time.Second-1)/time.Second, math.MaxUint32))
}

func (h History) bytes() uint32 {
	if h.Bytes <= 0 {
		return math.MaxUint32
	}
	return uint32(min(h.Bytes, math.MaxUint32))
}

// seconds is a time as entries keep it.
func seconds(now time.Duration) uint32 { return uint32((now + longAgo) / time.Second) }

// longAgo is how long before the beginning of the clock a message may have been published:
// one that was published before this process began.
const longAgo = 25 * time.Hour

// DefaultHistoryBytes is how many bytes the logs of a hub hold together.
const DefaultHistoryBytes = 64 << 20

// histories is what a hub knows of all its logs.
type histories struct {
	epoch   string
	sources func(channel string) *Source // nil if the hub counts offsets itself
	resolve atomic.Pointer[func(channel string) History]
	change  sync.Mutex // held by SetHistory
	byteMax atomic.Int64

	bytes   atomic.Int64 // in all logs
	logs    atomic.Int64 // that keep something
	evicted atomic.Uint64

	sweep hand
	evict hand
}

// kept is what a stripe has of logs. It exists once the stripe has had one.
type kept struct {
	ended ended      // the logs that are gone
	logs  []*channel // those whose logs keep something

	sources map[*Source]*ended // the logs that are gone whose offsets came from a source
}

// newEpoch returns what tells the offsets of one hub from those of another.
func newEpoch() string { return strings.ToLower(rand.Text()[:8]) }

// Epoch returns what the hub's offsets belong to. It was drawn at random when the
// hub was made: an offset of another epoch means nothing here.
func (h *Hub) Epoch() string { return h.history.epoch }

// SetHistory says what is kept of each channel. resolve is called with a channel's
// name, some times under a lock: it must be fast and must not call the hub. nil:
// nothing is kept. Channels that exist change at once: one that keeps more from now
// on has what it has, one that keeps less drops the oldest messages, and one that
// keeps nothing any more loses its log. Any goroutine.
func (h *Hub) SetHistory(resolve func(channel string) History) {
	h.history.change.Lock()
	defer h.history.change.Unlock()
	if resolve == nil {
		resolve = func(string) History { return History{} }
	}
	h.expireEnded()
	h.history.resolve.Store(&resolve)
	for i := range h.stripes {
		st := &h.stripes[i]
		for names := range slices.Chunk(st.names(), sweepMax) {
			st.resolve(names, resolve)
		}
		st.skip()
	}
}

// LimitHistory says how many bytes the logs of the hub may hold together, counting
// 16 for each frame beside its own. Without it, and if n is 0, it is
// DefaultHistoryBytes. Any goroutine.
func (h *Hub) LimitHistory(n int64) {
	if n <= 0 {
		n = DefaultHistoryBytes
	}
	h.history.byteMax.Store(n)
	h.evict()
}

// HistoryStats is what the logs of a hub hold.
type HistoryStats struct {
	Logs    int    // that keep something
	Bytes   int64  // of frames, and 16 for each
	Evicted uint64 // messages that went because of LimitHistory, since the beginning
}

// HistoryStats returns what the logs hold now. Any goroutine.
func (h *Hub) HistoryStats() HistoryStats {
	return HistoryStats{
		Logs:    int(h.history.logs.Load()),
		Bytes:   h.history.bytes.Load(),
		Evicted: h.history.evicted.Load(),
	}
}

// of returns what is kept of a channel.
func (h *histories) of(channel []byte) History {
	if resolve := h.resolve.Load(); resolve != nil {
		return (*resolve)(string(channel))
	}
	return History{}
}

// names returns the names of the stripe's channels.
func (st *stripe) names() []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	names := make([]string, 0, len(st.channels))
	for name := range st.channels {
		names = append(names, name)
	}
	return names
}

// resolve gives channels, as far as they still exist, the histories that they have
// from now on.
func (st *stripe) resolve(names []string, resolve func(channel string) History) {
	histories := make([]History, len(names))
	for i, name := range names {
		histories[i] = resolve(name)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for i, name := range names {
		if ch := st.channels[name]; ch != nil {
			ch.setHistory(histories[i])
		}
	}
}

// skip makes positions in logs that are gone expire: what is published while nothing is
// kept has no offset.
func (st *stripe) skip() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.kept != nil {
		st.kept.ended.skipAll()
	}
}

// setHistory begins, changes or ends the log of a channel. The stripe is locked.
func (ch *channel) setHistory(h History) {
	switch {
	case !h.keeps():
		ch.endLog()
		ch.endIfUnused()
	case ch.log == nil:
		ch.beginLog(h)
	default:
		was := ch.log.bytes
		ch.log.limit(h)
		ch.logChanged(was)
		ch.endIfUnused()
	}
}

// beginLog gives a channel a log. The stripe is locked.
func (ch *channel) beginLog(h History) {
	if ch.stripe.kept == nil {
		ch.stripe.kept = new(kept)
	}
	if source := ch.hub.sourceOf(ch.name); source != nil {
		ch.log = &log{sparse: true, top: ch.stripe.kept.endedOf(source).top(ch.name)}
	} else {
		ch.log = &log{top: ch.stripe.kept.ended.top(ch.name)}
	}
	ch.log.limit(h)
}

// endLog takes a channel's log away, if it has one. The stripe is locked.
func (ch *channel) endLog() {
	l := ch.log
	if l == nil {
		return
	}
	was := l.bytes
	l.fit(0)
	ch.logChanged(was)
	ch.stripe.kept.endedOf(ch.hub.sourceOf(ch.name)).put(ch.name, l.top)
	ch.log = nil
}

// logChanged takes note of a log that had so many bytes before. The stripe is
// locked.
func (ch *channel) logChanged(was uint32) {
	l, k := ch.log, ch.stripe.kept
	all := &ch.hub.history
	if l.bytes != was {
		all.bytes.Add(int64(l.bytes) - int64(was))
	}
	switch {
	case l.n > 0 && l.place == 0:
		k.logs = append(k.logs, ch)
		l.place = uint32(len(k.logs))
		all.logs.Add(1)
	case l.n == 0 && l.place > 0:
		last := len(k.logs) - 1
		k.logs[last].log.place = l.place
		k.logs[l.place-1] = k.logs[last]
		k.logs[last] = nil
		k.logs = k.logs[:last]
		l.place, l.ring = 0, nil
		l.head = 0
		all.logs.Add(-1)
	}
}

// keep adds a message to the log, in the forms that are kept. The stripe is locked.
func (ch *channel) keep(e *encodings, made *forms, m *Message) {
	l, was := ch.log, ch.log.bytes
	now := seconds(m.At)
	l.expire(now)
	l.add(made, e.kept, now, m.Offset)
	ch.logChanged(was)
}

// refresh drops what is not to be read: messages that are too old at that time, and
// all of them if the hub keeps other forms by now. The stripe is locked. If the
// channel is unused and its log is empty then, the channel ends.
func (ch *channel) refresh(now time.Duration) {
	was := ch.log.bytes
	if e := ch.hub.encodings.Load(); e != nil && ch.log.n > 0 {
		ch.log.fit(len(e.kept))
	}
	ch.log.expire(seconds(now))
	ch.logChanged(was)
	ch.endIfUnused()
}
