package codec

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendReply(t *testing.T) {
	for _, tt := range []struct {
		name    string
		errCode string
		reason  string
		id      []byte
		want    string
	}{
		{"ok", "", "", nil, `{"ok":true}`},
		{"ok with an id", "", "", []byte("7"), `{"ok":true,"id":7}`},
		{"error", "access-denied", "", nil, `{"err":"access-denied"}`},
		{"error with an id", "access-denied", "", []byte(`"\u0061"`), `{"err":"access-denied","id":"\u0061"}`},
		{"with a reason", "access-denied", `not "you"`, []byte("1"), `{"err":"access-denied","reason":"not \"you\"","id":1}`},
		{"with a reason alone", "invalid_data", "publish: event is missing", nil, `{"err":"invalid_data","reason":"publish: event is missing"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := string(JSON{}.AppendReply([]byte("before "), Reply{Err: tt.errCode, Reason: tt.reason, ID: tt.id}))
			if got != "before "+tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAppendLost(t *testing.T) {
	const want = `{"lost":12,"channel":"a\"b"}`
	if got := (JSON{}).AppendLost([]byte("x"), Lost{N: 12, Channel: []byte(`a"b`)}); string(got) != "x"+want {
		t.Errorf("got %s, want x%s", got, want)
	}
}

func TestAppendEvent(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		event, channel, data string
		want                 string
	}{
		{"event", "e", "c", `{"n" : 1}`, `{"event":"e","channel":"c","data":{"n" : 1}}`},
		{"null", "e", "c", `null`, `{"event":"e","channel":"c","data":null}`},
		{"no data", "e", "c", "", `{"event":"e","channel":"c"}`},
		{"empty strings", "", "", "", `{"event":"","channel":""}`},
		{"quote and backslash", `"`, `a\b`, "", `{"event":"\"","channel":"a\\b"}`},
		{"control characters", "\x00\n\x1f\x7f", "\t", "", `{"event":"\u0000\u000a\u001f` + "\x7f" + `","channel":"\u0009"}`},
		{"not HTML", "<&>", "żółw 🚀", "", `{"event":"<&>","channel":"żółw 🚀"}`},
		{"not UTF-8", "a\xffb", "\xed\xa0\x80", "", "{\"event\":\"a\ufffdb\",\"channel\":\"\ufffd\ufffd\ufffd\"}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var data []byte
			if tt.data != "" {
				data = []byte(tt.data)
			}
			got := string(JSON{}.AppendEvent([]byte("before "), Event{Channel: []byte(tt.channel), Event: []byte(tt.event), Data: data}))
			if got != "before "+tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// FuzzAppendEvent reads events back with encoding/json.
func FuzzAppendEvent(f *testing.F) {
	f.Add("e", "c", "{}")
	f.Add("\"\\\x00", "\xff\u2028", "")
	f.Fuzz(func(t *testing.T, event, channel, data string) {
		if data != "" && !json.Valid([]byte(data)) {
			return
		}
		var raw []byte
		if data != "" {
			raw = []byte(data)
		}
		msg := JSON{}.AppendEvent(nil, Event{Channel: []byte(channel), Event: []byte(event), Data: raw})
		if utf8.ValidString(data) && !utf8.Valid(msg) {
			t.Errorf("%q is not valid UTF-8", msg)
		}
		var got struct {
			Event, Channel string
			Data           json.RawMessage
		}
		if err := json.Unmarshal(msg, &got); err != nil {
			t.Fatalf("%s: %v", msg, err)
		}
		if want := valid(event); got.Event != want {
			t.Errorf("event: got %q, want %q", got.Event, want)
		}
		if want := valid(channel); got.Channel != want {
			t.Errorf("channel: got %q, want %q", got.Channel, want)
		}
		if want := strings.Trim(data, " \t\r\n"); string(got.Data) != want {
			t.Errorf("data: got %q, want %q", got.Data, want)
		}
	})
}

// valid replaces each byte that is not UTF-8.
func valid(s string) string { return string([]rune(s)) }

func TestEncodeAllocs(t *testing.T) {
	dst := make([]byte, 0, 512)
	id, event, channel, data := []byte("7"), []byte("message"), []byte("żółw"), []byte(`{"n":1}`)
	got := testing.AllocsPerRun(100, func() {
		dst = JSON{}.AppendReply(dst[:0], Reply{ID: id})
		dst = JSON{}.AppendReply(dst, Reply{Err: "access-denied", ID: id})
		dst = JSON{}.AppendEvent(dst, Event{Channel: channel, Event: event, Data: data})
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	dst := make([]byte, 0, 512)
	event, channel, data := []byte("message"), []byte("room-1"), []byte(`{"text":"`+strings.Repeat("x", 117)+`"}`)
	b.ReportAllocs()
	for b.Loop() {
		dst = JSON{}.AppendEvent(dst[:0], Event{Channel: channel, Event: event, Data: data})
	}
}
