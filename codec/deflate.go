package codec

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/flate"
)

var (
	errInflate = &CloseError{Code: StatusInvalidPayload, Reason: "compressed message is not valid DEFLATE"}
	errBomb    = &CloseError{Code: StatusTooBig, Reason: "message over the size limit once inflated"}
)

// syncTail is what a message ends with before its last four bytes are removed (RFC 7692 §7.2.1).
const syncTail = "\x00\x00\xff\xff"

// lastBlock ends a DEFLATE stream.
const lastBlock = "\x01\x00\x00\xff\xff"

// A Deflater compresses messages (RFC 7692 §7.2.1). The zero value is ready. It needs 0.8 MB from its first use, and
// 1.1 MB for each smaller window that it is used with.
//
// klauspost/compress at its fastest level, against compress/flate's, for a JSON message (BenchmarkDeflate; one core of
// the machine in docs/design.md):
//
//	bytes     klauspost         compress/flate
//	   128    3.1 µs  74 %       3.8 µs  76 %
//	   512    4.3 µs  37 %       5.4 µs  36 %
//	 2,048    6.1 µs  24 %       8.9 µs  23 %
//	16,384   24.2 µs  19 %      39.2 µs  19 %
//	65,536   87.3 µs  19 %     226.0 µs  19 %
//
// klauspost/compress does not shorten a message in which no four bytes repeat, and hardly one that is shorter than 128
// bytes: the CompressionThreshold of an endpoint is for such messages. Its stateless encoder, which keeps nothing
// between messages, needs 50 µs for any short one.
type Deflater struct {
	writers [FullWindow - leastWindow + 1]*flate.Writer // by window
}

// AppendFrame extends dst by a whole, unmasked frame with the payload compressed in the window d. If it does not get
// shorter, it extends dst by nothing: "an endpoint MAY decide not to compress a message" (RFC 7692 §6).
func (f *Deflater) AppendFrame(dst []byte, op Opcode, payload []byte, d Deflate) []byte {
	start := len(dst)
	out := sliceWriter(append(dst, make([]byte, frameHeaderMax)...))
	w := f.writer(len(payload), d)
	w.Reset(&out)
	_, err := w.Write(payload)
	if err == nil {
		err = w.Flush()
	}
	// "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end." (§7.2.1)
	b, ok := bytes.CutSuffix(out, []byte(syncTail))
	n := len(b) - start - frameHeaderMax
	if err != nil || !ok || n >= len(payload) {
		return dst
	}
	var head [frameHeaderMax]byte
	header := AppendHeader(head[:0], op, n)
	header[0] |= bitRSV1
	copy(b[start:], header)
	copy(b[start+len(header):], b[start+frameHeaderMax:])
	return b[:start+len(header)+n]
}

// openRoom is what StampDeflated may add to an open frame: a tail and two headers of stored blocks.
const openRoom = 64

// AppendOpen returns the beginning of a frame: room for its header, and the payload compressed in the full window, to
// which StampDeflated adds the end. It returns nil if the payload does not get shorter that way.
func (f *Deflater) AppendOpen(payload []byte) []byte {
	out := sliceWriter(make([]byte, frameHeaderMax, frameHeaderMax+len(payload)+openRoom))
	w := f.writer(len(payload), FullWindow)
	w.Reset(&out)
	_, err := w.Write(payload)
	if err == nil {
		err = w.Flush() // ends with an empty stored block, so that another block may follow at a whole byte
	}
	if err != nil || len(out)-frameHeaderMax+openRoom/2 >= len(payload) {
		return nil
	}
	return out
}

// StampDeflated ends a frame that AppendOpen has begun: its message is what that was given, and then tail, which goes
// uncompressed in a stored block (RFC 1951 §3.2.4). It writes behind open if there is room. tail has at most 32 bytes.
func StampDeflated(open []byte, op Opcode, tail []byte) []byte {
	n := uint16(len(tail))
	b := append(open, 0, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
	b = append(b, tail...)
	b = append(b, 0) // an empty stored block, without its last four bytes (RFC 7692 §7.2.1)
	var head [frameHeaderMax]byte
	header := AppendHeader(head[:0], op, len(b)-frameHeaderMax)
	header[0] |= bitRSV1
	frame := b[frameHeaderMax-len(header):]
	copy(frame, header)
	return frame
}

// frameHeaderMax is the longest header of a frame that is not masked, in bytes.
const frameHeaderMax = MaxHeaderSize - 4

// writer returns what compresses n bytes in the window d.
func (f *Deflater) writer(n int, d Deflate) *flate.Writer {
	if n <= 1<<d {
		d = FullWindow // so few have no distance beyond the smaller one
	}
	w := &f.writers[d-leastWindow]
	if *w == nil {
		*w = newWriter(d)
	}
	return *w
}

// newWriter makes a compressor. The only errors there could be are of the arguments.
func newWriter(d Deflate) (w *flate.Writer) {
	if d == FullWindow {
		w, _ = flate.NewWriter(nil, flate.BestSpeed)
	} else {
		w, _ = flate.NewWriterWindow(nil, 1<<d)
	}
	return w
}

// sliceWriter is an io.Writer that extends a slice.
type sliceWriter []byte

func (s *sliceWriter) Write(b []byte) (int, error) {
	*s = append(*s, b...)
	return len(b), nil
}

// MaxDeflated returns how long a message of n bytes may be while it is compressed: DEFLATE makes one that it cannot
// compress longer, and weak encoders more than others.
func MaxDeflated(n int) int { return n + min(n/8+64, math.MaxInt-n) }

// An Inflater inflates messages (RFC 7692 §7.2.2). The zero value is ready. It needs 40 KB from its first use.
type Inflater struct {
	reader io.ReadCloser
	source bytes.Reader
	input  []byte
}

// inputMax is how large a buffer for compressed messages is kept, in bytes.
const inputMax = 64 << 10

// AppendInflated extends dst by a message, whose compressed payload is b, of at most limit bytes. The error is a
// *CloseError: 1009 as soon as it is longer, or 1007.
func (f *Inflater) AppendInflated(dst, b []byte, limit int) ([]byte, error) {
	// "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message." (§7.2.2)
	const tail = syncTail + lastBlock
	f.input = append(append(slices.Grow(f.input[:0], len(b)+len(tail)), b...), tail...)
	f.source.Reset(f.input)
	defer f.forget()
	end := len(dst) + min(limit, math.MaxInt-1-len(dst)) // there may be a byte behind it
	start := len(dst)
	dst = grow(dst, min(max(4*len(b), 512), firstMax), end)
	// A block may say that it is the last (§7.2.3.4) although others follow: at least the empty ones of above, unless it
	// ends where b does. Compressors that end each message with such a block leave out the 0x00 that would begin them.
	for {
		var err error
		if dst, err = f.stream(dst, start, end); err != nil {
			return nil, err
		}
		if n := f.source.Len(); n == 0 || n == len(tail) {
			return dst, nil
		}
	}
}

// firstMax is how much room is made for a message before it is known how well it was compressed, in bytes.
const firstMax = 64 << 10

// grow makes room for n more bytes, within what may be: end, and the byte behind it.
func grow(dst []byte, n, end int) []byte { return slices.Grow(dst, min(n, end+1-len(dst))) }

// stream extends dst by one DEFLATE stream, to at most end bytes. The message begins at start.
func (f *Inflater) stream(dst []byte, start, end int) ([]byte, error) {
	f.reset()
	for {
		if len(dst) == cap(dst) {
			dst = grow(dst, f.more(len(dst)-start), end)
		}
		// One byte more than allowed shows that there is more.
		n, err := f.reader.Read(dst[len(dst):min(cap(dst), end+1)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > end:
			return nil, errBomb
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return nil, errInflate
		}
	}
}

// more estimates how many bytes follow the n that the input has given so far: the rest of it is compressed about as
// well. The reader is ahead by up to its window, so an eighth is added; a wrong estimate costs another call.
func (f *Inflater) more(n int) int {
	rest := f.source.Len()
	ratio := float64(n) / float64(max(len(f.input)-rest, 1))
	return max(n/4, 512) + int(ratio*float64(rest)*9/8)
}

// reset begins a stream.
func (f *Inflater) reset() {
	if f.reader == nil {
		f.reader = flate.NewReader(&f.source)
		return
	}
	_ = f.reader.(flate.Resetter).Reset(&f.source, nil) // it has no error to return
}

// forget gives a large buffer to the garbage collector.
func (f *Inflater) forget() {
	if cap(f.input) > inputMax {
		f.input = nil
		f.source.Reset(nil)
	}
}
