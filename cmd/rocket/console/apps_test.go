package console

import (
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// Applications are shown with what became of the events for their webhooks. Metrics, which
// want no token, name the host of an endpoint alone.
func TestApps(t *testing.T) {
	stats := []pusher.AppStats{
		{App: "chat", Hub: "/chat"},
		{App: "shop", Hub: "/apps/shop", Connections: 2, Channels: 3, CachedBytes: 5, Webhooks: []pusher.HookStats{
			{Endpoint: "https://a.example/secret", Delivered: 7, Lost: 11, Failures: 13, Queued: 17},
			{Endpoint: "https://b.example/hook", Delivered: 1, Lost: 1, Failures: 1, Queued: 1},
			{Endpoint: "https://a.example/other", Delivered: 100, Lost: 100, Failures: 100, Queued: 100},
		}},
	}
	o := operate(t, func(c *console, _ *webrocket.Server) { c.Apps = func() []pusher.AppStats { return stats } })
	text := o.ask("GET", "/metrics", "", 200)
	for series, want := range map[string]string{
		`rocket_app_connections{app="chat"}`: "0", `rocket_app_connections{app="shop"}`: "2",
		`rocket_app_channels{app="shop"}`: "3", `rocket_app_cached_bytes{app="shop"}`: "5",
		`rocket_webhook_sent_events_total{app="shop",host="a.example"}`:     "107",
		`rocket_webhook_sent_events_total{app="shop",host="b.example"}`:     "1",
		`rocket_webhook_lost_events_total{app="shop",host="a.example"}`:     "111",
		`rocket_webhook_failed_requests_total{app="shop",host="a.example"}`: "113",
		`rocket_webhook_queued_events{app="shop",host="a.example"}`:         "117",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s: got %q, want %s", series, got, want)
		}
	}
	if strings.Contains(text, "secret") {
		t.Error("the metrics have the path of an endpoint")
	}
	got := o.ask("GET", "/api/apps", "", 200)
	for _, want := range []string{
		`{"app":"chat","hub":"/chat","connections":0,"channels":0,"cachedBytes":0,"webhooks":[]}`,
		`{"app":"shop","hub":"/apps/shop","connections":2,"channels":3,"cachedBytes":5,"webhooks":[` +
			`{"endpoint":"https://a.example/secret","queued":17,"sent":7,"failures":13,"lost":11},`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	if text := operate(t, nil).ask("GET", "/metrics", "", 200); strings.Contains(text, "rocket_app_") || strings.Contains(text, "rocket_webhook_") {
		t.Error("a server without applications has metrics of them")
	}
}
