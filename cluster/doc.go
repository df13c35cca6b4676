// Package cluster answers the question: how do several nodes act as one?
//
// A Node connects the hubs of this process with those of the same name in other processes.
// It is a hub.Broker: what is published in one process reaches the subscribers in all. The
// nodes talk through NATS: servers of the user's, or those that package embedded starts
// inside each process. This package alone imports the client of NATS.
//
// # The main path
//
// Node.Send (node.go) puts an event, which its own process has delivered already, into the
// batch that is being filled (outbox.go). A goroutine closes the batch, numbers it, keeps
// it for those that miss it, and publishes it to NATS; while it does, the next one fills.
// In another process Node.receive takes the batch apart (wire.go), if its number is the next
// of that node (peer.go), and gives each event to the hub of its name.
//
// Every node numbers its batches from 1, and says four times a second how far it has come.
// A node that sees a gap keeps what came after it, and asks the origin for what is missing.
// What the origin does not keep any more it names by channels and counts, as far as it
// remembers them. Whatever does not come in the end is told to the subscribers: those of
// the channels concerned, or all. So NATS may lose, delay or repeat what it likes.
//
// exchange.go has all these rules; it knows no socket and no clock, so a test can lose,
// shuffle and split as it likes, and count.
//
// # What nodes ask and tell each other
//
// Node.Call (call.go) asks all other nodes something, and waits for their answers. A
// question may stand for a while (standing.go): then it reaches those nodes too that are
// away, or start later. Revocations are such questions.
//
// Node.Tell (presence.go) makes known what holds here for as long as it does, who is present
// for one (fact.go). teller.go has the facts of this node, in shards with versions;
// learner.go those of the others, which it gives to the hubs. Neither knows a socket or a
// clock.
//
// Node.Remove (remove.go) makes the servers inside the nodes forget one that does not come back.
//
// # Logs
//
// With Config.Streams events of channels with a history go another way (logs.go), and hubs
// deliver only what comes back by it. The channels of a hub share a few logs: each is a stream
// of JetStream with one subject (stream.go), of which NATS sends on what it has stored. An
// appender (appender.go) puts the events of this node into batches (batch.go), one of which is
// on its way to a log at a time. A follower (follower.go) applies each message of the log once
// and in order, and reads from the log what the feed has lost. What a message means is decided
// by a ledger (ledger.go), by nothing but the messages before: so offsets, order and
// duplicates are the same on every node. An offset is the number of the message in the log,
// times 1,024, and the place in the batch.
//
// Small batches of nodes go to the one whose server leads the log, which sends them along with
// its own (collect.go): so a message of the log has batches of one or several nodes. A batch that does
// not come back goes to the log itself, and counts once, by its number.
//
// Every node sends an empty batch when it has sent nothing for a second. If that comes back,
// nothing before it is missing, the log has a leader, and the way is open.
//
// An epoch begins with a message that says so, stored behind a known last one or not at all,
// and every later message repeats it. A follower finds that a log has lost what was stored when
// a number comes again with another time, when the log is shorter than what was applied, or
// when the last message that was applied, which each read begins with, is another one.
// Then it proclaims a new epoch, whose offsets are above all that it knows, and subscribers
// are told.
//
// A follower that has just begun has nothing to compare. It asks by an empty batch who has
// followed the log for longer. If nobody answers, no node has: it proclaims an epoch that goes
// on from the last one, with the same offsets. Positions of that are good up to there. So a
// position of what is gone never is, whatever has been put back while no node ran.
//
// # Promises
//
// What one publisher publishes on one node reaches each subscriber on every node in that
// order, each event once, or the subscriber is told that some are missing. Publishers on
// different nodes have no common order. A node that ends without a word, as it does when it is
// killed, may have had events that it had not sent: subscribers on other nodes are told that
// some may be missing.
//
// # Ownership
//
// Methods of Node may be called from any goroutine. Event loops only put events into a
// batch, under a lock that nobody holds for long. Each log has two goroutines, one that sends
// and keeps time, and one that asks NATS. Five goroutines belong to a Node, beside
// those of the NATS client: one sends, one says four times a second that this node is there and
// keeps time, one judges which others are gone, one tells subscribers what is lost, and one tells
// them who comes and goes elsewhere. While subscribers cannot be served as fast as events come,
// only the goroutines that deliver to them wait, and the judging one. So do those that answer questions, 16 at
// most. Close waits for them.
//
// # Limits
//
// A node keeps 8 MiB of what it has sent, 1 MiB of counts of what came before, and 8 MiB
// for each other node of what came after a gap. A node that is not heard of for 10 seconds
// is taken for lost; after 3 seconds what it has told does not hold any more. 100,000
// questions may stand, of 32 MiB. An event has at most what NATS allows for a message, 1 MiB unless its
// servers say otherwise; a larger one reaches this process only, and the others are told.
// All nodes hear all events: that is cheaper than interest by channel unless a node wants
// less than about half of them.
package cluster
