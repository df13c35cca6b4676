package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

func TestParseClose(t *testing.T) {
	for _, tt := range []struct {
		name   string
		in     string
		code   uint16
		reason string
		want   error
	}{
		{"empty", "", StatusNoStatus, "", nil},
		{"half a code", "\x03", 0, "", errCloseShort},
		{"normal", "\x03\xe8", StatusNormal, "", nil},
		{"with a reason", "\x03\xe9adiós", StatusGoingAway, "adiós", nil},
		{"bad reason", "\x03\xe8\xff", 0, "", errCloseReason},
		{"reason is cut", "\x03\xe8\xc3", 0, "", errCloseReason},
		{"bad code and bad reason", "\x00\x00\xff", 0, "", errCloseCode},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, reason, err := ParseClose([]byte(tt.in))
			if code != tt.code || reason != tt.reason || err != tt.want {
				t.Errorf("got %d, %q, %v, want %d, %q, %v", code, reason, err, tt.code, tt.reason, tt.want)
			}
		})
	}
}

func TestParseCloseCodes(t *testing.T) {
	legal := func(code int) bool {
		return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
	}
	for code := range 0x10000 {
		got, _, err := ParseClose(binary.BigEndian.AppendUint16(nil, uint16(code)))
		if legal(code) && (err != nil || int(got) != code) {
			t.Errorf("%d: got %d, %v, want no error", code, got, err)
		}
		if !legal(code) && err != errCloseCode {
			t.Errorf("%d: got %d, %v, want %v", code, got, err, errCloseCode)
		}
	}
}

func TestAppendClose(t *testing.T) {
	long := strings.Repeat("x", 122)
	for _, tt := range []struct {
		name   string
		code   uint16
		reason string
		want   []byte
	}{
		{"no reason", 1000, "", draw("1 000 1000 0 0000010", "\x03\xe8")},
		{"reason", 1001, "bye", draw("1 000 1000 0 0000101", "\x03\xe9bye")},
		{"no status", StatusNoStatus, "bye", draw("1 000 1000 0 0000000")},
		{"just fits", 1000, long + "x", draw("1 000 1000 0 1111101", "\x03\xe8"+long+"x")},
		{"cut", 1000, long + "xyz", draw("1 000 1000 0 1111101", "\x03\xe8"+long+"x")},
		{"cut before ó", 1000, long + "ó", draw("1 000 1000 0 1111100", "\x03\xe8"+long)},
		{"cut before a rocket", 1000, long[:120] + "🚀", draw("1 000 1000 0 1111010", "\x03\xe8"+long[:120])},
		{"not UTF-8", 1000, "a\xffb", draw("1 000 1000 0 0000111", "\x03\xe8a\uFFFDb")},
		{"after other bytes", 1000, "", draw("1 000 1000 0 0000010", "\x03\xe8")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := AppendClose(nil, tt.code, tt.reason); !bytes.Equal(got, tt.want) {
				t.Errorf("got %x, want %x", got, tt.want)
			}
		})
	}
}

func TestCloseErrorText(t *testing.T) {
	got := (&CloseError{Code: StatusTooBig, Reason: "no room"}).Error()
	if want := "websocket: close 1009: no room"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzParseClose compares with gobwas/ws, which lacks the codes 1010 to 1014 and does not stop at 4999, and writes
// back what was read.
func FuzzParseClose(f *testing.F) {
	f.Add([]byte("\x03\xe8bye"))
	f.Add([]byte("\x30\x30"))
	f.Add([]byte("\x0b\xb8\xf0\x9f\x9a\x80"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		code, reason, err := ParseClose(payload)
		if len(payload) < 2 || len(payload) > MaxControlPayload {
			return
		}
		wantErr := ws.CheckCloseFrameData(ws.ParseCloseFrameData(payload))
		raw := binary.BigEndian.Uint16(payload)
		if known := raw < 1010 || raw > 1014 && raw < 5000; known && (err == nil) != (wantErr == nil) {
			t.Errorf("got %v, want %v", err, wantErr)
		}
		var closing *CloseError
		if err != nil && !errors.As(err, &closing) {
			t.Errorf("got %T, want a *CloseError", err)
		}
		if err != nil {
			return
		}
		if !utf8.ValidString(reason) {
			t.Errorf("reason %q is not valid", reason)
		}
		if got := AppendClose(nil, code, reason)[2:]; !bytes.Equal(got, payload) {
			t.Errorf("got %x, want %x", got, payload)
		}
	})
}
