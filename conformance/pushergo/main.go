// pushergo calls the HTTP API of a server with the library of Pusher for Go: pushergo HOST:PORT APP KEY SECRET. It
// prints "ok", or what went wrong. It is a module of its own, so that nobody who uses Rocket downloads the library.
package main

import (
	"fmt"
	"os"

	"github.com/pusher/pusher-http-go/v5"
)

func main() {
	if err := try(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func try(host, app, key, secret string) error {
	client := pusher.Client{AppID: app, Key: key, Secret: secret, Host: host}
	count, subscriptions, prefix := "user_count", "subscription_count", "presence-"
	if err := client.Trigger("news", "greet", map[string]string{"hello": "world"}); err != nil {
		return fmt.Errorf("trigger: %w", err)
	}
	if err := client.TriggerMulti([]string{"a", "b"}, "greet", "text"); err != nil {
		return fmt.Errorf("several channels: %w", err)
	}
	socket := "1.2"
	answer, err := client.TriggerWithParams("presence-a", "greet", 1, pusher.TriggerParams{SocketID: &socket, Info: &count})
	if err != nil || answer.Channels["presence-a"].UserCount == nil || *answer.Channels["presence-a"].UserCount != 0 {
		return fmt.Errorf("with a count: %+v, %w", answer, err)
	}
	batch, err := client.TriggerBatch([]pusher.Event{{Channel: "a", Name: "e", Data: 1}, {Channel: "b", Name: "e", Data: 2, Info: &subscriptions}})
	if err != nil || len(batch.Batch) != 2 || batch.Batch[1].SubscriptionCount == nil {
		return fmt.Errorf("a batch: %+v, %w", batch, err)
	}
	if batch, err = client.TriggerBatch([]pusher.Event{{Channel: "a", Name: "e", Data: 1}}); err != nil {
		return fmt.Errorf("a batch without counts: %+v, %w", batch, err)
	}
	if err := client.SendToUser("ann", "greet", "hello"); err != nil {
		return fmt.Errorf("to a user: %w", err)
	}
	channels, err := client.Channels(pusher.ChannelsParams{FilterByPrefix: &prefix, Info: &count})
	if err != nil || channels.Channels == nil || len(channels.Channels) != 0 {
		return fmt.Errorf("channels: %+v, %w", channels, err)
	}
	channel, err := client.Channel("news", pusher.ChannelParams{Info: &subscriptions})
	if err != nil || channel.Occupied || channel.SubscriptionCount != 0 {
		return fmt.Errorf("a channel: %+v, %w", channel, err)
	}
	users, err := client.GetChannelUsers("presence-a")
	if err != nil || users.List == nil {
		return fmt.Errorf("users: %+v, %w", users, err)
	}
	client.Secret = "wrong"
	if client.Trigger("news", "greet", 1) == nil {
		return fmt.Errorf("a wrong secret is taken")
	}
	return nil
}
