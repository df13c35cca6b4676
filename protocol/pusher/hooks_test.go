package pusher_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// What clients do reaches the webhooks, in its order.
func TestHooks(t *testing.T) {
	got := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var hook struct {
			Time   int64 `json:"time_ms"`
			Events []map[string]any
		}
		if err := json.Unmarshal(body, &hook); err != nil || hook.Time == 0 {
			t.Errorf("got %s: %v", body, err)
		}
		for _, e := range hook.Events {
			b, _ := json.Marshal(e)
			got <- string(b)
		}
	}))
	defer receiver.Close()
	w := begin(t, pusher.Config{ClientEvents: true, Webhooks: []pusher.Webhook{{URL: receiver.URL}}})
	want := func(events ...string) {
		t.Helper()
		for _, e := range events {
			if g := <-got; g != e {
				t.Errorf("got  %s\nwant %s", g, e)
			}
		}
	}
	a, tab := w.connect(), w.connect()
	a.join("presence-c", `{"user_id":7}`)
	want(`{"channel":"presence-c","name":"channel_occupied"}`, `{"channel":"presence-c","name":"member_added","user_id":"7"}`)
	tab.join("presence-c", `{"user_id":7}`) // nothing new
	a.say(`{"event":"client-e","channel":"presence-c","data":{"x":1}}`)
	want(`{"channel":"presence-c","data":"{\"x\":1}","event":"client-e","name":"client_event","socket_id":"` + a.socket + `","user_id":"7"}`)
	tab.want(`~client-e`)
	a.join("cache-c")
	a.want(`~cache_miss`)
	tab.join("cache-c") // its miss is known
	want(`{"channel":"cache-c","name":"channel_occupied"}`, `{"channel":"cache-c","name":"cache_miss"}`)
	_ = a.ws.CloseNow()
	_ = tab.ws.CloseNow()
	seen := map[string]bool{}
	for range 3 {
		seen[<-got] = true
	}
	for _, e := range []string{
		`{"channel":"presence-c","name":"member_removed","user_id":"7"}`,
		`{"channel":"presence-c","name":"channel_vacated"}`, `{"channel":"cache-c","name":"channel_vacated"}`,
	} {
		if !seen[e] {
			t.Errorf("there is no %s among %v", e, seen)
		}
	}
	again := w.connect()
	again.join("cache-c") // nobody was there in between
	again.want(`~cache_miss`)
	want(`{"channel":"cache-c","name":"channel_occupied"}`, `{"channel":"cache-c","name":"cache_miss"}`)
	rules := w.app.Config()
	rules.CacheTTL = time.Nanosecond
	if err := w.app.Obey(rules); err != nil {
		t.Fatal(err)
	}
	w.publish(`{"name":"e","channel":"cache-c","data":"1"}`)
	again.want(`~"event":"e"`)
	late := w.connect()
	late.join("cache-c") // the event has come and gone since the last miss
	late.want(`~cache_miss`)
	want(`{"channel":"cache-c","name":"cache_miss"}`)
}
