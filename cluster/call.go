package cluster

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
)

// What nodes ask each other, beside their events. A question goes to all, and the answers
// go to the node that has asked. Those that stand (standing.go) reach all nodes in the end.
const (
	// kindCall is a question: its number, for how many milliseconds it stands, topic, text.
	kindCall kind = 'C'

	// kindReply is the answer to the question of a number: whether it is one, or an
	// error, and the text.
	kindReply kind = 'R'
)

// Limits of calls.
const (
	answering    = 16 // questions of other nodes at a time
	answerWithin = 10 * time.Second
)

type handler = func(ctx context.Context, question []byte) ([]byte, error)

// calls are the questions of a node, and what answers those of others.
type calls struct {
	node   *Node
	slots  chan struct{}   // a question that is being answered has one
	ctx    context.Context // done when the node is closed
	cancel func()

	mu       sync.Mutex
	number   uint64            // of the last question of this node
	waiting  map[uint64]*asked // by number
	handlers map[string]handler
	standing standings
}

// asked is a question that is waited for.
type asked struct {
	left    map[uint64]int // nodes that have not answered: the index of their answer
	waited  map[uint64]bool
	answers []hub.Answer
	done    chan struct{} // closed when all have answered that are waited for
}

func newCalls(n *Node) *calls {
	c := &calls{
		node: n, slots: make(chan struct{}, answering), waiting: make(map[uint64]*asked),
		handlers: make(map[string]handler), standing: newStandings(),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Serve makes Node a hub.Caller.
func (n *Node) Serve(topic string, f func(ctx context.Context, question []byte) ([]byte, error)) {
	c := n.calls
	c.mu.Lock()
	c.handlers[topic] = f
	c.standing.forget(measure.Now())
	var before [][]byte
	for _, s := range c.standing.all {
		if s.topic == topic {
			before = append(before, s.text)
		}
	}
	c.mu.Unlock()
	for _, text := range before {
		_, _ = c.handle(f, text)
	}
}

// Call makes Node a hub.Caller. It waits for the nodes that have been heard of in the last
// second.
func (n *Node) Call(ctx context.Context, topic string, text []byte, keep time.Duration) ([]hub.Answer, error) {
	q := question{min(keep, standMost), topic, text}
	c, now := n.calls, measure.Now()
	a := n.expect(now)
	c.mu.Lock()
	c.number++
	number := c.number
	if keep > 0 {
		if err := c.stand(now, questionID{n.exchange.id, number}, q); err != nil {
			c.mu.Unlock()
			return nil, err
		}
	}
	c.waiting[number] = a
	c.mu.Unlock()
	message := appendQuestion(appendNumbered(nil, kindCall, n.exchange.id, number), q)
	if len(a.waited) > 0 && n.conn.Publish(n.subjects.ask, message) == nil {
		select {
		case <-ctx.Done():
		case <-a.done:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, number)
	slices.SortStableFunc(a.answers, func(a, b hub.Answer) int { return cmp.Compare(a.Node, b.Node) })
	return a.answers, nil
}

// expect returns a question that all nodes should answer.
func (n *Node) expect(now time.Duration) *asked {
	a := &asked{left: make(map[uint64]int), waited: make(map[uint64]bool), done: make(chan struct{})}
	for _, p := range n.exchange.others() {
		a.left[p.id] = len(a.answers)
		a.answers = append(a.answers, hub.Answer{Node: p.name, Err: hub.ErrNoAnswer})
		if now-p.heard < silentAfter {
			a.waited[p.id] = true
		}
	}
	return a
}

// receive takes a message from NATS about questions.
func (c *calls) receive(m *nats.Msg) {
	k, from, rest, err := parseHead(m.Data)
	if err == nil && from == c.node.exchange.id {
		return // one's own
	}
	switch {
	case err != nil:
	case k == kindCall:
		err = c.takeCall(from, rest)
	case k == kindReply:
		err = c.takeReply(from, rest)
	case k == kindFetch:
		err = c.takeFetch(from, rest)
	case k == kindStand:
		err = c.takeStand(from, rest)
	default:
		err = errFrame
	}
	if err != nil {
		c.node.exchange.unreadable()
	}
}

// takeCall answers a question, on a goroutine.
func (c *calls) takeCall(from uint64, b []byte) error {
	number, b, err := parseNumbered(b)
	if err != nil {
		return err
	}
	q, _, err := parseQuestion(b)
	if err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil
	}
	f := c.handlers[q.topic]
	// Where there is no room it does not stand here: those that start later can ask others.
	_ = c.stand(measure.Now(), questionID{from, number}, q)
	c.node.running.Go(func() {
		defer func() { <-c.slots }()
		text, err := c.handle(f, q.text)
		if reply := appendReply(nil, c.node.exchange.id, number, text, err); c.tell(from, reply) != nil {
			_ = c.tell(from, appendReply(nil, c.node.exchange.id, number, nil, errLarge))
		}
	})
	return nil
}

// errLarge is the answer where that has no room in a message, errNobody that of a node which
// has just started, or serves other things.
var (
	errLarge  = errors.New("the answer is larger than a message of NATS")
	errNobody = errors.New("the node does not serve this yet")
)

// end ends what is being answered. What comes from now on is not.
func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
}

// handle answers a question.
func (c *calls) handle(f handler, text []byte) ([]byte, error) {
	if f == nil {
		return nil, errNobody
	}
	ctx, cancel := context.WithTimeout(c.ctx, answerWithin)
	defer cancel()
	return f(ctx, text)
}

// takeReply notes an answer.
func (c *calls) takeReply(from uint64, b []byte) error {
	number, text, failed, err := parseReply(b)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.waiting[number]
	if a == nil {
		return nil // it comes too late
	}
	i, ok := a.left[from]
	if !ok {
		return nil
	}
	delete(a.left, from)
	if a.answers[i].Err = nil; failed {
		a.answers[i].Err = errors.New(string(text))
	} else {
		a.answers[i].Data = text
	}
	if a.waited[from] {
		if delete(a.waited, from); len(a.waited) == 0 {
			close(a.done)
		}
	}
	return nil
}

// tell says something about questions to one node. What is lost is asked for again.
func (c *calls) tell(node uint64, message []byte) error {
	return c.node.conn.Publish(c.node.subjects.answer+token(node), message)
}

// A question is what one node asks all others.
type question struct {
	keep  time.Duration // for how long it stands
	topic string
	text  []byte
}

func appendQuestion(dst []byte, q question) []byte {
	dst = binary.AppendUvarint(dst, uint64(max(q.keep, 0)/time.Millisecond))
	return appendText(appendText(dst, q.topic), q.text)
}

// parseQuestion reads a question from the beginning of b, and returns the rest.
func parseQuestion(b []byte) (q question, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(standMost/time.Millisecond) {
		return question{}, nil, errFrame
	}
	topic, rest, ok := cutText(b[size:])
	if !ok {
		return question{}, nil, errFrame
	}
	text, rest, ok := cutText(rest)
	if !ok {
		return question{}, nil, errFrame
	}
	return question{time.Duration(n) * time.Millisecond, string(topic), text}, rest, nil
}

func appendReply(dst []byte, from, number uint64, answer []byte, err error) []byte {
	dst = appendNumbered(dst, kindReply, from, number)
	if err != nil {
		return append(append(dst, 0), err.Error()...)
	}
	return append(append(dst, 1), answer...)
}

func parseReply(b []byte) (number uint64, text []byte, failed bool, err error) {
	number, b, err = parseNumbered(b)
	if err != nil || len(b) == 0 {
		return 0, nil, false, errFrame
	}
	return number, b[1:], b[0] == 0, nil
}
