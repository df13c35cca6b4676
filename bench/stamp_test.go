package bench

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"
)

func TestStamp(t *testing.T) {
	tests := []struct {
		name        string
		stream, seq uint32
		at          int64
		want        string
	}{
		{"zero", 0, 0, 0, "00000000000000000000000000000000"},
		{"small", 1, 2, 3, "00000001000000020000000000000003"},
		{"each digit", 12345678, 90123456, 7890123456789012, "12345678901234567890123456789012"},
		{"largest", 99999999, maxSeq, 9999999999999999, "99999999999999999999999999999999"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := make([]byte, stampLen)
			putStamp(b, tt.stream, tt.seq, tt.at)
			if string(b) != tt.want {
				t.Errorf("putStamp = %s, want %s", b, tt.want)
			}
			stream, seq, at, ok := parseStamp(b)
			if stream != tt.stream || seq != tt.seq || at != tt.at || !ok {
				t.Errorf("parseStamp = %d, %d, %d, %v, want %d, %d, %d, true", stream, seq, at, ok, tt.stream, tt.seq, tt.at)
			}
		})
	}
}

func FuzzDigits8(f *testing.F) {
	f.Add([]byte("00000000"))
	f.Add([]byte("12345678"))
	f.Add([]byte("1234567/"))
	f.Add([]byte(":2345678"))
	f.Add([]byte("\xff2345678"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 8 {
			return
		}
		b = b[:8]
		digits := len(bytes.Trim(b, "0123456789")) == 0
		got, ok := digits8(b)
		if ok != digits {
			t.Fatalf("digits8(%q) is ok: %v, want %v", b, ok, digits)
		}
		if want, _ := strconv.Atoi(string(b)); ok && int(got) != want {
			t.Errorf("digits8(%q) = %d, want %d", b, got, want)
		}
	})
}

func TestPayload(t *testing.T) {
	for _, size := range []int{minPayload, 35, 128, 1000} {
		b := payload(size)
		if len(b) != size {
			t.Errorf("payload(%d) has %d bytes", size, len(b))
		}
		if !json.Valid(b) {
			t.Errorf("payload(%d) = %s is not JSON", size, b)
		}
		if _, _, _, ok := parseStamp(b[1:]); !ok {
			t.Errorf("payload(%d) = %s has no stamp", size, b)
		}
	}
}

func TestPublishFrame(t *testing.T) {
	for _, name := range DialectNames() {
		d, _ := DialectNamed(name)
		frame, at, pos := publishFrame(d, channelName(7), payload(128))
		var stamp [stampLen]byte
		putStamp(stamp[:], 3, 4, 5)
		maskAt(stamp[:], pos)
		copy(frame[at:], stamp[:])

		message := unmaskFrame(t, frame)
		want := payload(128)
		putStamp(want[1:], 3, 4, 5)
		if !bytes.Equal(message, d.AppendPublish(nil, channelName(7), want)) {
			t.Errorf("%s: stamped frame holds %s", name, message)
		}
	}
}

// unmaskFrame reads a frame of a client the plain way.
func unmaskFrame(t *testing.T, frame []byte) []byte {
	t.Helper()
	if frame[1]&0x80 == 0 {
		t.Fatalf("frame % x is not masked", frame[:2])
	}
	head := 2
	switch frame[1] & 0x7f {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	key, p := frame[head:head+4], bytes.Clone(frame[head+4:])
	for i := range p {
		p[i] ^= key[i%4]
	}
	return p
}
