package webrocket_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

// library answers with the title of a book, which takes a while to find.
type library struct {
	find func(author string) (title string)
}

func (l library) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{Protocol: l}, nil
}

func (library) OnOpen(_ *webrocket.Conn, _ *webrocket.Request) {}

func (l library) OnMessage(c *webrocket.Conn, _ webrocket.Opcode, message []byte) {
	author := string(message) // message is valid until OnMessage returns
	loop := c.Loop()
	go func() {
		title := l.find(author) // may block: this is not the loop
		loop.Post(func() { c.Send(webrocket.Text, []byte(title)) })
	}()
}

func (library) OnClose(*webrocket.Conn, error) {}

// Work that takes long is done elsewhere; its result comes back by Post.
func ExampleConn_post() {
	server := webrocket.NewServer("localhost:0")
	books := library{find: func(author string) string { return strings.ToUpper(author) + ", Collected Works" }}
	if err := server.Handle("/books", books); err != nil {
		log.Fatal(err)
	}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer server.Shutdown(ctx)

	ws, _, err := websocket.Dial(ctx, "ws://"+server.Addr().String()+"/books", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ws.CloseNow()
	if err := ws.Write(ctx, websocket.MessageText, []byte("Lem")); err != nil {
		log.Fatal(err)
	}
	_, title, err := ws.Read(ctx)
	fmt.Println(string(title), err)
	// Output: LEM, Collected Works <nil>
}
