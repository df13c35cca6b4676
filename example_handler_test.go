package webrocket_test

import (
	"context"
	"fmt"
	"log"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

// echo sends every message back to where it came from.
type echo struct{}

// Register is called by Server.Handle. It says who answers the connections to
// the path, and with which limits.
func (e echo) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{Protocol: e, MaxMessageSize: 4096}, nil
}

// OnOpen is called once the opening handshake is done.
func (echo) OnOpen(c *webrocket.Conn, _ *webrocket.Request) {
	c.SetValue(new(int)) // the messages of this connection so far
	c.Send(webrocket.Text, []byte("hello"))
}

// OnMessage is called with each whole message.
func (echo) OnMessage(c *webrocket.Conn, op webrocket.Opcode, message []byte) {
	c.Send(op, message)
	count := c.Value().(*int)
	if *count++; *count == 2 {
		c.Close(1000, "enough")
	}
}

// OnClose is called once, when nothing can be sent any more.
func (echo) OnClose(c *webrocket.Conn, reason error) {}

// A handler of one's own: an echo, which says goodbye after two messages.
func ExampleHandler() {
	server := webrocket.NewServer("localhost:0")
	if err := server.Handle("/echo", echo{}); err != nil {
		log.Fatal(err)
	}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer server.Shutdown(ctx)

	ws, _, err := websocket.Dial(ctx, "ws://"+server.Addr().String()+"/echo", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ws.CloseNow()
	for _, message := range []string{"one", "two"} {
		if err := ws.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			log.Fatal(err)
		}
	}
	for {
		_, message, err := ws.Read(ctx)
		if err != nil {
			fmt.Println(websocket.CloseStatus(err))
			return
		}
		fmt.Println(string(message))
	}
	// Output:
	// hello
	// one
	// two
	// StatusNormalClosure
}
