package codec

import (
	"strings"
	"testing"
)

func TestKindString(t *testing.T) {
	for kind, want := range map[Kind]string{
		0: "none", Auth: "auth", Subscribe: "subscribe", Unsubscribe: "unsubscribe", Publish: "publish",
		Logout: "logout", Disconnect: "disconnect", History: "history", Ping: "ping", Kinds: "unknown",
	} {
		if got := kind.String(); got != want {
			t.Errorf("%d: got %q, want %q", uint8(kind), got, want)
		}
	}
}

func TestValidChannelName(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want bool
	}{
		{"a letter", "a", true},
		{"a sentence", "Room 1, \"the blue one\"!", true},
		{"not ASCII", "żółw 🚀", true},
		{"U+00A0", "\u00a0", true},
		{"U+FFFD itself", "\ufffd", true},
		{"empty", "", false},
		{"255 bytes", strings.Repeat("x", 255), true},
		{"256 bytes", strings.Repeat("x", 256), false},
		{"256 bytes in 128 characters", strings.Repeat("ż", 128), false},
		{"NUL", "a\x00", false},
		{"line feed", "a\nb", false},
		{"U+001F", "\x1f", false},
		{"DEL", "\x7f", false},
		{"U+0080", "\u0080", false},
		{"U+009F", "a\u009f", false},
		{"not UTF-8", "a\xff", false},
		{"cut", "a\xc5", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ValidChannelName([]byte(tt.in)); got != tt.want {
				t.Errorf("%q: got %v, want %v", tt.in, got, tt.want)
			}
		})
	}
}
