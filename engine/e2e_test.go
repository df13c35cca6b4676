package engine

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket/codec"
)

// echo sends every message back.
type echo struct{}

func (echo) OnOpen(*Conn) {}
func (echo) OnMessage(c *Conn, op codec.Opcode, payload []byte) {
	c.Send(op, payload)
}
func (echo) OnClose(*Conn, error) {}

func start(t *testing.T, config Config, endpoints map[string]Endpoint) *Engine {
	t.Helper()
	config.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	e := New(config, endpoints)
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return e
}

func dial(t *testing.T, e *Engine, path string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://"+e.Addr().String()+path, nil)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(-1)
	return ws
}

func TestEcho(t *testing.T) {
	e := start(t, Config{Loops: 2}, map[string]Endpoint{"/": {Handler: echo{}, MaxMessageSize: 16 << 20}})
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 5 << 20} {
		ws := dial(t, e, "/")
		want := bytes.Repeat([]byte{'x'}, size)
		if err := ws.Write(t.Context(), websocket.MessageText, want); err != nil {
			t.Fatalf("%d bytes: Write: %v", size, err)
		}
		_, got, err := ws.Read(t.Context())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %d bytes, %v", size, len(got), err)
		}
		if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Errorf("%d bytes: Close: %v", size, err)
		}
	}
}
