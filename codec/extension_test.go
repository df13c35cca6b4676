package codec

import (
	"fmt"
	"strings"
	"testing"
)

// malformed stands for a list that is not well-formed.
const malformed Deflate = 255

func TestDeflateOffers(t *testing.T) {
	for _, tt := range []struct {
		name, offers string
		want         Deflate
	}{
		{"none", "", 0},
		{"another", "x-other", 0},
		{"in capitals", "Permessage-Deflate", 0},
		{"its old name", "x-webkit-deflate-frame", 0},
		{"plain", "permessage-deflate", 15},
		{"as Chrome has it", "permessage-deflate; client_max_window_bits", 15},
		{"empty elements", ",, permessage-deflate ,", 15},
		{"no whitespace", "x-other;a,permessage-deflate;client_max_window_bits", 15},
		{"much whitespace", "x-other\t;\ta = b ,\tpermessage-deflate ; client_max_window_bits = 10 \t", 15},
		{"without contexts", "permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15},
		{"context with a value", "permessage-deflate; server_no_context_takeover=1", 0},
		{"client's context with a value", "permessage-deflate; client_no_context_takeover=\"true\"", 0},
		{"context twice", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", 0},
		{"client's context twice", "permessage-deflate; client_no_context_takeover; client_no_context_takeover", 0},

		{"window of 8", "permessage-deflate; server_max_window_bits=8", 8},
		{"window of 9", "permessage-deflate; server_max_window_bits=9", 9},
		{"window of 10", "permessage-deflate; server_max_window_bits=10", 10},
		{"window of 15", "permessage-deflate; server_max_window_bits=15", 15},
		{"window in quotes", "permessage-deflate; server_max_window_bits=\"12\"", 12},
		{"window in quotes, escaped", "permessage-deflate; server_max_window_bits=\"\\1\\2\"", 12},
		{"window without a value", "permessage-deflate; server_max_window_bits", 0},
		{"window of 7", "permessage-deflate; server_max_window_bits=7", 0},
		{"window of 16", "permessage-deflate; server_max_window_bits=16", 0},
		{"window of 08", "permessage-deflate; server_max_window_bits=08", 0},
		{"window of 150", "permessage-deflate; server_max_window_bits=150", 0},
		{"window of 1", "permessage-deflate; server_max_window_bits=1", 0},
		{"window of -9", "permessage-deflate; server_max_window_bits=-9", 0},
		{"window twice", "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", 0},
		{"client's window of 8", "permessage-deflate; client_max_window_bits=8", 15},
		{"client's window of 7", "permessage-deflate; client_max_window_bits=7", 0},
		{"client's window of 16", "permessage-deflate; client_max_window_bits=16", 0},
		{"client's window twice", "permessage-deflate; client_max_window_bits; client_max_window_bits=9", 0},
		{"all", "permessage-deflate; client_max_window_bits=11; server_max_window_bits=13; server_no_context_takeover; client_no_context_takeover", 13},

		{"unknown parameter", "permessage-deflate; x", 0},
		{"unknown parameter with a value", "permessage-deflate; x=1", 0},
		{"the second", "permessage-deflate; x, permessage-deflate; server_max_window_bits=9, permessage-deflate", 9},
		{"the third", "x-other, permessage-deflate; server_max_window_bits=20, permessage-deflate", 15},
		{"a comma in quotes", "x-other; a=\"b\\,c\"", malformed},
		{"the next line", "x-other\r\nX: y\r\nsec-websocket-EXTENSIONS: permessage-deflate", 15},

		{"a semicolon too many", "permessage-deflate;", malformed},
		{"two semicolons", "permessage-deflate;; client_max_window_bits", malformed},
		{"no name", "; client_max_window_bits", malformed},
		{"only a value", "=", malformed},
		{"no value after =", "permessage-deflate; server_max_window_bits=", malformed},
		{"an empty value in quotes", "permessage-deflate; server_max_window_bits=\"\"", malformed},
		{"a space in quotes", "x-other; a=\"b c\"", malformed},
		{"an open quote", "permessage-deflate; server_max_window_bits=\"10", malformed},
		{"an open escape", "permessage-deflate; server_max_window_bits=\"10\\", malformed},
		{"something after a quote", "permessage-deflate; server_max_window_bits=\"10\"0", malformed},
		{"two names", "permessage deflate", malformed},
		{"no token", "per/message", malformed},
		{"a value that is no token", "x-other; a=b/c", malformed},
		{"wrong after right", "permessage-deflate, ;", malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _, err := ParseRequest([]byte(get("GET / HTTP/1.1", "Host: h", "Sec-WebSocket-Extensions: "+tt.offers)))
			if tt.want == malformed {
				if err != errExtensions {
					t.Fatalf("got %v, want %v", err, errExtensions)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Deflate(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// A window that the client asked for is answered, the largest one too (RFC 7692 §7.1.2.1); without it there is none.
func TestDeflateAnswer(t *testing.T) {
	const answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	check := func(offers, want string) {
		t.Helper()
		r := parse(t, get("GET / HTTP/1.1", "Host: h", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions: "+offers))
		got := string(AppendUpgrade(nil, r, "", r.Deflate()))
		if !strings.HasSuffix(got, "\r\nSec-WebSocket-Extensions: "+answer+want+"\r\n\r\n") {
			t.Errorf("%s: got %q, want at its end %q", offers, got, want)
		}
	}
	check("permessage-deflate", "")
	check("permessage-deflate; client_max_window_bits=15", "")
	for d := leastWindow; d <= FullWindow; d++ {
		window := fmt.Sprintf("; server_max_window_bits=%d", d)
		check("permessage-deflate"+window, window)
	}
	check("permessage-deflate; server_max_window_bits=16, permessage-deflate", "")
	check("permessage-deflate; x, permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15")
}

// FuzzExtensions: whatever a list holds, it comes to an end, and elements that
// are read are made of tokens.
func FuzzExtensions(f *testing.F) {
	f.Add("permessage-deflate; server_max_window_bits=\"1\\0\"; a , b;c=d")
	f.Fuzz(func(t *testing.T, s string) {
		if !isExtensionList([]byte(s)) {
			return
		}
		for list := []byte(s); len(list) > 0; {
			e, rest, ok := nextExtension(list)
			if !ok || len(rest) >= len(list) || !isToken(e.name) {
				t.Fatalf("%q: got %q, rest %q, %t", list, e.name, rest, ok)
			}
			list = rest
			for params, more := e.params, true; more; {
				var p param
				p, params, more, ok = nextParam(params)
				if !ok || !isToken(p.name) || !isToken(p.value) || p.valued != (len(p.value) > 0) {
					t.Fatalf("%q: got %+v, %t", e.params, p, ok)
				}
			}
		}
		_, _ = firstDeflate([]byte(s))
	})
}
