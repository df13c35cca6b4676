package codec

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendFields(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // names and values with ";" behind each; "-": not ok
	}{
		{"empty", ` { } `, ""},
		{"values of all kinds", `{"a":1, "b" : "x\"}" ,"c":[{"d":[]}],"e":null,"f":true}`, `a;1;b;"x\"}";c;[{"d":[]}];e;null;f;true;`},
		{"twice", `{"a":1,"a":2}`, "a;1;a;2;"},
		{"an empty name", `{"":""}`, `;"";`},
		{"a name with an escape", `{"\u0061":1}`, "-"},
		{"as many as there may be", `{"a":1,"b":2,"c":3,"d":4,"e":5}`, "a;1;b;2;c;3;d;4;e;5;"},
		{"more", `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}`, "-"},
		{"no object", `[1]`, "-"},
		{"more than one", `{"a":1}{}`, "-"},
		{"cut", `{"a":1`, "-"},
		{"no colon", `{"a"}`, "-"},
		{"no value", `{"a":}`, "-"},
		{"a comma at the end", `{"a":1,}`, "-"},
		{"a value that is none", `{"a":01}`, "-"},
		{"deep", `{"a":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`, "-"},
		{"nothing", ``, "-"},
	} {
		all, ok := AppendFields(nil, []byte(tt.text), 5)
		got := "-"
		if ok {
			got = ""
			for _, f := range all {
				got += string(f.Name) + ";" + string(f.Value) + ";"
			}
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// What it takes apart is JSON, and the parts are those of the standard library.
func FuzzAppendFields(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{"c":"\u00e9"}]}`))
	f.Add([]byte(` {"": -1.5e3 ,"x":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, ok := AppendFields(nil, text, 1000)
		if !ok || !utf8.Valid(text) {
			return
		}
		d := json.NewDecoder(bytes.NewReader(text))
		_, _ = d.Token()
		for _, got := range all {
			name, err := d.Token()
			var value json.RawMessage
			if err == nil {
				err = d.Decode(&value)
			}
			if err != nil || name != string(got.Name) || !bytes.Equal(value, got.Value) {
				t.Fatalf("%q: got %q: %q, want %q: %q (%v)", text, got.Name, got.Value, name, value, err)
			}
		}
		if d.More() || !json.Valid(text) {
			t.Errorf("%q: got %d members, and there are more, or it is no JSON", text, len(all))
		}
	})
}
