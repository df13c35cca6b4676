package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/nu7hatch/webrocket/codec"
)

// A speaker makes a valid stream of a client out of arbitrary bytes.
type speaker struct {
	rest   []byte
	stream []byte
	key    [4]byte
}

// next takes a byte.
func (s *speaker) next() (b byte) {
	if len(s.rest) > 0 {
		b, s.rest = s.rest[0], s.rest[1:]
	}
	return b
}

// take takes at most n bytes.
func (s *speaker) take(n int) (b []byte) {
	n = min(n, len(s.rest))
	b, s.rest = s.rest[:n], s.rest[n:]
	return b
}

// frame says one frame.
func (s *speaker) frame(op codec.Opcode, fin bool, payload []byte) {
	start := len(s.stream)
	s.stream = codec.AppendMaskedFrame(s.stream, op, payload, s.key)
	if !fin {
		s.stream[start] &^= 0x80
	}
	s.key[len(payload)%4] += 77
}

// message says a message in up to four frames, with control frames between.
func (s *speaker) message() {
	how := s.next()
	op, payload := codec.OpBinary, s.take(int(s.next())<<(how>>6))
	if how&1 != 0 {
		op, payload = codec.OpText, bytes.ToValidUTF8(payload, []byte("é"))
	}
	for more := int(how >> 1 & 3); more > 0; more-- {
		n := min(int(s.next()), len(payload))
		s.frame(op, false, payload[:n])
		op, payload = codec.OpContinuation, payload[n:]
		if how&8 != 0 {
			s.frame(codec.OpPing, true, s.take(int(s.next())%126))
		}
		if how&16 != 0 {
			s.frame(codec.OpPong, true, nil)
		}
	}
	s.frame(op, true, payload)
}

// readAll returns the messages and pings of a stream as gobwas/ws reads them.
func readAll(stream []byte) (messages, pings []string, err error) {
	r := bytes.NewReader(stream)
	for {
		all, err := wsutil.ReadMessage(r, ws.StateServerSide, nil)
		for _, m := range all {
			switch m.OpCode {
			case ws.OpText, ws.OpBinary:
				messages = append(messages, fmt.Sprintf("%d %s", m.OpCode, m.Payload))
			case ws.OpPing:
				pings = append(pings, string(m.Payload))
			}
		}
		if errors.Is(err, io.EOF) {
			return messages, pings, nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// FuzzAgainstGobwas compares the reader with gobwas/ws's on valid streams, cut
// anywhere.
func FuzzAgainstGobwas(f *testing.F) {
	f.Add([]byte("\x01\x05hello\x06\x09fragments\x03\x01\x1f\x10pings in betweenab"), uint64(1))
	f.Add([]byte("\xc3\xffκόσμε\x02\xf0\x9f\x9a\x80"+strings.Repeat("é", 400)), uint64(2))
	f.Fuzz(func(t *testing.T, said []byte, seed uint64) {
		s := speaker{rest: said}
		for len(s.rest) > 0 {
			s.message()
		}
		messages, pings, err := readAll(s.stream)
		if err != nil {
			t.Fatalf("gobwas/ws: %v", err)
		}
		tc := newTestConn(t)
		for _, piece := range cutAnywhere(s.stream, seed) {
			tc.write(rawBytes(piece)...)
		}
		if !slices.Equal(tc.events, messages) {
			t.Errorf("got %q, gobwas/ws has %q", tc.events, messages)
		}
		for _, p := range pings {
			tc.want(codec.AppendFrame(nil, codec.OpPong, []byte(p)))
		}
		tc.wantNothing()
	})
}
