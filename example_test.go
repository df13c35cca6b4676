package webrocket_test

import (
	"context"
	"fmt"
	"log"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

// A server with one hub, and a client that hears what it publishes.
func Example() {
	server := webrocket.NewServer("localhost:0")
	handler := webrocket.NewJSONHandler()
	handler.Secrets = webrocket.Credentials{ReadOnly: "r", ReadWrite: "rw"}
	if err := server.Handle("/", handler); err != nil {
		log.Fatal(err)
	}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer server.Shutdown(ctx)

	ws, _, err := websocket.Dial(ctx, "ws://"+server.Addr().String()+"/", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ws.CloseNow()
	for _, message := range []string{
		`{"auth":{"access":"read-write","secret":"rw"}}`,
		`{"subscribe":{"channel":"news"},"id":1}`,
		`{"publish":{"event":"hello","channel":"news","data":{"n":1}},"id":2}`,
	} {
		if err := ws.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			log.Fatal(err)
		}
	}
	for range 4 {
		_, message, err := ws.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(message))
	}
	// Output:
	// {"ok":true}
	// {"ok":true,"id":1}
	// {"ok":true,"id":2}
	// {"event":"hello","channel":"news","data":{"n":1}}
}

// Publishing from Go code on the server, from any goroutine.
func ExampleServer_Publish() {
	server := webrocket.NewServer("localhost:0")
	handler := webrocket.NewJSONHandler()
	handler.Channels = []string{"news"}
	if err := server.Handle("/", handler); err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.Publish("/", "news", "hello", map[string]int{"n": 1}))
	fmt.Println(server.Publish("/", "gossip", "hello", nil))
	// Output:
	// <nil>
	// webrocket: no such channel
}

// Payloads help clients and handlers that decode messages themselves.
func ExamplePayload() {
	message := webrocket.Payload{"subscribe": map[string]any{"channel": "news"}, "id": 7}
	event, _ := message.Event()
	data, _ := message.Data()
	fmt.Println(event, data["channel"])
	// Output: subscribe news
}
