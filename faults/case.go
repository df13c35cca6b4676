package faults

import "context"

// A Case is something bad that is done to a server.
type Case struct {
	Name string
	Does string // what is done, as a sentence without its subject
	run  func(ctx context.Context, t *trial) error

	// apart gives the case network and mount namespaces of its own, which takes root.
	apart bool

	// beside runs the case beside all others: it takes long and does little.
	beside bool

	// waits says that the case mostly waits, for elections and for silence to be noticed: short runs, which do not judge
	// how long things take, try all such cases at the same time.
	waits bool
}

// Cases are all there are, in the order in which they run.
var Cases = []Case{
	{Name: "stalled", Does: "1 of 5,000 subscribers stops reading, then 1 in 10, under fan-out", run: stalled},
	{Name: "policies", Does: "readers stall for a while and read on, under each policy for slow readers", run: policies},
	{Name: "crawl", Does: "100 readers take 1 KB a second while 5 MB are published, and then catch up", run: crawl},
	{Name: "halfopen", Does: "10,000 handshakes at 1 byte a second, 1,000 half ClientHellos, 2,000 half messages", run: halfopen},
	{Name: "storm", Does: "15,000 subscribers drop at once, and come back at once", run: storm},
	{Name: "files", Does: "twice as many connections as a server may have open files, with handshakes and without a word", run: files},
	{Name: "memory", Does: "queues of readers that stall fill up until memory is short", run: memory},
	{Name: "disk", Does: "the disk that the log is written to is full", run: disk, apart: true},
	{Name: "clock", Does: "the process is stopped for a while; the machine's clock is set", run: clock},
	{Name: "network", Does: "latency, small pieces, throttling, resets, a black hole and late ends, through proxies", run: network},
	{Name: "partition", Does: "all packets of some clients are dropped, for a short and for a long time", run: partition, apart: true},
	{Name: "vanished", Does: "1,000 clients are gone without a Close frame, and are published to", run: vanished, apart: true},
	{Name: "members", Does: "10,000 join and leave a channel with presence within 5 s; others are killed, or cut off", run: members, apart: true},
	{Name: "kill", Does: "kill -9 and a restart under load, again and again", run: kill},
	{Name: "comeback", Does: "kill -9 under load, while clients leave and come back with their position", run: comeback},
	{Name: "herd", Does: "15,000 clients of 1,500 channels drop, and come back with their position while publishes go on", run: herd},
	{Name: "window", Does: "clients stay away for just as long as events are kept, and for just longer", run: window},
	{Name: "rules", Does: "rules of channels change under load, while clients leave and come back with their position", run: rules},
	{Name: "keys", Does: "the keys of tokens are at a URL that is down, slow, empty, and asked for by tokens of random keys", run: keys},
	{Name: "tokens", Does: "15,000 tokens expire at the same moment; half of the clients renew theirs", run: tokens},
	{Name: "hostile", Does: "random bytes, frames and JSON, every type in every place, inflate bombs, writes of 1 byte", run: hostile},
	{Name: "reload", Does: "good and bad configurations and certificates in turn, under load", run: reload},
	{Name: "drain", Does: "SIGTERM and SIGUSR2 under load, and a second process that takes over the port", run: drain},
	{Name: "pusher", Does: "Pusher clients: 15,000 are drained, presence after kill -9, webhooks whose endpoint is down, slow or broken", run: pusherApps},
	{Name: "nodes", Does: "nodes of a cluster are stopped, cut off, slowed down, drained and killed, under load", run: nodes, apart: true, waits: true},
	{Name: "nats", Does: "the same where nodes use servers of NATS, which are gone, stopped and killed, too", run: brokers, apart: true, waits: true},
	{Name: "logs", Does: "nodes that store histories are killed, stopped and cut off, their disk is full, their directories are deleted and put back", run: storedLogs, apart: true, waits: true},
	{Name: "soak", Does: "clients that come and go for 10 minutes, beside all other cases", run: soak, beside: true},
}

// NeedsRoot reports whether only root can try the case.
func (c *Case) NeedsRoot() bool { return c.apart }

// Named returns a case, or nil if there is none of that name.
func Named(name string) *Case {
	for i := range Cases {
		if Cases[i].Name == name {
			return &Cases[i]
		}
	}
	return nil
}
