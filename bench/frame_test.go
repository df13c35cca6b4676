package bench

import (
	"bytes"
	"errors"
	"testing"
)

// serverFrame is a whole frame that is not masked.
func serverFrame(opcode byte, p []byte) []byte {
	masked := appendFrame(nil, opcode, p)
	head := len(masked) - len(p) - 4
	masked[1] &= 0x7f
	return append(masked[:head], p...)
}

func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, maxFrame} {
		p := bytes.Repeat([]byte("x"), size)
		if got := unmaskFrame(t, appendFrame(nil, opText, p)); !bytes.Equal(got, p) {
			t.Errorf("a masked frame of %d bytes does not come back", size)
		}
		b := serverFrame(opBinary, p)
		opcode, start, end, err := parseFrame(append(b, "next"...))
		if err != nil || opcode != opBinary || end != len(b) || !bytes.Equal(b[start:end], p) {
			t.Errorf("parseFrame of %d bytes = %d, %d, %d, %v, want %d, %d, %d", size, opcode, start, end, err, opBinary, len(b)-size, len(b))
		}
		for cut := range min(len(b), 200) {
			if _, _, _, err := parseFrame(b[:cut]); !errors.Is(err, errShort) {
				t.Errorf("parseFrame of %d of %d bytes: %v, want %v", cut, len(b), err, errShort)
			}
		}
	}
}

func TestParseFrameRefuses(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
	}{
		{"masked", []byte{0x81, 0x80, 1, 2, 3, 4}},
		{"fragment", []byte{0x01, 0x01, 'a'}},
		{"continuation", []byte{0x80, 0x01, 'a'}},
		{"reserved bit", []byte{0xC1, 0x01, 'a'}},
		{"too long", []byte{0x81, 127, 0, 0, 0, 0, 0, 2, 0, 1}},
		{"absurdly long", []byte{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, _, err := parseFrame(tt.b); err == nil || errors.Is(err, errShort) {
				t.Errorf("parseFrame(% x) = %v, want an error", tt.b, err)
			}
		})
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte{0x81, 0x01, 'a'})
	f.Add([]byte{0x82, 126, 0, 1, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, start, end, err := parseFrame(b)
		if err == nil && (start > end || end > len(b) || start < 2) {
			t.Errorf("parseFrame(% x) = %d, %d of %d bytes", b, start, end, len(b))
		}
	})
}
