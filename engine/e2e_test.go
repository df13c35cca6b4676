package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
)

// hooks is a Protocol of functions; nil does nothing.
type hooks struct {
	open    func(*Conn)
	message func(*Conn, codec.Opcode, []byte)
	close   func(*Conn, error)
}

func (h hooks) OnOpen(c *Conn, _ *codec.Request) {
	if h.open != nil {
		h.open(c)
	}
}

func (h hooks) OnMessage(c *Conn, op codec.Opcode, payload []byte) {
	if h.message != nil {
		h.message(c, op, payload)
	}
}

func (h hooks) OnClose(c *Conn, reason error) {
	if h.close != nil {
		h.close(c, reason)
	}
}

// echo sends every message back.
var echo = hooks{message: func(c *Conn, op codec.Opcode, payload []byte) { c.Send(op, payload) }}

func at(path string, endpoint Endpoint) map[string]Endpoint {
	return map[string]Endpoint{path: endpoint}
}

// silence is a log in which there must be nothing but that io_uring is refused here.
type silence struct {
	slog.Handler
	t *testing.T
}

func (s silence) Handle(ctx context.Context, r slog.Record) error {
	if r.Message != notUsed {
		s.t.Errorf("%v is logged", r.Message)
	}
	return s.Handler.Handle(ctx, r)
}

// start starts an engine that is shut down after the test. Nothing that clients
// do is worth a line in its log.
func start(t *testing.T, config Config, endpoint Endpoint) *Engine {
	t.Helper()
	config.Log = slog.New(silence{slog.NewTextHandler(t.Output(), nil), t})
	return startOn(t, config, endpoint, Listener{Addr: "127.0.0.1:0"})
}

func dial(t *testing.T, e *Engine) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://"+e.Addr().String()+"/", nil)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(-1)
	return ws
}

// dialDeaf connects a client that reads only its handshake.
func dialDeaf(t *testing.T, e *Engine) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatalf("Write: %v", err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len(welcome))); err != nil {
		t.Fatalf("Read: %v", err)
	}
	return conn
}

// roundTrip sends a message and fails unless it comes back.
func roundTrip(t *testing.T, ws *websocket.Conn, message []byte) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageBinary, message); err != nil {
		t.Fatalf("%d bytes: Write: %v", len(message), err)
	}
	_, got, err := ws.Read(t.Context())
	if err != nil || !bytes.Equal(got, message) {
		t.Fatalf("%d bytes: got %d bytes, %v", len(message), len(got), err)
	}
}

func TestEcho(t *testing.T) {
	for _, loops := range []int{1, 2, 9} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) {
			e := start(t, Config{Loops: loops}, Endpoint{Protocol: echo, MaxMessageSize: 16 << 20})
			for _, size := range []int{0, 1, 125, 126, 65535, 65536, 5 << 20} {
				ws := dial(t, e)
				roundTrip(t, ws, bytes.Repeat([]byte{'x'}, size))
				if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
					t.Errorf("%d bytes: Close: %v", size, err)
				}
			}
		})
	}
}

// Every loop has its pump once Start has returned.
func TestEveryLoopHasAPump(t *testing.T) {
	e := start(t, Config{Loops: 16}, Endpoint{Protocol: echo})
	for _, l := range e.Loops() {
		has := make(chan bool)
		l.Post(func() { has <- l.pump != nil })
		if !<-has {
			t.Errorf("loop %d has no pump", l.Index())
		}
	}
}

func TestDualStack(t *testing.T) {
	e := New(Config{Loops: 1}, at("/", Endpoint{Protocol: echo}))
	if err := e.Start(":0"); err != nil {
		t.Fatalf("Start: %v", err)
	}
	defer func() { _ = e.Shutdown(t.Context()) }()
	_, port, err := net.SplitHostPort(e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ws, _, err := websocket.Dial(t.Context(), "ws://127.0.0.1:"+port+"/", nil)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	roundTrip(t, ws, []byte("hello"))
	_ = ws.CloseNow()
}

func TestPortInUse(t *testing.T) {
	one := start(t, Config{Loops: 2}, Endpoint{Protocol: echo})
	two := New(Config{Loops: 2}, at("/", Endpoint{Protocol: echo}))
	err := two.Start(one.Addr().String())
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" {
		t.Errorf("Start: got %v, want that it cannot listen", err)
	}
	if err := two.Start("127.0.0.1:0"); err != nil {
		t.Errorf("Start on another port: %v", err)
	}
	if err := two.Start("127.0.0.1:0"); err == nil {
		t.Error("Start again: no error")
	}
	if err := two.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := two.Start("127.0.0.1:0"); !errors.Is(err, ErrStopped) {
		t.Errorf("Start after Shutdown: got %v, want ErrStopped", err)
	}
}

// Two listeners of one engine at one address could not be told apart: who
// wanted TLS would meet the plain one. Sharing a port is for two processes.
func TestTwoListenersAtOneAddress(t *testing.T) {
	port := start(t, Config{Loops: 1, ReusePort: true}, Endpoint{Protocol: echo}).Addr().(*net.TCPAddr).Port
	for _, share := range []bool{false, true} {
		for _, hosts := range [][2]string{
			{"127.0.0.1", "127.0.0.1"},
			{"localhost", "127.0.0.1"},
			{"127.0.0.1", "::ffff:127.0.0.1"},
			{"", ""},
			{"", "0.0.0.0"},
			{"::", "0.0.0.0"},
		} {
			e := New(Config{Loops: 1, ReusePort: share}, at("/", Endpoint{Protocol: echo}))
			addr := func(host string) string { return net.JoinHostPort(host, fmt.Sprint(port)) }
			err := e.Listen(Listener{Addr: addr(hosts[0])}, Listener{Addr: addr(hosts[1]), TLS: serverTLS()})
			if err == nil || share && !strings.Contains(err.Error(), "two listeners have the address") {
				t.Errorf("%q, shared %t: got %v, want that it is one address", hosts, share, err)
			}
			_ = e.Shutdown(t.Context())
		}
	}
	// Other addresses may have the same port, and any free one is another.
	one, two := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.2:%d", port)
	startOn(t, Config{Loops: 1, ReusePort: true}, Endpoint{Protocol: echo},
		Listener{Addr: one}, Listener{Addr: two}, Listener{Addr: "127.0.0.1:0"}, Listener{Addr: "127.0.0.1:0"})
}

func TestConnectionLimit(t *testing.T) {
	e := start(t, Config{Loops: 2, MaxConnections: 3}, Endpoint{Protocol: echo})
	conns := make([]*websocket.Conn, 3)
	for i := range conns {
		conns[i] = dial(t, e)
	}
	resp, err := http.Get("http://" + e.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || len(body) < 20 || err != nil {
		t.Errorf("got %s, %v, %q, %v, want 503 with a reason", resp.Status, resp.Header, body, err)
	}
	for _, ws := range conns {
		roundTrip(t, ws, []byte("hello"))
	}
}

// So many are told that there is no room. Above that connections are closed
// without an answer, and those who are in are served.
func TestFarAboveTheConnectionLimit(t *testing.T) {
	e := start(t, Config{Loops: 2, MaxConnections: 1}, Endpoint{Protocol: echo})
	ws := dial(t, e)
	told := make([]net.Conn, refusalMax)
	for i := range told {
		told[i] = dialHalf(t, e, nil)
	}
	waitFor(t, func() bool { return e.Connections() == 1+refusalMax })
	for range 10 {
		if got, err := io.ReadAll(dialHalf(t, e, nil)); err != nil || len(got) > 0 {
			t.Errorf("got %q, %v, want the end", got, err)
		}
	}
	for _, conn := range told {
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 503 ")) {
			t.Errorf("got %q, %v, want 503", got, err)
		}
		_ = conn.Close()
	}
	roundTrip(t, ws, []byte("hello"))

	// There is room again to tell somebody.
	waitFor(t, func() bool { return e.Connections() == 1 })
	if got, err := io.ReadAll(dialHalf(t, e, []byte(request))); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 503 ")) {
		t.Errorf("when the others have gone: got %q, %v, want 503", got, err)
	}
}

// longWait is how long a test waits for what should come at once.
const longWait = time.Minute

// waitFor returns when it is so.
func waitFor(t testing.TB, so func() bool) {
	t.Helper()
	for begin := time.Now(); !so(); runtime.Gosched() {
		if time.Since(begin) > longWait {
			t.Fatal("it does not come to that")
		}
	}
}

// receive waits for what comes.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(longWait):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// stopClock lets no more than a tick pass until the function that it returns is
// called: what is limited in a second does not depend on how fast the test is.
// The handshakes of TLS wait meanwhile.
func stopClock(e *Engine) (start func()) {
	e.tlsHandshakes.mu.Lock() // the clock takes it on each tick
	return e.tlsHandshakes.mu.Unlock
}

func TestShutdown(t *testing.T) {
	reasons := make(chan error, 10)
	e := start(t, Config{Loops: 2}, Endpoint{Protocol: hooks{close: func(_ *Conn, err error) { reasons <- err }}})
	conns := make([]*websocket.Conn, cap(reasons))
	for i := range conns {
		conns[i] = dial(t, e)
	}
	silent, err := net.Dial("tcp", e.Addr().String()) // has not sent its handshake
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	// Two may ask for it at once.
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := e.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
	for _, ws := range conns {
		wg.Go(func() {
			_, _, err := ws.Read(context.Background())
			if got := websocket.CloseStatus(err); got != websocket.StatusGoingAway {
				t.Errorf("client: got %v, want 1001", err)
			}
		})
	}
	wg.Go(func() {
		_, _ = io.Copy(io.Discard, silent)
		_ = silent.Close()
	})
	wg.Wait()
	if err := e.Wait(); err != nil {
		t.Errorf("Wait: %v", err)
	}
	for range conns {
		var reason *codec.CloseError
		if err := <-reasons; !errors.As(err, &reason) || reason.Code != codec.StatusGoingAway {
			t.Errorf("OnClose: got %v, want 1001", err)
		}
	}
}

// Connections that do not answer the Close frame are cut off when ctx is done,
// also if another Shutdown has more time.
func TestShutdownCutsOff(t *testing.T) {
	closed := make(chan error, 1)
	e := start(t, Config{Loops: 1, CloseTimeout: time.Hour}, Endpoint{
		Protocol: hooks{close: func(_ *Conn, err error) { closed <- err }},
	})
	dialDeaf(t, e)
	patient := make(chan error)
	go func() { patient <- e.Shutdown(context.Background()) }()
	var reason *codec.CloseError // the Close frame has been sent
	if err := <-closed; !errors.As(err, &reason) || reason.Code != codec.StatusGoingAway {
		t.Errorf("OnClose: got %v, want 1001", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: got %v, want that a connection was cut off", err)
	}
	if err := <-patient; err != nil {
		t.Errorf("the other Shutdown: %v", err)
	}
}

// Clients that come back at once do not prolong the end.
func TestDialWhileStopping(t *testing.T) {
	closed := make(chan error, 1)
	e := start(t, Config{Loops: 2}, Endpoint{Protocol: hooks{close: func(_ *Conn, err error) { closed <- err }}})
	last := dialDeaf(t, e)
	stopped := make(chan error)
	go func() { stopped <- e.Shutdown(t.Context()) }()
	<-closed
	for range 10 {
		conn, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatalf("Dial: %v", err)
		}
		defer conn.Close()
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
			t.Errorf("got %q, %v, want the end", got, err)
		}
	}
	if _, err := last.Write(closeFrame(codec.StatusGoingAway, "")); err != nil {
		t.Errorf("Write: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Handlers hear of the end even where the loops are gone.
func TestOnCloseAtTheEnd(t *testing.T) {
	closed := make(chan error, 1)
	e := start(t, Config{Loops: 1}, Endpoint{Protocol: hooks{close: func(_ *Conn, err error) { closed <- err }}})
	dialDeaf(t, e)
	e.halt()
	if err := e.Wait(); !errors.Is(err, ErrStopped) {
		t.Errorf("Wait: got %v, want ErrStopped", err)
	}
	select {
	case err := <-closed:
		if !errors.Is(err, ErrStopped) {
			t.Errorf("OnClose: got %v, want ErrStopped", err)
		}
	default:
		t.Error("OnClose was not called")
	}
}

func TestShutdownBeforeStart(t *testing.T) {
	e := New(Config{}, nil)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := e.Start("127.0.0.1:0"); !errors.Is(err, ErrStopped) {
		t.Errorf("Start: got %v, want ErrStopped", err)
	}
}

// Whichever comes first, nobody waits for ever.
func TestShutdownWhileStarting(t *testing.T) {
	for range 20 {
		e := New(Config{Loops: 2, Log: slog.New(slog.DiscardHandler)}, at("/", Endpoint{Protocol: echo}))
		started := make(chan error)
		go func() { started <- e.Start("127.0.0.1:0") }()
		if err := e.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-started; err != nil && !errors.Is(err, ErrStopped) {
			t.Errorf("Start: %v", err)
		}
	}
}

func TestGoroutines(t *testing.T) {
	e := start(t, Config{Loops: 2}, Endpoint{Protocol: echo})
	count := func(conns int) int {
		for i := e.Connections(); i < conns; i++ {
			dialDeaf(t, e)
		}
		return runtime.NumGoroutine()
	}
	few := count(10)
	count(500)
	waitFor(t, func() bool { return runtime.NumGoroutine() <= few }) // others may be about to end
}

// Who does not read is closed, and holds up nobody.
func TestSlowReader(t *testing.T) {
	testSlowReader(t, func(endpoint Endpoint) (*websocket.Conn, io.ReadWriter) {
		e := start(t, Config{Loops: 1}, endpoint)
		return dial(t, e), dialDeaf(t, e)
	})
}

// testSlowReader has two clients of one loop from connect, and reads only from
// the first until the other is closed.
func testSlowReader(t *testing.T, connect func(Endpoint) (other *websocket.Conn, deaf io.ReadWriter)) {
	t.Helper()
	closed := make(chan error, 1)
	handler := echo
	handler.close = func(_ *Conn, err error) {
		if errors.Is(err, ErrSlowReader) {
			closed <- err
		}
	}
	other, deaf := connect(Endpoint{Protocol: handler, MaxQueuedBytes: 1 << 20})

	message := masked(codec.OpBinary, string(make([]byte, 32<<10)))
	sent := 0
	for done := false; !done; {
		if _, err := deaf.Write(message); err != nil {
			t.Fatalf("Write: %v", err)
		}
		sent++
		roundTrip(t, other, []byte("hello"))
		select {
		case <-closed:
			done = true
		default:
		}
	}

	// When it reads at last, it gets whole frames, then the Close frame.
	got, err := io.ReadAll(deaf)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	echoed := codec.AppendFrame(nil, codec.OpBinary, make([]byte, 32<<10))
	frames := 0
	for bytes.HasPrefix(got, echoed) {
		got = got[len(echoed):]
		frames++
	}
	want := codec.AppendClose(nil, ErrSlowReader.Code, ErrSlowReader.Reason)
	if frames == 0 || frames >= sent || !bytes.Equal(got, want) {
		t.Errorf("got %d of %d frames, then %.100q, want some, then %q", frames, sent, got, want)
	}
}

// A slow reader gets everything once it reads.
func TestSlowReaderResumes(t *testing.T) {
	const size, messages = 100_000, 100
	e := start(t, Config{Loops: 1}, Endpoint{MaxQueuedBytes: size * messages, Protocol: hooks{open: func(c *Conn) {
		for i := range messages {
			c.Send(codec.OpBinary, bytes.Repeat([]byte{byte(i)}, size))
		}
	}}})
	deaf := dialDeaf(t, e)
	for i := range messages {
		want := codec.AppendFrame(nil, codec.OpBinary, bytes.Repeat([]byte{byte(i)}, size))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(deaf, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("message %d: it differs, or %v", i, err)
		}
	}
}

// Work that posts itself again and again leaves room for input and output.
func TestPostedWorkStarvesNobody(t *testing.T) {
	e := start(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	l := e.Loops()[0]
	stop := make(chan struct{})
	var again func()
	again = func() {
		select {
		case <-stop:
		default:
			l.Post(again)
		}
	}
	l.Post(again)
	ws := dial(t, e)
	for range 10 {
		roundTrip(t, ws, []byte("hello"))
	}
	close(stop)
}

// busy is a Worker that always has more to do.
type busy struct{}

func (busy) Work(time.Duration) time.Duration { return 0 }
func (busy) Written()                         {}

// Connections come and go, politely and not, on loops that are never idle: each
// is served, and each OnOpen has its OnClose.
func TestChurn(t *testing.T) {
	var opened, closed atomic.Int64
	handler := echo
	handler.open = func(c *Conn) {
		opened.Add(1)
		c.SetValue(new(int))
	}
	handler.close = func(c *Conn, _ error) {
		closed.Add(1)
		if n := c.Value().(*int); *n == 0 {
			*n++
		} else {
			t.Error("OnClose came twice")
		}
	}
	e := start(t, Config{Loops: 2, Worker: func(*Loop) Worker { return busy{} }}, Endpoint{Protocol: handler})
	const clients, times = 8, 25
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := range times {
				conn := dialDeaf(t, e)
				if _, err := conn.Write(masked(codec.OpText, "hello")); err != nil {
					t.Errorf("Write: %v", err)
				}
				got := make([]byte, len(text("hello")))
				if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, text("hello")) {
					t.Errorf("got %q, %v", got, err)
				}
				switch i % 4 {
				case 0:
					_, _ = conn.Write(closeFrame(codec.StatusNormal, ""))
					_, _ = io.Copy(io.Discard, conn)
				case 1:
					_, _ = conn.Write(draw("0 111 0000"))
				case 2:
					_ = conn.(*net.TCPConn).SetLinger(0) // a reset
				}
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
	if err := e.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if opened.Load() != clients*times || closed.Load() != clients*times {
		t.Errorf("%d opened, %d closed, want %d", opened.Load(), closed.Load(), clients*times)
	}
}

// What is posted from one goroutine is done in that order, on one loop.
func TestPost(t *testing.T) {
	e := start(t, Config{Loops: 2}, Endpoint{Protocol: echo})
	const posters, each = 4, 1000
	for _, l := range e.Loops() {
		var next [posters]int // the loop's: the race detector would tell
		var wg sync.WaitGroup
		wg.Add(posters)
		for p := range posters {
			go func() {
				for i := range each {
					l.Post(func() {
						if next[p] != i {
							t.Errorf("poster %d: got %d, want %d", p, i, next[p])
						}
						next[p]++
						if next[p] == each {
							wg.Done()
						}
					})
				}
			}()
		}
		wg.Wait()
	}
}

// What is posted once the engine has stopped is not done.
func TestPostAfterTheEnd(t *testing.T) {
	e := start(t, Config{Loops: 2}, Endpoint{Protocol: echo})
	loops := e.Loops()
	if err := e.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for _, l := range loops {
		l.Post(func() { t.Error("it is done") })
	}
}

func TestRemoteAddr(t *testing.T) {
	addrs := make(chan net.Addr, 1)
	e := start(t, Config{Loops: 1}, Endpoint{Protocol: hooks{open: func(c *Conn) { addrs <- c.RemoteAddr() }}})
	conn := dialDeaf(t, e)
	if got := <-addrs; got.String() != conn.LocalAddr().String() {
		t.Errorf("got %v, want %v", got, conn.LocalAddr())
	}
}

// A process that is short of memory refuses newcomers.
func TestMemoryLimitRefuses(t *testing.T) {
	log := newLines(t)
	e := New(Config{Loops: 1, MemoryLimit: 1, Log: slog.New(log)}, at("/", Endpoint{Protocol: echo}))
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Shutdown(context.Background()) }()
	log.want(t, "memory is short")
	response, err := http.Get("http://" + e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 503 || response.Header.Get("Retry-After") != "5" {
		t.Errorf("got %v, want 503 and when to come again", response)
	}
	wantRefused(t, e, "no_memory")
}

// answerFrom connects from an address, asks, and returns the status of the
// answer and when to come again.
func answerFrom(t *testing.T, e *Engine, ip string) string {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return fmt.Sprint(response.StatusCode, " ", response.Header.Get("Retry-After"))
}

// Who comes too fast is told to come later, and others are let in.
func TestConnectRate(t *testing.T) {
	e := start(t, Config{Loops: 2, ConnectRatePerAddress: 3}, Endpoint{Protocol: echo})
	defer stopClock(e)()
	refused := ""
	for range 20 {
		if got := answerFrom(t, e, "127.0.0.1"); got != "101 " {
			refused = got
		}
	}
	if refused != "503 2" {
		t.Errorf("the last that was refused got %q, want 503 and when to come again", refused)
	}
	if got := answerFrom(t, e, "127.0.0.2"); got != "101 " {
		t.Errorf("another address: got %q", got)
	}
	wantRefused(t, e, "too_many")
}

// Wherever they come from, no more than so many come in a second.
func TestConnectRateOfAll(t *testing.T) {
	e := start(t, Config{Loops: 2, ConnectRate: 3}, Endpoint{Protocol: echo})
	defer stopClock(e)()
	answers := map[string]int{}
	for range 20 {
		status, _ := bufio.NewReader(dialHalf(t, e, []byte(request))).ReadString('\n')
		answers[status[:min(len(status), len("HTTP/1.1 503"))]]++
	}
	if answers["HTTP/1.1 101"] < 3 || answers["HTTP/1.1 503"] == 0 || len(answers) != 2 {
		t.Errorf("got %v", answers)
	}
	wantRefused(t, e, "too_many")
}

// The kernel's buffers are as large as the setting says: it doubles the value
// for what it keeps beside the bytes.
func TestSendBuffer(t *testing.T) {
	for set, want := range map[int]int{0: 2 * DefaultSendBuffer, 64 << 10: 128 << 10} {
		sizes := make(chan int, 1)
		e := start(t, Config{Loops: 1, SendBuffer: set}, Endpoint{Protocol: hooks{open: func(c *Conn) {
			size, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
			if err != nil {
				t.Error(err)
			}
			sizes <- size
		}}})
		dialDeaf(t, e)
		if got := <-sizes; got != want {
			t.Errorf("%d: got %d, want %d", set, got, want)
		}
	}
}

// wantRefused fails unless connections were refused, all for one reason.
func wantRefused(t *testing.T, e *Engine, label string) {
	t.Helper()
	refused := make([]map[string]uint64, len(e.Loops()))
	if err := e.Each(t.Context(), func(l *Loop) { refused[l.Index()] = l.Stats().Refused }); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for _, labels := range refused {
		n += labels[label]
		delete(labels, label)
		if len(labels) > 0 {
			t.Errorf("refused too: %v", labels)
		}
	}
	if n == 0 {
		t.Errorf("none is counted as %s", label)
	}
}
