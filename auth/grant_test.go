package auth

import (
	"strings"
	"testing"
	"time"
)

func TestMay(t *testing.T) {
	g := &Grant{entries: []Entry{
		{"chat:*", Subscribe | Publish}, {"chat:1", History}, {"news", Subscribe}, {"a*", Subscribe}, {"x:*y", Subscribe},
	}}
	for _, tt := range []struct {
		want    Right
		channel string
		may     bool
	}{
		{Subscribe, "chat:2", true},
		{Subscribe | Publish, "chat:a:b", true},
		{Subscribe, "chat:", true},
		{Subscribe, "chat", false},
		{Subscribe, "chats:1", false},
		{Subscribe | History, "chat:1", true}, // grants are a union
		{History, "chat:2", false},
		{Subscribe, "news", true},
		{Publish, "news", false},
		{Subscribe, "news2", false},
		{Subscribe, "a*", true}, // no pattern: it does not end in ":*"
		{Subscribe, "ab", false},
		{Subscribe, "x:zy", false},
		{Subscribe, "", false},
	} {
		if got := g.May(tt.want, tt.channel); got != tt.may {
			t.Errorf("May(%v, %q) = %v, want %v", tt.want, tt.channel, got, tt.may)
		}
	}
	if (*Grant)(nil).May(Subscribe, "news") || (*Grant)(nil).MayAll(Subscribe, "*") {
		t.Error("a nil grant grants something")
	}
	if n := testing.AllocsPerRun(100, func() { g.May(Subscribe|History, "chat:1") }); n != 0 {
		t.Errorf("May allocates %v times", n)
	}
}

func TestMayAll(t *testing.T) {
	g := &Grant{entries: []Entry{{"chat:*", Subscribe}, {"chat:a:*", History}, {"news", Subscribe}}}
	all := &Grant{entries: []Entry{{"*", Subscribe}}}
	for _, tt := range []struct {
		g       *Grant
		want    Right
		pattern string
		may     bool
	}{
		{g, Subscribe, "chat:*", true},
		{g, Subscribe | History, "chat:a:*", true},
		{g, History, "chat:*", false},
		{g, Subscribe, "*", false},
		{g, Subscribe, "news", false}, // no pattern
		{g, Subscribe, "news:*", false},
		{all, Subscribe, "*", true},
		{all, Subscribe, "chat:*", true},
	} {
		if got := tt.g.MayAll(tt.want, tt.pattern); got != tt.may {
			t.Errorf("MayAll(%v, %q) = %v, want %v", tt.want, tt.pattern, got, tt.may)
		}
	}
}

// Tokens that expire together are renewed at different times, in time.
func TestRenewAt(t *testing.T) {
	g := &Grant{Expires: noon.Add(time.Hour)}
	for r, want := range map[float64]time.Duration{0: 57 * time.Minute, 0.9999999: 48 * time.Minute, 0.5: 52*time.Minute + 30*time.Second} {
		if got := g.RenewAt(noon, r).Sub(noon).Round(time.Second); got != want {
			t.Errorf("with %v after %s, want %s", r, got, want)
		}
	}
	if got := g.RenewAt(g.Expires.Add(-time.Minute), 0); !got.Equal(g.Expires.Add(-10 * time.Second)) {
		t.Errorf("of a minute, %s are left, want 10 s", g.Expires.Sub(got))
	}
}

// A pattern matches what a naive matcher says.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"*", "chat:*", "chat*", "*:*", "", ":*", "a:b:*", "**"} {
		f.Add(s, "chat:1")
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, pattern, channel string) {
		want := pattern == channel
		if pattern == "*" || strings.HasSuffix(pattern, ":*") {
			want = strings.HasPrefix(channel, pattern[:len(pattern)-1])
		}
		g := &Grant{entries: []Entry{{pattern, Subscribe}}}
		if got := g.May(Subscribe, channel); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, channel, got, want)
		}
		if g.MayAll(Subscribe, channel) && !g.May(Subscribe, strings.TrimSuffix(channel, "*")+"x") {
			t.Errorf("%q covers the pattern %q, but not all of its channels", pattern, channel)
		}
	})
}
