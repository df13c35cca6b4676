package pusher

import (
	"strings"
	"testing"
)

func TestKindOf(t *testing.T) {
	for _, tt := range []struct {
		channel string
		want    Kind
	}{
		{"news", 0},
		{"private-encrypted-cache-a", Private | Encrypted | Cached},
		{"private-encrypted-a", Private | Encrypted},
		{"private-cache-a", Private | Cached},
		{"private-a", Private},
		{"presence-cache-a", Private | Presence | Cached},
		{"presence-a", Private | Presence},
		{"cache-a", Cached},
		{"#server-to-user-1", OfUser},
		// The dash belongs to the prefix.
		{"privateer", 0},
		{"private", 0},
		{"presence", 0},
		{"presences", 0},
		{"cached", 0},
		{"Private-a", 0},
		{"a-private-b", 0},
		{"private-encrypted", Private},
		{"presence-cached", Private | Presence},
	} {
		if got := KindOf(tt.channel); got != tt.want {
			t.Errorf("KindOf(%q): got %b, want %b", tt.channel, got, tt.want)
		}
	}
}

func TestValidChannel(t *testing.T) {
	for _, tt := range []struct {
		name string
		want bool
	}{
		{"a", true},
		{"-azAZ09_=@,.;", true},
		{strings.Repeat("a", 200), true},
		{strings.Repeat("a", 201), false},
		{"", false},
		{"a b", false},
		{"a:b", false},
		{"a/b", false},
		{"a#b", false},
		{"é", false},
		{"a\x00", false},
		{"#a", false},
		{"#server-to-user-", false},
		{"#server-to-user-a b:c", true},
		{"#server-to-user-a\nb", false},
	} {
		if got := validChannel(tt.name, 200); got != tt.want {
			t.Errorf("validChannel(%q): got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestReserved(t *testing.T) {
	for name, want := range map[string]bool{
		"private-a": true, "presence-a": true, "#server-to-user-1": true, "#other": true,
		"a": false, "privateer": false, "cache-a": false,
	} {
		if got := reserved([]byte(name)); got != want {
			t.Errorf("reserved(%q): got %v, want %v", name, got, want)
		}
	}
}
