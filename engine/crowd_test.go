package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
)

// A crowd is a server on one loop with many clients, who are connected by wires
// instead of sockets. Each speaks the whole protocol: handshake, auth,
// subscribe.
type crowd struct {
	*engine.Wires
	hub    *webrocket.HubHandler
	loop   *engine.Loop
	gnet   float64 // bytes that gnet would have for each
	before heap
}

// batch is how many clients say something within one turn of the loop.
const batch = 256

const (
	upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	login = `{"auth":{"access":"read-write","secret":""}}`
)

func subscribe(channel string) []byte   { return command("subscribe", channel) }
func unsubscribe(channel string) []byte { return command("unsubscribe", channel) }

func command(name, channel string) []byte {
	return message(fmt.Sprintf(`{%q:{"channel":%q}}`, name, channel))
}

// message is a text message of a client.
func message(s string) []byte {
	return codec.AppendMaskedFrame(nil, codec.OpText, []byte(s), [4]byte{1, 2, 3, 4})
}

// newCrowd returns a server to which nobody is connected. Its hub has these rules.
func newCrowd(tb testing.TB, rules ...hub.Rule) *crowd {
	tb.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s.Config.Loops = 1
	s.Config.PingInterval = 1000 * time.Hour
	c := &crowd{hub: webrocket.NewJSONHandler()}
	c.hub.Channels, c.hub.Rules = []string{"all", "few"}, rules
	visit := make(visitor, 1)
	for path, h := range map[string]webrocket.Handler{"/": c.hub, "/visit": visit} {
		if err := s.Handle(path, h); err != nil {
			tb.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	c.visit(tb, s.Addr(), visit)
	c.before = liveHeap()
	tb.Cleanup(func() {
		c.do(c.HangUp)
		if err := s.Shutdown(context.Background()); err != nil {
			tb.Errorf("Shutdown: %v", err)
		}
	})
	return c
}

// A visitor comes on a socket to see which loop there is and what gnet makes of
// a connection.
type visitor chan *engine.Conn

func (v visitor) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{Protocol: v}, nil
}

func (v visitor) OnOpen(c *engine.Conn, _ *codec.Request)      { v <- c }
func (v visitor) OnMessage(*engine.Conn, codec.Opcode, []byte) {}
func (v visitor) OnClose(*engine.Conn, error)                  {}

func (c *crowd) visit(tb testing.TB, addr net.Addr, v visitor) {
	tb.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /visit"+upgrade[len("GET /"):]); err != nil {
		tb.Fatal(err)
	}
	visited := <-v
	c.loop = visited.Loop()
	c.do(func() {
		c.Wires = engine.NewWires(c.loop)
		c.gnet = engine.GnetBytes(visited)
	})
}

// do calls f on the loop, and returns when the turn after it begins: what f
// caused to be written has been written then.
func (c *crowd) do(f func()) {
	c.loop.Post(f)
	done := make(chan struct{})
	c.loop.Post(func() { c.loop.Post(func() { close(done) }) })
	<-done
}

// each calls f for the clients from..to-1, in turns of a batch.
func (c *crowd) each(from, to int, f func(i int)) {
	for ; from < to; from += batch {
		c.do(func() {
			for i := from; i < min(from+batch, to); i++ {
				f(i)
			}
		})
	}
}

// grow connects n clients and subscribes them to all.
func (c *crowd) grow(n int) {
	upgrade, login, subscribe := []byte(upgrade), message(login), subscribe("all")
	c.each(0, n, func(int) {
		i := c.Add()
		c.Feed(i, upgrade)
		c.Feed(i, login)
		c.Feed(i, subscribe)
	})
}

// publish sends an event and waits until so many have it.
func (c *crowd) publish(tb testing.TB, channel string, hearers int) {
	var served <-chan struct{}
	c.do(func() { served = c.Await(hearers) })
	if err := c.hub.Publish(channel, "event", payload); err != nil {
		tb.Fatal(err)
	}
	<-served
}

// payload is 128 bytes of data.
var payload = json.RawMessage(`"` + strings.Repeat("x", 126) + `"`)

// heap is what lives in memory.
type heap struct{ bytes, objects float64 }

// liveHeap looks after a garbage collection.
func liveHeap() heap {
	runtime.GC()
	runtime.GC() // empties the pools of package sync
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return heap{float64(m.HeapAlloc), float64(m.HeapObjects)}
}

// idle returns what lives for each of n clients.
func (c *crowd) idle(n int) heap {
	now := liveHeap()
	return heap{(now.bytes - c.before.bytes) / float64(n), (now.objects - c.before.objects) / float64(n)}
}
