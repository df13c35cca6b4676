package webrocket_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
)

// presenceRules are those of the documentation, and some more.
var presenceRules = []webrocket.Rule{
	{Match: "room:*", Presence: webrocket.Presence{Mode: webrocket.PresenceUsers}},
	{Match: "desk:*", Presence: webrocket.Presence{Mode: webrocket.PresenceClients}},
	{Match: "crowd:*", Presence: webrocket.Presence{Mode: webrocket.PresenceClients, MaxListed: 1, MaxMembers: 2}},
	{Match: "late:*", Presence: webrocket.Presence{Mode: webrocket.PresenceUsers, LeaveAfter: time.Hour}},
	{Match: "secret:*", Presence: webrocket.Presence{Mode: webrocket.PresenceClients}, ReadPresence: webrocket.Nobody},
}

// presenceHub is a hub for the tokens that people returns.
func presenceHub(t testing.TB) *webrocket.HubHandler {
	h := tokenHub(t)
	h.Secrets = webrocket.Credentials{ReadOnly: "r", ReadWrite: "rw"}
	h.Rules = presenceRules
	return h
}

// people replaces the tokens of Ann and Bob, as the documentation writes them, by
// tokens that are valid, and another one of Ann, who may only subscribe.
func people(t testing.TB) *strings.Replacer {
	var pairs []string
	for user, name := range map[string]string{"42": "Ann", "43": "Bob"} {
		pairs = append(pairs, "eyJ…"+name, signed(t, auth.Claims{
			User: user, Info: json.RawMessage(`{"name":"` + name + `"}`),
			Channels: grants("*", auth.Subscribe|auth.Publish|auth.Presence),
		}))
	}
	pairs = append(pairs, "eyJ…Less", signed(t, auth.Claims{User: "42", Channels: grants("*", auth.Subscribe)}))
	return strings.NewReplacer(pairs...)
}

func TestPresence(t *testing.T) {
	for _, tt := range []struct{ name, dialogue string }{
		{"connections", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true,"client":"aaaaaaaaaaa"}
			a > {"subscribe":{"channel":"desk:1","presence":true},"id":1}
			a < {"ok":true,"id":1,"version":1,"clients":1,"users":0}
			b > {"auth":{"token":"eyJ…Bob"}}
			b < {"ok":true,"client":"bbbbbbbbbbb","user":"43","expires":3600}
			b > {"subscribe":{"channel":"desk:1"}}
			b < {"ok":true}
			a < {"presence":{"from":1,"version":2,"clients":2,"users":1,"joined":[{"client":"bbbbbbbbbbb","user":"43","info":{"name":"Bob"},"at":2}]},"channel":"desk:1"}
			b > {"presence":{"channel":"desk:1"},"id":"who"}
			b < {"ok":true,"id":"who","version":2,"clients":2,"users":1,"members":[{"client":"aaaaaaaaaaa","at":1},{"client":"bbbbbbbbbbb","user":"43","info":{"name":"Bob"},"at":2}],"more":false}
			b > {"unsubscribe":{"channel":"desk:1"}}
			b < {"ok":true}
			a < {"presence":{"from":2,"version":3,"clients":1,"users":0,"left":[{"client":"bbbbbbbbbbb","user":"43","at":3}]},"channel":"desk:1"}
			b > {"presence":{"channel":"desk:1","limit":0}}
			b < {"ok":true,"version":3,"clients":1,"users":0}`},
		{"users, with two tabs", `
			a > {"auth":{"token":"eyJ…Ann"}}
			a ? "user":"42"
			a > {"subscribe":{"channel":"room:1","presence":true}}
			a < {"ok":true,"version":1,"clients":1,"users":1}
			tab > {"auth":{"token":"eyJ…Ann"}}
			tab ? "user":"42"
			tab > {"subscribe":{"channel":"room:1"}}
			tab < {"ok":true}
			b > {"auth":{"token":"eyJ…Bob"}}
			b ? "user":"43"
			b > {"subscribe":{"channel":"room:1","presence":true}}
			b < {"ok":true,"version":2,"clients":3,"users":2}
			a < {"presence":{"from":1,"version":2,"clients":3,"users":2,"joined":[{"user":"43","info":{"name":"Bob"},"at":2}]},"channel":"room:1"}
			# somebody who joins where others watch is told of that, too
			b < {"presence":{"from":1,"version":2,"clients":3,"users":2,"joined":[{"user":"43","info":{"name":"Bob"},"at":2}]},"channel":"room:1"}
			a > {"logout":true}
			a < {"ok":true}
			b > {"presence":{"channel":"room:1"}}
			b < {"ok":true,"version":2,"clients":2,"users":2,"members":[{"user":"42","info":{"name":"Ann"},"at":1},{"user":"43","info":{"name":"Bob"},"at":2}],"more":false}
			tab > {"disconnect":true}
			tab < {"ok":true}
			tab ! 1000
			b < {"presence":{"from":2,"version":3,"clients":1,"users":1,"left":[{"user":"42","at":3}]},"channel":"room:1"}`},
		{"the right ends", `
			a > {"auth":{"token":"eyJ…Ann"}}
			a ? "user":"42"
			a > {"subscribe":{"channel":"room:1","presence":true}}
			a < {"ok":true,"version":1,"clients":1,"users":1}
			a > {"auth":{"token":"eyJ…Less"},"id":1}
			a ? "id":1
			a < {"presenceEnded":"access_denied","channel":"room:1"}
			b > {"auth":{"token":"eyJ…Bob"}}
			b ? "user":"43"
			b > {"subscribe":{"channel":"room:1"}}
			b < {"ok":true}
			b > {"publish":{"event":"e","channel":"room:1"}}
			b < {"ok":true}
			b < {"event":"e","channel":"room:1"}
			a < {"event":"e","channel":"room:1"}`},
		{"pages", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true,"client":"aaaaaaaaaaa"}
			a > {"subscribe":{"channel":"crowd:1"}}
			a < {"ok":true}
			b > {"auth":{"access":"read-only","secret":"r"}}
			b < {"ok":true,"client":"bbbbbbbbbbb"}
			b > {"subscribe":{"channel":"crowd:1"}}
			b < {"ok":true}
			a > {"presence":{"channel":"crowd:1","limit":1}}
			a < {"ok":true,"version":2,"clients":2,"users":0,"members":[{"client":"aaaaaaaaaaa","at":1}],"more":true}
			a > {"presence":{"channel":"crowd:1","limit":1,"after":1}}
			a < {"ok":true,"version":2,"clients":2,"users":0,"members":[{"client":"bbbbbbbbbbb","at":2}],"more":false}
			# the third is counted, and listed when there is room
			c > {"auth":{"access":"read-only","secret":"r"}}
			c < {"ok":true,"client":"ccccccccccc"}
			c > {"subscribe":{"channel":"crowd:1"}}
			c < {"ok":true}
			a > {"presence":{"channel":"crowd:1","after":1}}
			a < {"ok":true,"version":3,"clients":3,"users":0,"members":[{"client":"bbbbbbbbbbb","at":2}],"more":false}
			b > {"logout":true}
			b < {"ok":true}
			a > {"presence":{"channel":"crowd:1","after":1}}
			a < {"ok":true,"version":4,"clients":2,"users":0,"members":[{"client":"ccccccccccc","at":3}],"more":false}`},
		{"a crowd is counted only", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"crowd:1","presence":true}}
			a < {"ok":true,"version":1,"clients":1,"users":0}
			b > {"auth":{"token":"eyJ…Bob"}}
			b ? "user":"43"
			b > {"subscribe":{"channel":"crowd:1"}}
			b < {"ok":true}
			a < {"presence":{"from":1,"version":2,"clients":2,"users":1},"channel":"crowd:1"}`},
		{"a channel without presence", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"plain","presence":true}}
			a < {"ok":true}
			a > {"presence":{"channel":"plain"},"id":1}
			a < {"err":"not_available","id":1}`},
		{"rights", `
			a > {"presence":{"channel":"room:1"}}
			a < {"err":"access_denied"}
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"presence":{"channel":"secret:1"}}
			a < {"err":"access_denied"}
			a > {"subscribe":{"channel":"secret:1","presence":true}}
			a < {"err":"access_denied"}
			a > {"subscribe":{"channel":"secret:1"}}
			a < {"ok":true}`},
		{"invalid data", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"presence":{}}
			a < {"err":"invalid_data","reason":"presence: channel is missing"}
			a > {"presence":{"channel":"room:1","limit":-1},"id":1}
			a < {"err":"invalid_data","reason":"presence: limit is a number, not a whole number of at least 0","id":1}
			a > {"presence":{"channel":"room:1","after":1.5}}
			a < {"err":"invalid_data","reason":"presence: after is a number, not a whole number up to 2^53-1"}
			a > {"presence":"room:1"}
			a < {"err":"invalid_data","reason":"presence is a string, not an object"}
			a > {"subscribe":{"channel":"room:1","presence":1}}
			a < {"err":"invalid_data","reason":"subscribe: presence is a number, not true or false"}
			a > {"subscribe":{"channel":"room:1","presence":false}}
			a < {"ok":true}`},
		{"away, and not gone", `
			a > {"auth":{"token":"eyJ…Ann"}}
			a ? "user":"42"
			a > {"subscribe":{"channel":"late:1"}}
			a < {"ok":true}
			a > {"disconnect":true}
			a < {"ok":true}
			a ! 1000
			b > {"auth":{"access":"read-only","secret":"r"}}
			b < {"ok":true}
			b > {"presence":{"channel":"late:1"}}
			b < {"ok":true,"version":1,"clients":0,"users":1,"members":[{"user":"42","info":{"name":"Ann"},"at":1}],"more":false}`},
		{"no notice after the reply to unsubscribe", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true,"client":"aaaaaaaaaaa"}
			a > {"subscribe":{"channel":"desk:1","presence":true}}
			a < {"ok":true,"version":1,"clients":1,"users":0}
			a > {"unsubscribe":{"channel":"desk:1"}}
			a < {"ok":true}
			b > {"auth":{"access":"read-write","secret":"rw"}}
			b < {"ok":true,"client":"bbbbbbbbbbb"}
			b > {"subscribe":{"channel":"desk:1","presence":true}}
			b < {"ok":true,"version":3,"clients":1,"users":0}
			a > {"subscribe":{"channel":"other"}}
			a < {"ok":true}
			b > {"publish":{"event":"e","channel":"other"}}
			b < {"ok":true}
			a < {"event":"e","channel":"other"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			talk(t, serve(t, hubs{"/": presenceHub(t)}), people(t).Replace(tt.dialogue))
		})
	}
}

// Go programs read who is there.
func TestPresenceFromGo(t *testing.T) {
	s := serve(t, hubs{"/": presenceHub(t)})
	talk(t, s, people(t).Replace(`
		a > {"auth":{"token":"eyJ…Ann"}}
		a ? "user":"42"
		a > {"subscribe":{"channel":"room:1"}}
		a < {"ok":true}`))
	page, err := s.Presence("/", "room:1", 0, 0)
	if err != nil || page.Clients != 1 || page.Users != 1 || len(page.Members) != 1 || page.Members[0] != (webrocket.PresenceEntry{User: "42", Info: `{"name":"Ann"}`, At: 1}) {
		t.Errorf("got %+v, %v", page, err)
	}
	if page, err = s.Presence("/", "room:1", 0, -1); err != nil || page.Users != 1 || page.Members != nil {
		t.Errorf("only how many: got %+v, %v", page, err)
	}
	if page, err = s.Presence("/", "room:2", 0, 0); err != nil || page.Users != 0 {
		t.Errorf("a channel that nobody is in: got %+v, %v", page, err)
	}
	if _, err := s.Presence("/", "plain", 0, 0); !errors.Is(err, webrocket.ErrNoPresence) {
		t.Errorf("a channel without presence: got %v", err)
	}
	if _, err := s.Presence("/nowhere", "room:1", 0, 0); !errors.Is(err, webrocket.ErrNoHub) {
		t.Errorf("no hub: got %v", err)
	}
	if p := s.Stats(t.Context()).Hubs[0].Presence; p.Members != 1 || p.Channels != 1 {
		t.Errorf("stats: got %+v", p)
	}
}

// Notices are compressed for those that have agreed to compression.
func TestPresenceCompressed(t *testing.T) {
	h := presenceHub(t)
	h.Compression, h.CompressionThreshold = true, -1
	s := serve(t, hubs{"/": h})
	c, err := connectOffering(t, s.Addr().String(), "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	for _, command := range []string{
		`{"auth":{"access":"read-only","secret":"r"}}`, `{"subscribe":{"channel":"desk:1","presence":true}}`,
	} {
		c.command(command)
		c.frame()
	}
	token := signed(t, auth.Claims{
		User: "42", Info: json.RawMessage(`"` + strings.Repeat("Ann ", 100) + `"`), Channels: grants("*", auth.Subscribe),
	})
	talk(t, s, `
		b > {"auth":{"token":"`+token+`"}}
		b ? "user":"42"
		b > {"subscribe":{"channel":"desk:1"}}
		b < {"ok":true}`)
	head, err := c.in.Peek(1)
	if err != nil || head[0] != 0xc1 {
		t.Errorf("got the first byte %x, %v, want that of a compressed text frame", head, err)
	}
	if _, got := c.frame(); !strings.HasPrefix(got, `{"presence":{"from":1,"version":2,`) {
		t.Errorf("got %s", got)
	}
}
