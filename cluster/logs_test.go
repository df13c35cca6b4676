package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/cluster/embedded"
)

// longPatience is how long a test waits for what needs an election.
const longPatience = 60 * time.Second

// A keeper is a node of a cluster with replicated history, with a server of WebSocket, both
// of which can be stopped and started again.
type keeper struct {
	config   cluster.Config
	embedded embedded.Config
	node     *cluster.Node
	nats     *embedded.Server // nil if the servers are others
	server   *webrocket.Server
}

func (k *keeper) start(t testing.TB) {
	t.Helper()
	var err error
	if len(k.config.Servers) == 0 {
		if k.nats, err = embedded.Start(k.embedded); err != nil {
			t.Fatal(err)
		}
		k.config.Embedded = k.nats
	}
	if k.node, err = cluster.Start(k.config); err != nil {
		t.Fatal(err)
	}
	h := webrocket.NewJSONHandler()
	h.Rules = []webrocket.Rule{{Match: "**", History: webrocket.History{Size: 10_000, TTL: time.Hour}}}
	k.server = webrocket.NewServer("127.0.0.1:0")
	k.server.Broker = k.node
	if err := k.server.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := k.server.Start(); err != nil {
		t.Fatal(err)
	}
}

func (k *keeper) stop() {
	if k.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = k.server.Shutdown(ctx)
	_ = k.node.Close(ctx)
	if k.nats != nil {
		k.nats.Shutdown()
	}
	k.server = nil
}

func (k *keeper) ready() bool { return k.server != nil && k.node.Ready() }

// keepers starts three nodes, each with a directory.
func keepers(t testing.TB, streams cluster.Streams) []*keeper {
	t.Helper()
	addresses := freePorts(t, 3)
	all := make([]*keeper, len(addresses))
	for i := range all {
		name := "n" + strconv.Itoa(i)
		all[i] = &keeper{
			config:   cluster.Config{Name: "test", Node: name, Streams: &streams, Log: slog.New(slog.DiscardHandler)},
			embedded: embedded.Config{Name: "test", Node: name, Listen: addresses[i], Routes: addresses, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)},
		}
	}
	startAll(t, all)
	return all
}

// startAll starts nodes at the same time, and waits until they are ready.
func startAll(t testing.TB, all []*keeper) {
	t.Helper()
	var starting sync.WaitGroup
	for _, k := range all {
		starting.Go(func() { k.start(t) })
		t.Cleanup(k.stop)
	}
	starting.Wait()
	for _, k := range all {
		waitLong(t, "a node is ready", k.ready)
	}
}

func waitLong(t testing.TB, what string, come func() bool) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < longPatience; time.Sleep(5 * time.Millisecond) {
		if come() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

// reply is what a client is told.
type reply struct {
	OK, Duplicate, Recovered bool
	Err, Reason, Epoch       string
	Event                    string
	ID                       int
	Offset, Top              uint64
	Lost                     *int
	Results                  *[]reply
}

// A talker is a client that may do everything.
type talker struct{ *client }

func (k *keeper) dial(t *testing.T) talker {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+k.server.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	c := talker{&client{t: t, conn: conn}}
	if r := c.ask(`{"auth":{"access":"read-write","secret":""}}`); !r.OK {
		t.Fatalf("got %+v", r)
	}
	return c
}

// ask sends a command and returns the next message.
func (c talker) ask(command string, parts ...any) reply {
	c.t.Helper()
	c.send(command, parts...)
	return c.next()
}

func (c talker) send(command string, parts ...any) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, fmt.Appendf(nil, command, parts...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c talker) next() (r reply) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), longPatience)
	defer cancel()
	_, text, err := c.conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		c.t.Fatalf("got %q, %v", text, err)
	}
	return r
}

const (
	subscribeSince = `{"subscribe":{"channel":"news","since":{"epoch":"%s","offset":%d}}}`
	publishNews    = `{"publish":{"channel":"news","event":"%s"}}`
)

// A node that publishes little gives its batches to the node whose server leads the log, which
// sends them along with its own. Each event is stored once, in the order of its publisher.
func TestSmallBatchesAreCollected(t *testing.T) {
	nodes := keepers(t, cluster.Streams{Logs: 1})
	log := func(k *keeper) cluster.LogStats { return k.node.Stats().Logs[0] }
	for _, k := range nodes {
		waitLong(t, "a node knows who leads the log", func() bool { return log(k).Leader != "" })
	}
	leader := nodes[slices.IndexFunc(nodes, func(k *keeper) bool { return k.config.Node == log(nodes[0]).Leader })]
	reader := leader.dial(t)
	if r := reader.ask(`{"subscribe":{"channel":"news"}}`); !r.OK {
		t.Fatalf("got %+v", r)
	}
	const each = 50
	var publishing sync.WaitGroup
	for _, k := range nodes {
		c := k.dial(t)
		publishing.Go(func() {
			for i := range each {
				if r := c.ask(publishNews, k.config.Node+":"+strconv.Itoa(i)); !r.OK || r.Offset == 0 {
					t.Errorf("got %+v", r)
				}
			}
		})
	}
	next := map[string]int{}
	for range each * len(nodes) {
		name, number, _ := strings.Cut(reader.next().Event, ":")
		if n, err := strconv.Atoi(number); err != nil || n != next[name] {
			t.Fatalf("got event %q of %s, want %d", number, name, next[name])
		}
		next[name]++
	}
	publishing.Wait()
	if log(leader).Collected == 0 {
		t.Error("the leader has collected nothing")
	}
	for _, k := range nodes {
		if k != leader && log(k).Collected > 0 {
			t.Errorf("%s has collected batches, and does not lead the log", k.config.Node)
		}
	}
}

// recovers checks that a client that was at a position gets these events, and no others, at
// a node, and returns its position then.
func (k *keeper) recovers(t *testing.T, at reply, events ...string) reply {
	t.Helper()
	c := k.dial(t)
	r := c.ask(subscribeSince, at.Epoch, at.Offset)
	if !r.OK || !r.Recovered {
		t.Fatalf("since %s, %d: got %+v", at.Epoch, at.Offset, r)
	}
	at.Epoch, at.Offset = r.Epoch, r.Offset
	for _, want := range events {
		if r = c.next(); r.Event != want || r.Offset <= at.Offset {
			t.Fatalf("got %+v after %d, want %s", r, at.Offset, want)
		}
		at.Offset = r.Offset
	}
	return at
}

// Publishers on three nodes: every node hears one order and keeps the same events at the same
// offsets, which are those that the publishers were told.
func TestOneOrderForAllNodes(t *testing.T) {
	nodes := keepers(t, cluster.Streams{Logs: 2})
	const each = 100
	clients := make([]talker, len(nodes))
	for i, k := range nodes {
		clients[i] = k.dial(t)
		clients[i].ask(`{"subscribe":{"channel":"news"}}`)
	}
	var publishing sync.WaitGroup
	told := make([]map[string]uint64, len(nodes))
	for i, k := range nodes {
		told[i] = make(map[string]uint64)
		publishing.Go(func() {
			for j := range each {
				event := fmt.Sprintf("e%d.%d", i, j)
				p, err := k.server.PublishKeyed("/", "news", event, nil, "")
				if err != nil {
					t.Error(err)
				}
				told[i][event] = p.Offset
			}
		})
	}
	publishing.Wait()
	var first []reply
	for i, c := range clients {
		var heard []reply
		for range each * len(nodes) {
			heard = append(heard, c.next())
		}
		if i == 0 {
			first = heard
		} else if !slices.Equal(heard, first) {
			t.Errorf("node %d hears another order, or other offsets", i)
		}
		page, err := nodes[i].server.History("/", "news", webrocket.HistoryQuery{Limit: 1000})
		if err != nil || len(page.Events) != each*len(nodes) {
			t.Fatalf("node %d keeps %d events, %v", i, len(page.Events), err)
		}
		for j, e := range page.Events {
			if e.Event != first[j].Event || e.Offset != first[j].Offset || told[e.Event[1]-'0'][e.Event] != e.Offset {
				t.Errorf("node %d keeps %s at %d; heard %+v", i, e.Event, e.Offset, first[j])
			}
		}
	}
}

// A client goes on at another node where it was, also if nothing has been published since,
// and from the position of a subscription to a channel that nothing was ever published to.
// What it has missed it gets once, in order.
func TestRecoverAnywhere(t *testing.T) {
	t.Parallel()
	nodes := keepers(t, cluster.Streams{Logs: 1})
	at := nodes[0].dial(t).ask(`{"subscribe":{"channel":"news"}}`)
	if at.Epoch == "" {
		t.Fatalf("got %+v", at)
	}
	at = nodes[1].recovers(t, at)
	writer := nodes[2].dial(t)
	for _, event := range []string{"a", "b", "c"} {
		if r := writer.ask(publishNews, event); !r.OK || r.Offset <= at.Offset {
			t.Fatalf("got %+v", r)
		}
	}
	seen := nodes[0].recovers(t, at, "a", "b", "c")
	between := nodes[1].recovers(t, at, "a")
	nodes[2].recovers(t, between, "b", "c")
	nodes[1].recovers(t, seen)
	if r := nodes[1].dial(t).ask(subscribeSince, seen.Epoch, seen.Offset+1<<40); r.Recovered || r.Reason != "ahead" {
		t.Errorf("a position that there has never been: got %+v", r)
	}
	// A node that starts later knows all of it.
	nodes[0].stop()
	nodes[0].start(t)
	waitLong(t, "the node is ready", nodes[0].ready)
	nodes[0].recovers(t, at, "a", "b", "c")
	nodes[0].recovers(t, seen)
	for i, k := range nodes {
		waitLong(t, "the leader of the log is known", func() bool {
			l := k.node.Stats().Logs[0]
			return slices.Contains([]string{"n0", "n1", "n2"}, l.Leader) && !l.CutOff
		})
		if l := k.node.Stats().Logs[0]; l.Hub != "/" || !l.Live {
			t.Errorf("node %d: got %+v", i, l)
		}
	}
}

// Many publishes are on their way at once, and the answers keep their order; a command that
// comes behind them is obeyed behind them. The answer to a publish comes before its event.
func TestAnswersKeepTheirOrder(t *testing.T) {
	t.Parallel()
	k := keepers(t, cluster.Streams{Logs: 1})[0]
	c := k.dial(t)
	const n = 600
	c.ask(`{"subscribe":{"channel":"own"}}`)
	go func() {
		for i := range n {
			command := `{"publish":{"channel":"news","event":"e"},"id":%d}`
			switch {
			case i == 300:
				command = `{"subscribe":{"channel":"news"},"id":%d}`
			case i == 400:
				command = `{"publish":{"channel":"own","event":"mine"},"id":%d}`
			case i%100 == 7:
				command = `{"unsubscribe":{"channel":""},"id":%d}`
			}
			c.send(command, i)
		}
	}()
	answers, events, subscribed := 0, 0, uint64(0)
	for answers < n {
		switch r := c.next(); {
		case r.Event == "mine":
			if answers <= 400 {
				t.Fatal("an event comes before the answer to its publish")
			}
		case r.Event != "":
			events++
			if answers <= 300 || r.Offset <= subscribed {
				t.Fatalf("event %+v after %d answers", r, answers)
			}
		case r.ID != answers:
			t.Fatalf("got %+v, want the answer to %d", r, answers)
		default:
			if r.ID == 300 {
				subscribed = r.Offset
			}
			answers++
		}
	}
	for ; events < n-300-1-1-3; events++ { // 300, 400, and 307, 407, 507
		c.next()
	}
}

// A client may send very many publishes, and commands behind them, without waiting for
// answers: it gets all of them, in order, and none of them ends the connection. If it says behind
// them that it goes, it gets them before the server does.
func TestManyPublishesAtOnce(t *testing.T) {
	url, _ := jetStream(t)
	k := serveAt(t, loner(t, url, cluster.Streams{Replicas: 1}), "/", handler(time.Hour))
	data := `"` + strings.Repeat("x", 500) + `"`
	for _, tt := range []struct {
		name    string
		n       int
		command func(i int) string
	}{
		{"publishes", 10_000, func(int) string { return `{"publish":{"channel":"news","event":"e","data":` + data + `},"id":%d}` }},
		{"one publish, then other commands", 1000, func(i int) string {
			if i == 0 {
				return `{"publish":{"channel":"news","event":"e"},"id":%d}`
			}
			return `{"unsubscribe":{"channel":"other"},"id":%d}`
		}},
	} {
		for _, end := range []string{"a Close frame", "the end of its side"} {
			t.Run(tt.name+", "+end, func(t *testing.T) {
				conn, err := net.Dial("tcp", k.server.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go func() { // what cannot be sent is not answered
					_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
						"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
					all := masked(`{"auth":{"access":"read-write","secret":""}}`)
					for i := range tt.n {
						all = append(all, masked(fmt.Sprintf(tt.command(i), i))...)
					}
					_, _ = conn.Write(all)
					if end == "a Close frame" {
						_, _ = conn.Write([]byte{0x88, 0x80, 0, 0, 0, 0})
					} else {
						_ = conn.(*net.TCPConn).CloseWrite()
					}
				}()
				_ = conn.SetReadDeadline(time.Now().Add(longPatience))
				got, err := io.ReadAll(conn)
				if err != nil {
					t.Fatal(err)
				}
				last := -1
				for i := range tt.n {
					at := bytes.Index(got, fmt.Appendf(nil, `,"id":%d`, i))
					if at <= last {
						t.Fatalf("answer %d is at %d of %d bytes, behind %d; the end is %q", i, at, len(got), last, got[max(len(got)-200, 0):])
					}
					got, last = got[at:], 0
				}
			})
		}
	}
}

// masked returns a message as a frame.
func masked(text string) []byte {
	text += strings.Repeat(" ", max(126-len(text), 0))
	b := []byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0}
	return append(b, text...)
}

// A key is used once in the cluster, whichever nodes the event is given to at the same time.
func TestKeyOnceInTheCluster(t *testing.T) {
	nodes := keepers(t, cluster.Streams{Logs: 1})
	for i := range 20 {
		var publishing sync.WaitGroup
		var mu sync.Mutex
		originals, offsets := 0, map[uint64]bool{}
		for _, k := range nodes {
			publishing.Go(func() {
				p, err := k.server.PublishKeyed("/", "news", "once", nil, strconv.Itoa(i))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				offsets[p.Offset] = true
				if !p.Duplicate {
					originals++
				}
			})
		}
		publishing.Wait()
		if originals != 1 || len(offsets) != 1 {
			t.Fatalf("key %d: %d originals at %v", i, originals, offsets)
		}
	}
	for i, k := range nodes {
		waitLong(t, "all events", func() bool {
			page, err := k.server.History("/", "news", webrocket.HistoryQuery{})
			return err == nil && len(page.Events) == 20
		})
		if page, _ := k.server.History("/", "news", webrocket.HistoryQuery{}); len(page.Events) != 20 {
			t.Errorf("node %d keeps %d events", i, len(page.Events))
		}
	}
}

// Without a quorum publishes fail in time, and clients still recover. All heals by itself, and
// nothing that was acknowledged is lost, also if all nodes are stopped.
func TestUnavailableAndHealing(t *testing.T) {
	t.Parallel()
	sitsOut(t)
	nodes := keepers(t, cluster.Streams{Logs: 1, PublishTimeout: time.Second})
	at := nodes[0].dial(t).ask(`{"subscribe":{"channel":"news"}}`)
	c := nodes[0].dial(t)
	if r := c.ask(publishNews, "kept"); !r.OK {
		t.Fatalf("got %+v", r)
	}
	nodes[1].stop()
	nodes[2].stop()
	waitLong(t, "publishes fail", func() bool { return c.ask(publishNews, "perhaps").Err == "unavailable" })
	if _, err := nodes[0].server.PublishKeyed("/", "news", "perhaps", nil, ""); err == nil || !strings.Contains(err.Error(), webrocket.ErrUnavailable.Error()) {
		t.Errorf("from Go: got %v", err)
	}
	waitLong(t, "the node is not ready", func() bool { return !nodes[0].ready() })
	nodes[0].recovers(t, at, "kept")
	startAll(t, nodes[1:])
	waitLong(t, "publishes succeed", func() bool { return c.ask(publishNews, "healed").OK })
	waitLong(t, "the node is ready", nodes[0].ready)
	nodes[2].recovers(t, at, "kept")

	for _, k := range nodes {
		k.stop()
	}
	startAll(t, nodes)
	nodes[1].recovers(t, at, "kept")
}

// If directories are put back to what they were, while no node runs, whoever has been beyond
// that is told, also when the log has grown to there again. What is still there is recovered.
func TestDirectoriesArePutBack(t *testing.T) {
	t.Parallel()
	sitsOut(t)
	nodes := keepers(t, cluster.Streams{Logs: 1})
	at := nodes[0].dial(t).ask(`{"subscribe":{"channel":"news"}}`)
	publish := func(event string) reply {
		r := nodes[0].dial(t).ask(publishNews, event)
		if !r.OK {
			t.Fatalf("got %+v", r)
		}
		return r
	}
	stop := func() {
		for _, k := range nodes {
			k.stop()
		}
	}
	publish("stays")
	stop()
	copies := make([]string, len(nodes))
	for i, k := range nodes {
		copies[i] = filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copies[i], os.DirFS(k.embedded.Dir)); err != nil {
			t.Fatal(err)
		}
	}
	startAll(t, nodes)
	before := nodes[1].recovers(t, at, "stays")
	publish("goes")
	beyond := nodes[2].recovers(t, at, "stays", "goes")
	stop()
	for i, k := range nodes {
		if err := os.RemoveAll(k.embedded.Dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(k.embedded.Dir, os.DirFS(copies[i])); err != nil {
			t.Fatal(err)
		}
	}
	startAll(t, nodes)
	isTold := func() {
		t.Helper()
		for i, k := range nodes {
			if r := k.dial(t).ask(subscribeSince, beyond.Epoch, beyond.Offset); r.Recovered || r.Reason != "epoch" {
				t.Errorf("node %d: got %+v", i, r)
			}
		}
	}
	isTold()
	for publish("new").Offset <= beyond.Offset {
	}
	isTold()
	// The epoch in which that position was given out is not in the log any more.
	if r := nodes[0].dial(t).ask(subscribeSince, before.Epoch, before.Offset); r.Recovered {
		t.Errorf("got %+v", r)
	}
	c := nodes[0].dial(t)
	if r := c.ask(subscribeSince, at.Epoch, at.Offset); !r.Recovered {
		t.Fatalf("got %+v", r)
	}
	for _, want := range []string{"stays", "new"} {
		if r := c.next(); r.Event != want {
			t.Errorf("got %+v, want %s", r, want)
		}
	}
}

// If the servers of NATS lose what they have stored, subscribers are told, in a new epoch, and
// no position from before is recovered. A node that starts then agrees with the others.
func TestStreamsAreWiped(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	dir := t.TempDir()
	var s *server.Server
	run := func() {
		var err error
		if s, err = server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true}); err != nil {
			t.Fatal(err)
		}
		s.Start()
	}
	run()
	t.Cleanup(func() { s.Shutdown() })
	nodes := make([]*keeper, 3)
	var said notes
	for i := range nodes {
		nodes[i] = &keeper{config: cluster.Config{
			Node: "n" + strconv.Itoa(i), Servers: []string{"nats://127.0.0.1:" + strconv.Itoa(port)},
			Streams: &cluster.Streams{Replicas: 1}, Log: slog.New(slog.NewTextHandler(&said, nil)),
		}}
	}
	startAll(t, nodes[:2])
	reader := nodes[1].dial(t)
	at := reader.ask(`{"subscribe":{"channel":"news"}}`)
	writer := nodes[0].dial(t)
	if r := writer.ask(publishNews, "lost"); !r.OK {
		t.Fatalf("got %+v", r)
	}
	if r := reader.next(); r.Event != "lost" {
		t.Fatalf("got %+v", r)
	}
	s.Shutdown()
	s.WaitForShutdown()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	run()
	told := reader.next()
	if told.Lost == nil || *told.Lost != 0 || told.Epoch == "" || told.Epoch == at.Epoch || told.Offset <= at.Offset {
		t.Fatalf("got %+v, and was at %+v", told, at)
	}
	if text := said.String(); !strings.Contains(text, "level=WARN msg=\"a log has lost events") || !strings.Contains(text, "log=RK_rocket_Lw_0 hub=/ epoch="+at.Epoch+" why=") {
		t.Errorf("nobody has logged it: %s", text)
	}
	waitLong(t, "publishes succeed", func() bool { return writer.ask(publishNews, "new").OK })
	if r := reader.next(); r.Event != "new" || r.Offset <= told.Offset {
		t.Errorf("got %+v after %+v", r, told)
	}
	startAll(t, nodes[2:])
	for i, k := range nodes {
		if r := k.dial(t).ask(subscribeSince, at.Epoch, at.Offset); r.Recovered || r.Reason != "epoch" || r.Epoch != told.Epoch {
			t.Errorf("node %d: got %+v, want the epoch %s", i, r, told.Epoch)
		}
		k.recovers(t, told, "new")
	}
}

// notes are what has been logged.
type notes struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// An event that a message of NATS has no room for is refused at once, and one that just has room is stored.
func TestLargestStoredEvent(t *testing.T) {
	t.Parallel()
	address := freePorts(t, 1)[0]
	const most = 4 << 10
	natsServerWith(t, address, server.Options{JetStream: true, StoreDir: t.TempDir(), MaxPayload: most})
	k := &keeper{config: cluster.Config{
		Node: "n0", Servers: []string{"nats://" + address}, Log: slog.New(slog.DiscardHandler),
		Streams: &cluster.Streams{Replicas: 1, PublishTimeout: 2 * time.Second},
	}}
	startAll(t, []*keeper{k})
	c, stored, refused := k.dial(t), 0, 0
	for size := most - 1024; size <= most; size += 16 {
		switch r := c.ask(`{"publish":{"channel":"news","event":"large","data":{"x":"%s"}}}`, strings.Repeat("x", size)); {
		case r.OK:
			stored++
		case r.Err == "unavailable":
			t.Fatalf("%d bytes: got %+v", size, r)
		default:
			refused++
		}
	}
	if stored == 0 || refused == 0 {
		t.Errorf("%d events are stored, and %d refused: want some of each", stored, refused)
	}
}
