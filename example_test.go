package webrocket_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

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
		if !strings.Contains(string(message), `"client"`) { // the reply to auth is another one for each connection
			fmt.Println(string(message))
		}
	}
	// Output:
	// {"ok":true,"id":1}
	// {"ok":true,"id":2}
	// {"event":"hello","channel":"news","data":{"n":1}}
}

// A program that serves until it is told to stop.
func ExampleServer_ListenAndServe() {
	server := webrocket.NewServer("localhost:9772")
	if err := server.Handle("/", webrocket.NewJSONHandler()); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Print(err) // some clients did not answer
		}
	})
	if err := server.ListenAndServe(); err != nil {
		log.Fatal(err)
	}
}

// The files are read again when they change: a renewed certificate needs no
// restart.
func ExampleServer_ListenAndServeTLS() {
	server := webrocket.NewServer("example.com:443")
	if err := server.Handle("/", webrocket.NewJSONHandler()); err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.ListenAndServeTLS("cert.pem", "key.pem"))
}

// wss:// for everybody, and a plain port and a socket's file for this machine.
func ExampleServer_Listen() {
	keys, err := webrocket.LoadKeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	server := webrocket.NewServer("localhost:9772")
	server.Listen(webrocket.Listener{Addr: ":443", TLS: &tls.Config{GetCertificate: keys.GetCertificate}})
	server.Listen(webrocket.Listener{Addr: "unix:/run/rocket/rocket.sock"})
	if err := server.Handle("/", webrocket.NewJSONHandler()); err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.ListenAndServe())
}

// Start returns once clients can connect, Wait when the server has stopped.
func ExampleServer_Shutdown() {
	server := webrocket.NewServer("localhost:0")
	if err := server.Handle("/", webrocket.NewJSONHandler()); err != nil {
		log.Fatal(err)
	}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(server.Shutdown(ctx))
	fmt.Println(server.Wait())
	fmt.Println(server.Start())
	// Output:
	// <nil>
	// <nil>
	// webrocket: the server has been shut down
}

// Several hubs, each with its own channels, secrets and limits.
func ExampleServer_Handle() {
	server := webrocket.NewServer("localhost:9772")
	news := webrocket.NewJSONHandler()
	news.Secrets.ReadWrite = "only editors know"
	news.Channels = []string{"headlines"}
	chat := webrocket.NewJSONHandler()
	chat.Origins = []string{"https://example.com"}
	chat.MaxMessageSize = 4096
	fmt.Println(server.Handle("/news", news))
	fmt.Println(server.Handle("/chat", chat))
	fmt.Println(server.Handle("/again", chat))
	// Output:
	// <nil>
	// <nil>
	// webrocket: handle /again: this handler is in use already; make one for each path
}

// One secret for reading, another for reading and publishing. An empty one lets
// everybody in.
func ExampleCredentials() {
	secrets := webrocket.Credentials{ReadWrite: "rw"}
	for _, name := range []string{"read-only", "read-write"} {
		access := webrocket.AccessCodes[name]
		fmt.Println(name, secrets.Allow(access, "guess"), secrets.Allow(access, "rw"))
	}
	// Output:
	// read-only true true
	// read-write false true
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

// The same for one hub, and an error to tell apart.
func ExampleHubHandler_Publish() {
	server := webrocket.NewServer("localhost:9772")
	handler := webrocket.NewJSONHandler()
	handler.Channels = []string{"news"}
	if err := server.Handle("/", handler); err != nil {
		log.Fatal(err)
	}
	err := handler.Publish("gossip", "hello", nil)
	if errors.Is(err, webrocket.ErrInvalidChannel) {
		fmt.Println("nobody listens")
	}
	// Output: nobody listens
}

// Payloads help clients and handlers that decode messages themselves.
func ExamplePayload() {
	message := webrocket.Payload{"subscribe": map[string]any{"channel": "news"}, "id": 7}
	event, _ := message.Event()
	data, _ := message.Data()
	fmt.Println(event, data["channel"])
	// Output: subscribe news
}

// The replies of the native protocol are payloads too.
func ExamplePayload_replies() {
	for _, payload := range []webrocket.Payload{webrocket.Ok, webrocket.AccessDenied} {
		b, err := json.Marshal(payload)
		fmt.Println(string(b), err)
	}
	// Output:
	// {"ok":true} <nil>
	// {"err":"access_denied"} <nil>
}

// Data is what belongs to a payload's event.
func ExampleData() {
	message := webrocket.Payload{"auth": webrocket.Data{"access": "read-only", "secret": "r"}}
	data, err := message.Data()
	fmt.Println(data["access"], err)
	_, err = webrocket.Payload{"logout": true}.Data()
	fmt.Println(err)
	// Output:
	// read-only <nil>
	// webrocket: the data of logout is not an object
}
