package engine_test

import (
	"flag"
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var connections = flag.Int("conns", 10_000, "connections of BenchmarkMillion")

// BenchmarkMillion puts very many connections, each with a session and a
// subscription, into the real engine and hub, on one loop that runs. Only the
// sockets are missing, and what gnet has for each, which is counted apart.
// "make million" runs it with a million.
func BenchmarkMillion(b *testing.B) {
	n := *connections
	c := newCrowd(b)
	begin := time.Now()
	cpu := cpuTime()
	c.grow(n)
	took, worked := time.Since(begin), cpuTime()-cpu
	idle := c.idle(n)
	b.Run("Idle", func(b *testing.B) {
		report(b, "B/conn", idle.bytes)
		report(b, "objects/conn", idle.objects)
		report(b, "gnet-B/conn", c.gnet)
		report(b, "connects/s", float64(n)/took.Seconds())
		report(b, "connect-cpu-ns", float64(worked.Nanoseconds())/float64(n))
		b.ReportMetric(0, "ns/op")
	})
	few := (n + 999) / 1000
	c.each(0, few, func(i int) { c.Feed(i*1000, subscribe("few")) })
	b.Run("PublishToAll", func(b *testing.B) { benchmarkPublish(b, c, "all", n) })
	b.Run("PublishToFew", func(b *testing.B) { benchmarkPublish(b, c, "few", few) })
	b.Run("PublishWhileCollecting", func(b *testing.B) { benchmarkCollect(b, c, n) })
	b.Run("Subscribe", func(b *testing.B) { benchmarkSubscribe(b, c, n) })
	b.Run("Ping", func(b *testing.B) { benchmarkPing(b, c, n) })
	b.Run("Tick", func(b *testing.B) {
		c.do(func() {
			for b.Loop() {
				c.Tick()
			}
		})
	})
}

// benchmarkPublish reports what one publish to n members takes until the last
// is served.
func benchmarkPublish(b *testing.B, c *crowd, channel string, n int) {
	b.ReportAllocs()
	cpu := cpuTime()
	for b.Loop() {
		c.publish(b, channel, n)
	}
	worked := cpuTime() - cpu
	report(b, "cpu-ns/op", float64(worked.Nanoseconds())/float64(b.N))
	report(b, "ns/delivery", float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n))
}

// benchmarkCollect publishes to n members while one garbage collection follows
// the other.
func benchmarkCollect(b *testing.B, c *crowd, n int) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	var cycles int
	var collecting time.Duration
	before := readGC()
	wg.Go(func() {
		for !stop.Load() {
			begin := time.Now()
			runtime.GC()
			collecting += time.Since(begin)
			cycles++
		}
	})
	longest := time.Duration(0)
	for b.Loop() {
		begin := time.Now()
		c.publish(b, "all", n)
		longest = max(longest, time.Since(begin))
	}
	stop.Store(true)
	wg.Wait()
	after := readGC()
	report(b, "gc-ms/cycle", collecting.Seconds()*1e3/float64(cycles))
	report(b, "gc-cpu-ms/cycle", (after.cpu-before.cpu)*1e3/float64(cycles))
	report(b, "longest-pause-µs", longestOf(before.pauses, after.pauses)*1e6)
	report(b, "longest-op-ms", longest.Seconds()*1e3)
}

// benchmarkSubscribe makes clients go to another channel and come back.
func benchmarkSubscribe(b *testing.B, c *crowd, n int) {
	b.ReportAllocs()
	var leave, join [1000][]byte
	for i := range join {
		name := fmt.Sprint("channel ", i)
		leave[i], join[i] = unsubscribe(name), subscribe(name)
	}
	from := 0
	for b.Loop() {
		c.do(func() {
			for i := from; i < from+batch; i++ {
				c.Feed(i%n, join[i%len(join)])
				c.Feed(i%n, leave[i%len(leave)])
			}
		})
		from += batch
	}
	report(b, "commands/s", float64(b.N)*2*batch/b.Elapsed().Seconds())
}

// benchmarkPing pings clients, who answer.
func benchmarkPing(b *testing.B, c *crowd, n int) {
	b.ReportAllocs()
	pong := []byte{0x8a, 0x80, 1, 2, 3, 4}
	from := 0
	for b.Loop() {
		to := from + batch
		c.do(func() {
			for i := from; i < to; i++ {
				c.Ping(i % n)
			}
		})
		c.do(func() {
			for i := from; i < to; i++ {
				c.Feed(i%n, pong)
			}
		})
		from = to
	}
	report(b, "ns/ping", float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch)
}

// report is b.ReportMetric with three digits, for a table that can be read.
func report(b *testing.B, unit string, value float64) {
	if value != 0 {
		digits := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(value))))
		value = math.Round(value*digits) / digits
	}
	b.ReportMetric(value, unit)
}

// cpuTime returns what the process has used on all cores.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// gc is what the runtime tells of its collections, since the start.
type gc struct {
	cpu    float64 // seconds
	pauses *metrics.Float64Histogram
}

func readGC() gc {
	samples := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(samples)
	return gc{samples[0].Value.Float64(), samples[1].Value.Float64Histogram()}
}

// longestOf returns an upper bound of the longest pause between two readings.
func longestOf(before, after *metrics.Float64Histogram) float64 {
	for i := len(after.Counts) - 1; i >= 0; i-- {
		if after.Counts[i] > before.Counts[i] {
			return after.Buckets[i+1]
		}
	}
	return 0
}
