package codec

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The examples of RFC 7692 §7.2.3, and what is wrong.
func TestAppendInflated(t *testing.T) {
	for _, tt := range []struct {
		name, packed, want string
		limit              int
		err                error
	}{
		{"one block", "f2 48 cd c9 c9 07 00", "Hello", 5, nil},
		{"a block that is not compressed", "00 05 00 fa ff 48 65 6c 6c 6f 00", "Hello", 5, nil},
		{"a block that says it is the last", "f3 48 cd c9 c9 07 00 00", "Hello", 5, nil},
		{"one that ends the message", "f3 48 cd c9 c9 07 00", "Hello", 5, nil},
		{"two of them", "f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00", "HelloHello", 10, nil},
		{"one that is not the last", "f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00", "HelloHello", 10, nil},
		{"one that is not compressed", "01 05 00 fa ff 48 65 6c 6c 6f", "Hello", 5, nil},
		{"one with codes of its own", "45 8a c1 0d 00 20 0c 02 67 e5 8a ba 83 d3 4b d3 87 04 08 10 44 a9 e9 b8 d7 3e e2 06 33 65 0c 28 5a 66 4e 13 90 f9 b5 cf 0f", "abcabcabdabcdefgabzzzzabcabdbdaaaabcbabcbdbabdabcbdbabdbadbbdabcbdbabcabd", 80, nil},
		{"one that ends an empty message", "03 00", "", 5, nil},
		{"one that ends an empty message, not compressed", "01 00 00 ff ff", "", 5, nil},
		{"one that is cut", "f3 48 cd c9 c9 07", "", 5, errInflate},
		{"one that is cut, not compressed", "01 50 00 af ff 48", "", 100, errInflate},
		{"one a byte too long", "f3 48 cd c9 c9 07 00", "", 4, errBomb},
		{"two blocks", "f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "Hello", 5, nil},
		{"an empty message", "00", "", 5, nil},
		{"nothing", "", "", 5, errInflate},
		{"last blocks one after the other", "f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00", "HelloHello", 10, nil},
		{"context of a message before", "f2 00 11 00 00", "", 5, errInflate},
		{"a byte too long", "f2 48 cd c9 c9 07 00", "", 4, errBomb},
		{"a byte too long at the second stream", "f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00", "", 9, errBomb},
		{"no limit left", "f2 48 cd c9 c9 07 00", "", 0, errBomb},
		{"block type 3", "ff ff", "", 5, errInflate},
		{"cut", "f2 48 cd", "", 5, errInflate},
		{"wrong length of a stored block", "00 05 00 05 00 48", "", 5, errInflate},
		{"rubbish after the last block", "f3 48 cd c9 c9 07 00 ff", "", 100, errInflate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f Inflater
			for range 2 { // the second time it is not new
				got, err := f.AppendInflated(nil, unhex(tt.packed), tt.limit)
				if string(got) != tt.want || err != tt.err {
					t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
				}
			}
		})
	}
}

func TestAppendInflatedExtends(t *testing.T) {
	var f Inflater
	got, err := f.AppendInflated([]byte("before "), unhex("f2 48 cd c9 c9 07 00"), 5)
	if string(got) != "before Hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// A bomb is noticed before it has grown.
func TestBomb(t *testing.T) {
	var d Deflater
	packed := unpackedPayload(t, d.AppendFrame(nil, OpBinary, make([]byte, 64<<20), FullWindow))
	var f Inflater
	const limit = 64 << 10
	if n := testing.AllocsPerRun(1, func() {
		if _, err := f.AppendInflated(make([]byte, 0, limit+1), packed, limit); err != errBomb {
			t.Errorf("got %v, want %v", err, errBomb)
		}
	}); n > 20 {
		t.Errorf("%v allocations", n)
	}
	if cap(f.input) > inputMax {
		t.Errorf("keeps %d bytes", cap(f.input))
	}
}

// unpackedPayload returns the payload of a compressed frame of a server.
func unpackedPayload(t testing.TB, frame []byte) []byte {
	t.Helper()
	if len(frame) < 2 || frame[0]&^0x0f != 0b1100_0000 {
		t.Fatalf("got %.20x, want a whole frame with RSV1", frame)
	}
	n, size := parseLength(frame)
	if size+int(n) != len(frame) || checkLength(frame) != nil {
		t.Fatalf("got a frame of %d bytes with %d of payload", len(frame), n)
	}
	return frame[size:]
}

// sampleJSON is n bytes of a message as it may be published.
func sampleJSON(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"event":"message","channel":"news","data":{`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `"field%d":{"title":"Hello world","score":%d,"user":"u%x"},`, i, i*7919%1000, uint32(i*2654435761))
	}
	return []byte(b.String()[:n])
}

// inflate is the standard library's.
func inflate(t testing.TB, packed []byte) []byte {
	t.Helper()
	r := flate.NewReader(io.MultiReader(bytes.NewReader(packed), strings.NewReader(syncTail+lastBlock)))
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("compress/flate: %v", err)
	}
	return b
}

func TestDeflate(t *testing.T) {
	var d Deflater
	for window := leastWindow; window <= FullWindow; window++ {
		for _, n := range []int{200, 256, 257, 1000, 20_000, 65_535, 65_536, 300_000} {
			message := sampleJSON(n)
			frame := d.AppendFrame([]byte("before"), OpText, message, window)
			frame, ok := bytes.CutPrefix(frame, []byte("before"))
			if !ok {
				t.Fatalf("got %.20x", frame)
			}
			packed := unpackedPayload(t, frame)
			if len(packed) >= n {
				t.Errorf("%d bytes in window %d: %d bytes", n, window, len(packed))
			}
			if got := inflate(t, packed); !bytes.Equal(got, message) {
				t.Errorf("%d bytes in window %d: not what was compressed", n, window)
			}
			if got := farthest(packed); got > 1<<window {
				t.Errorf("%d bytes in window %d: a distance of %d", n, window, got)
			}
		}
	}
}

func TestNotShorter(t *testing.T) {
	var d Deflater
	noise := make([]byte, 1000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, message := range [][]byte{nil, []byte("a"), []byte("hello"), noise} {
		if got := d.AppendFrame([]byte("x"), OpText, message, FullWindow); string(got) != "x" {
			t.Errorf("%d bytes: got %d, want nothing", len(message), len(got)-1)
		}
	}
}

// A message that DEFLATE cannot make shorter is not too long to be taken.
func TestMaxDeflated(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 64 << 10, 1 << 20} {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.NoCompression)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(make([]byte, n))
		_ = w.Flush()
		if b.Len() > MaxDeflated(n) {
			t.Errorf("%d bytes became %d, over %d", n, b.Len(), MaxDeflated(n))
		}
	}
	for _, n := range []int{math.MaxInt - 1000, math.MaxInt} {
		if got := MaxDeflated(n); got < n {
			t.Errorf("%d bytes may become %d at most", n, got)
		}
	}
}

// A limit as large as an int can be is none.
func TestInflateWithoutALimit(t *testing.T) {
	var d Deflater
	var f Inflater
	packed := unpackedPayload(t, d.AppendFrame(nil, OpText, bytes.Repeat([]byte("hello "), 1000), FullWindow))
	for _, limit := range []int{math.MaxInt - 1, math.MaxInt} {
		got, err := f.AppendInflated([]byte("well, "), packed, limit)
		if want := "well, " + strings.Repeat("hello ", 1000); err != nil || string(got) != want {
			t.Errorf("at most %d bytes: got %d, %v, want %d", limit, len(got), err, len(want))
		}
	}
}

func TestDeflateDoesNotAllocate(t *testing.T) {
	var d Deflater
	var f Inflater
	message := sampleJSON(2000)
	frame := d.AppendFrame(nil, OpText, message, FullWindow)
	out := make([]byte, 0, 4000)
	if n := testing.AllocsPerRun(100, func() { frame = d.AppendFrame(frame[:0], OpText, message, FullWindow) }); n > 1 {
		t.Errorf("deflate: %v allocations, want at most the writer's", n)
	}
	packed := unpackedPayload(t, frame)
	if n := testing.AllocsPerRun(100, func() { _, _ = f.AppendInflated(out, packed, 4000) }); n > 0 {
		t.Errorf("inflate: %v allocations", n)
	}
}

// A large message does not grow through many buffers: one for what is known at first, and one that fits.
func TestInflateAllocatesLittle(t *testing.T) {
	var d Deflater
	var f Inflater
	for _, n := range []int{4 << 10, 100 << 10, 1 << 20} {
		packed := unpackedPayload(t, d.AppendFrame(nil, OpText, sampleJSON(n), FullWindow))
		allocs := testing.AllocsPerRun(5, func() {
			if b, err := f.AppendInflated(nil, packed, n); err != nil || cap(b) > 2*n+1 {
				t.Errorf("%d bytes: %v, a buffer of %d", n, err, cap(b))
			}
		})
		if allocs > 8 { // the input's buffer is one of them, where it is too large to be kept; the race detector doubles each
			t.Errorf("%d bytes: %v allocations", n, allocs)
		}
	}
}

// A message that begins much better compressed than it goes on gets no more room than its limit allows.
func TestInflateKeepsToTheLimit(t *testing.T) {
	const limit = 2 << 20
	message := make([]byte, 1<<20, limit)
	noise := rand.New(rand.NewPCG(1, 2))
	for range 60 << 10 {
		message = append(message, byte(noise.Uint32()))
	}
	var d Deflater
	var f Inflater
	b, err := f.AppendInflated(nil, unpackedPayload(t, d.AppendFrame(nil, OpBinary, message, FullWindow)), limit)
	if err != nil || !bytes.Equal(b, message) {
		t.Fatalf("got %d bytes, %v, want %d", len(b), err, len(message))
	}
	if cap(b) > 2*limit {
		t.Errorf("a buffer of %d bytes, want at most twice the limit of %d", cap(b), limit)
	}
}

func FuzzDeflate(f *testing.F) {
	f.Add([]byte("hello hello hello hello"), uint8(8))
	f.Add(sampleJSON(3000), uint8(9))
	f.Add(bytes.Repeat([]byte{0}, 70_000), uint8(15))
	var d Deflater
	var in Inflater
	f.Fuzz(func(t *testing.T, message []byte, window uint8) {
		w := leastWindow + Deflate(window%8)
		frame := d.AppendFrame(nil, OpBinary, message, w)
		if len(frame) == 0 {
			return
		}
		packed := unpackedPayload(t, frame)
		if got, err := in.AppendInflated(nil, packed, len(message)); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(message))
		}
		if got := farthest(packed); got > 1<<w {
			t.Fatalf("a distance of %d in window %d", got, w)
		}
	})
}

// FuzzInflate compares with the standard library.
func FuzzInflate(f *testing.F) {
	for _, s := range []string{
		"f2 48 cd c9 c9 07 00", "00 05 00 fa ff 48 65 6c 6c 6f 00", "f3 48 cd c9 c9 07 00 00",
		"f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "00", "f2 00 11 00 00", "ff", "f3 48 cd c9 c9 07 00", "03 00",
	} {
		f.Add(unhex(s))
	}
	var d Deflater
	f.Add(d.AppendFrame(nil, OpText, sampleJSON(500), FullWindow)[4:])
	var in Inflater
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limit = 100_000
		got, err := in.AppendInflated(nil, packed, limit)
		want, wantErr := standardInflate(packed, limit)
		if err != wantErr || !bytes.Equal(got, want) {
			t.Fatalf("got %.50q, %v, compress/flate has %.50q, %v", got, err, want, wantErr)
		}
	})
}

// standardInflate is AppendInflated by the standard library.
func standardInflate(packed []byte, limit int) (message []byte, err error) {
	source := bytes.NewReader([]byte(string(packed) + syncTail + lastBlock))
	for {
		b, err := io.ReadAll(io.LimitReader(flate.NewReader(source), int64(limit+1-len(message))))
		message = append(message, b...)
		switch {
		case len(message) > limit:
			return nil, errBomb
		case err != nil:
			return nil, errInflate
		case source.Len() == 0 || source.Len() == len(syncTail+lastBlock):
			return message, nil
		}
	}
}

func BenchmarkDeflate(b *testing.B) {
	for _, n := range []int{128, 512, 2048, 16384, 65536} {
		message := sampleJSON(n)
		b.Run(fmt.Sprint("klauspost/", n), func(b *testing.B) {
			var d Deflater
			var frame []byte
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				frame = d.AppendFrame(frame[:0], OpText, message, FullWindow)
			}
			b.ReportMetric(100*float64(len(frame))/float64(n), "%")
		})
		b.Run(fmt.Sprint("standard/", n), func(b *testing.B) {
			w, err := flate.NewWriter(nil, flate.BestSpeed)
			if err != nil {
				b.Fatal(err)
			}
			var out sliceWriter
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				out = out[:0]
				w.Reset(&out)
				_, _ = w.Write(message)
				_ = w.Flush()
			}
			b.ReportMetric(100*float64(len(out))/float64(n), "%")
		})
	}
}

// BenchmarkInflateLarge inflates messages for which no buffer is kept, compressed a little and well.
func BenchmarkInflateLarge(b *testing.B) {
	for _, n := range []int{4 << 10, 100 << 10, 1 << 20} {
		for _, level := range []int{flate.BestSpeed, flate.BestCompression} {
			var w bytes.Buffer
			z, err := flate.NewWriter(&w, level)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = z.Write(sampleJSON(n))
			_ = z.Flush()
			packed := bytes.TrimSuffix(w.Bytes(), []byte(syncTail))
			b.Run(fmt.Sprint(n, "/level ", level), func(b *testing.B) {
				var f Inflater
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := f.AppendInflated(nil, packed, 16<<20); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, n := range []int{128, 2048, 65536} {
		var d Deflater
		packed := unpackedPayload(b, d.AppendFrame(nil, OpText, sampleJSON(n), FullWindow))
		out := make([]byte, 0, n+1)
		b.Run(fmt.Sprint("klauspost/", n), func(b *testing.B) {
			var f Inflater
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.AppendInflated(out, packed, n); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint("standard/", n), func(b *testing.B) {
			source := bytes.NewReader(nil)
			r := flate.NewReader(source)
			whole := []byte(string(packed) + syncTail + lastBlock)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				source.Reset(whole)
				_ = r.(flate.Resetter).Reset(source, nil)
				if _, err := io.ReadFull(r, out[:n]); err != nil && !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
			}
		})
	}
}
