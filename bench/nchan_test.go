package bench

import (
	"os"
	"os/exec"
	"testing"
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
	tryScenarios(t, func(*testing.T) (string, string) { return target, "" }, "nchan")
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
