package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Node is this process as a part of a cluster. It is a hub.Broker: set it as
// webrocket.Server.Broker before the server starts. Make it with Start.
type Node struct {
	config   Config
	log      *slog.Logger
	exchange *exchange
	conn     *nats.Conn
	subjects subjects
	calls    *calls
	teller   *teller
	learner  *learner
	hubs     sync.Map // *hub.Hub by name
	logs     *logs    // nil: each node keeps the histories of its own

	complaints complaints

	connected  atomic.Bool            // asking conn could block an event loop
	denied     atomic.Pointer[string] // what NATS does not permit on conn, since it connected; nil: nothing
	copied     atomic.Bool            // the server in this process has had all that it should store
	reconnects atomic.Uint64
	wake       chan struct{} // there is something to send
	learned    chan struct{} // facts have come
	loseAll    chan struct{} // all subscribers are to be told
	done       chan struct{} // closed by Close
	closing    sync.Once
	running    sync.WaitGroup
}

// subjects are where nodes of one cluster talk.
type subjects struct {
	all    string // what this node says to all
	heard  string // what all say to all
	to     string // before the incarnation of one
	ask    string // what this node asks all
	asked  string // what all ask all
	answer string // before the incarnation of one that has asked
	facts  string // what this node tells that holds
	told   string // what all tell
	want   string // before the incarnation of one whose facts are wanted
}

func subjectsOf(name string, id uint64) subjects {
	prefix := "rk." + name + "."
	return subjects{
		all: prefix + "c." + token(id), heard: prefix + "c.*", to: prefix + "to.",
		ask: prefix + "q." + token(id), asked: prefix + "q.*", answer: prefix + "a.",
		facts: prefix + "p." + token(id), told: prefix + "p.*", want: prefix + "w.",
	}
}

func token(id uint64) string { return strconv.FormatUint(id, 36) }

// Times of a Node.
const (
	connectMax = 2 * time.Second        // that Start waits for a connection
	settleMin  = 500 * time.Millisecond // that it waits for the beats of others
	settleMax  = 2 * time.Second        // that it waits for nodes which should be there
	retryAfter = time.Millisecond       // between attempts to deliver where subscribers are not fast enough
	warnEvery  = 20                     // beats, after which this node looks for what is wrong with others, or with its permissions
	heardIn    = 2 * time.Second        // that a server has to say what it does not permit, before a connection counts
	toldOver   = 5 * time.Second        // over which all subscribers are told that some events may be lost
)

// pendingMax is how many bytes of messages may wait here before NATS drops some. They are
// asked for again then.
const pendingMax = 64 << 20

// Start connects a node to its cluster. It waits for some time for the servers and the other
// nodes, and goes on trying in the background if they are not there: the hubs serve
// their own clients meanwhile. An error says what is wrong with the settings. Close ends it.
//
// GOMAXPROCS should be above the number of event loops of the process: loops that wait keep
// a processor each, and if they have all, what comes from other nodes is noticed up to 10 ms
// late. By default there are as many loops as GOMAXPROCS was when the server started.
func Start(c Config) (*Node, error) {
	c.Name = cmp.Or(c.Name, DefaultName)
	if err := c.check(); err != nil {
		return nil, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // it does not fail
	n := &Node{
		config: c, log: cmp.Or(c.Log, slog.Default()).With("cluster", c.Name, "node", c.Node),
		wake: make(chan struct{}, 1), learned: make(chan struct{}, 1), loseAll: make(chan struct{}, 1), done: make(chan struct{}),
	}
	n.exchange = newExchange(binary.LittleEndian.Uint64(id[:])|1, c.Node, n)
	n.subjects = subjectsOf(c.Name, n.exchange.id)
	n.calls = newCalls(n)
	n.teller = newTeller(n.exchange.id)
	n.learner = newLearner(n.exchange.id, n.askOwner)
	if c.Streams != nil {
		n.logs = newLogs(n, *c.Streams)
	}
	first := make(chan struct{}) // closed when there is a connection
	if err := n.connect(sync.OnceFunc(func() { close(first) })); err != nil {
		return nil, err
	}
	if err := n.logs.connect(); err != nil {
		n.conn.Close()
		return nil, err
	}
	n.running.Go(n.send)
	n.running.Go(n.keepTime)
	n.running.Go(n.judge)
	n.running.Go(n.tellAllLost)
	n.running.Go(n.tellGuests)
	n.settle(first)
	return n, nil
}

// connect begins to connect. up is called when there is a connection.
func (n *Node) connect(up func()) error {
	subscribed := make(chan struct{}) // closed when conn is set, and hears what others answer
	defer close(subscribed)
	var err error
	n.conn, err = n.dial("rocket "+n.config.Node,
		nats.NoEcho(),
		nats.ConnectHandler(func(*nats.Conn) { <-subscribed; n.isConnected(up) }),
		nats.ReconnectHandler(func(*nats.Conn) { n.reconnects.Add(1); <-subscribed; n.isConnected(up) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			n.connected.Store(false)
			if err != nil {
				n.log.Warn("the connection to NATS is lost; this process serves its own clients meanwhile", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { n.report(err) }),
	)
	if err != nil {
		return err
	}
	own := token(n.exchange.id)
	for subject, receive := range map[string]nats.MsgHandler{
		n.subjects.heard: n.receive, n.subjects.to + own: n.receive,
		n.subjects.asked: n.calls.receive, n.subjects.answer + own: n.calls.receive,
		n.subjects.told: n.receiveFacts, n.subjects.want + own: n.receiveWant,
	} {
		s, err := n.conn.Subscribe(subject, receive)
		if err == nil {
			err = s.SetPendingLimits(-1, pendingMax)
		}
		if err != nil {
			n.conn.Close()
			return err
		}
	}
	return nil
}

// dial begins a connection to NATS, which is made again whenever it breaks.
func (n *Node) dial(name string, more ...nats.Option) (*nats.Conn, error) {
	options := append([]nats.Option{
		nats.Name(name), nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.ReconnectBufSize(-1), // what cannot be sent now is kept here, and asked for
		nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2), nats.FlusherTimeout(5 * time.Second),
		nats.IgnoreAuthErrorAbort(), // the login may be good again later
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			n.complaints.log(n.log, natsError, err)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { n.complaints.log(n.log, "NATS cannot be reached", err) }),
	}, more...)
	c := &n.config
	switch {
	case c.Credentials != "":
		options = append(options, nats.UserCredentials(c.Credentials))
	case c.Token != "":
		options = append(options, nats.Token(c.Token))
	case c.User != "":
		options = append(options, nats.UserInfo(c.User, c.Password))
	}
	if c.TLS != nil {
		options = append(options, nats.Secure(c.TLS))
	}
	if c.Embedded != nil {
		options = append(options, nats.InProcessServer(c.Embedded), nats.UserInfo(c.Embedded.Login()))
	}
	return nats.Connect(strings.Join(c.Servers, ","), options...)
}

// report takes an error of NATS on the connection over which the nodes talk.
func (n *Node) report(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		n.complaints.log(n.log, natsError, err)
		return
	}
	text := strings.TrimPrefix(err.Error(), nats.ErrPermissionViolation.Error()+": ")
	n.denied.Store(&text)
	n.complaints.log(n.log, "NATS does not permit what a node needs; this one does not hear others, or is not heard, and is not ready", err)
}

// isConnected notes a connection, new or again. The server says what it does not permit of what
// was sent to it before it answers the flush, so that this is known when the node counts as
// connected.
func (n *Node) isConnected(up func()) {
	if most := n.conn.MaxPayload(); most > 0 {
		n.exchange.out.setMax(int(most))
		n.teller.setMax(int(most))
	}
	n.exchange.beat(beatHello)
	_ = n.conn.FlushTimeout(heardIn) // without a connection this will be called again
	if err := n.conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		n.report(err)
	} else {
		n.denied.Store(nil)
		n.log.Info("connected to NATS", "server", n.conn.ConnectedServerName())
	}
	n.connected.Store(true)
	up()
}

// settle waits until the other nodes are known, and what stands there.
func (n *Node) settle(connected <-chan struct{}) {
	defer n.exchange.settle()
	select {
	case <-connected:
	case <-time.After(connectMax):
		n.log.Warn("NATS is not there yet; this process serves its own clients meanwhile")
		return
	}
	want := 0
	if n.config.Embedded != nil {
		want = n.config.Embedded.Peers()
	}
	for waited := time.Duration(0); ; waited += beatEvery {
		whole := n.exchange.alive() >= want && n.learner.informed()
		if informed := n.calls.fetch(measure.Now()); waited >= settleMax || waited >= settleMin && whole && informed {
			return
		}
		time.Sleep(beatEvery)
		n.exchange.beat(beatHello)
	}
}

// Join makes Node a hub.Broker.
func (n *Node) Join(h *hub.Hub) {
	_, before := n.hubs.Swap(h.Name(), h)
	n.learner.join(h.Name(), h)
	n.wakeGuests()
	if !before {
		n.logs.join(h)
	}
}

// Send makes Node a hub.Broker.
func (n *Node) Send(h *hub.Hub, m pubsub.Message) {
	n.exchange.out.put(&record{
		hub: []byte(h.Name()), channel: m.Channel, event: m.Event, data: m.Data, key: m.Key,
		user: []byte(m.User), except: []byte(m.ExceptName),
	})
	n.wakeSender()
}

func (n *Node) wakeSender() {
	select {
	case n.wake <- struct{}{}:
	default: // it is awake
	}
}

// Behind makes Node a hub.Broker. Without a connection nobody is slowed: what is published
// meanwhile is kept, and asked for later.
func (n *Node) Behind() bool {
	return n.connected.Load() && n.exchange.out.behind() || n.logs.behind()
}

// send sends what is put into the outbox, and the changes of facts.
func (n *Node) send() {
	for {
		select {
		case <-n.wake:
			n.exchange.flush()
			n.teller.flush(n.sendFacts)
		case <-n.done:
			return
		}
	}
}

// keepTime says how far this node has come, and looks after the others. It waits for nobody:
// else a node whose subscribers are too slow would be taken for lost.
func (n *Node) keepTime() {
	beats := time.NewTicker(beatEvery)
	defer beats.Stop()
	var wrong map[string]bool
	for i := 0; ; i++ {
		select {
		case <-beats.C:
			if i%warnEvery == 0 {
				wrong = n.warn(wrong)
				n.askPermission()
			}
			n.exchange.beat(0)
			n.calls.fetch(measure.Now())
			n.teller.beat(0, n.sendFacts)
			n.learner.tick(measure.Now())
			n.wakeGuests()
			n.logs.begin()
		case <-n.done:
			return
		}
	}
}

// askPermission connects anew where NATS has denied something: a server whose settings were
// mended does not say so, and does not take up a subscription that it has denied.
func (n *Node) askPermission() {
	if n.connected.Load() && n.denied.Load() != nil {
		_ = n.conn.ForceReconnect() // it fails if the node has ended
	}
}

// judge finds nodes that are gone, and gaps that stay. Like those who deliver what comes it
// waits while subscribers are too slow.
func (n *Node) judge() {
	times := time.NewTicker(beatEvery)
	defer times.Stop()
	for {
		select {
		case <-times.C:
			n.exchange.tick(measure.Now())
		case <-n.done:
			return
		}
	}
}

// tellAllLost tells all subscribers that some events may be lost, when it is asked for.
func (n *Node) tellAllLost() {
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-n.done:
		}
	}
	for {
		select {
		case <-n.loseAll:
			n.log.Warn("events of other nodes may be missing; all subscribers are told")
			n.hubs.Range(func(_, h any) bool {
				h.(*hub.Hub).LoseAll(toldOver, wait)
				return true
			})
		case <-n.done:
			return
		}
	}
}

// receive takes a message from NATS.
func (n *Node) receive(m *nats.Msg) { n.exchange.take(measure.Now(), m.Data) }

// tellAll makes Node a world. What cannot be sent is asked for again.
func (n *Node) tellAll(message []byte) { _ = n.conn.Publish(n.subjects.all, message) }

// tell makes Node a world.
func (n *Node) tell(node uint64, message []byte) {
	_ = n.conn.Publish(n.subjects.to+token(node), message)
}

// publish makes Node a world. It waits for subscribers that cannot be served as fast as
// events come: then more waits in the client of NATS, up to pendingMax.
func (n *Node) publish(r *record) {
	h, ok := n.hubs.Load(string(r.hub))
	if !ok {
		return // another node serves a hub that this one does not
	}
	m := pubsub.Message{
		Channel: r.channel, Event: r.event, Data: r.data, Key: r.key, User: string(r.user), ExceptName: string(r.except),
	}
	for errors.Is(h.(*hub.Hub).Receive(m), hub.ErrOverloaded) {
		select {
		case <-time.After(retryAfter):
		case <-n.done:
			return
		}
	}
}

// lose makes Node a world.
func (n *Node) lose(r *record) {
	if r == nil {
		select {
		case n.loseAll <- struct{}{}:
		default: // it is asked for already
		}
		return
	}
	if h, ok := n.hubs.Load(string(r.hub)); ok {
		h.(*hub.Hub).Lose(string(r.channel), r.lost)
	}
}

// Ready reports whether there is a connection to NATS on which nothing was denied and, if the
// histories are replicated, whether this node follows all logs, is not cut off from them, and
// has a copy of what it stores with others: then another node may end.
func (n *Node) Ready() bool {
	return n.connected.Load() && n.denied.Load() == nil && n.logs.ready() && n.hasCopied()
}

// hasCopied reports whether the server in this process, if it stores something, has had all that
// it should store since it has started.
func (n *Node) hasCopied() bool {
	if n.logs == nil || n.config.Embedded == nil || n.copied.Load() {
		return true
	}
	if n.config.Embedded.Whole() != nil {
		return false
	}
	n.copied.Store(true)
	return true
}

// Connected reports whether there is a connection to NATS.
func (n *Node) Connected() bool { return n.connected.Load() }

// How long a node that ends waits for the others and for NATS, and what it asks the others.
const (
	byeWithin   = time.Second
	byeTopic    = "bye"
	flushWithin = 10 * time.Second
)

// Close sends what is left, tells the other nodes that nothing follows, and ends the
// connection. Close it after the server has been shut down. It waits for NATS until ctx is done,
// 10 seconds at most, and returns an error if what is left may not have reached NATS. The other nodes have a second
// to say that it has reached them: the server of NATS may end with this process.
func (n *Node) Close(ctx context.Context) (err error) {
	n.closing.Do(func() {
		n.teller.beat(factsBye, n.sendFacts)
		n.exchange.beat(beatBye)
		if n.connected.Load() {
			whole, cancel := context.WithTimeout(ctx, byeWithin)
			_, _ = n.Call(whole, byeTopic, nil, 0) // nobody serves it: any answer comes after what is left
			cancel()
			within, cancel := context.WithTimeout(ctx, flushWithin) // NATS wants a deadline
			err = n.conn.FlushWithContext(within)
			if cancel(); err != nil {
				err = fmt.Errorf("cluster: the last events may not have reached other nodes: %w", err)
			}
		}
		close(n.done)
		n.calls.end()
		n.logs.close()
		n.conn.Close()
		n.running.Wait()
	})
	return err
}
