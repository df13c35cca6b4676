package engine

import (
	"bytes"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket/codec"
)

// pausing echoes messages, and stops the input behind each "stop", until it is told to go on.
func pausing(conns chan<- *Conn) hooks {
	return hooks{message: func(c *Conn, op codec.Opcode, payload []byte) {
		c.Send(op, payload)
		if string(payload) == "stop" {
			c.Pause()
			conns <- c
		}
	}}
}

func say(t *testing.T, ws *websocket.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func hear(t *testing.T, ws *websocket.Conn, messages ...string) {
	t.Helper()
	for _, want := range messages {
		if _, got, err := ws.Read(t.Context()); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

// What comes while the input is paused is taken in order when that goes on, until it is
// paused again.
func TestPause(t *testing.T) {
	conns := make(chan *Conn, 10)
	e := start(t, Config{}, Endpoint{Protocol: pausing(conns)})
	ws := dial(t, e)
	say(t, ws, "1", "stop", "2", "stop", "3")
	hear(t, ws, "1", "stop")
	c := receive(t, conns)
	c.loop.Post(func() { c.Send(codec.OpText, []byte("between")); c.Resume() })
	hear(t, ws, "between", "2", "stop")
	c = receive(t, conns)
	c.loop.Post(c.Resume)
	hear(t, ws, "3")
}

// A connection whose input is paused is closed as any other one: at once, when the client has
// answered, and not when its time for that is over.
func TestCloseWhilePaused(t *testing.T) {
	conns := make(chan *Conn, 1)
	e := start(t, Config{CloseTimeout: 24 * time.Hour}, Endpoint{Protocol: pausing(conns)})
	ws := dial(t, e)
	say(t, ws, "stop", "2")
	hear(t, ws, "stop")
	c := receive(t, conns)
	c.loop.Post(func() { c.Close(4000, "enough") })
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != 4000 {
		t.Fatalf("got %v, want 4000", err)
	}
	waitFor(t, func() bool { return e.Connections() == 0 })
}

// A client that sends too much while its input is paused is closed.
func TestTooMuchWhilePaused(t *testing.T) {
	conns := make(chan *Conn, 1)
	e := start(t, Config{}, Endpoint{Protocol: pausing(conns), MaxMessageSize: 2 * pausedMax})
	ws := dial(t, e)
	say(t, ws, "stop")
	hear(t, ws, "stop")
	go func() { _ = ws.Write(t.Context(), websocket.MessageBinary, bytes.Repeat([]byte("x"), pausedMax+1)) }()
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
		t.Fatalf("got %v, want 1013", err)
	}
}
