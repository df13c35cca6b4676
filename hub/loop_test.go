package hub

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A loop stands for an event loop: it has sessions and no sockets. Its clock is
// the field now.
type loop struct {
	t      testing.TB
	worker *Worker
	now    time.Duration
	ids    uint64
	heard  map[uint64][]string
	closed map[uint64]string

	notices  map[uint64][]Notice
	sessions map[uint64]*Session
}

func newLoop(t testing.TB) *loop {
	l := &loop{t: t, heard: map[uint64][]string{}, closed: map[uint64]string{}, notices: map[uint64][]Notice{}, sessions: map[uint64]*Session{}}
	l.worker = NewWorker(l, func() time.Duration { return l.now })
	return l
}

func (l *loop) Wake() {}

func (l *loop) Deliver(ids []uint64, run *delivery.Run) int {
	for _, id := range ids {
		for _, item := range run.Items {
			l.heard[id&^delivery.Several] = append(l.heard[id&^delivery.Several], string(item.Frame))
		}
	}
	return len(ids)
}

func (l *loop) Close(id uint64, code uint16, reason string) {
	l.closed[id] = fmt.Sprint(code, " ", reason)
}

func (l *loop) Notice(id uint64, n Notice) { l.notices[id] = append(l.notices[id], n) }

func (l *loop) Session(id uint64) *Session { return l.sessions[id] }

func (l *loop) ClientID(id uint64) string { return fmt.Sprint("client", id) }

func (l *loop) Name(id uint64) string { return fmt.Sprint("connection ", id) }

// turn lets time pass, and delivers what has been published.
func (l *loop) turn(d time.Duration) {
	l.now += d
	l.worker.Work(l.now)
}

// A member is a session with its name for the loop.
type member struct {
	*Session
	loop *loop
	id   uint64
}

// enter opens a session of a hub.
func (l *loop) enter(h *Hub) member {
	l.t.Helper()
	m, err := l.knock(h, nil)
	if err != nil {
		l.t.Fatalf("Open: %v", err)
	}
	return m
}

// knock is enter with a header of the opening handshake, where it may be refused.
func (l *loop) knock(h *Hub, header map[string]string) (member, error) {
	l.ids++
	head := "GET /chat?user=7 HTTP/1.1\r\nHost: x\r\n"
	for name, value := range header {
		head += name + ": " + value + "\r\n"
	}
	r, _, err := codec.ParseRequest([]byte(head + "\r\n"))
	if err != nil {
		l.t.Fatal(err)
	}
	m := member{new(Session), l, l.ids}
	l.sessions[m.id] = m.Session
	return m, m.Open(l.now, l.worker, h, l.ids, 0, &r, client{})
}

// client is the connection of every member.
type client struct{}

func (client) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1} }

// login logs in, which must succeed.
func (m member) login(access auth.Access, secret string) member {
	m.loop.t.Helper()
	if r := m.Login(access, secret); !r.OK() {
		m.loop.t.Fatalf("Login: got %v", r)
	}
	return m
}

// publish asks for an event "e" with data.
func (m member) publish(channel, data string) Result {
	return m.Publish(Publication{Channel: []byte(channel), Event: []byte("e"), Data: []byte(data)})
}

// hears takes what the session has heard since the last call.
func (m member) hears() string {
	m.loop.turn(0)
	heard := strings.Join(m.loop.heard[m.id], ", ")
	delete(m.loop.heard, m.id)
	return heard
}

// newHub returns a hub whose one form is the data behind the names.
func newHub(t testing.TB, c Config) *Hub {
	t.Helper()
	h, err := New("test", c)
	if err != nil {
		t.Fatal(err)
	}
	h.AddForm(pubsub.Encoding{Base: pubsub.Itself, Kept: true, Encode: func(m pubsub.Message, _ []byte) []byte {
		return fmt.Appendf(nil, "%s %s %s", m.Channel, m.Event, m.Data)
	}})
	return h
}
