// Package hub answers the question: what is one hub?
//
// A Hub is a name, a table of channels, and rules: the access that clients
// need, and their limits. A Session is the access and the subscriptions of one
// connection. All protocols share them: clients can reach a hub at several
// paths and in several protocols, and an event published in one protocol
// reaches the subscribers of all. The package knows no socket and no encoding.
//
// The main path: a protocol opens a Session for each connection (session.go)
// and calls its methods with what the client asks for. Each returns a Result.
// Publish (publish.go) admits an event, or says why not, and delivers it:
// pubsub makes the forms that subscribers hear, which the protocols have
// registered with the Hub (hub.go). A Worker (worker.go) is the part of all
// hubs that lives on one event loop. A Go program publishes and subscribes
// without a session (publish.go, subscription.go).
//
// # Answers that come later
//
// In a cluster that stores histories, a publish to a channel with one is answered when other
// nodes have stored it (sequence.go). Session.Publish then returns a Turn (turn.go), the place of
// the answer among those of the session. Whatever the protocol answers meanwhile waits for its
// own turn, so answers come in the order of the commands: further publishes are obeyed at once
// and any number of them is on its way, but every other command waits itself, since its events
// could overtake its answer. The Sequencer says what has become of an event before it gives the
// event to the hub, and a loop looks for answers before it delivers a run: so the answer to a
// publish comes before its event. Without a Sequencer there are no turns, and nothing is paid
// for them.
//
// # Ownership
//
// A Session and a Worker belong to one event loop; their methods are called there
// only. The methods of Hub may be called from any goroutine. A Config is copied
// when it is passed; the settings made of it are replaced, never modified.
//
// # Limits
//
// They are the fields of Config. A Session has 64 bytes; what a hub does not use,
// such as rates, identities and expiry, costs its sessions nothing.
package hub
