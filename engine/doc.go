// Package engine answers the question: how do sockets become connections?
//
// An Engine runs event loops (gnet's). Each connection is born on one loop,
// stays there, and is a state machine that takes bytes and the time, so that it
// can be tried without a socket. There is no goroutine, timer or buffer for an
// idle connection.
//
// The main path, in reading order: engine.go starts the loops and takes their
// events; conn.go is the state machine; handshake.go makes it an open
// connection; read.go turns bytes into messages for the Endpoint's Handler;
// deflate.go inflates and compresses them if that was agreed on; write.go queues
// what goes out and writes it; close.go ends it; deadline.go lets time pass.
// loop.go is one turn of a loop: work that was posted, the Worker's deliveries,
// then one write for each connection that something waits for.
//
// Between socket and connection there may be a PROXY header and TLS:
// transport.go, proxy.go, tls.go, and handshakes.go for the one part that is not
// done on the loops. forwarded.go reads which client an HTTP proxy speaks for.
// listener.go and files.go are the addresses. Beside the main
// path are slow.go (what slow readers may miss) and lost.go (how they are told),
// gate.go, memory.go and limits.go (who is let in), mismatch.go (ws:// for wss://), accept.go (when nobody can be),
// drain.go, ports.go and shared.go (the end), and watchdog.go. In simulation.go an
// engine runs without sockets; owner_race.go finds calls from foreign goroutines.
//
// # Ownership
//
// A loop owns its connections, their deadlines and its buffers, without locks.
// Handlers run on the loop; what they are given is valid until they return.
// Frames that are queued are kept until they are written and must not be
// modified. Methods say where they may be called; from elsewhere use Loop.Post.
//
// The goroutines are: one for each loop, one that runs the clock and watches
// over the loops and memory, one that waits for the sockets of slow readers, one
// for each socket's file that is listened on, one that collects garbage now and
// then while memory is short, and one for each TLS handshake while it lasts, of
// which there are at most 512. Their number does not depend on the number of
// connections.
//
// # Limits
//
// Linux only. Header blocks are limited to 8 KiB; everything else is a field of
// Config or Endpoint. Deadlines are coarse: a quarter of a second.
package engine
