package webrocket_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

// A hook that is asked for each connection: it sees the opening handshake and says
// who the client is. What it refuses is closed with 1008 and the error's text.
func ExampleHubConfig_onConnect() {
	handler := webrocket.NewJSONHandler()
	handler.OnConnect = func(r *webrocket.HubRequest) (*webrocket.Identity, error) {
		user := r.Cookie("user") // look up a session here
		if user == "" {
			return nil, errors.New("log in first")
		}
		return &webrocket.Identity{User: user}, nil
	}
	url, stop := serveExample(handler)
	defer stop()

	_, _, err := dialExample(url, nil).Read(context.Background())
	fmt.Println(websocket.CloseStatus(err), strings.Contains(err.Error(), "log in first"))

	ws := dialExample(url, http.Header{"Cookie": {"user=ann"}})
	defer ws.CloseNow()
	fmt.Println(strings.Contains(ask(ws, `{"auth":{"access":"read-only","secret":""}}`), `"user":"ann"`))
	// Output:
	// StatusPolicyViolation true
	// true
}

// A hook that is asked before a session becomes a subscriber: each user may hear a
// channel of their own.
func ExampleHubConfig_onSubscribe() {
	handler := webrocket.NewJSONHandler()
	handler.OnConnect = func(r *webrocket.HubRequest) (*webrocket.Identity, error) {
		return &webrocket.Identity{User: r.Param("user")}, nil
	}
	handler.OnSubscribe = func(s *webrocket.Session, channel string) error {
		if channel != "user:"+s.Identity().User {
			return errors.New("this channel is somebody else's")
		}
		return nil
	}
	url, stop := serveExample(handler)
	defer stop()

	ws := dialExample(url+"?user=ann", nil)
	defer ws.CloseNow()
	ask(ws, `{"auth":{"access":"read-only","secret":""}}`)
	fmt.Println(ask(ws, `{"subscribe":{"channel":"user:ann"}}`))
	fmt.Println(ask(ws, `{"subscribe":{"channel":"user:bob"}}`))
	// Output:
	// {"ok":true}
	// {"err":"access_denied","reason":"this channel is somebody else's"}
}

// A hook that is asked before an event of a client is published.
func ExampleHubConfig_onPublish() {
	handler := webrocket.NewJSONHandler()
	handler.Channels = []string{"chat"}
	handler.OnPublish = func(s *webrocket.Session, e webrocket.Event) error {
		if e.Event != "message" || len(e.Data) > 1000 {
			return errors.New("want a short message")
		}
		return nil
	}
	url, stop := serveExample(handler)
	defer stop()

	ws := dialExample(url, nil)
	defer ws.CloseNow()
	ask(ws, `{"auth":{"access":"read-write","secret":""}}`)
	fmt.Println(ask(ws, `{"publish":{"event":"message","channel":"chat","data":"hello"}}`))
	fmt.Println(ask(ws, `{"publish":{"event":"delete","channel":"chat"}}`))
	// Output:
	// {"ok":true}
	// {"err":"access_denied","reason":"want a short message"}
}

// A Go program that subscribes. Events come one after another, on a goroutine of
// the subscription.
func ExampleHub_Subscribe() {
	hub, err := webrocket.NewHub("chat", webrocket.HubConfig{})
	if err != nil {
		log.Fatal(err)
	}
	heard := make(chan string)
	subscription, err := hub.Subscribe("news", func(e webrocket.Event) {
		if e.Lost > 0 {
			fmt.Println(e.Lost, "events were lost: this function was too slow")
			return
		}
		heard <- e.Event + " " + string(e.Data)
	})
	if err != nil {
		log.Fatal(err)
	}
	defer subscription.Close()
	if err := hub.Publish("news", "hello", map[string]int{"n": 1}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-heard)
	// Output: hello {"n":1}
}

// One hub at two paths: pages connect to the first, which has a list of origins,
// servers to the second.
func ExampleHubHandler_Hub() {
	hub, err := webrocket.NewHub("chat", webrocket.HubConfig{Secrets: webrocket.Credentials{ReadWrite: "rw"}})
	if err != nil {
		log.Fatal(err)
	}
	pages, servers := webrocket.NewJSONHandler(), webrocket.NewJSONHandler()
	pages.Hub, servers.Hub = hub, hub
	pages.Origins = []string{"https://example.com"}
	servers.MaxMessageSize = 1 << 20

	server := webrocket.NewServer("localhost:0")
	for path, handler := range map[string]webrocket.Handler{"/chat": pages, "/internal": servers} {
		if err := server.Handle(path, handler); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(server.Hub("/chat") == server.Hub("/internal"), server.Hubs())
	// Output: true [chat]
}

// serveExample serves a handler and returns its URL.
func serveExample(h webrocket.Handler) (url string, stop func()) {
	server := webrocket.NewServer("127.0.0.1:0")
	if err := server.Handle("/", h); err != nil {
		log.Fatal(err)
	}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	return "ws://" + server.Addr().String() + "/", func() { _ = server.Shutdown(context.Background()) }
}

func dialExample(url string, header http.Header) *websocket.Conn {
	ws, _, err := websocket.Dial(context.Background(), url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		log.Fatal(err)
	}
	return ws
}

// ask sends a command and returns the reply.
func ask(ws *websocket.Conn, command string) string {
	if err := ws.Write(context.Background(), websocket.MessageText, []byte(command)); err != nil {
		log.Fatal(err)
	}
	_, reply, err := ws.Read(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return string(reply)
}
