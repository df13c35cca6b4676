package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket/codec"
)

// The costs of a server process, as the kernel counts them. What the clients
// cost, in this process, is not in the figures.

// benchServer runs a server, with TLS or without, and returns its address.
func benchServer(b *testing.B, secure bool) (p *process, addr string) {
	b.Helper()
	args := []string{"-port", "0", "-log-level", "error"}
	if secure {
		args = append(args, "-tls-self-signed")
	}
	p = start(b, nil, args...)
	addr = p.stdout.want(`wss?://(localhost:\d+)/ `)[1]
	p.stdout.want(`^Ready`)
	return p, addr
}

// anyCertificate is the configuration of a client that trusts everybody.
func anyCertificate() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// cpu returns the processor time of a process.
func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
	user, _ := strconv.Atoi(fields[12])
	system, _ := strconv.Atoi(fields[13])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// resident returns the resident memory of a process, in bytes.
func (p *process) resident(b *testing.B) int {
	b.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return pages * os.Getpagesize()
}

// subscriber connects with a subscription, and returns the TCP connection: the
// TLS of the client is forgotten.
func subscriber(b *testing.B, addr string, secure bool) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	session := conn
	if secure {
		session = tls.Client(conn, anyCertificate())
	}
	fmt.Fprint(session, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	for _, command := range []string{`{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"c"}}`} {
		_, _ = session.Write(codec.AppendMaskedFrame(nil, codec.OpText, []byte(command), [4]byte{}))
	}
	ok := codec.AppendFrame(nil, codec.OpText, []byte(`{"ok":true}`))
	var got []byte
	for buf := make([]byte, 4096); bytes.Count(got, ok) < 2; {
		n, err := session.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	return conn
}

func transports(b *testing.B, f func(b *testing.B, secure bool)) {
	b.Run("plain", func(b *testing.B) { f(b, false) })
	b.Run("tls", func(b *testing.B) { f(b, true) })
}

// BenchmarkIdle reports the server's resident memory for each of 8,000
// connections with a subscription.
func BenchmarkIdle(b *testing.B) {
	const n = 8000
	transports(b, func(b *testing.B, secure bool) {
		p, addr := benchServer(b, secure)
		for b.Loop() {
			subscriber(b, addr, secure)
			before := p.resident(b)
			for range n {
				subscriber(b, addr, secure)
			}
			b.ReportMetric(float64(p.resident(b)-before)/n, "B/conn")
		}
	})
}

// BenchmarkHandshakes reports how many connections a core of the server can
// welcome in a second, TLS 1.3 with ECDSA P-256 and a hybrid key exchange, and
// close again.
func BenchmarkHandshakes(b *testing.B) {
	transports(b, func(b *testing.B, secure bool) {
		p, addr := benchServer(b, secure)
		before := p.cpu(b)
		n := 0
		for b.Loop() {
			_ = subscriber(b, addr, secure).Close()
			n++
		}
		b.ReportMetric(float64(n)/(p.cpu(b)-before).Seconds(), "conns/s/core")
	})
}

// BenchmarkFanout reports what a delivery costs the server: messages of 100
// bytes, each to 1,000 subscribers that do not decrypt.
func BenchmarkFanout(b *testing.B) {
	const subscribers = 1000
	transports(b, func(b *testing.B, secure bool) {
		p, addr := benchServer(b, secure)
		var reading sync.WaitGroup
		var conns []net.Conn
		for range subscribers {
			conns = append(conns, subscriber(b, addr, secure))
		}
		for _, conn := range conns {
			reading.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		}
		publisher := benchPublisher(b, addr, secure)
		before := p.cpu(b)
		n := 0
		for b.Loop() {
			publisher()
			n++
		}
		b.ReportMetric(float64((p.cpu(b)-before).Nanoseconds())/float64(n*subscribers), "ns/delivery")
		for _, conn := range conns {
			_ = conn.Close()
		}
		reading.Wait()
	})
}

// benchPublisher returns what publishes one message. It hears itself, so that
// a message has been delivered to most before the next.
func benchPublisher(b *testing.B, addr string, secure bool) func() {
	b.Helper()
	flags := clientFlags{url: "ws://" + addr + "/", insecure: true}
	if secure {
		flags.url = "wss://" + addr + "/"
	}
	program := &program{getenv: env(nil)}
	c, err := program.connect(context.Background(), flags, "read-write")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.close)
	do := func(r request) {
		if err := c.do(context.Background(), r, ignore); err != nil {
			b.Fatal(err)
		}
	}
	do(request{Subscribe: &subscribeArgs{Channel: new("c")}})
	data := []byte(`"` + strings.Repeat("x", 60) + `"`)
	message, err := encodeJSON(request{Publish: &publishArgs{"e", "c", data, ""}})
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		if err := c.conn.Write(context.Background(), websocket.MessageText, message); err != nil {
			b.Fatal(err)
		}
		for range 2 { // the reply and the event
			if _, err := c.receive(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkFlood reports how long an established connection waits for a reply,
// in 99 of 100 cases, and what is resident, while others begin handshakes and
// leave them unfinished, as fast as this process can.
func BenchmarkFlood(b *testing.B) {
	for _, floods := range []int{0, 1, 4} {
		b.Run(strconv.Itoa(floods), func(b *testing.B) {
			p, addr := benchServer(b, true)
			round := benchPublisher(b, addr, true)
			hello := recordedHello(b)
			ctx, cancel := context.WithCancel(context.Background())
			var flooding sync.WaitGroup
			var begun atomic.Int64
			for range floods {
				flooding.Go(func() { flood(ctx, addr, hello, &begun) })
			}
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				round()
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(p.resident(b))/(1<<20), "MiB")
			b.ReportMetric(float64(begun.Load())/b.Elapsed().Seconds(), "begun/s")
			cancel()
			flooding.Wait()
		})
	}
}

// recordedHello returns the first record of a client.
func recordedHello(b *testing.B) []byte {
	b.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		_ = tls.Client(theirs, anyCertificate()).Handshake()
		_ = theirs.Close()
	}()
	record := make([]byte, 4096)
	n, err := ours.Read(record)
	if err != nil {
		b.Fatal(err)
	}
	return record[:n]
}

// flood keeps 2,000 handshakes unfinished, always the latest.
func flood(ctx context.Context, addr string, hello []byte, begun *atomic.Int64) {
	conns := make([]net.Conn, 2000)
	for i := 0; ctx.Err() == nil; i = (i + 1) % len(conns) {
		if conns[i] != nil {
			_ = conns[i].Close()
		}
		if conns[i], _ = net.Dial("tcp", addr); conns[i] != nil {
			_, _ = conns[i].Write(hello)
			begun.Add(1)
		}
	}
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}
