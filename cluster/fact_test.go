package cluster

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/hub"
)

var factSeeds = flag.Int("factseeds", 60, "networks that TestFacts simulates")

// A sky is a network that carries facts, and loses, delays and repeats messages.
type sky struct {
	t     *testing.T
	rand  *rand.Rand
	now   time.Duration
	nodes []*star
	queue []ray
	loss  float64 // of messages
	late  float64 // messages that others overtake
}

// A ray is a message on its way.
type ray struct {
	at   time.Duration
	to   *star
	deed func()
}

// A star is a node with facts, and what it knows of others.
type star struct {
	*teller
	*learner
	sky   *sky
	name  string
	truth map[string]int // values of its facts
	next  int            // value; it grows
	known map[string]int // facts of others, as they were learned
	last  map[string]int // the greatest value of each
}

func (s *sky) start(name string) *star {
	n := &star{sky: s, name: name, truth: map[string]int{}, known: map[string]int{}, last: map[string]int{}}
	id := s.rand.Uint64()
	n.teller = newTeller(id)
	n.learner = newLearner(id, func(owner uint64, message []byte) {
		for _, to := range s.nodes {
			if to.teller.from == owner {
				s.send(to, func() { s.receive(to, id, message) })
			}
		}
	})
	n.join("/", n)
	s.nodes = append(s.nodes, n)
	return n
}

// Learn makes star a Learner. What it returns is the name of the fact.
func (n *star) Learn(f hub.Fact, known any) any {
	value, err := strconv.Atoi(f.Value)
	if err != nil || f.Kind != 'k' {
		n.sky.t.Errorf("learned %+v", f)
	}
	if _, ok := n.known[f.Name]; ok != (known != nil) || ok && known != any(f.Name) {
		n.sky.t.Fatalf("%s: %s is learned with %v, and known: %v", n.name, f.Name, known, ok)
	}
	if value < n.last[f.Name] {
		n.sky.t.Fatalf("%s: %s goes from %d back to %d", n.name, f.Name, n.last[f.Name], value)
	}
	n.known[f.Name], n.last[f.Name] = value, value
	return f.Name
}

// Unlearn makes star a Learner.
func (n *star) Unlearn(f hub.Fact, known any) {
	if _, ok := n.known[f.Name]; !ok || known != any(f.Name) {
		n.sky.t.Fatalf("%s: %s is unlearned with %v, and known: %v", n.name, f.Name, known, ok)
	}
	delete(n.known, f.Name)
}

// change makes something true, or not true any more.
func (n *star) change() {
	name := fmt.Sprintf("%x-%d", n.teller.from, n.sky.rand.IntN(200))
	k := factKey{hub: "/", channel: "c", name: name, kind: 'k'}
	if _, ok := n.truth[name]; ok && n.sky.rand.IntN(2) == 0 {
		delete(n.truth, name)
		n.unset(k)
		return
	}
	n.next++
	n.truth[name] = n.next
	n.set(k, strconv.Itoa(n.next))
}

func (n *star) tellAll(message []byte) {
	for _, to := range n.sky.nodes {
		if to != n {
			n.sky.send(to, func() { n.sky.receive(to, n.teller.from, message) })
		}
	}
}

// receive gives a message to a node.
func (s *sky) receive(to *star, _ uint64, message []byte) {
	k, from, rest, err := parseHead(message)
	if err != nil {
		s.t.Fatal(err)
	}
	if k == kindWant {
		mask, _, err := parseNumbered(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		to.want(mask)
		return
	}
	if err := to.learner.take(s.now, k, from, rest); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sky) send(to *star, deed func()) {
	if s.rand.Float64() < s.loss {
		return
	}
	at := s.now + time.Millisecond
	if s.rand.Float64() < s.late {
		at += time.Duration(s.rand.IntN(400)) * time.Millisecond
	}
	s.queue = append(s.queue, ray{at, to, deed})
	if s.rand.IntN(50) == 0 {
		s.queue = append(s.queue, ray{at + time.Second, to, deed})
	}
}

// run lets time pass, in which nodes change what is true.
func (s *sky) run(d time.Duration, changes int) {
	for end := s.now + d; s.now < end; {
		for range 5 {
			for range changes {
				s.nodes[s.rand.IntN(len(s.nodes))].change()
			}
			for _, n := range s.nodes {
				n.flush(n.tellAll)
			}
			s.now += beatEvery / 5
			s.deliver()
		}
		for _, n := range s.nodes {
			n.beat(0, n.tellAll)
			n.tick(s.now)
		}
	}
}

// deliver delivers what has arrived, in the order of its times.
func (s *sky) deliver() {
	slices.SortStableFunc(s.queue, func(a, b ray) int { return int(a.at - b.at) })
	for len(s.queue) > 0 && s.queue[0].at <= s.now {
		r := s.queue[0]
		s.queue = s.queue[1:]
		if slices.Contains(s.nodes, r.to) {
			r.deed()
		}
	}
}

func (s *sky) kill(n *star) {
	s.nodes = slices.DeleteFunc(s.nodes, func(other *star) bool { return other == n })
}

// check compares what each node knows with what is true.
func (s *sky) check() {
	s.t.Helper()
	for _, n := range s.nodes {
		want := map[string]int{}
		for _, other := range s.nodes {
			for name, value := range other.truth {
				if other != n {
					want[name] = value
				}
			}
		}
		for name, value := range want {
			if got, ok := n.known[name]; !ok || got != value {
				s.t.Fatalf("%s: %s is %d (known: %v), want %d", n.name, name, got, ok, value)
			}
		}
		if facts, _ := n.counts(); len(n.known) != len(want) || facts != len(want) {
			s.t.Fatalf("%s: %d facts are known, and %d counted, want %d", n.name, len(n.known), facts, len(want))
		}
	}
}

// Whatever is lost, late, or comes twice: a value never goes back, and once messages
// arrive again each node knows what holds at each other one, and nothing else. That takes less
// than five seconds, also where a node was killed or cut off.
func TestFacts(t *testing.T) {
	for seed := range uint64(*factSeeds) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			s := &sky{t: t, rand: rand.New(rand.NewPCG(seed, 1))}
			for i := range 3 {
				s.start(string(rune('a' + i)))
			}
			for range 8 {
				s.loss = []float64{0, 0.01, 0.3, 1}[s.rand.IntN(4)]
				s.late = []float64{0, 0.1}[s.rand.IntN(2)]
				s.run(time.Duration(s.rand.IntN(5000))*time.Millisecond, s.rand.IntN(20))
				switch victim := s.nodes[s.rand.IntN(len(s.nodes))]; s.rand.IntN(4) {
				case 0:
					s.kill(victim)
					s.start(victim.name)
				case 1:
					victim.beat(factsBye, victim.tellAll)
					s.kill(victim)
					s.start(victim.name)
				}
				s.loss, s.late = 0, 0
				s.run(4500*time.Millisecond, 0)
				s.check()
			}
		})
	}
}

// A node that is killed takes its facts with it within four seconds; one that ends in order at once.
func TestFactsOfTheDead(t *testing.T) {
	s := &sky{t: t, rand: rand.New(rand.NewPCG(1, 1))}
	a, b, c := s.start("a"), s.start("b"), s.start("c")
	s.run(time.Second, 20)
	s.check()
	s.kill(b)
	s.run(2*time.Second, 0)
	if len(a.known) != len(b.truth)+len(c.truth) {
		t.Error("a node that is silent for two seconds is taken for dead")
	}
	s.run(2*time.Second, 0)
	s.check()
	c.beat(factsBye, c.tellAll)
	s.kill(c)
	s.run(beatEvery, 0)
	s.check()
}

// A million facts come in parts, some with each beat, and messages are not longer than they
// may be. What waits to be sent is bounded, whatever is told.
func TestManyFacts(t *testing.T) {
	s := &sky{t: t, rand: rand.New(rand.NewPCG(1, 1))}
	a := s.start("a")
	const many = 200_000
	for i := range many {
		a.set(factKey{hub: "/", channel: "c", name: strconv.Itoa(i), kind: 'k'}, strconv.Itoa(i+1))
		if a.waiting > factsWaiting {
			t.Fatalf("%d bytes wait", a.waiting)
		}
	}
	b := s.start("b")
	for range 40 {
		sent := 0
		a.beat(0, func(m []byte) {
			if len(m) > factsBatch+1024 {
				t.Fatalf("a message has %d bytes", len(m))
			}
			sent += len(m)
			s.receive(b, 0, m)
		})
		if sent > 2*factsEach+factsWaiting {
			t.Fatalf("%d bytes at once", sent)
		}
		s.now += beatEvery
		s.deliver()
	}
	if len(b.known) != many {
		t.Errorf("%d of %d are known", len(b.known), many)
	}
	a.setMax(1000)
	a.set(factKey{hub: "/", channel: "c", name: "long", kind: 'k'}, string(make([]byte, 1000)))
	if _, ok := a.teller.facts[factKey{hub: "/", channel: "c", name: "long", kind: 'k'}.shard()][factKey{hub: "/", channel: "c", name: "long", kind: 'k'}]; ok {
		t.Error("a fact that no message has room for is told")
	}
}

// What is no message about facts changes nothing that it does not name, and does not crash.
func FuzzFacts(f *testing.F) {
	k := factKey{hub: "/", channel: "c", name: "n", kind: 'k'}
	teller := newTeller(5)
	teller.set(k, "1")
	teller.want(1<<shards - 1)
	teller.beat(0, func(m []byte) { f.Add(m) })
	f.Add(appendWant(nil, 5, 3))
	f.Fuzz(func(t *testing.T, message []byte) {
		kind, from, rest, err := parseHead(message)
		if err != nil {
			return
		}
		l := newLearner(1, func(uint64, []byte) {})
		h, err := hub.New("/", hub.Config{})
		if err != nil {
			t.Fatal(err)
		}
		l.join("/", h)
		_ = l.take(0, kind, from, rest)
		l.tick(time.Hour)
		if n, _ := l.counts(); n != 0 {
			t.Errorf("%d facts of a node that is gone", n)
		}
	})
}
