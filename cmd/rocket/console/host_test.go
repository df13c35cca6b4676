package console

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket"
)

// Without a token a web page cannot read anything through a name of its own that
// leads here; the probes and the metrics are for everybody.
func TestHost(t *testing.T) {
	for _, tt := range []struct {
		host, path string
		token      bool
		want       int
	}{
		{"127.0.0.1:9773", "/api/loops", false, 200},
		{"127.0.0.1", "/api/loops", false, 200},
		{"[::1]:9773", "/api/loops", false, 200},
		{"[::1]", "/api/loops", false, 200},
		{"[fe80::1%25eth0]:9773", "/api/loops", false, 200},
		{"localhost:9773", "/api/loops", false, 200},
		{"LocalHost", "/api/loops", false, 200},
		{"rocket.internal:9773", "/api/loops", false, 200},
		{"", "/api/loops", false, 200},
		{"evil.example:9773", "/api/loops", false, 403},
		{"evil.example", "/api/hubs", false, 403},
		{"localhost.evil.example", "/api/channels", false, 403},
		{"127.0.0.1.evil.example", "/api/connections/slowest", false, 403},
		{"evil.example:9773", "/debug/pprof/cmdline", false, 403},
		{"evil.example:9773", "/api/publish", false, 403},
		{"evil.example:9773", "/livez", false, 200},
		{"evil.example:9773", "/metrics", false, 200},
		{"evil.example:9773", "/api/loops", true, 200},
	} {
		config := Config{Server: webrocket.NewServer(""), Host: "rocket.internal", Profiling: true, Log: slog.New(slog.DiscardHandler)}
		method := "GET"
		if tt.path == "/api/publish" {
			method = "POST"
		}
		request := httptest.NewRequestWithContext(t.Context(), method, tt.path, nil)
		request.Host = tt.host
		if tt.token {
			config.Token = token
			request.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		New(config).ServeHTTP(w, request)
		if w.Code != tt.want || (w.Code == 403) != strings.Contains(w.Body.String(), "admin token") {
			t.Errorf("%s for %q: got %d %s, want %d", tt.path, tt.host, w.Code, w.Body, tt.want)
		}
	}
}
