package console

import (
	"context"
	"errors"
	"net/http"

	"github.com/nu7hatch/webrocket/cluster"
)

// Cluster is the answer of GET /api/cluster. Without a cluster it is empty.
type Cluster struct {
	Cluster        string `json:"cluster"` // its name
	Node           string `json:"node"`    // the name of this one
	Connected      bool   `json:"connected"`
	Denied         string `json:"denied"` // what NATS does not permit although the nodes need it
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
	Standing       int    `json:"standing"`  // revocations that are kept for nodes that are away
	Following      bool   `json:"following"` // false: the logs with the histories are not followed
	Copying        bool   `json:"copying"`   // what the nodes store is still being copied to this one
	Logs           []Log  `json:"logs"`      // with the histories of channels
	Nodes          []Node `json:"nodes"`     // the others
}

// Log is a log with the histories of some channels of a hub.
type Log struct {
	Hub         string `json:"hub"`
	Log         int    `json:"log"`
	Live        bool   `json:"live"`
	CutOff      bool   `json:"cutOff"` // nothing that was sent there comes back
	Leader      string `json:"leader"` // a server of NATS
	Epoch       string `json:"epoch"`
	Sequence    uint64 `json:"sequence"`
	Lag         uint64 `json:"lag"`
	Events      uint64 `json:"events"`
	Gaps        uint64 `json:"gaps"`
	Filled      uint64 `json:"filled"`
	EpochBreaks uint64 `json:"epochBreaks"`
	Forgotten   uint64 `json:"forgotten"`
	Batches     uint64 `json:"batches"`
	BatchEvents uint64 `json:"batchEvents"`
	Collected   uint64 `json:"collectedBatches"` // of other nodes
	Unavailable uint64 `json:"unavailable"`
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
	answer := Cluster{Nodes: []Node{}, Logs: []Log{}}
	if c.Cluster == nil {
		return answer, nil
	}
	s := c.Cluster()
	answer = Cluster{
		Cluster: s.Cluster, Node: s.Node, Connected: s.Connected, Denied: s.Denied, Server: s.Server, Reconnects: s.Reconnects,
		SentEvents: s.SentEvents, SentBatches: s.SentBatches, SentBytes: s.SentBytes, ReceivedEvents: s.ReceivedEvents,
		Gaps: s.Gaps, MendedBatches: s.Mended, LostEvents: s.Told, AllTold: s.ToldAll,
		TooLarge: s.TooLarge, Unreadable: s.Unreadable, Nodes: answer.Nodes, Logs: answer.Logs, Following: !s.CutOff, Copying: s.Copying,
		OwnFacts: s.OwnFacts, Facts: s.Facts, Resyncs: s.Resyncs, Standing: s.Standing,
	}
	for _, l := range s.Logs {
		answer.Logs = append(answer.Logs, Log{
			Hub: l.Hub, Log: l.Log, Live: l.Live, CutOff: l.CutOff, Leader: l.Leader, Epoch: l.Epoch, Sequence: l.Sequence, Lag: l.Lag, Events: l.Events, Gaps: l.Gaps, Filled: l.Filled,
			EpochBreaks: l.Breaks, Forgotten: l.Forgotten, Batches: l.Batches, BatchEvents: l.BatchEvents, Collected: l.Collected, Unavailable: l.Unavailable,
		})
	}
	for _, p := range s.Peers {
		answer.Nodes = append(answer.Nodes, Node{p.Node, p.Alive, p.Silence.Seconds(), p.Lag, p.Skew.Seconds(), p.Doubled})
	}
	return answer, nil
}

type removeRequest struct{ node string }

func (d *removeRequest) fields() fields { return fields{{"node", &d.node, required}} }

type removeAnswer struct {
	Removed string `json:"removed"`
	Whole   bool   `json:"whole"` // each log has all its replicas, at others
}

// remove makes the other nodes forget one that does not come back.
func (c *console) remove(r *http.Request) (any, error) {
	var ask removeRequest
	if err := decode(r, ask.fields()); err != nil {
		return nil, err
	}
	if c.Remove == nil {
		return nil, badRequest("the process belongs to no cluster")
	}
	// The servers may take longer than event loops.
	whole, err := c.Remove(context.WithoutCancel(r.Context()), ask.node)
	switch {
	case errors.Is(err, cluster.ErrAlive), errors.Is(err, cluster.ErrNotEmbedded):
		return nil, badRequest("%v", err)
	case errors.Is(err, cluster.ErrNoNode):
		return nil, &failure{http.StatusNotFound, err.Error()}
	case err != nil:
		return nil, &failure{http.StatusServiceUnavailable, err.Error()}
	}
	c.Log.Info("a node was removed through the admin API", "node", ask.node, "whole", whole)
	return removeAnswer{ask.node, whole}, nil
}
