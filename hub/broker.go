package hub

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Broker connects hubs with those of the same name in other processes, the nodes of a
// cluster. Package cluster has one. Its methods may be called from any goroutine, and
// must not block.
type Broker interface {
	// Join makes the broker pass on to h what it gets for a hub of that name: by
	// Receive and Lose. Joining twice changes nothing.
	Join(h *Hub)

	// Send takes an event that this process has published in h, for all others. Those
	// of one publisher are sent in the order in which they come. The slices of m are
	// not kept.
	Send(h *Hub, m pubsub.Message)

	// Behind reports whether events come faster than they can be sent. Clients that
	// publish are slowed then, and the program gets ErrOverloaded.
	Behind() bool
}

// A Caller is a Broker that also carries what one process asks all others to do.
type Caller interface {
	Broker

	// Serve makes f answer what other processes ask about a topic. It runs on
	// goroutines of the broker; ctx is done when the asker waits no longer. Serve calls it
	// with the standing questions that have come before, whose answers nobody hears. A
	// second f takes the place of the first one, and gets them too.
	Serve(topic string, f func(ctx context.Context, question []byte) (answer []byte, err error))

	// Call asks all other processes something, and returns what each of them says: also
	// of those that are known and have not answered before ctx is done, or cannot.
	//
	// If keep is positive, the question stands for that time: a process that could not
	// hear it gets it when it can, also one that starts later. So f may get such a question
	// twice. ErrStanding says that too many stand already; then nobody was asked.
	Call(ctx context.Context, topic string, question []byte, keep time.Duration) ([]Answer, error)

	// Nodes returns the names of the processes that are there, this one first.
	Nodes() []string
}

// An Answer is what another process says to a Call.
type Answer struct {
	Node string // its name
	Data []byte
	Err  error // nil if it has answered; ErrNoAnswer, or what it says is wrong
}

// Errors of a Caller.
var (
	ErrNoAnswer = errors.New("webrocket: the node has not answered")
	ErrStanding = errors.New("webrocket: too much is kept for nodes that are away")
)

// A Teller is a Broker that also carries what holds in one process for as long as it says so:
// who is present there, for one. If that process ends, so does what it has told.
type Teller interface {
	Broker

	// Tell makes a fact of a hub known to all others, in place of one that differs in its
	// Value alone. Untell ends it. The broker gives the facts of other processes to Hub.Learn
	// and Hub.Unlearn; those that a hub has not wanted, again at the next Join.
	Tell(h *Hub, f Fact)
	Untell(h *Hub, f Fact)
}

// A Fact is something that holds in one process. Kind, Channel and Name are what it is
// about.
type Fact struct {
	Kind          byte
	Channel, Name string
	Value         string
}

// Kinds of facts that a hub itself tells. Protocols have others.
const factPresence = 'p' // a connection, by its name, is present in a channel

// A Learner gets facts of one kind from other processes.
type Learner interface {
	// Learn is called with a fact, and again with each change of its value; known is what
	// the call before has returned, nil for none. It must not return nil. Unlearn ends it.
	Learn(f Fact, known any) any
	Unlearn(f Fact, known any)
}

// LearnFacts gives the hub a Learner of facts, which are of a kind that a protocol has. It
// gets those that are known at the next Join.
func (h *Hub) LearnFacts(kind byte, l Learner) { h.learners.Store(kind, l) }

// Tell makes a fact known to other processes, if there are any. Any goroutine.
func (h *Hub) Tell(f Fact) {
	if t, ok := h.others().(Teller); ok {
		t.Tell(h, f)
	}
}

// Untell ends a fact.
func (h *Hub) Untell(f Fact) {
	if t, ok := h.others().(Teller); ok {
		t.Untell(h, f)
	}
}

// Learn takes a fact of another process, and returns nil if the hub has no use for it. Any
// goroutine.
func (h *Hub) Learn(f Fact, known any) any {
	if l, ok := h.learners.Load(f.Kind); ok {
		return l.(Learner).Learn(f, known)
	}
	return nil
}

// Unlearn ends what Learn began, with what that has returned.
func (h *Hub) Unlearn(f Fact, known any) {
	if l, ok := h.learners.Load(f.Kind); ok {
		l.(Learner).Unlearn(f, known)
	}
}

// Join makes the hub send its events to a broker, for good. It must be called before the
// hub has sessions; later calls with the same broker change nothing.
func (h *Hub) Join(b Broker) {
	h.broker.Store(&b)
	h.served.Range(func(topic, f any) bool {
		h.serve(topic.(string), f.(func(context.Context, []byte) ([]byte, error)))
		return true
	})
	h.joining.Store(true)
	defer h.joining.Store(false)
	b.Join(h)
}

// Joining reports whether the facts that a Learner gets have held before this hub joined
// the others.
func (h *Hub) Joining() bool { return h.joining.Load() }

// Serve makes f answer what the hubs of that name in other processes ask by Call, as that of
// a Caller does.
func (h *Hub) Serve(topic string, f func(ctx context.Context, question []byte) ([]byte, error)) {
	h.served.Store(topic, f)
	h.serve(topic, f)
}

func (h *Hub) serve(topic string, f func(context.Context, []byte) ([]byte, error)) {
	if c, ok := h.others().(Caller); ok {
		c.Serve(h.topic(topic), f)
	}
}

// topic is the name of a topic of this hub among those of all.
func (h *Hub) topic(topic string) string { return topic + " " + h.name }

// Call asks the hubs of that name in other processes, as that of a Caller does. Without
// others there is no answer.
func (h *Hub) Call(ctx context.Context, topic string, question []byte) ([]Answer, error) {
	if c, ok := h.others().(Caller); ok {
		return c.Call(ctx, h.topic(topic), question, 0)
	}
	return nil, nil
}

// OnDuty reports whether this process is the one of all that does something which is to be
// done once, for a key. While the processes do not agree who is there, none may be, or two.
// Without others it is true.
func (h *Hub) OnDuty(key string) bool {
	c, ok := h.others().(Caller)
	if !ok {
		return true
	}
	nodes := c.Nodes()
	best := slices.MaxFunc(nodes, func(a, b string) int {
		return cmp.Or(cmp.Compare(weight(a, key), weight(b, key)), cmp.Compare(a, b))
	})
	return best == nodes[0]
}

// weight is how much a node is for a key: all compute the same.
func weight(node, key string) uint64 {
	f := fnv.New64a()
	_, _ = f.Write([]byte(key + "\x00" + node))
	h := f.Sum64()
	h ^= h >> 33 // FNV alone does not spread what differs at the end
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

// FindSession makes f return the session that an ExceptName of another process means, nil
// if it is not one of this process. Any goroutine calls f.
func (h *Hub) FindSession(f func(name string) *Session) { h.find.Store(&f) }

// others returns the broker of the hub, nil if the hub is alone.
func (h *Hub) others() Broker {
	if b := h.broker.Load(); b != nil {
		return *b
	}
	return nil
}

// Receive publishes an event that was published in another process: it is not sent
// again, and who may publish it has been decided. A channel that does not exist here is
// no error. It returns ErrOverloaded where subscribers cannot be served as fast as events
// come: then nobody has got the event, and it is to be tried again. m.At is set. Any
// goroutine.
func (h *Hub) Receive(m pubsub.Message) error {
	m.At = measure.Now()
	h.findExcept(&m)
	_, err := h.table.Publish(m, pubsub.Refuse.Within(h.settings.Load().MaxChannels).Anywhere())
	// It is heard by nobody, but would have been kept; or it should have come by a Sequencer:
	// the other process has other rules, or does not store what it publishes.
	if errors.Is(err, ErrFull) || errors.Is(err, pubsub.ErrPlaced) {
		h.table.Lose(m.Channel, 1, m.At)
		return nil
	}
	return err
}

// findExcept finds the session of this process that does not get an event, if it is one.
func (h *Hub) findExcept(m *pubsub.Message) {
	if find := h.find.Load(); m.ExceptName != "" && find != nil {
		if s := (*find)(m.ExceptName); s != nil {
			m.Except = &s.subscriber
		}
	}
}

// Lose tells the subscribers of a channel that n events did not come from other
// processes; 0: some, perhaps. What the channel keeps goes. Any goroutine.
func (h *Hub) Lose(channel string, n uint64) {
	h.table.Lose([]byte(channel), n, measure.Now())
}

// LoseAll is Lose with 0 for every channel, spread over the time that wait takes: it is
// called often, and waits for that part of the whole. Any goroutine.
func (h *Hub) LoseAll(over time.Duration, wait func(time.Duration)) {
	h.table.LoseAll(measure.Now, func(parts int) { wait(over / time.Duration(parts)) })
}

// nameable reports whether a channel can have that name. Where there is no rule, no other
// process and no pattern that is heard this need not be asked: such a channel does not exist.
func (s *settings) nameable(channel []byte) bool {
	return len(channel) <= s.MaxChannelName && codec.ValidChannelName(channel)
}
