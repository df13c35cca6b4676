package cluster_test

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/cluster"
)

var storedAtOnce = flag.Int("atonce", 500, "publishes at once at each node, in BenchmarkStoredByThreeNodes")

// BenchmarkStoredByThreeNodes publishes at three nodes with servers of NATS inside, all in this
// process, which store each event three times. It ends when all nodes have all events.
func BenchmarkStoredByThreeNodes(b *testing.B) {
	nodes := keepers(b, cluster.Streams{})
	channels := make([]string, 1000)
	for i := range channels {
		channels[i] = fmt.Sprintf("channel:%d", i)
	}
	data := []byte(`"` + string(make([]byte, 0)) + fmt.Sprintf("%0198d", 0) + `"`)
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, len(nodes)**storedAtOnce)
	before, cpu := events(nodes), processTime()
	b.ResetTimer()
	var publishing sync.WaitGroup
	for i := range took {
		k := nodes[i%len(nodes)]
		publishing.Go(func() {
			for n := i; left.Add(-1) >= 0; n += 7 {
				began := time.Now()
				if _, err := k.server.PublishKeyed("/", channels[n%len(channels)], "e", data, ""); err != nil {
					b.Error(err)
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	publishing.Wait()
	waitLong(b, "all nodes have all events", func() bool { return events(nodes) == before+uint64(b.N*len(nodes)) })
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	n := float64(b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric((processTime()-cpu).Seconds()*1e6/n, "cpu-µs/event")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	var batches, inThem uint64
	for _, k := range nodes {
		for _, l := range k.node.Stats().Logs {
			batches += l.Batches
			inThem += l.BatchEvents
		}
	}
	b.ReportMetric(float64(inThem)/float64(batches), "events/batch")
}

// events returns how many events nodes have had from their logs.
func events(nodes []*keeper) (n uint64) {
	for _, k := range nodes {
		for _, l := range k.node.Stats().Logs {
			n += l.Events
		}
	}
	return n
}

// processTime is what the process has used of processors.
func processTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
