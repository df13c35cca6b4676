package pubsub

import (
	"testing"
	"time"
)

func BenchmarkPublishHistory(b *testing.B) {
	for _, kept := range []int{0, 100} {
		name := "off"
		if kept > 0 {
			name = "on"
		}
		b.Run(name, func(b *testing.B) {
			h, shard := NewHub(), NewShard(nothing{})
			frame := make([]byte, 180)
			h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(m Message, _ []byte) []byte { return frame }})
			if kept > 0 {
				h.SetHistory(func(string) History { return History{Size: kept, TTL: time.Hour} })
			}
			sub := new(Subscriber)
			sub.Init(shard, 1)
			subscribe(h, sub, []byte("news"))
			m := Message{Channel: []byte("news"), Data: frame}
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				_, _ = h.Publish(m, Slowing(shard))
				if n++; n&15 == 0 {
					shard.Work()
				}
			}
		})
	}
}
