package webrocket_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// remembering is a hub whose channels "chat:…" keep three events.
func remembering() *webrocket.HubHandler {
	h := webrocket.NewJSONHandler()
	h.Rules = []webrocket.Rule{
		{Match: "chat:*", History: webrocket.History{Size: 3, TTL: time.Hour}},
		{Match: "last:*", History: webrocket.History{Size: 1, TTL: time.Hour}, Rewind: 1},
		{Match: "closed:*", Subscribe: webrocket.Nobody, Publish: webrocket.Nobody},
		{Match: "write:*", ReadHistory: webrocket.Nobody, History: webrocket.History{Size: 3, TTL: time.Hour}},
	}
	return h
}

// talkOf is talk in which EPOCH stands for the hub's epoch.
func talkOf(t *testing.T, s *webrocket.Server, dialogue string) {
	t.Helper()
	talk(t, s, strings.ReplaceAll(dialogue, "EPOCH", s.Hub("/").Epoch()))
}

const logins = `
	a > {"auth":{"access":"read-write","secret":""}}
	a < {"ok":true}
	b > {"auth":{"access":"read-write","secret":""}}
	b < {"ok":true}`

func TestRecovery(t *testing.T) {
	for _, tt := range []struct{ name, dialogue string }{
		{"positions", `
			a > {"subscribe":{"channel":"chat:1"},"id":1}
			a < {"ok":true,"id":1,"epoch":"EPOCH","offset":0}
			a > {"publish":{"event":"e","channel":"chat:1","data":"x"},"id":2}
			a < {"ok":true,"id":2,"offset":1}
			a < {"event":"e","channel":"chat:1","data":"x","offset":1}
			# again, without a position: nothing changes
			a > {"subscribe":{"channel":"chat:1"}}
			a < {"ok":true,"epoch":"EPOCH","offset":1}`},
		{"a channel without a history is as before", `
			a > {"subscribe":{"channel":"plain"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"plain"}}
			a < {"ok":true}
			a < {"event":"e","channel":"plain"}
			a > {"subscribe":{"channel":"plain","since":{"epoch":"EPOCH","offset":0}}}
			a < {"ok":true,"reason":"no_history","recovered":false}
			a > {"history":{"channel":"plain"}}
			a < {"err":"not_available"}`},
		{"away for a while", `
			a > {"publish":{"event":"e","channel":"chat:1","data":1}}
			a < {"ok":true,"offset":1}
			a > {"publish":{"event":"e","channel":"chat:1","data":2}}
			a < {"ok":true,"offset":2}
			a > {"publish":{"event":"e","channel":"chat:1","data":3}}
			a < {"ok":true,"offset":3}
			b > {"subscribe":{"channel":"chat:1","since":{"epoch":"EPOCH","offset":1}}}
			b < {"ok":true,"epoch":"EPOCH","offset":1,"top":3,"recovered":true}
			b < {"event":"e","channel":"chat:1","data":2,"offset":2}
			b < {"event":"e","channel":"chat:1","data":3,"offset":3}
			a > {"publish":{"event":"e","channel":"chat:1","data":4}}
			a < {"ok":true,"offset":4}
			b < {"event":"e","channel":"chat:1","data":4,"offset":4}`},
		{"away for too long", `
			` + strings.Repeat(`
			a > {"publish":{"event":"e","channel":"chat:1"},"id":0}
			a ? ok`, 5) + `
			b > {"subscribe":{"channel":"chat:1","since":{"epoch":"EPOCH","offset":1}}}
			b < {"ok":true,"reason":"expired","epoch":"EPOCH","offset":5,"recovered":false,"lost":1}
			b > {"subscribe":{"channel":"chat:1","since":{"epoch":"EPOCH","offset":1},"rewind":2}}
			b < {"ok":true,"reason":"expired","epoch":"EPOCH","offset":3,"top":5,"recovered":false,"lost":1}
			b < {"event":"e","channel":"chat:1","offset":4}
			b < {"event":"e","channel":"chat:1","offset":5}
			b > {"unsubscribe":{"channel":"chat:1"}}
			b < {"ok":true}
			b > {"subscribe":{"channel":"chat:1","since":{"epoch":"EPOCH","offset":1},"strict":true}}
			b < {"err":"not_recovered","reason":"expired","epoch":"EPOCH","offset":5,"lost":1}
			# strict, and not subscribed
			a > {"publish":{"event":"e","channel":"chat:1"},"id":0}
			a ? ok
			b > {"logout":true}
			b < {"ok":true}`},
		{"a position of another server", `
			a > {"subscribe":{"channel":"chat:1","since":{"epoch":"other","offset":7}}}
			a < {"ok":true,"reason":"epoch","epoch":"EPOCH","offset":0,"recovered":false}
			a > {"subscribe":{"channel":"chat:1","since":{"epoch":"EPOCH","offset":7}}}
			a < {"ok":true,"reason":"ahead","epoch":"EPOCH","offset":0,"recovered":false}`},
		{"the last value", `
			a > {"publish":{"event":"e","channel":"last:1","data":1}}
			a < {"ok":true,"offset":1}
			a > {"publish":{"event":"e","channel":"last:1","data":2}}
			a < {"ok":true,"offset":2}
			b > {"subscribe":{"channel":"last:1"}}
			b < {"ok":true,"epoch":"EPOCH","offset":1,"top":2}
			b < {"event":"e","channel":"last:1","data":2,"offset":2}`},
		{"several channels, each from its position", `
			a > {"publish":{"event":"e","channel":"chat:1","data":1}}
			a < {"ok":true,"offset":1}
			a > {"publish":{"event":"e","channel":"chat:1","data":2}}
			a < {"ok":true,"offset":2}
			a > {"publish":{"event":"e","channel":"last:1","data":3}}
			a < {"ok":true,"offset":1}
			b > {"subscribe":{"channels":[{"channel":"chat:1","since":{"epoch":"EPOCH","offset":1}},{"channel":"last:1"},{"channel":"chat:2","since":{"epoch":"other","offset":1},"strict":true},{"channel":"plain"}]},"id":1}
			b < {"ok":true,"id":1,"results":[{"ok":true,"channel":"chat:1","epoch":"EPOCH","offset":1,"top":2,"recovered":true},{"ok":true,"channel":"last:1","epoch":"EPOCH","offset":0,"top":1},{"err":"not_recovered","reason":"epoch","channel":"chat:2","epoch":"EPOCH","offset":0},{"ok":true,"channel":"plain"}]}
			b < {"event":"e","channel":"chat:1","data":2,"offset":2}
			b < {"event":"e","channel":"last:1","data":3,"offset":1}`},
		{"history, page by page", `
			` + strings.Repeat(`
			a > {"publish":{"event":"e","channel":"chat:1"},"id":0}
			a ? ok`, 4) + `
			b > {"history":{"channel":"chat:1","limit":2},"id":1}
			b < {"ok":true,"id":1,"epoch":"EPOCH","first":2,"top":4,"events":[{"event":"e","channel":"chat:1","offset":3},{"event":"e","channel":"chat:1","offset":4}],"more":true}
			b > {"history":{"channel":"chat:1","until":{"epoch":"EPOCH","offset":2}}}
			b < {"ok":true,"epoch":"EPOCH","first":2,"top":4,"events":[{"event":"e","channel":"chat:1","offset":2}],"more":false}
			b > {"history":{"channel":"chat:1","since":{"epoch":"EPOCH","offset":2},"limit":1}}
			b < {"ok":true,"epoch":"EPOCH","first":2,"top":4,"events":[{"event":"e","channel":"chat:1","offset":3}],"more":true}
			b > {"history":{"channel":"chat:1","limit":0}}
			b < {"ok":true,"epoch":"EPOCH","first":2,"top":4,"events":[],"more":true}
			b > {"history":{"channel":"chat:1","since":{"epoch":"old","offset":2}}}
			b < {"err":"not_recovered","reason":"epoch","epoch":"EPOCH","offset":4}`},
		{"published once for a key", `
			a > {"publish":{"event":"e","channel":"chat:1","key":"k"},"id":1}
			a < {"ok":true,"id":1,"offset":1,"duplicate":false}
			b > {"publish":{"event":"other","channel":"chat:1","key":"k"},"id":2}
			b < {"ok":true,"id":2,"offset":1,"duplicate":true}
			a > {"publish":{"event":"e","channel":"plain","key":"k"}}
			a < {"err":"invalid_channel"}
			a > {"subscribe":{"channel":"plain"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"plain","key":"k"}}
			a < {"ok":true,"duplicate":false}
			a < {"event":"e","channel":"plain"}
			a > {"publish":{"event":"e","channel":"plain","key":"k"}}
			a < {"ok":true,"duplicate":true}`},
		{"rights", `
			a > {"subscribe":{"channel":"closed:1"}}
			a < {"err":"access_denied"}
			a > {"publish":{"event":"e","channel":"closed:1"}}
			a < {"err":"access_denied"}
			a > {"history":{"channel":"closed:1"}}
			a < {"err":"access_denied"}
			a > {"subscribe":{"channel":"write:1","since":{"epoch":"EPOCH","offset":0}}}
			a < {"err":"access_denied"}
			a > {"subscribe":{"channel":"write:1","rewind":1}}
			a < {"err":"access_denied"}
			a > {"subscribe":{"channel":"write:1"}}
			a < {"ok":true,"epoch":"EPOCH","offset":0}`},
		{"before a login", `
			c > {"history":{"channel":"chat:1"}}
			c < {"err":"access_denied"}
			c > {"subscribe":{"channel":"chat:1","since":{"epoch":"EPOCH","offset":0}}}
			c < {"err":"access_denied"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			talkOf(t, serve(t, hubs{"/": remembering()}), logins+tt.dialogue)
		})
	}
}

// A compressed event has its offset too, and what is replayed is the same.
func TestRecoveryCompressed(t *testing.T) {
	h := remembering()
	h.Compression, h.CompressionThreshold = true, 100
	s := serve(t, hubs{"/": h})
	c, err := connectOffering(t, s.Addr().String(), "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	say := func(command, reply string) {
		t.Helper()
		c.command(command)
		if _, got := c.frame(); got != reply {
			t.Fatalf("got %.200s, want %.200s", got, reply)
		}
	}
	epoch := s.Hub("/").Epoch()
	say(`{"auth":{"access":"read-write","secret":""}}`, `{"ok":true}`)
	say(`{"subscribe":{"channel":"chat:1"}}`, `{"ok":true,"epoch":"`+epoch+`","offset":0}`)
	data := `"` + strings.Repeat("hello ", 100) + `"`
	event := func(offset int) string {
		return fmt.Sprintf(`{"event":"e","channel":"chat:1","data":%s,"offset":%d}`, data, offset)
	}
	for offset := 1; offset <= 3; offset++ {
		say(`{"publish":{"event":"e","channel":"chat:1","data":`+data+`}}`, fmt.Sprintf(`{"ok":true,"offset":%d}`, offset))
		if _, got := c.frame(); got != event(offset) {
			t.Fatalf("got %.100s…, want %.100s…", got, event(offset))
		}
	}
	say(`{"subscribe":{"channel":"chat:1","since":{"epoch":"`+epoch+`","offset":1}}}`,
		`{"ok":true,"epoch":"`+epoch+`","offset":1,"top":3,"recovered":true}`)
	for offset := 2; offset <= 3; offset++ {
		if _, got := c.frame(); got != event(offset) {
			t.Fatalf("replayed: got %.100s…, want %.100s…", got, event(offset))
		}
	}
}

// A replay is paced: a client that reads nothing for a while is not closed for what
// it has asked for, and gets all of it, in order, in the end.
func TestReplayIsPaced(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.MaxQueuedBytes = 100_000
	h.Rules = []webrocket.Rule{{Match: "**", History: webrocket.History{Size: 1000, TTL: time.Hour, Bytes: 64 << 20}}}
	s := serve(t, hubs{"/": h})
	data := strings.Repeat("x", 10_000)
	for range 1000 { // 10 MB, far more than sockets and queues hold
		if err := s.Publish("/", "c", "e", data); err != nil {
			t.Fatal(err)
		}
	}
	c := dialRaw(t, s, "/")
	epoch := s.Hub("/").Epoch()
	c.command(`{"auth":{"access":"read-write","secret":""}}`)
	c.command(`{"subscribe":{"channel":"c","since":{"epoch":"` + epoch + `","offset":0}}}`)
	c.command(`{"logout":true,"id":"unread"}`) // is obeyed in between, and ends the replay
	c.command(`{"auth":{"access":"read-write","secret":""},"id":"again"}`)
	c.command(`{"subscribe":{"channel":"c","since":{"epoch":"` + epoch + `","offset":500}},"id":"anew"}`)
	if err := s.Publish("/", "c", "live", nil); err != nil {
		t.Fatal(err)
	}
	for last, anew := 0, false; last < 1001; {
		_, got := c.frame()
		switch {
		case strings.Contains(got, `"id":"anew"`):
			anew, last = true, 500
		case strings.HasPrefix(got, `{"event"`):
			want := fmt.Sprintf(`"offset":%d}`, last+1)
			if !strings.HasSuffix(got, want) {
				t.Fatalf("got %.60s…%s, want %s", got, got[max(0, len(got)-20):], want)
			}
			last++
			if !anew && last > 500 {
				t.Fatal("the first replay went on after logout")
			}
		}
	}
}

// Pages leave room for each other: a client that asks for two of them at once before it reads
// is not closed as a slow reader, however little may wait for it, and gets all page by page.
func TestPagesFitTheQueue(t *testing.T) {
	const events, people, queued = 400, 150, 32 << 10
	for name, slow := range map[string]webrocket.SlowPolicy{"disconnect": webrocket.Disconnect, "drop-oldest": webrocket.DropOldest, "replay": webrocket.Replay} {
		t.Run(name, func(t *testing.T) {
			h := slowHandler(queued, slow)
			h.Rules = []webrocket.Rule{{
				Match: "c", History: webrocket.History{Size: events, TTL: time.Hour},
				Presence: webrocket.Presence{Mode: webrocket.PresenceClients},
			}}
			s := slowServer(t, h)
			for range events {
				if err := s.Publish("/", "c", "e", strings.Repeat("x", 1000)); err != nil {
					t.Fatal(err)
				}
			}
			for range people {
				c := dialRaw(t, s, "/")
				c.command(`{"auth":{"access":"read-only","secret":""}}`)
				c.command(`{"subscribe":{"channel":"c"}}`)
				c.frame()
				c.frame()
			}
			c := dialRaw(t, s, "/")
			c.command(`{"auth":{"access":"read-only","secret":""}}`)
			c.frame()
			c.queue(`{"history":{"channel":"c","limit":1000},"id":1}`)
			c.queue(`{"history":{"channel":"c","limit":1000},"id":2}`)
			c.flush()
			var page struct {
				Events, Members []struct {
					Offset, At uint64
				}
				More bool
				Err  string
			}
			read := func() int {
				t.Helper()
				op, got, err := c.next()
				if err != nil || op != codec.OpText {
					t.Fatalf("got a frame %v, %q, %v", op, got, err)
				}
				page.Events, page.Members, page.More = nil, nil, false
				if err := json.Unmarshal(got, &page); err != nil || page.Err != "" || len(got) > queued/4+1000 {
					t.Fatalf("got %.60s… of %d bytes, %v", got, len(got), err)
				}
				return len(got)
			}
			for range 2 {
				if read(); !page.More || page.Events[len(page.Events)-1].Offset != events {
					t.Fatalf("got %d events, more: %t", len(page.Events), page.More)
				}
			}
			last, epoch := uint64(0), s.Hub("/").Epoch()
			for more := true; more; more = page.More {
				c.command(fmt.Sprintf(`{"history":{"channel":"c","limit":1000,"since":{"epoch":%q,"offset":%d}}}`, epoch, last))
				read()
				for _, e := range page.Events {
					if last++; e.Offset != last {
						t.Fatalf("got offset %d, want %d", e.Offset, last)
					}
				}
			}
			c.queue(`{"presence":{"channel":"c","limit":1000},"id":1}`)
			c.queue(`{"presence":{"channel":"c","limit":1000},"id":2}`)
			c.flush()
			for range 2 {
				if read(); !page.More || len(page.Members) == 0 {
					t.Fatalf("got %d members, more: %t", len(page.Members), page.More)
				}
			}
			seen, after := 0, uint64(0)
			for more := true; more; more = page.More {
				c.command(fmt.Sprintf(`{"presence":{"channel":"c","limit":1000,"after":%d}}`, after))
				read()
				seen += len(page.Members)
				after = page.Members[len(page.Members)-1].At
			}
			if last != events || seen != people {
				t.Errorf("got %d events and %d members page by page, want %d and %d", last, seen, events, people)
			}
		})
	}
}

// The program itself publishes once for a key, and learns the offset.
func TestPublishKeyed(t *testing.T) {
	s := serve(t, hubs{"/": remembering()})
	h := s.Hub("/")
	for _, want := range []webrocket.Published{{Offset: 1}, {Offset: 1, Duplicate: true}} {
		got, err := h.PublishKeyed("chat:1", "e", []byte("1"), "k")
		if err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if n := h.Published(); n != 1 {
		t.Errorf("%d events are counted, want 1", n)
	}
}

// The program reads what clients have published, byte for byte, and hears offsets.
func TestHistoryFromGo(t *testing.T) {
	s := serve(t, hubs{"/": remembering()})
	hub := s.Hub("/")
	heard := make(chan webrocket.Event, 4)
	subscription, err := hub.Subscribe("chat:1", func(e webrocket.Event) { heard <- e })
	if err != nil {
		t.Fatal(err)
	}
	defer subscription.Close()
	talkOf(t, s, logins+`
		a > {"publish":{"event":"e","channel":"chat:1","data":{"a": 1.0, "b":"<\u00e9>"}}}
		a < {"ok":true,"offset":1}
		a > {"publish":{"event":"f","channel":"chat:1"}}
		a < {"ok":true,"offset":2}`)
	page, err := s.History("/", "chat:1", webrocket.HistoryQuery{})
	if err != nil {
		t.Fatal(err)
	}
	want := webrocket.HistoryPage{Epoch: hub.Epoch(), First: 1, Top: 2, Events: []webrocket.Event{
		{Channel: "chat:1", Event: "e", Data: []byte(`{"a": 1.0, "b":"<\u00e9>"}`), Offset: 1},
		{Channel: "chat:1", Event: "f", Offset: 2},
	}}
	if !reflect.DeepEqual(page, want) {
		t.Errorf("got %+v, want %+v", page, want)
	}
	for _, e := range want.Events {
		if got := <-heard; !reflect.DeepEqual(got, e) {
			t.Errorf("heard %+v, want %+v", got, e)
		}
	}
	for since, reason := range map[webrocket.Position]string{
		{Epoch: "other", Offset: 1}: "epoch", {Epoch: hub.Epoch(), Offset: 3}: "ahead",
	} {
		page, err := hub.History("chat:1", webrocket.HistoryQuery{Since: since})
		if !errors.Is(err, webrocket.ErrNotRecovered) || page.Reason != reason || page.Top != 2 || page.Epoch != hub.Epoch() {
			t.Errorf("since %v: got %+v, %v, want %s", since, page, err, reason)
		}
	}
	if page, err := hub.History("chat:1", webrocket.HistoryQuery{Limit: -1}); err != nil || page.Top != 2 || len(page.Events) > 0 {
		t.Errorf("no events asked for: got %+v, %v", page, err)
	}
	if _, err := hub.History("plain", webrocket.HistoryQuery{}); !errors.Is(err, webrocket.ErrNoHistory) {
		t.Errorf("a channel without a history: got %v", err)
	}
	if _, err := s.History("/nowhere", "chat:1", webrocket.HistoryQuery{}); !errors.Is(err, webrocket.ErrNoHub) {
		t.Errorf("no hub: got %v", err)
	}
	if _, err := s.PublishKeyed("/nowhere", "chat:1", "e", nil, "k"); !errors.Is(err, webrocket.ErrNoHub) {
		t.Errorf("no hub: got %v", err)
	}
}
