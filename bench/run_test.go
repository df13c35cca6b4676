package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
)

func startRocket(t *testing.T) (target string) { return startRocketWith(t, nil, "ws") }

// startSecureRocket has a certificate of its own, which is in the file ca.
func startSecureRocket(t *testing.T) (target, ca string) {
	t.Helper()
	pair, err := newKeyPair(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(pair.cert, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	return startRocketWith(t, &tls.Config{Certificates: []tls.Certificate{cert}}, "wss"), pair.cert
}

func startRocketWith(t *testing.T, config *tls.Config, scheme string) (target string) {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log, s.TLS = slog.New(slog.DiscardHandler), config
	h := webrocket.NewJSONHandler()
	h.MaxQueuedBytes = 256 << 20 // nobody is thrown out because this machine is busy with something else
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return scheme + "://" + s.Addr().String() + "/"
}

// Every scenario against the real server, without and with TLS: what is published arrives, exactly as often as it should.
func TestScenarios(t *testing.T) {
	tests := []struct {
		scenario  string
		set       func(o *Options)
		published int64 // 0: it depends on time
		delivered int64
	}{
		{"fanout", func(o *Options) {}, 200, 2000},
		{"fanout", func(o *Options) { o.Publishers = 4 }, 200, 2000},
		{"fanout", func(o *Options) { o.Threads = 2 }, 200, 2000},
		{"fanout", func(o *Options) { o.Saturate, o.Rate = 0, 2000 }, 200, 2000},
		{"fanout", func(o *Options) { o.Payload = 20_000 }, 200, 2000},
		{"channels", func(o *Options) { o.Channels, o.Publishers = 5, 2 }, 200, 400},
		{"channels", func(o *Options) { o.Channels, o.Publishers, o.Rate, o.Saturate = 5, 10, 0, 3 }, 200, 400},
		{"chat", func(o *Options) { o.Channels = 10 }, 200, 200},
		{"chat", func(o *Options) { o.Channels, o.Threads = 2, 2 }, 200, 1000},
		{"broadcast", func(o *Options) { o.Rate, o.ProbeRate, o.Count = 200, 0, 20 }, 20, 200},
		{"broadcast", func(o *Options) { o.Rate, o.ProbeRate, o.Count = 200, 500, 20 }, 0, 0},
		{"idle", func(o *Options) { o.Channels, o.Duration, o.Count = 5, time.Millisecond, 0 }, 5, 10},
		{"storm", func(o *Options) { o.Rounds, o.Count = 2, 0 }, 1, 10},
		{"slow", func(o *Options) { o.Rate, o.Stalled, o.Duration, o.Count = 200, 0.2, 20*time.Millisecond, 0 }, 0, 0},
		{"churn", func(o *Options) {
			o.Rate, o.Churn, o.Hold, o.Duration, o.Count = 1000, 200, 20*time.Millisecond, 200*time.Millisecond, 0
		}, 0, 0},
	}
	for _, tt := range tests {
		run := func(t *testing.T, target, ca string) *Result {
			sc := ScenarioNamed(tt.scenario)
			o := quick(sc, target, 200)
			o.ServerPID, o.CA = os.Getpid(), ca
			tt.set(&o)
			res, err := Run(t.Context(), sc, o, func(Progress) {})
			if err != nil {
				t.Fatal(err)
			}
			if !res.Good() {
				t.Errorf("check: %+v, %v", res.Check, res.Refusals)
			}
			if tt.published > 0 && (res.Published != tt.published || res.Check.Delivered != tt.delivered) {
				t.Errorf("published %d, delivered %d, want %d, %d", res.Published, res.Check.Delivered, tt.published, tt.delivered)
			}
			if res.Check.Delivered == 0 {
				t.Error("nothing was delivered")
			}
			checkSpecial(t, res)
			var text bytes.Buffer
			if err := WriteText(&text, res); err != nil || !strings.Contains(text.String(), "every delivery right") {
				t.Errorf("text: %s, %v", &text, err)
			}
			return res
		}
		t.Run(tt.scenario, func(t *testing.T) {
			if res := run(t, startRocket(t), ""); res.TLS != nil {
				t.Errorf("TLS %+v without TLS", res.TLS)
			}
		})
		t.Run(tt.scenario+" over TLS", func(t *testing.T) {
			target, ca := startSecureRocket(t)
			checkTLS(t, run(t, target, ca))
		})
	}
}

// checkTLS: each connect has one handshake.
func checkTLS(t *testing.T, res *Result) {
	t.Helper()
	want := int64(res.Connect.Count * (1 + len(res.Storms)))
	if res.TLS == nil || !strings.HasPrefix(res.TLS.Agreed, "TLS 1.3, ") {
		t.Fatalf("TLS %+v", res.TLS)
	}
	if res.Churn == nil && res.TLS.Handshakes != want {
		t.Errorf("%d handshakes, want %d", res.TLS.Handshakes, want)
	}
}

func checkSpecial(t *testing.T, res *Result) {
	t.Helper()
	switch res.Scenario {
	case "broadcast":
		for _, r := range res.Rounds {
			if r.Receivers != res.Options.Conns || r.First > r.Median || r.Median > r.Last {
				t.Errorf("round %+v", r)
			}
		}
		if len(res.Rounds) != res.Options.Count {
			t.Errorf("%d rounds, want %d", len(res.Rounds), res.Options.Count)
		}
	case "idle":
		if res.Idle == nil || res.Memory == nil || res.Connect.Count != 11 {
			t.Errorf("idle %+v, memory %+v, connect %+v", res.Idle, res.Memory, res.Connect)
		}
	case "storm":
		if len(res.Storms) != 2 {
			t.Errorf("storms %+v", res.Storms)
		}
	case "slow":
		if res.Slow.Stalled != 2 {
			t.Errorf("slow %+v", res.Slow)
		}
	case "churn":
		if res.Churn.Joins == 0 {
			t.Errorf("churn %+v", res.Churn)
		}
	}
}

func TestFloor(t *testing.T) {
	for _, spec := range []FloorSpec{
		{Mode: FloorClosed, Sockets: 4, PerWrite: 4, PerRound: 4},
		{Mode: FloorClosed, Sockets: 4, PerWrite: 1, PerRound: 2},
		{Mode: FloorPaced, Sockets: 4, PerWrite: 1, PerRound: 4, Rounds: 1000},
		{Mode: FloorEcho, Sockets: 4, PerWrite: 1, PerRound: 4},
		{Mode: FloorUring, Of: FloorClosed, Sockets: 300, PerWrite: 4, PerRound: 300},
		{Mode: FloorUring, Of: FloorPaced, Sockets: 4, PerWrite: 1, PerRound: 6, Rounds: 1000},
		{Mode: FloorUring, Of: FloorEcho, Sockets: 4, PerWrite: 1, PerRound: 4},
	} {
		t.Run(string(spec.Mode+" "+spec.Of), func(t *testing.T) {
			spec.Bytes, spec.For = 168, 20*time.Millisecond
			res, err := measureFloor(t.Context(), &Options{}, spec)
			if err != nil {
				t.Fatal(err)
			}
			if res.NotMeasured != "" {
				t.Skip(res.NotMeasured)
			}
			if res.Writes == 0 || res.MicrosPerWrite <= 0 || res.MicrosPerMessage*float64(spec.PerWrite) > res.MicrosPerWrite*1.001 {
				t.Errorf("floor %+v", res)
			}
		})
	}
}

func TestFloorRefusesNonsense(t *testing.T) {
	if _, err := measureFloor(t.Context(), &Options{}, FloorSpec{}); err == nil {
		t.Error("a floor of nothing was measured")
	}
}

// tryScenarios runs every scenario in which nothing depends on a server's limits. start returns
// a server's URL and its secret.
func tryScenarios(t *testing.T, start func(t *testing.T) (target, secret string), dialect string) {
	t.Helper()
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
			target, secret := start(t)
			o := quick(sc, target, 200)
			o.Dialect, o.Secret = dialect, secret
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
