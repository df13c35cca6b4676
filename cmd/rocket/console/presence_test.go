package console

import (
	"slices"
	"testing"

	"github.com/nu7hatch/webrocket/httpapi"
)

func TestPresence(t *testing.T) {
	o := operate(t, nil)
	for range 3 {
		o.dial("room:1")
	}
	read := func(query string) (at []uint64, p httpapi.PresenceAnswer) {
		t.Helper()
		p = get[httpapi.PresenceAnswer](o, "/api/presence?hub=/&channel=room:1"+query)
		if p.Version != 3 || p.Clients != 3 || p.Users != 0 {
			t.Errorf("%s: got %+v", query, p)
		}
		for _, m := range p.Members {
			if len(m.Client) != 11 || m.User != "" || m.Info != nil {
				t.Errorf("%s: got %+v", query, m)
			}
			at = append(at, m.At)
		}
		return at, p
	}
	for _, tt := range []struct {
		query string
		want  []uint64
		more  bool
	}{
		{"", []uint64{1, 2, 3}, false},
		{"&limit=2", []uint64{1, 2}, true},
		{"&limit=2&after=2", []uint64{3}, false},
		{"&after=9007199254740991", nil, false},
	} {
		if got, p := read(tt.query); !slices.Equal(got, tt.want) || p.More != tt.more {
			t.Errorf("%s: got %v, more %v", tt.query, got, p.More)
		}
	}
	if got, _ := read("&limit=0"); got != nil {
		t.Errorf("only how many: got %v", got)
	}
	for query, want := range map[string]int{
		"hub=/&channel=news":                          404,
		"hub=/nowhere&channel=room:1":                 404,
		"hub=/":                                       400,
		"hub=/&channel=room:1&limit=1001":             400,
		"hub=/&channel=room:1&after=-1":               400,
		"hub=/&channel=room:1&after=9007199254740992": 400,
		"hub=/&channel=room:nobody":                   200,
	} {
		o.ask("GET", "/api/presence?"+query, "", want)
	}
	text := o.ask("GET", "/metrics", "", 200)
	for series, want := range map[string]string{
		`rocket_presence_members{hub="/"}`:       "3",
		`rocket_presence_channels{hub="/"}`:      "1",
		`rocket_presence_notices_total{hub="/"}`: "0",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s: got %q, want %q", series, got, want)
		}
	}
	if got := get[Hubs](o, "/api/hubs").Hubs[0].Presence; got != (Presence{Channels: 1, Members: 3}) {
		t.Errorf("/api/hubs has %+v", got)
	}
}

// Those that watch are told, and the notices are counted.
func TestPresenceNotices(t *testing.T) {
	o := operate(t, nil)
	watcher := o.dial()
	watcher.do(`{"subscribe":{"channel":"room:1","presence":true}}`, `{"ok":true,"version":1,"clients":1,"users":0}`)
	o.dial("room:1")
	if got := watcher.next(); got[:len(`{"presence":{"from":1,"version":2,`)] != `{"presence":{"from":1,"version":2,` {
		t.Errorf("got %s", got)
	}
	text := o.ask("GET", "/metrics", "", 200)
	if got := value(text, `rocket_presence_notices_total{hub="/"}`); got != "1" {
		t.Errorf("got %s notices, want 1", got)
	}
}
