package cluster

import (
	"cmp"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/measure"
)

// Stats is what a Node has counted since it started, and how it is connected.
type Stats struct {
	Cluster, Node string
	Connected     bool
	Denied        string // what NATS does not permit although the nodes need it, "" if there is nothing
	Reconnects    uint64
	Server        string // of NATS, by its name; "" without a connection

	SentEvents, SentBatches, SentBytes uint64 // of this process
	TooLarge                           uint64 // events that NATS has no room for: other nodes were told of a loss
	ReceivedEvents                     uint64 // of other nodes
	Gaps                               uint64 // in what other nodes have sent, that were seen
	Mended                             uint64 // batches that came again and filled a gap
	Told                               uint64 // events that subscribers were told of as lost
	ToldAll                            uint64 // times that all subscribers were told that some may be lost
	Unreadable                         uint64 // messages that are not of this version

	OwnFacts int    // what this process tells others for as long as it holds: who is present, for one
	Facts    int    // those of other nodes
	Resyncs  uint64 // parts of the facts of another node that were asked for anew
	Standing int    // revocations and the like that are kept for nodes that are away

	// CutOff is true if the histories are replicated, and this node does not follow all
	// logs yet or is cut off from them; Copying until the server in this process has once had
	// all that it stores with others. Logs are those that the node follows, or will.
	CutOff, Copying bool
	Logs            []LogStats

	Peers []PeerStats // other nodes, by name
}

// LogStats is what a Node knows of a log.
type LogStats struct {
	Hub         string
	Log         int // its number in the hub
	Live        bool
	CutOff      bool   // nothing that this node has sent has come back for 3 seconds: the log has no leader, or it cannot be reached
	Leader      string // the server of NATS that leads it, as it was some seconds ago; "" if that is not known
	Epoch       string // of its offsets
	Sequence    uint64 // number of the last message that is applied
	Lag         uint64 // messages that are known to be there and are not applied
	Events      uint64 // that were applied
	Gaps        uint64 // in what came by the feed
	Filled      uint64 // messages that were read to fill gaps, or at the start
	Breaks      uint64 // times that the log had lost what was stored, so that a new epoch began
	Forgotten   uint64 // times that the log did not keep what this node had not had yet
	Batches     uint64 // that this node has sent
	BatchEvents uint64 // in them
	Collected   uint64 // batches of other nodes that it has sent along with its own
	Unavailable uint64 // publishes that were given up
	Publish     measure.Histogram
}

// PeerStats is what a Node knows of another one.
type PeerStats struct {
	Node    string
	Alive   bool          // it has been heard of in the last second
	Silence time.Duration // since it was heard of
	Lag     uint64        // batches that it has sent and that are missing here
	Skew    time.Duration // by which its clock is ahead, less the time of a message
	Doubled bool          // it is alive, and another node that is has its name
}

// skewMax is by how much the clocks of nodes may differ before it is logged.
const skewMax = 5 * time.Second

// silentAfter is how long an unheard node counts as alive.
const silentAfter = time.Second

// Stats returns the numbers as they are now. Any goroutine.
func (n *Node) Stats() Stats {
	x := n.exchange
	s := Stats{Cluster: n.config.Name, Node: n.config.Node, Connected: n.connected.Load(), Reconnects: n.reconnects.Load()}
	if s.Connected {
		s.Server = n.conn.ConnectedServerName()
	}
	if denied := n.denied.Load(); denied != nil {
		s.Denied = *denied
	}
	x.out.mu.Lock()
	s.SentEvents, s.SentBytes, s.TooLarge, s.SentBatches = x.out.counts.events, x.out.counts.bytes, x.out.counts.tooLarge, x.out.sent
	x.out.mu.Unlock()
	s.OwnFacts, s.Standing = n.teller.len(), n.calls.stands()
	s.Facts, s.Resyncs = n.learner.counts()
	s.CutOff, s.Copying = !n.logs.ready(), !n.hasCopied()
	s.Logs = n.logs.stats()
	now := measure.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	c := &x.counts
	s.ReceivedEvents, s.Gaps, s.Mended, s.Told, s.ToldAll, s.Unreadable = c.events, c.gaps, c.mended, c.told, c.toldAll, c.unknown
	for _, p := range x.peers {
		if p.left || p.name == "" {
			continue
		}
		one := PeerStats{Node: p.name, Silence: max(now-p.heard, 0)}
		one.Alive = one.Silence < silentAfter
		one.Lag, one.Skew = p.top+1-p.next, p.skew
		s.Peers = append(s.Peers, one)
	}
	count := map[string]int{s.Node: 1}
	for _, p := range s.Peers {
		if p.Alive {
			count[p.Node]++
		}
	}
	for i := range s.Peers {
		s.Peers[i].Doubled = s.Peers[i].Alive && count[s.Peers[i].Node] > 1
	}
	slices.SortFunc(s.Peers, func(a, b PeerStats) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Silence, b.Silence))
	})
	return s
}

// alive returns how many other nodes are known and have not left.
func (x *exchange) alive() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.peers {
		if !p.left && !p.gone && p.name != "" {
			n++
		}
	}
	return n
}

// An other is what calls need to know of another node.
type other struct {
	id, standing uint64
	name         string
	heard        time.Duration
}

// others returns the nodes that are known and have not left, by incarnation.
func (x *exchange) others() (all []other) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.peers {
		if !p.left && p.name != "" {
			all = append(all, other{p.id, p.standing, p.name, p.heard})
		}
	}
	return all
}

// Nodes makes Node a hub.Caller.
func (n *Node) Nodes() []string {
	now, names := measure.Now(), []string{n.config.Node}
	for _, p := range n.exchange.others() {
		if now-p.heard < factsSilent && !slices.Contains(names, p.name) {
			names = append(names, p.name)
		}
	}
	return names
}

// warn logs what is wrong with other nodes, and was not at the last call. known is for the
// next one.
func (n *Node) warn(known map[string]bool) map[string]bool {
	now := make(map[string]bool)
	fresh := func(what string) bool {
		is := !known[what] && !now[what]
		now[what] = true
		return is
	}
	for _, p := range n.Stats().Peers {
		if p.Doubled && fresh("doubled "+p.Node) {
			n.log.Error("two nodes of the cluster have one name; give each its own Node", "name", p.Node)
		}
		if p.Alive && p.Skew.Abs() > skewMax && fresh("skew "+p.Node) {
			n.log.Warn("the clock of another node differs", "other", p.Node, "ahead", p.Skew)
		}
	}
	return now
}
