package codec

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"
)

// A frame that gets its tail later is a valid message (RFC 7692), for every size of
// header, read by our inflater and by Go's.
func TestStampDeflated(t *testing.T) {
	var d Deflater
	for _, size := range []int{200, 3_000, 70_000, 2_000_000} {
		payload := []byte(`{"event":"e","channel":"c","data":"` + strings.Repeat("hello world ", size/12) + `"`)
		for _, offset := range []uint64{1, 1<<53 - 1} {
			tail := JSON{}.AppendOffset(nil, offset)
			open := d.AppendOpen(payload)
			if open == nil {
				t.Fatalf("%d bytes: not shorter", size)
			}
			frame := StampDeflated(open, OpText, tail)
			h, n, err := ParseHeader(append(bytes.Clone(frame), 0, 0, 0, 0), FullWindow)
			want := append(bytes.Clone(payload), tail...)
			if frame[0] != 0xc1 || frame[1]&0x80 != 0 {
				t.Fatalf("%d bytes: the frame begins with % x (%v %d %v)", size, frame[:2], h, n, err)
			}
			packed := Payload(frame)
			got, err := new(Inflater).AppendInflated(nil, packed, 1<<24)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: got %d bytes, %v, want %d", size, len(got), err, len(want))
			}
			r := flate.NewReader(io.MultiReader(bytes.NewReader(packed), strings.NewReader(syncTail+lastBlock)))
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, by Go's reader: got %d bytes, %v", size, len(got), err)
			}
		}
	}
	if d.AppendOpen([]byte("short")) != nil {
		t.Error("what gets longer is compressed")
	}
}
