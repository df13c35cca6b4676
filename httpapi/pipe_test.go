package httpapi

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/nu7hatch/webrocket/codec"
)

// pieces is a connection from which bytes come in pieces.
type pieces struct {
	net.Conn
	left []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[:min(p.size, len(p.left))])
	p.left = p.left[n:]
	return n, nil
}

// Frames are the same whatever pieces they come in, and a pipe keeps no large buffer
// behind a large one.
func TestFramesInPieces(t *testing.T) {
	var sent []byte
	sizes := []int{0, 1, 125, 126, 4090, 65535, 65536, 200_000, 3}
	for i, n := range sizes {
		sent = codec.AppendFrame(sent, codec.OpText, bytes.Repeat([]byte{byte('a' + i)}, n))
	}
	for _, size := range []int{1, 7, 4096, 1 << 20} {
		p := &pipe{Conn: &pieces{left: sent, size: size}}
		var got []int
		for {
			err := p.next(func(op codec.Opcode, payload []byte) bool {
				if op != codec.OpText || len(bytes.Trim(payload, string(rune('a'+len(got))))) > 0 {
					t.Errorf("%d: got %v %.10q", len(got), op, payload)
				}
				got = append(got, len(payload))
				return len(got)%2 == 0
			})
			if err != nil {
				break
			}
		}
		if len(got) != len(sizes) {
			t.Fatalf("in pieces of %d: got %v, want %v", size, got, sizes)
		}
		for i := range sizes {
			if got[i] != sizes[i] {
				t.Errorf("in pieces of %d: got %v, want %v", size, got, sizes)
			}
		}
		if size <= readMin && cap(p.buffer) > 2*readMin {
			t.Errorf("in pieces of %d: the buffer has room for %d bytes", size, cap(p.buffer))
		}
	}
}
