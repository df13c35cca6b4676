package hub

import (
	"testing"
	"time"
)

func TestRuling(t *testing.T) {
	c := Config{Rules: []Rule{
		{Match: "user:{user}", Subscribe: Owner, Publish: Nobody, History: History{Size: 20, TTL: time.Hour}, Rewind: 2},
		{Match: "news:*", Subscribe: Users, ReadHistory: Nobody},
	}}
	granted, nobody := Verdict{Right: Granted}, Verdict{Right: Nobody}
	kept := History{Size: 20, TTL: time.Hour, Bytes: DefaultHistoryBytes}
	for _, tt := range []struct {
		channel, user string
		want          Ruling
	}{
		{"user:42", "42", Ruling{0, "42", kept, 2, Verdict{Owner, true}, nobody, Verdict{Owner, true}}},
		{"user:42", "43", Ruling{0, "42", kept, 2, Verdict{Owner, false}, nobody, Verdict{Owner, false}}},
		{"user:42", "", Ruling{0, "42", kept, 2, Verdict{Owner, false}, nobody, Verdict{Owner, false}}},
		{"news:a", "42", Ruling{1, "", History{}, 0, Verdict{Users, true}, granted, nobody}},
		{"news:a", "", Ruling{1, "", History{}, 0, Verdict{Users, false}, granted, nobody}},
		{"other", "42", Ruling{-1, "", History{}, 0, granted, granted, granted}},
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
