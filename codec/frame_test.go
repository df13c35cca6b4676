package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gobwas/ws"
)

// draw makes bytes of drawn bits, of text and of raw bytes:
//
//	draw("1 000 0001 1 0000101", mask, "hello")
//
// A string of zeros, ones and spaces is bits; every other string stands for itself.
func draw(parts ...any) (b []byte) {
	for _, part := range parts {
		switch p := part.(type) {
		case [4]byte:
			b = append(b, p[:]...)
		case []byte:
			b = append(b, p...)
		case string:
			if strings.Trim(p, "01 ") != "" {
				b = append(b, p...)
				continue
			}
			bits := strings.ReplaceAll(p, " ", "")
			for ; bits != ""; bits = bits[8:] {
				var c byte
				fmt.Sscanf(bits[:8], "%b", &c)
				b = append(b, c)
			}
		}
	}
	return b
}

// zeros returns n zero bits.
func zeros(n int) string { return strings.Repeat("0", n) }

var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

func TestParseHeader(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want Header
	}{
		{"empty text", draw("1 000 0001 1 0000000", mask), Header{Fin: true, OpCode: OpText}},
		{"hello", draw("1 000 0001 1 0000101", mask), Header{Fin: true, OpCode: OpText, Length: 5}},
		{"first fragment", draw("0 000 0010 1 0000001", mask), Header{OpCode: OpBinary, Length: 1}},
		{"continuation", draw("0 000 0000 1 1111101", mask), Header{OpCode: OpContinuation, Length: 125}},
		{"ping", draw("1 000 1001 1 1111101", mask), Header{Fin: true, OpCode: OpPing, Length: 125}},
		{"pong", draw("1 000 1010 1 0000000", mask), Header{Fin: true, OpCode: OpPong}},
		{"close", draw("1 000 1000 1 0000010", mask), Header{Fin: true, OpCode: OpClose, Length: 2}},
		{
			"least of 16 bits", draw("1 000 0010 1 1111110", "00000000 01111110", mask),
			Header{Fin: true, OpCode: OpBinary, Length: 126},
		},
		{
			"256 bytes", draw("1 000 0010 1 1111110", "00000001 00000000", mask),
			Header{Fin: true, OpCode: OpBinary, Length: 256},
		},
		{
			"most of 16 bits", draw("1 000 0010 1 1111110", "11111111 11111111", mask),
			Header{Fin: true, OpCode: OpBinary, Length: 65535},
		},
		{
			"least of 64 bits", draw("1 000 0010 1 1111111", zeros(40), "00000001"+zeros(16), mask),
			Header{Fin: true, OpCode: OpBinary, Length: 65536},
		},
		{
			"most of 64 bits", draw("1 000 0010 1 1111111", "0"+strings.Repeat("1", 63), mask),
			Header{Fin: true, OpCode: OpBinary, Length: 1<<63 - 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Masked, tt.want.Mask = true, mask
			got, n, err := ParseHeader(append(tt.in, "payload"...), 0)
			if err != nil || n != len(tt.in) || got != tt.want {
				t.Errorf("got %+v, %d, %v, want %+v, %d", got, n, err, tt.want, len(tt.in))
			}
			for i := range tt.in {
				got, n, err := ParseHeader(tt.in[:i], 0)
				if err != nil || n != 0 || got != (Header{}) {
					t.Errorf("cut at %d: got %+v, %d, %v, want nothing", i, got, n, err)
				}
			}
		})
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte // up to the byte that is wrong
		want error
	}{
		{"RSV1", draw("1 100 0001"), errRSV},
		{"RSV2", draw("1 010 0001"), errRSV},
		{"RSV3", draw("0 001 0000"), errRSV},
		{"opcode 3", draw("1 000 0011"), errOpcode},
		{"opcode 7", draw("1 000 0111"), errOpcode},
		{"opcode 11", draw("1 000 1011"), errOpcode},
		{"opcode 15", draw("0 000 1111"), errOpcode},
		{"ping in fragments", draw("0 000 1001"), errFragmented},
		{"close in fragments", draw("0 000 1000"), errFragmented},
		{"not masked", draw("1 000 0001 0 0000101"), errNotMasked},
		{"ping not masked", draw("1 000 1001 0 0000000"), errNotMasked},
		{"long ping", draw("1 000 1001 1 1111110"), errControl},
		{"very long close", draw("1 000 1000 1 1111111"), errControl},
		{"125 in 16 bits", draw("1 000 0001 1 1111110", "00000000 01111101"), errNotMinimal},
		{"0 in 16 bits", draw("1 000 0001 1 1111110", zeros(16)), errNotMinimal},
		{"under 65536 in 64 bits", draw("1 000 0001 1 1111111", zeros(48)), errNotMinimal},
		{"top bit", draw("1 000 0001 1 1111111", "10000000"), errTopBit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.in {
				if _, n, err := ParseHeader(tt.in[:i], 0); n != 0 || err != nil {
					t.Errorf("cut at %d: got %d, %v, want nothing", i, n, err)
				}
			}
			for _, rest := range []string{"", "\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
				h, n, err := ParseHeader(draw(tt.in, []byte(rest)), 0)
				if err != tt.want || n != 0 || h != (Header{}) {
					t.Errorf("before %x: got %+v, %d, %v, want %v", rest, h, n, err, tt.want)
				}
			}
			var closing *CloseError
			if !errors.As(tt.want, &closing) || closing.Code != StatusProtocolError {
				t.Errorf("got %v, want a *CloseError with code %d", tt.want, StatusProtocolError)
			}
		})
	}
}

// TestFrameVectors has the examples of RFC 6455 §5.7.
func TestFrameVectors(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"unmasked text", AppendFrame(nil, OpText, []byte("Hello")), "810548656c6c6f"},
		{"masked text", AppendMaskedFrame(nil, OpText, []byte("Hello"), mask), "818537fa213d7f9f4d5158"},
		{"unmasked ping", AppendFrame(nil, OpPing, []byte("Hello")), "890548656c6c6f"},
		{"masked pong", AppendMaskedFrame(nil, OpPong, []byte("Hello"), mask), "8a8537fa213d7f9f4d5158"},
		{"256 bytes", AppendHeader(nil, OpBinary, 256), "827e0100"},
		{"64 KiB", AppendHeader(nil, OpBinary, 65536), "827f0000000000010000"},
		{"after other bytes", AppendFrame([]byte{0xff}, OpText, nil), "ff8100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := hex.EncodeToString(tt.got); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestFrameRoundTrip writes frames as a client does and reads them back, around every border of the length.
func TestFrameRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537} {
		payload := bytes.Repeat([]byte("payload"), size/7+1)[:size]
		frame := AppendMaskedFrame(nil, OpBinary, payload, mask)
		h, n, err := ParseHeader(frame, 0)
		if err != nil || h.Length != int64(size) || len(frame) != n+size {
			t.Fatalf("%d bytes: got %+v, %d, %v", size, h, n, err)
		}
		got := frame[n:]
		Mask(got, h.Mask, 0)
		if !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: the payload has changed", size)
		}
		unmasked := AppendFrame(nil, OpBinary, payload)
		if len(unmasked) != len(frame)-len(mask) || !bytes.HasSuffix(unmasked, payload) {
			t.Errorf("%d bytes: the unmasked frame has %d bytes, the masked one %d", size, len(unmasked), len(frame))
		}
	}
}

// TestMaskCut unmasks a payload in two pieces, cut at every byte.
func TestMaskCut(t *testing.T) {
	want := []byte("The quick brown fox jumps over the lazy dog, twice and once more.")
	for i := range want {
		got := bytes.Clone(want)
		Mask(got, mask, 0)
		Mask(got[:i], mask, 0)
		Mask(got[i:], mask, i)
		if !bytes.Equal(got, want) {
			t.Errorf("cut at %d: got %q", i, got)
		}
	}
}

// FuzzParseHeader compares with gobwas/ws, which accepts lengths that are not minimal.
func FuzzParseHeader(f *testing.F) {
	f.Add(draw("1 000 0001 1 0000101", mask))
	f.Add(draw("0 000 0000 1 1111110", "00000000 01111110", mask))
	f.Add(draw("1 000 1000 1 1111111", zeros(56), "00110111", mask))
	f.Add(draw("1 000 0010 1 1111111", zeros(40), "00000001"+zeros(16), mask))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseHeader(b, 0)
		if n > 0 && err != nil || n == 0 && h != (Header{}) {
			t.Fatalf("got %+v, %d, %v", h, n, err)
		}
		r := bytes.NewReader(b)
		want, wantErr := ws.ReadHeader(iotest.OneByteReader(r))
		if wantErr != nil {
			if n != 0 {
				t.Fatalf("got %+v, want %v", h, wantErr)
			}
			return
		}
		used := len(b) - r.Len()
		if !isMinimal(want, used) {
			if err == nil {
				t.Fatalf("got %+v, want an error", h)
			}
			return
		}
		state := ws.StateServerSide
		if want.OpCode == OpContinuation {
			state |= ws.StateFragmented
		}
		wantErr = ws.CheckHeader(want, state)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, want %v", err, wantErr)
		}
		if err == nil && (h != want || n != used) {
			t.Fatalf("got %+v, %d, want %+v, %d", h, n, want, used)
		}
		checkCuts(t, b, n, err)
	})
}

// isMinimal reports whether a header of n bytes is as short as it can be.
func isMinimal(h Header, n int) bool {
	if h.Masked {
		n -= len(h.Mask)
	}
	return n == len(AppendHeader(nil, h.OpCode, int(h.Length)))
}

// checkCuts checks that no cut of a header says something else than the whole.
func checkCuts(t *testing.T, b []byte, n int, err error) {
	t.Helper()
	for i := range b {
		_, m, cutErr := ParseHeader(b[:i], 0)
		if cutErr != nil && cutErr != err || m != 0 && m != n || n > 0 && i >= n && m != n {
			t.Fatalf("cut at %d: got %d, %v, want %d, %v or nothing yet", i, m, cutErr, n, err)
		}
	}
}

func TestFrameAllocs(t *testing.T) {
	frame := AppendMaskedFrame(nil, OpText, make([]byte, 200), mask)
	bad := draw("1 000 0011")
	dst := make([]byte, 0, 1024)
	got := testing.AllocsPerRun(100, func() {
		h, n, _ := ParseHeader(frame, 0)
		Mask(frame[n:], h.Mask, 0)
		ParseHeader(bad, 0)
		dst = AppendFrame(dst[:0], OpText, frame[n:])
		dst = AppendMaskedFrame(dst, OpText, frame[n:], mask)
		dst = AppendClose(dst, StatusNormal, "bye")
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func BenchmarkParseHeader(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		frame := AppendMaskedFrame(nil, OpText, make([]byte, size), mask)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, n, err := ParseHeader(frame, 0); n == 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkMask(b *testing.B) {
	for _, size := range []int{128, 4096} {
		payload := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				Mask(payload, mask, 0)
			}
		})
	}
}
