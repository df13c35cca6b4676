package codec

import (
	"strings"
	"testing"
	"unicode/utf8"
)

var utf8Tests = []struct {
	name string
	in   string
	bad  int // index of the first byte that cannot be; -1: none
	done bool
}{
	{"empty", "", -1, true},
	{"ASCII", "hello", -1, true},
	{"NUL", "\x00", -1, true},
	{"two, three, four bytes", "é€🚀", -1, true},
	{"κόσμε", "κόσμε", -1, true},
	{"last character", "\U0010ffff", -1, true},
	{"before the surrogates", "\ud7ff\ue000", -1, true},
	{"one of two", "é\xc3", -1, false},
	{"two of three", "\xe2\x82", -1, false},
	{"three of four", "a\xf0\x9f\x9a", -1, false},
	{"no lead byte", "a\x80", 1, false},
	{"interrupted", "\xe2\x82a", 2, false},
	{"two leads", "\xc3\xc3", 1, false},
	{"overlong slash", "\xc0\xaf", 0, false},
	{"overlong C1", "\xc1\x80", 0, false},
	{"overlong of three", "\xe0\x80", 1, false},
	{"overlong of three, later", "\xe0\x9f\xbf", 1, false},
	{"overlong of four", "\xf0\x8f\xbf\xbf", 1, false},
	{"first surrogate", "\xed\xa0\x80", 1, false},
	{"last surrogate", "\xed\xbf\xbf", 1, false},
	{"after the last character", "\xf4\x90\x80\x80", 1, false},
	{"lead F5", "\xf5\x80\x80\x80", 0, false},
	{"lead FF", "ok\xff", 2, false},
	{"Autobahn 6.4", "κόσμε\xf4\x90\x80\x80edited", 11, false},
}

// TestUTF8Cut writes each text in two pieces, cut at every byte, and byte by byte.
func TestUTF8Cut(t *testing.T) {
	for _, tt := range utf8Tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range len(tt.in) + 1 {
				var u UTF8
				first := u.Write([]byte(tt.in[:i]))
				if want := tt.bad < 0 || tt.bad >= i; first != want {
					t.Fatalf("first %d bytes: got %v, want %v", i, first, want)
				}
				if !first {
					continue
				}
				second := u.Write([]byte(tt.in[i:]))
				if want := tt.bad < 0; second != want {
					t.Fatalf("cut at %d: got %v, want %v", i, second, want)
				}
				if second && u.Done() != tt.done {
					t.Errorf("cut at %d: Done: got %v, want %v", i, u.Done(), tt.done)
				}
			}
			if got := firstBad(tt.in); got != tt.bad {
				t.Errorf("byte by byte: got %d, want %d", got, tt.bad)
			}
		})
	}
}

// firstBad writes s byte by byte and returns the index of the one that was refused.
func firstBad(s string) int {
	var u UTF8
	for i := range len(s) {
		if !u.Write([]byte{s[i]}) {
			return i
		}
	}
	return -1
}

func TestUTF8Reset(t *testing.T) {
	var u UTF8
	u.Write([]byte("\xe2\x82"))
	u.Reset()
	if !u.Done() || !u.Write([]byte("a")) {
		t.Error("got an open character after Reset, want none")
	}
}

// FuzzUTF8 writes a text in three pieces; together they must be as valid as the whole.
func FuzzUTF8(f *testing.F) {
	for _, tt := range utf8Tests {
		f.Add([]byte(tt.in), uint8(1), uint8(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, i, k uint8) {
		x := min(int(i), len(b))
		y := min(x+int(k), len(b))
		var u UTF8
		got := u.Write(b[:x]) && u.Write(b[x:y]) && u.Write(b[y:])
		if want := firstBad(string(b)) < 0; got != want {
			t.Fatalf("cut at %d and %d: got %v, want %v", x, y, got, want)
		}
		if got, want := got && u.Done(), utf8.Valid(b); got != want {
			t.Fatalf("cut at %d and %d: valid: got %v, want %v", x, y, got, want)
		}
	})
}

func TestUTF8Allocs(t *testing.T) {
	text := []byte(strings.Repeat("kosme κόσμε ", 20))
	got := testing.AllocsPerRun(100, func() {
		var u UTF8
		if !u.Write(text[:7]) || !u.Write(text[7:]) {
			t.Fatal("not valid")
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func BenchmarkUTF8(b *testing.B) {
	for name, text := range map[string]string{
		"ascii-128": strings.Repeat("x", 128),
		"greek-128": strings.Repeat("κ", 64),
	} {
		in := []byte(text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var u UTF8
				if !u.Write(in) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
