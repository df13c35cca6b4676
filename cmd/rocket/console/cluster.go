package console

import (
	"net/http"
)

// Cluster is the answer of GET /api/cluster. Without a cluster it is empty.
type Cluster struct {
	Cluster        string `json:"cluster"` // its name
	Node           string `json:"node"`    // the name of this one
	Connected      bool   `json:"connected"`
	Server         string `json:"server"` // of NATS
	Reconnects     uint64 `json:"reconnects"`
	SentEvents     uint64 `json:"sentEvents"`
	SentBatches    uint64 `json:"sentBatches"`
	SentBytes      uint64 `json:"sentBytes"`
	ReceivedEvents uint64 `json:"receivedEvents"`
	Gaps           uint64 `json:"gaps"`
	MendedBatches  uint64 `json:"mendedBatches"`
	LostEvents     uint64 `json:"lostEvents"` // that subscribers were told of
	AllTold        uint64 `json:"allTold"`    // times that all subscribers were told that events may be missing
	TooLarge       uint64 `json:"tooLarge"`
	Unreadable     uint64 `json:"unreadable"`
	OwnFacts       int    `json:"ownFacts"` // who is present here, and the like, for others
	Facts          int    `json:"facts"`    // those of other nodes
	Resyncs        uint64 `json:"resyncs"`
	Standing       int    `json:"standing"` // revocations that are kept for nodes that are away
	Nodes          []Node `json:"nodes"`    // the others
}

// Node is another node of the cluster.
type Node struct {
	Node           string  `json:"node"`
	Alive          bool    `json:"alive"`
	SilenceSeconds float64 `json:"silenceSeconds"`
	LagBatches     uint64  `json:"lagBatches"`
	ClockSkew      float64 `json:"clockSkewSeconds"` // by which its clock is ahead
	Doubled        bool    `json:"doubled"`          // another node that is alive has its name
}

func (c *console) cluster(*http.Request) (any, error) {
	answer := Cluster{Nodes: []Node{}}
	if c.Cluster == nil {
		return answer, nil
	}
	s := c.Cluster()
	answer = Cluster{
		Cluster: s.Cluster, Node: s.Node, Connected: s.Connected, Server: s.Server, Reconnects: s.Reconnects,
		SentEvents: s.SentEvents, SentBatches: s.SentBatches, SentBytes: s.SentBytes, ReceivedEvents: s.ReceivedEvents,
		Gaps: s.Gaps, MendedBatches: s.Mended, LostEvents: s.Told, AllTold: s.ToldAll,
		TooLarge: s.TooLarge, Unreadable: s.Unreadable, Nodes: answer.Nodes,
		OwnFacts: s.OwnFacts, Facts: s.Facts, Resyncs: s.Resyncs, Standing: s.Standing,
	}
	for _, p := range s.Peers {
		answer.Nodes = append(answer.Nodes, Node{p.Node, p.Alive, p.Silence.Seconds(), p.Lag, p.Skew.Seconds(), p.Doubled})
	}
	return answer, nil
}
