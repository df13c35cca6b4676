package bench

import (
	"context"
	"log/slog"
	"net/url"
	"testing"

	"github.com/nu7hatch/webrocket"
	protocol "github.com/nu7hatch/webrocket/protocol/pusher"
)

// appHandler serves an application.
type appHandler struct{ *webrocket.Endpoint }

func (h appHandler) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return h.Endpoint, nil
}

// startPusher starts a server with an application, and returns its target.
func startPusher(t *testing.T) (target string) {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.DiscardHandler)
	h, err := webrocket.NewHub("bench", webrocket.HubConfig{})
	if err != nil {
		t.Fatal(err)
	}
	app, err := protocol.New(h, protocol.Config{
		ID: "bench", Keys: []protocol.Key{{Key: "a-key", Secret: "a-secret"}}, ClientEvents: true, ClientEventRate: 1e8, MaxEventData: 64 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := app.Endpoint(webrocket.Endpoint{MaxQueuedBytes: 256 << 20})
	if err := s.Handle("/app/a-key", appHandler{endpoint}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Shutdown(context.Background())
		app.Close()
	})
	return "ws://" + s.Addr().String() + "/app/a-key?protocol=7"
}

// Every scenario against a real application: publishers are connections of their own.
func TestPusher(t *testing.T) {
	tryScenarios(t, func(t *testing.T) (string, string) { return startPusher(t), "a-secret" }, "pusher")
}

// The signature is one of the documentation's own examples.
func TestPusherAnswer(t *testing.T) {
	target, err := url.Parse("ws://localhost/app/278d425bdf160c739803?protocol=7")
	if err != nil {
		t.Fatal(err)
	}
	got := string(pusher{}.AppendAnswer(nil, "1234.1234", target, "7ad3773142a6692b25b8", "foobar"))
	want := `{"event":"pusher:subscribe","data":{"channel":"private-foobar",` +
		`"auth":"278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"}}`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
