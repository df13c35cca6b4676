package bench

import (
	"context"
	"log/slog"
	"net/url"
	"testing"
	"time"

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
	tests := []struct {
		scenario  string
		set       func(o *Options)
		delivered int64 // 0: it depends on time
		conns     int   // that were connected at first
	}{
		{"fanout", func(o *Options) {}, 2000, 11},
		{"fanout", func(o *Options) { o.Publishers = 4 }, 2000, 14},
		{"fanout", func(o *Options) { o.Payload = 20_000 }, 2000, 11},
		{"channels", func(o *Options) { o.Channels, o.Publishers = 5, 2 }, 400, 15},
		{"chat", func(o *Options) { o.Channels = 10 }, 200, 20},
		{"broadcast", func(o *Options) { o.Rate, o.ProbeRate, o.Count = 200, 0, 20 }, 200, 11},
		{"idle", func(o *Options) { o.Channels, o.Duration, o.Count = 5, time.Millisecond, 0 }, 10, 15},
		{"storm", func(o *Options) { o.Rounds, o.Count = 2, 0 }, 10, 11},
		{"churn", func(o *Options) {
			o.Rate, o.Churn, o.Hold, o.Duration, o.Count = 1000, 200, 20*time.Millisecond, 200*time.Millisecond, 0
		}, 0, 11},
	}
	for _, tt := range tests {
		t.Run(tt.scenario, func(t *testing.T) {
			sc := ScenarioNamed(tt.scenario)
			o := quick(sc, startPusher(t), 200)
			o.Dialect, o.Secret = "pusher", "a-secret"
			tt.set(&o)
			res, err := Run(t.Context(), sc, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !res.Good() || res.Check.Delivered == 0 || tt.delivered > 0 && res.Check.Delivered != tt.delivered {
				t.Errorf("check: %+v, want %d deliveries", res.Check, tt.delivered)
			}
			if res.Connect.Count != tt.conns {
				t.Errorf("%d connections, want %d", res.Connect.Count, tt.conns)
			}
		})
	}
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
