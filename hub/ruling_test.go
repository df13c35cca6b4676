package hub

import (
	"testing"
	"time"
)

func TestRuling(t *testing.T) {
	here := Presence{Mode: PresenceUsers}
	c := Config{Rules: []Rule{
		{Match: "room:*", Presence: here, ReadPresence: Users},
		{Match: "user:{user}", Subscribe: Owner, Publish: Nobody, History: History{Size: 20, TTL: time.Hour}, Rewind: 2},
		{Match: "news:*", Subscribe: Users, ReadHistory: Nobody},
	}}
	granted, nobody := Verdict{Right: Granted}, Verdict{Right: Nobody}
	kept := History{Size: 20, TTL: time.Hour, Bytes: DefaultHistoryBytes}
	for _, tt := range []struct {
		channel, user string
		want          Ruling
	}{
		{"room:1", "42", Ruling{Rule: 0, Presence: here.WithDefaults(), Subscribe: granted, Publish: granted, ReadHistory: granted, ReadPresence: Verdict{Users, true}}},
		{"user:42", "42", Ruling{1, "42", kept, 2, Presence{}, Verdict{Owner, true}, nobody, Verdict{Owner, true}, Verdict{Owner, true}}},
		{"user:42", "43", Ruling{1, "42", kept, 2, Presence{}, Verdict{Owner, false}, nobody, Verdict{Owner, false}, Verdict{Owner, false}}},
		{"user:42", "", Ruling{1, "42", kept, 2, Presence{}, Verdict{Owner, false}, nobody, Verdict{Owner, false}, Verdict{Owner, false}}},
		{"news:a", "42", Ruling{2, "", History{}, 0, Presence{}, Verdict{Users, true}, granted, nobody, Verdict{Users, true}}},
		{"news:a", "", Ruling{2, "", History{}, 0, Presence{}, Verdict{Users, false}, granted, nobody, Verdict{Users, false}}},
		{"other", "42", Ruling{-1, "", History{}, 0, Presence{}, granted, granted, granted, granted}},
	} {
		if got := c.Ruling(tt.channel, tt.user); got != tt.want {
			t.Errorf("%s, user %q: got %+v, want %+v", tt.channel, tt.user, got, tt.want)
		}
	}
}

func TestRightsHaveNames(t *testing.T) {
	for name, right := range Rights {
		if got := right.String(); got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
}
