// Package engine answers the question: how do sockets become connections?
//
// An Engine runs event loops (gnet's). A connection is accepted by one loop and
// stays there. It is a state machine that is given bytes and the time, so that
// it can be tested without a socket. An idle connection has no goroutine, no
// timer and no buffer.
//
// The main path, in reading order:
//
//   - engine.go starts the loops, gnet.go takes their events;
//   - conn.go is the state machine of a connection;
//   - handshake.go is the opening handshake of WebSocket;
//   - read.go turns bytes into messages for the Protocol of an Endpoint
//     (endpoint.go), deflate.go inflates and compresses them if that was
//     negotiated;
//   - write.go queues frames and writes them, sockets.go and send.go are the
//     system calls;
//   - close.go ends a connection, with a table of all the ways to do that;
//   - deadline.go acts on the passage of time;
//   - loop.go is one turn of a loop: posted work, the Worker's deliveries, then one
//     write for each connection that has something queued;
//   - batch.go makes many of these writes at once, in one system call: uring.go.
//
// Between the socket and the WebSocket bytes there may be a PROXY header and
// TLS: transport.go, proxy.go, tls.go, lend.go, and tlshandshake.go for the one
// part that does not run on the loops. forwarded.go reads the client's address
// from the header of an HTTP proxy. mismatch.go reports clients that use ws://
// for wss://, or the reverse.
//
// Which connections are admitted: admit.go, with limits.go (open files),
// memory.go and gate.go (rates). Where the engine listens: listener.go,
// ports.go and unix.go (unix sockets). What happens when accept(2) fails:
// acceptfail.go. Slow readers: slow.go (which events are dropped), lost.go (how
// a client is told) and writable.go (when its socket takes more).
//
// A request that opens no WebSocket connection leaves the loops with its socket, if
// there is a Config.HTTP: handover.go, then http.go and httpconn.go on net/http.
// pipe.go connects clients within the process.
//
// life.go is the engine's life from start to stop, drain.go and shared.go the
// way to replace a process without refusing clients, reload.go new settings for
// an engine that runs. each.go runs a function on the loops, stats.go counts,
// watchdog.go reports a stalled loop. simulation.go runs an engine without
// sockets, and owner_race.go finds calls from the wrong goroutine.
//
// # Ownership
//
// A loop owns its connections, their deadlines and its buffers, without locks.
// The methods of a Protocol run on the loop; their arguments are valid until
// they return. A queued frame is kept until it is written and must not be
// modified. Each method says from where it may be called; from elsewhere use
// Loop.Post.
//
// The goroutines are: one for each loop, one that runs the clock and watches
// the loops and the memory, one that waits for the sockets of slow readers, one
// for each unix socket that is listened on, one that collects garbage now and
// then while memory is short, one for each TLS handshake while it lasts, of
// which there are at most 512, and with Config.HTTP one that takes connections for
// it and those of net/http, at most two for each. Their number does not depend on
// the number of WebSocket connections.
//
// # Limits
//
// Linux only. The header block of a request is limited to 8 KiB; everything
// else is a field of Config or Endpoint. Deadlines are exact to a quarter of a
// second.
package engine
