package webrocket_test

import (
	"testing"

	"github.com/nu7hatch/webrocket"
)

// What clients see of patterns.
func TestPatterns(t *testing.T) {
	h := remembering()
	h.Patterns = true
	s := serve(t, hubs{"/": h})
	talkOf(t, s, logins+`
		a > {"subscribe":{"pattern":"chat:*"},"id":1}
		a < {"ok":true,"id":1}
		b > {"publish":{"event":"e","channel":"chat:1","data":1}}
		b < {"ok":true,"offset":1}
		a < {"event":"e","channel":"chat:1","data":1,"offset":1}
		# a channel that keeps nothing, and that only the pattern hears
		b > {"publish":{"event":"e","channel":"chat:1:typing","data":1}}
		b < {"ok":true}
		a < {"event":"e","channel":"chat:1:typing","data":1}
		b > {"publish":{"event":"e","channel":"chats","data":1}}
		b < {"err":"invalid_channel"}
		# nothing is heard twice
		a > {"subscribe":{"channel":"chat:1"}}
		a < {"err":"overlapping"}
		a > {"subscribe":{"pattern":"chat:1:*"}}
		a < {"err":"overlapping"}
		# some channels that it matches are forbidden
		a > {"subscribe":{"pattern":"*"}}
		a < {"err":"access_denied"}
		a > {"subscribe":{"pattern":"chat:*"}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"plain"}}
		a < {"ok":true}
		# a pattern stands alone, and has a shape
		a > {"subscribe":{"pattern":"x:*","rewind":1}}
		a < {"err":"invalid_data","reason":"subscribe: rewind stands beside pattern; a pattern stands alone"}
		a > {"unsubscribe":{"pattern":"chat:*","channel":"c"}}
		a < {"err":"invalid_data","reason":"unsubscribe: channel stands beside pattern; a pattern stands alone"}
		a > {"subscribe":{"pattern":"chat*"}}
		a < {"err":"invalid_data","reason":"pattern must be * or end in \":*\", with at most 8 \":\""}
		a > {"unsubscribe":{"pattern":"chat:*"}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"chat:1"}}
		a < {"ok":true,"epoch":"EPOCH","offset":1}
		b > {"publish":{"event":"e","channel":"chat:1:typing","data":2}}
		b < {"err":"invalid_channel"}
		b > {"publish":{"event":"e","channel":"chat:1","data":2}}
		b < {"ok":true,"offset":2}
		a < {"event":"e","channel":"chat:1","data":2,"offset":2}`)
}

// A Go program hears patterns too.
func TestSubscribePatternFromGo(t *testing.T) {
	s := serve(t, hubs{"/": remembering()})
	heard := make(chan webrocket.Event, 10)
	sub, err := s.Hub("/").SubscribePattern("chat:*", func(e webrocket.Event) { heard <- e })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Publish("/", "chat:7", "e", 1); err != nil {
		t.Fatal(err)
	}
	if e := <-heard; e.Channel != "chat:7" || e.Event != "e" || string(e.Data) != "1" || e.Offset != 1 {
		t.Errorf("got %+v", e)
	}
	sub.Close()
	if _, err := s.Hub("/").SubscribePattern("chat", func(webrocket.Event) {}); err == nil {
		t.Error("a name is taken for a pattern")
	}
}
