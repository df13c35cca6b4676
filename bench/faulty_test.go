package bench

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// faultyServer speaks the native protocol, or nchan's, with a mistake.
type faultyServer struct {
	nchan bool
	mu    sync.Mutex
	subs  map[string][]*websocket.Conn
	n     int // deliveries so far
	twist func(s *faultyServer, n int, to *websocket.Conn, m []byte)
	held  []byte // by a twist

	refuseAuth, refusePublish bool
	publishes, dieAt          int
	over                      bool
}

func (s *faultyServer) send(to *websocket.Conn, m []byte) {
	to.Write(context.Background(), websocket.MessageText, m) // who is gone has gone
}

func startFaulty(t *testing.T, s *faultyServer) (target string) {
	return startFaultyOn(t, s, httptest.NewUnstartedServer(nil), (*httptest.Server).Start)
}

func startFaultyTLS(t *testing.T, s *faultyServer) (target, ca string) {
	srv := httptest.NewUnstartedServer(nil)
	target = startFaultyOn(t, s, srv, (*httptest.Server).StartTLS)
	return target, trusted(t, srv)
}

// trusted returns a file with the server's certificate.
func trusted(t *testing.T, srv *httptest.Server) (ca string) {
	t.Helper()
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := writePEM(ca, "CERTIFICATE", srv.Certificate().Raw); err != nil {
		t.Fatal(err)
	}
	return ca
}

func startFaultyOn(t *testing.T, s *faultyServer, srv *httptest.Server, start func(*httptest.Server)) (target string) {
	s.subs = map[string][]*websocket.Conn{}
	var conns sync.WaitGroup
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		over := s.over
		if !over {
			conns.Add(1)
		}
		s.mu.Unlock()
		if over {
			return
		}
		defer conns.Done()
		if s.nchan {
			s.acceptNchan(w, r)
			return
		}
		if ws, err := websocket.Accept(w, r, nil); err == nil {
			s.serve(ws)
		}
	})
	start(srv)
	t.Cleanup(func() {
		s.mu.Lock()
		s.over = true
		s.mu.Unlock()
		srv.Close()
		conns.Wait()
	})
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/"
}

func (s *faultyServer) serve(ws *websocket.Conn) {
	defer ws.CloseNow()
	for {
		_, b, err := ws.Read(context.Background())
		if err != nil {
			return
		}
		var m struct {
			Auth      *struct{}
			Subscribe *struct{ Channel string }
			Publish   *struct {
				Event, Channel string
				Data           json.RawMessage
			}
		}
		if json.Unmarshal(b, &m) != nil {
			return
		}
		answer := `{"ok":true}`
		s.mu.Lock()
		switch {
		case m.Auth != nil && s.refuseAuth:
			answer = `{"err":"access_denied"}`
		case m.Subscribe != nil:
			s.subs[m.Subscribe.Channel] = append(s.subs[m.Subscribe.Channel], ws)
		case m.Publish != nil && s.refusePublish:
			answer = `{"err":"limit_exceeded"}`
		case m.Publish != nil:
			out := []byte(`{"event":"` + m.Publish.Event + `","channel":"` + m.Publish.Channel + `","data":` + string(m.Publish.Data) + `}`)
			s.deliver(m.Publish.Channel, out)
		}
		s.mu.Unlock()
		s.send(ws, []byte(answer))
	}
}

// deliver sends m to the subscribers of a channel. The caller holds the lock.
func (s *faultyServer) deliver(channel string, m []byte) {
	s.publishes++
	for _, to := range s.subs[channel] {
		if s.publishes == s.dieAt {
			to.CloseNow()
		}
		s.n++
		s.twist(s, s.n, to, m)
	}
}

func flawless(s *faultyServer, _ int, to *websocket.Conn, m []byte) { s.send(to, m) }

// every calls odd for one in a thousand deliveries, from the 500th on.
func every(odd func(s *faultyServer, to *websocket.Conn, m []byte)) func(*faultyServer, int, *websocket.Conn, []byte) {
	return func(s *faultyServer, n int, to *websocket.Conn, m []byte) {
		if n%1000 == 500 {
			odd(s, to, m)
			return
		}
		s.send(to, m)
	}
}

// quick are options for a run that ends when count publishes are through.
func quick(sc *Scenario, target string, count int) Options {
	o := sc.Defaults()
	o.Target, o.Count, o.NoFloor = target, count, true
	o.CPUs, o.ServerCPUs = nil, nil
	o.Conns, o.Channels, o.Publishers = 10, 1, 1
	o.Warmup, o.Duration, o.Drain = 0, time.Minute, time.Minute
	return o
}

func TestFaultyServerIsCaught(t *testing.T) {
	tests := []struct {
		name  string
		twist func(*faultyServer, int, *websocket.Conn, []byte)
		want  func(c Check) bool
	}{
		{"flawless", flawless, Check.Good},
		{"drops", every(func(*faultyServer, *websocket.Conn, []byte) {}), func(c Check) bool {
			return c.Lost == 3 && c.Duplicated+c.OutOfOrder+c.Astray+c.Corrupted == 0
		}},
		{"duplicates", every(func(s *faultyServer, to *websocket.Conn, m []byte) {
			s.send(to, m)
			s.send(to, m)
		}), func(c Check) bool { return c.Duplicated == 3 && c.Lost+c.OutOfOrder+c.Astray+c.Corrupted == 0 }},
		{"reorders", func(s *faultyServer, n int, to *websocket.Conn, m []byte) {
			switch n % 1000 { // ten subscribers: 500 and 510 are the same one
			case 500:
				s.held = m
				return
			case 510:
				defer s.send(to, s.held)
			}
			s.send(to, m)
		}, func(c Check) bool { return c.OutOfOrder == 3 && c.Lost+c.Duplicated+c.Astray+c.Corrupted == 0 }},
		{"corrupts", every(func(s *faultyServer, to *websocket.Conn, m []byte) {
			m = []byte(strings.Replace(string(m), "xyz", "xyy", 1))
			s.send(to, m)
		}), func(c Check) bool { return c.Corrupted == 3 && c.Lost == 3 }},
		{"sends to another channel", every(func(s *faultyServer, to *websocket.Conn, m []byte) {
			s.send(to, m)
			s.send(to, []byte(strings.Replace(string(m), "c0000000", "c0000001", 1)))
		}), func(c Check) bool { return c.Astray == 3 && c.Lost+c.Duplicated+c.OutOfOrder+c.Corrupted == 0 }},
	}
	for _, tt := range tests {
		for _, dialect := range []string{"rocket", "nchan"} {
			t.Run(tt.name+" "+dialect, func(t *testing.T) {
				sc := ScenarioNamed("fanout")
				o := quick(sc, startFaulty(t, &faultyServer{nchan: dialect == "nchan", twist: tt.twist}), 300)
				o.Dialect, o.Drain = dialect, time.Second
				res, err := Run(t.Context(), sc, o, nil)
				if err != nil {
					t.Fatal(err)
				}
				if !tt.want(res.Check) {
					t.Errorf("check: %+v", res.Check)
				}
				if res.Published != 300 {
					t.Errorf("%d published, want 300", res.Published)
				}
				if good := tt.name == "flawless"; res.Good() != good {
					t.Errorf("Good() = %v, want %v", res.Good(), good)
				}
			})
		}
	}
}

func TestServerRefusesPublishes(t *testing.T) {
	sc := ScenarioNamed("fanout")
	o := quick(sc, startFaulty(t, &faultyServer{twist: flawless, refusePublish: true}), 5)
	o.Saturate, o.Drain = 5, time.Second
	res, err := Run(t.Context(), sc, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Good() || res.Check.Refused != 5 || res.Refusals["limit_exceeded"] != 5 {
		t.Errorf("check: %+v, refusals: %v", res.Check, res.Refusals)
	}
}

func TestBadServers(t *testing.T) {
	notFound := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(notFound.Close)
	tests := []struct {
		name   string
		target func(t *testing.T) string
		want   string
	}{
		{"nobody there", func(*testing.T) string {
			port, err := freePort()
			if err != nil {
				t.Fatal(err)
			}
			return "ws://127.0.0.1:" + strconv.Itoa(port)
		}, "connection refused"},
		{"no WebSocket", func(*testing.T) string { return "ws" + strings.TrimPrefix(notFound.URL, "http") }, "404 Not Found"},
		{"refuses the secret", func(t *testing.T) string {
			return startFaulty(t, &faultyServer{twist: flawless, refuseAuth: true})
		}, "refused: access_denied"},
		{"dies", func(t *testing.T) string {
			return startFaulty(t, &faultyServer{twist: flawless, dieAt: 50})
		}, "the server closed the connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc := ScenarioNamed("fanout")
			o := quick(sc, tt.target(t), 300)
			res, err := Run(t.Context(), sc, o, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if res == nil || res.Good() || res.Error == "" {
				t.Errorf("result %+v, want one with the error", res)
			}
		})
	}
}

func TestInterruptedRunHasAResult(t *testing.T) {
	tests := []struct {
		scenario, phase string
		measured        bool
	}{
		{"fanout", "warm up", false},
		{"fanout", "measure", true},
		{"slow", "all read", false},
	}
	for _, tt := range tests {
		t.Run(tt.scenario+", "+tt.phase, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			sc := ScenarioNamed(tt.scenario)
			o := quick(sc, startFaulty(t, &faultyServer{twist: flawless}), 0)
			if !tt.measured {
				o.Warmup = time.Minute
			}
			res, err := Run(ctx, sc, o, func(p Progress) {
				if p.Phase == tt.phase && p.Delivered >= 1000 {
					cancel()
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if !res.Interrupted || !res.Good() || res.Check.Delivered < 1000 || (res.Load != nil) != tt.measured {
				t.Errorf("interrupted %v, check %+v, load %+v", res.Interrupted, res.Check, res.Load)
			}
		})
	}
}

func TestServerThatCannotStart(t *testing.T) {
	sc := ScenarioNamed("fanout")
	for _, program := range []string{"/nonexistent/rocket", "/bin/false"} {
		o := quick(sc, "", 1)
		o.Server = program
		if _, err := Run(t.Context(), sc, o, nil); !errors.Is(err, errNoServer) {
			t.Errorf("%s: error %v, want %v", program, err, errNoServer)
		}
	}
}

func TestBadOptions(t *testing.T) {
	tests := []struct {
		name string
		set  func(o *Options)
	}{
		{"no connections", func(o *Options) { o.Conns = 0 }},
		{"too many connections", func(o *Options) { o.Conns = maxConns + 1 }},
		{"more channels than connections", func(o *Options) { o.Channels = o.Conns + 1 }},
		{"no publishers", func(o *Options) { o.Publishers = 0 }},
		{"small payload", func(o *Options) { o.Payload = minPayload - 1 }},
		{"large payload", func(o *Options) { o.Payload = maxPayload + 1 }},
		{"both loops", func(o *Options) { o.Rate, o.Saturate = 1, 1 }},
		{"negative rate", func(o *Options) { o.Rate, o.Saturate = -1, 0 }},
		{"forever", func(o *Options) { o.Duration = maxDuration + 1 }},
		{"no time", func(o *Options) { o.Duration = 0 }},
		{"no threads", func(o *Options) { o.Threads = 0 }},
		{"all stalled", func(o *Options) { o.Stalled = 1 }},
		{"unknown dialect", func(o *Options) { o.Dialect = "smtp" }},
		{"not a WebSocket", func(o *Options) { o.Target = "http://127.0.0.1/" }},
		{"not loopback", func(o *Options) { o.Target = "ws://192.0.2.1/" }},
		{"not loopback, IPv6", func(o *Options) { o.Target = "ws://[2001:db8::1]/" }},
		{"no such process", func(o *Options) { o.ServerPID = 1 << 22 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc := ScenarioNamed("fanout")
			o := quick(sc, "ws://127.0.0.1:1/", 1)
			tt.set(&o)
			if _, err := Run(t.Context(), sc, o, nil); !errors.Is(err, ErrUsage) {
				t.Errorf("error %v, want %v", err, ErrUsage)
			}
		})
	}
}

func TestParseTarget(t *testing.T) {
	for _, target := range []string{"ws://127.0.0.1:1/x", "ws://localhost", "ws://127.9.9.9:1", "ws://[::1]:1"} {
		if _, err := parseTarget(target, false); err != nil {
			t.Errorf("parseTarget(%q): %v", target, err)
		}
	}
	if _, err := parseTarget("ws://192.0.2.1/", true); err != nil {
		t.Errorf("parseTarget of an owned target: %v", err)
	}
}
