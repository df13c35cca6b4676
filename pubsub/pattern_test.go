package pubsub

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

func TestValidPattern(t *testing.T) {
	for pattern, want := range map[string]bool{
		"*": true, "chat:*": true, "a:b:*": true, ":*": true, strings.Repeat("a:", PatternDepth) + "*": true,
		"": false, "chat:": false, "chat*": false, "chat:1": false, "chat:*:x": false,
		strings.Repeat("a:", PatternDepth+1) + "*": false,
	} {
		if got := ValidPattern([]byte(pattern)); got != want {
			t.Errorf("%q: got %v, want %v", pattern, got, want)
		}
	}
}

// patternNames are the channels and patterns of the model. The last channel is deeper than
// any pattern can be.
var (
	patternChannels = []string{"a", "a:", "a:1", "a:1:x", "a:2", "b:1", "ab:1", strings.Repeat("a:", 40)}
	patternPatterns = []string{"*", "a:*", "a:1:*", "b:*", "c:*"}
)

func patternMatches(pattern, channel string) bool {
	return strings.HasPrefix(channel, pattern[:len(pattern)-1])
}

// A patternModel is clients on several loops that hear channels and patterns. Each message
// is its channel and its number there.
type patternModel struct {
	t       *testing.T
	r       *rand.Rand
	seed    uint64
	step    int
	hub     *Hub
	loops   []*patternSink
	clients []*patternClient
	sent    map[string]int // messages by channel
	heard   int
}

type patternClient struct {
	id   uint64
	loop *patternSink
	sub  *Subscriber
	subs map[string]bool // channels, and patterns with a "?" before them
	next map[string]int  // by channel: the number that must come next, at most, or exactly once one has come
	was  map[string]bool // one has come since the subscription
}

type patternSink struct {
	m     *patternModel
	shard *Shard
	left  int
}

func (*patternSink) Wake() {}

func (s *patternSink) Deliver(ids []uint64, run *delivery.Run) int {
	n := len(ids)
	if n > 1 {
		n = max(1, min(n, s.left))
		s.left -= n
	}
	for _, id := range ids[:n] {
		c := s.m.clients[id&^delivery.Several-1]
		for _, item := range run.Items {
			c.hear(s.m, item)
		}
	}
	return n
}

func (m *patternModel) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d, step %d: %s", m.seed, m.step, fmt.Sprintf(format, args...))
}

// hears reports whether a client hears a channel, by whichever subscription.
func (c *patternClient) hears(channel string) bool {
	for sub := range c.subs {
		if sub == channel || sub[0] == '?' && patternMatches(sub[1:], channel) {
			return true
		}
	}
	return false
}

func (c *patternClient) hear(m *patternModel, item delivery.Item) {
	i := strings.LastIndexByte(string(item.Frame), '#')
	channel, number := string(item.Frame[:i]), string(item.Frame[i+1:])
	n, _ := strconv.Atoi(number)
	m.heard++
	switch {
	case !c.hears(channel) || item.Channel != channel:
		m.fatalf("client %d hears %q of %q", c.id, item.Frame, item.Channel)
	case n > c.next[channel], c.was[channel] && n < c.next[channel]:
		m.fatalf("client %d hears %q, want %d", c.id, item.Frame, c.next[channel])
	}
	c.next[channel], c.was[channel] = n+1, true
}

// began notes that a client hears channels from now on.
func (c *patternClient) began(m *patternModel, matches func(channel string) bool) {
	for _, channel := range patternChannels {
		if matches(channel) {
			c.next[channel], c.was[channel] = m.sent[channel], false
		}
	}
}

func (m *patternModel) subscribe(c *patternClient) {
	channel := patternChannels[m.r.IntN(len(patternChannels))]
	overlaps := false
	for sub := range c.subs {
		overlaps = overlaps || sub[0] == '?' && patternMatches(sub[1:], channel)
	}
	var fresh bool
	var err error
	if m.r.IntN(2) == 0 {
		fresh, err = m.hub.Subscribe(math.MaxInt, c.sub, []byte(channel))
	} else {
		var b Begun
		b, err = m.hub.SubscribeFrom(math.MaxInt, c.sub, []byte(channel), Start{})
		fresh = b.Fresh
	}
	m.check(c, channel, overlaps, fresh, err)
	if fresh {
		c.began(m, func(name string) bool { return name == channel })
	}
}

func (m *patternModel) subscribePattern(c *patternClient) {
	pattern := patternPatterns[m.r.IntN(len(patternPatterns))]
	overlaps := false
	for sub := range c.subs {
		switch {
		case sub[0] != '?':
			overlaps = overlaps || patternMatches(pattern, sub)
		case sub[1:] != pattern:
			overlaps = overlaps || patternMatches(pattern, sub[1:]) || patternMatches(sub[1:], pattern)
		}
	}
	fresh, err := m.hub.SubscribePattern(c.sub, []byte(pattern))
	m.check(c, "?"+pattern, overlaps, fresh, err)
	if fresh {
		c.began(m, func(name string) bool { return patternMatches(pattern, name) })
	}
}

// check holds the result of a subscription against what the client hears.
func (m *patternModel) check(c *patternClient, name string, overlaps, fresh bool, err error) {
	m.t.Helper()
	if overlaps != errors.Is(err, ErrOverlapping) || !overlaps && err != nil || fresh != (!overlaps && !c.subs[name]) {
		m.fatalf("%s: got %v, %v; it hears %v", name, fresh, err, c.subs)
	}
	if fresh {
		c.subs[name] = true
	}
}

func (m *patternModel) publish() {
	channel := patternChannels[m.r.IntN(len(patternChannels))]
	heard := false
	for _, c := range m.clients {
		heard = heard || c.hears(channel)
	}
	n := m.sent[channel]
	_, err := m.hub.Publish(Message{Channel: []byte(channel), Data: []byte(strconv.Itoa(n))}, Slowing(m.loops[m.r.IntN(3)].shard))
	if heard != (err == nil) {
		m.fatalf("publish to %s: got %v, and it is heard: %v", channel, err, heard)
	}
	if err == nil {
		m.sent[channel]++
	}
}

// FuzzPatterns does what it draws from a seed, and holds each message against what its
// subscriber hears, and each once and in order.
func FuzzPatterns(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m := &patternModel{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 2)), hub: NewHub(), sent: map[string]int{}}
		m.hub.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte {
			return fmt.Appendf(nil, "%s#%s", m.Channel, m.Data)
		}})
		for range 3 {
			s := &patternSink{m: m}
			s.shard = NewShard(s)
			m.loops = append(m.loops, s)
		}
		for id := uint64(1); id <= 6; id++ {
			c := &patternClient{id: id, loop: m.loops[id%3], sub: new(Subscriber), subs: map[string]bool{}, next: map[string]int{}, was: map[string]bool{}}
			c.sub.Init(c.loop.shard, id)
			m.clients = append(m.clients, c)
		}
		for m.step = range 2000 {
			c := m.clients[m.r.IntN(len(m.clients))]
			switch n := m.r.IntN(20); {
			case n < 9:
				m.publish()
			case n < 13:
				s := m.loops[m.r.IntN(3)]
				s.left = m.r.IntN(4)
				s.shard.Work()
			case n < 15:
				m.subscribe(c)
			case n < 17:
				m.subscribePattern(c)
			case n < 18:
				channel := patternChannels[m.r.IntN(len(patternChannels))]
				if m.hub.Unsubscribe(c.sub, []byte(channel)) != c.subs[channel] {
					m.fatalf("unsubscribe from %s: it heard %v", channel, c.subs)
				}
				delete(c.subs, channel)
			case n < 19:
				pattern := patternPatterns[m.r.IntN(len(patternPatterns))]
				if m.hub.UnsubscribePattern(c.sub, []byte(pattern)) != c.subs["?"+pattern] {
					m.fatalf("unsubscribe from %s: it heard %v", pattern, c.subs)
				}
				delete(c.subs, "?"+pattern)
			default:
				if m.r.IntN(3) == 0 {
					c.sub.Leave()
					clear(c.subs)
				}
			}
		}
		m.end()
	})
}

func (m *patternModel) end() {
	for _, s := range m.loops {
		s.left = math.MaxInt
		for s.shard.Work() != Idle {
		}
	}
	patterns := map[string]bool{}
	for _, c := range m.clients {
		for channel, n := range m.sent {
			if c.hears(channel) && c.next[channel] != n {
				m.fatalf("at the end client %d is at %d of %d in %s", c.id, c.next[channel], n, channel)
			}
		}
		n := 0
		for sub := range c.subs {
			if sub[0] == '?' {
				patterns[sub[1:]] = true
				n++
			}
		}
		if len(c.sub.Patterns()) != n || len(c.sub.Channels()) != len(c.subs)-n || c.sub.Len() != len(c.subs) {
			m.fatalf("client %d has %d subscriptions, %d of them patterns; want %v", c.id, c.sub.Len(), len(c.sub.Patterns()), c.subs)
		}
	}
	if list, total := m.hub.ListPatterns("", ByName, 10); total != len(patterns) || len(list) != total {
		m.fatalf("got the patterns %v, want %v", list, patterns)
	}
	for _, c := range m.clients {
		c.sub.Leave()
	}
	if n := m.hub.patterns.count.Load(); n != 0 || m.hub.Len() != 0 {
		m.fatalf("%d patterns and %d channels are left", n, m.hub.Len())
	}
	checkHub(m.t, m.hub)
}

// Loops that hear patterns while others come and go, and publishers on all of them: under
// the race detector this shows that nothing is shared without a lock.
func TestPatternsOnManyLoops(t *testing.T) {
	h := NewHub()
	h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return []byte("x") }})
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			s := newSink(t)
			sub := new(Subscriber)
			sub.Init(s.shard, 1)
			for i := range 300 {
				if _, err := h.SubscribePattern(sub, []byte("a:*")); err != nil {
					t.Error(err)
				}
				if _, err := h.Publish(Message{Channel: []byte("a:1")}, Always); err != nil {
					t.Error(err) // this loop hears it
				}
				if i%3 > 0 {
					for s.shard.Work() != Idle {
					}
				}
				h.UnsubscribePattern(sub, []byte("a:*"))
			}
		})
	}
	working.Wait()
	if n := h.patterns.count.Load(); n != 0 {
		t.Errorf("%d patterns are left", n)
	}
}

// The deepest pattern that there can be is heard, beside all that are shorter.
func TestDeepPatterns(t *testing.T) {
	h := newHistoryHub(9)
	heard := 0
	for depth := range PatternDepth + 1 {
		h.ListenPattern([]byte(strings.Repeat("a:", depth)+"*"), func(Message) { heard++ })
	}
	for channel, want := range map[string]int{strings.Repeat("a:", 20): PatternDepth + 1, "a:a:b": 3, "b": 1} {
		heard = 0
		if post(t, h, channel, 1, 0); heard != want {
			t.Errorf("%s: %d patterns hear it, want %d", channel, heard, want)
		}
	}
}

// A Go program hears a pattern too, and an event of a channel with a history has its offset.
func TestListenPattern(t *testing.T) {
	h := newHistoryHub(9)
	var heard []string
	l := h.ListenPattern([]byte("c:*"), func(m Message) { heard = append(heard, fmt.Sprintf("%s %d", m.Channel, m.Offset)) })
	post(t, h, "c:1", 2, 0)
	post(t, h, "c:2", 1, 0)
	post(t, h, "d:1", 1, 0)
	l.Close()
	post(t, h, "c:1", 1, 0)
	if got := strings.Join(heard, ", "); got != "c:1 1, c:1 2, c:2 1" {
		t.Errorf("heard %s", got)
	}
	if h.patterns.count.Load() != 0 {
		t.Error("the pattern is left")
	}
}

// A shard that hears a pattern and cannot keep up refuses events, as one that hears the
// channel does.
func TestOverloadByPattern(t *testing.T) {
	h := NewHub()
	h.AddForm(Encoding{Base: Itself, Encode: func(Message, []byte) []byte { return make([]byte, 1<<20) }})
	s, sub := newSink(t), new(Subscriber)
	sub.Init(s.shard, 1)
	if _, err := h.SubscribePattern(sub, []byte("*")); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		_, err := h.Publish(Message{Channel: []byte("c")}, Refuse)
		if refused := errors.Is(err, ErrOverloaded); refused != (i == 5) {
			t.Errorf("event %d: got %v", i, err)
		}
	}
}

func BenchmarkPublishWithPatterns(b *testing.B) {
	for _, tt := range []struct {
		name     string
		patterns []string
	}{
		{"none", nil},
		{"that do not match", []string{"other:*", "chat:2:*"}},
		{"one that matches", []string{"chat:*"}},
		{"three that match", []string{"*", "chat:*", "chat:1:*"}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			h := NewHub()
			h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return m.Data }})
			shard := NewShard(nothing{})
			member := func(id uint64) *Subscriber {
				s := new(Subscriber)
				s.Init(shard, id)
				return s
			}
			if _, err := h.Subscribe(math.MaxInt, member(1), []byte("chat:1:room")); err != nil {
				b.Fatal(err)
			}
			for i, pattern := range tt.patterns {
				if _, err := h.SubscribePattern(member(uint64(i+2)), []byte(pattern)); err != nil {
					b.Fatal(err)
				}
			}
			m := Message{Channel: []byte("chat:1:room"), Event: []byte("said"), Data: make([]byte, 128), At: time.Second}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Publish(m, Always); err != nil {
					b.Fatal(err)
				}
				shard.Work()
			}
		})
	}
}
