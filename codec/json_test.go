package codec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var commandTests = []struct {
	name string
	msg  string
	want Command // Kind 0: ErrInvalidData
}{
	{"subscribe", `{"subscribe":{"channel":"c"}}`, Command{Kind: Subscribe, Channel: []byte("c")}},
	{"unsubscribe", `{"unsubscribe":{"channel":"c"}}`, Command{Kind: Unsubscribe, Channel: []byte("c")}},
	{
		"publish", `{"publish":{"event":"e","channel":"c","data":{"n":1}}}`,
		Command{Kind: Publish, Event: []byte("e"), Channel: []byte("c"), Data: []byte(`{"n":1}`)},
	},
	{
		"publish without data", `{"publish":{"event":"e","channel":"c"}}`,
		Command{Kind: Publish, Event: []byte("e"), Channel: []byte("c")},
	},
	{
		"null is data", `{"publish":{"event":"e","channel":"c","data":null}}`,
		Command{Kind: Publish, Event: []byte("e"), Channel: []byte("c"), Data: []byte("null")},
	},
	{
		"data as sent", "{\"publish\":{\"data\": \t[1 , 1.50E+2,\n \"\\u00e9<\"] ,\"event\":\"e\",\"channel\":\"c\"}}",
		Command{
			Kind: Publish, Event: []byte("e"), Channel: []byte("c"), Data: []byte("[1 , 1.50E+2,\n \"\\u00e9<\"]"),
		},
	},
	{
		"auth", `{"auth":{"access":"read-only","secret":"s"}}`,
		Command{Kind: Auth, Access: ReadOnly, Secret: "s"},
	},
	{
		"auth to write", `{"auth":{"secret":"","access":"read-write"}}`,
		Command{Kind: Auth, Access: ReadWrite},
	},
	{"subscribe by token", `{"subscribe":{"channel":"c","token":"a.b.c"}}`, Command{Kind: Subscribe, Channel: []byte("c"), Token: "a.b.c"}},
	{
		"subscribe by signature", `{"subscribe":{"channel":"c","key":"k1","expires":1764463600,"signature":"4e52"}}`,
		Command{Kind: Subscribe, Channel: []byte("c"), Signature: Signature{"k1", 1764463600, "4e52"}},
	},
	{"subscribe, a key alone", `{"subscribe":{"channel":"c","key":1,"expires":"x"}}`, Command{Kind: Subscribe, Channel: []byte("c")}},
	{"subscribe, empty token", `{"subscribe":{"channel":"c","token":""}}`, Command{}},
	{"subscribe, both", `{"subscribe":{"channel":"c","token":"a","signature":"4e","key":"k","expires":1}}`, Command{}},
	{"subscribe, signature without a key", `{"subscribe":{"channel":"c","signature":"4e","expires":1}}`, Command{}},
	{"subscribe, signature without an end", `{"subscribe":{"channel":"c","signature":"4e","key":"k"}}`, Command{}},
	{"subscribe, signature until a fraction", `{"subscribe":{"channel":"c","signature":"4e","key":"k","expires":1.5}}`, Command{}},
	{"auth by token", `{"auth":{"token":"a.b.c","x":1}}`, Command{Kind: Auth, Token: "a.b.c"}},
	{"auth by token with an escape", `{"auth":{"token":"a.b\u002ec"}}`, Command{Kind: Auth, Token: "a.b.c"}},
	{"auth, empty token", `{"auth":{"token":""}}`, Command{}},
	{"auth, token of another type", `{"auth":{"token":1}}`, Command{}},
	{"auth, token and access", `{"auth":{"token":"a","access":"read-only"}}`, Command{}},
	{"auth, token and secret", `{"auth":{"secret":"s","token":"a"}}`, Command{}},
	{"auth, token beside a whole login", `{"auth":{"secret":"s","access":"read-only","token":"a"}}`, Command{}},
	{
		"publish with a key", `{"publish":{"event":"e","channel":"c","key":"k\u0031"}}`,
		Command{Kind: Publish, Event: []byte("e"), Channel: []byte("c"), Key: []byte("k1")},
	},
	{
		"publish with a plain key", `{"publish":{"key":"k1","event":"e","channel":"c"}}`,
		Command{Kind: Publish, Event: []byte("e"), Channel: []byte("c"), Key: []byte("k1")},
	},
	{
		"subscribe since", `{"subscribe":{"channel":"c","since":{"epoch":"k3","offset":9007199254740991},"strict":true}}`,
		Command{Kind: Subscribe, Channel: []byte("c"), Since: Position{"k3", MaxOffset}, Strict: true},
	},
	{
		"subscribe, rewind", `{"subscribe":{"rewind":10,"channel":"c","strict":false}}`,
		Command{Kind: Subscribe, Channel: []byte("c"), Rewind: 10},
	},
	{
		"history", `{"history":{"channel":"c"}}`,
		Command{Kind: History, Channel: []byte("c"), Limit: -1},
	},
	{
		"history since", `{"history":{"channel":"c","since":{"epoch":"e","offset":0,"more":1},"limit":0}}`,
		Command{Kind: History, Channel: []byte("c"), Since: Position{"e", 0}},
	},
	{
		"history until", `{"history":{"channel":"c","until":{"epoch":"e","offset":5},"limit":7}}`,
		Command{Kind: History, Channel: []byte("c"), Until: Position{"e", 5}, Limit: 7},
	},
	{
		"a list of channels", `{"subscribe":{"channels":[{"channel":"c"},{"channel":"d","since":{"epoch":"e","offset":5},"strict":true},{"channel":"e","token":"a.b.c"}]},"id":1}`,
		Command{Kind: Subscribe, ID: []byte("1"), Channels: []Command{
			{Kind: Subscribe, Channel: []byte("c")},
			{Kind: Subscribe, Channel: []byte("d"), Since: Position{"e", 5}, Strict: true},
			{Kind: Subscribe, Channel: []byte("e"), Token: "a.b.c"},
		}},
	},
	{
		"a list of channels, with white space and unknown members", ` { "subscribe" : { "x" : [] , "channels" : [ { "y" : 1 , "channel" : "" , "rewind":1 } ] } } `,
		Command{Kind: Subscribe, Channels: []Command{{Kind: Subscribe, Channel: []byte(""), Rewind: 1}}},
	},
	{"a list of no channel", `{"subscribe":{"channels":[]}}`, Command{}},
	{"a list that is none", `{"subscribe":{"channels":{"channel":"c"}},"id":7}`, Command{ID: []byte("7")}},
	{"a list of names", `{"subscribe":{"channels":["c"]}}`, Command{}},
	{"a list and a channel", `{"subscribe":{"channels":[{"channel":"c"}],"channel":"d"}}`, Command{}},
	{"a list, and a position beside it", `{"subscribe":{"channels":[{"channel":"c"}],"since":{"epoch":"e","offset":5}}}`, Command{}},
	{"a list with a channel that is wrong", `{"subscribe":{"channels":[{"channel":"c"},{"channel":"d","rewind":0}]}}`, Command{}},
	{"the longest list", listOf(MaxList), Command{Kind: Subscribe, Channels: slices.Repeat([]Command{{Kind: Subscribe, Channel: []byte("c")}}, MaxList)}},
	{"a longer list", listOf(MaxList + 1), Command{}},
	{"unsubscribe has no list", `{"unsubscribe":{"channel":"c","channels":[1]}}`, Command{Kind: Unsubscribe, Channel: []byte("c")}},
	{"a pattern", `{"subscribe":{"pattern":"chat:*"},"id":7}`, Command{Kind: Subscribe, ID: []byte("7"), Pattern: []byte("chat:*")}},
	{"no pattern any more", `{"unsubscribe":{"pattern":"*"}}`, Command{Kind: Unsubscribe, Pattern: []byte("*")}},
	{"an empty pattern", `{"subscribe":{"pattern":""}}`, Command{Kind: Subscribe, Pattern: []byte("")}},
	{"a pattern that is a number", `{"subscribe":{"pattern":1}}`, Command{}},
	{"a pattern and a channel", `{"subscribe":{"channel":"c","pattern":"c:*"}}`, Command{}},
	{"a channel and a pattern", `{"unsubscribe":{"pattern":"c:*","channel":"c"}}`, Command{}},
	{"a pattern and a list", `{"subscribe":{"channels":[{"channel":"c"}],"pattern":"c:*"}}`, Command{}},
	{"a pattern with a position", `{"subscribe":{"pattern":"c:*","since":{"epoch":"e","offset":5}}}`, Command{}},
	{"a pattern where there is none", `{"publish":{"event":"e","channel":"c","pattern":1}}`, Command{Kind: Publish, Event: []byte("e"), Channel: []byte("c")}},
	{"logout", `{"logout":true}`, Command{Kind: Logout}},
	{"ping", `{"ping":true}`, Command{Kind: Ping}},
	{"ping with an id", `{"id":"x","ping":true}`, Command{Kind: Ping, ID: []byte(`"x"`)}},
	{"ping is false", `{"ping":false}`, Command{}},
	{"disconnect", `{"disconnect":true}`, Command{Kind: Disconnect}},

	{"whitespace", " \t\r\n{ \"logout\" :\ttrue } \n", Command{Kind: Logout}},
	{"empty channel", `{"subscribe":{"channel":""}}`, Command{Kind: Subscribe, Channel: []byte("")}},
	{"escapes", `{"subscribe":{"ch\u0061nnel":"\ud83d\ude80\n"}}`, Command{Kind: Subscribe, Channel: []byte("🚀\n")}},
	{"lone surrogate", `{"subscribe":{"channel":"\ud83d"}}`, Command{Kind: Subscribe, Channel: []byte("\ufffd")}},
	{"escaped command", `{"s\u0075bscribe":{"channel":"c"}}`, Command{Kind: Subscribe, Channel: []byte("c")}},
	{
		"unknown members in a command", `{"subscribe":{"channel":"c","event":1,"data":2,"CHANNEL":"d","x":{"channel":"d"}}}`,
		Command{Kind: Subscribe, Channel: []byte("c")},
	},
	{
		"last of two in a command", `{"subscribe":{"channel":1,"channel":"c"}}`,
		Command{Kind: Subscribe, Channel: []byte("c")},
	},

	{"id is a number", `{"logout":true,"id":7}`, Command{Kind: Logout, ID: []byte("7")}},
	{"id is a negative number", `{"id":-1.0e5,"logout":true}`, Command{Kind: Logout, ID: []byte("-1.0e5")}},
	{"id is a string", `{"id":"\u0061","logout":true}`, Command{Kind: Logout, ID: []byte(`"\u0061"`)}},
	{
		"id with subscribe", `{"id": "x" ,"subscribe":{"channel":"c"}}`,
		Command{Kind: Subscribe, Channel: []byte("c"), ID: []byte(`"x"`)},
	},
	{"id is null", `{"id":null,"logout":true}`, Command{}},
	{"id is a bool", `{"id":true,"logout":true}`, Command{}},
	{"id is an object", `{"id":{},"logout":true}`, Command{}},
	{"id is an array", `{"id":[1],"subscribe":{"channel":"c"}}`, Command{}},
	{"id twice", `{"id":1,"id":1,"logout":true}`, Command{}},

	{"no command", `{}`, Command{}},
	{"only an id", `{"id":7}`, Command{ID: []byte("7")}},
	{"two commands", `{"id":7,"logout":true,"disconnect":true}`, Command{ID: []byte("7")}},
	{"one command twice", `{"logout":true,"id":7,"logout":true}`, Command{ID: []byte("7")}},
	{"one command twice, escaped", `{"logout":true,"id":7,"l\u006fgout":true}`, Command{ID: []byte("7")}},
	{"unknown command", `{"dance":true,"id":"x"}`, Command{ID: []byte(`"x"`)}},
	{"unknown member", `{"logout":true,"x":1,"id":7}`, Command{ID: []byte("7")}},
	{"wrong case", `{"Subscribe":{"channel":"c"},"id":7}`, Command{ID: []byte("7")}},
	{"wrong case inside", `{"subscribe":{"Channel":"c"},"id":7}`, Command{ID: []byte("7")}},
	{"wrong case of id", `{"logout":true,"ID":7}`, Command{}},

	{"channel missing", `{"subscribe":{},"id":7}`, Command{ID: []byte("7")}},
	{"channel is a number", `{"subscribe":{"channel":1},"id":7}`, Command{ID: []byte("7")}},
	{"channel is null", `{"subscribe":{"channel":null},"id":7}`, Command{ID: []byte("7")}},
	{"subscribe is a string", `{"subscribe":"c","id":7}`, Command{ID: []byte("7")}},
	{"subscribe is null", `{"subscribe":null,"id":7}`, Command{ID: []byte("7")}},
	{"subscribe is an array", `{"subscribe":["channel","c"],"id":7}`, Command{ID: []byte("7")}},
	{"event missing", `{"publish":{"channel":"c"},"id":7}`, Command{ID: []byte("7")}},
	{"event empty", `{"publish":{"event":"","channel":"c"},"id":7}`, Command{ID: []byte("7")}},
	{"event is null", `{"publish":{"event":null,"channel":"c"},"id":7}`, Command{ID: []byte("7")}},
	{"publish without a channel", `{"publish":{"event":"e"},"id":7}`, Command{ID: []byte("7")}},
	{"access unknown", `{"auth":{"access":"root","secret":""},"id":7}`, Command{ID: []byte("7")}},
	{"access missing", `{"auth":{"secret":"s"},"id":7}`, Command{ID: []byte("7")}},
	{"secret missing", `{"auth":{"access":"read-only"},"id":7}`, Command{ID: []byte("7")}},
	{"secret is null", `{"auth":{"access":"read-only","secret":null},"id":7}`, Command{ID: []byte("7")}},
	{"logout is false", `{"logout":false,"id":7}`, Command{ID: []byte("7")}},
	{"logout is one", `{"logout":1,"id":7}`, Command{ID: []byte("7")}},
	{"disconnect is an object", `{"disconnect":{},"id":7}`, Command{ID: []byte("7")}},

	{"empty", ``, Command{}},
	{"null", `null`, Command{}},
	{"array", `[{"logout":true}]`, Command{}},
	{"string", `"logout"`, Command{}},
	{"trailing bytes", `{"logout":true,"id":7} x`, Command{}},
	{"trailing object", `{"logout":true,"id":7}{}`, Command{}},
	{"trailing comma", `{"logout":true,"id":7,}`, Command{}},
	{"NUL at the end", "{\"logout\":true,\"id\":7}\x00", Command{}},
	{"not closed", `{"id":7,"logout":true`, Command{}},
	{"leading zero", `{"id":07,"logout":true}`, Command{}},
	{"bare minus", `{"id":-,"logout":true}`, Command{}},
	{"no digit after the point", `{"id":1.,"logout":true}`, Command{}},
	{"plus", `{"id":+1,"logout":true}`, Command{}},
	{"bad escape", `{"id":"\x","logout":true}`, Command{}},
	{"short unicode escape", `{"subscribe":{"channel":"\u12"}}`, Command{}},
	{"control character in a string", "{\"subscribe\":{\"channel\":\"a\nb\"}}", Command{}},
	{"bad data", `{"publish":{"event":"e","channel":"c","data":{"a" 1,,}},"id":7}`, Command{}},
	{"bad unknown member", `{"subscribe":{"channel":"c","x":tru},"id":7}`, Command{}},
	{"open escape", `{"\`, Command{}},
	{"byte order mark", "\ufeff{\"logout\":true}", Command{}},
}

func TestParseCommand(t *testing.T) {
	for _, tt := range commandTests {
		t.Run(tt.name, func(t *testing.T) {
			var got Command
			err := JSON{}.ParseCommand([]byte(tt.msg), &got)
			checkCommand(t, got, err, tt.want)
			err = parseCommand([]byte(tt.msg), &got)
			checkCommand(t, got, err, tt.want)
		})
	}
}

// Each way to be malformed has its reason, whichever path reads the message.
func TestReasons(t *testing.T) {
	for _, tt := range []struct{ want, msg string }{
		{"the message is empty", ``},
		{"the message is null, not an object", ` null `},
		{"the message is an array, not an object", `[{"logout":true}]`},
		{"the message is a string, not an object", `"logout"`},
		{"the message is a number, not an object", `7`},
		{"the message is false, not an object", ` false`},
		{"the message begins with a byte order mark; send the JSON alone", "\ufeff{\"logout\":true}"},
		{"the message is not JSON: invalid character '{' after top-level value, at byte 16", `{"logout":true}{}`},
		{"the message is not JSON: invalid character '}' looking for beginning of object key string, at byte 16", `{"logout":true,}`},
		{"the message is not JSON: unexpected end of JSON input, at byte 21", `{"id":7,"logout":true`},
		{"the message is not JSON: invalid character '\\'' looking for beginning of object key string, at byte 2", `{'logout':true}`},
		{"the message is not JSON: invalid character '[' exceeded max depth, at byte 10044", publishDepth(9999)},
		{"there are more than 64 members", `{` + strings.Repeat(`"x":1,`, 64) + `"logout":true}`},
		{"subscribe: there are more than 64 members", `{"subscribe":{` + strings.Repeat(`"x":1,`, 64) + `"channel":"c"}}`},

		{"id is null, not a string or a number", `{"id":null,"logout":true}`},
		{"id is true, not a string or a number", `{"id":true,"logout":true}`},
		{"id is an object, not a string or a number", `{"id":{},"logout":true}`},
		{"id is an array, not a string or a number", `{"id":[1],"subscribe":{"channel":"c"}}`},
		{"id is there twice", `{"id":1,"id":1,"logout":true}`},

		{"subscribe: channels is empty", `{"subscribe":{"channels":[]}}`},
		{"subscribe: channels is a string, not an array of objects", `{"subscribe":{"channels":"c"}}`},
		{"subscribe: channels[0] is a string, not an object", `{"subscribe":{"channels":["c"]}}`},
		{"subscribe: channels[1]: channel is missing", `{"subscribe":{"channels":[{"channel":"c"},{}]}}`},
		{"subscribe: channels[0]: since: offset is missing", `{"subscribe":{"channels":[{"channel":"c","since":{"epoch":"e"}}]}}`},
		{"subscribe: channels[0]: token is empty", `{"subscribe":{"channels":[{"channel":"c","token":""}]}}`},
		{"subscribe: rewind stands beside channels; put it into the objects of the list", `{"subscribe":{"channels":[],"rewind":1}}`},
		{"subscribe: channels has more than 128 objects", listOf(MaxList + 1)},
		{"there is no command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence", `{}`},
		{"there is no command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence", `{"id":7}`},
		{"dance: unknown command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence", `{"dance":true}`},
		{"event: unknown command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence", `{"id":1,"event":"e","channel":"c"}`},
		{"\"\": unknown command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence", `{"":true}`},
		{"żżżżżżżżżżżżżżżż…: unknown command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence", `{"` + strings.Repeat("ż", 1000) + `":true}`},
		{"xżżżżżżżżżżżżżżż…: unknown command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence", `{"x` + strings.Repeat("ż", 1000) + `":true}`},
		{"Subscribe: unknown command; did you mean subscribe?", `{"Subscribe":{"channel":"c"}}`},
		{"pub: unknown command; did you mean publish?", `{"pub":{"event":"e","channel":"c"}}`},
		{"logout and disconnect are two commands; send each in a message of its own", `{"logout":true,"disconnect":true}`},
		{"logout is there twice", `{"logout":true,"id":7,"l\u006fgout":true}`},
		{"x: unknown member; beside logout there may be only an id", `{"logout":true,"x":1}`},
		{"ID: unknown member; beside logout there may be only an id", `{"ID":7,"logout":true}`},

		{"auth is a string, not an object", `{"auth":"rw"}`},
		{"auth: access is missing", `{"auth":{"secret":"s"}}`},
		{"auth: access is a number, not a string", `{"auth":{"access":1,"secret":"s"}}`},
		{"auth: access is root, not read-only or read-write", `{"auth":{"access":"root","secret":""}}`},
		{"auth: secret is missing", `{"auth":{"access":"read-only"}}`},
		{"auth: secret is null, not a string", `{"auth":{"access":"read-only","secret":null}}`},
		{"subscribe is null, not an object", `{"subscribe":null}`},
		{"subscribe: channel is missing", `{"subscribe":{"Channel":"c"}}`},
		{"subscribe: channel is a number, not a string", `{"subscribe":{"channel":1}}`},
		{"subscribe: since stands beside pattern; a pattern stands alone", `{"subscribe":{"pattern":"c:*","since":{"epoch":"e","offset":5}}}`},
		{"subscribe: pattern is a number, not a string", `{"subscribe":{"pattern":1}}`},
		{"unsubscribe: channel is missing", `{"unsubscribe":{}}`},
		{"publish is an array, not an object", `{"publish":["e","c"]}`},
		{"publish: event is missing", `{"publish":{"channel":"c"}}`},
		{"publish: event is empty", `{"publish":{"event":"","channel":"c"}}`},
		{"publish: event is null, not a string", `{"publish":{"event":null,"channel":"c"}}`},
		{"publish: channel is missing", `{"publish":{"event":"e"}}`},
		{"logout is false, not true", `{"logout":false}`},
		{"disconnect is an object, not true", `{"disconnect":{}}`},
	} {
		for name, parse := range map[string]func([]byte, *Command) error{"ParseCommand": JSON{}.ParseCommand, "parseCommand": parseCommand} {
			var cmd Command
			var invalid *InvalidDataError
			if err := parse([]byte(tt.msg), &cmd); !errors.As(err, &invalid) {
				t.Errorf("%s %.80s: got %v, want a reason", name, tt.msg, err)
			} else if invalid.Reason != tt.want {
				t.Errorf("%s %.80s:\n got %q\nwant %q", name, tt.msg, invalid.Reason, tt.want)
			}
		}
	}
}

// checkReason fails unless an error has a reason that may be sent: short, and text.
func checkReason(t *testing.T, err error) {
	t.Helper()
	var invalid *InvalidDataError
	if err != nil && (!errors.As(err, &invalid) || invalid.Reason == "" || len(invalid.Reason) > 200 || !utf8.ValidString(invalid.Reason)) {
		t.Errorf("got %v, want a short reason", err)
	}
}

func checkCommand(t *testing.T, got Command, err error, want Command) {
	t.Helper()
	var wantErr error
	if want.Kind == 0 {
		wantErr = ErrInvalidData
	}
	if !errors.Is(err, wantErr) {
		t.Errorf("error: got %v, want %v", err, wantErr)
	}
	if diff := diffCommand(got, want); diff != "" {
		t.Error(diff)
	}
}

// diffCommand says how two commands differ; nil and empty are different.
func diffCommand(got, want Command) string {
	g, w := describe(got), describe(want)
	if g == w {
		return ""
	}
	return fmt.Sprintf("command:\n got %s\nwant %s", g, w)
}

// listOf is a subscribe to n channels.
func listOf(n int) string {
	return `{"subscribe":{"channels":[` + strings.TrimSuffix(strings.Repeat(`{"channel":"c"},`, n), ",") + `]}}`
}

func describe(c Command) string {
	list := ""
	for _, one := range c.Channels {
		list += "\n  " + describe(one)
	}
	return list + fmt.Sprintf("%v id=%s access=%q secret=%q token=%q channel=%s pattern=%s event=%s data=%s key=%s since=%v until=%v rewind=%d strict=%t signature=%v limit=%d",
		c.Kind, quote(c.ID), c.Access, c.Secret, c.Token, quote(c.Channel), quote(c.Pattern), quote(c.Event), quote(c.Data),
		quote(c.Key), c.Since, c.Until, c.Rewind, c.Strict, c.Signature, c.Limit)
}

func quote(b []byte) string {
	if b == nil {
		return "nil"
	}
	return fmt.Sprintf("%q", b)
}

func TestParseCommandClearsCommand(t *testing.T) {
	var cmd Command
	for _, msg := range []string{
		`{"publish":{"event":"e","channel":"c","data":1},"id":7}`,
		`{"auth":{"access":"read-only","secret":"s"},"id":7}`,
		`{"logout":true}`,
	} {
		if err := (JSON{}).ParseCommand([]byte(msg), &cmd); err != nil {
			t.Fatalf("%s: %v", msg, err)
		}
	}
	if diff := diffCommand(cmd, Command{Kind: Logout}); diff != "" {
		t.Error(diff)
	}
}

// TestParseCommandCut cuts valid commands at every byte: no part of one is a command.
func TestParseCommandCut(t *testing.T) {
	for _, tt := range commandTests {
		msg := strings.TrimSpace(tt.msg)
		if tt.want.Kind == 0 {
			continue
		}
		for i := range len(msg) {
			var cmd Command
			err := JSON{}.ParseCommand([]byte(msg[:i]), &cmd)
			if !errors.Is(err, ErrInvalidData) || diffCommand(cmd, Command{}) != "" {
				t.Errorf("%s: %s: got %v, %s; want %v and nothing", tt.name, msg[:i], err, describe(cmd), ErrInvalidData)
			}
		}
	}
}

func TestParseCommandDepth(t *testing.T) {
	for _, tt := range []struct {
		name  string
		depth int
		want  error
	}{
		{"flat", 1, nil},
		{"at the end of scan", scanDepth, nil},
		{"beyond scan", scanDepth + 1, nil},
		{"deep", 9000, nil},
		// The command has two levels around the data.
		{"as deep as may be", 9998, nil},
		{"too deep", 9999, ErrInvalidData},
		{"a bomb", 1 << 20, ErrInvalidData},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var cmd Command
			err := JSON{}.ParseCommand([]byte(publishDepth(tt.depth)), &cmd)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err == nil && len(cmd.Data) != 2*tt.depth {
				t.Errorf("data: got %d bytes, want %d", len(cmd.Data), 2*tt.depth)
			}
		})
	}
}

func TestParseCommandMembers(t *testing.T) {
	for _, n := range []int{1, maxMembers - 1, maxMembers, maxMembers + 1, 1 << 17} {
		extra := strings.Repeat(`,"x":1`, n-1)
		for _, tt := range []struct {
			name, msg string
			want      Command
		}{
			{"inside", `{"subscribe":{"channel":"c"` + extra + `}}`, Command{Kind: Subscribe, Channel: []byte("c")}},
			{"outside", `{"id":7` + extra + `}`, Command{ID: []byte("7")}},
		} {
			if n > maxMembers {
				tt.want = Command{}
			}
			t.Run(fmt.Sprint(n, " ", tt.name), func(t *testing.T) {
				var got Command
				err := JSON{}.ParseCommand([]byte(tt.msg), &got)
				checkCommand(t, got, err, tt.want)
			})
		}
	}
}

// FuzzParseCommand compares with what encoding/json makes of a message.
func FuzzParseCommand(f *testing.F) {
	for _, tt := range commandTests {
		f.Add([]byte(tt.msg))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var got Command
		err := JSON{}.ParseCommand(bytes.Clone(msg), &got)
		if !utf8.Valid(msg) {
			return // must not panic, and is otherwise the caller's fault
		}
		want, wantErr := standardParse(msg)
		if !errors.Is(err, wantErr) {
			t.Errorf("error: got %v, want %v", err, wantErr)
		}
		checkReason(t, err)
		if diff := diffCommand(got, want); diff != "" {
			t.Error(diff)
		}
	})
}

func publishOf(size int) []byte {
	data := `{"text":"` + strings.Repeat("x", size-11) + `"}`
	return []byte(`{"publish":{"event":"message","channel":"room-1","data":` + data + `}}`)
}

func TestParseCommandAllocs(t *testing.T) {
	for _, msg := range []string{
		string(publishOf(128)),
		`{"subscribe":{"channel":"room-1"},"id":1}`,
		`{"unsubscribe":{"channel":"room-1"},"id":"a"}`,
	} {
		var cmd Command
		b := []byte(msg)
		got := testing.AllocsPerRun(100, func() {
			if err := (JSON{}).ParseCommand(b, &cmd); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("%s: got %v allocations, want 0", msg, got)
		}
	}
}

func BenchmarkParseCommand(b *testing.B) {
	for _, bb := range []struct {
		name string
		msg  []byte
	}{
		{"publish-128", publishOf(128)},
		{"publish-4096", publishOf(4096)},
		{"subscribe", []byte(`{"subscribe":{"channel":"room-1"},"id":1}`)},
		{"auth", []byte(`{"auth":{"access":"read-write","secret":"s"}}`)},
	} {
		var cmd Command
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := (JSON{}).ParseCommand(bb.msg, &cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+"/plain", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := parseCommand(bb.msg, &cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
