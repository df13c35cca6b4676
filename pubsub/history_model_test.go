package pubsub

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// historyForms gives a hub four forms: 0 and 2 are kept, 1 is costly and made of 0, 3
// is made of 1. A frame is a mark, the channel, the offset and the data. Form 2 leaves
// the event "hidden" out.
func historyForms(h *Hub) {
	encode := func(mark string) func(Message, []byte) []byte {
		return func(m Message, _ []byte) []byte {
			if mark == "~" && string(m.Event) == "hidden" {
				return nil
			}
			b := make([]byte, 0, 32+len(m.Data))
			b = append(append(b, mark...), m.Channel...)
			b = strconv.AppendUint(append(b, ':'), m.Offset, 10)
			return append(append(b, ':'), m.Data...)
		}
	}
	h.AddForm(Encoding{Base: Itself, Kept: true, Encode: encode("")})
	h.AddForm(Encoding{
		Base: 0, Costly: true,
		Encode: func(m Message, base []byte) []byte {
			if m.Offset != Later {
				return append([]byte("+"), base...)
			}
			return append(append([]byte("+"), m.Channel...), ':')
		},
		Stamp: func(frame []byte, offset uint64) []byte {
			return append(strconv.AppendUint(frame, offset, 10), ':')
		},
	})
	h.AddForm(Encoding{Base: Itself, Kept: true, Encode: encode("~")})
	h.AddForm(Encoding{Base: 0, Encode: func(_ Message, base []byte) []byte { return append([]byte("-"), base...) }})
}

// parse reads a frame of historyForms.
func parse(frame []byte) (mark, channel string, offset uint64) {
	head, rest, _ := strings.Cut(string(frame), ":")
	number, _, _ := strings.Cut(rest, ":")
	offset, _ = strconv.ParseUint(number, 10, 64)
	channel = strings.TrimLeft(head, "+~-")
	return head[:len(head)-len(channel)], channel, offset
}

// FuzzHistory does what it draws from a seed, or reads in the input, and holds every
// message against what a client knows: its position.
func FuzzHistory(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed, []byte(nil))
	}
	steps, enough := 3500, 100
	if raceDetector {
		steps, enough = 350, 1
	}
	var sum historyCounts
	f.Fuzz(func(t *testing.T, seed uint64, input []byte) {
		m := newHistoryModel(t, seed, input)
		for m.steps = 0; m.steps < steps && !m.ended && !t.Failed(); m.steps++ {
			m.step()
		}
		m.end()
		sum.add(&m.historyCounts)
	})
	f.Cleanup(func() {
		if sum.steps > 100_000 && flag.Lookup("test.fuzz").Value.String() == "" {
			f.Logf("%+v", sum)
			for what, n := range map[string]int{
				"events": sum.events, "recoveries with a replay": sum.replayed, "losses told": sum.lost, "members above base": sum.early,
				"positions expired": sum.expired, "channels forgotten": sum.forgotten, "pages": sum.pages, "panics": sum.panics, "evictions": sum.evicted,
				"queues that were full": sum.fallen,
			} {
				if n < enough {
					f.Errorf("%s: got %d, so this is not tested", what, n)
				}
			}
		}
	})
}

// historyCounts tells what a run has met.
type historyCounts struct {
	steps, events, lost, replayed, early, expired, forgotten, pages, panics, evicted, fallen int
}

func (c *historyCounts) add(o *historyCounts) {
	c.steps += o.steps
	c.events += o.events
	c.lost += o.lost
	c.replayed += o.replayed
	c.early += o.early
	c.expired += o.expired
	c.forgotten += o.forgotten
	c.pages += o.pages
	c.panics += o.panics
	c.evicted += o.evicted
	c.fallen += o.fallen
}

// A view is what a client knows of a channel: its position.
type view struct {
	position   uint64
	subscribed bool
	whole      bool            // what it missed was pending: nothing of it may be lost
	fall       uint64          // the first message that it was given and dropped, which the hub does not know yet
	excepted   map[uint64]bool // messages that it was left out of
}

// A client is one connection.
type client struct {
	id    uint64
	loop  *historySink
	form  Form
	sub   *Subscriber
	views map[string]*view
}

type historyModel struct {
	t     *testing.T
	seed  uint64
	input []byte
	ended bool
	calm  bool // all clients read
	r     *rand.Rand

	hub      *Hub
	history  History
	channels []string
	loops    []*historySink
	clients  map[uint64]*client
	users    []*client // the present connection of each
	ids      uint64
	now      time.Duration
	top      map[string]uint64
	sent     map[string]map[uint64]time.Duration // when each offset was published
	hidden   map[string]map[uint64]bool          // those that form 2 leaves out

	historyCounts
}

func newHistoryModel(t *testing.T, seed uint64, input []byte) *historyModel {
	m := &historyModel{
		t: t, seed: seed, input: input, r: rand.New(rand.NewPCG(seed, 1)), hub: NewHub(),
		clients: map[uint64]*client{}, users: make([]*client, 6),
		top: map[string]uint64{}, sent: map[string]map[uint64]time.Duration{},
		hidden: map[string]map[uint64]bool{},
	}
	historyForms(m.hub)
	m.channels = collide(m.hub, 2, 2)
	for _, c := range m.channels {
		m.sent[c], m.hidden[c] = map[uint64]time.Duration{}, map[uint64]bool{}
	}
	m.setHistory()
	for range 3 {
		s := &historySink{m: m, blocked: map[uint64]bool{}}
		s.shard = NewShard(s)
		m.loops = append(m.loops, s)
	}
	for u := range m.users {
		m.connect(u)
	}
	return m
}

// collide returns the names of n channels in each of so many stripes.
func collide(h *Hub, stripes, n int) []string {
	var names []string
	count := map[*stripe]int{}
	for i := 0; len(names) < stripes*n; i++ {
		name := fmt.Sprint("c", i)
		st := h.stripe([]byte(name))
		if count[st] == 0 && len(count) == stripes || count[st] == n {
			continue
		}
		count[st]++
		names = append(names, name)
	}
	return names
}

// choose returns a number below n: from the input, and if there is none, by the seed.
func (m *historyModel) choose(n int) int {
	if len(m.input) == 0 {
		return m.r.IntN(n)
	}
	b := int(m.input[0])
	m.input = m.input[1:]
	m.ended = len(m.input) == 0
	return b % n
}

func (m *historyModel) one(n int) bool { return m.choose(n) == 0 }

func (m *historyModel) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d, step %d: %s", m.seed, m.steps, fmt.Sprintf(format, args...))
}

func (m *historyModel) step() {
	channel := m.channels[m.choose(len(m.channels))]
	c := m.users[m.choose(len(m.users))]
	switch n := m.choose(40); {
	case n < 16:
		m.publish(channel)
	case n < 24:
		m.work(m.choose(3), m.choose(5))
	case n < 30:
		m.subscribe(c, channel)
	case n < 32:
		m.hub.Unsubscribe(c.sub, []byte(channel))
		c.view(channel).subscribed = false
	case n < 34:
		m.connect(m.choose(len(m.users)))
	case n < 36:
		c.loop.toggle(c)
	case n < 37:
		m.page(channel)
	case n < 38:
		m.fall(c, channel)
	default:
		m.rare()
	}
	m.check()
}

func (m *historyModel) rare() {
	switch m.choose(14) {
	case 0:
		m.setHistory()
	case 1:
		m.hub.LimitHistory(int64(1) << (9 + m.choose(10)))
	case 2:
		m.loops[m.choose(3)].panics = true
	case 3, 4:
		if kept := m.hub.stripe([]byte(m.channels[m.choose(len(m.channels))])).kept; kept != nil {
			kept.ended.age() // as if very many other channels had ended
		}
	default:
		m.now += time.Duration(m.choose(2000)) * time.Millisecond
		before := m.hub.Len()
		m.hub.Sweep(m.now + time.Duration(m.steps)*sweepRound) // a whole round, unless nothing is too old
		m.forgotten += before - m.hub.Len()
	}
}

func (m *historyModel) setHistory() {
	m.history = History{Size: []int{1, 3, 8, 50, 1000}[m.choose(5)], TTL: 3 * time.Second, Bytes: []int64{0, 0, 200}[m.choose(3)]}
	m.hub.SetHistory(func(string) History { return m.history })
}

func (c *client) view(channel string) *view {
	v := c.views[channel]
	if v == nil {
		v = &view{excepted: map[uint64]bool{}}
		c.views[channel] = v
	}
	return v
}

// connect replaces a user's connection with one on any loop, which takes over what the
// client knows.
func (m *historyModel) connect(user int) {
	m.ids++
	c := &client{id: m.ids, loop: m.loops[m.choose(3)], form: Form(m.choose(4)), sub: new(Subscriber), views: map[string]*view{}}
	c.sub.Init(c.loop.shard, c.id)
	c.sub.SetForm(c.form)
	m.clients[c.id] = c
	old := m.users[user]
	m.users[user] = c
	if old == nil {
		return
	}
	old.sub.Leave()
	delete(m.clients, old.id)
	for _, channel := range m.channels { // in order, so that a seed does the same each time
		v := old.view(channel)
		c.view(channel).position = v.position
		if v.subscribed && !m.one(4) {
			m.subscribe(c, channel)
		}
	}
}

func (m *historyModel) subscribe(c *client, channel string) {
	v := c.view(channel)
	start := Start{Now: m.now, Strict: m.one(6)}
	switch m.choose(6) {
	case 0:
	case 1:
		start.Rewind = 1 + m.choose(8)
	case 2:
		start.Since, start.Rewind = Position{m.hub.Epoch(), v.position}, 3
	default:
		start.Since = Position{m.hub.Epoch(), v.position}
	}
	switch m.choose(40) {
	case 0:
		start.Since = Position{m.hub.Epoch(), m.top[channel] + 100_000}
	case 1:
		start.Since.Epoch = "another"
	}
	b, err := m.hub.SubscribeFrom(math.MaxInt, c.sub, []byte(channel), start)
	if errors.Is(err, ErrNotRecovered) {
		if !start.Strict || b.Recovered || m.hub.Subscribed(c.sub, []byte(channel)) {
			m.fatalf("strict: %+v, %+v", start, b)
		}
		v.subscribed = false
		return
	}
	m.began(c, v, channel, start, b)
	v.position, v.subscribed = b.Offset, true
}

// began checks what a subscription was told when it began.
func (m *historyModel) began(c *client, v *view, channel string, start Start, b Begun) {
	since := start.Since.Epoch != ""
	switch {
	case b.Epoch != m.hub.Epoch() || b.Fresh == v.subscribed:
		m.fatalf("got %+v, and it was a member: %v", b, v.subscribed)
	case b.Top < m.top[channel] || b.Offset > b.Top:
		m.fatalf("got %+v with the top at %d", b, m.top[channel])
	case b.Recovered != (since && b.Reason == "") || b.Recovered && b.Offset != start.Since.Offset:
		m.fatalf("got %+v for %+v", b, start)
	case b.Reason == ReasonAhead && start.Since.Offset <= m.top[channel],
		b.Reason == ReasonEpoch && start.Since.Epoch == m.hub.Epoch():
		m.fatalf("got %+v for %+v with the top at %d", b, start, m.top[channel])
	}
	if v.subscribed && !start.asks() {
		m.skip(c, channel, b.Offset+1)
		if b.Offset != v.position {
			m.fatalf("%d in %s is told position %d and has %d", c.id, channel, b.Offset, v.position)
		}
		return
	}
	for o := b.Offset + 1; o <= b.Top; o++ {
		if _, was := m.sent[channel][o]; !was {
			m.fatalf("got %+v, and there is no %d", b, o)
		}
	}
	if b.Reason == ReasonExpired {
		m.expired++
	}
	if b.Recovered && b.Offset < b.Top {
		m.replayed++
	}
	v.whole = b.Offset >= m.channel(channel).seated(c.sub.seat).base
}

// skip moves a client's position over messages that it was left out of, up to the one
// before offset.
func (m *historyModel) skip(c *client, channel string, offset uint64) {
	v := c.view(channel)
	for v.position+1 < offset && (v.excepted[v.position+1] || c.form == 2 && m.hidden[channel][v.position+1]) {
		v.position++
	}
}

func (m *historyModel) channel(name string) *channel {
	return m.hub.stripe([]byte(name)).channels[name]
}

func (m *historyModel) publish(channel string) {
	message := Message{Channel: []byte(channel), At: m.now}
	if m.one(12) {
		message.Data = bytes.Repeat([]byte("x"), runMax/3)
	}
	flow := Always
	if m.one(2) {
		flow = Slowing(m.loops[m.choose(3)].shard)
	}
	if m.one(10) {
		message.Event = []byte("hidden")
	}
	var left *client
	if m.one(8) {
		left = m.users[m.choose(len(m.users))]
		message.Except = left.sub
	}
	p, err := m.hub.Publish(message, flow)
	switch {
	case err != nil:
		m.fatalf("Publish: %v", err)
	case p.Offset <= m.top[channel]:
		m.fatalf("offset %d of %s comes again, after %d", p.Offset, channel, m.top[channel])
	}
	if left != nil {
		left.view(channel).excepted[p.Offset] = true
	}
	m.hidden[channel][p.Offset] = message.Event != nil
	m.top[channel] = p.Offset
	m.sent[channel][p.Offset] = m.now
}

func (m *historyModel) work(loop, slice int) State {
	s := m.loops[loop]
	s.left = slice
	defer func() {
		defer m.fallBack(s)
		if s.panicked {
			s.panicked = false
			m.panics++
			_ = recover()
			for _, c := range m.users {
				for _, v := range c.views {
					v.whole = v.whole && c.loop != s // a run was given up
				}
			}
		}
	}()
	return s.shard.Work()
}

// heard is a frame that comes to a client.
func (m *historyModel) heard(id uint64, item *delivery.Item) {
	mark, channel, offset := parse(item.Frame)
	c := m.clients[id]
	if c == nil {
		m.fatalf("%d is gone and hears %q", id, item.Frame)
	}
	v := c.view(channel)
	if v.fall > 0 {
		return // it has no room for that
	}
	switch want := []string{"", "+", "~", "-"}[c.form]; {
	case !v.subscribed:
		m.fatalf("%d hears %s without a subscription", id, channel)
	case channel != item.Channel || offset != item.Offset:
		m.fatalf("the item says %s and %d, the frame %.20q", item.Channel, item.Offset, item.Frame)
	case mark != want && (mark != "" || c.form == 2):
		m.fatalf("%d hears form %d as %.20q", id, c.form, item.Frame)
	}
	m.skip(c, channel, offset)
	if offset != v.position+1 {
		m.fatalf("%d in %s: got %d after %d", id, channel, offset, v.position)
	}
	v.position = offset
	m.events++
	if !m.calm && m.one(50) { // its queue is full: it gives back some of what it was given
		v.fall = offset - min(offset-1, uint64(m.choose(4)))
		v.position = v.fall - 1
	}
}

// fallBack tells the hub, after Work, what the clients of a loop had no room for.
func (m *historyModel) fallBack(s *historySink) {
	for _, c := range m.users {
		for _, channel := range m.channels {
			v := c.view(channel)
			if v.fall == 0 {
				continue
			}
			if c.loop != s || !m.hub.FallBehind(c.sub, []byte(channel), v.fall) {
				m.fatalf("%d cannot have %d of %s again", c.id, v.fall, channel)
			}
			v.fall, v.whole = 0, false
			m.fallen++
		}
	}
}

// lose is a notice that comes to a client.
func (m *historyModel) lose(id uint64, l delivery.Lost) {
	v := m.clients[id].view(l.Channel)
	if v.fall > 0 {
		return // it will be given that, or be told
	}
	m.skip(m.clients[id], l.Channel, l.Offset-l.N+1)
	switch {
	case v.whole && l.N > 0:
		m.fatalf("%d in %s: lost %d that were pending", id, l.Channel, l.N)
	case l.N > 0 && v.position+l.N != l.Offset, l.Offset < v.position:
		m.fatalf("%d in %s: is at %d, lost %+v", id, l.Channel, v.position, l)
	}
	v.position = l.Offset
	v.whole = false
	m.lost++
}

// page reads a part of the history.
func (m *historyModel) page(channel string) {
	q := Query{Limit: m.choose(6), Form: []Form{0, 1, 3}[m.choose(3)], Now: m.now, Bytes: []int{0, 100}[m.choose(2)]}
	at := Position{m.hub.Epoch(), m.top[channel] - min(m.top[channel], uint64(m.choose(10)))}
	kind := m.choose(3)
	switch kind {
	case 1:
		q.Since = at
	case 2:
		q.Until = at
	}
	p, err := m.hub.History([]byte(channel), q)
	m.pages++
	if p.Top < m.top[channel] || p.First > p.Top+1 {
		m.fatalf("got %+v with the top at %d", p, m.top[channel])
	}
	if err != nil {
		if !errors.Is(err, ErrNotRecovered) || kind == 0 || p.Reason != ReasonExpired || at.Offset+1 >= p.First {
			m.fatalf("got %+v, %v for %+v", p, err, q)
		}
		return
	}
	for i, item := range p.Items {
		mark, name, offset := parse(item.Frame)
		age := m.now - m.sent[channel][offset]
		if name != channel || offset != item.Offset || mark != "" ||
			i > 0 && offset != p.Items[i-1].Offset+1 || offset < p.First || age >= m.history.TTL+time.Second {
			m.fatalf("got %.20q at %d of %+v, %v old", item.Frame, i, q, age)
		}
	}
	n := uint64(len(p.Items))
	switch from, to := p.First, p.Top; {
	case len(p.Items) > q.Limit:
		m.fatalf("got %d for %+v", n, q)
	case kind == 1:
		from = at.Offset + 1
		if n > 0 && p.Items[0].Offset != from || p.More != (from+n <= to) {
			m.fatalf("since: got %+v for %+v", p, q)
		}
	default:
		if kind == 2 {
			to = at.Offset
		}
		if n > 0 && p.Items[n-1].Offset != to || p.More != (to >= from+n) {
			m.fatalf("until: got %+v for %+v", p, q)
		}
	}
}

// fall makes a member give back what it has had last.
func (m *historyModel) fall(c *client, channel string) {
	v := c.view(channel)
	next := v.position - min(v.position, uint64(m.choose(4)))
	if m.one(8) {
		next = m.top[channel] + 1
	}
	want := v.subscribed && next > 0 && next <= v.position
	if got := m.hub.FallBehind(c.sub, []byte(channel), next); got != want {
		m.fatalf("FallBehind to %d from %d: got %v, want %v", next, v.position, got, want)
	}
	if want {
		v.position, v.whole = next-1, false
	}
}

// check holds the invariant: what is taken and what is pending make the top.
func (m *historyModel) check() {
	for _, name := range m.channels {
		ch := m.channel(name)
		if ch == nil {
			continue
		}
		for _, a := range ch.audiences {
			pending := a.pending[a.taken:]
			if a.base+uint64(len(pending)) != ch.log.top && a.form != 2 {
				m.fatalf("%s: base %d, %d pending, top %d", name, a.base, len(pending), ch.log.top)
			}
			behind := 0
			for _, r := range a.shard.catchup.readers {
				if i := r.find(a); i >= 0 {
					behind++
					if r.sub.subs.at(r.sub.find(a)).index < a.end() {
						m.fatalf("%s: who is behind stands among the others", name)
					}
					if r.replays[i].position > a.base {
						m.early++
					}
				}
			}
			if behind != int(a.behind) {
				m.fatalf("%s: %d are behind, the audience says %d", name, behind, a.behind)
			}
		}
	}
	if m.steps%64 == 0 {
		checkHub(m.t, m.hub)
	}
}

func (m *historyModel) end() {
	if m.t.Failed() {
		return
	}
	m.calm = true
	for _, channel := range m.channels { // the last message is for every form
		p, err := m.hub.Publish(Message{Channel: []byte(channel), At: m.now}, Always)
		if err != nil {
			m.fatalf("Publish: %v", err)
		}
		m.top[channel] = p.Offset
		m.sent[channel][p.Offset] = m.now
	}
	for i, s := range m.loops {
		s.panics = false
		for _, c := range m.users {
			if s.blocked[c.id] {
				s.toggle(c)
			}
		}
		for n := 0; m.work(i, math.MaxInt) != Idle; n++ {
			if n > 10_000 {
				m.fatalf("Work does not come to an end")
			}
		}
		if len(s.shard.catchup.readers)+len(s.shard.catchup.early)+s.shard.Stats().Behind > 0 {
			m.fatalf("somebody is behind at the end")
		}
	}
	for _, c := range m.users {
		for channel, v := range c.views {
			m.skip(c, channel, m.top[channel]+1)
			if v.subscribed && v.position < m.top[channel] {
				m.fatalf("at the end %d is at %d of %d in %s", c.id, v.position, m.top[channel], channel)
			}
		}
		c.sub.Leave()
	}
	m.evicted = int(m.hub.HistoryStats().Evicted)
	checkHub(m.t, m.hub)
	m.hub.SetHistory(nil)
	if s := m.hub.HistoryStats(); s.Bytes != 0 || s.Logs != 0 || m.hub.Len() != 0 {
		m.fatalf("without history: got %+v and %d channels", s, m.hub.Len())
	}
}

// A historySink is a loop of the model.
type historySink struct {
	m        *historyModel
	shard    *Shard
	left     int // members of a slice
	blocked  map[uint64]bool
	panics   bool // in the next Deliver
	panicked bool
}

func (s *historySink) Wake() {}

func (s *historySink) Deliver(ids []uint64, run *delivery.Run) int {
	if want := bytes.Join(framesOf(run), nil); !bytes.Equal(run.Joined, want) {
		s.m.fatalf("joined is %.20q, the frames are %.20q", run.Joined, want)
	}
	n := len(ids)
	if len(ids) > 1 {
		n = max(1, min(n, s.left))
		s.left -= n
	}
	stop := -1
	if s.panics {
		s.panics, s.panicked = false, true
		stop = s.m.choose(n)
	}
	for i, id := range ids[:n] {
		if i == stop {
			panic("the sink panics")
		}
		for k := range run.Items {
			s.m.heard(id&^delivery.Several, &run.Items[k])
		}
	}
	return n
}

func (s *historySink) Room(id uint64) int {
	if s.m.clients[id] == nil {
		s.m.fatalf("Room for %d, who is gone", id)
	}
	if s.blocked[id] {
		return 0
	}
	return 1 + s.m.choose(100)
}

func (s *historySink) TimeLeft() time.Duration {
	return time.Duration(s.m.choose(10))
}

func (s *historySink) Lost(id uint64, l delivery.Lost) { s.m.lose(id, l) }

func (s *historySink) toggle(c *client) {
	if c.loop != s {
		return
	}
	if s.blocked[c.id] = !s.blocked[c.id]; !s.blocked[c.id] {
		s.shard.Resume(c.id)
	}
}
