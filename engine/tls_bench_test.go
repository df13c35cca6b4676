package engine

import (
	"bytes"
	"crypto/tls"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/codec"
)

// BenchmarkTLSHandshake is one client after the other, both ends in the
// process: half of the time is the client's.
func BenchmarkTLSHandshake(b *testing.B) {
	for _, name := range []string{"full", "resumed"} {
		b.Run(name, func(b *testing.B) {
			e := startTLS(b, Config{Loops: 1}, Endpoint{Protocol: echo})
			config := clientTLS()
			if name == "resumed" {
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			buf := make([]byte, 1)
			for b.Loop() {
				conn, err := tls.Dial("tcp", e.Addr().String(), config)
				if err != nil {
					b.Fatal(err)
				}
				if name == "resumed" { // the ticket comes behind the handshake
					_, _ = conn.Write([]byte("x"))
				}
				_ = conn.CloseWrite()
				_, _ = conn.Read(buf)
				_ = conn.Close()
			}
		})
	}
}

// BenchmarkSeal is what encryption adds to the write of a delivery.
func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{100, 1000, 10_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			opened := make(chan *Conn, 1)
			e := startTLS(b, Config{Loops: 1}, Endpoint{Protocol: hooks{open: func(c *Conn) { opened <- c }}})
			openTLS(b, e, clientTLS())
			c, done := <-opened, make(chan struct{})
			frame := codec.AppendFrame(nil, codec.OpText, bytes.Repeat([]byte{'x'}, size))
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			e.Loops()[0].Post(func() {
				defer close(done)
				for b.Loop() {
					_, _ = c.transport.seal(frame)
				}
				c.transport.notified = true // the client has missed records
				c.abort(nil)
			})
			<-done
		})
	}
}

// BenchmarkTLSIdle reports the memory of an idle connection, with what the
// client's end takes in this process: a net.Conn without its tls.Conn.
func BenchmarkTLSIdle(b *testing.B) {
	for _, name := range []string{"plain", "tls1.2", "tls1.3", "tls1.3 after 16 KiB"} {
		b.Run(name, func(b *testing.B) { benchmarkIdle(b, name) })
	}
}

func benchmarkIdle(b *testing.B, name string) {
	const n = 2000
	on := Listener{Addr: "127.0.0.1:0"}
	if name != "plain" {
		on.TLS = serverTLS()
	}
	e := startOn(b, Config{Loops: 1}, Endpoint{Protocol: hooks{}}, on)
	config := clientTLS()
	config.ServerName = "localhost"
	if name == "tls1.2" {
		config.MaxVersion = tls.VersionTLS12
	}
	conns := make([]net.Conn, n)
	for b.Loop() {
		heap, resident := inUse(b)
		for i := range conns {
			conn, err := net.Dial("tcp", e.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			conns[i] = conn
			if on.TLS == nil {
				welcomeTo(b, conn)
				continue
			}
			client := tls.Client(conn, config)
			welcomeTo(b, client)
			if strings.HasSuffix(name, "KiB") {
				_, _ = client.Write(masked(codec.OpBinary, string(make([]byte, 16<<10))))
				_, _ = client.Write(masked(codec.OpPing, ""))
				_, _ = client.Read(make([]byte, 2))
			}
		}
		waitForTLSHandshakes(b, e)
		heapThen, residentThen := inUse(b)
		b.ReportMetric(float64(heapThen-heap)/n, "heap-B/conn")
		b.ReportMetric(float64(residentThen-resident)/n, "rss-B/conn")
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// inUse returns the bytes of live objects and of resident memory.
func inUse(b *testing.B) (heap, resident int64) {
	b.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return int64(m.HeapAlloc + m.StackInuse), int64(pages) * int64(os.Getpagesize())
}
