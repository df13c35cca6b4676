package presence

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A model is a table, and beside it what is true. The readers are clients that follow
// the rule of the package: of two entries about a member the one with the greater
// version counts.
type model struct {
	t      testing.TB
	random *rand.Rand
	now    time.Duration
	table  *Table
	queues [3]Queue
	config map[string]Config
	conns  []*conn
	truth  map[string]map[key]*there // by channel

	version map[string]uint64 // of the last notice, by channel
	notices int               // that readers had
	lists   int               // of readers that were compared
}

// there is a member.
type there struct {
	conns int
	info  string
	away  time.Duration // when it leaves if it has no connection
	queue *Queue        // whose loop looks after it then; nil for none
	due   time.Duration // when it does
}

// A conn is a connection that may be present in one channel, and may watch it.
type conn struct {
	queue   *Queue
	channel string
	who     *Who
	member  *Member // nil: it is not present
	reader  *reader // nil: it does not watch
}

// A reader puts a list together.
type reader struct {
	version  uint64 // since which it has all changes
	after    uint64 // where its next page begins
	complete bool   // it has had the last page
	messages [][]told
}

// told is one entry of a page or a notice.
type told struct {
	Entry
	left bool
}

// merge returns the members that messages tell of, and what they say of them.
func merge(messages [][]told) map[key]string {
	last := map[key]told{}
	for _, message := range messages {
		for _, e := range message {
			k := key{e.Client, ""}
			if e.Client == "" {
				k = key{"", e.User}
			}
			if e.At > last[k].At {
				last[k] = e
			}
		}
	}
	list := map[key]string{}
	for k, e := range last {
		if !e.left {
			list[k] = e.Info
		}
	}
	return list
}

var modelConfigs = map[string]Config{
	"clients": {Mode: Clients},
	"users":   {Mode: Users, Interval: time.Second},
	"stay":    {Mode: Users, LeaveAfter: 2 * time.Second},
	"few":     {Mode: Users, MaxListed: 3, LeaveAfter: time.Second},
	"small":   {Mode: Clients, MaxListed: 3, MaxMembers: 5},
}

var modelChannels = []string{"clients", "users", "stay", "few", "small"}

func newModel(t testing.TB, seed uint64) *model {
	m := &model{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), table: NewTable(),
		config: maps.Clone(modelConfigs), truth: map[string]map[key]*there{}, version: map[string]uint64{},
	}
	for _, c := range modelChannels {
		m.truth[c] = map[key]*there{}
	}
	for i := range 30 {
		m.conns = append(m.conns, &conn{queue: &m.queues[i%len(m.queues)]})
	}
	return m
}

// step does one thing.
func (m *model) step(choice byte) {
	m.t.Helper()
	c := m.conns[m.random.IntN(len(m.conns))]
	switch choice % 16 {
	case 0, 1, 2, 3:
		if c.member == nil {
			m.join(c, modelChannels[m.random.IntN(len(modelChannels))])
		}
	case 4, 5:
		if c.member != nil {
			m.leave(c)
		}
	case 6, 7:
		if c.member != nil {
			m.update(c)
		}
	case 8, 9, 10:
		if c.reader != nil {
			m.read(c, 1+m.random.IntN(4))
		}
	case 11:
		if c.reader != nil {
			m.unwatch(c)
		} else if c.member != nil {
			m.watch(c)
		}
	case 12, 13:
		m.work(c.queue)
	case 14:
		m.now += time.Duration(m.random.IntN(700)) * time.Millisecond
	case 15:
		m.compare()
	}
}

// key names the member of somebody.
func (m *model) key(channel string, who *Who) key {
	if m.config[channel].Mode == Users && who.User != "" {
		return key{user: who.User}
	}
	return key{client: who.Client}
}

// anybody returns somebody. Some users are called like clients.
func (m *model) anybody(client string) *Who {
	w := &Who{Client: client}
	if n := m.random.IntN(8); n > 0 {
		w.User = fmt.Sprint("c", n)
	}
	if n := m.random.IntN(3); n > 0 {
		w.Info = fmt.Sprint(n)
	}
	return w
}

func (m *model) join(c *conn, channel string) {
	for i, o := range m.conns {
		if o == c {
			c.who = m.anybody(fmt.Sprint("c", i))
		}
	}
	c.channel = channel
	c.member = m.table.Join(c.queue, m.now, channel, m.config[channel], c.who)
	m.come(c)
}

// come makes it true that a connection is there.
func (m *model) come(c *conn) {
	k := m.key(c.channel, c.who)
	e := m.truth[c.channel][k]
	if e == nil {
		e = &there{info: c.who.Info}
		m.truth[c.channel][k] = e
	} else if c.who.Info != "" {
		e.info = c.who.Info
	}
	e.conns++
	e.away = 0
}

func (m *model) leave(c *conn) {
	if c.reader != nil {
		m.unwatch(c)
	}
	m.table.Leave(c.queue, m.now, c.member)
	m.go_(c)
	c.member = nil
}

// go_ makes it true that a connection is not there.
func (m *model) go_(c *conn) {
	k := m.key(c.channel, c.who)
	e := m.truth[c.channel][k]
	if e.conns--; e.conns > 0 {
		return
	}
	if after := m.config[c.channel].LeaveAfter; after > 0 && k.user != "" {
		e.away = m.now + after
		if e.queue == nil {
			e.queue, e.due = c.queue, e.away
		}
		return
	}
	delete(m.truth[c.channel], k)
}

func (m *model) update(c *conn) {
	next := m.anybody(c.who.Client)
	c.member = m.table.Update(c.queue, m.now, c.member, m.config[c.channel], next)
	if k := m.key(c.channel, c.who); k == m.key(c.channel, next) {
		m.truth[c.channel][k].info = next.Info
		c.who = next
		return
	}
	m.go_(c)
	c.who = next
	m.come(c)
}

func (m *model) watch(c *conn) {
	c.reader = &reader{version: m.table.Watch(c.member).Version}
}

func (m *model) unwatch(c *conn) {
	m.table.Unwatch(c.member)
	c.reader = nil
}

// read gets a reader its next page.
func (m *model) read(c *conn, limit int) {
	r := c.reader
	if r.complete {
		return
	}
	p := m.table.Page(c.channel, r.after, limit, 0)
	var message []told
	for _, e := range p.Members {
		if e.At <= r.after {
			m.t.Fatalf("%s: a page after %d has %+v", c.channel, r.after, e)
		}
		r.after = e.At
		message = append(message, told{e, false})
	}
	r.messages = append(r.messages, message)
	r.complete = !p.More
}

// work lets a loop do what is due.
func (m *model) work(q *Queue) {
	for channel, list := range m.truth {
		for k, e := range list {
			if e.queue != q || e.due > m.now {
				continue
			}
			switch e.due = e.away; {
			case e.conns > 0:
				e.queue = nil
			case e.away <= m.now:
				delete(m.truth[channel], k)
			}
		}
	}
	m.table.Work(q, m.now, m.hear)
}

// hear gives a notice to those that watch.
func (m *model) hear(n *Notice) {
	if last := m.version[n.Channel]; n.From < last || n.Version <= n.From {
		m.t.Fatalf("%s: a notice from %d to %d after version %d", n.Channel, n.From, n.Version, last)
	}
	m.version[n.Channel] = n.Version
	var message []told
	for _, e := range n.Joined {
		message = append(message, told{e, false})
	}
	for _, e := range n.Left {
		message = append(message, told{e, true})
	}
	names := map[key]bool{}
	for _, e := range message {
		names[key{e.Client, e.User}] = true
		if e.At <= n.From || e.At > n.Version {
			m.t.Fatalf("%s: a notice from %d to %d has %+v", n.Channel, n.From, n.Version, e)
		}
	}
	if len(names) < len(message) {
		m.t.Fatalf("%s: a notice has a member twice: %+v", n.Channel, n)
	}
	if m.config[n.Channel].LeaveAfter == 0 { // otherwise some may be about to leave
		m.checkCounts(n.Channel, n.Counts)
	}
	for _, c := range m.conns {
		if c.reader == nil || c.channel != n.Channel {
			continue
		}
		m.notices++
		switch r := c.reader; {
		case n.From > r.version:
			m.t.Fatalf("%s: a notice from %d, the reader is at %d", n.Channel, n.From, r.version)
		case message == nil: // its list is not whole any more: it begins anew
			*r = reader{version: n.Version}
		default:
			r.messages = append(r.messages, message)
			r.version = max(r.version, n.Version)
		}
	}
}

// checkCounts compares how many are there.
func (m *model) checkCounts(channel string, got Counts) {
	m.t.Helper()
	clients, users := 0, map[string]bool{}
	for _, c := range m.conns {
		if c.member == nil || c.channel != channel {
			continue
		}
		clients++
		if c.who.User != "" {
			users[c.who.User] = true
		}
	}
	for k := range m.truth[channel] {
		if k.user != "" {
			users[k.user] = true
		}
	}
	if got.Clients != clients || got.Users != len(users) {
		m.t.Fatalf("%s: got %+v, want %d clients and %d users", channel, got, clients, len(users))
	}
}

// compare lets all readers come to the end, and compares their lists with the truth.
// Each has its messages in another order, and some of them twice.
func (m *model) compare() {
	m.t.Helper()
	for more := true; more; {
		more = false
		for i := range m.queues {
			if due, ok := m.queues[i].Next(); ok {
				m.now = max(m.now, due)
				m.work(&m.queues[i])
				more = true
			}
		}
	}
	for _, channel := range modelChannels {
		want, full := map[key]string{}, m.table.Page(channel, 0, math.MaxInt, 0)
		for k, e := range m.truth[channel] {
			want[k] = e.info
		}
		m.checkCounts(channel, full.Counts)
		if most := m.config[channel].WithDefaults().MaxMembers; len(full.Members) != min(len(want), most) {
			m.t.Fatalf("%s: the page has %d of %d members, want %d at most", channel, len(full.Members), len(want), most)
		}
	}
	for _, c := range m.conns {
		if r := c.reader; r != nil && len(m.truth[c.channel]) <= m.config[c.channel].WithDefaults().MaxListed {
			for !r.complete {
				m.read(c, 1+m.random.IntN(4))
			}
			m.check(c)
		}
	}
}

// check compares the list of one reader.
func (m *model) check(c *conn) {
	m.t.Helper()
	messages := append([][]told(nil), c.reader.messages...)
	if n := len(messages); n > 0 {
		messages = append(messages, messages[m.random.IntN(n)])
	}
	m.random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	got, want := merge(messages), map[key]string{}
	for k, e := range m.truth[c.channel] {
		want[k] = e.info
	}
	if !maps.Equal(got, want) {
		m.t.Fatalf("%s: the reader has %v, want %v\n%+v", c.channel, got, want, messages)
	}
	m.lists++
}

// end lets everybody leave: nothing may be left behind.
func (m *model) end() {
	m.t.Helper()
	m.compare()
	for _, c := range m.conns {
		if c.member != nil {
			m.leave(c)
		}
	}
	m.compare()
	if s := m.table.Stats(); s.Members != 0 || s.Channels != 0 {
		m.t.Fatalf("everybody has left, and the table has %+v", s)
	}
	for i := range m.table.stripes {
		if n := len(m.table.stripes[i].sets); n > 0 {
			m.t.Fatalf("everybody has left, and the table has %d sets", n)
		}
	}
}

// Whatever comes in whatever order, readers have the members that there are.
func TestModel(t *testing.T) {
	lists, notices := 0, 0
	for seed := range uint64(300) {
		m := newModel(t, seed)
		for range 3000 {
			m.step(byte(m.random.Uint32()))
		}
		m.end()
		lists += m.lists
		notices += m.notices
	}
	if lists < 10_000 || notices < 10_000 {
		t.Errorf("only %d lists were compared, and %d notices heard", lists, notices)
	}
	t.Logf("%d lists compared, %d notices heard", lists, notices)
}

// FuzzPresence is TestModel with steps of the fuzzer's choice.
func FuzzPresence(f *testing.F) {
	f.Add(uint64(1), []byte("\x00\x01\x0b\x08\x04\x0f"))
	f.Add(uint64(2), []byte("\x00\x00\x00\x0b\x0b\x06\x0c\x0e\x04\x04\x0c\x0f"))
	f.Fuzz(func(t *testing.T, seed uint64, steps []byte) {
		m := newModel(t, seed)
		for _, s := range steps[:min(len(steps), 3000)] {
			m.step(s)
		}
		m.end()
	})
}
