package engine

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// clientHello is one, as a client of Go's sends it.
func clientHello(t testing.TB) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		_ = tls.Client(theirs, &tls.Config{ServerName: "localhost"}).Handshake()
		_ = theirs.Close()
	}()
	b := make([]byte, 4096)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// dialHalf connects a client that sends these bytes.
func dialHalf(t testing.TB, e *Engine, b []byte) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	return conn
}

// waitForTLSHandshakes returns when none has a goroutine.
func waitForTLSHandshakes(t testing.TB, e *Engine) {
	t.Helper()
	waitFor(t, func() bool {
		p := e.tlsHandshakes
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.running == 0
	})
}

// wantReply waits until the server has answered a ClientHello.
func wantReply(t testing.TB, conn net.Conn) {
	t.Helper()
	if _, err := io.ReadFull(conn, make([]byte, recordHeaderSize)); err != nil {
		t.Fatalf("no reply: %v", err)
	}
}

// startSmall starts an engine with room for so many handshakes.
func startSmall(t testing.TB, goroutines, unread int) *Engine {
	t.Helper()
	e := New(Config{Loops: 1}, at("/", Endpoint{Protocol: echo}))
	e.tlsHandshakes.max, e.tlsHandshakes.unread = goroutines, unread
	if err := e.Listen(Listener{Addr: "127.0.0.1:0", TLS: serverTLS()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(t.Context()) })
	return e
}

// dialPersistently tries again where there is no room.
func dialPersistently(t testing.TB, e *Engine) *websocket.Conn {
	t.Helper()
	return dialWith(t, "wss://localhost/", func() (net.Conn, error) {
		for {
			conn, err := tls.Dial("tcp", e.Addr().String(), clientTLS())
			if err == nil || t.Context().Err() != nil {
				return conn, err
			}
		}
	})
}

// Handshakes that clients leave unfinished cost goroutines up to a bound,
// memory up to a bound, and hold up neither established connections nor new
// ones.
func TestTLSHandshakeFlood(t *testing.T) {
	const bound, flood = 8, 400
	e := startSmall(t, bound, 64<<10)
	established := dialTLS(t, e, clientTLS())
	roundTrip(t, established, []byte("hello"))
	before := runtime.NumGoroutine()
	b := clientHello(t)

	for i := range flood {
		dialHalf(t, e, b[:len(b)-1]) // never a goroutine: the hello is not whole
		dialHalf(t, e, b)
		if i%20 == 0 {
			roundTrip(t, established, []byte("hello"))
			waitFor(t, func() bool { return runtime.NumGoroutine() <= before+bound }) // some are about to end
		}
	}
	roundTrip(t, dialPersistently(t, e), []byte("hello")) // displaces one that waits
	roundTrip(t, established, []byte("hello"))

	e.tlsHandshakes.mu.Lock()
	defer e.tlsHandshakes.mu.Unlock()
	p := e.tlsHandshakes
	if most := p.unread + (bound+1)*len(b); p.running > bound || p.bytes > most {
		t.Errorf("%d goroutines and %d bytes, want at most %d and %d", p.running, p.bytes, bound, most)
	}
}

// The bounds in docs/tls.md are those of the code.
func TestDocumentedTLSHandshakeBounds(t *testing.T) {
	docs, err := os.ReadFile("../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| handshakes with a goroutine, most of which wait for their client | %d |", tlsHandshakesMax),
		fmt.Sprintf("| bytes that all clients have sent ahead of their handshakes | %d MiB, and %d KiB for each with a goroutine |", unreadMax>>20, unreadShare>>10),
		fmt.Sprintf("| bytes that one client has | %d KiB |", eagerMax>>10),
		fmt.Sprintf("| time for TLS and the opening handshake together | `HandshakeTimeout`, %.0f s |", DefaultHandshakeTimeout.Seconds()),
	} {
		if !strings.Contains(string(docs), "\n"+row+"\n") {
			t.Errorf("docs/tls.md lacks the row %q", row)
		}
	}
	if wait := time.Duration(tlsPatience) * tick; wait != time.Second {
		t.Errorf("who keeps a goroutine waiting for %v makes room, and docs/tls.md says a second", wait)
	}
}

// With nobody to displace, a handshake that finds no room is refused.
func TestTLSHandshakeOverflow(t *testing.T) {
	e := startSmall(t, 1, 0)
	b := clientHello(t)
	turns := e.tlsHandshakes.turns
	for range cap(turns) {
		turns <- struct{}{} // nobody gets as far as to wait for a client
	}
	first := dialHalf(t, e, b)
	refused := dialHalf(t, e, b)
	if n, err := refused.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("got %d bytes, %v, want the end", n, err)
	}
	for range cap(turns) {
		<-turns
	}
	wantReply(t, first)
}

// Who hangs up in the middle gives back what it had.
func TestTLSHandshakeHangUp(t *testing.T) {
	e := startSmall(t, 1, 1<<20)
	b := clientHello(t)
	first := dialHalf(t, e, b)
	wantReply(t, first)
	second := dialHalf(t, e, b) // in the queue
	_ = first.Close()
	wantReply(t, second)
	_ = second.Close()
	waitForTLSHandshakes(t, e)
	third := dialTLS(t, e, clientTLS())
	roundTrip(t, third, []byte("hello"))
}

// A handshake has the same deadline as the opening handshake behind it.
func TestTLSHandshakeDeadline(t *testing.T) {
	e := startTLS(t, Config{Loops: 1, HandshakeTimeout: tick}, Endpoint{Protocol: echo})
	b := clientHello(t)
	for _, conn := range []net.Conn{
		dialHalf(t, e, nil), dialHalf(t, e, b[:10]), dialHalf(t, e, b),
	} {
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("got %v, want the end", err)
		}
	}
	waitForTLSHandshakes(t, e)
}

// What a client sends ahead of its handshake is bounded.
func TestTLSHandshakeEager(t *testing.T) {
	e := startSmall(t, 1, 1<<20)
	b := clientHello(t)
	first := dialHalf(t, e, b)
	wantReply(t, first)
	eager := dialHalf(t, e, b)
	_, err := eager.Write(bytes.Repeat([]byte{'x'}, 4*eagerMax))
	if _, readErr := eager.Read(make([]byte, 1)); err == nil && readErr == nil {
		t.Error("it is not closed")
	}
}

// Handshakes end with the engine.
func TestTLSHandshakeShutdown(t *testing.T) {
	e := startSmall(t, 1, 1<<20)
	b := clientHello(t)
	wantReply(t, dialHalf(t, e, b))
	dialHalf(t, e, b)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := e.tlsHandshakes.running; n != 0 {
		t.Errorf("%d goroutines are left", n)
	}
}

// A panic in a callback of the configuration costs one connection.
func TestTLSHandshakePanic(t *testing.T) {
	config := serverTLS()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "panic.example" {
			panic("on purpose")
		}
		return nil, nil
	}
	e := startOn(t, Config{Loops: 1}, Endpoint{Protocol: echo}, Listener{Addr: "127.0.0.1:0", TLS: config})
	client := clientTLS()
	client.ServerName = "panic.example"
	if _, err := tls.Dial("tcp", e.Addr().String(), client); err == nil {
		t.Error("no error")
	}
	roundTrip(t, dialTLS(t, e, clientTLS()), []byte("hello"))
}
