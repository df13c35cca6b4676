package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// conversations are what clients may say after their handshake.
var conversations = []struct {
	name string
	said []byte
}{
	{"nothing", nil},
	{"messages", draw(masked(codec.OpText, "hello"), masked(codec.OpBinary, "\xff\xfe"), masked(codec.OpText, ""))},
	{"fragments and control", draw(
		"0 000 0001 1 0000011", mask, "Hel", "1 000 1001 1 0000010", mask, "hi",
		"0 000 0000 1 0000000", mask, "1 000 1010 1 0000000", mask,
		"1 000 0000 1 0000010", mask, "lo",
	)},
	{"characters across fragments", draw(
		"0 000 0001 1 0000011", mask, "κ\xce", "0 000 0000 1 0000001", mask, []byte{0xbb},
		"1 000 0000 1 0000010", mask, "λ",
	)},
	{"16 bits of length", masked(codec.OpText, strings.Repeat("x", 300))},
	{"close", draw(masked(codec.OpText, "hello"), closeFrame(1000, "bye"), masked(codec.OpText, "more"))},
	{"close in a message", draw("0 000 0001 1 0000001", mask, "a", closeFrame(1001, ""))},
	{"wrong close", draw(masked(codec.OpText, "hello"), closeFrame(999, ""), masked(codec.OpText, "more"))},
	{"violation", draw(masked(codec.OpText, "hello"), "1 100 0001 1 0000000", mask, masked(codec.OpText, "more"))},
	{"not UTF-8", draw(masked(codec.OpText, "hello"), masked(codec.OpText, "\xff"), masked(codec.OpText, "more"))},
	{"too big", draw(masked(codec.OpText, "hello"), masked(codec.OpText, strings.Repeat("x", fuzzMessageMax+1)))},
	{"the handler panics", draw(masked(codec.OpText, "panic"), masked(codec.OpText, "more"))},
	{"the handler closes", draw(masked(codec.OpText, "close"), masked(codec.OpText, "more"), closeFrame(1000, ""))},
	{"the handler closes, then a violation", draw(masked(codec.OpText, "close"), "0 111 0000")},
	{"the handler closes, then pings", draw(masked(codec.OpText, "close"), masked(codec.OpPing, "p"), masked(codec.OpPing, "q"), closeFrame(1000, ""), masked(codec.OpPing, "r"))},

	{"compressed", draw("1 100 0001 1 0000111", mask, hello, masked(codec.OpText, strings.Repeat("hello ", 50)))},
	{"compressed in fragments", draw(
		"0 100 0001 1 0000011", mask, hello[:3], masked(codec.OpPing, "p"),
		"0 000 0000 1 0000000", mask, "1 000 0000 1 0000100", mask, hello[3:], masked(codec.OpText, "plain"),
	)},
	{"compressed wrongly", draw("1 100 0001 1 0000011", mask, []byte{255, 255, 255}, masked(codec.OpText, "more"))},
	{"compressed text that is not UTF-8", draw("1 100 0001 1 0000111", mask, []byte("\x00\x01\x00\xfe\xff\xff\x00"))},
	{"compressed and too big", draw("1 100 0001 1 1111110 10000000 00000000", mask)},
	{"a compressed ping", draw("1 100 1001 1 0000000", mask)},
	{"a compressed continuation", draw("0 100 0001 1 0000011", mask, hello[:3], "1 100 0000 1 0000100", mask, hello[3:])},
}

// hello is Hello, compressed (RFC 7692 §7.2.3.1).
var hello = []byte("\xf2\x48\xcd\xc9\xc9\x07\x00")

// greetings are the handshakes before a conversation.
var greetings = []string{request, strings.TrimSuffix(request, "\r\n") + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", ""}

const fuzzMessageMax = 1000

// converse says the pieces to a new connection, one a turn, and returns all
// that can be seen of it.
func converse(t testing.TB, pieces [][]byte) string {
	t.Helper()
	tl := newTestLoop(t, Config{}, Endpoint{MaxMessageSize: fuzzMessageMax, Compression: true, CompressionThreshold: 1})
	tl.script.onMessage = func(c *Conn, op codec.Opcode, payload []byte) {
		switch string(payload) {
		case "panic":
			panic("oops")
		case "close":
			c.Close(codec.StatusNormal, "")
		}
		c.Send(op, payload)
		clear(payload) // it is the Protocol's until OnMessage returns
	}
	tc := tl.dial()
	for _, piece := range pieces {
		tc.write(rawBytes(piece)...)
	}
	if bytes.HasPrefix(tc.got, []byte("HTTP/1.1 4")) || bytes.HasPrefix(tc.got, []byte("HTTP/1.1 5")) {
		tc.got = []byte("refused") // of several things that are wrong it names the first that it sees
	}
	seen := fmt.Sprintf("%q %q finished %t, closed %t, state %d", tc.events, tc.got, tc.finished, tc.closed, tc.state)
	if _, frames, ok := bytes.Cut(tc.got, []byte("\r\n\r\n")); ok && tc.Conn.endpoint != nil {
		if err := checkFrames(frames); err != nil {
			t.Errorf("%v in %q", err, frames)
		}
	}
	if !tc.closed {
		tc.hangUp(errReset)
		tl.turn()
	}
	wantOrder(t, tc.events)
	if len(tl.free) != 1 || tc.in != nil || tc.out != nil {
		t.Errorf("its slot, input or outbox is not free")
	}
	return seen
}

// wantOrder fails unless there is one OnClose, the last, for an OnOpen, the
// first.
func wantOrder(t testing.TB, events []string) {
	t.Helper()
	for i, e := range events {
		isOpen, isClose := e == "open", strings.HasPrefix(e, "close: ")
		if isOpen != (i == 0) || isClose != (i == len(events)-1) {
			t.Errorf("Protocol was told %q", events)
		}
	}
}

// checkFrames tells whether b is frames as a server sends them: whole, final,
// unmasked, of minimal length, only pongs after a Close frame. It is written
// without the codec.
func checkFrames(b []byte) error {
	for closed := false; len(b) > 0; {
		if len(b) < 2 {
			return fmt.Errorf("half a header")
		}
		op, length, head := b[0]&15, uint64(b[1]), 2
		if b[0]&0xb0 != 0x80 || b[1] > 127 || b[0]&0x40 != 0 && op != 1 && op != 2 || closed && op != 10 {
			return fmt.Errorf("header % x", b[:2])
		}
		switch {
		case op != 1 && op != 2 && length > 125, op == 0, op > 2 && op < 8, op > 10:
			return fmt.Errorf("header % x", b[:2])
		case length == 126:
			length, head = uint64(binary.BigEndian.Uint16(b[2:])), 4
			if length < 126 {
				return fmt.Errorf("length %d in 16 bits", length)
			}
		case length == 127:
			length, head = binary.BigEndian.Uint64(b[2:]), 10
			if length < 1<<16 {
				return fmt.Errorf("length %d in 64 bits", length)
			}
		}
		if uint64(len(b)-head) < length {
			return fmt.Errorf("half a frame")
		}
		b = b[uint64(head)+length:]
		closed = closed || op == 8
	}
	return nil
}

// Wherever a conversation is cut, it is the same.
func TestCutAtEveryByte(t *testing.T) {
	for _, tt := range conversations {
		t.Run(tt.name, func(t *testing.T) {
			for _, greeting := range greetings[:2] {
				wantAnyCut(t, greeting, tt.said)
			}
		})
	}
}

func wantAnyCut(t *testing.T, greeting string, said []byte) {
	t.Helper()
	said = append([]byte(greeting), said...)
	want := converse(t, [][]byte{said})
	for i := len(greeting); i <= len(said); i++ {
		if got := converse(t, [][]byte{said[:i], said[i:]}); got != want {
			t.Fatalf("cut at %d: got %s, want %s", i, got, want)
		}
	}
	for n := 1; n < 20; n++ {
		if got := converse(t, cut(said, n)); got != want {
			t.Fatalf("in pieces of %d: got %s, want %s", n, got, want)
		}
	}
}

// cutAnywhere returns b in pieces that depend on the seed.
func cutAnywhere(b []byte, seed uint64) (pieces [][]byte) {
	r := rand.New(rand.NewPCG(seed, seed))
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(1<<r.IntN(10)))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}

// FuzzConn says anything, cut anywhere, after a greeting and without one.
func FuzzConn(f *testing.F) {
	for i, c := range conversations {
		f.Add(c.said, uint64(i), uint8(i%2))
		f.Add(c.said, uint64(i), uint8(1))
	}
	f.Add([]byte(request), uint64(1), uint8(2))
	f.Add([]byte(strings.Replace(request, "GET", "PUT", 1)), uint64(2), uint8(2))
	f.Fuzz(func(t *testing.T, said []byte, seed uint64, greeting uint8) {
		said = append([]byte(greetings[int(greeting)%len(greetings)]), said...)
		want := converse(t, [][]byte{said})
		if got := converse(t, cutAnywhere(said, seed)); got != want {
			t.Errorf("cut: got %s, want %s", got, want)
		}
	})
}

// FuzzWrite gives frames of these sizes to a reader that takes them a few bytes
// at a time.
func FuzzWrite(f *testing.F) {
	f.Add([]byte{0, 5, 255, 3}, uint64(1))
	f.Fuzz(func(t *testing.T, sizes []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, seed))
		tl := newTestLoop(t, Config{}, Endpoint{})
		tc := tl.open()
		tc.room = 0
		var want []byte
		for i, size := range sizes {
			frame := text(strings.Repeat(string(rune('a'+i%26)), int(size)))
			want = append(want, frame...)
			if r.IntN(2) == 0 {
				tc.SendFrame(frame)
			} else {
				tl.deliver([]*testConn{tc}, r.IntN(2) == 0, delivery.Several*uint64(r.IntN(2)), frame)
			}
			if r.IntN(2) == 0 {
				tc.read(r.IntN(400))
			}
		}
		tc.read(unlimited)
		tc.want(want)
		tc.wantNothing()
	})
}
