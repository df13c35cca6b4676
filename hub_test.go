package webrocket_test

import (
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
