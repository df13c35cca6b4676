package codec

import (
	"errors"
	"strings"
	"testing"
)

// What is wrong with a position, a key or a number is said, and nothing is taken for
// something else.
func TestBadPositions(t *testing.T) {
	for _, tt := range []struct{ msg, reason string }{
		{`{"subscribe":{"channel":"c","since":5}}`, "subscribe: since is a number, not an object"},
		{`{"subscribe":{"channel":"c","since":null}}`, "subscribe: since is null, not an object"},
		{`{"subscribe":{"channel":"c","since":{"offset":5}}}`, "subscribe: since: epoch is missing"},
		{`{"subscribe":{"channel":"c","since":{"epoch":"","offset":5}}}`, "subscribe: since: epoch has 0 bytes; want 1 to 32"},
		{`{"subscribe":{"channel":"c","since":{"epoch":"` + strings.Repeat("x", 33) + `","offset":5}}}`, "subscribe: since: epoch has 33 bytes; want 1 to 32"},
		{`{"subscribe":{"channel":"c","since":{"epoch":"e"}}}`, "subscribe: since: offset is missing"},
		{`{"subscribe":{"channel":"c","since":{"epoch":"e","offset":"5"}}}`, "subscribe: since: offset is a string, not a whole number up to 2^53-1"},
		{`{"subscribe":{"channel":"c","since":{"epoch":"e","offset":5.0}}}`, "subscribe: since: offset is a number, not a whole number up to 2^53-1"},
		{`{"subscribe":{"channel":"c","since":{"epoch":"e","offset":1e2}}}`, "subscribe: since: offset is a number, not a whole number up to 2^53-1"},
		{`{"subscribe":{"channel":"c","since":{"epoch":"e","offset":-1}}}`, "subscribe: since: offset is a number, not a whole number up to 2^53-1"},
		{`{"subscribe":{"channel":"c","since":{"epoch":"e","offset":9007199254740992}}}`, "subscribe: since: offset is a number, not a whole number up to 2^53-1"},
		{`{"subscribe":{"channel":"c","rewind":0}}`, "subscribe: rewind is a number, not a whole number of at least 1"},
		{`{"subscribe":{"channel":"c","rewind":1.5}}`, "subscribe: rewind is a number, not a whole number of at least 1"},
		{`{"subscribe":{"channel":"c","strict":1}}`, "subscribe: strict is a number, not true or false"},
		{`{"history":{}}`, "history: channel is missing"},
		{`{"history":{"channel":"c","limit":-1}}`, "history: limit is a number, not a whole number of at least 0"},
		{`{"history":{"channel":"c","since":{"epoch":"e","offset":1},"until":{"epoch":"e","offset":2}}}`, "history: since and until are both there; send one of them"},
		{`{"publish":{"channel":"c","event":"e","key":""}}`, "publish: key has 0 bytes; want 1 to 128"},
		{`{"publish":{"channel":"c","event":"e","key":7}}`, "publish: key is a number, not a string"},
		{`{"publish":{"channel":"c","event":"e","key":"` + strings.Repeat("x", 129) + `"}}`, "publish: key has 129 bytes; want 1 to 128"},
	} {
		var cmd Command
		var invalid *InvalidDataError
		if err := (JSON{}).ParseCommand([]byte(tt.msg), &cmd); !errors.As(err, &invalid) || invalid.Reason != tt.reason {
			t.Errorf("%s:\n got %v\nwant %s", tt.msg, err, tt.reason)
		}
		if cmd.Kind != 0 || cmd.Since.Epoch != "" {
			t.Errorf("%s: something is left in the command: %+v", tt.msg, cmd)
		}
	}
}

func TestRepliesWithHistory(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply Reply
		want  string
	}{
		{"position", Reply{ID: []byte("1"), Begun: &Begun{Position: Position{"k3", 41}}}, `{"ok":true,"id":1,"epoch":"k3","offset":41}`},
		{
			"recovered",
			Reply{Begun: &Begun{Position: Position{"k3", 42}, Top: 44, Asked: true, Recovered: true, Replays: true}},
			`{"ok":true,"epoch":"k3","offset":42,"top":44,"recovered":true}`,
		},
		{
			"not recovered",
			Reply{Reason: "expired", Begun: &Begun{Position: Position{"k3", 42}, Asked: true, Lost: 7}},
			`{"ok":true,"reason":"expired","epoch":"k3","offset":42,"recovered":false,"lost":7}`,
		},
		{"no history", Reply{Reason: "no_history", Begun: &Begun{Asked: true}}, `{"ok":true,"reason":"no_history","recovered":false}`},
		{
			"refused",
			Reply{Err: "not_recovered", Reason: "epoch", ID: []byte("2"), Begun: &Begun{Position: Position{"k4", 0}}},
			`{"err":"not_recovered","reason":"epoch","id":2,"epoch":"k4","offset":0}`,
		},
		{"stored", Reply{Stored: Stored{Offset: 5}}, `{"ok":true,"offset":5}`},
		{"duplicate", Reply{Stored: Stored{Offset: 5, Keyed: true, Duplicate: true}}, `{"ok":true,"offset":5,"duplicate":true}`},
		{"a key without a history", Reply{Stored: Stored{Keyed: true}}, `{"ok":true,"duplicate":false}`},
		{
			"page",
			Reply{Page: &Page{Epoch: "k3", First: 1, Top: 2, Events: [][]byte{[]byte(`{"a":1}`), []byte(`{"b":2}`)}, More: true}},
			`{"ok":true,"epoch":"k3","first":1,"top":2,"events":[{"a":1},{"b":2}],"more":true}`,
		},
		{"empty page", Reply{Page: &Page{Epoch: "k3", First: 1}}, `{"ok":true,"epoch":"k3","first":1,"top":0,"events":[],"more":false}`},
	} {
		if got := string(JSON{}.AppendReply(nil, tt.reply)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestOffsetIsLast(t *testing.T) {
	e := Event{Channel: []byte("c"), Event: []byte("e"), Data: []byte("[1]"), Offset: 45}
	if got, want := string(JSON{}.AppendEvent(nil, e)), `{"event":"e","channel":"c","data":[1],"offset":45}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	without := e
	without.Offset = 0
	b := JSON{}.AppendEvent(nil, without)
	if got := string(JSON{}.AppendOffset(b[:len(b)-1], 45)); got != string(JSON{}.AppendEvent(nil, e)) {
		t.Errorf("an offset that comes later: got %s", got)
	}
	for want, lost := range map[string]Lost{
		`{"lost":3,"channel":"c","offset":40}`:                    {N: 3, Channel: []byte("c"), Offset: 40},
		`{"lost":0,"channel":"c","epoch":"k3vq9x2m","offset":40}`: {Channel: []byte("c"), Offset: 40, Epoch: "k3vq9x2m"},
	} {
		if got := string(JSON{}.AppendLost(nil, lost)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
