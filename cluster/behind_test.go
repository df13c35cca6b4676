package cluster_test

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/cluster"
)

// A line passes on connections to a server, and can be held: then what the server sends waits.
type line struct {
	net.Listener
	to   string
	hold sync.RWMutex // held for writing: nothing passes
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{Listener: listener, to: to}
	t.Cleanup(func() { _ = listener.Close() })
	go l.serve()
	return l
}

func (l *line) serve() {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		go func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		}()
		go func() {
			defer client.Close()
			buffer := make([]byte, 64<<10)
			for {
				n, err := server.Read(buffer)
				l.hold.RLock()
				_, failed := client.Write(buffer[:n])
				l.hold.RUnlock()
				if err != nil || failed != nil {
					return
				}
			}
		}()
	}
}

// A client that comes with a position of which the node has not heard yet is answered when it
// has, and recovers; if that takes too long it is told. So are those that ask for several
// channels at once.
func TestNodeThatIsBehind(t *testing.T) {
	url, _ := jetStream(t)
	held := newLine(t, strings.TrimPrefix(url, "nats://"))
	node := func(name, url string) *keeper {
		n, err := cluster.Start(cluster.Config{
			Node: name, Servers: []string{url}, Streams: &cluster.Streams{Replicas: 1}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeNode(n) })
		k := &keeper{node: n, server: webrocket.NewServer("127.0.0.1:0")}
		k.server.Broker, k.server.Log, k.server.Config.Loops = n, slog.New(slog.DiscardHandler), 1
		if err := k.server.Handle("/", handler(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := k.server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.stop)
		return k
	}
	first, second := node("first", url), node("second", "nats://"+held.Addr().String())
	waitLong(t, "the nodes are ready", func() bool { return first.ready() && second.ready() })
	reader := first.dial(t)
	at := reader.ask(`{"subscribe":{"channel":"news"}}`)
	comes := func(command string, release func()) reply {
		if r := first.dial(t).ask(publishNews, "new"); !r.OK {
			t.Fatalf("got %+v", r)
		}
		at.Offset = reader.next().Offset
		c, other := second.dial(t), second.dial(t)
		c.send(command, at.Epoch, at.Offset)
		other.ask(`{"ping":true}`) // the node has got the command
		c.send(`{"ping":true}`)    // is answered behind it
		release()
		r := c.next()
		pong := c.next()
		for pong.Event != "" {
			pong = c.next()
		}
		if !pong.OK || pong.Epoch != "" {
			t.Errorf("got %+v, want the answer to the ping", pong)
		}
		return r
	}
	for _, command := range []string{subscribeSince, `{"subscribe":{"channels":[{"channel":"news","since":{"epoch":"%s","offset":%d}}]}}`} {
		waitLong(t, "the client recovers", func() bool { // on a machine that is busy it may take too long
			held.hold.Lock()
			r := comes(command, held.hold.Unlock)
			return r.Recovered || r.Results != nil && (*r.Results)[0].Recovered
		})
	}
	held.hold.Lock()
	if r := comes(subscribeSince, func() {}); r.Recovered || r.Reason != "ahead" {
		t.Errorf("got %+v, want that the node is behind", r)
	}
	held.hold.Unlock()
}
