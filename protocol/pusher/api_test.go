package pusher_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// Each request has one right answer. What libraries decode is of the type that they
// expect: an object or a list that is empty is one, and ids are strings.
func TestAPI(t *testing.T) {
	w := begin(t, pusher.Config{SubscriptionCounts: true, MaxEventData: 30, MaxListedChannels: 6})
	a, b := w.connect(), w.connect()
	for _, c := range []*client{a, b} {
		c.join("presence-room", `{"user_id":7}`)
	}
	a.join("cache-empty")
	a.want(`~cache_miss`, `~subscription_count`)
	a.join("public")
	a.want(`~subscription_count\":1`)
	b.join("public")
	a.want(`~subscription_count\":2`)
	a.join("presence-cache-c", `{"user_id":7}`)
	a.want(`~cache_miss`)
	w.publish(`{"name":"e","channel":"cache-full","data":"{\"a\":1}"}`)
	last := fmt.Sprintf(`{"name":"e","channel":"public","data":"d","socket_id":%q}`, a.socket)
	many := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, strings.ReplaceAll(format, "N", fmt.Sprint(i)))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	const events, batch, channels = "/events", "/batch_events", "/channels"
	for _, tt := range []struct {
		name, method, path, query, body string
		status                          int
		want                            string // the body; with "~", a part of it
	}{
		{"an event", "POST", events, "", `{"name":"e","channels":["x"],"data":"d"}`, 200, `{}`},
		{"to one channel", "POST", events, "", `{"name":"e","channel":"x","data":"d"}`, 200, `{}`},
		{"data that is an object", "POST", events, "", `{"name":"e","channel":"x","data":{"a":1}}`, 200, `{}`},
		{"without one that is not there", "POST", events, "", `{"name":"e","channel":"x","data":"d","socket_id":"1.2"}`, 200, `{}`},
		{"without one that is there", "POST", events, "", last, 200, `{}`},
		{"without nobody", "POST", events, "", `{"name":"e","channel":"x","data":"d","socket_id":null}`, 200, `{}`},
		{"100 channels", "POST", events, "", `{"name":"e","channels":` + many(100, `"cN"`) + `,"data":"d"}`, 200, `{}`},
		{
			"with counts", "POST", events, "", `{"name":"e","channels":["presence-room","public","nobody","public"],"data":"d","info":"user_count,subscription_count"}`,
			200, `{"channels":{"nobody":{"subscription_count":0},"presence-room":{"user_count":1},"public":{"subscription_count":2}}}`,
		},
		{"101 channels", "POST", events, "", `{"name":"e","channels":` + many(101, `"cN"`) + `,"data":"d"}`, 400, "~channels"},
		{"no channel", "POST", events, "", `{"name":"e","channels":[],"data":"d"}`, 400, "~channels"},
		{"no channel at all", "POST", events, "", `{"name":"e","data":"d"}`, 400, "~channels"},
		{"channel and channels", "POST", events, "", `{"name":"e","channel":"x","channels":["x"],"data":"d"}`, 400, "~channels"},
		{"channels that are none", "POST", events, "", `{"name":"e","channels":"x","data":"d"}`, 400, "~channels"},
		{"a channel that cannot be", "POST", events, "", `{"name":"e","channel":"a b","data":"d"}`, 400, "~channel"},
		{"a channel with a long name", "POST", events, "", `{"name":"e","channel":"` + strings.Repeat("c", 201) + `","data":"d"}`, 400, "~channel"},
		{"a channel with as long a name as may be", "POST", events, "", `{"name":"e","channel":"` + strings.Repeat("c", 200) + `","data":"d"}`, 200, `{}`},
		{"a name that is as long as may be", "POST", events, "", `{"name":"` + strings.Repeat("e", 200) + `","channel":"x","data":"d"}`, 200, `{}`},
		{"to a user", "POST", events, "", `{"name":"e","channel":"#server-to-user-1","data":"d"}`, 200, `{}`},
		{"a reserved channel", "POST", events, "", `{"name":"e","channel":"#x","data":"d"}`, 400, "~channel"},
		{"no name", "POST", events, "", `{"channel":"x","data":"d"}`, 400, "~name"},
		{"a long name", "POST", events, "", `{"name":"` + strings.Repeat("e", 201) + `","channel":"x","data":"d"}`, 400, "~name"},
		{"no data", "POST", events, "", `{"name":"e","channel":"x"}`, 400, "~data"},
		{"data that is null", "POST", events, "", `{"name":"e","channel":"x","data":null}`, 400, "~data"},
		{"as much data as may be", "POST", events, "", `{"name":"e","channel":"x","data":"` + strings.Repeat("é", 15) + `"}`, 200, `{}`},
		{"too much data", "POST", events, "", `{"name":"e","channel":"x","data":"` + strings.Repeat("d", 31) + `"}`, 413, "~31 bytes"},
		{"far too much", "POST", events, "", `{"name":"e","channel":"x","data":"` + strings.Repeat("d", 100_000) + `"}`, 413, "~large"},
		{"a socket id that is none", "POST", events, "", `{"name":"e","channel":"x","data":"d","socket_id":"1.2:x"}`, 400, "~socket_id"},
		{"counts of nothing that there is", "POST", events, "", `{"name":"e","channel":"x","data":"d","info":"cats"}`, 400, "~cats"},
		{"no JSON", "POST", events, "", `{"name":`, 400, "~JSON"},
		{"not UTF-8", "POST", events, "", "{\"name\":\"\xff\"}", 400, "~UTF-8"},
		{"no body", "POST", events, "", ``, 400, "~JSON"},

		{"a batch", "POST", batch, "", `{"batch":[{"name":"e","channel":"x","data":"1"},{"name":"e","channel":"y","data":"2"}]}`, 200, `{}`},
		{
			"a batch with counts", "POST", batch, "",
			`{"batch":[{"name":"e","channel":"presence-room","data":"1","info":"user_count"},{"name":"e","channel":"y","data":"2"}]}`,
			200, `{"batch":[{"user_count":1},{}]}`,
		},
		{"10 events", "POST", batch, "", `{"batch":` + many(10, `{"name":"e","channel":"x","data":"N"}`) + `}`, 200, `{}`},
		{"a batch with too much data", "POST", batch, "", `{"batch":[{"name":"e","channel":"x","data":"` + strings.Repeat("d", 31) + `"}]}`, 413, "~event 1"},
		{"11 events", "POST", batch, "", `{"batch":` + many(11, `{"name":"e","channel":"x","data":"N"}`) + `}`, 400, "~batch"},
		{"an empty batch", "POST", batch, "", `{"batch":[]}`, 400, "~batch"},
		{"a batch that is none", "POST", batch, "", `{"batch":{}}`, 400, "~batch"},
		{"several channels in a batch", "POST", batch, "", `{"batch":[{"name":"e","channels":["x"],"data":"1"}]}`, 400, "~event 1"},

		{"all channels", "GET", channels, "", "", 200, `{"channels":{"cache-empty":{},"presence-cache-c":{},"presence-room":{},"public":{}}}`},
		{"some channels", "GET", channels, "filter_by_prefix=presence-&info=user_count", "", 200, `{"channels":{"presence-cache-c":{"user_count":1},"presence-room":{"user_count":1}}}`},
		{"no channels", "GET", channels, "filter_by_prefix=nothing", "", 200, `{"channels":{}}`},
		{"users of any channels", "GET", channels, "info=user_count", "", 400, "~user_count"},
		{"a channel", "GET", channels + "/public", "", "", 200, `{"occupied":true}`},
		{"a channel that nobody hears", "GET", channels + "/nobody", "", "", 200, `{"occupied":false}`},
		{"how many hear it", "GET", channels + "/public", "info=subscription_count", "", 200, `{"occupied":true,"subscription_count":2}`},
		{"how many are there, asked twice", "GET", channels + "/presence-room", "info=user_count,user_count", "", 200, `{"occupied":true,"user_count":1}`},
		{"a name with a semicolon", "GET", channels, "filter_by_prefix=pub%3Blic", "", 200, `{"channels":{}}`},
		{"attributes that are no text", "POST", events, "", `{"name":"e","channel":"x","data":"N","info":["user_count"]}`, 400, "~info"},
		{"how many are there", "GET", channels + "/presence-room", "info=user_count", "", 200, `{"occupied":true,"user_count":1}`},
		{"what is kept", "GET", channels + "/cache-full", "info=subscription_count,cache", "", 200, `~{"occupied":false,"subscription_count":0,"cache":{"data":"{\"a\":1}","ttl":`},
		{"what is not kept", "GET", channels + "/cache-empty", "info=cache", "", 200, `{"occupied":true,"cache":null}`},
		{"users of a public channel", "GET", channels + "/public", "info=user_count", "", 400, "~user_count"},
		{"subscriptions of a presence channel", "GET", channels + "/presence-room", "info=subscription_count", "", 400, "~subscription_count"},
		{"the cache of a channel without one", "GET", channels + "/public", "info=cache", "", 400, "~cache"},
		{"a name that cannot be", "GET", channels + "/a b", "", "", 400, "~name"},
		{"who is there", "GET", channels + "/presence-room/users", "", "", 200, `{"users":[{"id":"7"}]}`},
		{"nobody", "GET", channels + "/presence-nobody/users", "", "", 200, `{"users":[]}`},
		{"who is in a public channel", "GET", channels + "/public/users", "", "", 400, "~presence"},
		{"how many connections", "GET", "/connections", "", "", 200, `{"connections":2}`},
		{"terminate", "POST", "/users/nobody/terminate_connections", "", "", 200, `{}`},
		{"terminate who cannot be", "POST", "/users/" + strings.Repeat("u", 201) + "/terminate_connections", "", "", 400, "~user"},
		{"nothing", "GET", "/nothing", "", "", 404, ""},
		{"the wrong method", "GET", events, "", "", 405, "~POST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			got := w.call(tt.method, "/apps/app-1"+tt.path, tt.query, tt.body)
			part, loose := strings.CutPrefix(tt.want, "~")
			if got.status != tt.status || got.body != tt.want && !(loose && strings.Contains(got.body, part)) && tt.want != "" {
				t.Errorf("got %d %s, want %d %s", got.status, got.body, tt.status, tt.want)
			}
			if isJSON := got.header.Get("Content-Type") == "application/json"; isJSON != (tt.status == 200) {
				t.Errorf("the type is %s", got.header.Get("Content-Type"))
			}
		})
	}
	w.t = t
	heard := make(map[string]int) // there is no order of different channels
	for range 3 {
		heard[a.next()]++
	}
	for _, event := range []string{
		`{"event":"e","channel":"presence-room","data":"d"}`, `{"event":"e","channel":"public","data":"d"}`,
		`{"event":"e","channel":"presence-room","data":"1"}`,
	} {
		if heard[event] != 1 {
			t.Errorf("got %v, want %s once", heard, event)
		}
	}
	a.quiet() // what was published without it has not come
	for i := range 5 {
		a.join(fmt.Sprintf("more-%d", i))
		a.want("~subscription_count")
	}
	if got := w.call("GET", "/apps/app-1/channels", "", ""); got.status != 400 {
		t.Errorf("more channels than are listed: got %+v", got)
	}
	if got := w.call("GET", "/apps/app-1/channels", "filter_by_prefix=more-", ""); got.status != 200 {
		t.Errorf("fewer: got %+v", got)
	}
}

// A batch is looked at as a whole: if one event is wrong none is published.
func TestBatchIsAllOrNothing(t *testing.T) {
	w := begin(t, pusher.Config{})
	c := w.connect()
	c.join("c")
	if got := w.call("POST", "/apps/app-1/batch_events", "", `{"batch":[{"name":"e","channel":"c","data":"1"},{"name":"","channel":"c","data":"2"}]}`); got.status != 400 || !strings.Contains(got.body, "event 2") {
		t.Errorf("got %+v", got)
	}
	c.quiet()
	if got := w.call("POST", "/apps/app-1/batch_events", "", `{"batch":[{"name":"e","channel":"c","data":"1"},{"name":"e","channel":"c","data":"2"}]}`); got.status != 200 {
		t.Errorf("got %+v", got)
	}
	c.want(`~"data":"1"`, `~"data":"2"`)
}

func TestAPIAuthentication(t *testing.T) {
	w := begin(t, pusher.Config{AuthWindow: 60 * time.Second, RequestRate: 4})
	const path, body = "/apps/app-1/events", `{"name":"e","channel":"c","data":"d"}`
	now := time.Now()
	good := w.sign(key, "POST", path, "", body, now)
	for _, tt := range []struct {
		name, path, query, body string
		status                  int
	}{
		{"good", path, good, body, 200},
		{"with the other key", path, w.sign(next, "POST", path, "", body, now), body, 200},
		{"not signed", path, "", body, 401},
		{"another body", path, good, body + " ", 401},
		{"the secret of another", path, w.sign(pusher.Key{Key: key.Key, Secret: "x"}, "POST", path, "", body, now), body, 401},
		{"sent again later", path, w.sign(key, "POST", path, "", body, now.Add(-2*time.Minute)), body, 401},
		{"no such application", "/apps/other/events", w.sign(key, "POST", "/apps/other/events", "", body, now), body, 404},
		{"an application that is disabled", "/apps/off/events", w.sign(key, "POST", "/apps/off/events", "", body, now), body, 403},
		{"outside", "/other", good, body, 404},
	} {
		if got := w.request("POST", tt.path, tt.query, tt.body); got.status != tt.status {
			t.Errorf("%s: got %+v, want %d", tt.name, got, tt.status)
		}
	}
	for i := 0; ; i++ {
		got := w.call("GET", "/apps/app-1/channels", "", "")
		if got.status == 429 {
			if got.header.Get("Retry-After") == "" {
				t.Error("it is not said when to come again")
			}
			return
		}
		if i > 1000 {
			t.Fatal("there is no end of it")
		}
	}
}

// With RefuseRepeats whoever has overheard a request cannot send it again. Reading may be
// repeated.
func TestRefuseRepeats(t *testing.T) {
	for _, refuse := range []bool{true, false} {
		w := begin(t, pusher.Config{RefuseRepeats: refuse})
		c := w.connect()
		c.join("c")
		const path, body = "/apps/app-1/events", `{"name":"e","channel":"c","data":"1"}`
		query := w.sign(key, "POST", path, "", body, time.Now())
		if got := w.request("POST", path, query, body); got.status != 200 {
			t.Errorf("the first: got %+v", got)
		}
		c.want(`~"data":"1"`)
		if got := w.request("POST", path, query, body); (got.status == 401) != refuse || refuse && !strings.Contains(got.body, "before") {
			t.Errorf("RefuseRepeats is %v: got %+v", refuse, got)
		}
		if !refuse {
			c.want(`~"data":"1"`)
		}
		w.publish(`{"name":"e","channel":"c","data":"2"}`)
		c.want(`~"data":"2"`)
		query = w.sign(key, "GET", "/apps/app-1/channels", "", "", time.Now())
		for range 2 {
			if got := w.request("GET", "/apps/app-1/channels", query, ""); got.status != 200 {
				t.Errorf("reading: got %+v", got)
			}
		}
	}
}

// Where subscriptions are not counted nobody is told how many there are, and asking for it
// is an error, but with an event.
func TestAPIWithoutSubscriptionCounts(t *testing.T) {
	w := begin(t, pusher.Config{})
	w.connect().join("public")
	for _, tt := range []struct {
		method, path, query, body string
		status                    int
		want                      string
	}{
		{"GET", "/channels", "info=subscription_count", "", 400, "does not count"},
		{"GET", "/channels/public", "info=subscription_count", "", 400, "subscription_count"},
		{"GET", "/channels/public", "", "", 200, `{"occupied":true}`},
		{"POST", "/events", "", `{"name":"e","channel":"public","data":"d","info":"subscription_count"}`, 200, `{"channels":{"public":{}}}`},
	} {
		if got := w.call(tt.method, "/apps/app-1"+tt.path, tt.query, tt.body); got.status != tt.status || !strings.Contains(got.body, tt.want) {
			t.Errorf("%s %s?%s: got %+v, want %d %s", tt.method, tt.path, tt.query, got, tt.status, tt.want)
		}
	}
}

// stuck holds up the loop of a connection that sends a message.
type stuck struct{ in, free chan struct{} }

func (s *stuck) OnOpen(*webrocket.Conn, *webrocket.Request) {}
func (s *stuck) OnClose(*webrocket.Conn, error)             {}
func (s *stuck) OnMessage(*webrocket.Conn, webrocket.Opcode, []byte) {
	s.in <- struct{}{}
	<-s.free
}

// Where a loop cannot follow, publishers are told to come again, and later they can.
func TestAPIOverloaded(t *testing.T) {
	hold := &stuck{make(chan struct{}), make(chan struct{})}
	w := beginServer(t, pusher.Config{MaxEventData: 1 << 20}, webrocket.HubConfig{}, func(s *webrocket.Server) {
		s.Config.Loops = 1
		if err := s.Handle("/stuck", at{&webrocket.Endpoint{Protocol: hold}}); err != nil {
			t.Fatal(err)
		}
	})
	c := w.connect()
	c.ws.SetReadLimit(-1)
	c.join("c")
	w.dial("/stuck", nil).say("x")
	<-hold.in
	body := `{"name":"e","channel":"c","data":"` + strings.Repeat("x", 1<<20) + `"}`
	taken := 0
	for {
		got := w.call("POST", "/apps/app-1/events", "", body)
		if got.status == 503 {
			if got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "channel c") {
				t.Errorf("got %+v, want when to come again, and the channel", got)
			}
			break
		}
		if taken++; got.status != 200 || taken > 100 {
			t.Fatalf("event %d: got %+v", taken, got)
		}
	}
	close(hold.free)
	for range taken {
		c.want(`~"event":"e"`)
	}
	waitFor(t, func() bool {
		return w.call("POST", "/apps/app-1/events", "", `{"name":"e","channel":"c","data":"after"}`).status == 200
	})
	c.want(`{"event":"e","channel":"c","data":"after"}`)
}

// Under a prefix a client may sign the path with it or without it, and the name of a
// user with its escapes or without them.
func TestAPIPrefix(t *testing.T) {
	w := begin(t, pusher.Config{})
	apps := &pusher.Apps{Prefix: "/push"}
	apps.Set([]*pusher.App{w.app})
	w.serveAPI(apps)
	for _, tt := range []struct {
		signed, sent string
		status       int
	}{
		{"/push/apps/app-1/channels", "/push/apps/app-1/channels", 200},
		{"/apps/app-1/channels", "/push/apps/app-1/channels", 200},
		{"/apps/app-1/channels", "/apps/app-1/channels", 404},
		{"/other/apps/app-1/channels", "/push/apps/app-1/channels", 401},
	} {
		got := w.request("GET", tt.sent, w.sign(key, "GET", tt.signed, "", "", time.Now()), "")
		if got.status != tt.status {
			t.Errorf("%s, signed as %s: got %+v, want %d", tt.sent, tt.signed, got, tt.status)
		}
	}
	for _, signed := range []string{"/apps/app-1/users/a b/terminate_connections", "/apps/app-1/users/a%20b/terminate_connections"} {
		got := w.request("POST", "/push/apps/app-1/users/a%20b/terminate_connections", w.sign(key, "POST", signed, "", "", time.Now()), "")
		if got.status != 200 {
			t.Errorf("signed as %s: got %+v", signed, got)
		}
	}
}

// What a library sends unescaped is what it has signed: a semicolon separates nothing, and a
// name is the same in any case.
func TestQueryAsSigned(t *testing.T) {
	w := begin(t, pusher.Config{})
	c := w.connect()
	c.join("a;1")
	c.join("other")
	path := "/apps/app-1/channels"
	query, err := url.QueryUnescape(w.sign(key, "GET", path, "filter_by_prefix=a%3B", "", time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{query, strings.Replace(query, "filter_by_prefix", "Filter_By_Prefix", 1)} {
		if got := w.request("GET", path, query, ""); got.status != 200 || got.body != `{"channels":{"a;1":{}}}` {
			t.Errorf("%s: got %+v", query, got)
		}
	}
}

// The id of a user may have what separates the segments of a path, if it is escaped there.
func TestTerminateEscaped(t *testing.T) {
	w := begin(t, pusher.Config{})
	for _, tt := range []struct{ id, escaped string }{
		{"google/1", "google%2F1"}, {"google/2", "google/2"}, {"a b", "a%20b"}, {"50%", "50%25"}, {"a%2Fb", "a%252Fb"}, {"ü?#", "%C3%BC%3F%23"}, {"u/terminate_connections", "u%2Fterminate_connections"},
	} {
		c := w.connect()
		c.say(c.signIn(`{"id":` + quote(tt.id) + `}`))
		c.want(`~signin_success`)
		path := "/apps/app-1/users/" + tt.escaped + "/terminate_connections"
		if got := w.request("POST", path, w.sign(key, "POST", path, "", "{}", time.Now()), "{}"); got.status != 200 {
			t.Errorf("%s: got %+v", tt.id, got)
			continue
		}
		c.want(`~"code":4009`)
		c.wantClose(4009)
	}
}

func TestCheck(t *testing.T) {
	good := pusher.Config{ID: "a", Keys: []pusher.Key{{Key: "k", Secret: "s"}}}
	for name, spoil := range map[string]func(c *pusher.Config){
		"":                      func(*pusher.Config) {},
		"cannot be the ID":      func(c *pusher.Config) { c.ID = "a/b" },
		"needs a key":           func(c *pusher.Config) { c.Keys = nil },
		"cannot be a key":       func(c *pusher.Config) { c.Keys = []pusher.Key{{Key: "a b", Secret: "s"}} },
		"has no secret":         func(c *pusher.Config) { c.Keys = []pusher.Key{{Key: "k"}} },
		"is there twice":        func(c *pusher.Config) { c.Keys = append(c.Keys, c.Keys...) },
		"origin":                func(c *pusher.Config) { c.Origins = []string{"example.com/x"} },
		"MaxChannelName":        func(c *pusher.Config) { c.MaxChannelName = 300 },
		"not the URL":           func(c *pusher.Config) { c.Webhooks = []pusher.Webhook{{URL: "ftp://x"}} },
		`there is no event "x"`: func(c *pusher.Config) { c.Webhooks = []pusher.Webhook{{URL: "http://x", Events: []string{"x"}}} },
	} {
		c := good
		spoil(&c)
		err := c.Check()
		if (err == nil) != (name == "") || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
