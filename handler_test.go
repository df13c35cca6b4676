package webrocket_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// life is a handler that takes notes of what happens to its only connection.
type life struct {
	registered []any
	conn       *webrocket.Conn // the first that it was given
	notes      []string        // the loop's
	closed     chan error
}

func (h *life) Register(_ *webrocket.Server, id any) (*webrocket.Endpoint, error) {
	h.registered = append(h.registered, id)
	return &webrocket.Endpoint{Protocol: h}, nil
}

func (h *life) note(c *webrocket.Conn, what string) {
	if h.conn == nil {
		h.conn = c
	}
	if c != h.conn || c.Loop() != h.conn.Loop() {
		what += " of another connection or loop"
	}
	h.notes = append(h.notes, what)
}

func (h *life) OnOpen(c *webrocket.Conn, _ *webrocket.Request) {
	h.note(c, "open")
	c.SetValue("mine")
}

func (h *life) OnMessage(c *webrocket.Conn, op webrocket.Opcode, message []byte) {
	h.note(c, fmt.Sprintf("%v %s", c.Value(), message))
	c.Send(op, message)
	clear(message) // it is ours, and what was sent is copied
}

func (h *life) OnClose(c *webrocket.Conn, reason error) {
	h.note(c, "close")
	c.Send(webrocket.Text, []byte("too late")) // does nothing
	c.Close(1000, "")
	h.closed <- reason
}

// Each callback is called when and as often as docs/handlers.md says.
func TestLifeOfConnection(t *testing.T) {
	h := &life{closed: make(chan error, 2)}
	s := serve(t, hubs{"/life": h})
	if !slices.Equal(h.registered, []any{"/life"}) {
		t.Errorf("Register was called with %v, want /life once", h.registered)
	}
	c := dialRaw(t, s, "/life")
	want := []string{"open"}
	for i := range 100 {
		c.queue(fmt.Sprint(i))
		want = append(want, fmt.Sprint("mine ", i))
	}
	c.flush()
	for i := range 100 {
		if _, got := c.frame(); got != fmt.Sprint(i) {
			t.Fatalf("got %q, want %d", got, i)
		}
	}
	c.write(codec.AppendMaskedFrame(nil, codec.OpClose, []byte("\x0f\xa0bye"), [4]byte{1, 2, 3, 4}))
	var reason *codec.CloseError
	if err := <-h.closed; !errors.As(err, &reason) || reason.Code != 4000 || reason.Reason != "bye" {
		t.Errorf("OnClose: got %v, want 4000 bye", err)
	}
	shutdown(t, s)
	if want = append(want, "close"); !slices.Equal(h.notes, want) {
		t.Errorf("got %q, want %q", h.notes, want)
	}
}

// counting is a codec that counts what it encodes.
type counting struct {
	codec.JSON
	events, replies *atomic.Int64
}

func (c counting) AppendEvent(dst []byte, e codec.Event) []byte {
	c.events.Add(1)
	return c.JSON.AppendEvent(dst, e)
}

func (c counting) AppendReply(dst []byte, r codec.Reply) []byte {
	c.replies.Add(1)
	return c.JSON.AppendReply(dst, r)
}

// An event is encoded once for all its subscribers, and a reply without an id
// when the handler is registered.
func TestEncodedOnce(t *testing.T) {
	c := counting{events: new(atomic.Int64), replies: new(atomic.Int64)}
	s := serve(t, hubs{"/": webrocket.NewHandler(c)})
	var subscribers []*client
	for range 10 {
		subscribers = append(subscribers, dial(t, s, "/").subscribed())
	}
	publisher := login(t, s, "/", "read-write", "")
	before := c.replies.Load()
	publisher.write(`{"publish":{"event":"e","channel":"c"}}`)
	publisher.want(`{"ok":true}`)
	if err := s.Publish("/", "c", "f", nil); err != nil {
		t.Error(err)
	}
	for _, subscriber := range subscribers {
		subscriber.want(`{"event":"e","channel":"c"}`)
		subscriber.want(`{"event":"f","channel":"c"}`)
	}
	if events, replies := c.events.Load(), c.replies.Load()-before; events != 2 || replies != 0 {
		t.Errorf("%d events and %d replies were encoded, want 2 and none", events, replies)
	}
}

// Nothing is logged per message, and never a secret or a payload, whatever the
// level.
func TestNothingIsLoggedPerMessage(t *testing.T) {
	var log lockedBuffer
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = debugLogTo(&log)
	if err := s.Handle("/", locked()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	c := login(t, s, "/", "read-write", "rw")
	c.write(`{"subscribe":{"channel":"c"}}`)
	c.want(`{"ok":true}`)
	for range 100 {
		c.write(`{"publish":{"event":"e","channel":"c","data":"private"}}`)
		c.want(`{"ok":true}`)
		c.want(`{"event":"e","channel":"c","data":"private"}`)
		c.write(`{"logout":"private"}`)
		c.want(`{"err":"invalid_data","reason":"logout is a string, not true"}`)
	}
	if err := login(t, s, "/", "read-only", "r").ws.Close(4321, "private too"); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = c.read() }()
	shutdown(t, s)
	got := log.String()
	if !strings.Contains(got, "4321") {
		t.Errorf("why a connection ended is not logged:\n%s", got)
	}
	if n := strings.Count(got, "\n"); n > 10 || strings.Contains(got, "private") || strings.Contains(got, "rw") {
		t.Errorf("%d lines are logged:\n%s", n, got)
	}
}
