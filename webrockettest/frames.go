package webrockettest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// inflatedMax is the longest message that a client inflates, in bytes.
const inflatedMax = 1 << 30

// A reader makes messages of what a server sends: the answer to the handshake, then
// frames, of which servers make one for each message.
type reader struct {
	response *http.Response
	left     []byte // of something that is not whole
	inflater codec.Inflater
	err      error
}

// read takes bytes and returns the messages that end in them.
func (r *reader) read(b []byte) (messages []message) {
	r.left = append(r.left, b...)
	if r.response == nil && !r.readResponse() {
		return nil
	}
	for r.err == nil {
		m, n := r.readFrame()
		if n == 0 {
			break
		}
		messages = append(messages, m)
		r.left = r.left[n:]
	}
	return messages
}

// readResponse reads the answer to the handshake once its header is whole.
func (r *reader) readResponse() bool {
	end := bytes.Index(r.left, []byte("\r\n\r\n"))
	if end < 0 {
		return false
	}
	in := bufio.NewReader(bytes.NewReader(r.left))
	if r.response, r.err = http.ReadResponse(in, nil); r.err != nil {
		return false
	}
	r.left = r.left[end+len("\r\n\r\n"):]
	if r.response.StatusCode != http.StatusSwitchingProtocols {
		r.response.Body = io.NopCloser(bytes.NewReader(r.left))
		r.left = nil
		return false
	}
	return true
}

// readFrame returns the first frame and its length, 0 if it is not whole
// (RFC 6455 §5.2).
func (r *reader) readFrame() (m message, n int) {
	b := r.left
	if len(b) < 2 {
		return m, 0
	}
	size, header := uint64(b[1]&0x7f), 2
	switch {
	case size == 126:
		header = 4
	case size == 127:
		header = 10
	}
	if len(b) < header {
		return m, 0
	}
	if header > 2 {
		size = binary.BigEndian.Uint64(append(make([]byte, 10-header, 8), b[2:header]...))
	}
	if uint64(len(b)-header) < size {
		return m, 0
	}
	n = header + int(size)
	payload := bytes.Clone(b[header:n])
	const fin, rsv1, others, masked = 0x80, 0x40, 0x30, 0x80
	switch {
	case b[0]&fin == 0 || b[0]&others != 0 || b[1]&masked != 0:
		r.err = fmt.Errorf("a frame with the header % x", b[:header])
	case b[0]&rsv1 != 0:
		payload, r.err = r.inflater.AppendInflated(nil, payload, inflatedMax)
	}
	return message{webrocket.Opcode(b[0] & 0x0f), payload}, n
}
