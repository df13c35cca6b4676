package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nu7hatch/webrocket/engine"
)

// withoutURing returns a command that is refused io_uring, as in a container.
func withoutURing(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "withouturing")
	if out, err := exec.Command("go", "-C", "../../tools", "build", "-o", tool, "./withouturing").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exec.Command(tool, append([]string{rocket}, args...)...)
}

// io_uring is used where it works and is not switched off; where it is refused, the
// server works without it and says so, unless it was asked for.
func TestIOUringEndToEnd(t *testing.T) {
	works := engine.TryIOUring() == nil
	const notUsed = `"msg":"io_uring is not used","reason":"io_uring_setup: operation not permitted"`
	for _, tt := range []struct {
		name    string
		refused bool
		setting string
		enabled string
		said    bool
	}{
		{"auto", false, "auto", "1", false},
		{"on", false, "on", "1", false},
		{"off", false, "off", "0", false},
		{"auto, refused", true, "auto", "0", true},
		{"off, refused", true, "off", "0", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !works && !tt.refused && tt.setting != "off" {
				t.Skip("it does not work here")
			}
			args := []string{"-port", "0", "-admin", "127.0.0.1:0", "-io-uring", tt.setting}
			cmd := exec.Command(rocket, args...)
			if tt.refused {
				cmd = withoutURing(t, args...)
			}
			server := startCommand(t, cmd, nil)
			url := server.stdout.want(`(ws://localhost:\d+)/ `)[1]
			server.stdout.want(`^Ready`)
			client := start(t, nil, "subscribe", "-url", url, "news")
			client.stderr.want(`^subscribed to news`)
			start(t, nil, "publish", "-url", url, "news", `"hello"`).wantStatus(0)
			client.stdout.want(`hello`)
			text, err := (&adminClient{address: adminOf(server)}).get(t.Context(), "/metrics")
			if want := "\nrocket_io_uring_enabled " + tt.enabled + "\n"; err != nil || !strings.Contains(string(text), want) {
				t.Errorf("metrics: %v, want %q", err, want)
			}
			server.signal(syscall.SIGTERM)
			server.wantStatus(0)
			if said := strings.Contains(server.stderr.all(), notUsed); said != tt.said {
				t.Errorf("the log says that it is not used: %t, want %t\n%s", said, tt.said, server.stderr.all())
			}
		})
	}
	t.Run("on, refused", func(t *testing.T) {
		server := startCommand(t, withoutURing(t, "-port", "0", "-admin", "off", "-io-uring", "on"), nil)
		server.stderr.want(`^rocket: engine: io_uring_setup: operation not permitted`)
		server.wantStatus(1)
	})
}
