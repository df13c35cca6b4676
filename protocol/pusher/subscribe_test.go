package pusher_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// Each kind of channel asks for what it needs.
func TestSubscribe(t *testing.T) {
	w := begin(t, pusher.Config{MaxMembers: 1, MaxMemberInfo: 20, MaxUserID: 5})
	other := w.connect()
	const me = `{"user_id":"1","user_info":{"a":1}}`
	for _, tt := range []struct {
		name, channel string
		args          func(c *client) string // beside the channel; nil: as it should be
		data          string                 // channel_data
		want          string                 // a part of the answer; "" for success
	}{
		{"public", "news", nil, "", ""},
		{"the dash is part of the prefix", "privateer", nil, "", ""},
		{"and so it is here", "presences", nil, "", ""},
		{"private", "private-a", nil, "", ""},
		{"encrypted", "private-encrypted-a", nil, "", ""},
		{"presence", "presence-a", nil, me, ""},
		{"private, with the other key", "private-a", func(c *client) string {
			return `"auth":` + quote(next.SignChannel(c.socket, "private-a", ""))
		}, "", ""},
		{"private, with data that is not signed there", "private-a", func(c *client) string {
			return `"auth":` + quote(key.SignChannel(c.socket, "private-a", "")) + `,"channel_data":` + quote(me)
		}, "", ""},
		{"no signature", "private-a", func(*client) string { return `"auth":""` }, "", `"type":"AuthError"`},
		{"no auth", "private-a", func(*client) string { return `"x":1` }, "", `"type":"AuthError"`},
		{"of another connection", "private-a", func(*client) string {
			return `"auth":` + quote(key.SignChannel(other.socket, "private-a", ""))
		}, "", `"status":401`},
		{"of another channel", "private-a", func(c *client) string {
			return `"auth":` + quote(key.SignChannel(c.socket, "private-b", ""))
		}, "", `"type":"AuthError"`},
		{"of one key, named as of the other", "private-a", func(c *client) string {
			return `"auth":` + quote(strings.Replace(key.SignChannel(c.socket, "private-a", ""), key.Key, next.Key, 1))
		}, "", `"type":"AuthError"`},
		{"encrypted without a signature", "private-encrypted-a", func(*client) string { return `"auth":"x"` }, "", `"type":"AuthError"`},
		{"cached and private without a signature", "private-cache-a", func(*client) string { return `"auth":"x"` }, "", `"type":"AuthError"`},
		{"cached", "cache-a", nil, "", ""},
		{"cached and private", "private-cache-a", nil, "", ""},
		{"cached and encrypted", "private-encrypted-cache-a", nil, "", ""},
		{"cached and presence", "presence-cache-a", nil, me, ""},
		{"cached and encrypted without a signature", "private-encrypted-cache-a", func(*client) string { return `"auth":"x"` }, "", `"type":"AuthError"`},
		{"cached and presence without a signature", "presence-cache-a", func(*client) string {
			return `"auth":"x","channel_data":` + quote(me)
		}, "", `"type":"AuthError"`},
		{"a name of every letter that may be", "aZ09_-=@,.;", nil, "", ""},
		{"as long a name as may be", strings.Repeat("a", 200), nil, "", ""},
		{"presence without data", "presence-a", nil, "", `"type":"AuthError"`},
		{"presence, with data that was not signed", "presence-a", func(c *client) string {
			return `"auth":` + quote(key.SignChannel(c.socket, "presence-a", me)) + `,"channel_data":` + quote(`{"user_id":"2"}`)
		}, "", `"type":"AuthError"`},
		{"presence, with the data spelled in another way", "presence-a", func(c *client) string {
			return `"auth":` + quote(key.SignChannel(c.socket, "presence-a", me)) + `,"channel_data":` + quote(me+" ")
		}, "", `"type":"AuthError"`},
		{"presence, data that is signed with its spaces", "presence-a", nil, ` { "user_id" : "1" } `, ""},
		{"presence without a user", "presence-a", nil, `{"user_info":{}}`, `"type":"AuthError"`},
		{"presence, a user that is a number", "presence-n", nil, `{"user_id":12}`, ""},
		{"presence, a user that is null", "presence-a", nil, `{"user_id":null}`, `"type":"AuthError"`},
		{"presence, no JSON", "presence-a", nil, `1`, `"type":"AuthError"`},
		{"presence, a user with a long name", "presence-a", nil, `{"user_id":"123456"}`, `"type":"LimitReached"`},
		{"presence, a user whose name cannot be shown", "presence-a", nil, `{"user_id":"a\u0001"}`, `"type":"LimitReached"`},
		{"presence, a user with much to tell", "presence-a", nil, `{"user_id":"1","user_info":"12345678901234567890"}`, `"type":"LimitReached"`},
		{"a name with a space", "a b", nil, "", `"type":"InvalidChannel"`},
		{"a long name", strings.Repeat("a", 201), nil, "", `"type":"InvalidChannel"`},
		{"no name", "", nil, "", `"type":"InvalidChannel"`},
		{"a reserved name", "#a", nil, "", `"type":"InvalidChannel"`},
		{"the channel of a user that has not signed in", "#server-to-user-1", nil, "", `"type":"AuthError"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := w.connect()
			c.t = t
			message := c.subscribe(tt.channel, tt.data)
			if tt.args != nil {
				message = `{"event":"pusher:subscribe","data":{"channel":` + quote(tt.channel) + `,` + tt.args(c) + `}}`
			}
			c.say(message)
			if tt.want == "" {
				c.want(`~"event":"pusher_internal:subscription_succeeded","channel":` + quote(tt.channel))
				if strings.Contains(tt.channel, "cache-") {
					c.want(`{"event":"pusher:cache_miss","channel":` + quote(tt.channel) + `,"data":"{}"}`)
				}
			} else {
				got := c.next()
				begin := `{"event":"pusher:subscription_error","channel":` + quote(tt.channel) + `,"data":{`
				if !strings.HasPrefix(got, begin) || !strings.Contains(got, tt.want) {
					t.Errorf("got  %s\nwant %s with %s", got, begin, tt.want)
				}
				// Clients that only listen for errors see what is wrong.
				code := "null"
				if strings.Contains(tt.want, "AuthError") || strings.Contains(tt.want, "401") {
					code = "4009"
				}
				c.want(`~"code":` + code + `}`)
			}
			c.quiet() // in any case the connection stays
			c.say(`{"event":"pusher:unsubscribe","data":{"channel":` + quote(tt.channel) + `}}`)
			c.quiet()
		})
	}
}

func TestPublicChannel(t *testing.T) {
	w := begin(t, pusher.Config{})
	a, b := w.connect(), w.connect()
	a.join("news")
	b.join("news")
	w.publish(`{"name":"greet","channel":"news","data":"{\"hello\":\"wörld\"}"}`)
	const event = `{"event":"greet","channel":"news","data":"{\"hello\":\"wörld\"}"}`
	a.want(event)
	b.want(event)
	a.say(a.subscribe("news")) // once more changes nothing
	a.want(succeeded("news"))
	w.publish(`{"name":"greet","channels":["news","other"],"data":"x"}`)
	a.want(`{"event":"greet","channel":"news","data":"x"}`)
	a.say(`{"event":"pusher:unsubscribe","data":{"channel":"news"}}`)
	a.quiet()
	w.publish(`{"name":"greet","channel":"news","data":"y"}`)
	b.want(`{"event":"greet","channel":"news","data":"x"}`, `{"event":"greet","channel":"news","data":"y"}`)
	a.quiet()
}

// The one that a publisher names does not get the event, whichever loop it is on.
func TestExcept(t *testing.T) {
	w := begin(t, pusher.Config{})
	var all []*client
	for range 4 {
		c := w.connect()
		c.join("news")
		all = append(all, c)
	}
	for i, out := range all {
		w.publish(fmt.Sprintf(`{"name":"e","channel":"news","data":"%d","socket_id":%q}`, i, out.socket))
	}
	// These are of no connection; the second is of one before a restart.
	w.publish(`{"name":"e","channel":"news","data":"8","socket_id":"1.1"}`)
	before, _, _ := strings.Cut(all[0].socket, ".")
	w.publish(`{"name":"e","channel":"news","data":"9","socket_id":"` + before + `.1"}`)
	for i, c := range all {
		for n := range len(all) {
			if n != i {
				c.want(fmt.Sprintf(`{"event":"e","channel":"news","data":"%d"}`, n))
			}
		}
		c.want(`{"event":"e","channel":"news","data":"8"}`, `{"event":"e","channel":"news","data":"9"}`)
	}
}

// Members know each other by user: a second tab is nothing new.
func TestPresence(t *testing.T) {
	w := begin(t, pusher.Config{MaxMembers: 2})
	ann, tab, bob := w.connect(), w.connect(), w.connect()
	ann.say(ann.subscribe("presence-room", `{"user_id":"ann","user_info":{"name":"Ann"}}`))
	ann.want(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","data":"{\"presence\":{\"ids\":[\"ann\"],\"hash\":{\"ann\":{\"name\":\"Ann\"}},\"count\":1}}"}`)
	tab.say(tab.subscribe("presence-room", `{"user_id":"ann","user_info":{"name":"Ann"}}`))
	tab.want(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","data":"{\"presence\":{\"ids\":[\"ann\"],\"hash\":{\"ann\":{\"name\":\"Ann\"}},\"count\":1}}"}`)
	bob.say(bob.subscribe("presence-room", `{"user_id":7}`))
	bob.want(`{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","data":"{\"presence\":{\"ids\":[\"ann\",\"7\"],\"hash\":{\"ann\":{\"name\":\"Ann\"},\"7\":null},\"count\":2}}"}`)
	const added = `{"event":"pusher_internal:member_added","channel":"presence-room","data":"{\"user_id\":\"7\",\"user_info\":null}"}`
	ann.want(added) // and nothing of the second tab
	tab.want(added)

	third := w.connect()
	third.say(third.subscribe("presence-room", `{"user_id":"third"}`))
	third.want(`~"type":"LimitReached"`, `~"event":"pusher:error"`)
	third.join("presence-room", `{"user_id":"ann"}`) // who is no further member
	third.say(`{"event":"pusher:unsubscribe","data":{"channel":"presence-room"}}`)
	third.quiet()

	ann.say(ann.subscribe("presence-room", `{"user_id":"ann","user_info":{"name":"Ann"}}`))
	ann.want(`~"count\":2`)
	_ = tab.ws.CloseNow()
	waitFor(t, func() bool { return w.server.Connections() == 3 })
	bob.say(`{"event":"pusher:unsubscribe","data":{"channel":"presence-room"}}`)
	ann.want(`{"event":"pusher_internal:member_removed","channel":"presence-room","data":"{\"user_id\":\"7\"}"}`)
	bob.join("presence-room", `{"user_id":"bob"}`)
	ann.want(`~"event":"pusher_internal:member_added"`)
	_ = ann.ws.CloseNow()
	bob.want(`{"event":"pusher_internal:member_removed","channel":"presence-room","data":"{\"user_id\":\"ann\"}"}`)
	bob.quiet()
}

// Whoever joins sees everyone that was there, and everyone sees whoever comes after
// them, however many do it at the same time.
func TestPresenceIsExact(t *testing.T) {
	w := begin(t, pusher.Config{})
	const n = 20
	var all []*client
	for range n {
		all = append(all, w.connect())
	}
	begun := make(chan struct{})
	known := make(chan map[string]int, n)
	for i, c := range all {
		go func() {
			<-begun
			c.say(c.subscribe("presence-room", fmt.Sprintf(`{"user_id":"u%d"}`, i)))
			seen := make(map[string]int)
			first := c.next()
			for j := range n {
				if strings.Contains(first, fmt.Sprintf(`\"u%d\":null`, j)) {
					seen[fmt.Sprint(j)]++
				}
			}
			for len(seen) < n {
				seen[strings.Split(c.next(), `\"`)[3][1:]]++
			}
			known <- seen
		}()
	}
	close(begun)
	for range n {
		for user, times := range <-known {
			if times != 1 {
				t.Errorf("a member was told of %s %d times, want once", user, times)
			}
		}
	}
}

// What happened before a client joins is in the answer, or in the cache, and does not come
// once more, however much the loop has still to deliver.
func TestNothingOfBefore(t *testing.T) {
	t.Run("without a history", func(t *testing.T) { nothingOfBefore(t, webrocket.HubConfig{}) })
	t.Run("with one", func(t *testing.T) {
		kept := webrocket.History{Size: 10, TTL: time.Minute}
		nothingOfBefore(t, webrocket.HubConfig{Rules: []webrocket.Rule{{Match: "**", History: kept, Rewind: 5}}})
	})
}

func nothingOfBefore(t *testing.T, rules webrocket.HubConfig) {
	hold := &stuck{make(chan struct{}), make(chan struct{})}
	w := beginServer(t, pusher.Config{}, rules, func(s *webrocket.Server) {
		s.Config.Loops = 1
		if err := s.Handle("/stuck", at{&webrocket.Endpoint{Protocol: hold}}); err != nil {
			t.Fatal(err)
		}
	})
	ann, bob, eve := w.connect(), w.connect(), w.connect()
	ann.join("presence-room", `{"user_id":"ann"}`)
	ann.join("cache-c")
	ann.want(`~pusher:cache_miss`)
	w.dial("/stuck", nil).say("x")
	<-hold.in // what follows is done in one turn of the loop
	bob.say(bob.subscribe("presence-room", `{"user_id":"bob"}`), bob.subscribe("cache-c"))
	eve.say(eve.subscribe("presence-room", `{"user_id":"eve"}`), eve.subscribe("cache-c"))
	w.publish(`{"name":"e","channel":"cache-c","data":"1"}`)
	close(hold.free)
	ids := make(map[string]int)
	for name, c := range map[string]*client{"bob": bob, "eve": eve} {
		first := c.next()
		for _, id := range []string{"ann", "bob", "eve"} {
			ids[name+" "+id] += strings.Count(first, `\"`+id+`\":null`)
		}
		c.want(succeeded("cache-c"), `{"event":"e","channel":"cache-c","data":"1"}`)
	}
	for name, c := range map[string]*client{"ann": ann, "bob": bob, "eve": eve} {
		c.say(`{"event":"pusher:ping"}`)
		for text := c.next(); !strings.Contains(text, "pusher:pong"); text = c.next() {
			switch {
			case strings.Contains(text, "member_added"):
				ids[name+" "+strings.Split(text, `\"`)[3]]++
			case name != "ann":
				t.Errorf("%s: got %s, which it has had", name, text)
			}
		}
	}
	for _, who := range []string{"ann bob", "ann eve", "bob ann", "bob bob", "bob eve", "eve ann", "eve bob", "eve eve"} {
		if ids[who] != 1 {
			t.Errorf("%s: was told %d times, want once", who, ids[who])
		}
	}
}

func TestClientEvents(t *testing.T) {
	w := begin(t, pusher.Config{ClientEvents: true, ClientEventRate: 5, MaxEventData: 20})
	a, b, outsider := w.connect(), w.connect(), w.connect()
	for _, c := range []*client{a, b} {
		c.join("private-c")
		c.join("public")
		c.join("private-encrypted-c")
	}
	a.join("presence-c", `{"user_id":"ann"}`)
	b.join("presence-c", `{"user_id":"bob"}`)
	a.want(`~member_added`)
	for _, tt := range []struct{ name, say, want string }{
		{"an object", `{"event":"client-e","channel":"private-c","data":{"a":1}}`, `{"event":"client-e","channel":"private-c","data":"{\"a\":1}"}`},
		{"a string", `{"event":"client-e","channel":"private-c","data":"{\"a\":1}"}`, `{"event":"client-e","channel":"private-c","data":"{\"a\":1}"}`},
		{"no data", `{"event":"client-e","channel":"private-c"}`, `{"event":"client-e","channel":"private-c"}`},
		{
			"who it is comes from the subscription, and nothing else of the message is passed on",
			`{"event":"client-e","channel":"presence-c","data":1,"user_id":"bob","socket_id":"1.1","x":"y"}`,
			`{"event":"client-e","channel":"presence-c","data":"1","user_id":"ann"}`,
		},
		{
			"nor where there is no presence",
			`{"event":"client-e","channel":"private-c","data":1,"user_id":"bob"}`, `{"event":"client-e","channel":"private-c","data":"1"}`,
		},
	} {
		a.say(tt.say)
		b.want(tt.want)
	}
	a.quiet() // it does not hear itself
	a.say(`{"event":"client-e","channel":"private-c","data":1}`)
	a.want(`{"event":"pusher:error","channel":"private-c","data":{"message":"more than 5 client events in a second","code":4301}}`)
	for _, tt := range []struct{ name, say string }{
		{"not a client event", `{"event":"e","channel":"private-c","data":1}`},
		{"a public channel", `{"event":"client-e","channel":"public","data":1}`},
		{"a channel without a subscription", `{"event":"client-e","channel":"private-other","data":1}`},
		{"no channel", `{"event":"client-e","data":1}`},
		{"a long name", `{"event":"client-` + strings.Repeat("e", 200) + `","channel":"private-c","data":1}`},
		{"much data", `{"event":"client-e","channel":"private-c","data":"123456789012345678901"}`},
	} {
		b.say(tt.say)
		b.want(`~"code":4301`)
	}
	// Escapes are not counted: the data has 20 bytes.
	b.say(`{"event":"client-e","channel":"private-c","data":"` + strings.Repeat(`\"`, 20) + `"}`)
	a.want(`{"event":"client-e","channel":"private-c","data":"` + strings.Repeat(`\"`, 20) + `"}`)
	b.say(`{"event":"client-e","channel":"private-c","data":"` + strings.Repeat(`\"`, 21) + `"}`)
	b.want(`~"code":4301`)
	outsider.say(`{"event":"client-e","channel":"private-c","data":1}`)
	outsider.want(`~"code":4301`)
	b.say(`{"event":"client-e","channel":"private-encrypted-c","data":1}`)
	a.want(`{"event":"client-e","channel":"private-encrypted-c","data":"1"}`)
	b.quiet()

	off := begin(t, pusher.Config{})
	c := off.connect()
	c.join("private-c")
	c.say(`{"event":"client-e","channel":"private-c","data":1}`)
	c.want(`~the application takes no client events`)
}

// A subscriber of a cache channel gets the last event behind the success, once, however
// old the channel is.
func TestCache(t *testing.T) {
	w := begin(t, pusher.Config{ClientEvents: true})
	a := w.connect()
	a.join("cache-c")
	a.want(`{"event":"pusher:cache_miss","channel":"cache-c","data":"{}"}`)
	w.publish(fmt.Sprintf(`{"name":"e","channel":"cache-c","data":"1","socket_id":%q}`, a.socket))
	a.quiet()
	b := w.connect()
	b.say(b.subscribe("cache-c"))
	b.want(succeeded("cache-c"), `{"event":"e","channel":"cache-c","data":"1"}`)
	for _, c := range []*client{a, b} {
		_ = c.ws.CloseNow()
	}
	waitFor(t, func() bool { return w.server.Connections() == 0 })
	a, b = w.connect(), w.connect()
	a.join("cache-c") // nobody was there in between
	a.want(`{"event":"e","channel":"cache-c","data":"1"}`)
	w.publish(`{"name":"e","channel":"private-cache-c","data":"{\"n\":2}"}`)
	for _, c := range []*client{a, b} {
		c.join("private-cache-c")
		c.want(`{"event":"e","channel":"private-cache-c","data":"{\"n\":2}"}`)
	}
	a.say(`{"event":"client-e","channel":"private-cache-c","data":3}`)
	b.want(`~client-e`)
	b.say(`{"event":"pusher:unsubscribe","data":{"channel":"private-cache-c"}}`)
	b.join("private-cache-c")
	b.want(`{"event":"e","channel":"private-cache-c","data":"{\"n\":2}"}`) // what clients send is not kept
	b.join("presence-cache-c", `{"user_id":"1"}`)
	b.want(`~pusher:cache_miss`)
	b.quiet()
}

// What is kept does not last for ever, and does not take all memory.
func TestCacheEnds(t *testing.T) {
	w := begin(t, pusher.Config{CacheTTL: time.Nanosecond})
	w.publish(`{"name":"e","channel":"cache-c","data":"1"}`)
	c := w.connect()
	c.join("cache-c")
	c.want(`~pusher:cache_miss`)

	w = begin(t, pusher.Config{})
	w.publish(`{"name":"e","channel":"cache-c","data":"1"}`)
	bytes := w.apps.Stats()[0].CachedBytes
	w.publish(`{"name":"e","channel":"cache-c","data":"2"}`) // in its place
	if got := w.apps.Stats()[0].CachedBytes; got != bytes || bytes == 0 {
		t.Errorf("an event has %d bytes, the next one in its place %d", bytes, got)
	}

	w = begin(t, pusher.Config{MaxCacheBytes: 10_000})
	for i := range 100 {
		w.publish(fmt.Sprintf(`{"name":"e","channel":"cache-%d","data":%q}`, i, strings.Repeat("x", 1000)))
	}
	c = w.connect()
	kept := 0
	for i := range 100 {
		c.join(fmt.Sprintf("cache-%d", i))
		if strings.Contains(c.next(), "xxx") {
			kept++
		}
	}
	if kept < 5 || kept > 10 {
		t.Errorf("%d events are kept in 10,000 bytes", kept)
	}
}

func TestSubscriptionCounts(t *testing.T) {
	w := begin(t, pusher.Config{SubscriptionCounts: true})
	count := func(n int) string {
		return fmt.Sprintf(`{"event":"pusher_internal:subscription_count","channel":"c","data":"{\"subscription_count\":%d}"}`, n)
	}
	a, b := w.connect(), w.connect()
	a.join("c")
	a.want(count(1))
	b.join("c")
	a.want(count(2))
	b.want(count(2))
	b.say(`{"event":"pusher:unsubscribe","data":{"channel":"c"}}`)
	a.want(count(1))
	b.join("presence-c", `{"user_id":"1"}`)
	b.quiet()
}

func TestSignIn(t *testing.T) {
	w := begin(t, pusher.Config{})
	c := w.connect()
	for _, tt := range []struct{ name, data string }{
		{"no id", `{"name":"x"}`},
		{"an empty id", `{"id":""}`},
		{"an id that is a number", `{"id":1}`},
		{"no object", `"1"`},
		{"a watchlist that is none", `{"id":"1","watchlist":1}`},
		{"a long id", `{"id":"` + strings.Repeat("1", 201) + `"}`},
		{"an id with a line end", `{"id":"1\n"}`},
		{"much to tell", `{"id":"1","user_info":"` + strings.Repeat("x", 1024) + `"}`},
	} {
		c.say(c.signIn(tt.data))
		c.want(`~"code":4009`)
	}
	c.say(`{"event":"pusher:signin","data":{"auth":"app-key:00","user_data":"{\"id\":\"1\"}"}}`)
	c.want(`~"code":4009`)
	for range 2 { // the same user once more is no error
		c.say(c.signIn(`{"id":"1","user_info":{"name":"Ann"}}`))
		c.want(`{"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"1\",\"user_info\":{\"name\":\"Ann\"}}"}}`)
	}
	c.say(c.signIn(`{"id":"2"}`))
	c.want(`~"code":4009`)
	c.say(c.subscribe("#server-to-user-2"))
	c.want(`~"type":"AuthError"`, `~pusher:error`)
	c.join("#server-to-user-1")
	w.publish(`{"name":"e","channel":"#server-to-user-1","data":"x"}`)
	c.want(`{"event":"e","channel":"#server-to-user-1","data":"x"}`)
	c.say(c.subscribe("presence-c")) // who signed in needs no channel_data
	c.want(`~{\"ids\":[\"1\"],\"hash\":{\"1\":{\"name\":\"Ann\"}},\"count\":1}`)

	tab, other := w.connect(), w.connect()
	tab.say(tab.signIn(`{"id":"1"}`))
	tab.want(`~signin_success`)
	other.say(other.signIn(`{"id":"2"}`))
	other.want(`~signin_success`)
	if got := w.call("POST", "/apps/app-1/users/1/terminate_connections", "", "{}"); got.status != 200 || got.body != "{}" {
		t.Fatalf("got %+v", got)
	}
	for _, c := range []*client{c, tab} {
		c.want(`~"code":4009`)
		c.wantClose(4009)
	}
	other.quiet()
	if got := w.call("POST", "/apps/app-1/users/nobody/terminate_connections", "", ""); got.status != 200 {
		t.Errorf("a user that is not there: got %+v", got)
	}
}

func TestWatchlist(t *testing.T) {
	w := begin(t, pusher.Config{Watchlist: true, MaxWatchlist: 2})
	events := func(list string) string {
		return `{"event":"pusher_internal:watchlist_events","data":` + quote(`{"events":[`+list+`]}`) + `}`
	}
	ann, bob := w.connect(), w.connect()
	bob.say(bob.signIn(`{"id":"bob"}`))
	bob.want(`~signin_success`)
	ann.say(ann.signIn(`{"id":"ann","watchlist":["bob","eve"]}`))
	ann.want(`~signin_success`, events(`{"name":"online","user_ids":["bob"]},{"name":"offline","user_ids":["eve"]}`))
	eve, tab := w.connect(), w.connect()
	eve.say(eve.signIn(`{"id":"eve"}`))
	ann.want(events(`{"name":"online","user_ids":["eve"]}`))
	tab.say(tab.signIn(`{"id":"eve"}`)) // nothing new
	tab.want(`~signin_success`)
	_ = eve.ws.CloseNow()
	waitFor(t, func() bool { return w.server.Connections() == 3 })
	_ = tab.ws.CloseNow()
	ann.want(events(`{"name":"offline","user_ids":["eve"]}`))
	bob.quiet()
	long := w.connect()
	long.say(long.signIn(`{"id":"long","watchlist":["a","b","c"]}`))
	long.want(`~signin_success`, `~"code":4302`, events(`{"name":"offline","user_ids":["a","b"]}`))
	twice := w.connect()
	twice.say(twice.signIn(`{"id":"twice","watchlist":["bob","bob"]}`))
	twice.want(`~signin_success`, events(`{"name":"online","user_ids":["bob"]}`))

	off := begin(t, pusher.Config{}).connect()
	off.say(off.signIn(`{"id":"ann","watchlist":["bob"]}`))
	off.want(`~signin_success`)
	off.quiet()
}

// A hub may be served in both protocols. What one publishes the other hears, in its own
// words; private channels and what clients of Pusher are told about a channel are not
// for those of the native protocol.
func TestSharedHub(t *testing.T) {
	w := beginWith(t, pusher.Config{ClientEvents: true, SubscriptionCounts: true}, webrocket.HubConfig{}, webrocket.Config{Loops: 2})
	n := w.dial("/native", nil)
	n.say(`{"auth":{"access":"read-write","secret":""}}`, `{"subscribe":{"channel":"c"}}`)
	n.want(`~"ok":true`, `~"ok":true`)
	p := w.connect()
	p.join("c")
	p.want(`~"subscription_count\":1`)
	for _, tt := range []struct{ name, api, native, pusher string }{
		{"an object", `"{\"a\":1}"`, `{"a":1}`, `"{\"a\":1}"`},
		{"a text", `"hello"`, `"hello"`, `"hello"`},
		{"a number in a text", `"12"`, `"12"`, `"12"`},
	} {
		w.publish(`{"name":"e","channel":"c","data":` + tt.api + `}`)
		n.want(`{"event":"e","channel":"c","data":` + tt.native + `}`)
		p.want(`{"event":"e","channel":"c","data":` + tt.pusher + `}`)
	}
	for _, tt := range []struct{ name, data, pusher string }{
		{"an object", `{"a":1}`, `"{\"a\":1}"`},
		{"a text", `"hello"`, `"hello"`},
		{"a number", `12`, `"12"`},
	} {
		n.say(`{"publish":{"event":"e","channel":"c","data":` + tt.data + `}}`)
		n.want(`{"ok":true}`, `{"event":"e","channel":"c","data":`+tt.data+`}`)
		p.want(`{"event":"e","channel":"c","data":` + tt.pusher + `}`)
	}
	for _, channel := range []string{"private-c", "presence-c", "#server-to-user-1"} {
		n.say(`{"subscribe":{"channel":` + quote(channel) + `}}`)
		n.want(`~"err":"access_denied"`)
		n.say(`{"publish":{"event":"e","channel":` + quote(channel) + `,"data":1}}`)
		n.want(`~"err":"access_denied"`)
	}
}

// What the server says of its own to clients of Pusher, nobody else can say to them: not a
// client of the native protocol in a hub that is shared, and not a backend.
func TestForgedEvents(t *testing.T) {
	w := beginWith(t, pusher.Config{}, webrocket.HubConfig{}, webrocket.Config{Loops: 1})
	n := w.dial("/native", nil)
	n.say(`{"auth":{"access":"read-write","secret":""}}`)
	n.want(`~"ok":true`)
	p := w.connect()
	p.join("c")
	for _, event := range []string{"pusher:signin_success", "pusher:error", "pusher_internal:watchlist_events", "pusher_internal:member_added"} {
		n.say(`{"publish":{"event":"` + event + `","channel":"c","data":{"user_data":"{\"id\":\"1\"}"}}}`)
		n.want(`{"ok":true}`)
		body := `{"name":"` + event + `","channel":"cache-c","data":"x"}`
		if got := w.call("POST", "/apps/app-1/events", "", body); got.status != 400 {
			t.Errorf("%s from a backend: got %+v, want 400", event, got)
		}
	}
	n.say(`{"publish":{"event":"pusher","channel":"c","data":1}}`)
	p.want(`{"event":"pusher","channel":"c","data":"1"}`)
}

// That events of another process are missing is told to clients of the native protocol.
// The Pusher protocol has no words for it: its clients get nothing, and no event without
// a name.
func TestMissingEvents(t *testing.T) {
	w := begin(t, pusher.Config{})
	n := w.dial("/native", nil)
	n.say(`{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"c"}}`)
	n.want(`~"ok":true`, `~"ok":true`)
	p := w.connect()
	p.join("c")
	w.hub.Lose("c", 2)
	w.publish(`{"name":"e","channel":"c","data":"after"}`)
	n.want(`~"lost":2`, `~"event":"e"`)
	p.want(`{"event":"e","channel":"c","data":"after"}`)
}

// Who loses a subscription, or is given one, without having asked is told so, and
// counted right.
func TestSubscribedByTheServer(t *testing.T) {
	w := begin(t, pusher.Config{})
	a, b := w.connect(), w.connect()
	a.join("presence-c", `{"user_id":"ann"}`)
	b.join("presence-c", `{"user_id":"bob"}`)
	a.want(`~member_added`)
	rules := w.app.Hub().Config()
	rules.Rules = []webrocket.Rule{{Match: "presence-**", Subscribe: webrocket.Nobody, Publish: webrocket.Nobody}}
	native := webrocket.NewJSONHandler()
	native.HubConfig = rules
	h, err := webrocket.NewHub("app", rules)
	if err != nil {
		t.Fatal(err)
	}
	native.HubConfig, native.Hub = webrocket.HubConfig{}, h
	handlers := map[string]webrocket.Handler{"/native": native}
	for _, path := range w.apps.Paths(w.app.Config()) {
		handlers[path] = at{w.app.Endpoint(webrocket.Endpoint{})}
	}
	if err := w.server.Reload(webrocket.Config{}, handlers); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{a, b} {
		for text := ""; !strings.Contains(text, `"event":"pusher:subscription_error","channel":"presence-c"`); text = c.next() {
		}
	}
	a.say(a.subscribe("presence-c", `{"user_id":"ann"}`))
	a.want(`~"type":"AuthError"`, `~pusher:error`)
	if got := w.call("GET", "/apps/app-1/channels", "", ""); got.body != `{"channels":{}}` {
		t.Errorf("got %+v, want no channel", got)
	}
}

// What the operator subscribes a client to it hears, and is counted there. A presence channel
// it cannot be given: nobody knows as whom it would be there.
func TestGivenByTheServer(t *testing.T) {
	w := beginWith(t, pusher.Config{}, webrocket.HubConfig{OnConnect: func(*webrocket.HubRequest) (*webrocket.Identity, error) {
		return &webrocket.Identity{User: "ann"}, nil
	}}, webrocket.Config{Loops: 1})
	c := w.connect()
	ann := webrocket.Sessions{User: "ann"}
	for _, channel := range []string{"news", "presence-room"} {
		if _, err := w.server.SubscribeSessions(t.Context(), "/native", ann, channel); err != nil {
			t.Fatal(err)
		}
	}
	c.want(succeeded("news"))
	c.quiet()
	w.publish(`{"name":"e","channels":["news","presence-room"],"data":"1"}`)
	c.want(`{"event":"e","channel":"news","data":"1"}`)
	c.quiet()
	if got := w.call("GET", "/apps/app-1/channels", "", ""); got.body != `{"channels":{"news":{}}}` {
		t.Errorf("got %+v, want news alone", got)
	}
	if _, err := w.server.UnsubscribeSessions(t.Context(), "/native", ann, "news"); err != nil {
		t.Fatal(err)
	}
	c.want(`~"event":"pusher:subscription_error","channel":"news"`)
	if got := w.call("GET", "/apps/app-1/channels", "", ""); got.body != `{"channels":{}}` {
		t.Errorf("got %+v, want no channel", got)
	}
}

// An event is compressed for those that have agreed to it, and is the same event.
func TestCompressed(t *testing.T) {
	w := begin(t, pusher.Config{})
	c := w.connect() // the client offers it
	c.join("c")
	long := strings.Repeat("x", 5000)
	w.publish(`{"name":"e","channel":"c","data":"` + long + `"}`)
	c.want(`{"event":"e","channel":"c","data":"` + long + `"}`)
}

// Settings change while connections stay.
func TestObey(t *testing.T) {
	w := begin(t, pusher.Config{})
	c := w.connect()
	c.join("private-c")
	change := w.app.Config()
	change.ClientEvents, change.Keys = true, []pusher.Key{next}
	if err := w.app.Obey(change); err != nil {
		t.Fatal(err)
	}
	other := w.dial("/app/next-key?protocol=7", nil)
	other.established()
	other.say(other.subscribe("private-c")) // signed with the key that is gone
	other.want(`~"type":"AuthError"`, `~pusher:error`)
	other.say(`{"event":"pusher:subscribe","data":{"channel":"private-c","auth":` + quote(next.SignChannel(other.socket, "private-c", "")) + `}}`)
	other.want(succeeded("private-c"))
	other.say(`{"event":"client-e","channel":"private-c","data":1}`)
	c.want(`~client-e`)
	late := w.dial("/app/app-key?protocol=7", nil)
	late.want(`~"code":4001`)
	late.wantClose(4001)
	if got := w.call("GET", "/apps/app-1/channels", "", ""); got.status != 401 {
		t.Errorf("the API with the key that is gone: got %+v", got)
	}
	change.ID = "other"
	if w.app.Obey(change) == nil {
		t.Error("the ID has changed")
	}
}

// Who reads so slowly that being told of the end of subscriptions ends the connection leaves
// nothing behind: no member, and no channel.
func TestSubscriptionsEndOfSlowReader(t *testing.T) {
	w := beginWith(t, pusher.Config{}, webrocket.HubConfig{MaxSubscriptions: 5000}, webrocket.Config{Loops: 1, SendBuffer: 4096})
	c := w.connect()
	for i := range 2000 {
		c.join("presence-"+strings.Repeat("x", 180)+strconv.Itoa(i), `{"user_id":"ann"}`)
	}
	rules := w.app.Hub().Config()
	rules.Rules = []webrocket.Rule{{Match: "presence-**", Subscribe: webrocket.Nobody, Publish: webrocket.Nobody}}
	h, err := webrocket.NewHub("app", rules)
	if err != nil {
		t.Fatal(err)
	}
	native := webrocket.NewJSONHandler()
	native.Hub = h
	handlers := map[string]webrocket.Handler{"/native": native}
	for _, path := range w.apps.Paths(w.app.Config()) {
		handlers[path] = at{w.app.Endpoint(webrocket.Endpoint{MaxQueuedBytes: 1})}
	}
	if err := w.server.Reload(webrocket.Config{}, handlers); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return w.call("GET", "/apps/app-1/connections", "", "").body == `{"connections":0}` })
	if got := w.call("GET", "/apps/app-1/channels", "", ""); got.body != `{"channels":{}}` {
		t.Errorf("%d channels are left", strings.Count(got.body, "presence-"))
	}
}
