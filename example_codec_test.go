package webrocket_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// lines is the native protocol as lines of words:
//
//	auth read-write secret
//	sub news
//	pub news hello any text
type lines struct{}

func (lines) Opcode() webrocket.Opcode { return webrocket.Text }

func (lines) ParseCommand(message []byte, cmd *codec.Command) error {
	*cmd = codec.Command{}
	verb, rest, _ := bytes.Cut(message, []byte(" "))
	switch string(verb) {
	case "auth":
		access, secret, _ := bytes.Cut(rest, []byte(" "))
		cmd.Kind, cmd.Access, cmd.Secret = codec.Auth, string(access), string(secret)
	case "sub":
		cmd.Kind, cmd.Channel = codec.Subscribe, rest
	case "unsub":
		cmd.Kind, cmd.Channel = codec.Unsubscribe, rest
	case "pub":
		cmd.Kind = codec.Publish
		cmd.Channel, rest, _ = bytes.Cut(rest, []byte(" "))
		cmd.Event, cmd.Data, _ = bytes.Cut(rest, []byte(" "))
	case "bye":
		cmd.Kind = codec.Disconnect
	}
	if cmd.Kind == 0 || cmd.Kind == codec.Publish && len(cmd.Event) == 0 {
		return codec.ErrInvalidData
	}
	return nil
}

func (lines) AppendReply(dst []byte, r codec.Reply) []byte {
	if r.Err == "" {
		return append(dst, "ok"...)
	}
	return append(append(dst, "error "...), r.Err...)
}

func (lines) AppendEvent(dst []byte, e codec.Event) []byte {
	dst = append(append(append(dst, e.Channel...), ' '), e.Event...)
	if e.Data != nil {
		dst = append(append(dst, ' '), e.Data...)
	}
	return dst
}

// The native protocol in an encoding of one's own.
func ExampleNewHandler() {
	server := webrocket.NewServer("localhost:0")
	handler := webrocket.NewHandler(lines{})
	handler.Secrets = webrocket.Credentials{ReadWrite: "rw"}
	if err := server.Handle("/lines", handler); err != nil {
		log.Fatal(err)
	}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer server.Shutdown(ctx)

	ws, _, err := websocket.Dial(ctx, "ws://"+server.Addr().String()+"/lines", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ws.CloseNow()
	for _, line := range []string{"auth read-write rw", "sub news", "pub news hello any text", "what?"} {
		if err := ws.Write(ctx, websocket.MessageText, []byte(line)); err != nil {
			log.Fatal(err)
		}
	}
	for range 5 {
		_, line, err := ws.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(line))
	}
	// Unordered output:
	// ok
	// ok
	// ok
	// news hello any text
	// error invalid_data
}
