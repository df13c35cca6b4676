package webrocket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/pubsub"
)

// stalled starts a server with a subscriber of the channel c that reads nothing,
// and publishes until something waits for it.
func stalled(t *testing.T, log *slog.Logger) (*webrocket.Server, *rawClient, webrocket.ConnStats) {
	t.Helper()
	h := webrocket.NewJSONHandler()
	h.MaxQueuedBytes = 64 << 20
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = log
	s.Config.SendBuffer = 4096
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	reader := dialRaw(t, s, "/")
	for _, command := range []string{`{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"c"}}`} {
		reader.command(command)
		reader.frame()
	}
	for range 1000 {
		if err := s.Publish("/", "c", "e", strings.Repeat("x", 60_000)); err != nil {
			t.Fatal(err)
		}
		slowest, err := s.Slowest(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		if len(slowest) > 0 {
			return s, reader, slowest[0]
		}
	}
	t.Fatal("nothing waits for who reads nothing")
	return nil, nil, webrocket.ConnStats{}
}

func TestOperateAConnection(t *testing.T) {
	var log lockedBuffer
	s, reader, slow := stalled(t, slog.New(slog.NewTextHandler(&log, nil)))
	if slow.Hub != "/" || slow.Channels != 1 || slow.QueuedBytes == 0 || slow.Queued == 0 || slow.Address != reader.conn.LocalAddr().String() {
		t.Errorf("got %+v", slow)
	}
	if err := s.Watch(t.Context(), webrocket.Watch{Connection: slow.ID, For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	reader.command(`{"unsubscribe":{"channel":"other"}}`)
	for {
		if _, message := reader.frame(); message == `{"ok":true}` {
			break
		}
	}
	if got := log.String(); !strings.Contains(got, "command=unsubscribe channel=other") || strings.Count(got, "a watched command") != 1 {
		t.Errorf("the log has\n%s", got)
	}
	if err := s.Disconnect(t.Context(), slow.ID, 4000, "go"); err != nil {
		t.Fatal(err)
	}
	for op := codec.OpText; op != codec.OpClose; {
		var message string
		if op, message = reader.frame(); op == codec.OpClose && message != "\x0f\xa0go" {
			t.Errorf("got the Close frame %q", message)
		}
	}
	if err := s.Disconnect(t.Context(), slow.ID, 4000, ""); !errors.Is(err, webrocket.ErrNoConnection) {
		t.Errorf("twice: got %v", err)
	}
}

// The ID of a connection does not come again, though clients at a socket's file
// all have the same address and follow one another with the same number.
func TestConnectionIDsDoNotComeAgain(t *testing.T) {
	var log lockedBuffer
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	s.Config.Loops = 1
	file := filepath.Join(t.TempDir(), "rocket.sock")
	s.Listen(webrocket.Listener{Addr: "unix:" + file})
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	if err := s.Watch(t.Context(), webrocket.Watch{Hub: "/", Channel: "c", For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	const clients = 10
	for range clients {
		c, err := connect(t, file, "/")
		if err != nil {
			t.Fatal(err)
		}
		c.command(`{"unsubscribe":{"channel":"c"}}`)
		c.frame()
		c.write(codec.AppendMaskedFrame(nil, codec.OpClose, nil, [4]byte{}))
		_, _ = io.Copy(io.Discard, c.in)
		_ = c.conn.Close()
	}
	ids := regexp.MustCompile(`connection=(\S+)`).FindAllStringSubmatch(log.String(), -1)
	last, err := connect(t, file, "/")
	if err != nil || len(ids) != clients {
		t.Fatalf("%d IDs, %v, want %d", len(ids), err, clients)
	}
	defer last.conn.Close()
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id[1]] {
			t.Errorf("%s has come again", id[1])
		}
		seen[id[1]] = true
		if err := s.Disconnect(t.Context(), id[1], 4000, ""); !errors.Is(err, webrocket.ErrNoConnection) {
			t.Errorf("%s: got %v, want that there is no such connection", id[1], err)
		}
	}
	last.command(`{"logout":true}`)
	if _, got := last.frame(); got != `{"ok":true}` {
		t.Errorf("a later one got %q", got)
	}
}

// Whoever hears the channel is disconnected, whatever else it hears.
func TestDisconnectChannel(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	hearing := func(channels ...string) *client {
		c := login(t, s, "/", "read-only", "")
		for _, channel := range channels {
			c.write(`{"subscribe":{"channel":"` + channel + `"}}`)
			c.want(`{"ok":true}`)
		}
		return c
	}
	one, two, other := hearing("c"), hearing("c", "d"), hearing("d")
	if done, err := s.DisconnectChannel(t.Context(), "/", "c", 4000, "go"); done.Count != 2 || done.Nodes != 1 || err != nil {
		t.Errorf("got %+v, %v, want 2", done, err)
	}
	one.wantClose(4000)
	two.wantClose(4000)
	other.write(`{"logout":true}`)
	other.want(`{"ok":true}`)
}

// Those for whom most waits come first, whichever loop they are on.
func TestSlowestOfAllLoops(t *testing.T) {
	s := slowServer(t, slowHandler(64<<20, webrocket.Disconnect))
	slowest := func(n int) []webrocket.ConnStats {
		t.Helper()
		list, err := s.Slowest(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	publish := func(channel string) {
		t.Helper()
		if err := s.Publish("/", channel, "e", strings.Repeat("x", 60_000)); err != nil && !errors.Is(err, webrocket.ErrOverloaded) {
			t.Fatal(err)
		}
	}

	// Each has a channel of its own, named for its address, and reads nothing of it.
	both := func() bool {
		loops := s.Stats(t.Context()).Loops
		return loops[0].Connections > 0 && loops[1].Connections > 0
	}
	for !both() {
		reader := dialRaw(t, s, "/")
		address := reader.conn.LocalAddr().String()
		for _, command := range []string{`{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"` + address + `"}}`} {
			reader.command(command)
			reader.frame()
		}
		waitFor(t, func() bool {
			publish(address)
			return slices.ContainsFunc(slowest(100), func(c webrocket.ConnStats) bool {
				return c.Address == address && c.QueuedBytes > 1<<20 // more than the kernel takes yet
			})
		})
	}

	// Of one on each loop in turn most waits. Each answer is judged as it is: before
	// the next one the kernel may have taken more.
	for loop := range 2 {
		list, first := slowest(100), slowest(1)
		want := list[slices.IndexFunc(list, func(c webrocket.ConnStats) bool { return c.Loop == loop })]
		inOrder := func() bool {
			return slices.IsSortedFunc(list, func(a, b webrocket.ConnStats) int { return b.QueuedBytes - a.QueuedBytes }) &&
				list[0].ID == want.ID && len(first) == 1 && first[0].ID == want.ID
		}
		for n := 0; n < 300 && !inOrder(); n++ {
			publish(want.Address)
			list, first = slowest(100), slowest(1)
		}
		if !inOrder() {
			t.Errorf("got %+v and of one %+v, want %s first", list, first, want.ID)
		}
	}
}

// watchable is a hub whose log is to be looked at.
func watchable(log *lockedBuffer) *webrocket.HubHandler {
	h := webrocket.NewJSONHandler()
	h.Log = slog.New(slog.NewTextHandler(log, nil))
	return h
}

// wantWatched fails unless so many commands have been logged.
func wantWatched(t *testing.T, log *lockedBuffer, n int) {
	t.Helper()
	if got := log.String(); strings.Count(got, "a watched command") != n {
		t.Errorf("want %d watched commands, the log has\n%s", n, got)
	}
}

// A channel is watched in one hub, also if another has one of that name, and only
// for some time.
func TestWatchAChannel(t *testing.T) {
	var log lockedBuffer
	s := serve(t, hubs{"/here": watchable(&log), "/there": watchable(&log)})
	here, there := login(t, s, "/here", "read-write", ""), login(t, s, "/there", "read-write", "")
	watch := func(d time.Duration) {
		t.Helper()
		if err := s.Watch(t.Context(), webrocket.Watch{Hub: "/here", Channel: "c", For: d}); err != nil {
			t.Fatal(err)
		}
	}
	talkOf := func(channel string) {
		t.Helper()
		for _, c := range []*client{here, there} {
			c.write(`{"subscribe":{"channel":"` + channel + `"}}`)
			c.want(`{"ok":true}`)
		}
	}
	watch(time.Hour)
	talkOf("other")
	wantWatched(t, &log, 0)
	talkOf("c")
	wantWatched(t, &log, 1)
	if got := log.String(); !strings.Contains(got, "hub=/here") {
		t.Errorf("want that of /here, the log has\n%s", got)
	}
	watch(time.Nanosecond) // it is over when the next command comes
	talkOf("c")
	wantWatched(t, &log, 1)
	watch(time.Hour)
	watch(0)
	talkOf("c")
	wantWatched(t, &log, 1)
}

// A command that comes too fast is seen as well.
func TestWatchTooFast(t *testing.T) {
	var log lockedBuffer
	h := watchable(&log)
	h.ByteRate = 1
	s := serve(t, hubs{"/": h})
	c := login(t, s, "/", "read-only", strings.Repeat("x", 1000)) // the bytes of a quarter of an hour
	if err := s.Watch(t.Context(), webrocket.Watch{Hub: "/", Channel: "c", For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	c.write(`{"subscribe":{"channel":"c"}}`)
	c.want(`{"err":"rate_limited"}`)
	wantWatched(t, &log, 1)
	if got := log.String(); !strings.Contains(got, "command=subscribe channel=c") || !strings.Contains(got, "result=rate_limited") {
		t.Errorf("the log has\n%s", got)
	}
}

// What is asked of a server that has not started has answers too.
func TestOperateBeforeStart(t *testing.T) {
	s := webrocket.NewServer("127.0.0.1:0")
	h := webrocket.NewJSONHandler()
	h.Channels = []string{"c"}
	if err := h.PublishJSON("c", "e", nil); !errors.Is(err, webrocket.ErrInvalidChannel) {
		t.Errorf("PublishJSON without a server: got %v", err)
	}
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if s.Ready() || s.Check(t.Context()) == nil {
		t.Error("it is ready")
	}
	if got := s.Stats(t.Context()); len(got.Loops) != 0 || len(got.Hubs) != 1 || got.Hubs[0].Channels != 1 {
		t.Errorf("Stats: got %+v", got)
	}
	if slowest, err := s.Slowest(t.Context(), 1); slowest != nil || err != nil {
		t.Errorf("Slowest: got %v, %v", slowest, err)
	}
	if page, next, err := s.ListConnections(t.Context(), webrocket.ConnQuery{Hub: "/", Channel: "c"}); page != nil || next != "" || err != nil {
		t.Errorf("ListConnections: got %v, %q, %v", page, next, err)
	}
	if err := s.Disconnect(t.Context(), "0-1-1@a", 1000, ""); !errors.Is(err, webrocket.ErrNoConnection) {
		t.Errorf("Disconnect: got %v", err)
	}
	if done, err := s.DisconnectChannel(t.Context(), "/", "c", 1000, ""); done.Count != 0 || err != nil {
		t.Errorf("DisconnectChannel: got %+v, %v", done, err)
	}
	if first, total, err := s.Channels("/", "", pubsub.ByName, 1); len(first) != 1 || total != 1 || err != nil {
		t.Errorf("Channels: got %v of %d, %v", first, total, err)
	}
	for name, err := range map[string]error{
		"DisconnectChannel": second(s.DisconnectChannel(t.Context(), "/x", "c", 1000, "")),
		"Watch":             s.Watch(t.Context(), webrocket.Watch{Hub: "/x", Channel: "c"}),
		"PublishJSON":       s.PublishJSON("/x", "c", "e", nil),
	} {
		if !errors.Is(err, webrocket.ErrNoHub) {
			t.Errorf("%s: got %v, want ErrNoHub", name, err)
		}
	}
}

func second(_ webrocket.Done, err error) error { return err }

// What Go publishes as JSON is checked like a client's command, and kept as it is.
func TestPublishJSON(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.MaxMessageSize = 100
	s := serve(t, hubs{"/": h})
	c := dial(t, s, "/")
	c.write(`{"auth":{"access":"read-only","secret":""}}`)
	c.want(`{"ok":true}`)
	c.write(`{"subscribe":{"channel":"c"}}`)
	c.want(`{"ok":true}`)
	for _, tt := range []struct {
		name, channel, event, data string
		want                       error
	}{
		{"an object", "c", "e", `{"a" :"<&>"}`, nil},
		{"nothing", "c", "e", "", nil},
		{"what HTML has to escape", "c", "<<<<<<<<<<<<<<<<<<<<", "", nil},
		{"an event that is no UTF-8", "c", "\xff", "", webrocket.ErrInvalidData},
		{"a channel that is no UTF-8", "\xff", "e", "", webrocket.ErrInvalidData},
		{"no event", "c", "", "1", webrocket.ErrInvalidData},
		{"no JSON", "c", "e", `1},"x":{"y":1`, webrocket.ErrInvalidData},
		{"no UTF-8", "c", "e", "\"\xff\"", webrocket.ErrInvalidData},
		{"too large", "c", "e", `"` + strings.Repeat("x", 100) + `"`, webrocket.ErrTooLarge},
		{"no channel", "d", "e", "1", webrocket.ErrInvalidChannel},
	} {
		if err := s.PublishJSON("/", tt.channel, tt.event, []byte(tt.data)); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	c.want(`{"event":"e","channel":"c","data":{"a" :"<&>"}}`)
	c.want(`{"event":"e","channel":"c"}`)
	c.want(`{"event":"<<<<<<<<<<<<<<<<<<<<","channel":"c"}`)
	if got := s.Stats(t.Context()).Hubs[0].Published; got != 3 {
		t.Errorf("got %d published from Go, want 3", got)
	}
}

// crowdServer is a server whose hub has so many connections on one loop, which all
// subscribe to the channel c.
func crowdServer(t *testing.T, n int) (*webrocket.Server, []*rawClient) {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Config.Loops = 1
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	clients := make([]*rawClient, n)
	for i := range clients {
		clients[i] = dialRaw(t, s, "/")
		for _, command := range []string{`{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"c"}}`} {
			clients[i].command(command)
			if _, got := clients[i].frame(); got != `{"ok":true}` {
				t.Fatal(got)
			}
		}
	}
	return s, clients
}

// Whoever is there during the whole walk is listed once, whatever comes and goes
// between two pages; then all of them are closed, in more than one slice.
func TestListConnectionsWhileOthersComeAndGo(t *testing.T) {
	const most = 1100 // more than two slices
	s, clients := crowdServer(t, most)
	stay := map[string]int{}
	for i, c := range clients {
		if i%4 != 0 {
			stay[c.conn.LocalAddr().String()] = 0
		}
	}
	seen := map[string]bool{}
	q := webrocket.ConnQuery{Hub: "/", Channel: "c", Limit: 100}
	for pages := 0; pages == 0 || q.After != ""; pages++ {
		page, next, err := s.ListConnections(t.Context(), q)
		if err != nil || len(page) > q.Limit || pages > 2*most/q.Limit {
			t.Fatalf("page %d: got %d connections, %v", pages, len(page), err)
		}
		for _, c := range page {
			if seen[c.ID] {
				t.Errorf("%s is listed twice", c.ID)
			}
			seen[c.ID] = true
			if _, ok := stay[c.Address]; ok {
				stay[c.Address]++
			}
		}
		q.After = next
		for i := pages * 40; i < (pages+1)*40 && i < most; i += 4 {
			clients[i].write(codec.AppendMaskedFrame(nil, codec.OpClose, nil, [4]byte{}))
			_, _ = io.Copy(io.Discard, clients[i].in)
			dialRaw(t, s, "/")
		}
	}
	for address, n := range stay {
		if n != 1 {
			t.Errorf("%s is listed %d times", address, n)
		}
	}
	if page, next, err := s.ListConnections(t.Context(), webrocket.ConnQuery{}); len(page) != 100 || next == "" || err != nil {
		t.Errorf("without a limit: got %d, %q, %v", len(page), next, err)
	}

	done, err := s.DisconnectChannel(t.Context(), "/", "c", 4000, "go")
	if err != nil || done.Count < len(stay) {
		t.Errorf("%d are closed, %v, want all of %d", done.Count, err, len(stay))
	}
	if op, got := clients[most-1].frame(); op != codec.OpClose || got != "\x0f\xa0go" {
		t.Errorf("got the frame %q", got)
	}
}

// blocker keeps the loop of a connection that sends something busy, until free is
// closed.
type blocker struct {
	in   chan int // which loop that is
	free chan struct{}
}

func (b *blocker) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{Protocol: b}, nil
}
func (b *blocker) OnOpen(_ *webrocket.Conn, _ *webrocket.Request) {}
func (b *blocker) OnClose(*webrocket.Conn, error)                 {}
func (b *blocker) OnMessage(c *webrocket.Conn, _ webrocket.Opcode, _ []byte) {
	b.in <- c.Loop().Index()
	<-b.free
}

// A loop that makes no progress keeps nobody from what is on the other one.
func TestOperateBesideAStalledLoop(t *testing.T) {
	b := &blocker{make(chan int), make(chan struct{})}
	s := webrocket.NewServer("127.0.0.1:0")
	s.Config.Loops = 2
	for path, h := range map[string]webrocket.Handler{"/": webrocket.NewJSONHandler(), "/block": b} {
		if err := s.Handle(path, h); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	// The first loop gets a client of the hub, the second one that stalls it.
	on := func(path string, loop int) (*rawClient, webrocket.ConnStats) {
		for {
			c := dialRaw(t, s, path)
			page, _, err := s.ListConnections(t.Context(), webrocket.ConnQuery{Hub: path, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(page, func(s webrocket.ConnStats) bool { return s.Address == c.conn.LocalAddr().String() })
			if page[i].Loop == loop {
				return c, page[i]
			}
		}
	}
	_, free := on("/", 0)
	stalls, _ := on("/block", 1)
	stalls.command("x")
	stalled := <-b.in
	defer close(b.free)

	// A page has what was found until the context ended, and says where to go on.
	some, next, err := s.ListConnections(&endsAfter{Context: t.Context(), asked: 1}, webrocket.ConnQuery{Limit: 1000})
	if err != nil || next != "1-0" || !slices.ContainsFunc(some, func(c webrocket.ConnStats) bool { return c.ID == free.ID }) {
		t.Errorf("the list of both loops: got %v, %q, %v", some, next, err)
	}
	if err := s.Disconnect(t.Context(), free.ID, 4000, "go"); err != nil {
		t.Errorf("Disconnect on the other loop: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, next, err := s.ListConnections(ctx, webrocket.ConnQuery{After: fmt.Sprintf("%d-0", stalled)}); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("the list of the stalled loop: got %v, %q, %v", got, next, err)
	}
}

// endsAfter is a context that ends when a loop is asked that is one too many.
type endsAfter struct {
	context.Context
	asked int
}

func (c *endsAfter) Done() <-chan struct{} {
	if c.asked--; c.asked >= 0 {
		return nil
	}
	done := make(chan struct{})
	close(done)
	return done
}

func (c *endsAfter) Err() error {
	if c.asked < 0 {
		return context.Canceled
	}
	return nil
}
