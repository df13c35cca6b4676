// Package bench answers: how fast is a WebSocket pub/sub server, and how was that measured?
//
// It is a load generator, an exact check of what was delivered, and a measurement of what the kernel alone costs on the
// same machine in the same run (the floor). The command is cmd/rocket-bench; README.md says how to read its answers.
//
// One run, in reading order:
//
//	scenario.go    what is asked: a scenario sets the options it needs and says which phases run
//	plan.go        which client subscribes to what, and which publishes where: plain tables
//	session.go     the phases: connect, warm up, measure, drain, check
//	worker.go      one generator thread: an epoll set, its connections, its publishes
//	conn.go        one connection: handshake, set-up, frames in, frames out
//	tls.go         the same over TLS; keypair.go makes a certificate for a server that is started
//	dialect.go     how a server speaks (rocket.go, nats.go, centrifugo.go, nchan.go with channelpath.go, pusher.go)
//	verify.go      every delivery is the next of its stream, or it is lost, doubled, late or astray
//	window.go      closed loop: how many publishes may be unfinished
//	schedule.go    open loop: when the n-th publish is due
//	latency.go     from the scheduled time to the read that brought it
//	history.go     channels that keep events, and clients that come back for them
//	floor.go       the same bytes to the same number of sockets by plain sends (floorwriter.go), and by many sends at a
//	               time through io_uring (uring.go)
//	result.go      what is known afterwards; metric.go, table.go, sidebyside.go and html.go show it
//	suite.go       the standard set, repeated, with medians and spread; peers.go compares the servers of a set
//	far.go         two nodes, and publishers at the other one
//	nodes.go       a cluster on this machine with very many connections; swarm.go has the clients of one node, in a
//	               process of their own
//	post.go        backends that publish by HTTP, to several servers in turns; backend.go is one of them, and the subscriber
//	column.go      one scenario without and with TLS, side by side
//
// # What a delivery carries
//
// The data of every publish is a JSON string of a fixed size. It starts with fixed-width digits: the stream (a pair of
// channel and publisher), the number within the stream, from 1, and the nanosecond for which the publish was scheduled.
// The receiver finds them at a place known from the frame's length, reads them with a few multiplications, and compares
// everything else byte for byte. What does not look as expected goes through encoding/json and must still say the same.
//
// # Ownership
//
// A worker owns its connections, the streams they publish and all tallies about them; it is the only goroutine that
// touches them. A TLS handshake is a coroutine that only its worker resumes, on its own thread. Others leave work in
// its inbox. Workers share two things: how far a stream was published (written by the owner of the stream, read at the
// end and by subscribers that join late), and how far each worker has received it. Reports are taken by a function that
// runs on the worker.
//
// # Limits
//
// Linux only (epoll, CPU clocks of other processes). WebSocket frames of a server must be whole messages of at most
// 128 KiB, without extensions. A stream has at most 99,999,999 publishes, a run at most an hour.
package bench
