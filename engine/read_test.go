package engine

import (
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/codec"
)

func TestMessages(t *testing.T) {
	tc := newTestConn(t)
	tc.write("1 000 0001 1 0000101", mask, "Hello")
	tc.wantMessage("Hello")
	tc.write("1 000 0001 1 0000000", mask)
	tc.wantMessage("")
	tc.write("1 000 0010 1 0000011", mask, "\xff\x00\xfe")
	tc.wantEvents("2 \xff\x00\xfe")
	tc.write(masked(codec.OpText, strings.Repeat("x", 126)))
	tc.wantMessage(strings.Repeat("x", 126))
	tc.write(masked(codec.OpText, strings.Repeat("x", DefaultMaxMessageSize)))
	tc.wantMessage(strings.Repeat("x", DefaultMaxMessageSize))
	tc.wantNothing()
	tc.wantOpen()
}

func TestFragments(t *testing.T) {
	tc := newTestConn(t)
	tc.write("0 000 0001 1 0000011", mask, "Hel")
	tc.write("0 000 0000 1 0000000", mask)
	tc.wantEvents()
	tc.write("1 000 0000 1 0000010", mask, "lo")
	tc.wantMessage("Hello")

	tc.write("0 000 0010 1 0000000", mask)
	tc.write("1 000 0000 1 0000010", mask, "\xff\xfe")
	tc.wantEvents("2 \xff\xfe")
}

// A handler may append to a message: the frames that came with it are whole.
func TestAppendToAMessage(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tl.script.onMessage = func(_ *Conn, _ codec.Opcode, payload []byte) {
		_ = append(payload, "appended"...)
	}
	tc := tl.open()
	tc.write(masked(codec.OpText, "one"), masked(codec.OpPing, "two"), masked(codec.OpText, "three"))
	tc.wantEvents("1 one", "1 three")
	tc.wantFrame("1 000 1010 0 0000011", "two")
	tc.wantOpen()
}

// "Control frames ... MAY be injected in the middle of a fragmented message."
// (RFC 6455 §5.4)
func TestControlBetweenFragments(t *testing.T) {
	tc := newTestConn(t)
	tc.write("0 000 0001 1 0000011", mask, "Hel")
	tc.write("1 000 1001 1 0000010", mask, "hi")
	tc.wantFrame("1 000 1010 0 0000010", "hi")
	tc.write("1 000 1010 1 0000010", mask, "hi")
	tc.write("1 000 1001 1 0000000", mask)
	tc.wantFrame("1 000 1010 0 0000000")
	tc.write("1 000 0000 1 0000010", mask, "lo")
	tc.wantMessage("Hello")

	tc.write("0 000 0001 1 0000011", mask, "Hel")
	tc.write(closeFrame(codec.StatusNormal, ""))
	tc.wantClose(codec.StatusNormal)
	tc.wantOnClose(codec.StatusNormal, "")
	tc.wantClosed()
}

func TestPingPong(t *testing.T) {
	tc := newTestConn(t)
	tc.write("1 000 1001 1 0000101", mask, "Hello")
	tc.wantFrame("1 000 1010 0 0000101", "Hello")
	longest := strings.Repeat("x", codec.MaxControlPayload)
	tc.write(masked(codec.OpPing, longest))
	tc.wantFrame("1 000 1010 0 1111101", longest)
	tc.write("1 000 1010 1 0000101", mask, "Hello") // a pong that nobody asked for
	tc.wantNothing()
	tc.wantEvents()
	tc.wantOpen()
}

// Each of the violations fails the connection at the first byte that shows it,
// wherever the bytes before it were cut.
func TestViolations(t *testing.T) {
	const hi = "κόσμε"
	for _, tt := range []struct {
		name   string
		before []any // fine
		wrong  []any // its first byte is a violation
		code   uint16
	}{
		{"RSV1", nil, []any{"1 100 0001"}, 1002},
		{"RSV2", nil, []any{"1 010 0001"}, 1002},
		{"RSV3", nil, []any{"1 001 0001"}, 1002},
		{"opcode 3", nil, []any{"1 000 0011"}, 1002},
		{"opcode 15", nil, []any{"1 000 1111"}, 1002},
		{"not masked", []any{"1 000 0001"}, []any{"0 0000101", "Hello"}, 1002},
		{"ping not masked", []any{"1 000 1001"}, []any{"0 0000000"}, 1002},
		{"ping in fragments", nil, []any{"0 000 1001"}, 1002},
		{"long ping", []any{"1 000 1001"}, []any{"1 1111110"}, 1002},
		{"continuation of nothing", []any{"1 000 0000 1 0000000", mask[:3]}, []any{mask[3:]}, 1002},
		{"continuation after the end", []any{
			"0 000 0001 1 0000001", mask, "a", "1 000 0000 1 0000001", mask, "b",
			"1 000 0000 1 0000001", mask[:3],
		}, []any{mask[3:]}, 1002},
		{"message within a message", []any{
			"0 000 0001 1 0000001", mask, "a", "1 000 0001 1 0000001", mask[:3],
		}, []any{mask[3:]}, 1002},
		{"too big", []any{"1 000 0001 1 1111111", "00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000001", mask[:3]}, []any{mask[3:]}, 1009},
		{"much too big", []any{"1 000 0010 1 1111111", "01111111 11111111 11111111 11111111 11111111 11111111 11111111 11111111", mask[:3]}, []any{mask[3:]}, 1009},
		{"too big in fragments", []any{
			"0 000 0001 1 0000001", mask, "a", "0 000 0000 1 1111111",
			"00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000000", mask[:3],
		}, []any{mask[3:]}, 1009},
		{"never UTF-8", []any{"1 000 0001 1 0010000", mask, hi}, []any{[]byte{0xff}}, 1007},
		{"surrogate", []any{"1 000 0001 1 0010000", mask, hi, []byte{0xed}}, []any{[]byte{0xa0}}, 1007},
		{"overlong", []any{"1 000 0001 1 0010000", mask, hi}, []any{[]byte{0xc0}}, 1007},
		{"beyond Unicode", []any{"1 000 0001 1 0010000", mask, hi, []byte{0xf4}}, []any{[]byte{0x90}}, 1007},
		{"character across fragments", []any{
			"0 000 0001 1 0000001", mask, []byte{0xce}, "1 000 0000 1 0000001", mask,
		}, []any{[]byte{0x20}}, 1007},
		{"open character at the end", []any{"1 000 0001 1 0000011", mask, "a", []byte{0xf0}}, []any{[]byte{0x9f}}, 1007},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := draw(append(append([]any{}, tt.before...), tt.wrong...)...)
			before := len(draw(tt.before...))
			for n := 1; n <= before+1; n++ {
				tc := newTestConn(t)
				for _, piece := range cut(append([]byte(nil), all[:before]...), n) {
					tc.write(rawBytes(piece)...)
				}
				tc.wantNothing()
				tc.events = nil
				tc.wantOpen()
				tc.write(rawBytes(all[before:])...)
				tc.wantClose(tt.code)
				tc.wantFinished()
				if len(tc.events) != 1 || !strings.HasPrefix(tc.events[0], "close: ") {
					t.Fatalf("Protocol was told %q, want the close", tc.events)
				}

				tc.write(masked(codec.OpText, "more"))
				tc.write("0 111 1111")
				tc.wantNothing()
				if tc.in != nil {
					t.Fatal("the input is kept")
				}
				tc.hangUp(errReset)
				tc.tl.turn()
				if len(tc.events) != 1 {
					t.Fatalf("Protocol was told %q, want one close", tc.events)
				}
			}
		})
	}
}

// rawBytes are bytes for draw that stand for themselves.
func rawBytes(b []byte) []any { return []any{b} }

// A message that is too big is refused before anything is set aside for it.
func TestTooBigIsNotBuffered(t *testing.T) {
	tc := newTestConn(t)
	big := masked(codec.OpText, strings.Repeat("x", DefaultMaxMessageSize+1))
	tc.write(big)
	tc.wantClose(codec.StatusTooBig)
	for _, in := range tc.tl.inputs {
		if cap(in.message) > 0 {
			t.Errorf("%d bytes were set aside", cap(in.message))
		}
	}
}

// What a client announces costs nothing until it comes.
func TestAnnouncedIsNotBuffered(t *testing.T) {
	tc := newTestConn(t)
	tc.write("1 000 0001 1 1111111", "00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000000", mask, "x")
	if got := cap(tc.in.message); got > 64 {
		t.Errorf("%d bytes are set aside for one", got)
	}
}

// Empty fragments do not add up to anything.
func TestManyEmptyFragments(t *testing.T) {
	tc := newTestConn(t)
	tc.write("0 000 0001 1 0000000", mask)
	for range 10_000 {
		tc.send("0 000 0000 1 0000000", mask)
	}
	tc.write("1 000 0000 1 0000000", mask)
	tc.wantMessage("")
}

// After each message nothing is kept for a connection.
func TestIdleKeepsNothing(t *testing.T) {
	tc := newTestConn(t)
	for _, message := range [][]byte{
		masked(codec.OpText, "hello"), masked(codec.OpPing, "hello"), masked(codec.OpPong, ""),
		draw("0 000 0001 1 0000001", mask, "a", "1 000 0000 1 0000001", mask, "b"),
	} {
		for i := range message {
			tc.write(rawBytes(message[:i])...)
			tc.write(rawBytes(message[i:])...)
			if tc.in != nil || tc.out != nil {
				t.Fatalf("%q cut at %d: input %v and outbox %v are kept", message, i, tc.in, tc.out)
			}
			clear(tc.got)
			tc.got, tc.events = nil, nil
		}
	}
	if len(tc.tl.inputs) != 1 || len(tc.tl.outboxes) != 1 {
		t.Errorf("%d inputs and %d outboxes in the pools, want one of each", len(tc.tl.inputs), len(tc.tl.outboxes))
	}
}

// A large message leaves no large buffer in the pool.
func TestPooledInputIsSmall(t *testing.T) {
	tc := newTestConn(t)
	big := masked(codec.OpText, strings.Repeat("x", DefaultMaxMessageSize))
	for _, piece := range cut(big, 1000) {
		tc.write(rawBytes(piece)...)
	}
	for _, in := range tc.tl.inputs {
		if cap(in.message) > pooledMessage {
			t.Errorf("a pooled input keeps %d bytes", cap(in.message))
		}
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	tc := newTestConn(t)
	tc.tl.dials = map[*Conn]*testConn{}
	tc.endpoint.Protocol = hooks{}
	small := masked(codec.OpText, "hello")
	b := make([]byte, len(small))
	for _, tt := range []struct {
		name string
		feed func()
	}{
		{"whole", func() { tc.feed(b) }},
		{"cut", func() { tc.feed(b[:3]); tc.feed(b[3:8]); tc.feed(b[8:]) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := testing.AllocsPerRun(100, func() {
				copy(b, small)
				tt.feed()
				tc.loop.turn()
			})
			if got != 0 {
				t.Errorf("%v allocations, want none", got)
			}
		})
	}
}
