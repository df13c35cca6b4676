package webrocket_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// A second codec serves the same protocol, and may speak binary.
func TestSecondCodec(t *testing.T) {
	h := webrocket.NewHandler(lines{})
	h.Secrets.ReadWrite = "rw"
	s := serve(t, hubs{"/": h})
	talk(t, s, `
		a > sub news
		a < error access_denied
		a > auth read-write wrong
		a < error invalid_credentials
		a > auth admin rw
		a < error invalid_credentials
		a > auth read-write rw
		a < ok
		a > pub news hello
		a < error invalid_channel
		a > pub news
		a < error invalid_data
		a > {"logout":true}
		a < error invalid_data
		a > sub news
		a < ok
		b > auth read-only anything
		b < ok
		b > sub news
		b < ok
		a > pub news hello one  two
		a < ok
		a < news hello one  two
		b < news hello one  two
		a > unsub news
		a < ok
		b > bye
		b < ok
		b ! 1000`)

	// Data from Go is JSON, whatever the codec.
	c := dial(t, s, "/")
	c.write("auth read-only x")
	c.want("ok")
	c.write("sub news")
	c.want("ok")
	if err := h.Publish("news", "hello", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	c.want(`news hello {"n":1}`)
}

// explainedLines is the same with reasons.
type explainedLines struct{ lines }

func (c explainedLines) ParseCommand(message []byte, cmd *codec.Command) error {
	if err := c.lines.ParseCommand(message, cmd); err != nil {
		return fmt.Errorf("lines: %w", &codec.InvalidDataError{Reason: "no such line"})
	}
	return nil
}

func (c explainedLines) AppendReply(dst []byte, r codec.Reply) []byte {
	dst = c.lines.AppendReply(dst, r)
	if r.Reason != "" {
		dst = append(dst, ": "+r.Reason...)
	}
	return dst
}

// A codec of a user's own says why a message is no command, if it wants to.
func TestReasonOfASecondCodec(t *testing.T) {
	talk(t, serve(t, hubs{"/": webrocket.NewHandler(explainedLines{})}), `
		a > what?
		a < error invalid_data: no such line
		a > auth read-only x
		a < ok
		a > sub
		a < error invalid_channel_name: subscribe: channel is empty
		a > pub news hello
		a < error access_denied`)
}

// binaryLines is the same in binary messages.
type binaryLines struct{ lines }

func (binaryLines) Opcode() webrocket.Opcode { return webrocket.Binary }

func TestBinaryCodec(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewHandler(binaryLines{})})
	c := dialRaw(t, s, "/")
	c.write(codec.AppendMaskedFrame(nil, codec.OpBinary, []byte("auth read-only \xff"), [4]byte{1, 2, 3, 4}))
	if op, payload := c.frame(); op != codec.OpBinary || payload != "ok" {
		t.Errorf("got opcode %v, %q, want ok in a binary message", op, payload)
	}
	c.command("bye")
	if op, payload := c.frame(); op != codec.OpClose || payload[:2] != "\x03\xeb" {
		t.Errorf("text: got opcode %v, %q, want a Close frame with 1003", op, payload)
	}
}

// Publishing from Go to a loop that does not get on is refused above a limit.
// What was accepted is delivered.
func TestPublishOverload(t *testing.T) {
	blocked, free := make(chan struct{}), make(chan struct{})
	blocker := (&custom{onMessage: func(*webrocket.Conn, []byte) {
		close(blocked)
		<-free
	}}).served()
	h := webrocket.NewJSONHandler()
	h.MaxQueuedBytes = 64 << 20
	s := webrocket.NewServer("127.0.0.1:0")
	s.Config.Loops = 1
	for path, handler := range (hubs{"/": h, "/block": blocker}) {
		if err := s.Handle(path, handler); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	c := dial(t, s, "/")
	defer func() { _ = c.ws.CloseNow() }()
	c.write(`{"auth":{"access":"read-only","secret":""}}`)
	c.want(`{"ok":true}`)
	c.write(`{"subscribe":{"channel":"c"}}`)
	c.want(`{"ok":true}`)
	d := dial(t, s, "/block")
	defer func() { _ = d.ws.CloseNow() }()
	d.write("block")
	<-blocked

	data := strings.Repeat("x", 100_000)
	accepted := 0
	var err error
	for ; err == nil && accepted < 1000; accepted++ {
		err = s.Publish("/", "c", strconv.Itoa(accepted), data)
	}
	accepted-- // the last was not
	close(free)
	if !errors.Is(err, webrocket.ErrOverloaded) {
		t.Errorf("got %v, want ErrOverloaded", err)
	}
	for i := range accepted {
		c.want(fmt.Sprintf(`{"event":"%d","channel":"c","data":"%s"}`, i, data))
	}
	c.write(`{"logout":true}`)
	c.want(`{"ok":true}`)
}

// panicky is a codec that does not survive one of its commands.
type panicky struct{ lines }

func (p panicky) ParseCommand(message []byte, cmd *codec.Command) error {
	if string(message) == "panic" {
		panic("on purpose")
	}
	return p.lines.ParseCommand(message, cmd)
}

// A panic in a codec costs one connection, and its subscriptions with it.
func TestPanickingCodec(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewHandler(panicky{})})
	talk(t, s, `
		a > auth read-write x
		a < ok
		a > sub news
		a < ok
		a > panic
		a ! 1011
		b > auth read-write x
		b < ok
		b > pub news hello
		b < error invalid_channel`)
}
