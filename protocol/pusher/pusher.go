// Package pusher answers the question: how does a client say it in the Pusher protocol?
//
// docs/pusher.md is the protocol as applications see it: pusher-js, Laravel Echo and
// the server libraries of Pusher talk to an App without a change. An App serves a hub,
// so that clients of the native protocol may be served beside it.
//
// The main path: OnMessage reads one message (conn.go, message.go) and does what it asks
// for: subscribe.go looks at the channel's kind (channel.go) and the signature
// (signature.go), and channels.go joins, with who is present; clientevent.go sends an
// event to the other members; users.go signs a user in. A socket id is found by conns.go. Events reach the subscribers
// without this package, in the forms that app.go has registered with the hub. Servers
// publish by the HTTP API (apps.go, api.go, publish.go), whose requests are signed
// (request.go); what happens is told to webhooks (hooks.go, webhook.go).
//
// # Ownership
//
// A conn belongs to the loop of its connection. The tables of an App (channels, cache,
// users, conns) have locks, of which a goroutine takes the one of the cache first, then
// the one of a channel's part; under both it may publish to the hub, and no hook of the
// hub may call the App. The goroutines are those of the webhooks, one for each, which
// Close ends.
//
// # Limits
//
// They are the fields of Config. What is known of users, channels and members is that of
// this process.
package pusher
