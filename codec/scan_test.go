package codec

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestScanTakes has the messages that must not need parseCommand, and the ones that must.
func TestScanTakes(t *testing.T) {
	for _, tt := range []struct {
		name string
		msg  string
		want bool
	}{
		{"publish", `{"publish":{"event":"e","channel":"c","data":{"a":[1,-2.5e+3,true,false,null,"\u00e9\n"]}}}`, true},
		{"subscribe", `{"subscribe":{"channel":"żółw"},"id":"\""}`, true},
		{"unsubscribe", ` { "id" : 0 , "unsubscribe" : { "channel" : "c" , "x" : {} } } `, true},
		{"deepest", publishDepth(scanDepth), true},
		{"auth", `{"auth":{"x":[1],"access":"read-only","secret":""},"id":1}`, true},
		{"auth by token", `{"auth":{"token":"a.b.c"}}`, true},
		{"a token and a secret", `{"auth":{"token":"a.b.c","secret":""}}`, false},
		{"a token twice", `{"auth":{"token":"a","token":"b"}}`, false},
		{"another access", `{"auth":{"access":"admin","secret":""}}`, false},
		{"no secret", `{"auth":{"access":"read-only"}}`, false},
		{"a secret twice", `{"auth":{"access":"read-only","secret":"a","secret":"b"}}`, false},
		{"disconnect", `{"disconnect":true}`, false},
		{"escape in the channel", `{"subscribe":{"channel":"\u0063"}}`, false},
		{"escape in a name", `{"subscribe":{"channel":"c","\u0063hannel":"d"}}`, false},
		{"a name twice", `{"subscribe":{"channel":"c","channel":"d"}}`, false},
		{"deeper", publishDepth(scanDepth + 1), false},
		{"open escape", `{"subscribe":{"x":"\`, false},
		{"not valid", `{"subscribe":{"channel":"c","x":tru}}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var cmd Command
			if got := scan([]byte(tt.msg), &cmd); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// publishDepth makes a publish with data that many arrays deep.
func publishDepth(n int) string {
	return `{"publish":{"event":"e","channel":"c","data":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}}`
}

// TestIsPlain tries every byte in every place, among bytes from both ends of what is plain.
func TestIsPlain(t *testing.T) {
	for _, fill := range []byte{' ', 'x', 0x7f, 0x80, 0xff} {
		for place := range 8 {
			for c := range 256 {
				word := []byte(strings.Repeat(string([]byte{fill}), 8))
				word[place] = byte(c)
				s := scanner{b: word}
				s.plain()
				if want := c >= ' ' && c != '"' && c != '\\'; (s.i == 8) != want {
					t.Fatalf("%q: got %d plain bytes, plain %v", word, s.i, want)
				}
			}
		}
	}
}

// FuzzScan checks that what scan reads is what parseCommand reads.
func FuzzScan(f *testing.F) {
	for _, tt := range commandTests {
		f.Add([]byte(tt.msg))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var got, want Command
		if !scan(msg, &got) || !utf8.Valid(msg) {
			return
		}
		if err := parseCommand(msg, &want); err != nil {
			t.Errorf("parseCommand: %v", err)
		}
		if diff := diffCommand(got, want); diff != "" {
			t.Error(diff)
		}
	})
}
