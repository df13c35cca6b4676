package pubsub

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// checkHub looks for what the hub's parts must have in common at any time.
func checkHub(t testing.TB, h *Hub) {
	t.Helper()
	channels := 0
	for i := range h.stripes {
		channels += len(h.stripes[i].channels)
		for name, ch := range h.stripes[i].channels {
			if ch.name != name || ch.stripe != &h.stripes[i] {
				t.Errorf("channel %q stands in the wrong place", name)
			}
			if len(ch.audiences) == 0 && !ch.permanent && (ch.log == nil || ch.log.n == 0) {
				t.Errorf("channel %q has no members and was not freed", name)
			}
			for _, a := range ch.audiences {
				checkAudience(t, a)
			}
		}
	}
	if got := h.Len(); got != channels {
		t.Errorf("Len: got %d, want %d", got, channels)
	}
	checkLogs(t, h)
}

// checkLogs adds up what the logs hold.
func checkLogs(t testing.TB, h *Hub) {
	t.Helper()
	bytes, logs := int64(0), 0
	for i := range h.stripes {
		st := &h.stripes[i]
		listed := 0
		for name, ch := range st.channels {
			l := ch.log
			if l == nil {
				continue
			}
			sum := uint32(0)
			for k := range l.n {
				for _, e := range l.slot(k) {
					sum += e.size()
				}
			}
			if sum != l.bytes || l.n > l.size || l.bytes > l.byteMax {
				t.Errorf("%q: the log says %d bytes and has %d, in %d messages of %d", name, l.bytes, sum, l.n, l.size)
			}
			if l.n > 0 {
				listed++
				bytes += int64(sum)
				if st.kept.logs[l.place-1] != ch {
					t.Errorf("%q: the log stands in the wrong place", name)
				}
			}
		}
		if st.kept != nil && len(st.kept.logs) != listed {
			t.Errorf("stripe %d: got %d logs in the list, want %d", i, len(st.kept.logs), listed)
		}
		logs += listed
	}
	if got := h.HistoryStats(); got.Bytes != bytes || got.Logs != logs {
		t.Errorf("got %+v, want %d bytes in %d logs", got, bytes, logs)
	}
}

func checkAudience(t testing.TB, a *audience) {
	t.Helper()
	if len(a.ids) == 0 || len(a.ids) != len(a.members) || a.cursor > a.end() {
		t.Errorf("%q: %d ids, %d members, cursor %d", a.channel.name, len(a.ids), len(a.members), a.cursor)
		return
	}
	for i, m := range a.members {
		if a.ids[i]&^delivery.Several != m.id || (a.ids[i]&delivery.Several != 0) != (m.Len() > 1) {
			t.Errorf("%q: member %d is known as %x and has %d subscriptions", a.channel.name, m.id, a.ids[i], m.Len())
		}
		if j := m.find(a); j < 0 || m.subs.at(j).index != i {
			t.Errorf("%q: member %d does not know its place", a.channel.name, m.id)
		}
	}
}

func exists(h *Hub, name string) bool {
	st := h.stripe([]byte(name))
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.channels[name] != nil
}

func TestChannelLife(t *testing.T) {
	h, s, other := newHub("permanent"), newSink(t), newSink(t)
	a, b := s.subscriber(1), other.subscriber(1)
	steps := []struct {
		name string
		do   func() bool
		want bool
		live string // channels, besides permanent
	}{
		{"subscribe", func() bool { return subscribe(h, a, []byte("c")) }, true, "c"},
		{"again", func() bool { return subscribe(h, a, []byte("c")) }, false, "c"},
		{"on another shard", func() bool { return subscribe(h, b, []byte("c")) }, true, "c"},
		{"another channel", func() bool { return subscribe(h, b, []byte("d")) }, true, "c d"},
		{"not subscribed", func() bool { return h.Unsubscribe(a, []byte("d")) }, false, "c d"},
		{"no such channel", func() bool { return h.Unsubscribe(a, []byte("e")) }, false, "c d"},
		{"the first leaves", func() bool { return h.Unsubscribe(a, []byte("c")) }, true, "c d"},
		{"again", func() bool { return h.Unsubscribe(a, []byte("c")) }, false, "c d"},
		{"the last leaves", func() bool { return h.Unsubscribe(b, []byte("c")) }, true, "d"},
		{"permanent", func() bool { return subscribe(h, a, []byte("permanent")) }, true, "d"},
		{"and leave", func() bool { return h.Unsubscribe(a, []byte("permanent")) }, true, "d"},
		{"leave all", func() bool { b.Leave(); return true }, true, ""},
	}
	for _, step := range steps {
		if got := step.do(); got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
		live := strings.Fields(step.live)
		if got := h.Len(); got != len(live)+1 {
			t.Errorf("%s: got %d channels, want %d", step.name, got, len(live)+1)
		}
		for _, name := range []string{"c", "d", "e", "permanent"} {
			want := name == "permanent" || slices.Contains(live, name)
			if got := exists(h, name); got != want {
				t.Errorf("%s: channel %s: got %v, want %v", step.name, name, got, want)
			}
			err := put(h, Refuse, name, []byte("x"))
			if got := !errors.Is(err, ErrNoChannel); got != want {
				t.Errorf("%s: Publish to %s: got %v", step.name, name, err)
			}
		}
		checkHub(t, h)
	}
	s.rest()
	other.rest()
	if s.shard.backlog.Load() != 0 || other.shard.backlog.Load() != 0 {
		t.Errorf("backlog: got %d and %d, want 0", s.shard.backlog.Load(), other.shard.backlog.Load())
	}
}

// Channels that are permanent no more are gone unless somebody hears them, and
// the others are there from then on. One that stays is the one that it was, with
// its numbers.
func TestPermanentChannelsReplaced(t *testing.T) {
	h, s := newHub("stays", "goes", "heard"), newSink(t)
	s.members(h, "heard", 1)
	s.members(h, "joins", 1)
	publish(t, h, "stays", "x")
	for _, step := range []struct {
		name      string
		permanent []string
		want      []string
	}{
		{"others", []string{"stays", "new", "joins"}, []string{"heard", "joins", "new", "stays"}},
		{"the same", []string{"stays", "new", "joins"}, []string{"heard", "joins", "new", "stays"}},
		{"one twice", []string{"stays", "stays"}, []string{"heard", "joins", "stays"}},
		{"none", nil, []string{"heard", "joins"}},
	} {
		h.SetPermanent(step.permanent...)
		found, total := h.Channels("", ByName, 9)
		var got []string
		for _, c := range found {
			got = append(got, c.Name)
			if want := slices.Contains(step.permanent, c.Name); c.Permanent != want {
				t.Errorf("%s: %s is permanent: got %t, want %t", step.name, c.Name, c.Permanent, want)
			}
			if c.Name == "stays" && (c.Published != 1 || c.Bytes != 1) {
				t.Errorf("%s: got %+v, want one event of a byte", step.name, c)
			}
			if heard := c.Name == "heard" || c.Name == "joins"; heard != (c.Subscribers == 1) {
				t.Errorf("%s: got %+v", step.name, c)
			}
		}
		if !slices.Equal(got, step.want) || total != len(got) || h.Len() != len(got) {
			t.Errorf("%s: got %q, %d in all and a Len of %d, want %q", step.name, got, total, h.Len(), step.want)
		}
		checkHub(t, h)
	}
}

// Loops that make channels at the same moment keep to the limit.
func TestLimitOfChannels(t *testing.T) {
	const shards, limit = 4, 3
	h := newHub("permanent")
	var end sync.WaitGroup
	for i := range shards {
		sub, name := newSink(t).subscriber(1), fmt.Appendf(nil, "of %d", i)
		end.Go(func() {
			for range 20_000 {
				fresh, err := h.Subscribe(limit, sub, name)
				if fresh == (err != nil) || err != nil && !errors.Is(err, ErrFull) {
					t.Errorf("got %v, %v", fresh, err)
				}
				if n := h.Len(); n > limit {
					t.Errorf("got %d channels, want at most %d", n, limit)
				}
				h.Unsubscribe(sub, name)
			}
		})
	}
	end.Wait()
	s := newSink(t).subscriber(1)
	for i, want := range []error{nil, nil, ErrFull} {
		if fresh, err := h.Subscribe(limit, s, fmt.Append(nil, i)); fresh != (want == nil) || err != want {
			t.Errorf("channel %d: got %v, %v, want %v", i, fresh, err, want)
		}
	}
	for _, name := range []string{"permanent", "1"} { // that are there
		if _, err := h.Subscribe(limit, s, []byte(name)); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	checkHub(t, h)
}

func TestEveryShardHearsTheSameOrder(t *testing.T) {
	h := newHub()
	var sinks []*sink
	var want []string
	for range 3 {
		s := newSink(t)
		s.members(h, "c", 2)
		sinks = append(sinks, s)
	}
	for i := range 10 {
		f := strconv.Itoa(i)
		want = append(want, f)
		publish(t, h, "c", f)
		sinks[i%3].work(1)
	}
	for i, s := range sinks {
		s.rest()
		for id := range uint64(2) {
			if !slices.Equal(s.heard[id], want) {
				t.Errorf("shard %d, member %d: got %v, want %v", i, id, s.heard[id], want)
			}
		}
	}
}

// FuzzHub does what it reads in the input, two bytes for each step, and holds
// what everybody hears against a model.
func FuzzHub(f *testing.F) {
	f.Add([]byte("\x00\x00\x30\x00\x41\x01"))
	f.Add([]byte("\x00\x00\x00\x01\x00\x02\x00\x03\x30\x00\x30\x01\x40\x01\x10\x00\x00\x00\x40\x01\x20\x03\x30\x10\x40\x00"))
	f.Add([]byte("\x00\x00\x30\x00\x60\x06\x30\x00\x31\x00\x50\x00\x60\x04\x31\x00\x32\x00\x40\x00"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		m := newModel(t)
		for range min(len(steps)/2, 300) {
			m.step(steps[0], steps[1])
			steps = steps[2:]
		}
		m.end()
	})
}

var modelChannels = []string{"a", "b", "c", "permanent"}

const modelShards, modelMembers = 3, 12

// model is the hub's promise: a subscription hears a gapless piece of what its
// channel was given. The piece begins behind what the subscriber had before,
// not before the frames that its shard had done with, and not after the
// subscription; it ends with the subscription.
type model struct {
	t     *testing.T
	hub   *Hub
	sinks []*sink
	subs  []*Subscriber
	log   map[string][]string         // frames of each channel
	out   map[string][]int            // the member that does not get each of them, or -1
	named []string                    // channels that are permanent
	done  [modelShards]map[string]int // how many of them were there when the shard was idle
	heard []map[string]*piece         // by subscriber and channel
	read  []int                       // frames in the sink's record that are checked
}

// piece is a part of a channel's log: what comes next is in [from, to].
type piece struct {
	from, to int
	begun    bool // something has come, and from is next
	member   bool
}

func newModel(t *testing.T) *model {
	m := &model{t: t, hub: newHub("permanent"), log: map[string][]string{}, out: map[string][]int{}, named: []string{"permanent"}, read: make([]int, modelMembers)}
	for i := range m.done {
		s := newSink(t)
		s.several = func(id uint64) bool { return m.subs[id].Len() > 1 }
		m.sinks = append(m.sinks, s)
		m.done[i] = map[string]int{}
	}
	for id := range uint64(modelMembers) {
		sub := m.sinks[id%modelShards].subscriber(id)
		sub.SetForm(modelForm(int(id)))
		m.subs = append(m.subs, sub)
		m.heard = append(m.heard, map[string]*piece{})
	}
	return m
}

// modelForm is the form that a member hears. Every shard has both.
func modelForm(id int) Form { return Form(id / modelShards % 2) }

func (m *model) step(op, arg byte) {
	id := int(arg) % modelMembers
	channel := modelChannels[int(op)%len(modelChannels)]
	switch op >> 4 % 7 {
	case 0, 1:
		m.subscribe(id, channel)
	case 2:
		if got := m.hub.Unsubscribe(m.subs[id], []byte(channel)); got != m.piece(id, channel).member {
			m.t.Errorf("Unsubscribe(%d, %s): got %v", id, channel, got)
		}
		m.piece(id, channel).member = false
	case 3:
		m.publish(channel, arg)
	case 4:
		m.work(int(arg)%modelShards, int(arg)/modelShards%8)
	case 5:
		m.subs[id].Leave()
		for _, c := range modelChannels {
			m.piece(id, c).member = false
		}
	case 6:
		m.named = nil
		for i, c := range modelChannels {
			if arg>>i&1 != 0 {
				m.named = append(m.named, c)
			}
		}
		m.hub.SetPermanent(m.named...)
	}
	checkHub(m.t, m.hub)
}

func (m *model) piece(id int, channel string) *piece {
	p := m.heard[id][channel]
	if p == nil {
		p = new(piece)
		m.heard[id][channel] = p
	}
	return p
}

func (m *model) subscribe(id int, channel string) {
	p := m.piece(id, channel)
	if got := subscribe(m.hub, m.subs[id], []byte(channel)); got == p.member {
		m.t.Errorf("Subscribe(%d, %s): got %v", id, channel, got)
	}
	if !p.member {
		*p = piece{from: max(p.from, m.done[id%modelShards][channel]), to: len(m.log[channel]), member: true}
	}
}

func (m *model) publish(channel string, arg byte) {
	frame := fmt.Sprintf("%s%d.", channel, len(m.log[channel]))
	if arg%16 == 0 {
		frame += strings.Repeat("x", runMax/3)
	}
	flow := Refuse
	if arg%2 == 0 {
		flow = Slowing(m.sinks[arg%modelShards].shard)
	}
	// Every third message has two forms.
	message := Message{Channel: []byte(channel), Data: []byte(frame)}
	if len(m.log[channel])%3 == 0 {
		message.Event = []byte("both")
	}
	// Some are not for one member, wherever it is.
	out := -1
	if arg%5 > 2 {
		out = int(arg) % modelMembers
		message.Except = m.subs[out]
	}
	_, err := m.hub.Publish(message, flow)
	exists := slices.Contains(m.named, channel)
	for id := range m.subs {
		exists = exists || m.piece(id, channel).member
	}
	switch {
	case errors.Is(err, ErrOverloaded) && flow == Refuse:
	case !exists && errors.Is(err, ErrNoChannel):
	case exists && err == nil:
		m.log[channel] = append(m.log[channel], frame)
		m.out[channel] = append(m.out[channel], out)
	default:
		m.t.Errorf("Publish(%s): got %v, and it exists: %v", channel, err, exists)
	}
}

func (m *model) work(shard, slice int) {
	state := m.sinks[shard].work(slice)
	for id := shard; id < modelMembers; id += modelShards {
		got := m.sinks[shard].heard[uint64(id)]
		for _, frame := range got[m.read[id]:] {
			m.hear(id, frame)
		}
		m.read[id] = len(got)
	}
	if state == Idle {
		m.idle(shard)
	}
}

func (m *model) hear(id int, frame string) {
	head, _, _ := strings.Cut(frame, ".")
	channel := strings.TrimRight(head, "0123456789")
	n, _ := strconv.Atoi(head[len(channel):])
	channel, deflated := strings.CutPrefix(channel, "+")
	if want := n%3 == 0 && modelForm(id) == 1; deflated != want {
		m.t.Errorf("%d heard %s, want the other form: %v", id, head, want)
	}
	p := m.piece(id, channel)
	p.from, p.to = m.skip(id, channel, p.from), m.skip(id, channel, p.to)
	if m.out[channel][n] == id {
		m.t.Errorf("%d heard %s, which is not for it", id, head)
	}
	if !p.member || n < p.from || p.begun && n > p.from || n > max(p.from, p.to) {
		m.t.Errorf("%d heard %s; member %v, from %d to %d", id, head, p.member, p.from, p.to)
	}
	p.begun, p.from = true, n+1
}

// skip returns the number of the first frame of a channel from n on that is for a
// member.
func (m *model) skip(id int, channel string, n int) int {
	for n < len(m.out[channel]) && m.out[channel][n] == id {
		n++
	}
	return n
}

// idle checks that nothing is missing on a shard that says so.
func (m *model) idle(shard int) {
	for channel, log := range m.log {
		m.done[shard][channel] = len(log)
		for id := shard; id < modelMembers; id += modelShards {
			p := m.piece(id, channel)
			p.from, p.to = m.skip(id, channel, p.from), m.skip(id, channel, p.to)
			if p.member && p.from < len(log) && (p.begun || p.to < len(log)) {
				m.t.Errorf("%d has heard up to %s%d of %d", id, channel, p.from, len(log))
			}
			p.from = len(log)
		}
	}
	if got := m.sinks[shard].shard.backlog.Load(); got != 0 {
		m.t.Errorf("shard %d is idle with a backlog of %d", shard, got)
	}
}

func (m *model) end() {
	for shard := range m.sinks {
		m.sinks[shard].inWork = nil
		m.work(shard, 0)
		m.work(shard, 0)
	}
	for _, sub := range m.subs {
		sub.Leave()
	}
	if m.hub.Len() != len(m.named) {
		m.t.Errorf("got %d channels after all left, want %q", m.hub.Len(), m.named)
	}
	for i, s := range m.sinks {
		s.rest()
		if got := s.shard.backlog.Load(); got != 0 {
			m.t.Errorf("shard %d: got a backlog of %d, want 0", i, got)
		}
	}
}

// Loops and publishers at the same time: members that stay hear every
// publisher's frames in order and once, while others come and go.
func TestConcurrent(t *testing.T) {
	const (
		loops, publishers, channels = 3, 4, 5
		frames                      = 500 // of each publisher to each channel
		steady, fickle              = 4, 4
	)
	h := newHub()
	var ready, publishing, running sync.WaitGroup
	var quiet atomic.Bool // nothing is published any more
	ready.Add(loops)
	for range loops {
		running.Go(func() {
			wake := make(chan struct{}, 1)
			s := &loopSink{wake: wake, heard: make(map[uint64]map[string]int)}
			shard := NewShard(s)
			var stay, move []*Subscriber
			for id := range uint64(steady + fickle) {
				sub := new(Subscriber)
				sub.Init(shard, id)
				s.heard[id] = map[string]int{}
				for c := range channels {
					subscribe(h, sub, []byte(strconv.Itoa(c)))
				}
				if id < steady {
					stay = append(stay, sub)
				} else {
					move = append(move, sub)
				}
			}
			ready.Done()
			for turn := 0; ; turn++ {
				final := quiet.Load() // before Work: it sees all then
				state := shard.Work()
				sub, c := move[turn%fickle], []byte(strconv.Itoa(turn%channels))
				if !h.Unsubscribe(sub, c) {
					subscribe(h, sub, c)
				}
				if final && state == Idle {
					break
				}
				if state == Idle {
					<-wake
				}
			}
			for id := range uint64(steady) {
				for key, n := range s.heard[id] {
					if n != frames {
						t.Errorf("member %d heard %d of %s, want %d", id, n, key, frames)
					}
				}
				if got := len(s.heard[id]); got != publishers*channels {
					t.Errorf("member %d heard %d publishers and channels, want %d", id, got, publishers*channels)
				}
			}
			for _, err := range s.errs {
				t.Error(err)
			}
			for _, sub := range slices.Concat(stay, move) {
				sub.Leave()
			}
			shard.Work()
			if got := shard.backlog.Load(); got != 0 {
				t.Errorf("backlog: got %d, want 0", got)
			}
			s.closed.Store(true)
		})
	}
	ready.Wait()
	for p := range publishers {
		publishing.Go(func() {
			for i := range frames {
				for c := range channels {
					frame := fmt.Appendf(nil, "%d/%d %d\n", p, c, i+1)
					for errors.Is(put(h, Refuse, strconv.Itoa(c), frame), ErrOverloaded) {
					}
				}
			}
		})
	}
	publishing.Wait()
	quiet.Store(true)
	for c := range channels { // a last frame wakes every loop
		if err := put(h, Refuse, strconv.Itoa(c), []byte("\n")); err != nil && !errors.Is(err, ErrNoChannel) {
			t.Error(err)
		}
	}
	running.Wait()
	if h.Len() != 0 {
		t.Errorf("got %d channels after all left, want none", h.Len())
	}
}

// loopSink counts what its members hear of each publisher on each channel.
type loopSink struct {
	wake   chan struct{}
	heard  map[uint64]map[string]int
	errs   []error
	calls  int
	closed atomic.Bool
}

func (s *loopSink) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *loopSink) Deliver(ids []uint64, run *delivery.Run) int {
	s.calls++
	n := len(ids)
	if s.calls%3 == 0 {
		n = 1 + s.calls%n
	}
	for _, id := range ids[:n] {
		for line := range strings.Lines(string(run.Joined)) {
			s.hear(id&^delivery.Several, line)
		}
	}
	return n
}

func (s *loopSink) hear(id uint64, line string) {
	key, number, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		return
	}
	n, _ := strconv.Atoi(number)
	last := s.heard[id][key]
	if n <= last || id < 4 && n != last+1 {
		s.errs = append(s.errs, fmt.Errorf("member %d heard %s %d after %d", id, key, n, last))
	}
	s.heard[id][key] = n
}

// nothing is a sink that does nothing.
type nothing struct{}

func (nothing) Wake() {}

func (nothing) Deliver(ids []uint64, _ *delivery.Run) int {
	return len(ids)
}

func BenchmarkPublish(b *testing.B) {
	for _, members := range []int{1, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			h, shard := newHub(), NewShard(nothing{})
			for id := range uint64(members) {
				sub := new(Subscriber)
				sub.Init(shard, id)
				subscribe(h, sub, []byte("news"))
			}
			name, frame := []byte("news"), make([]byte, 100)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Publish(Message{Channel: name, Data: frame}, Slowing(shard)); err != nil {
					b.Fatal(err)
				}
				shard.Work()
			}
		})
	}
}

// BenchmarkPublishRun is what one frame costs among a hundred of a turn.
func BenchmarkPublishRun(b *testing.B) {
	h, shard := newHub(), NewShard(nothing{})
	for id := range uint64(1000) {
		sub := new(Subscriber)
		sub.Init(shard, id)
		subscribe(h, sub, []byte("news"))
	}
	name, frame := []byte("news"), make([]byte, 100)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		_, _ = h.Publish(Message{Channel: name, Data: frame}, Slowing(shard))
		if n++; n%100 == 0 {
			shard.Work()
		}
	}
}

func BenchmarkSubscribe(b *testing.B) {
	for _, members := range []int{0, 1000} {
		b.Run(fmt.Sprintf("beside=%d", members), func(b *testing.B) {
			h, shard := newHub(), NewShard(nothing{})
			for id := range uint64(members) {
				sub := new(Subscriber)
				sub.Init(shard, id)
				subscribe(h, sub, []byte("news"))
			}
			sub := new(Subscriber)
			sub.Init(shard, uint64(members))
			name := []byte("news")
			b.ReportAllocs()
			for b.Loop() {
				subscribe(h, sub, name)
				h.Unsubscribe(sub, name)
			}
		})
	}
}

// named is a Sink that notes the names of events beside their frames.
type named struct{ got []string }

func (n *named) Wake() {}

func (n *named) Deliver(ids []uint64, run *delivery.Run) int {
	for _, item := range run.Items {
		n.got = append(n.got, item.Channel+" "+item.Event+" "+string(item.Frame))
	}
	return len(ids)
}

// A hub that is asked for it gives the name of each event with its frame.
func TestKeepEvents(t *testing.T) {
	for _, keep := range []bool{false, true} {
		sink := &named{}
		shard := NewShard(sink)
		h := newHub()
		if keep {
			h.KeepEvents()
		}
		var s Subscriber
		s.Init(shard, 1)
		subscribe(h, &s, []byte("c"))
		var want []string
		for round := range 3 {
			for i := range 100 {
				event, frame := fmt.Sprint("e", i), fmt.Sprint(round, " ", i)
				m := Message{Channel: []byte("c"), Event: []byte(event), Data: []byte(frame)}
				if _, err := h.Publish(m, Refuse); err != nil {
					t.Fatal(err)
				}
				if !keep {
					event = ""
				}
				want = append(want, "c "+event+" "+frame)
			}
			shard.Work()
		}
		if !slices.Equal(sink.got, want) {
			t.Errorf("keep %t: got %q, want %q", keep, sink.got, want)
		}
		s.Leave()
	}
}

// What was published before the hub was asked for names has none, and each name
// stays with its frame.
func TestKeepEventsFromNowOn(t *testing.T) {
	sink, h := &named{}, newHub()
	shard := NewShard(sink)
	var s Subscriber
	s.Init(shard, 1)
	subscribe(h, &s, []byte("c"))
	publish := func(event, frame string) {
		t.Helper()
		m := Message{Channel: []byte("c"), Event: []byte(event), Data: []byte(frame)}
		if _, err := h.Publish(m, Refuse); err != nil {
			t.Fatal(err)
		}
	}
	publish("e1", "1")
	publish("e2", "2")
	h.KeepEvents()
	publish("e3", "3")
	publish("e4", "4")
	shard.Work()
	if want := []string{"c  1", "c  2", "c e3 3", "c e4 4"}; !slices.Equal(sink.got, want) {
		t.Errorf("got %q, want %q", sink.got, want)
	}
}
