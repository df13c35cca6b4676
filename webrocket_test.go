package webrocket_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
)

// custom is a handler of its own; nil functions do nothing.
type custom struct {
	endpoint  *webrocket.Endpoint
	err       error
	onOpen    func(c *webrocket.Conn)
	onMessage func(c *webrocket.Conn, message []byte)
	onClose   func(c *webrocket.Conn, reason error)
}

func (h *custom) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return h.endpoint, h.err
}

func (h *custom) OnOpen(c *webrocket.Conn, _ *webrocket.Request) {
	if h.onOpen != nil {
		h.onOpen(c)
	}
}

func (h *custom) OnMessage(c *webrocket.Conn, _ webrocket.Opcode, message []byte) {
	if h.onMessage != nil {
		h.onMessage(c, message)
	}
}

func (h *custom) OnClose(c *webrocket.Conn, reason error) {
	if h.onClose != nil {
		h.onClose(c, reason)
	}
}

// served is h as its own endpoint.
func (h *custom) served() *custom {
	h.endpoint = &webrocket.Endpoint{Protocol: h}
	return h
}

func TestHandleErrors(t *testing.T) {
	shared := webrocket.NewJSONHandler()
	s := webrocket.NewServer("127.0.0.1:0")
	for _, step := range []struct {
		name    string
		path    string
		handler webrocket.Handler
		want    string // a part of the error, "" for none
	}{
		{"good", "/", shared, ""},
		{"with a part of its own", "/chat/room-1", webrocket.NewJSONHandler(), ""},
		{"empty path", "", webrocket.NewJSONHandler(), `"": no client asks for this path; write "/"`},
		{"no slash", "chat", webrocket.NewJSONHandler(), `write "/chat"`},
		{"query", "/a?b=c", webrocket.NewJSONHandler(), `write "/a"`},
		{"space", "/a b", webrocket.NewJSONHandler(), `write "/a%20b"`},
		{"path that browsers shorten", "/a/../b", webrocket.NewJSONHandler(), `write "/b"`},
		{"path that browsers encode", "/bücher", webrocket.NewJSONHandler(), `write "/b%C3%BCcher"`},
		{"origin that no browser sends", "/origins", &webrocket.HubHandler{
			Codec: webrocket.NewJSONHandler().Codec, Endpoint: webrocket.Endpoint{Origins: []string{"https://example.com", "wss://example.com"}},
		}, `origin "wss://example.com": an origin has the scheme of the page, not wss:; write "https://example.com"`},
		{"origin of an endpoint", "/custom", &custom{endpoint: &webrocket.Endpoint{
			Protocol: (&custom{}).served().endpoint.Protocol, Origins: []string{"example.com"},
		}}, `origin "example.com": it has no scheme; write "https://example.com"`},
		{"subprotocol that nobody can offer", "/subprotocols", &webrocket.HubHandler{
			Codec: webrocket.NewJSONHandler().Codec, Endpoint: webrocket.Endpoint{Subprotocols: []string{"chat v1"}},
		}, `subprotocol "chat v1"`},
		{"same path", "/", webrocket.NewJSONHandler(), "already"},
		{"same handler", "/again", shared, "in use already"},
		{"no handler", "/nil", nil, "no handler"},
		{"no codec", "/codec", new(webrocket.HubHandler), "no codec"},
		{"bad channel", "/channels", &webrocket.HubHandler{
			Codec: webrocket.NewJSONHandler().Codec, HubConfig: webrocket.HubConfig{Channels: []string{"good", "bad\n"}},
		}, `"bad\n" cannot name a channel`},
		{"its own error", "/custom", &custom{err: errors.New("not today")}, "not today"},
		{"no endpoint", "/custom", &custom{}, "no endpoint"},
		{"no endpoint's handler", "/custom", &custom{endpoint: &webrocket.Endpoint{}}, "no endpoint"},
		{"no notice of what is dropped", "/custom", &custom{endpoint: &webrocket.Endpoint{
			Protocol: (&custom{}).served().endpoint.Protocol, SlowReaders: webrocket.DropOldest,
		}}, "without Lost"},
		{"after those errors", "/custom", (&custom{}).served(), ""},
	} {
		err := s.Handle(step.path, step.handler)
		if step.want == "" && err != nil || step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%s: got %v, want %q", step.name, err, step.want)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	if err := s.Handle("/late", webrocket.NewJSONHandler()); err == nil || !strings.Contains(err.Error(), "started") {
		t.Errorf("after Start: got %v, want an error", err)
	}
	_ = dial(t, s, "/chat/room-1").ws.CloseNow()
}

func TestLifeOfServer(t *testing.T) {
	s := webrocket.NewServer("127.0.0.1:0")
	if err := s.Start(); err == nil || !strings.Contains(err.Error(), "Handle") {
		t.Errorf("Start without a handler: got %v, want an error that names Handle", err)
	}
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	if s.Addr() != nil || s.Connections() != 0 || s.Loops() != 0 || s.MaxConnections() != 0 || s.Wait() != nil {
		t.Error("before Start: want no address, connections, loops or limit, and nothing to wait for")
	}
	s.Config.Loops = 3
	s.Config.MaxConnections = 10
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err == nil {
		t.Error("Start twice: want an error")
	}
	if s.Loops() != 3 || s.MaxConnections() != 10 {
		t.Errorf("got %d loops and at most %d connections, want 3 and 10", s.Loops(), s.MaxConnections())
	}
	c := dial(t, s, "/")
	c.write(`{"logout":true}`)
	c.want(`{"ok":true}`)
	if got := s.Connections(); got != 1 {
		t.Errorf("got %d connections, want 1", got)
	}
	waited := make(chan error)
	go func() { waited <- s.Wait() }()
	closed := make(chan error)
	go func() {
		_, err := c.read()
		closed <- err
	}()
	shutdown(t, s)
	if err := <-waited; err != nil {
		t.Errorf("Wait: got %v, want nil", err)
	}
	if err := <-closed; err == nil || !strings.Contains(err.Error(), "1001") {
		if err == nil || !strings.Contains(err.Error(), "StatusGoingAway") {
			t.Errorf("the client: got %v, want the end with 1001", err)
		}
	}
	shutdown(t, s) // twice is well
	if err := s.Start(); !errors.Is(err, webrocket.ErrServerClosed) {
		t.Errorf("Start after Shutdown: got %v, want ErrServerClosed", err)
	}
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}

func TestShutdownBeforeStart(t *testing.T) {
	s := webrocket.NewServer("127.0.0.1:0")
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	shutdown(t, s)
	if err := s.ListenAndServe(); !errors.Is(err, webrocket.ErrServerClosed) {
		t.Errorf("got %v, want ErrServerClosed", err)
	}
}

// A client that does not answer is cut off when the context is done.
func TestShutdownDoesNotWaitForEver(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	c := dialRaw(t, s, "/")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 connections") {
		t.Errorf("got %v, want context.Canceled and one connection", err)
	}
	for {
		if _, _, err := c.next(); err != nil {
			break
		}
	}
}

func TestListenAndServe(t *testing.T) {
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.DiscardHandler)
	ready := make(chan struct{})
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		close(ready)
		ended <- s.ListenAndServe()
	}()
	<-ready
	shutdown(t, s) // before, while or after it starts
	if err := <-ended; err != nil && !errors.Is(err, webrocket.ErrServerClosed) {
		t.Errorf("got %v, want nil or ErrServerClosed", err)
	}
}

// Start says what is wrong with an address, and may be called again.
func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := webrocket.NewServer(taken.Addr().String())
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v, want that the address is in use", err)
	}
	taken.Close()
	if err := s.Handle("/more", webrocket.NewJSONHandler()); err != nil {
		t.Errorf("Handle after a failed Start: got %v, want nil", err)
	}
	if err := s.Start(); err != nil {
		t.Errorf("Start again: got %v, want nil", err)
	}
	_ = dial(t, s, "/more").ws.CloseNow()
	shutdown(t, s)
}

// A client may be there before Start has returned, and its callbacks may ask
// the server for what they like.
func TestCallbacksWhileStarting(t *testing.T) {
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := reserved.Addr().String()
	reserved.Close()

	s := webrocket.NewServer(address)
	s.Config.Loops = 2
	hub := webrocket.NewJSONHandler()
	opened := make(chan struct{}, 100)
	h := (&custom{onOpen: func(*webrocket.Conn) {
		s.Addr()
		s.Connections()
		s.Loops()
		s.MaxConnections()
		_ = s.Publish("/hub", "c", "e", nil)
		opened <- struct{}{}
	}}).served()
	for path, handler := range (hubs{"/": h, "/hub": hub}) {
		if err := s.Handle(path, handler); err != nil {
			t.Fatal(err)
		}
	}
	var dialing sync.WaitGroup
	for range 8 {
		dialing.Go(func() {
			for {
				if c, err := connect(t, address, "/"); err == nil {
					c.conn.Close()
					return
				}
			}
		})
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	dialing.Wait()
	for range 8 {
		<-opened
	}
	shutdown(t, s)
}

// A panic in a handler costs its own connection and no other.
func TestPanickingHandler(t *testing.T) {
	var closed sync.WaitGroup
	closed.Add(3)
	h := (&custom{
		onMessage: func(c *webrocket.Conn, message []byte) {
			if string(message) == "panic" {
				panic("on purpose")
			}
			c.Send(webrocket.Text, message)
		},
		onClose: func(_ *webrocket.Conn, reason error) { closed.Done() },
	}).served()
	onOpen := (&custom{
		onOpen:  func(*webrocket.Conn) { panic("on purpose") },
		onClose: func(*webrocket.Conn, error) { closed.Done() },
	}).served()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.DiscardHandler)
	s.Config.Loops = 1
	for path, handler := range (hubs{"/": h, "/open": onOpen}) {
		if err := s.Handle(path, handler); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	a, b := dial(t, s, "/"), dial(t, s, "/")
	a.write("panic")
	a.wantClose(1011)
	b.write("hello")
	b.want("hello")
	dial(t, s, "/open").wantClose(1011)
	go func() { _, _ = b.read() }()
	shutdown(t, s)
	closed.Wait()
}

// Publishing from any goroutine: every subscriber hears each goroutine's events
// in order, and all of them.
func TestPublishFromGo(t *testing.T) {
	const goroutines, events = 8, 200
	h := webrocket.NewJSONHandler()
	s := serve(t, hubs{"/": h})
	clients := []*client{dial(t, s, "/"), dial(t, s, "/"), dial(t, s, "/")}
	for _, c := range clients {
		c.write(`{"auth":{"access":"read-only","secret":""}}`)
		c.want(`{"ok":true}`)
		c.write(`{"subscribe":{"channel":"c"}}`)
		c.want(`{"ok":true}`)
	}
	var publishing sync.WaitGroup
	for g := range goroutines {
		publishing.Go(func() {
			for i := range events {
				publish := func() error { return h.Publish("c", "e", [2]int{g, i}) }
				if g%2 == 0 {
					publish = func() error { return s.Publish("/", "c", "e", [2]int{g, i}) }
				}
				if err := publish(); err != nil {
					t.Errorf("Publish: %v", err)
				}
			}
		})
	}
	var first []string
	for n, c := range clients {
		next := [goroutines]int{}
		for k := range goroutines * events {
			message, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			var g, i int
			if _, err := fmt.Sscanf(message, `{"event":"e","channel":"c","data":[%d,%d]}`, &g, &i); err != nil {
				t.Fatalf("got %s: %v", message, err)
			}
			if i != next[g] {
				t.Fatalf("goroutine %d: got %d, want %d", g, i, next[g])
			}
			next[g]++
			if n == 0 {
				first = append(first, message)
			} else if first[k] != message {
				t.Fatalf("client %d: event %d is %s, another client had %s", n, k, message, first[k])
			}
		}
	}
	publishing.Wait()
}

func TestPublishErrors(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.Channels = []string{"c"}
	if err := h.Publish("c", "e", nil); !errors.Is(err, webrocket.ErrInvalidChannel) {
		t.Errorf("before Handle: got %v, want ErrInvalidChannel", err)
	}
	s := webrocket.NewServer("127.0.0.1:0")
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, channel, event string
		data                       any
		want                       string
	}{
		{"good", "/", "c", "e", "x", "<nil>"},
		{"no such hub", "/other", "c", "e", nil, `webrocket: there is no hub at "/other"`},
		{"no such channel", "/", "d", "e", nil, "webrocket: no such channel"},
		{"no event", "/", "c", "", nil, "webrocket: an event needs a name"},
		{"no JSON", "/", "c", "e", func() {}, `webrocket: publish to "c": json: unsupported type: func()`},
	}
	for _, test := range tests {
		if got := fmt.Sprint(s.Publish(test.path, test.channel, test.event, test.data)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// The hub's log has what concerns the hub, and no secret.
func TestHubLog(t *testing.T) {
	var text lockedBuffer
	h := locked()
	h.Log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := serve(t, hubs{"/here": h})
	talk(t, s, `
		a @ /here
		a > {"auth":{"access":"read-write","secret":"hunter2"}}
		a < {"err":"invalid_credentials"}
		a > {"disconnect":true}
		a < {"ok":true}
		a ! 1000`)
	shutdown(t, s)
	got := text.String()
	for _, want := range []string{"a login was refused", "hub=/here", "access=read-write", "a connection has ended", "1000"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Errorf("the log has a secret:\n%s", got)
	}
}

// registering is a handler during whose registration something else happens.
type registering struct {
	*webrocket.HubHandler
	meanwhile func(s *webrocket.Server)
}

func (h registering) Register(s *webrocket.Server, id any) (*webrocket.Endpoint, error) {
	h.meanwhile(s)
	return h.HubHandler.Register(s, id)
}

// What Handle has looked at may not hold any more when the handler is registered.
func TestHandleMeanwhile(t *testing.T) {
	handle := func(s *webrocket.Server, path string) {
		if err := s.Handle(path, webrocket.NewJSONHandler()); err != nil {
			t.Error(err)
		}
	}
	taken := func(s *webrocket.Server) { handle(s, "/x") }
	late := func(s *webrocket.Server) {
		handle(s, "/")
		if err := s.Start(); err != nil {
			t.Error(err)
		}
	}
	for want, meanwhile := range map[string]func(*webrocket.Server){"for this path already": taken, "started already": late} {
		s := webrocket.NewServer("127.0.0.1:0")
		err := s.Handle("/x", registering{webrocket.NewJSONHandler(), meanwhile})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want that there is %s", err, want)
		}
		shutdown(t, s)
	}
}

// A callback may call Reload while Start, which waits for it, is at work.
func TestReloadWhileStarting(t *testing.T) {
	s := webrocket.NewServer("127.0.0.1:0")
	defer s.Starting()()
	result := make(chan error, 1)
	go func() { result <- s.Reload(s.Config, hubs{"/": webrocket.NewJSONHandler()}) }()
	select {
	case err := <-result:
		if err == nil || !strings.Contains(err.Error(), "does not run") {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Error("Reload waits for Start")
	}
}

// Publish may be called while the handler comes into use.
func TestPublishBeforeAndAfterHandle(t *testing.T) {
	for range 200 {
		h := webrocket.NewJSONHandler()
		h.Channels = []string{"c"}
		var publishing sync.WaitGroup
		publishing.Go(func() {
			for {
				err := h.Publish("c", "e", nil)
				if err == nil {
					return
				}
				if !errors.Is(err, webrocket.ErrInvalidChannel) {
					t.Errorf("got %v, want %v", err, webrocket.ErrInvalidChannel)
					return
				}
			}
		})
		if err := webrocket.NewServer("").Handle("/", h); err != nil {
			t.Fatal(err)
		}
		publishing.Wait()
	}
}

// A server that cannot accept anybody is not ready, until it can.
func TestReadyWithoutFiles(t *testing.T) {
	limitFiles(t, 1024)
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	if !s.Ready() {
		t.Error("it is not ready")
	}
	newcomer, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(newcomer) }()
	giveBack := takeFiles(t)
	defer giveBack()
	port := s.Addr().(*net.TCPAddr).Port
	if err := syscall.Connect(newcomer, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return !s.Ready() })
	giveBack()
	waitFor(t, s.Ready)
}

// A server that refuses everybody, since it is full or memory is short, is not
// ready, until it lets newcomers in.
func TestReadyWithoutRoom(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	config := s.Config
	config.MaxConnections = 1
	if err := s.Reload(config, hubs{"/": webrocket.NewJSONHandler()}); err != nil {
		t.Fatal(err)
	}
	if !s.Ready() {
		t.Error("an empty server is not ready")
	}
	only := dial(t, s, "/")
	if s.Ready() {
		t.Error("a full server is ready")
	}
	_ = only.ws.CloseNow()
	waitFor(t, s.Ready)

	config.MemoryLimit = 1
	if err := s.Reload(config, hubs{"/": webrocket.NewJSONHandler()}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return !s.Ready() })
	config.MemoryLimit = -1
	if err := s.Reload(config, hubs{"/": webrocket.NewJSONHandler()}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, s.Ready)
}

// limitFiles sets how many files the process may have open, for the test.
func limitFiles(t *testing.T, n uint64) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) })
}

// takeFiles opens all the files that the process may have.
func takeFiles(t *testing.T) (giveBack func()) {
	t.Helper()
	var taken []int
	for {
		fd, err := syscall.Dup(0)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, fd)
	}
	return func() {
		for _, fd := range taken {
			_ = syscall.Close(fd)
		}
		taken = nil
	}
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
