package conformance_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
	"testing"
)

// RFC 7692: permessage-deflate.

// Offers and answers.
const (
	offer  = "permessage-deflate"
	answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

func TestNegotiation(t *testing.T) {
	for _, tt := range []struct {
		name, path, offers, want string
	}{
		{"nothing offered", "/deflate", "", ""},
		{"a hub without compression", "/", offer, ""},
		{"the plain offer", "/deflate", offer, answer},
		{"as browsers offer", "/deflate", offer + "; client_max_window_bits", answer},
		{"no context of the server", "/deflate", offer + "; server_no_context_takeover", answer},
		{"no context of the client", "/deflate", offer + "; client_no_context_takeover", answer},
		{"a window of the client", "/deflate", offer + "; client_max_window_bits=9", answer},
		{"a window of the server", "/deflate", offer + "; server_max_window_bits=9", answer + "; server_max_window_bits=9"},
		{"the largest window of the server", "/deflate", offer + "; server_max_window_bits=15", answer + "; server_max_window_bits=15"},
		{"the largest window in a fallback", "/deflate", offer + "; server_max_window_bits=16, " + offer + "; server_max_window_bits=15", answer + "; server_max_window_bits=15"},
		{"no window in a fallback", "/deflate", offer + "; server_max_window_bits=16, " + offer, answer},
		{"a window in quotes", "/deflate", offer + `; server_max_window_bits="10"`, answer + "; server_max_window_bits=10"},
		{"all parameters", "/deflate", offer + "; server_max_window_bits=8; client_max_window_bits=8; server_no_context_takeover; client_no_context_takeover", answer + "; server_max_window_bits=8"},
		{"two offers", "/deflate", offer + "; server_max_window_bits=12, " + offer, answer + "; server_max_window_bits=12"},
		{"two lines", "/deflate", "x-other\r\nSec-WebSocket-Extensions: " + offer, answer},
		{"an unknown parameter", "/deflate", offer + "; x", ""},
		{"an unknown parameter, then a fallback", "/deflate", offer + "; x, " + offer, answer},
		{"a parameter twice", "/deflate", offer + "; client_max_window_bits; client_max_window_bits", ""},
		{"a value where none may be", "/deflate", offer + "; server_no_context_takeover=1", ""},
		{"no value where one must be", "/deflate", offer + "; server_max_window_bits", ""},
		{"a window of 7", "/deflate", offer + "; server_max_window_bits=7", ""},
		{"a window of 16", "/deflate", offer + "; client_max_window_bits=16", ""},
		{"a window of 08", "/deflate", offer + "; server_max_window_bits=08", ""},
		{"a malformed list", "/deflate", offer + ";", "400"},
		{"a malformed list without compression", "/", "a b", "400"},
	} {
		for _, tr := range transports {
			t.Run(tt.name+"/"+tr.name, func(t *testing.T) {
				c := dial(t, tr)
				line := ""
				if tt.offers != "" {
					line = "Sec-WebSocket-Extensions: " + tt.offers + "\r\n"
				}
				c.say(request(tt.path, line), limit)
				if tt.want == "400" {
					c.wantResponse(400)
					return
				}
				response := c.wantResponse(101)
				if got := response.Header.Get("Sec-WebSocket-Extensions"); got != tt.want {
					t.Fatalf("got %q, want %q", got, tt.want)
				}
				c.say(textMessage("hello")+goodbye, limit)
				c.hear("text hello", "close 1000")
				c.end()
			})
		}
	}
}

// packed is a compressed message in one frame.
func packed(first byte, message string) string {
	level := flate.BestCompression
	if len(message) > limit {
		level = flate.BestSpeed
	}
	return frame(first|0x40, pack(message, level))
}

// packers are compressors by level.
var packers = map[int]*flate.Writer{}

// pack compresses a message (§7.2.1).
func pack(message string, level int) string {
	var b bytes.Buffer
	w := packers[level]
	if w == nil {
		w, _ = flate.NewWriter(nil, level)
		packers[level] = w
	}
	w.Reset(&b)
	_, _ = io.WriteString(w, message)
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// unpack inflates a message (§7.2.2).
func unpack(b []byte) ([]byte, error) {
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
}

// prose is a text of n bytes that repeats itself, near and far.
func prose(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "The %d. quick brown fox jumps over %d lazy dogs. ", i, i*i%1009)
	}
	return b.String()[:n]
}

// packedBack is what a client hears of a message that is long enough to come
// back compressed.
func packedBack(first byte, message string) string { return "packed " + heard(first, []byte(message)) }

func TestDeflate(t *testing.T) {
	hello := strings.Repeat("hello ", 40)
	greek := strings.Repeat("κόσμε", 40)
	hold(t, []dialogue{
		{name: "text", path: "/deflate", offer: offer, say: packed(opText, hello), hear: []string{packedBack(opText, hello)}},
		{name: "binary", path: "/deflate", offer: offer, say: packed(opBinary, hello), hear: []string{packedBack(opBinary, hello)}},
		{name: "what gets no shorter", path: "/deflate", offer: offer, say: packed(opText, "Hello"), hear: []string{"text Hello"}},
		{name: "nothing", path: "/deflate", offer: offer, say: packed(opText, ""), hear: []string{"text"}},
		{name: "not compressed", path: "/deflate", offer: offer, say: textMessage(hello), hear: []string{packedBack(opText, hello)}},
		{name: "below the threshold", path: "/deflate/some", offer: offer, say: packed(opText, hello), hear: []string{textBack(hello)}},
		{name: "the same twice", path: "/deflate", offer: offer, say: packed(opText, hello) + packed(opText, hello), hear: []string{packedBack(opText, hello), packedBack(opText, hello)}},
		{name: "compressed and not in turn", path: "/deflate", offer: offer, say: packed(opText, "a") + textMessage("b") + packed(opBinary, "c"), hear: []string{"text a", "text b", "binary c"}},

		// The examples of §7.2.3.
		{name: "one block", path: "/deflate", offer: offer, say: frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), hear: []string{"text Hello"}},
		{name: "one block in two fragments", path: "/deflate", offer: offer, say: frame(0x41, "\xf2\x48\xcd") + frame(last, "\xc9\xc9\x07\x00"), hear: []string{"text Hello"}},
		{name: "a block without compression", path: "/deflate", offer: offer, say: frame(0xc1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), hear: []string{"text Hello"}},
		{name: "BFINAL at the end", path: "/deflate", offer: offer, say: frame(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00"), hear: []string{"text Hello"}},
		{name: "BFINAL twice", path: "/deflate", offer: offer, say: fragments(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00", 5, ""), hear: []string{"text HelloHello"}},
		{name: "BFINAL and nothing", path: "/deflate", offer: offer, say: frame(0xc1, "\x03\x00"), hear: []string{"text"}},
		{name: "BFINAL and rubbish", path: "/deflate", offer: offer, say: frame(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\xff"), hear: []string{"close 1007"}},
		{name: "BFINAL", path: "/deflate", offer: offer, say: frame(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), hear: []string{"text Hello"}},
		{name: "two blocks", path: "/deflate", offer: offer, say: frame(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), hear: []string{"text Hello"}},
		{name: "the context of another message", path: "/deflate", offer: offer, say: frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00") + frame(0xc1, "\xf2\x00\x11\x00\x00"), hear: []string{"text Hello", "close 1007"}},

		{name: "fragments", path: "/deflate", offer: offer, say: fragments(0xc1, pack(hello, 9), 1, ""), hear: []string{packedBack(opText, hello)}},
		{name: "fragments with pings between", path: "/deflate", offer: offer, say: fragments(0xc1, pack(hello, 9), 5, ping("")), hear: pongs((len(pack(hello, 9))-1)/5, packedBack(opText, hello))},
		{name: "empty fragments", path: "/deflate", offer: offer, say: frame(0x42, "") + frame(middle, pack(hello, 9)) + frame(last, ""), hear: []string{packedBack(opBinary, hello)}},
		{name: "RSV1 on a continuation", path: "/deflate", offer: offer, say: frame(0x41, pack(hello, 9)) + frame(0xc0, ""), hear: []string{"close 1002"}},
		{name: "RSV1 only on a continuation", path: "/deflate", offer: offer, say: frame(firstText, "a") + frame(0xc0, ""), hear: []string{"close 1002"}},
		{name: "RSV1 on a ping", path: "/deflate", offer: offer, say: frame(0xc9, ""), hear: []string{"close 1002"}},
		{name: "RSV1 on a pong", path: "/deflate", offer: offer, say: frame(0xca, ""), hear: []string{"close 1002"}},
		{name: "RSV1 on a close", path: "/deflate", offer: offer, say: frame(0xc8, ""), hear: []string{"close 1002"}},
		{name: "RSV2", path: "/deflate", offer: offer, say: frame(0xa1, ""), hear: []string{"close 1002"}},
		{name: "RSV1 and RSV3", path: "/deflate", offer: offer, say: frame(0xd2, ""), hear: []string{"close 1002"}},
		{name: "RSV1 on a reserved opcode", path: "/deflate", offer: offer, say: frame(0xc3, ""), hear: []string{"close 1002"}},
		{name: "RSV1 that was not offered", path: "/deflate", say: packed(opText, hello), hear: []string{"close 1002"}},
		{name: "RSV1 that was declined", path: "/deflate", offer: offer + "; x", say: packed(opText, hello), hear: []string{"close 1002"}},
		{name: "RSV1 without compression", path: "/", offer: offer, say: packed(opText, hello), hear: []string{"close 1002"}},

		{name: "not DEFLATE", path: "/deflate", offer: offer, say: frame(0xc2, "\xff\xff\xff"), hear: []string{"close 1007"}},
		{name: "DEFLATE that is cut", path: "/deflate", offer: offer, say: frame(0xc2, pack(hello, 9)[:4]), hear: []string{"close 1007"}},
		{name: "no byte at all", path: "/deflate", offer: offer, say: frame(0xc2, ""), hear: []string{"close 1007"}},
		{name: "characters", path: "/deflate", offer: offer, say: packed(opText, greek), hear: []string{packedBack(opText, greek)}},
		{name: "not UTF-8", path: "/deflate", offer: offer, say: packed(opText, "κόσμε\xed\xa0\x80"), hear: []string{"close 1007"}},
		{name: "not UTF-8 in fragments", path: "/deflate", offer: offer, say: fragments(0xc1, pack("κόσμε\xed\xa0\x80", 9), 3, ""), hear: []string{"close 1007"}},
		{name: "a character cut at the end", path: "/deflate", offer: offer, say: packed(opText, "κόσμ\xce"), hear: []string{"close 1007"}},
		{name: "not UTF-8, but binary", path: "/deflate", offer: offer, say: packed(opBinary, "\xff"), hear: []string{"binary \xff"}},

		{name: "as long as allowed", path: "/deflate/tiny", offer: offer, say: packed(opText, "0123456789"), hear: []string{"text 0123456789"}},
		{name: "as long as allowed, without compression", path: "/deflate/tiny", offer: offer, say: frame(0xc1, pack("0123456789", flate.NoCompression)), hear: []string{"text 0123456789"}},
		{name: "a byte longer", path: "/deflate/tiny", offer: offer, say: packed(opText, "0123456789a"), hear: []string{"close 1009"}},
		{name: "longer, but not compressed", path: "/deflate/tiny", offer: offer, say: textMessage("0123456789a"), hear: []string{"close 1009"}},
		{name: "a bomb", path: "/deflate/tiny", offer: offer, say: packed(opBinary, strings.Repeat("\x00", 50_000)), hear: []string{"close 1009"}},
		{name: "a larger bomb", path: "/deflate", offer: offer, say: packed(opBinary, strings.Repeat("\x00", 32<<20)), hear: []string{"close 1009"}},
		{name: "longer than any compressed message", path: "/deflate/tiny", offer: offer, say: header(0xc2, 1000) + key, hear: []string{"close 1009"}},
	})
}

// Every window and many sizes, whole and in fragments.
func TestWindows(t *testing.T) {
	var ds []dialogue
	for _, n := range []int{200, 4096, 131072, 300_000} {
		s := prose(n)
		whole, pieces := packed(opText, s), fragments(0xc2, pack(s, flate.BestSpeed), 256, "")
		for bits := 8; bits <= 15; bits++ {
			ds = append(
				ds,
				dialogue{
					name: fmt.Sprint("window ", bits, ", text of ", n), path: "/deflate/giant",
					offer: fmt.Sprint(offer, "; server_max_window_bits=", bits, "; client_max_window_bits=", bits),
					say:   whole, hear: []string{packedBack(opText, s)},
				},
				dialogue{
					name: fmt.Sprint("window ", bits, ", binary of ", n, " in fragments"), path: "/deflate/giant",
					offer: fmt.Sprint(offer, "; server_no_context_takeover; server_max_window_bits=", bits),
					say:   pieces, hear: []string{packedBack(opBinary, s)},
				},
			)
		}
	}
	s := prose(giantLimit)
	ds = append(ds, dialogue{name: "as long as can be", path: "/deflate/giant", offer: offer, say: packed(opText, s), hear: []string{packedBack(opText, s)}})
	hold(t, ds)
}

// A thousand messages one after the other.
func TestManyPacked(t *testing.T) {
	var say strings.Builder
	var hear []string
	for i := range 1000 {
		s := fmt.Sprint(prose(1000), i)
		say.WriteString(packed(opText, s))
		hear = append(hear, packedBack(opText, s))
	}
	hold(t, []dialogue{{name: "of 1,000 bytes", path: "/deflate", offer: offer, say: say.String(), hear: hear}})
}

// What is published is compressed once for all who have agreed to the full
// window, and comes plain to the others.
func TestPublishIsShared(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			var clients []*client
			for _, o := range []string{"", offer, offer + "; client_max_window_bits=8", offer + "; server_max_window_bits=9", ""} {
				c := dial(t, tr)
				c.open("/deflate/hub", o)
				c.say(textMessage(`{"auth":{"access":"read-write","secret":""}}`)+textMessage(`{"subscribe":{"channel":"c"}}`), limit)
				c.hear(`text {"ok":true}`, `text {"ok":true}`)
				clients = append(clients, c)
			}
			long := prose(2000)
			for _, data := range []string{long, "short"} {
				clients[4].say(textMessage(fmt.Sprintf(`{"publish":{"channel":"c","event":"e","data":%q}}`, data)), limit)
			}
			event := fmt.Sprintf(`{"event":"e","channel":"c","data":%q}`, long)
			var frames [][]byte
			for i, c := range clients[:4] {
				first, payload, err := readFrame(c.in)
				want := textBack(event)
				if i == 1 || i == 2 {
					want = packedBack(opText, event)
					frames = append(frames, payload)
				}
				if err != nil || heard(first, payload) != want {
					t.Fatalf("client %d: got %s, %v, want %s", i, heard(first, payload), err, want)
				}
				c.hear(`text {"event":"e","channel":"c","data":"short"}`)
			}
			if !bytes.Equal(frames[0], frames[1]) {
				t.Error("two clients got different frames")
			}
		})
	}
}
