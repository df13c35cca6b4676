package bench

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// startNchan starts Debian's nginx.
func startNchan(t *testing.T) (target string) {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/nginx")
	if err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat(nchanModule); err != nil {
		t.Skip(err)
	}
	s, err := startServer(t.Context(), &Options{Server: program, Loops: 1}, nchan{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return "ws://" + s.addr
}

// Every scenario in which nothing depends on the server's limits, against nginx itself.
func TestNchan(t *testing.T) {
	target := startNchan(t)
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
			o := quick(sc, target, 200)
			o.Dialect = "nchan"
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

func TestNchanHasOneLoop(t *testing.T) {
	if _, err := (nchan{}).Serve("nginx", t.TempDir(), 1, 2); err == nil {
		t.Error("two loops were promised")
	}
}

func TestOnePurposeEach(t *testing.T) {
	plans := map[string]*plan{
		"several channels":   spread(group{}, 12, 6, 2).seal(),
		"several publishers": spread(group{}, 12, 2, 5).seal(),
		"own channel":        chatPlan(&Options{Conns: 7, Channels: 3}),
	}
	for name, p := range plans {
		t.Run(name, func(t *testing.T) {
			subscribers, channels := 0, []int32{}
			for _, s := range p.streams {
				channels = append(channels, s.channel)
			}
			for _, c := range p.conns {
				if c.channel != none {
					subscribers++
				}
			}
			p.onePurposeEach()
			if len(p.conns) != subscribers+len(p.streams) {
				t.Errorf("%d connections for %d subscribers and %d streams", len(p.conns), subscribers, len(p.streams))
			}
			for i, s := range p.streams {
				c := p.conns[s.conn]
				if s.channel != channels[i] || c.channel != none || len(c.streams) != 1 || c.streams[0] != int32(i) {
					t.Errorf("stream %d of channel %d, was %d, is published by %+v", i, s.channel, channels[i], c)
				}
			}
			for i, c := range p.conns {
				if c.channel != none && len(c.streams) > 0 {
					t.Errorf("connection %d subscribes and publishes", i)
				}
			}
		})
	}
}
