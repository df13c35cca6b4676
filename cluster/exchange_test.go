package cluster

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/measure"
)

var seeds = flag.Int("seeds", 40, "networks that TestExchange simulates")

// A network carries the messages of simulated nodes, and loses, delays and repeats them.
type network struct {
	t     *testing.T
	rand  *rand.Rand
	now   time.Duration
	nodes []*simulated
	queue []letter
	loss  float64 // of messages
	split map[*simulated]bool
	all   []*simulated // also those that have ended
}

// A letter is a message on its way.
type letter struct {
	at       time.Duration
	from, to *simulated
	message  []byte
}

// A simulated is a node with one channel for each other node, and what its subscribers have
// been told.
type simulated struct {
	*exchange
	net    *network
	sent   int                 // events that it has published
	heard  map[string][]string // events and notices, by channel
	behind map[*simulated]time.Duration
}

func (n *network) start(name string) *simulated {
	s := &simulated{net: n, heard: map[string][]string{}, behind: map[*simulated]time.Duration{}}
	s.exchange = newExchange(n.rand.Uint64(), name, s)
	n.nodes = append(n.nodes, s)
	n.all = append(n.all, s)
	s.beat(beatHello)
	return s
}

// channel is where a node publishes.
func (s *simulated) channel() string { return fmt.Sprintf("%s-%x", s.name, s.id) }

// put publishes an event at a node.
func (s *simulated) put(size int) {
	s.sent++
	s.out.put(&record{hub: []byte("/"), channel: []byte(s.channel()), event: []byte(strconv.Itoa(s.sent)), data: make([]byte, size)})
}

func (s *simulated) tellAll(message []byte) {
	for _, to := range s.net.nodes {
		if to != s {
			s.net.send(s, to, message)
		}
	}
}

func (s *simulated) tell(node uint64, message []byte) {
	for _, to := range s.net.nodes {
		if to.id == node {
			s.net.send(s, to, message)
		}
	}
}

func (s *simulated) publish(r *record) {
	s.heard[string(r.channel)] = append(s.heard[string(r.channel)], string(r.event))
}

func (s *simulated) lose(r *record) {
	if r != nil {
		s.heard[string(r.channel)] = append(s.heard[string(r.channel)], fmt.Sprintf("lost %d", r.lost))
		return
	}
	for _, other := range s.net.all {
		s.heard[other.channel()] = append(s.heard[other.channel()], "lost some")
	}
}

// send puts a message on its way: in order, unless it is delayed.
func (n *network) send(from, to *simulated, message []byte) {
	if n.split[from] != n.split[to] || n.rand.Float64() < n.loss {
		return
	}
	at := max(n.now+time.Duration(n.rand.IntN(2000))*time.Microsecond, from.behind[to])
	from.behind[to] = at
	if n.rand.IntN(50) == 0 {
		at += time.Duration(n.rand.IntN(300)) * time.Millisecond
	}
	n.queue = append(n.queue, letter{at, from, to, slices.Clone(message)})
	if n.rand.IntN(100) == 0 {
		n.queue = append(n.queue, letter{at + time.Second, from, to, slices.Clone(message)})
	}
}

// advance delivers what arrives until a time.
func (n *network) advance(until time.Duration) {
	for {
		first := -1
		for i, l := range n.queue {
			if l.at <= until && (first < 0 || l.at < n.queue[first].at) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		l := n.queue[first]
		n.queue = slices.Delete(n.queue, first, first+1)
		n.now = max(n.now, l.at)
		if slices.Contains(n.nodes, l.to) {
			l.to.take(n.now, l.message)
		}
	}
	n.now = until
}

// run lets time pass, in steps of a tick, in which do is called.
func (n *network) run(d time.Duration, do func()) {
	for end := n.now + d; n.now < end; {
		for range 5 {
			do()
			for _, s := range n.nodes {
				s.flush()
			}
			n.advance(n.now + beatEvery/5)
		}
		for _, s := range n.nodes {
			s.beat(0)
			s.tick(n.now)
		}
	}
}

// kill ends a node without a word.
func (n *network) kill(s *simulated) {
	n.nodes = slices.DeleteFunc(n.nodes, func(other *simulated) bool { return other == s })
}

// check finds what a subscriber of a node's channel has not been told.
func (n *network) check(subscriber, publisher *simulated, from int) {
	n.t.Helper()
	next, some := from, false
	for _, heard := range subscriber.heard[publisher.channel()] {
		var lost int
		if heard == "lost some" {
			some = true
			continue
		}
		if _, err := fmt.Sscanf(heard, "lost %d", &lost); err == nil {
			next += lost
			continue
		}
		event, _ := strconv.Atoi(heard)
		if event < next || event > next && !some {
			n.t.Fatalf("%s hears event %d of %s where %d is next", subscriber.name, event, publisher.name, next)
		}
		next, some = event+1, false
	}
	if next <= publisher.sent && !some {
		n.t.Fatalf("%s has not heard of event %d of %s, which has published %d", subscriber.name, next, publisher.name, publisher.sent)
	}
}

// Whatever the network does, the subscribers of each node get what every other node has
// published in its order, each event once, or are told that some are missing. Once the
// network is whole, nothing is left out untold.
func TestExchange(t *testing.T) {
	for seed := range uint64(*seeds) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			n := &network{t: t, rand: rand.New(rand.NewPCG(seed, 0)), split: map[*simulated]bool{}}
			started := map[[2]*simulated]int{} // what a publisher had published when a subscriber began
			begin := func(name string) *simulated {
				s := n.start(name)
				for range 3 {
					n.run(beatEvery, func() {})
				}
				for _, other := range n.all {
					started[[2]*simulated{s, other}] = other.sent
				}
				s.settle()
				return s
			}
			for i := range 3 {
				begin(string(rune('a' + i)))
			}
			publish := func() {
				for _, s := range n.nodes {
					for range n.rand.IntN(4) {
						s.put(n.rand.IntN(1 << n.rand.IntN(17)))
					}
				}
			}
			for range 6 {
				n.loss = []float64{0, 0.01, 0.3}[n.rand.IntN(3)]
				victim := n.nodes[n.rand.IntN(len(n.nodes))]
				switch n.rand.IntN(5) {
				case 0:
					n.split[victim] = true
					n.run(time.Duration(n.rand.IntN(15000))*time.Millisecond, publish)
					n.split[victim] = false
				case 1:
					victim.put(10) // it is lost with the node
					n.kill(victim)
					n.run(time.Second, publish)
					n.loss = 0
					begin(victim.name)
				case 2:
					publish()
					n.loss = 0
					victim.beat(beatBye)
					n.run(time.Second, func() {})
					n.kill(victim)
					begin(victim.name)
				default:
					n.run(3*time.Second, publish)
				}
			}
			n.loss = 0
			n.run(15*time.Second, func() {})
			for _, subscriber := range n.nodes {
				for _, publisher := range n.all {
					if publisher != subscriber {
						n.check(subscriber, publisher, started[[2]*simulated{subscriber, publisher}]+1)
					}
				}
			}
		})
	}
}

// pair returns two nodes that know each other.
func pair(t *testing.T) (n *network, a, b *simulated) {
	n = &network{t: t, rand: rand.New(rand.NewPCG(1, 1)), split: map[*simulated]bool{}}
	a, b = n.start("a"), n.start("b")
	n.run(2*beatEvery, func() {})
	a.settle()
	b.settle()
	return n, a, b
}

// In a split that is longer than what a node keeps, the others are told how many events of
// which channels they have lost, and get the rest.
func TestLossesAreCounted(t *testing.T) {
	n, a, b := pair(t)
	n.split[b] = true
	const kept = 40
	for range 300 + kept {
		a.put(200_000)
	}
	n.run(time.Second, func() {})
	n.split[b] = false
	n.run(time.Second, func() {})
	heard := b.heard[a.channel()]
	var lost int
	if _, err := fmt.Sscanf(heard[0], "lost %d", &lost); err != nil || lost+len(heard)-1 != a.sent || lost < 250 {
		t.Errorf("got %q, then %d events of %d", heard[0], len(heard)-1, a.sent)
	}
	n.check(b, a, 1)
	if b.counts.toldAll > 0 {
		t.Error("subscribers of all channels were told")
	}
	if b.counts.told != uint64(lost) {
		t.Errorf("%d are counted as told, want %d", b.counts.told, lost)
	}
	for _, m := range a.out.answer(1, 2) {
		b.take(n.now, m) // again
	}
	if got := len(b.heard[a.channel()]); got != len(heard) {
		t.Errorf("what is gone was told again: %d notices and events, want %d", got, len(heard))
	}
}

// If nobody knows any more which channels had what is lost, all subscribers are told.
func TestLossesForgotten(t *testing.T) {
	n, a, b := pair(t)
	n.split[b] = true
	for range 30 {
		for i := range 10_000 {
			a.out.put(&record{hub: []byte("/"), channel: strconv.AppendInt([]byte("some-channel-with-a-long-name-"), int64(i), 10), event: []byte("e")})
		}
	}
	n.run(time.Second, func() {})
	n.split[b] = false
	n.run(time.Second, func() {})
	if b.counts.toldAll != 1 {
		t.Errorf("all were told %d times, want once", b.counts.toldAll)
	}
	a.put(1)
	n.run(beatEvery, func() {})
	if heard := b.heard[a.channel()]; !slices.Equal(heard, []string{"lost some", "1"}) {
		t.Errorf("got %q", heard)
	}
}

// What a node keeps is bounded, whatever it publishes and whoever does not hear it.
func TestMemoryIsBounded(t *testing.T) {
	n, a, b := pair(t)
	for range 3000 {
		a.put(60_000)
		if a.out.bytes > ringMax+batchMax || a.out.traced > traceMax {
			t.Fatalf("%d bytes are kept, and %d of counts", a.out.bytes, a.out.traced)
		}
	}
	n.loss = 0.9 // so that b has gaps that stay
	n.run(2*time.Second, func() { a.put(60_000) })
	for range 300 {
		a.put(60_000)
		for _, m := range a.out.take() {
			b.take(n.now, m)
		}
	}
	for _, p := range b.peers {
		if p.bytes > heldMax {
			t.Errorf("%d bytes are held", p.bytes)
		}
	}
}

// An event that NATS has no room for is told as lost, and the others come.
func TestTooLarge(t *testing.T) {
	n, a, b := pair(t)
	a.out.setMax(10_000)
	a.put(1)
	a.put(10_000)
	a.put(9_000)
	n.run(beatEvery, func() {})
	if heard := b.heard[a.channel()]; !slices.Equal(heard, []string{"1", "lost 1", "3"}) {
		t.Errorf("got %q", heard)
	}
}

// A node that ends in order leaves nothing to tell; one that is killed does, once.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*simulated)
		want []string
	}{
		{"in order", func(s *simulated) { s.beat(beatBye) }, []string{"1"}},
		{"in order, while its clock still runs", func(s *simulated) { s.beat(beatBye); s.beat(0) }, []string{"1"}},
		{"killed", func(*simulated) {}, []string{"1", "lost some"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, a, b := pair(t)
			a.put(1)
			n.run(beatEvery, func() {})
			tt.end(a)
			n.run(beatEvery, func() {})
			n.kill(a)
			n.run(30*time.Second, func() {})
			if heard := b.heard[a.channel()]; !slices.Equal(heard, tt.want) {
				t.Errorf("got %q, want %q", heard, tt.want)
			}
		})
	}
}

// A node that was killed and is started again is known once from then on, by the incarnation
// that answers, whether it was away for a moment or for long. Its loss is told once.
func TestStartedAgain(t *testing.T) {
	for _, away := range []time.Duration{0, 2 * beatEvery, time.Second, goneAfter + 2*time.Second} {
		t.Run(away.String(), func(t *testing.T) {
			n, a, b := pair(t)
			n.kill(b)
			n.run(away, func() {})
			again := n.start("b")
			n.run(time.Second, func() {})
			if others := a.others(); len(others) != 1 || others[0].id != again.id {
				t.Errorf("got %+v, want %x alone", others, again.id)
			}
			n.run(2*goneAfter, func() {})
			if a.counts.toldAll != 1 {
				t.Errorf("all were told %d times, want once", a.counts.toldAll)
			}
		})
	}
}

// Two nodes that have one name by mistake stay known, also if one of them was not heard for a
// while.
func TestOneNameTwice(t *testing.T) {
	n, a, b := pair(t)
	twin := n.start("b")
	known := func() bool {
		others := a.others()
		return len(others) == 2 && others[0].id+others[1].id == b.id+twin.id
	}
	if n.run(5*time.Second, func() {}); !known() {
		t.Errorf("got %+v, want both", a.others())
	}
	n.split[b] = true
	n.run(goneAfter+time.Second, func() {})
	if others := a.others(); len(others) != 1 || others[0].id != twin.id {
		t.Errorf("one is away: got %+v, want %x alone", others, twin.id)
	}
	n.split[b] = false
	if n.run(time.Second, func() {}); !known() {
		t.Errorf("both are back: got %+v", a.others())
	}
}

// A gap that nobody mends is told in the end, also if nothing comes after it.
func TestGapThatStays(t *testing.T) {
	n, a, b := pair(t)
	a.put(1)
	n.run(beatEvery, func() {})
	a.put(1)
	for range a.out.take() { // no other node gets it
		a.out.ring[len(a.out.ring)-1] = nil // nor when it asks
	}
	n.run(gapMax+beatEvery, func() {})
	if heard := b.heard[a.channel()]; !slices.Equal(heard, []string{"1"}) {
		t.Errorf("got %q too early", heard)
	}
	n.run(goneAfter, func() {})
	if heard := b.heard[a.channel()]; !slices.Equal(heard, []string{"1", "lost some"}) {
		t.Errorf("got %q", heard)
	}
	a.put(1)
	n.run(beatEvery, func() {})
	if heard := b.heard[a.channel()]; !slices.Equal(heard, []string{"1", "lost some", "3"}) {
		t.Errorf("got %q", heard)
	}
}

// What no node sends is not obeyed: numbers that none reaches, batches without an event, names
// that none has. What is held of a node is bounded, however small its batches are.
func TestGarbage(t *testing.T) {
	_, a, b := pair(t)
	event := &record{hub: []byte("/"), channel: []byte("c"), event: []byte("e")}
	const stranger = 77
	for name, message := range map[string][]byte{
		"a batch before the first":  appendRecord(appendNumbered(nil, kindBatch, stranger, 0), event),
		"a batch of no number":      appendRecord(appendNumbered(nil, kindBatch, stranger, 1<<64-1), event),
		"a batch without events":    appendNumbered(nil, kindBatch, b.id, 1),
		"a beat of no number":       appendBeat(nil, stranger, beat{"c", 1<<64 - 1, 0, 0, 0}),
		"a name of several lines":   appendBeat(nil, stranger, beat{"c\nlevel=ERROR", 0, 0, 0, 0}),
		"no name":                   appendBeat(nil, stranger, beat{"", 0, 0, 0, 0}),
		"what is gone of no number": appendRecord(appendNumbered(nil, kindGone, b.id, 1<<64-1), &record{hub: []byte("/"), channel: []byte("c"), lost: 1}),
	} {
		unknown := a.counts.unknown
		a.take(a.net.now, message)
		if a.counts.unknown != unknown+1 || len(a.peers) != 1 || a.counts.events+a.counts.told+a.counts.toldAll > 0 {
			t.Errorf("%s is obeyed: %+v, %d nodes", name, a.counts, len(a.peers))
		}
	}
	for i := range uint64(10_000) {
		a.take(a.net.now, appendRecord(appendNumbered(nil, kindBatch, b.id, 2+i), event))
	}
	if held := len(a.peers[b.id].held); held > heldMax/heldCost {
		t.Errorf("%d batches are held", held)
	}
}

// A node that was told to be gone is forgotten in the end, and so is what it had told.
func TestForgotten(t *testing.T) {
	n, a, b := pair(t)
	n.kill(b)
	l := newLearner(1, func(uint64, []byte) {})
	if err := l.take(n.now, kindVersions, b.id, appendVersions(nil, b.id, 0, new([shards]uint64))[headSize:]); err != nil {
		t.Fatal(err)
	}
	n.now += knownFor
	for range 2 {
		n.now += time.Minute
		a.tick(n.now)
		l.tick(n.now)
	}
	if len(a.peers) > 0 || len(l.owners) > 0 {
		t.Errorf("%d nodes are known, and %d that have told something", len(a.peers), len(l.owners))
	}
}

// A node that is heard for the first time, and has published before, may have been missed.
func TestHeardLate(t *testing.T) {
	n, a, _ := pair(t)
	a.take(n.now, appendBeat(nil, 77, beat{"c", 5, 0, 0, 0}))
	a.take(n.now, appendBeat(nil, 78, beat{"d", 0, 0, 0, 0}))
	if a.counts.toldAll != 1 {
		t.Errorf("all were told %d times, want once", a.counts.toldAll)
	}
}

// What a node that has ended in order still owes is told, once.
func TestEndsWithGap(t *testing.T) {
	n, a, b := pair(t)
	b.put(1)
	b.out.take() // nobody gets it
	b.beat(beatBye)
	n.kill(b) // before it is asked
	n.run(gapMax+time.Second, func() {})
	if a.counts.toldAll != 1 {
		t.Errorf("all were told %d times, want once", a.counts.toldAll)
	}
}

// A batch that comes twice while it is held counts once.
func TestHeldTwice(t *testing.T) {
	p := &peer{next: 1, top: 5}
	for range 2 {
		p.hold(3, []byte("records"))
	}
	if p.skip(5); p.bytes != 0 || len(p.held) > 0 {
		t.Errorf("%d bytes of %d batches are held", p.bytes, len(p.held))
	}
}

// The facts of a node that has ended in order stay over, also if a message of it is late.
func TestFactsStayOver(t *testing.T) {
	asked := 0
	l := newLearner(1, func(uint64, []byte) { asked++ })
	versions := new([shards]uint64)
	tell := func(flags byte) {
		t.Helper()
		if err := l.take(time.Second, kindVersions, 2, appendVersions(nil, 2, flags, versions)[headSize:]); err != nil {
			t.Fatal(err)
		}
	}
	tell(factsBye)
	versions[3] = 7
	if tell(0); asked > 0 {
		t.Error("a node that has ended is asked for what it has")
	}
}

// What is no message of a node changes nothing, and is counted.
func FuzzTake(f *testing.F) {
	f.Add(appendBeat(nil, 5, beat{"n", 7, beatHello, 0, 0}))
	f.Add(appendRecord(appendNumbered(nil, kindBatch, 5, 8), &record{hub: []byte("/"), channel: []byte("c"), event: []byte("e"), data: []byte("1"), key: []byte("k")}))
	f.Add(appendRecord(appendNumbered(nil, kindGone, 5, 8), &record{hub: []byte("/"), channel: []byte("c"), lost: 3}))
	f.Add(appendAsk(nil, 5, 1, 9))
	f.Fuzz(func(t *testing.T, message []byte) {
		n := &network{t: t, rand: rand.New(rand.NewPCG(1, 1)), split: map[*simulated]bool{}}
		s := n.start("a")
		s.put(10)
		s.flush()
		s.take(0, appendBeat(nil, 5, beat{"n", 7, 0, 0, 0}))
		known := maps.Clone(s.peers)
		s.take(0, message)
		if s.counts.unknown > 0 && (len(s.peers) != len(known) || s.counts.events > 0) {
			t.Errorf("a message that is counted as unreadable was obeyed")
		}
	})
}

// A node sees that the clock of another one is ahead, and that two have one name.
func TestDoubledAndSkewed(t *testing.T) {
	log := new(strings.Builder)
	n := alone()
	n.log = slog.New(slog.NewTextHandler(log, nil))
	wall := time.Now().UnixMilli()
	n.exchange.wall = func() int64 { return wall }
	hear := func(id uint64, name string, ahead int64) {
		n.exchange.take(measure.Now(), appendBeat(nil, id, beat{name, 0, 0, 0, wall + ahead}))
	}
	hear(2, "b", 4000)
	hear(3, "c", -7000)
	known := n.warn(nil)
	if text := log.String(); strings.Count(text, "level=") != 1 || !strings.Contains(text, "the clock of another node differs") || !strings.Contains(text, "other=c ahead=-7s") {
		t.Errorf("got %s", text)
	}
	hear(4, "b", 0)
	hear(5, "a", 0) // as this one
	for range 2 {
		known = n.warn(known)
	}
	text := log.String()
	for _, name := range []string{"a", "b"} {
		if strings.Count(text, "two nodes of the cluster have one name; give each its own Node\" name="+name) != 1 {
			t.Errorf("%s: got %s", name, text)
		}
	}
}
