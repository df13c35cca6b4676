package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nu7hatch/webrocket/measure"
)

// Errors of Remove.
var (
	ErrNotEmbedded = errors.New("cluster: the servers of NATS are not in the processes of the nodes, or store nothing: there is no node to remove")
	ErrAlive       = errors.New("cluster: the node is there: end it first")
	ErrNoNode      = errors.New("cluster: no such node stores histories")
)

// Times of Remove.
const (
	removeWithin = 10 * time.Second // for the servers to remove one
	wholeWithin  = 20 * time.Second // for another one to have what it had
	wholeLook    = 100 * time.Millisecond
)

// Codes of NATS: the server is none of those that store streams, and another one is being added
// or removed.
const (
	notMember jetstream.ErrorCode = 10044
	changing  jetstream.ErrorCode = 10202
)

// Remove makes the servers inside the nodes forget one that does not come back: it does not
// count any more when most of them must agree, and another one stores what it has stored, if
// there is one. whole reports whether each log has all its replicas by the end. A node of that
// name must not be started again without removing its Dir before.
func (n *Node) Remove(ctx context.Context, node string) (whole bool, err error) {
	switch {
	case n.config.Embedded == nil || n.config.Streams == nil:
		return false, ErrNotEmbedded
	case CheckName(node) != nil:
		return false, fmt.Errorf("%w: %q", ErrNoNode, node)
	case n.hears(node):
		return false, fmt.Errorf("%w: %s", ErrAlive, node)
	}
	if err := n.forget(ctx, node); err != nil {
		return false, err
	}
	n.log.Info("a node was removed from those that store histories", "removed", node)
	return n.whole(ctx, node), nil
}

// forget asks the leader of the servers to remove one.
func (n *Node) forget(ctx context.Context, node string) error {
	conn, err := nats.Connect("", nats.InProcessServer(n.config.Embedded), nats.UserInfo(n.config.Embedded.SystemLogin()), nats.NoReconnect())
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	request, err := json.Marshal(map[string]string{"peer": node, "peer_id": peerOf(node)})
	if err != nil {
		return err
	}
	for {
		answer, err := conn.RequestWithContext(ctx, "$JS.API.SERVER.REMOVE", request)
		if err != nil {
			return fmt.Errorf("cluster: the leader of the servers does not answer, as if most of them were away: %w", err)
		}
		var reply struct {
			Error *jetstream.APIError `json:"error"`
		}
		switch err := json.Unmarshal(answer.Data, &reply); {
		case err != nil:
			return err
		case reply.Error == nil:
			return nil
		case reply.Error.ErrorCode == notMember:
			return fmt.Errorf("%w: %s", ErrNoNode, node)
		case reply.Error.ErrorCode != changing:
			return fmt.Errorf("cluster: %s is not removed: %w", node, reply.Error)
		}
		select { // a node has just come
		case <-ctx.Done():
			return fmt.Errorf("cluster: %s is not removed: %w", node, reply.Error)
		case <-time.After(wholeLook):
		}
	}
}

// whole waits until each log has all its replicas, at other nodes than one, and reports whether
// that has come.
func (n *Node) whole(ctx context.Context, without string) bool {
	ctx, cancel := context.WithTimeout(ctx, wholeWithin)
	defer cancel()
	js, err := jetstream.New(n.logs.reads)
	if err != nil {
		return false
	}
	isWhole := func(s *stream) bool {
		within, cancel := context.WithTimeout(ctx, jsWithin)
		defer cancel()
		of, err := js.Stream(within, s.name)
		if err != nil {
			return false
		}
		info := of.CachedInfo()
		if info.Config.Replicas == 1 || info.Cluster == nil {
			return true
		}
		bad := slices.ContainsFunc(info.Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline || p.Name == without })
		return !bad && len(info.Cluster.Replicas) == info.Config.Replicas-1 // and the leader
	}
	for !n.logs.every(isWhole) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wholeLook):
		}
	}
	return true
}

// hears reports whether a node of that name is this one, or has been heard of in the last seconds.
func (n *Node) hears(name string) bool {
	if name == n.config.Node {
		return true
	}
	now := measure.Now()
	for _, p := range n.exchange.others() {
		if p.name == name && now-p.heard < factsSilent {
			return true
		}
	}
	return false
}

// peerOf returns what the servers call one by this name in the groups that store streams. They forget the name of one that
// is away when they are started again, and know this alone.
func peerOf(name string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(name))
	id := make([]byte, 8)
	for i := range id {
		id[i] = digits[int(sum[i])%len(digits)]
	}
	return string(id)
}
