// Package faults answers: what does a Rocket server do when things go wrong?
//
// It starts the real binary, does something bad to it, and looks at what its
// clients and its operator see meanwhile. The command is cmd/rocket-faults; the
// table that it prints is in docs/reliability.md.
//
// One run, in reading order:
//
//	case.go      the list of what is done; each case has a file of its own
//	suite.go     every case runs in a process of its own
//	trial.go     what a case has at hand, and the findings that it leaves
//	server.go    the rocket that is tried: its log, metrics, memory, signals
//	client.go    one connection
//	audience.go  many well-behaved connections that check all they hear
//	load.go      the publishers of their events
//	sleepers.go  subscribers that do not read
//	crowd.go     many connections that do the same at the same time
//	nodes.go     a cluster: its publishers and its listeners; nats.go with servers of NATS beside it
//	logs.go      a cluster that stores histories: scribe.go publishes, rover.go listens at one node after the other
//	machines.go  the network namespaces of its nodes
//	stream.go    events of which each is known, for readers that miss some
//	follower.go  subscribers that keep their position, and come back with it
//	pages.go     clients of the Pusher protocol, which do as pusher-js does
//	receiver.go  the endpoint of a webhook
//	table.go     the findings, for a terminal and for the document
//
// # What an audience checks
//
// A load numbers what it publishes and stamps it with the time at which it was
// due. Each member of the audience wants the next number, once: what is missing
// is lost, what is not the next is doubled or out of order. A latency is from
// the time at which a publish was due until the member has read it, so a server
// that stops for a while cannot hide it.
//
// A follower wants the next number too, also behind an absence, unless it is told
// that some are missing. So nothing can be lost untold, however it comes and goes.
//
// # What counts as unharmed
//
// Latencies with a fault are compared with those of the same members in the same
// run without it. Server and clients share the machine's cores, so what the
// clients of a fault use is missing elsewhere: unharmed allows for that. A short
// run shows latencies and does not judge them.
//
// # Ownership
//
// A member and a load have a goroutine each, and a connection that only it reads.
// A trial belongs to the goroutine of its case; its findings may come from any.
//
// # Limits
//
// Linux only. Cases that need network namespaces, mounts or the machine's clock
// need root, and those that drop packets need nftables. A process may have
// 20,000 open files, so nothing here has more connections than that.
package faults
