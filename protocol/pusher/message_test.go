package pusher

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseMessage(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       message
		ok         bool
	}{
		{"whole", `{"event":"e","channel":"c","data":{"a":1}}`, message{[]byte("e"), []byte("c"), []byte(`{"a":1}`)}, true},
		{"no channel and no data", `{"event":"pusher:ping"}`, message{[]byte("pusher:ping"), []byte(""), nil}, true},
		{"escapes", `{"event":"\u0065","channel":"\u0063"}`, message{[]byte("e"), []byte("c"), nil}, true},
		{"members that nobody knows", `{"event":"e","user_id":"9","x":[]}`, message{[]byte("e"), []byte(""), nil}, true},
		{"not JSON", `{"event":`, message{}, false},
		{"more than one value", `{"event":"e"}{}`, message{}, false},
		{"no object", `["event"]`, message{}, false},
		{"no event", `{"channel":"c"}`, message{}, false},
		{"an empty event", `{"event":""}`, message{}, false},
		{"an event that is no string", `{"event":1}`, message{}, false},
		{"a channel that is no string", `{"event":"e","channel":1}`, message{}, false},
		{"an event in another case", `{"Event":"e"}`, message{}, false},
		{"two events", `{"event":"a","event":"b"}`, message{}, false},
		{"very many members", `{"event":"a"` + strings.Repeat(`,"a":1`, 100) + `}`, message{}, false},
		{"nothing", ``, message{}, false},
	} {
		got, err := parseMessage([]byte(tt.text))
		if (err == nil) != tt.ok || string(got.event) != string(tt.want.event) || string(got.channel) != string(tt.want.channel) || string(got.data) != string(tt.want.data) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

// What a client sends as data is an object, or a string with one.
func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		ok         bool
	}{
		{`{"event":"e","data":{"channel":"c"}}`, "c", true},
		{`{"event":"e","data":"{\"channel\":\"c\"}"}`, "c", true},
		{`{"event":"e","data":"c"}`, "", false},
		{`{"event":"e","data":["c"]}`, "", false},
		{`{"event":"e","data":null}`, "", false},
		{`{"event":"e"}`, "", true},
	} {
		m, err := parseMessage([]byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		args, err := m.arguments()
		if got, _ := textOf(args.channel); string(got) != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: got %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

// What a publisher sends reaches a client as the same string, and clients of another
// protocol get an object or array as one.
func TestData(t *testing.T) {
	for _, tt := range []struct{ name, sent, hub, client string }{
		{"an object in a string", `"{\"a\":\"é\"}"`, `{"a":"é"}`, `"{\"a\":\"é\"}"`},
		{"an array in a string", `"[1, 2]"`, `[1, 2]`, `"[1, 2]"`},
		{"an object", `{"a":"b\n"}`, `{"a":"b\n"}`, `"{\"a\":\"b\\n\"}"`},
		{"a text", `"hello"`, `"hello"`, `"hello"`},
		{"an empty text", `""`, `""`, `""`},
		{"a number in a string", `"12"`, `"12"`, `"12"`},
		{"a string in a string", `"\"a\""`, `"\"a\""`, `"\"a\""`},
		{"a number", `12`, `12`, `"12"`},
		{"null", `null`, `null`, `"null"`},
		{"what only begins as an object", `"{a"`, `"{a"`, `"{a"`},
		{"half of a surrogate pair", `"{\"a\":\"\ud800\"}"`, `"{\"a\":\"\ud800\"}"`, `"{\"a\":\"\ud800\"}"`},
		{"control characters", `"{\"a\":1}\n"`, "{\"a\":1}\n", `"{\"a\":1}\n"`},
		{"of Go, with spaces around", ` "a" `, ` "a" `, `"a"`},
	} {
		hub := toHub([]byte(tt.sent))
		if string(hub) != tt.hub {
			t.Errorf("%s: the hub gets %s, want %s", tt.name, hub, tt.hub)
		}
		if got := appendData(nil, hub); string(got) != tt.client {
			t.Errorf("%s: a client gets %s, want %s", tt.name, got, tt.client)
		}
	}
}

func TestAppendEvent(t *testing.T) {
	for _, tt := range []struct{ event, channel, data, user, want string }{
		{"e", "c", `{"a":1}`, "", `{"event":"e","channel":"c","data":"{\"a\":1}"}`},
		{"e", "c", ``, "", `{"event":"e","channel":"c"}`},
		{"e", "presence-c", `"x"`, `u"1`, `{"event":"e","channel":"presence-c","data":"x","user_id":"u\"1"}`},
		{"a\x01\t\r\n\\", "c", `1`, "", `{"event":"a\u0001\t\r\n\\","channel":"c","data":"1"}`},
	} {
		var data []byte
		if tt.data != "" {
			data = []byte(tt.data)
		}
		if got := eventMessage([]byte(tt.event), []byte(tt.channel), data, tt.user)[headRoom:]; string(got) != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestServerMessages(t *testing.T) {
	a := &App{seed: maphash.MakeSeed()}
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{a.established(12, 120), `{"event":"pusher:connection_established","data":"{\"socket_id\":\"` + a.socketID(12) + `\",\"activity_timeout\":120}"}`},
		{internal("pusher_internal:subscription_succeeded", "c", "{}"), `{"event":"pusher_internal:subscription_succeeded","channel":"c","data":"{}"}`},
		{errorMessage(clientError{"no", 4001, ""}), `{"event":"pusher:error","data":{"message":"no","code":4001}}`},
		{errorMessage(clientError{"no", 0, "c"}), `{"event":"pusher:error","channel":"c","data":{"message":"no","code":null}}`},
		{subscriptionError("c", "AuthError", "why", 401), `{"event":"pusher:subscription_error","channel":"c","data":{"type":"AuthError","error":"why","status":401}}`},
	} {
		if got := string(tt.got[headRoom:]); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// Whatever a client sends, others get valid JSON with the same data.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"event":"client-a","channel":"private-c","data":{"a":1}}`))
	f.Add([]byte(`{"event":"client-a","channel":"private-c","data":"{\"a\":1}"}`))
	f.Add([]byte(`{"event":"client-a","data":"\ud800{"}`))
	f.Add([]byte(`{"event":"\u0000"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		m, err := parseMessage(text)
		if err != nil || m.data == nil {
			return
		}
		out := eventMessage(m.event, m.channel, toHub(m.data), "u")[headRoom:]
		var got struct {
			Event, Channel, Data string
			User                 string `json:"user_id"`
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s becomes %s: %v", text, out, err)
		}
		want, ok := textOf(m.data)
		if !ok {
			want = m.data
		}
		if got.Event != string(m.event) || got.Channel != string(m.channel) || got.Data != string(want) || got.User != "u" {
			t.Errorf("%s becomes %s", text, out)
		}
	})
}

// plainObject is parseObject with the decoder of the standard library.
func plainObject(text []byte) (map[string]json.RawMessage, error) {
	if !json.Valid(text) {
		return nil, errObject
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errObject
	}
	o := make(map[string]json.RawMessage)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if _, twice := o[name]; err != nil || !ok || twice || len(o) == membersMax {
			return nil, errObject
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errObject
		}
		o[name] = value
	}
	return o, nil
}

func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a" : "x\"}" , "b":[1,{"c":"]"}],"d":-1.5e3 ,"e":null}`, `[]`, `1`, `"a"`, `{"a":1,"a":2}`,
		`{"\u0061":1,"a":2}`, `{"\ud800":true,"é":"é"}`, `{"a":1} x`, `{"a":{"b":{"c":[[],[[]]]}}}`, `{"":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		want, wantErr := plainObject(text)
		got, err := parseObject(nil, text)
		if (err == nil) != (wantErr == nil) || len(got) != len(want) {
			t.Fatalf("%q: got %v, %v, want %v, %v", text, got, err, want, wantErr)
		}
		for name, value := range want {
			if !bytes.Equal(got.get(name), value) {
				t.Errorf("%q: %q is %s, want %s", text, name, got.get(name), value)
			}
		}
	})
}

func BenchmarkParseMessage(b *testing.B) {
	text := []byte(`{"event":"client-e","channel":"private-c0000003","data":"` + strings.Repeat("0", 128) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseMessage(text); err != nil {
			b.Fatal(err)
		}
	}
}
