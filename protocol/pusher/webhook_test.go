package pusher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nu7hatch/webrocket/hub"
)

// A receiver stands for the endpoint of a webhook, in a bubble where time costs none.
type receiver struct {
	t      *testing.T
	answer func(r *http.Request) (status int, err error) // nil: 200

	mu     sync.Mutex
	bodies []string // guarded by mu
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	if got, want := req.Header.Get("X-Pusher-Signature"), ours.sign(body); got != want || req.Header.Get("X-Pusher-Key") != ours.Key {
		r.t.Errorf("the signature is %s of %s, want %s of what was sent", got, req.Header.Get("X-Pusher-Key"), want)
	}
	if !json.Valid(body) || req.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("got %s as %s", body, req.Header.Get("Content-Type"))
	}
	status := 200
	if r.answer != nil {
		var err error
		if status, err = r.answer(req); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if status == 200 {
		_, events, _ := strings.Cut(string(body), `"events":`)
		r.bodies = append(r.bodies, strings.TrimSuffix(events, "}"))
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(strings.NewReader("ok")), Request: req}, nil
}

// got returns the events of each request that was taken.
func (r *receiver) got() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.bodies
	r.bodies = nil
	return all
}

// hooked returns an application with a webhook that reaches the receiver.
func hooked(t *testing.T, w Webhook, r *receiver) (*App, *bytes.Buffer) {
	t.Helper()
	h, err := hub.New("app", hub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	c := Config{ID: "1", Keys: []Key{ours, theirs}, Log: slog.New(slog.NewTextHandler(log, nil))}
	a, err := New(h, c)
	if err != nil {
		t.Fatal(err)
	}
	w.URL = "http://user:password@receiver.example/hook"
	r.t = t
	q := newEndpointQueue(a, w)
	q.client.Transport = r
	list := []*endpointQueue{q}
	a.hooks.endpoints.Store(&list)
	a.hooks.running.Go(q.run)
	return a, log
}

func TestWebhookEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(receiver)
		a, _ := hooked(t, Webhook{}, r)
		defer a.Close()
		for _, tt := range []struct {
			do   func()
			want string
		}{
			{func() { a.hooks.channelOccupied("c") }, `{"name":"channel_occupied","channel":"c"}`},
			{func() { a.hooks.channelVacated("c") }, `{"name":"channel_vacated","channel":"c"}`},
			{func() { a.hooks.memberAdded("presence-c", "1") }, `{"name":"member_added","channel":"presence-c","user_id":"1"}`},
			{func() { a.hooks.memberRemoved("presence-c", "1") }, `{"name":"member_removed","channel":"presence-c","user_id":"1"}`},
			{func() { a.hooks.cacheMiss("cache-c") }, `{"name":"cache_miss","channel":"cache-c"}`},
			{func() { a.hooks.subscriptionCount("c", 3) }, `{"name":"subscription_count","channel":"c","subscription_count":3}`},
			{
				func() {
					a.hooks.clientEvent(&message{event: []byte("client-e"), data: []byte(`{"a":1}`)}, "presence-c", "1.2", "7")
				},
				`{"name":"client_event","channel":"presence-c","event":"client-e","data":"{\"a\":1}","socket_id":"1.2","user_id":"7"}`,
			},
			{
				func() { a.hooks.clientEvent(&message{event: []byte("client-e")}, "private-c", "1.2", "") },
				`{"name":"client_event","channel":"private-c","event":"client-e","data":"","socket_id":"1.2"}`,
			},
		} {
			tt.do()
			time.Sleep(grace)
			if got := r.got(); len(got) != 1 || got[0] != "["+tt.want+"]" {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		}
		if got := a.hookStats()[0]; got != (HookStats{Endpoint: "http://receiver.example/hook", Delivered: 8}) {
			t.Errorf("counted: %+v", got)
		}
	})
}

// A page that is loaded anew leaves and comes back: nothing has happened.
func TestWebhookGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(receiver)
		a, _ := hooked(t, Webhook{}, r)
		defer a.Close()
		for _, tt := range []struct {
			name  string
			after time.Duration
			want  int
		}{{"back in time", grace - time.Millisecond, 0}, {"back too late", grace + time.Millisecond, 4}} {
			a.hooks.memberRemoved("presence-c", "1")
			a.hooks.channelVacated("presence-c")
			time.Sleep(tt.after)
			a.hooks.channelOccupied("presence-c")
			a.hooks.memberAdded("presence-c", "1")
			time.Sleep(time.Minute)
			if got := r.got(); len(got) != tt.want {
				t.Errorf("%s: got %s, want %d", tt.name, got, tt.want)
			}
		}
	})
}

func TestWebhookFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(receiver)
		a, _ := hooked(t, Webhook{Events: []string{"cache_miss", "member_added"}, Prefix: "presence-", Suffix: "-eu"}, r)
		defer a.Close()
		a.hooks.cacheMiss("presence-cache-eu")
		a.hooks.cacheMiss("presence-cache-us")
		a.hooks.cacheMiss("cache-eu")
		a.hooks.channelOccupied("presence-eu")
		a.hooks.memberAdded("presence-eu", "1")
		if got := r.got(); len(got) != 2 || !strings.Contains(got[0], "presence-cache-eu") || !strings.Contains(got[1], "member_added") {
			t.Errorf("got %s", got)
		}
	})
}

func TestWebhookBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(receiver)
		a, _ := hooked(t, Webhook{Batch: time.Second}, r)
		defer a.Close()
		for i := range batchMax + 2 {
			a.hooks.cacheMiss(fmt.Sprint("cache-", i))
		}
		if got := r.got(); len(got) != 1 || strings.Count(got[0], "cache_miss") != batchMax {
			t.Errorf("got %s", got)
		}
		time.Sleep(time.Second)
		if got := r.got(); len(got) != 1 || strings.Count(got[0], "cache_miss") != 2 || !strings.Contains(got[0], `"cache-100"},{`) {
			t.Errorf("got %s", got)
		}
	})
}

// An endpoint that fails is tried again, less and less often, for five minutes; then
// the events are lost, which the log says, and the next have their turn. None overtakes
// another.
func TestWebhookRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Duration
		var mu sync.Mutex // of attempts and down
		began, down := time.Now(), true
		set := func(isDown bool) (before []time.Duration) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			before, attempts, down = attempts, nil, isDown
			return before
		}
		r := &receiver{}
		r.answer = func(*http.Request) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			attempts = append(attempts, time.Since(began))
			switch {
			case !down:
				return 200, nil
			case len(attempts)%2 == 0:
				return 500, nil
			}
			return 0, errors.New("down")
		}
		a, log := hooked(t, Webhook{}, r)
		defer a.Close()
		a.hooks.cacheMiss("cache-1")
		a.hooks.cacheMiss("cache-2")
		time.Sleep(time.Minute)
		before := set(false)
		time.Sleep(time.Minute)
		if got := r.got(); len(got) != 2 || !strings.Contains(got[0], "cache-1") || !strings.Contains(got[1], "cache-2") {
			t.Errorf("after a minute: got %s, want both in order", got)
		}
		want := []int{0, 1, 3, 7, 15, 31, 63, 63} // seconds
		for i, at := range append(before, set(true)...) {
			if at != time.Duration(want[i])*time.Second {
				t.Errorf("attempt %d came after %v, want %v s", i+1, at, want[i])
			}
		}
		a.hooks.cacheMiss("cache-3")
		time.Sleep(retryFor)
		set(false)
		a.hooks.cacheMiss("cache-4")
		time.Sleep(time.Minute)
		if got := r.got(); len(got) != 1 || !strings.Contains(got[0], "cache-4") {
			t.Errorf("after five minutes: got %s, want the next one", got)
		}
		if text := log.String(); !strings.Contains(text, "webhook events are lost") || strings.Contains(text, "password") ||
			!strings.Contains(text, `events="[{\"name\":\"cache_miss\",\"channel\":\"cache-3\"}]"`) || strings.Contains(text, "cache-2") {
			t.Errorf("the log says %s", text)
		}
		if got := a.hookStats()[0]; got.Delivered != 3 || got.Lost != 1 || got.Failures < 10 || got.Queued != 0 {
			t.Errorf("counted: %+v", got)
		}
	})
}

// An endpoint that takes too long has failed.
func TestWebhookTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := true
		r := &receiver{answer: func(req *http.Request) (int, error) {
			if slow {
				<-req.Context().Done()
				slow = false
				return 0, req.Context().Err()
			}
			return 200, nil
		}}
		a, _ := hooked(t, Webhook{Timeout: 2 * time.Second}, r)
		defer a.Close()
		a.hooks.cacheMiss("cache-1")
		time.Sleep(2*time.Second + retryFirst - time.Millisecond)
		if got := r.got(); len(got) != 0 {
			t.Errorf("got %s too early", got)
		}
		time.Sleep(time.Millisecond)
		if got := r.got(); len(got) != 1 {
			t.Errorf("got %s, want the event after the time-out and a pause", got)
		}
		if got := a.hookStats()[0]; got.Failures != 1 || got.Delivered != 1 {
			t.Errorf("counted: %+v", got)
		}
	})
}

// Above 100 subscribers each change would be a message to all of them: they are told once
// in five seconds how many they are.
func TestManySubscribersAreCountedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(receiver)
		a, _ := hooked(t, Webhook{Events: []string{"subscription_count"}}, r)
		defer a.Close()
		rules := *a.settings.Load()
		rules.SubscriptionCounts = true
		a.settings.Store(&rules)
		change := func(n int) {
			open, unlock := a.channels.lock("c")
			defer unlock()
			if open["c"] == nil {
				open["c"] = new(channel)
			}
			open["c"].subscribers = n
			a.count("c", KindOf("c"), open["c"])
		}
		said := func(n int) string {
			return fmt.Sprintf(`[{"name":"subscription_count","channel":"c","subscription_count":%d}]`, n)
		}
		for n := 1; n <= fewSubscribers; n++ {
			change(n)
			if got := r.got(); len(got) != 1 || got[0] != said(n) {
				t.Fatalf("with %d: got %s", n, got)
			}
		}
		for _, last := range []int{200, 300, 150} {
			for n := 101; n <= last; n++ {
				change(n)
			}
			time.Sleep(countInterval - time.Nanosecond)
			if got := r.got(); len(got) != 0 {
				t.Errorf("got %s within five seconds", got)
			}
			time.Sleep(time.Nanosecond)
			if got := r.got(); len(got) != 1 || got[0] != said(last) {
				t.Errorf("after five seconds: got %s, want %s", got, said(last))
			}
		}
		time.Sleep(time.Hour)
		if got := r.got(); len(got) != 0 {
			t.Errorf("got %s, and nothing has changed", got)
		}
	})
}

// What waits for an endpoint is bounded, and does not hold up anything else.
func TestWebhookQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(*http.Request) (int, error) { time.Sleep(time.Hour); return 200, nil }}
		a, log := hooked(t, Webhook{MaxQueued: 5}, r)
		for i := range 20 {
			a.hooks.cacheMiss(fmt.Sprint("cache-", i))
			if i == 0 {
				synctest.Wait() // this one is on its way
			}
		}
		if got := a.hookStats()[0]; got.Queued != 6 || got.Lost != 14 {
			t.Errorf("counted: %+v", got)
		}
		if got := strings.Count(log.String(), "too many wait"); got != 1 {
			t.Errorf("the log says it %d times, want once", got)
		}
		time.Sleep(2 * time.Hour)
		a.Close()
	})
}

// Nor do large events make it large: 10,000 of the largest would be 600 MB.
func TestWebhookQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(*http.Request) (int, error) { time.Sleep(time.Hour); return 200, nil }}
		a, log := hooked(t, Webhook{}, r)
		data := []byte(`"` + strings.Repeat(`\u0001`, 10<<10) + `"`)
		const fit = queuedBytesMax / (60 << 10)
		for range 2 * fit {
			a.hooks.clientEvent(&message{event: []byte("client-e"), data: data}, "private-c", "1.2", "")
		}
		if got := a.hookStats()[0]; got.Queued > fit || got.Queued < fit-10 || got.Queued+int(got.Lost) != 2*fit {
			t.Errorf("counted: %+v, want at most %d that wait", got, fit)
		}
		if got := strings.Count(log.String(), "too many wait"); got != 1 {
			t.Errorf("the log says it %d times, want once", got)
		}
		a.Close()
	})
}

// What was held back comes in the order in which it happened: nobody leaves a channel that
// is vacated already.
func TestWebhookGraceKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(receiver)
		a, _ := hooked(t, Webhook{}, r)
		defer a.Close()
		var want []string
		for i := range 300 {
			channel := fmt.Sprint("presence-", i)
			a.hooks.memberRemoved(channel, "1")
			a.hooks.channelVacated(channel)
			want = append(want,
				`[{"name":"member_removed","channel":"`+channel+`","user_id":"1"}]`, `[{"name":"channel_vacated","channel":"`+channel+`"}]`)
		}
		time.Sleep(grace)
		if got := r.got(); !slices.Equal(got, want) {
			t.Errorf("got %d events in another order, want %d", len(got), len(want))
		}
	})
}

// A channel that is occupied again in the moment in which it is told that it is vacated is
// occupied to those who are told, whoever comes first.
func TestWebhookGraceEndsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(receiver)
		a, _ := hooked(t, Webhook{}, r)
		defer a.Close()
		const n = 2000
		for i := range n {
			a.hooks.channelVacated(fmt.Sprint(i))
			go func() {
				time.Sleep(grace)
				a.hooks.channelOccupied(fmt.Sprint(i))
			}()
		}
		time.Sleep(grace)
		last := map[string]string{}
		for _, e := range r.got() {
			name, channel, _ := strings.Cut(e, `","channel":`)
			last[channel] = name
		}
		for channel, name := range last {
			if !strings.Contains(name, "channel_occupied") {
				t.Fatalf("%s: the last that is told of it is %s", channel, name)
			}
		}
	})
}

// Who comes and goes all the time leaves nothing behind that waits.
func TestWebhookGraceForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := hooked(t, Webhook{}, new(receiver))
		defer a.Close()
		for range 10_000 {
			a.hooks.channelVacated("c")
			a.hooks.channelOccupied("c")
		}
		a.hooks.mu.Lock()
		defer a.hooks.mu.Unlock()
		if n := len(a.hooks.waiting); n > 2*droppedFew {
			t.Errorf("%d events wait, and all of them were dropped", n)
		}
	})
}

// A webhook that stays after a change of settings goes on, others end.
func TestWebhookObey(t *testing.T) {
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + string(body)
	}))
	defer server.Close()
	h, err := hub.New("app", hub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{ID: "1", Keys: []Key{ours}, Webhooks: []Webhook{{URL: server.URL + "/a"}, {URL: server.URL + "/b"}}}
	a, err := New(h, c)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	stays := a.hooks.list()[0]
	c.Webhooks = []Webhook{{URL: server.URL + "/c"}, {URL: server.URL + "/a"}}
	if err := a.Obey(c); err != nil {
		t.Fatal(err)
	}
	if list := a.hooks.list(); len(list) != 2 || list[1] != stays {
		t.Error("the webhook that is the same has begun anew")
	}
	a.hooks.cacheMiss("cache-c")
	seen := (<-got)[:2] + (<-got)[:2]
	if seen != "/a/c" && seen != "/c/a" {
		t.Errorf("got %s", seen)
	}
}

// Where the operator says so, no address of the own network is reached, whatever a name
// stands for, and in any case no redirect is followed.
func TestWebhookAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": false, "10.1.2.3:80": false, "192.168.0.1:80": false, "169.254.169.254:80": false, "[::1]:80": false,
		"[fd00::1]:80": false, "0.0.0.0:80": false, "100.64.0.1:80": false, "[::ffff:127.0.0.1]:80": false, "[64:ff9b::7f00:1]:80": false,
		"0.1.2.3:80": false, "192.0.0.8:80": false, "198.18.0.1:80": false, "240.0.0.1:80": false, "[::127.0.0.1]:80": false,
		"[64:ff9b:1::a00:1]:80": false, "[2001:0:7f00:1::]:80": false, "[2002:a00:1::]:80": false, "[fec0::1%eth0]:80": false,
		"8.8.8.8:80": true, "[2001:4860:4860::8888]:443": true,
	} {
		if err := refusePrivate("tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: got %v", address, err)
		}
	}
	reached := 0
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		http.Redirect(w, r, server.URL+"/other", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	h, err := hub.New("app", hub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(h, Config{ID: "1", Keys: []Key{ours}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	q := newEndpointQueue(a, Webhook{URL: server.URL})
	if err := q.post([][]byte{[]byte("{}")}); err == nil || reached != 1 {
		t.Errorf("a redirect: got %v after %d requests", err, reached)
	}
	q = newEndpointQueue(a, Webhook{URL: server.URL, PublicOnly: true})
	if err := q.post([][]byte{[]byte("{}")}); !errors.Is(err, errPrivate) || reached != 1 {
		t.Errorf("the own network: got %v", err)
	}
}

// A filter decides by the name of the event and of the channel, whatever they are.
func FuzzWebhookFilter(f *testing.F) {
	f.Add("presence-", "-eu", "member_added", "presence-a-eu")
	f.Add("aba", "ba", "cache_miss", "aba")
	f.Fuzz(func(t *testing.T, prefix, suffix, name, channel string) {
		w := Webhook{Prefix: prefix, Suffix: suffix, Events: []string{"member_added"}}
		want := name == "member_added" && strings.Index(channel, prefix) == 0 && strings.HasSuffix(channel, suffix)
		if got := w.wants(name, channel); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
