package engine

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"unsafe"

	"github.com/nu7hatch/webrocket/codec"
)

// openDeflate connects a client that offers compression with these parameters.
func (tl *testLoop) openDeflate(params string) *testConn {
	tl.t.Helper()
	tc := tl.dial()
	tc.write(strings.TrimSuffix(request, "\r\n"), "Sec-WebSocket-Extensions: permessage-deflate"+params+"\r\n\r\n")
	if !bytes.Contains(tc.got, []byte("permessage-deflate; server_no_context_takeover; client_no_context_takeover")) {
		tl.t.Fatalf("handshake: got %q", tc.got)
	}
	tc.got = nil
	tc.wantEvents("open")
	return tc
}

var compressing = Endpoint{Compression: true, CompressionThreshold: 200}

func TestDeflate(t *testing.T) {
	tl := newTestLoop(t, Config{}, compressing)
	tc := tl.openDeflate("")
	tc.write("1 100 0001 1 0000111", mask, hello)
	tc.wantMessage("Hello")
	tc.write("0 100 0010 1 0000010", mask, hello[:2], "1 000 0000 1 0000101", mask, hello[2:])
	tc.wantEvents("2 Hello")

	// From the threshold on, what gets shorter is compressed.
	tc.Send(codec.OpText, bytes.Repeat([]byte("x"), 199))
	tc.tl.turn()
	tc.wantText(strings.Repeat("x", 199))
	tc.Send(codec.OpText, bytes.Repeat([]byte("x"), 200))
	tc.tl.turn()
	tc.wantFrame("1 100 0001")
	tc.got = nil
	tc.Send(codec.OpPing, bytes.Repeat([]byte("x"), 100))
	tc.tl.turn()
	tc.wantFrame("1 000 1001")
	tc.wantOpen()
}

// Whatever a program gives as the largest size, messages are understood.
func TestDeflateWithTheLargestSize(t *testing.T) {
	endpoint := compressing
	for _, endpoint.MaxMessageSize = range []int{MessageMax, MessageMax + 1, math.MaxInt} {
		tl := newTestLoop(t, Config{}, endpoint)
		tc := tl.openDeflate("")
		tc.write("1 100 0001 1 0000111", mask, hello)
		tc.wantMessage("Hello")
		tc.write("1 000 0010 1 1111111", binary.BigEndian.AppendUint64(nil, MessageMax+1), mask)
		tc.wantClose(codec.StatusTooBig)
	}
}

// Nothing is compressed for a client that has not offered it, or by an endpoint
// without it.
func TestNoDeflate(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, tc := range []*testConn{
		newTestLoop(t, Config{}, compressing).open(),
		newTestLoop(t, Config{}, Endpoint{}).open(),
	} {
		if tc.HearsDeflated() {
			t.Error("hears what is compressed")
		}
		tc.Send(codec.OpText, []byte(long))
		tc.tl.turn()
		tc.wantText(long)
		tc.write("1 100 0001 1 0000111", mask, hello)
		tc.wantClose(1002)
	}
}

// A frame that is shared is compressed in the full window: not for who has
// less.
func TestHearsDeflated(t *testing.T) {
	tl := newTestLoop(t, Config{}, compressing)
	for params, want := range map[string]bool{
		"": true, "; server_max_window_bits=15": true, "; client_max_window_bits=8": true, "; server_max_window_bits=14": false,
	} {
		if got := tl.openDeflate(params).HearsDeflated(); got != want {
			t.Errorf("%q: got %t, want %t", params, got, want)
		}
	}
}

// Many connections that compress have no buffers between messages.
func TestDeflateKeepsNothing(t *testing.T) {
	tl := newTestLoop(t, Config{}, compressing)
	tc := tl.openDeflate("")
	tc.write("1 100 0001 1 0000111", mask, hello)
	if tc.in != nil || tc.out != nil {
		t.Error("an idle connection keeps buffers")
	}
	if cap(tl.inflated) > inflatedMax {
		t.Errorf("the loop keeps %d bytes", cap(tl.inflated))
	}
	if size := allocated(unsafe.Sizeof(Conn{})); size > 96 {
		t.Errorf("a Conn takes %d bytes, want at most 96", size)
	}
}
