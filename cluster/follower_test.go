package cluster

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

var (
	logSeeds = flag.Int("logseeds", 60, "runs of TestLog")
	logSeed  = flag.Uint64("logseed", 0, "seed of the first; 0: by the time")
)

// Times of a simulated log.
const (
	keyWindow       = 2 * time.Second                // for which keys are remembered
	publishWithin   = 1500 * time.Millisecond        // in which an event is stored, or given up
	copiesWithin    = 2*publishWithin + collectedFor // in which a batch may be stored twice: by its sender, and by the node that has collected it
	rememberedAfter = copiesWithin + keyWindow       // of which the log keeps at least so much
)

// A simulatedLog is what NATS does for one log: it stores messages, and sends them on. What
// it sends may be lost, late or twice, and what replicas answer may be old.
type simulatedLog struct {
	t     *testing.T
	rand  *rand.Rand
	now   time.Duration
	queue []event
	old   []message // that have gone
	kept  []message // from first on
	first uint64    // number of the first message that is kept
	ids   map[string]uint64
	nodes []*logNode
	ended []*logNode // nodes that were killed
	users []*logUser
	loss  float64       // of messages on the feed
	down  bool          // no quorum
	torn  bool          // something that was stored has been lost
	backs int           // users that recovered after all nodes were away
	calm  time.Duration // until when nodes are left alone: one that knows what was stored must live to see that it is lost

	published map[string]*publishedEvent // by id
	ahead     int
	collected int // batches that one node has given to another
}

// An event is what happens later.
type event struct {
	at time.Duration
	do func()
}

// A publishedEvent is what a publisher knows of an event.
type publishedEvent struct {
	channel, key string
	answered     bool
	stored       hub.Published
	err          error
}

func (l *simulatedLog) later(d time.Duration, do func()) {
	l.queue = append(l.queue, event{l.now + d, do})
}

// delay is how long something takes: little as a rule, and much at times.
func (l *simulatedLog) delay() time.Duration {
	d := time.Duration(l.rand.IntN(3000)) * time.Microsecond
	if l.rand.IntN(50) == 0 {
		d += time.Duration(l.rand.IntN(700)) * time.Millisecond
	}
	return d
}

func (l *simulatedLog) last() uint64 { return l.first + uint64(len(l.kept)) - 1 }

// store adds a message, and sends it to the nodes. expected is the number of the last
// message, -1 for any.
func (l *simulatedLog) store(id string, data []byte, expected int64) {
	if l.down || expected >= 0 && uint64(expected) != l.last() {
		return
	}
	if _, twice := l.ids[id]; twice && id != "" && len(data)%10 > 0 {
		return // as a rule NATS itself sees that
	}
	// The clock of a log is coarse, and goes back when another server leads.
	m := message{seq: l.last() + 1, at: int64(l.now) + l.rand.Int64N(1e6), data: slices.Clone(data)}
	l.ids[id] = m.seq
	l.kept = append(l.kept, m)
	for _, n := range l.nodes {
		for range 1 + l.rand.IntN(20)/19 {
			if l.rand.Float64() >= l.loss {
				l.later(l.delay(), func() { n.take(m) })
			}
		}
	}
}

// A logNode is a node that follows the log.
type logNode struct {
	log      *simulatedLog
	follower follower
	appender appender
	source   pubsub.Source
	table    *pubsub.Hub
	shard    *pubsub.Shard
	gone     bool
	cut      bool // from the log
}

func (l *simulatedLog) start() *logNode {
	n := &logNode{log: l, table: pubsub.NewHub()}
	n.shard = pubsub.NewShard(n)
	n.table.AddForm(pubsub.Encoding{Base: pubsub.Itself, Kept: true, Encode: func(m pubsub.Message, _ []byte) []byte {
		if m.Lost != 0 {
			epoch, _ := m.Value.(string)
			return fmt.Appendf(nil, "lost %s", epoch)
		}
		return slices.Clone(m.Event)
	}})
	size := 5 + l.rand.IntN(200)
	n.table.SetHistory(func(string) pubsub.History { return pubsub.History{Size: size, TTL: time.Hour} })
	n.table.SetSources(func(string) *pubsub.Source { return &n.source })
	n.appender = appender{
		id: l.rand.Uint64() | 1, timeout: publishWithin, most: 1 << 20, seen: l.now, wake: func() {}, latency: func(time.Duration) {},
	}
	n.follower = follower{
		world: n, appender: &n.appender, newEpoch: func() uint64 { return l.rand.Uint64() | 1 },
		window: func() (time.Duration, int) { return keyWindow, 1000 }, wait: aloneAfter, copies: copiesWithin,
	}
	l.nodes = append(l.nodes, n)
	return n
}

func (n *logNode) take(m message) {
	if !n.gone && !n.cut {
		n.follower.take(n.log.now, m)
	}
}

// tick is what a node does in each step.
func (n *logNode) tick() {
	n.appender.expire(n.log.now)
	n.follower.tick(n.log.now)
	if f := n.appender.next(n.log.now); f != nil && !n.cut {
		n.appender.hasGiven(f)
		if leader := n.log.nodes[0]; leader != n && f.small() && n.log.rand.IntN(4) > 0 {
			n.give(f, leader)
		} else {
			n.send(f)
		}
	}
	n.shard.Work()
}

// send sends a batch to the log.
func (n *logNode) send(f *flight) {
	id, data := f.id, slices.Clone(f.data)
	n.log.later(n.log.delay(), func() {
		n.log.store(id, data, -1)
		if seq, ok := n.log.ids[id]; ok && !n.gone && n.log.rand.IntN(2) == 0 {
			n.follower.reaches(seq)
		}
	})
}

// give gives a batch to the node that collects them.
func (n *logNode) give(f *flight, leader *logNode) {
	data := slices.Clone(f.data)
	n.appender.give(f)
	n.log.later(n.log.delay(), func() {
		switch {
		case leader.gone || leader.cut || n.log.rand.Float64() < n.log.loss:
		case leader.appender.collect(n.log.now, data):
			n.log.collected++
		default:
			n.appender.again(n.log.now, refusedPause)
		}
	})
}

func (n *logNode) answer(do func()) {
	if n.cut || n.log.rand.IntN(20) == 0 {
		return // it is never answered
	}
	n.log.later(n.log.delay(), func() {
		if !n.gone {
			do()
		}
	})
}

func (n *logNode) read(from uint64) {
	l := n.log
	n.answer(func() {
		var list []message
		end := len(l.kept)
		if l.rand.IntN(4) == 0 {
			end -= l.rand.IntN(min(end, 3) + 1) // a replica that lags
		}
		begin := max(from, l.first)
		for i := int(begin - l.first); i < min(end, int(begin-l.first)+20); i++ {
			list = append(list, l.kept[i])
		}
		var state *logState
		if !l.down && (len(list) <= 1 || list[0].seq != from) {
			state = &logState{l.first, l.last()}
		}
		n.follower.filled(l.now, from, list, state)
	})
}

func (n *logNode) look() {
	n.answer(func() {
		if !n.log.down {
			n.follower.looked(n.log.now, logState{n.log.first, n.log.last()})
		}
	})
}

func (n *logNode) found(b []byte, last uint64) {
	n.answer(func() { n.log.store("", b, int64(last)) })
}

func (n *logNode) place(p *placed, _ *pubsub.Subscriber, _ int64, silently bool) {
	flow := pubsub.Always
	if silently {
		flow = flow.Silently()
	}
	if err := n.table.Place(pubsub.Message{Channel: p.channel, Event: p.event, Offset: p.offset}, flow); err != nil {
		n.log.t.Errorf("place %s at %d: %v", p.event, p.offset, err)
	}
}

func (n *logNode) pass(offset uint64)   { n.source.Pass(offset) }
func (n *logNode) forget(offset uint64) { n.table.Forget(&n.source, offset) }
func (n *logNode) broke(string)         {}

func (n *logNode) begin(epoch string, ended []pubsub.Position) {
	n.table.Begin(&n.source, epoch, ended, 0)
}

// Wake makes logNode a pubsub.Sink.
func (n *logNode) Wake() {}

// Deliver makes logNode a pubsub.Sink.
func (n *logNode) Deliver(ids []uint64, run *delivery.Run) int {
	for _, id := range ids {
		u := n.log.users[id&^delivery.Several]
		for i := range run.Items {
			u.hear(&run.Items[i])
		}
	}
	return len(ids)
}

// Room, TimeLeft and Lost make logNode a pubsub.Replayer.
func (n *logNode) Room(uint64) int         { return 10 }
func (n *logNode) TimeLeft() time.Duration { return time.Millisecond }

func (n *logNode) Lost(id uint64, lost delivery.Lost) {
	u := n.log.users[id&^delivery.Several]
	u.told("", lost.Offset)
}

// A logUser hears one channel, at one node after the other.
type logUser struct {
	log      *simulatedLog
	id       uint64
	channel  string
	node     *logNode
	sub      *pubsub.Subscriber
	doubts   bool // the log was put back since it was there
	at       pubsub.Position
	segments []segment // between notices that something may be missing
}

// A segment is what a user has heard without being told that something is missing.
type segment struct {
	from   pubsub.Position // behind which it begins; without an epoch: not known
	events []heardEvent
}

type heardEvent struct {
	offset uint64
	id     string
}

// come subscribes to the channel at a node, since the position that the user has.
func (u *logUser) come(n *logNode) {
	u.node, u.sub = n, new(pubsub.Subscriber)
	u.sub.Init(n.shard, u.id)
	b, err := n.table.SubscribeFrom(math.MaxInt, u.sub, []byte(u.channel), pubsub.Start{Since: u.at})
	if err != nil {
		u.log.t.Fatal(err)
	}
	if b.Reason == pubsub.ReasonAhead {
		u.log.ahead++
	}
	at := pubsub.Position{Epoch: b.Epoch, Offset: b.Offset}
	switch {
	case !b.Recovered:
		u.segments = append(u.segments, segment{from: at})
	case b.Offset < u.at.Offset:
		u.log.t.Errorf("recovered at %d since %d", b.Offset, u.at.Offset)
	case u.doubts:
		if truth := u.log.truth(); truth.epoch == n.source.Epoch() { // else the log has lost more since, and the node will find it
			u.log.backs++
			u.checkSegment(&truth, &u.segments[len(u.segments)-1], false)
		}
	}
	u.at, u.doubts = at, b.Epoch == "" && u.doubts
}

func (u *logUser) leave() {
	u.sub.Leave()
	u.node = nil
}

func (u *logUser) hear(item *delivery.Item) {
	if epoch, ok := strings.CutPrefix(string(item.Frame), "lost "); ok {
		u.told(epoch, item.Offset)
		return
	}
	if item.Offset <= u.at.Offset {
		u.log.t.Errorf("user %d hears %s at %d, and is at %d", u.id, item.Frame, item.Offset, u.at.Offset)
	}
	u.at.Offset = item.Offset
	s := &u.segments[len(u.segments)-1]
	s.events = append(s.events, heardEvent{item.Offset, string(item.Frame)})
}

// told begins anew behind a gap.
func (u *logUser) told(epoch string, offset uint64) {
	if epoch != "" {
		u.at.Epoch = epoch
	}
	u.at.Offset = offset
	u.segments = append(u.segments, segment{from: u.at})
}

// publish publishes an event at a node.
func (l *simulatedLog) publish(n *logNode) {
	id := strconv.Itoa(len(l.published))
	p := &publishedEvent{channel: "c" + strconv.Itoa(l.rand.IntN(4))}
	m := pubsub.Message{Channel: []byte(p.channel), Event: []byte(id)}
	if l.rand.IntN(4) == 0 {
		p.key = strconv.Itoa(l.rand.IntN(30))
		m.Key = []byte(p.key)
	}
	l.published[id] = p
	n.appender.append(l.now, &m, func(stored hub.Published, err error) {
		if p.answered {
			l.t.Errorf("event %s is answered twice", id)
		}
		p.answered, p.stored, p.err = true, stored, err
	})
}

// step lets 10 milliseconds pass.
func (l *simulatedLog) step() {
	l.now += 10 * time.Millisecond
	for {
		i := slices.IndexFunc(l.queue, func(e event) bool { return e.at <= l.now })
		if i < 0 {
			break
		}
		do := l.queue[i].do
		l.queue = slices.Delete(l.queue, i, i+1)
		do()
	}
	for _, n := range l.nodes {
		n.tick()
	}
}

// disturb makes something go wrong, or right.
func (l *simulatedLog) disturb(tears bool) {
	node := l.nodes[l.rand.IntN(len(l.nodes))]
	what := l.rand.IntN(12)
	if what <= 6 && l.now < l.calm {
		return
	}
	switch what {
	case 0:
		l.loss = []float64{0, 0, 0.05, 0.5}[l.rand.IntN(4)]
	case 1:
		l.down = l.rand.IntN(3) == 0
	case 2:
		node.cut = !node.cut
		if !node.cut {
			node.follower.suspect()
		}
	case 3: // killed, and started again
		if l.rand.IntN(8) > 0 {
			l.kill(node)
			l.start()
			return
		}
		l.restart(tears)
	case 4: // what is old goes
		for l.rand.IntN(200) > 0 && len(l.kept) > 1 && l.kept[0].at < int64(l.now-rememberedAfter) {
			l.old, l.kept, l.first = append(l.old, l.kept[0]), l.kept[1:], l.first+1
		}
	case 5:
		if tears && l.rand.IntN(3) == 0 && len(l.kept) > 0 {
			l.tear()
			lost := 1 + l.rand.IntN(min(len(l.kept), 40))
			l.kept = l.kept[:len(l.kept)-lost]
		}
	case 6:
		if tears && l.rand.IntN(6) == 0 {
			l.tear()
			l.old, l.kept, l.first = nil, nil, 1
		}
	default: // users go from node to node
		u := l.users[l.rand.IntN(len(l.users))]
		if u.node != nil {
			u.leave()
		} else {
			u.come(l.nodes[l.rand.IntN(len(l.nodes))])
		}
	}
}

func (l *simulatedLog) kill(node *logNode) {
	node.gone = true
	for _, u := range l.users {
		if u.node == node {
			u.leave()
		}
	}
	l.nodes = slices.DeleteFunc(l.nodes, func(n *logNode) bool { return n == node })
	l.ended = append(l.ended, node)
}

// restart kills all nodes, perhaps puts the log back to what it was some time ago, and starts
// others, some of them later. Then no node knows what was stored.
func (l *simulatedLog) restart(putBack bool) {
	for len(l.nodes) > 0 {
		l.kill(l.nodes[0])
	}
	for _, u := range l.users {
		u.doubts = true
	}
	if lost := l.rand.IntN(min(len(l.kept), 60) + 1); putBack && l.rand.IntN(3) > 0 && lost > 0 {
		l.torn = true
		l.kept = l.kept[:len(l.kept)-lost]
		clear(l.ids)
	}
	l.start()
	for range 2 {
		l.later(time.Duration(l.rand.IntN(2))*l.delay(), func() { l.start() })
	}
}

// tear notes that something that was stored is about to be lost.
func (l *simulatedLog) tear() {
	l.torn, l.calm = true, l.now+10*time.Second
	l.heal()
	clear(l.ids)
	for _, n := range l.nodes {
		n.follower.suspect() // its connection has broken
	}
	for _, u := range l.users {
		if u.node == nil { // the node that it knows something from may be gone
			u.at = pubsub.Position{}
		}
	}
}

// heal ends what disturbs nodes.
func (l *simulatedLog) heal() {
	l.loss, l.down = 0, false
	for _, n := range l.nodes {
		if n.cut {
			n.cut = false
			n.follower.suspect()
		}
	}
}

// run lets publishers, users and faults do what they do, and then lets all come to rest.
func (l *simulatedLog) run(tears bool) {
	for range 3 {
		l.start()
	}
	for i := range 12 {
		l.users = append(l.users, &logUser{log: l, id: uint64(i), channel: "c" + strconv.Itoa(i%4)})
	}
	for i := range 3000 {
		for range l.rand.IntN(3) {
			l.publish(l.nodes[l.rand.IntN(len(l.nodes))])
		}
		if i%3 == 0 && i > 100 {
			l.disturb(tears)
		}
		l.step()
	}
	l.heal()
	for range 1500 {
		l.step()
	}
	for _, u := range l.users {
		if u.node == nil {
			u.come(l.nodes[l.rand.IntN(len(l.nodes))])
		}
	}
	for _, n := range l.nodes { // the last event, for everybody
		l.publish(n)
	}
	for range 300 {
		l.step()
	}
}

// A truth is what the log says: the events of each channel, by offset, in which epoch, and up
// to where positions of earlier ones are good.
type truth struct {
	events map[string][]heardEvent
	epoch  string
	ended  []pubsub.Position
}

// present returns a position as one of the present epoch, if it is good there.
func (tr *truth) present(p pubsub.Position) pubsub.Position {
	for _, end := range tr.ended {
		if p.Epoch == end.Epoch && p.Offset <= end.Offset {
			p.Epoch = tr.epoch
		}
	}
	return p
}

func (l *simulatedLog) truth() truth {
	tr := truth{events: make(map[string][]heardEvent)}
	var of ledger
	for _, m := range slices.Concat(l.old, l.kept) {
		a, err := of.apply(m.seq, m.at, m.data, keyWindow, copiesWithin, 1000)
		if err != nil {
			l.t.Fatal(err)
		}
		if a.began {
			clear(tr.events)
			tr.ended = nil
		}
		if a.ended.id != 0 {
			tr.ended = append(tr.ended, pubsub.Position{Epoch: a.ended.String(), Offset: of.epoch.before(m.seq)})
		}
		for _, b := range a.batches {
			for _, p := range b.events {
				if !p.duplicate {
					tr.events[string(p.channel)] = append(tr.events[string(p.channel)], heardEvent{p.offset, string(p.event)})
				}
			}
		}
	}
	tr.epoch = of.epoch.String()
	return tr
}

// check holds what users and publishers know against the log.
func (l *simulatedLog) check() {
	truth := l.truth()
	for _, n := range l.nodes {
		if !n.follower.live.Load() || n.source.Epoch() != truth.epoch || n.appender.cut(l.now) {
			l.t.Errorf("a node has not come to rest: stage %d, live %v, silent for %v, epoch %s, want %s", n.follower.stage, n.follower.live.Load(), l.now-n.appender.seen, n.source.Epoch(), truth.epoch)
		}
	}
	for _, u := range l.users {
		for i := range u.segments {
			s := &u.segments[i]
			final := i == len(u.segments)-1
			if final || truth.present(s.from).Epoch == truth.epoch && !l.torn { // else what was stored then may not be known any more
				u.checkSegment(&truth, s, final)
			}
		}
		if u.at.Epoch != truth.epoch {
			l.t.Errorf("user %d is in the epoch %s, want %s", u.id, u.at.Epoch, truth.epoch)
		}
	}
	l.checkPublishers(truth.events)
}

// checkSegment checks that a user has heard what the log has: up to its end, or up to the last
// event that the user has heard.
func (u *logUser) checkSegment(truth *truth, s *segment, toEnd bool) {
	last := s.from.Offset
	if len(s.events) > 0 {
		last = s.events[len(s.events)-1].offset
	}
	if truth.present(s.from).Epoch != truth.epoch {
		u.log.t.Errorf("user %d goes on since %v, which is not of the log: epoch %s, ended %v", u.id, s.from, truth.epoch, truth.ended)
	}
	var want []heardEvent
	for _, one := range truth.events[u.channel] {
		if one.offset > s.from.Offset && (toEnd || one.offset <= last) {
			want = append(want, one)
		}
	}
	if !slices.Equal(s.events, want) {
		u.log.t.Errorf("user %d, since %v: %s", u.id, s.from, difference(s.events, want))
	}
}

// difference says where two lists begin to differ.
func difference(got, want []heardEvent) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("%d events as wanted, then got %v, want %v", i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
}

// checkPublishers checks that what was acknowledged is there, at its offset, and nothing is
// there twice.
func (l *simulatedLog) checkPublishers(truth map[string][]heardEvent) {
	at := make(map[string]uint64)
	for _, list := range truth {
		for _, one := range list {
			if at[one.id] != 0 {
				l.t.Errorf("event %s is stored twice", one.id)
			}
			at[one.id] = one.offset
		}
	}
	for id, p := range l.published {
		switch {
		case p.err != nil && !errors.Is(p.err, hub.ErrUnavailable) && !errors.Is(p.err, hub.ErrOverloaded):
			l.t.Errorf("event %s: %v", id, p.err)
		case !p.answered || p.err != nil || l.torn:
		case p.stored.Duplicate && at[id] != 0, !p.stored.Duplicate && at[id] != p.stored.Offset:
			l.t.Errorf("event %s: its publisher was told %+v, and it is at %d", id, p.stored, at[id])
		}
	}
}

// Nodes follow a log whose messages are lost, late and doubled, while nodes are killed and
// cut off, the log forgets what is old, and has no quorum. Every user hears each event once
// and in the log's order, at whichever nodes it has been, or is told that some are missing.
// What is acknowledged is there. In every second run the log loses what it has stored, or all
// of it, while nodes run or while none does: then everybody is told.
func TestLog(t *testing.T) {
	first := *logSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	backs, collected := 0, 0
	for i := range *logSeeds {
		seed := first + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			l := &simulatedLog{
				t: t, rand: rand.New(rand.NewPCG(seed, 1)), first: 1, ids: map[string]uint64{}, published: map[string]*publishedEvent{},
			}
			l.run(seed%2 == 1)
			l.check()
			backs += l.backs
			collected += l.collected
		})
		if t.Failed() {
			t.Fatalf("again with -logseed %d -logseeds 1", seed)
		}
	}
	if *logSeeds > 20 && backs == 0 {
		t.Error("nobody has recovered after all nodes were away")
	}
	if collected == 0 {
		t.Error("no node has collected batches of others")
	}
}

// A still world never answers.
type stillWorld struct{}

func (stillWorld) read(uint64)                                    {}
func (stillWorld) look()                                          {}
func (stillWorld) found([]byte, uint64)                           {}
func (stillWorld) place(*placed, *pubsub.Subscriber, int64, bool) {}
func (stillWorld) pass(uint64)                                    {}
func (stillWorld) forget(uint64)                                  {}
func (stillWorld) broke(string)                                   {}
func (stillWorld) begin(string, []pubsub.Position)                {}

// A node that was cut off takes itself for the leader for a moment when it is back, and says
// that the log is as short as it was. No epoch ends by that; one does where the log stays so short.
func TestLeaderOfBefore(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	at := func(seq uint64) message {
		return message{seq: seq, at: int64(seq) * 1000, data: emptyMessage(logHead{batchHead: batchHead{from: 7, number: seq}, epoch: e})}
	}
	const last = 5
	for _, tt := range []struct {
		name   string
		list   []message     // that replicas have
		length time.Duration // for which the log is said to be short
		want   uint64        // breaks
	}{
		{"a replica has the last message", []message{at(last)}, time.Minute, 0},
		{"for a moment", nil, shortFor - askAgain, 0},
		{"it stays so", nil, shortFor, 1},
		{"a replica has another message", []message{{seq: last, at: 77, data: at(last).data}}, shortFor, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &appender{id: 1, wake: func() {}}
			f := follower{world: stillWorld{}, appender: a, newEpoch: func() uint64 { return 1 }, window: func() (time.Duration, int) { return time.Minute, 10 }}
			now := time.Second
			f.looked(now, logState{1, 0})
			for seq := range uint64(last) {
				f.take(now, at(seq+1))
			}
			if f.stage != following || f.ledger.next != last+1 {
				t.Fatalf("stage %d, next %d: want it to follow", f.stage, f.ledger.next)
			}
			say := func(from uint64, list []message, state *logState) {
				f.tick(now)
				f.filled(now, from, list, state)
			}
			now += time.Minute // nothing comes: the follower asks again and again
			f.tick(now)
			for until := now + askAgain + tt.length; now < until; {
				now += askAgain
				say(last, tt.list, &logState{1, 2})
			}
			if f.counts.breaks != tt.want {
				t.Fatalf("got %d breaks, want %d", f.counts.breaks, tt.want)
			}
			if tt.want > 0 {
				return
			}
			now += askAgain
			say(last, []message{at(last), at(last + 1)}, nil)
			if f.ledger.next != last+2 {
				t.Errorf("next is %d: want it to go on", f.ledger.next)
			}
			now += time.Minute
			f.tick(now)
			now += askAgain
			say(last+1, nil, &logState{1, 2}) // what was said before does not count
			if f.counts.breaks != 0 {
				t.Error("an epoch has ended at once")
			}
		})
	}
}

// A node that begins has heard a message that the log has lost since. It does not wait for it for good.
func TestHeldMessageIsLost(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	at := func(seq uint64) message {
		return message{seq: seq, at: int64(seq) * 1000, data: emptyMessage(logHead{batchHead: batchHead{from: 7, number: seq}, epoch: e})}
	}
	a := &appender{id: 1, wake: func() {}}
	f := follower{world: stillWorld{}, appender: a, newEpoch: func() uint64 { return 1 }, window: func() (time.Duration, int) { return time.Minute, 10 }}
	now := time.Second
	f.take(now, at(9))
	f.looked(now, logState{1, 2})
	f.filled(now, 1, []message{at(1), at(2)}, &logState{1, 2})
	for until := now + shortFor; now < until && f.stage == replaying; {
		now += askAgain
		f.tick(now)
		f.filled(now, 2, []message{at(2)}, &logState{1, 2})
	}
	if f.stage != resuming || len(f.held) > 0 {
		t.Errorf("stage %d with %d messages held: want it to have read all that there is", f.stage, len(f.held))
	}
}

// What was sent before the log was put back comes late, when the log has gone on from there. It is
// not taken for what the log has now, which is read.
func TestLateMessageOfBefore(t *testing.T) {
	now, e := time.Second, epoch{id: 9, seq: 1}
	of := func(e epoch, seq uint64, at int64) message {
		return message{seq: seq, at: at, data: emptyMessage(logHead{batchHead: batchHead{from: 7, number: seq}, epoch: e})}
	}
	first, second, third := of(e, 1, 100), of(e, 2, 200), of(e, 3, 300)
	for _, tt := range []struct {
		name  string
		comes []message
		next  uint64 // the number of the message that is read
	}{
		{"of another epoch", []message{of(epoch{id: 8, seq: 1}, 2, 50)}, 2},
		{"of another epoch, after a gap", []message{of(epoch{id: 8, seq: 1}, 3, 50), second}, 3},
		{"two of one number", []message{third, of(e, 3, 50), second}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := follower{
				world: stillWorld{}, appender: &appender{id: 1, wake: func() {}}, newEpoch: func() uint64 { return 1 },
				window: func() (time.Duration, int) { return time.Minute, 10 },
			}
			f.looked(now, logState{1, 0})
			f.take(now, first)
			for _, m := range tt.comes {
				f.take(now, m)
			}
			if f.ledger.next != tt.next {
				t.Fatalf("next is %d, want %d", f.ledger.next, tt.next)
			}
			f.tick(now + askAgain)
			f.tick(now + 2*askAgain)
			if !f.asking {
				t.Fatal("the log is not read")
			}
			f.filled(now, tt.next-1, []message{first, second, third}[tt.next-2:], nil)
			if f.ledger.next != 4 || !f.ledger.has(3, 300) || f.counts.breaks > 0 {
				t.Errorf("next is %d, breaks %d: want it to have what is in the log", f.ledger.next, f.counts.breaks)
			}
		})
	}
}
