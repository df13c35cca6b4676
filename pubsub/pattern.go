package pubsub

import (
	"bytes"
	"errors"
	"hash/maphash"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// ErrOverlapping is returned where a subscriber would hear a channel by two
// subscriptions.
var ErrOverlapping = errors.New("pubsub: the subscriber hears some of that already")

// PatternDepth is how many ":" a pattern can have. So many and one more patterns can
// match one channel, and a publish looks for no others.
const PatternDepth = 8

// A pattern is a channel of the table of patterns, with a stripe of its own: what is
// published to a channel whose name begins with the pattern's prefix is appended to its
// audiences too, under the locks of both. So the messages of one channel keep their
// order.
//
// A patternTable is the patterns that somebody hears, by their prefix. Its maps are
// replaced, never modified, so a publish finds patterns without a lock.
type patternTable struct {
	mu      sync.Mutex // of those that replace a map
	buckets [4096]atomic.Pointer[map[string]*channel]
}

// patterns are those of a hub. The table is made for the first one.
type patterns struct {
	count atomic.Int64
	table atomic.Pointer[patternTable]
}

// ValidPattern reports whether b is a pattern: "*" for all channels, or a prefix that
// ends in ":" with a "*" behind it, with at most PatternDepth ":".
func ValidPattern(b []byte) bool {
	prefix, ok := bytes.CutSuffix(b, []byte("*"))
	return ok && (len(prefix) == 0 || prefix[len(prefix)-1] == ':') && bytes.Count(prefix, []byte(":")) <= PatternDepth
}

// prefix is what the names that a pattern matches begin with.
func (ch *channel) prefix() string { return ch.name[:len(ch.name)-1] }

// bucket returns the bucket of a prefix.
func (h *Hub) bucket(t *patternTable, prefix []byte) *atomic.Pointer[map[string]*channel] {
	return &t.buckets[maphash.Bytes(h.seed, prefix)%uint64(len(t.buckets))]
}

// Patterns returns how many patterns are heard. If there are any, a publish can reach
// members by a name that no channel has. Any goroutine.
func (h *Hub) Patterns() int { return int(h.patterns.count.Load()) }

// heardBy appends the patterns that match a channel, those with a short prefix first.
func (h *Hub) heardBy(name []byte, list []*channel) []*channel {
	if h.Patterns() == 0 {
		return list
	}
	return h.matching(name, list)
}

func (h *Hub) matching(name []byte, list []*channel) []*channel {
	t := h.patterns.table.Load()
	for end, depth := 0, 0; depth <= PatternDepth; depth++ {
		if all := h.bucket(t, name[:end]).Load(); all != nil {
			if p := (*all)[string(name[:end])]; p != nil {
				list = append(list, p)
			}
		}
		next := bytes.IndexByte(name[end:], ':')
		if next < 0 {
			break
		}
		end += next + 1
	}
	return list
}

// withPattern calls f with a pattern, which begins to exist if need be, and its stripe
// locked.
func (h *Hub) withPattern(pattern []byte, f func(p *channel)) {
	for {
		p := h.needPattern(pattern)
		p.stripe.mu.Lock()
		if !p.ended {
			f(p)
			p.stripe.mu.Unlock()
			return
		}
		p.stripe.mu.Unlock()
	}
}

// needPattern returns a pattern, which may end before its stripe is locked.
func (h *Hub) needPattern(pattern []byte) *channel {
	t := h.patterns.table.Load()
	if t == nil {
		h.patterns.table.CompareAndSwap(nil, new(patternTable))
		t = h.patterns.table.Load()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	prefix := pattern[:len(pattern)-1]
	bucket := h.bucket(t, prefix)
	next := map[string]*channel{}
	if all := bucket.Load(); all != nil {
		if p := (*all)[string(prefix)]; p != nil {
			return p
		}
		next = maps.Clone(*all)
	}
	p := &channel{name: string(pattern), hub: h, stripe: new(stripe), pattern: true}
	next[p.prefix()] = p
	bucket.Store(&next)
	h.patterns.count.Add(1)
	return p
}

// endPattern removes a pattern that nobody hears. Its stripe is locked.
func (h *Hub) endPattern(p *channel) {
	t := h.patterns.table.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	p.ended = true
	bucket := h.bucket(t, []byte(p.prefix()))
	next := maps.Clone(*bucket.Load())
	delete(next, p.prefix())
	if len(next) == 0 {
		bucket.Store(nil)
	} else {
		bucket.Store(&next)
	}
	h.patterns.count.Add(-1)
}

// SubscribePattern makes s hear every channel that a valid pattern matches, now or later,
// and reports whether it did not hear the pattern before. No channel begins to exist by
// that. What was published before is not replayed. It returns ErrOverlapping, and nothing
// has changed, if s hears such a channel already, or a pattern that matches some of them.
// Loop of s only.
func (h *Hub) SubscribePattern(s *Subscriber, pattern []byte) (fresh bool, err error) {
	if h.patternOf(s, pattern) >= 0 {
		return false, nil
	}
	prefix := string(pattern[:len(pattern)-1])
	for i := range s.Len() {
		ch := s.subs.at(i).audience.channel
		if strings.HasPrefix(ch.name, prefix) || ch.pattern && strings.HasPrefix(prefix, ch.prefix()) {
			return false, ErrOverlapping
		}
	}
	h.withPattern(pattern, func(p *channel) { p.audience(s.seat).join(s) })
	return true, nil
}

// SubscribedPattern reports whether s hears this very pattern. Loop of s only.
func (h *Hub) SubscribedPattern(s *Subscriber, pattern []byte) bool {
	return h.patternOf(s, pattern) >= 0
}

// UnsubscribePattern ends what SubscribePattern began, and reports whether there was
// anything to end. Loop of s only.
func (h *Hub) UnsubscribePattern(s *Subscriber, pattern []byte) bool {
	i := h.patternOf(s, pattern)
	if i < 0 {
		return false
	}
	s.drop(i)
	return true
}

// patternOf returns the position of the subscription to a pattern, or -1.
func (h *Hub) patternOf(s *Subscriber, pattern []byte) int {
	if h.Patterns() == 0 {
		return -1
	}
	for i := range s.Len() {
		if ch := s.subs.at(i).audience.channel; ch.pattern && ch.name == string(pattern) {
			return i
		}
	}
	return -1
}

// HearsByPattern reports whether one of the patterns that s hears matches a channel. Loop
// of s only.
func (h *Hub) HearsByPattern(s *Subscriber, name []byte) bool {
	if h.Patterns() == 0 {
		return false
	}
	for i := range s.Len() {
		ch := s.subs.at(i).audience.channel
		if n := len(ch.name) - 1; ch.pattern && len(name) >= n && string(name[:n]) == ch.prefix() {
			return true
		}
	}
	return false
}

// Patterns returns the patterns that s hears. Loop only.
func (s *Subscriber) Patterns() (all []string) {
	for i := range s.Len() {
		if ch := s.subs.at(i).audience.channel; ch.pattern {
			all = append(all, ch.name)
		}
	}
	return all
}

// ListenPattern is Listen for all channels that a valid pattern matches. Any goroutine.
func (h *Hub) ListenPattern(pattern []byte, take func(Message)) *Listener {
	l := &Listener{take: take}
	h.withPattern(pattern, func(p *channel) {
		l.channel = p
		p.listeners = append(p.listeners, l)
	})
	return l
}

// overloadedAny reports whether a shard that hears one of the patterns has too much
// waiting.
func overloadedAny(heard []*channel) bool {
	for _, p := range heard {
		p.stripe.mu.Lock()
		over := p.overloaded()
		p.stripe.mu.Unlock()
		if over {
			return true
		}
	}
	return false
}

// makeForms makes the forms of a message that a pattern is heard in.
func (ch *channel) makeForms(e *encodings, made *forms, m *Message) {
	ch.stripe.mu.Lock()
	defer ch.stripe.mu.Unlock()
	for _, a := range ch.audiences {
		e.of(made, a.form, m)
	}
}

// hear gives a pattern's audiences a message of a channel. The channel's stripe is locked.
func (ch *channel) hear(from *channel, e *encodings, made *forms, m *Message, flow Flow) {
	ch.stripe.mu.Lock()
	defer ch.stripe.mu.Unlock()
	ch.deliver(from, e, made, m, flow)
}

// missed is what a member is told that has missed the run.
func (a *audience) missed() []delivery.Lost {
	if !a.channel.pattern {
		return []delivery.Lost{{Channel: a.channel.name, Offset: a.base}}
	}
	var all []delivery.Lost
	told := map[string]bool{}
	for i := range a.run.Items {
		if name := a.run.Items[i].Channel; !told[name] {
			told[name] = true
			all = append(all, delivery.Lost{Channel: name})
		}
	}
	return all
}

// ListPatterns returns the first n patterns that begin with prefix and that somebody
// hears, in that order, and how many such there are. Any goroutine.
func (h *Hub) ListPatterns(prefix string, order Order, n int) (first []ChannelStats, total int) {
	t := h.patterns.table.Load()
	if t == nil {
		return nil, 0
	}
	for i := range t.buckets {
		all := t.buckets[i].Load()
		if all == nil {
			continue
		}
		for _, p := range *all {
			if strings.HasPrefix(p.name, prefix) {
				p.stripe.mu.Lock()
				first = append(first, p.stats())
				p.stripe.mu.Unlock()
				total++
			}
		}
		if len(first) > 4*n {
			first = head(first, order, n)
		}
	}
	return head(first, order, n), total
}
