package codec

import "testing"

func TestNormalPath(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/", "/"},
		{"/chat", "/chat"},
		{"/chat/", "/chat/"},
		{"/a/b.c-d_e~f", "/a/b.c-d_e~f"},
		{"/a;b=1,@:!$&'()*+|[]^", "/a;b=1,@:!$&'()*+|[]^"},
		{"/b%C3%BCcher", "/b%C3%BCcher"},
		{"/a%2Fb", "/a%2Fb"},

		// These are what browsers ask for.
		{"/a/../b", "/b"},
		{"/../b", "/b"},
		{"/a/./b", "/a/b"},
		{"/a/.", "/a/"},
		{"/a/b/..", "/a/"},
		{"/..", "/"},
		{"/%2e%2E/b", "/b"},
		{`/a\b`, "/a/b"},
		{"/a b", "/a%20b"},
		{"/bücher", "/b%C3%BCcher"},
		{"/a\"<>`{}", "/a%22%3C%3E%60%7B%7D"},
		{"/a\t\x7f", "/a%09%7F"},
		{"/a?b#c", "/a"},
		{"/a#b", "/a"},
		{"wss://example.com/chat?a", "/chat"},
		{"wss://example.com", "/"},

		// Here spellings differ from one client or proxy to another.
		{"//", "/"},
		{"/a//b", "/a/b"},
		{"//example.com/chat", "/example.com/chat"},
		{"/%7echat", "/~chat"},
		{"/b%c3%bccher", "/b%C3%BCcher"},
		{"/100%", "/100%25"},
		{"/a%zz", "/a%25zz"},

		{"chat", "/chat"},
		{"", "/"},
	} {
		if got := NormalPath(tt.in); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// What is told to write must be accepted when it is written.
func FuzzNormalPath(f *testing.F) {
	for _, s := range []string{"/a/../b", "//", "/%2e%2e%2f", "ws://a/b?c", "/%", "/a/.", "/ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		normal := NormalPath(s)
		if again := NormalPath(normal); again != normal {
			t.Errorf("%q: got %q, and of that %q", s, normal, again)
		}
		if _, n, err := ParseRequest([]byte("GET " + normal + " HTTP/1.1\r\nHost: a\r\n\r\n")); n == 0 || err != nil {
			t.Errorf("%q: nobody can ask for %q: %v", s, normal, err)
		}
	})
}
