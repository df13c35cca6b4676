package console

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/httpapi"
)

// publish publishes an event with a key, "" for none, and returns the answer.
func (o *operator) publish(channel, data, key string) string {
	o.t.Helper()
	if key != "" {
		key = fmt.Sprintf(`,"key":%q`, key)
	}
	return o.ask("POST", "/api/publish", fmt.Sprintf(`{"messages":[{"hub":"/","channel":%q,"event":"e","data":%s%s}]}`, channel, data, key), 200)
}

func TestPublishWithKey(t *testing.T) {
	o := operate(t, nil)
	c := o.dial("news")
	for i, step := range []struct{ channel, data, key, want string }{
		{"chat:1", "1", "k", `{"published":1,"results":[{"ok":true,"offset":1,"duplicate":false}]}`},
		{"chat:1", "2", "k", `{"published":0,"results":[{"ok":true,"offset":1,"duplicate":true}]}`},
		{"chat:1", "3", "", `{"published":1,"results":[{"ok":true,"offset":2}]}`},
		{"chat:2", "4", "k", `{"published":1,"results":[{"ok":true,"offset":1,"duplicate":false}]}`},
		{"news", "5", "k", `{"published":1,"results":[{"ok":true,"duplicate":false}]}`},
		{"news", "6", "k", `{"published":0,"results":[{"ok":true,"duplicate":true}]}`},
		{"nobody", "7", "k", `{"published":0,"results":[{"err":"invalid_channel"}]}`},
		{"nobody", "8", "k", `{"published":0,"results":[{"err":"invalid_channel"}]}`}, // one that failed leaves no key
	} {
		if got := o.publish(step.channel, step.data, step.key); got != step.want+"\n" {
			t.Errorf("%d: got %s want %s", i, got, step.want)
		}
	}
	c.want(`{"event":"e","channel":"news","data":5}`)
	text := o.ask("GET", "/metrics", "", 200)
	for series, want := range map[string]string{
		`rocket_duplicate_publishes_total{hub="/"}`: "2",
		`rocket_server_published_total{hub="/"}`:    "4",
		`rocket_history_channels{hub="/"}`:          "2",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s: got %q, want %q", series, got, want)
		}
	}
}

func TestHistory(t *testing.T) {
	o := operate(t, nil)
	for i := range 5 {
		o.publish("chat:1", fmt.Sprintf(`{"n": %d}`, i+1), "")
	}
	epoch := o.server.Hub("/").Epoch()
	offsets := func(query string) (all []uint64, more bool) {
		t.Helper()
		page := get[httpapi.HistoryAnswer](o, "/api/history?hub=/&channel=chat:1"+query)
		if page.Epoch != epoch || page.First != 3 || page.Top != 5 {
			t.Errorf("%s: got %+v, want 3 to 5 of %s", query, page, epoch)
		}
		for _, e := range page.Events {
			if want := fmt.Sprintf(`{"n":%d}`, e.Offset); e.Event != "e" || e.Channel != "chat:1" || string(e.Data) != want {
				t.Errorf("%s: got %+v, want the data %s", query, e, want)
			}
			all = append(all, e.Offset)
		}
		return all, page.More
	}
	for query, want := range map[string]struct {
		offsets []uint64
		more    bool
	}{
		"":                                {[]uint64{3, 4, 5}, false},
		"&limit=2":                        {[]uint64{4, 5}, true},
		"&limit=0":                        {nil, true},
		"&since=2&epoch=" + epoch:         {[]uint64{3, 4, 5}, false},
		"&since=3&limit=1&epoch=" + epoch: {[]uint64{4}, true},
		"&until=4&epoch=" + epoch:         {[]uint64{3, 4}, false},
		"&until=4&limit=1&epoch=" + epoch: {[]uint64{4}, true},
		"&since=5&epoch=" + epoch:         {nil, false},
	} {
		if got, more := offsets(query); !slices.Equal(got, want.offsets) || more != want.more {
			t.Errorf("%s: got %v, %t, want %v, %t", query, got, more, want.offsets, want.more)
		}
	}
	for query, want := range map[string]int{
		"hub=/nowhere&channel=chat:1": 404, "hub=/&channel=news": 404,
		"hub=/&channel=chat:1&since=1&epoch=" + epoch: 410, "hub=/&channel=chat:1&since=6&epoch=" + epoch: 410,
		"hub=/&channel=chat:1&since=3&epoch=other": 410,
		"hub=/&channel=chat:1&since=3":             400, "hub=/&channel=chat:1&epoch=" + epoch: 400,
		"hub=/&channel=chat:1&since=3&until=4&epoch=" + epoch:        400,
		"hub=/&channel=chat:1&since=-1&epoch=" + epoch:               400,
		"hub=/&channel=chat:1&since=9007199254740992&epoch=" + epoch: 400,
		"hub=/&channel=chat:1&limit=1001":                            400, "channel=chat:1": 400,
	} {
		o.ask("GET", "/api/history?"+query, "", want)
	}
}

// Recoveries are counted by what came of them.
func TestRecoveriesAreCounted(t *testing.T) {
	o := operate(t, nil)
	for range 5 {
		o.publish("chat:1", "1", "")
	}
	c := o.dial()
	epoch := o.server.Hub("/").Epoch()
	for _, step := range []struct{ since, want string }{
		{`"channel":"chat:1","since":{"epoch":"EPOCH","offset":5}`, `{"ok":true,"epoch":"EPOCH","offset":5,"recovered":true}`},
		{`"channel":"chat:2","since":{"epoch":"other","offset":2}`, `{"ok":true,"reason":"epoch","epoch":"EPOCH","offset":0,"recovered":false}`},
		{`"channel":"chat:3","since":{"epoch":"EPOCH","offset":9}`, `{"ok":true,"reason":"ahead","epoch":"EPOCH","offset":0,"recovered":false}`},
		{`"channel":"chat:1","since":{"epoch":"EPOCH","offset":1}`, `{"ok":true,"reason":"expired","epoch":"EPOCH","offset":5,"recovered":false,"lost":1}`},
		{`"channel":"chat:1","since":{"epoch":"EPOCH","offset":1},"strict":true`, `{"err":"not_recovered","reason":"expired","epoch":"EPOCH","offset":5,"lost":1}`},
		{`"channel":"news","since":{"epoch":"EPOCH","offset":1}`, `{"ok":true,"reason":"no_history","recovered":false}`},
		{`"channel":"chat:4"`, `{"ok":true,"epoch":"EPOCH","offset":0}`},
	} {
		c.do(withEpoch(`{"subscribe":{`+step.since+`}}`, epoch), withEpoch(step.want, epoch))
	}
	c.do(`{"publish":{"event":"e","channel":"news","key":"k"}}`, `{"ok":true,"duplicate":false}`)
	c.want(`{"event":"e","channel":"news"}`)
	c.do(`{"publish":{"event":"e","channel":"news","key":"k"}}`, `{"ok":true,"duplicate":true}`)
	text := o.ask("GET", "/metrics", "", 200)
	for series, want := range map[string]string{
		`rocket_recoveries_total{hub="/",result="recovered"}`:  "1",
		`rocket_recoveries_total{hub="/",result="epoch"}`:      "1",
		`rocket_recoveries_total{hub="/",result="ahead"}`:      "1",
		`rocket_recoveries_total{hub="/",result="expired"}`:    "2",
		`rocket_recoveries_total{hub="/",result="no_history"}`: "1",
		`rocket_duplicate_publishes_total{hub="/"}`:            "1",
		`rocket_history_evicted_events_total{hub="/"}`:         "0",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s: got %q, want %q", series, got, want)
		}
	}
	if got := value(text, `rocket_history_bytes{hub="/"}`); got == "0" || got == "" {
		t.Errorf("got %q bytes of history", got)
	}
	history := get[Hubs](o, "/api/hubs").Hubs[0].History
	if history.Channels != 1 || history.Recoveries["expired"] != 2 || history.Duplicates != 1 || history.Bytes == 0 {
		t.Errorf("/api/hubs has %+v", history)
	}
}

func withEpoch(s, epoch string) string { return strings.ReplaceAll(s, "EPOCH", epoch) }
