package cluster_test

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/cluster/embedded"
	"github.com/nu7hatch/webrocket/hub"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// A member is a node with its own server, and one hub.
type member struct {
	*cluster.Node
	server *embedded.Server
	hub    *hub.Hub
}

// Tests that wait for NATS, most of their time, do so together.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "10")
	os.Exit(m.Run())
}

// hosts counts the addresses of this machine that have been given away.
var hosts atomic.Uint32

// freePorts returns addresses that nobody listens on, nor will: no other test has their host.
func freePorts(t testing.TB, n int) (addresses []string) {
	t.Helper()
	next := hosts.Add(1)
	host := netip.AddrFrom4([4]byte{127, byte(2 + os.Getpid()%250), byte(next >> 8), byte(next)})
	for range n {
		l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// join starts a node.
func join(t testing.TB, c embedded.Config) *member {
	t.Helper()
	c.Name = "test"
	server, err := embedded.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New("/", hub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	node, err := cluster.Start(cluster.Config{Name: c.Name, Node: c.Node, Embedded: server})
	if err != nil {
		t.Fatal(err)
	}
	h.Join(node)
	m := &member{node, server, h}
	t.Cleanup(m.end)
	return m
}

// end ends a node in order. Ending twice does nothing.
func (m *member) end() {
	_ = m.Close(context.Background())
	m.server.Shutdown()
}

// joinAll starts n nodes at the same time.
func joinAll(t testing.TB, n int, secret func(i int) string) []*member {
	t.Helper()
	addresses := freePorts(t, n)
	all := make([]*member, n)
	var starting sync.WaitGroup
	for i := range all {
		starting.Go(func() {
			all[i] = join(t, embedded.Config{Node: "n" + strconv.Itoa(i), Listen: addresses[i], Routes: addresses, Secret: secret(i)})
		})
	}
	starting.Wait()
	return all
}

func noSecret(int) string { return "" }

// An ear is what a subscription has heard.
type ear struct {
	mu    sync.Mutex
	heard []string
}

func (m *member) listen(t *testing.T, channel string) *ear {
	t.Helper()
	e := new(ear)
	s, err := m.hub.Subscribe(channel, func(event hub.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		text := event.Event + string(event.Data)
		if event.Lost != 0 {
			text = fmt.Sprint("lost ", event.Lost)
		}
		e.heard = append(e.heard, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return e
}

func (e *ear) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// waitFor waits until something has come true.
func waitFor(t *testing.T, what string, come func() bool) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(time.Millisecond) {
		if come() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

// What is published on one node is heard on all, once and in its order, with the data byte
// for byte, also where the channel has no subscriber on the publisher's node.
func TestPublishAnywhere(t *testing.T) {
	nodes := joinAll(t, 3, func(int) string { return "one secret" })
	ears := make([]*ear, len(nodes))
	for i, m := range nodes {
		ears[i] = m.listen(t, "news")
	}
	const each = 300 // all of them may wait for one subscription
	var publishing sync.WaitGroup
	for i, m := range nodes {
		publishing.Go(func() {
			for k := range each {
				for m.hub.PublishJSON("news", "e"+strconv.Itoa(i), []byte(fmt.Sprintf(`[%d, "\u00e9"]`, k))) != nil {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	publishing.Wait()
	for i, e := range ears {
		waitFor(t, "all events at node "+strconv.Itoa(i), func() bool { return len(e.all()) >= each*len(nodes) })
		next := make([]int, len(nodes))
		for _, heard := range e.all() {
			from, data, _ := strings.Cut(strings.TrimPrefix(heard, "e"), "[")
			n, err := strconv.Atoi(from)
			if err != nil || data != fmt.Sprintf(`%d, "\u00e9"]`, next[n]) {
				t.Fatalf("node %d: got %q after %v", i, heard, next)
			}
			next[n]++
		}
	}
	only := nodes[2].listen(t, "elsewhere")
	if err := nodes[0].hub.Publish("elsewhere", "e", 1); err != nil {
		t.Errorf("a channel that has subscribers on another node only: got %v", err)
	}
	waitFor(t, "the event of another node", func() bool { return slices.Equal(only.all(), []string{"e1"}) })
}

// An event with a key is published once in the whole cluster, whichever nodes it is given to.
func TestKeysAcrossNodes(t *testing.T) {
	nodes := joinAll(t, 2, noSecret)
	a, b := nodes[0].listen(t, "c"), nodes[1].listen(t, "c")
	first, err := nodes[0].hub.PublishKeyed("c", "paid", []byte("1"), "order-1")
	if err != nil || first.Duplicate {
		t.Fatalf("got %v, %v", first, err)
	}
	waitFor(t, "the event at the other node", func() bool { return len(b.all()) == 1 })
	if again, err := nodes[1].hub.PublishKeyed("c", "paid", []byte("1"), "order-1"); err != nil || !again.Duplicate {
		t.Errorf("the same at another node: got %v, %v", again, err)
	}
	if err := nodes[1].hub.Publish("c", "end", nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end", func() bool { return len(a.all()) > 1 && len(b.all()) > 1 })
	for _, e := range []*ear{a, b} {
		if got := e.all(); !slices.Equal(got, []string{"paid1", "end"}) {
			t.Errorf("got %q", got)
		}
	}
	if _, err := nodes[0].hub.PublishKeyed("nobody", "paid", nil, "k"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the key of a channel without subscribers", func() bool {
		p, err := nodes[1].hub.PublishKeyed("nobody", "paid", nil, "k")
		return err == nil && p.Duplicate || p != hub.Published{} && err != nil
	})
}

// A node without the secret does not get in, and hears nothing.
func TestSecret(t *testing.T) {
	nodes := joinAll(t, 3, func(i int) string { return []string{"right", "wrong", "right"}[i] })
	stranger, friend := nodes[1].listen(t, "c"), nodes[2].listen(t, "c")
	if err := nodes[0].hub.Publish("c", "e", nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the event at the node with the secret", func() bool { return len(friend.all()) == 1 })
	if got := stranger.all(); len(got) > 0 {
		t.Errorf("the node with another secret hears %q", got)
	}
	for i, want := range []int{1, 0, 1} {
		if got := len(nodes[i].Stats().Peers); got != want {
			t.Errorf("node %d knows %d others, want %d", i, got, want)
		}
	}
}

// With a secret the nodes speak TLS, and want a certificate that is made of the secret.
func TestEncrypted(t *testing.T) {
	address := freePorts(t, 1)[0]
	join(t, embedded.Config{Node: "tls", Listen: address, Secret: "secret"})
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // the other side is asked what it wants
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("a connection without a certificate: got %v", err)
	}
}

// natsServer starts a server of NATS at an address.
func natsServer(t *testing.T, address string) *server.Server {
	t.Helper()
	return natsServerFor(t, address, "token", 0)
}

// natsServerFor starts one that wants a token, and takes messages of so many bytes, 0 for 1 MiB.
func natsServerFor(t *testing.T, address, token string, most int32) *server.Server {
	t.Helper()
	return natsServerWith(t, address, server.Options{Authorization: token, MaxPayload: most})
}

// natsServerWith starts one with other settings.
func natsServerWith(t *testing.T, address string, options server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(natsOptions(t, address, options))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server of NATS does not start")
	}
	t.Cleanup(s.Shutdown)
	return s
}

// natsOptions returns settings of a server of NATS at an address.
func natsOptions(t *testing.T, address string, o server.Options) *server.Options {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	o.Host, o.Port, o.NoSigs, o.NoLog = at.IP.String(), at.Port, true, true
	return &o
}

// While NATS is away a node serves its own clients; what others could not hear meanwhile
// comes later: nothing is lost and nobody is told.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	address := freePorts(t, 1)[0]
	nats := natsServer(t, address)
	var nodes []*cluster.Node
	var hubs []*hub.Hub
	for i := range 2 {
		h, err := hub.New("/", hub.Config{})
		if err != nil {
			t.Fatal(err)
		}
		n, err := cluster.Start(cluster.Config{Node: "n" + strconv.Itoa(i), Servers: []string{"nats://" + address}, Token: "token"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close(context.Background()) })
		h.Join(n)
		nodes, hubs = append(nodes, n), append(hubs, h)
	}
	own, other := (&member{hub: hubs[0]}).listen(t, "c"), (&member{hub: hubs[1]}).listen(t, "c")
	nats.Shutdown()
	waitFor(t, "the end of the connection", func() bool { return !nodes[0].Connected() && !nodes[1].Connected() })
	for k := range 1000 {
		if err := hubs[0].Publish("c", strconv.Itoa(k), nil); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "all events on their own node", func() bool { return len(own.all()) == 1000 })
	natsServer(t, address)
	waitFor(t, "all events", func() bool { return len(other.all()) >= 1000 })
	for k, got := range other.all() {
		if got != strconv.Itoa(k) {
			t.Fatalf("got %q where %d is next", got, k)
		}
	}
	if s := nodes[1].Stats(); s.ToldAll+s.Told > 0 || s.Reconnects != 1 {
		t.Errorf("got %+v", s)
	}
}

// A lines counts what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// A node goes on trying where NATS does not let it in, at its start and later: what it logs in
// with may be what has changed. It logs why, and not with each attempt.
func TestLoginRefused(t *testing.T) {
	t.Parallel()
	address := freePorts(t, 1)[0]
	log := new(lines)
	refuse := func() {
		t.Helper()
		nats := natsServerFor(t, address, "another token", 0)
		waitFor(t, "attempts to log in", func() bool {
			v, err := nats.Varz(nil)
			return err == nil && v.TotalConnections > 6
		})
		nats.Shutdown()
	}
	var n *cluster.Node
	var starting sync.WaitGroup
	starting.Go(func() {
		var err error
		n, err = cluster.Start(cluster.Config{
			Node: "a", Servers: []string{"nats://" + address}, Token: "token", Log: slog.New(slog.NewTextHandler(log, nil)),
		})
		if err != nil {
			t.Error(err)
		}
	})
	refuse()
	if starting.Wait(); t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { _ = n.Close(context.Background()) })
	for range 2 {
		nats := natsServer(t, address)
		waitFor(t, "the connection", n.Connected)
		nats.Shutdown()
		waitFor(t, "the end of the connection", func() bool { return !n.Connected() })
		refuse()
	}
	if got := log.count("uthorization"); got < 1 || got > 4 {
		t.Errorf("that the login is refused is logged %d times:\n%s", got, &log.text)
	}
}

// Two nodes of one name hear each other, and say so. Where they store histories NATS lets one of
// them in, and that is logged.
func TestOneName(t *testing.T) {
	addresses := freePorts(t, 2)
	var twins []*member
	for _, address := range addresses {
		twins = append(twins, join(t, embedded.Config{Node: "twin", Listen: address, Routes: addresses}))
	}
	e := twins[1].listen(t, "c")
	waitFor(t, "that each sees the other", func() bool {
		peers := twins[0].Stats().Peers
		return len(peers) == 1 && peers[0].Doubled
	})
	if err := twins[0].hub.Publish("c", "e", nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the event", func() bool { return slices.Equal(e.all(), []string{"e"}) })

	addresses = freePorts(t, 2)
	log := new(lines)
	for _, address := range addresses {
		s, err := embedded.Start(embedded.Config{
			Name: "test", Node: "twin", Listen: address, Routes: addresses, Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Shutdown()
	}
	waitFor(t, "the log", func() bool { return log.count("two nodes of the cluster have one name") > 0 })
}

// A directory that cannot be made is named in the error.
func TestDirectoryThatCannotBeMade(t *testing.T) {
	t.Parallel()
	address := freePorts(t, 1)[0]
	_, err := embedded.Start(embedded.Config{Name: "test", Node: "a", Listen: address, Routes: []string{address}, Dir: "/proc/no/such", Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "/proc/no") {
		t.Errorf("got %v", err)
	}
}

// Close needs no deadline, and says that all has been sent.
func TestCloseWithoutDeadline(t *testing.T) {
	if err := join(t, embedded.Config{Node: "a", Listen: freePorts(t, 1)[0]}).Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A node that ends in order costs nothing; one whose process is gone does, and
// subscribers are told.
func TestNodeEnds(t *testing.T) {
	t.Parallel()
	sitsOut(t)
	nodes := joinAll(t, 3, noSecret)
	e := nodes[0].listen(t, "c")
	if err := nodes[2].hub.Publish("c", "last", nil); err != nil {
		t.Fatal(err)
	}
	nodes[2].end()
	waitFor(t, "the last event", func() bool { return slices.Equal(e.all(), []string{"last"}) })
	nodes[1].server.Shutdown() // without a word
	waitFor(t, "the notice", func() bool { return slices.Contains(e.all(), "lost -1") })
	if got := nodes[0].Stats().ToldAll; got != 1 {
		t.Errorf("all were told %d times, want once", got)
	}
}

// What is wrong with the settings is said at the start.
func TestConfig(t *testing.T) {
	for _, c := range []cluster.Config{
		{Node: "a"},
		{Servers: []string{"nats://127.0.0.1:1"}},
		{Node: "a b", Servers: []string{"nats://127.0.0.1:1"}},
		{Name: "x.y", Node: "a", Servers: []string{"nats://127.0.0.1:1"}},
		{Node: "a", Servers: []string{"nats://127.0.0.1:1"}, Credentials: "/no/such/file"},
	} {
		if n, err := cluster.Start(c); err == nil {
			t.Errorf("%+v is obeyed", c)
			_ = n.Close(t.Context())
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := embedded.Start(embedded.Config{Name: "test", Node: "a", Listen: l.Addr().String()}); err == nil {
		t.Error("a port that is taken is listened on")
	}
}

// BenchmarkFar measures an event from its publish until it is heard on the same node and on
// another one, and how many come through.
func BenchmarkFar(b *testing.B) {
	nodes := joinAll(b, 2, noSecret)
	for name, hears := range map[string]*member{"near": nodes[0], "far": nodes[1]} {
		heard := make(chan struct{}, 1<<20)
		s, err := hears.hub.Subscribe(name, func(hub.Event) { heard <- struct{}{} })
		if err != nil {
			b.Fatal(err)
		}
		publish := func() {
			for nodes[0].hub.PublishJSON(name, "e", []byte(`"0123456789012345678901234567890123456789"`)) != nil {
				time.Sleep(100 * time.Microsecond)
			}
		}
		b.Run(name+"/latency", func(b *testing.B) {
			for b.Loop() {
				publish()
				<-heard
			}
		})
		b.Run(name+"/throughput", func(b *testing.B) {
			waiting := 0
			for b.Loop() {
				publish()
				for waiting++; waiting > 500; waiting-- {
					<-heard
				}
			}
			for ; waiting > 0; waiting-- {
				<-heard
			}
		})
		s.Close()
	}
}

// sitsOut skips a test that waits for nodes to be missed where there is little time.
func sitsOut(t *testing.T) {
	if t.Helper(); testing.Short() {
		t.Skip("it takes more than five seconds")
	}
}

// A node whose user may not do what nodes need is not ready at any time, also when it connects
// again, and logs what NATS denies. It is ready soon after the user may, and not ready soon after
// the user may not any more.
func TestPermissions(t *testing.T) {
	t.Parallel()
	sitsOut(t)
	for _, tt := range []struct {
		name   string
		denied server.Permissions
		want   string
	}{
		{"subscribe", server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"rk.rocket.c.>"}}}, `Permissions Violation for Subscription to "rk.rocket.c.*"`},
		{"publish", server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"rk.rocket.c.>"}}}, `Permissions Violation for Publish to "rk.rocket.c.`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := freePorts(t, 1)[0]
			with := func(p *server.Permissions) server.Options {
				return server.Options{Users: []*server.User{{Username: "all", Password: "p"}, {Username: "some", Password: "p", Permissions: p}}}
			}
			nats := natsServerWith(t, address, with(&tt.denied))
			permit := func(p *server.Permissions) {
				t.Helper()
				if err := nats.ReloadOptions(natsOptions(t, address, with(p))); err != nil {
					t.Fatal(err)
				}
			}
			log := new(lines)
			start := func(user string) *member {
				t.Helper()
				n, err := cluster.Start(cluster.Config{
					Node: user, Servers: []string{"nats://" + address}, User: user, Password: "p", Log: slog.New(slog.NewTextHandler(log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = n.Close(context.Background()) })
				h, err := hub.New("/", hub.Config{})
				if err != nil {
					t.Fatal(err)
				}
				h.Join(n)
				return &member{Node: n, hub: h}
			}
			all, some := start("all"), start("some")
			waitFor(t, "another connection", func() bool {
				if some.Ready() {
					t.Fatal("the node is ready")
				}
				return some.Stats().Reconnects > 0 && some.Connected()
			})
			if got := some.Stats().Denied; !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := log.count(strings.ReplaceAll(tt.want, `"`, `\"`)); got != 1 {
				t.Errorf("it is logged %d times:\n%s", got, &log.text)
			}
			if !all.Ready() || all.Stats().Denied != "" {
				t.Errorf("the node that may: got %+v", all.Stats())
			}
			permit(nil)
			waitFor(t, "the node is ready", some.Ready)
			here, there := all.listen(t, "c"), some.listen(t, "c")
			waitFor(t, "the nodes hear each other", func() bool {
				return all.hub.Publish("c", "e", 1) == nil && some.hub.Publish("c", "f", 1) == nil &&
					slices.Contains(here.all(), "f1") && slices.Contains(there.all(), "e1")
			})
			permit(&tt.denied)
			waitFor(t, "the node is not ready any more", func() bool { return !some.Ready() && some.Stats().Denied != "" })
		})
	}
}
