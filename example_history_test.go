package webrocket_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/nu7hatch/webrocket"
)

// A channel that keeps events, read page by page by the program itself.
func ExampleHub_History() {
	handler := webrocket.NewJSONHandler()
	handler.Rules = []webrocket.Rule{
		{Match: "chat:*", History: webrocket.History{Size: 100, TTL: 5 * time.Minute}},
		{Match: "user:{user}", Subscribe: webrocket.Owner, Publish: webrocket.Nobody},
	}
	server := webrocket.NewServer("")
	if err := server.Handle("/", handler); err != nil {
		log.Fatal(err)
	}
	hub := server.Hub("/")
	for i := range 3 {
		if err := hub.Publish("chat:1", "said", i); err != nil { // nobody has to be there
			log.Fatal(err)
		}
	}
	page, err := hub.History("chat:1", webrocket.HistoryQuery{Limit: 2})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range page.Events {
		fmt.Println(e.Offset, e.Event, string(e.Data))
	}
	before := webrocket.Position{Epoch: page.Epoch, Offset: page.Events[0].Offset - 1}
	page, err = hub.History("chat:1", webrocket.HistoryQuery{Until: before})
	fmt.Println(len(page.Events), page.More, err)
	_, err = hub.History("news", webrocket.HistoryQuery{})
	fmt.Println(errors.Is(err, webrocket.ErrNoHistory))
	// Output:
	// 2 said 1
	// 3 said 2
	// 1 false <nil>
	// true
}

// An event that is published once, although the program asks for it twice: it may not
// know whether its first attempt came through.
func ExampleHub_PublishKeyed() {
	hub, err := webrocket.NewHub("shop", webrocket.HubConfig{Channels: []string{"orders"}})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		published, err := hub.PublishKeyed("orders", "paid", []byte(`{"order":4711}`), "order-4711-paid")
		fmt.Println(published.Duplicate, err)
	}
	// Output:
	// false <nil>
	// true <nil>
}

// What the rules of a hub say of one channel and one user.
func ExampleHubConfig_ruling() {
	config := webrocket.HubConfig{Rules: []webrocket.Rule{
		{Match: "user:{user}", Subscribe: webrocket.Owner, Publish: webrocket.Nobody},
	}}
	ruling := config.Ruling("user:42", "42")
	fmt.Println(ruling.Subscribe.Right, ruling.Subscribe.Allowed, ruling.Publish.Right)
	// Output: owner true nobody
}
