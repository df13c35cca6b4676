package webrocket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nu7hatch/webrocket/hub"
)

// Done is what has become of something that a server has done, and has asked the other nodes
// of its cluster to do.
type Done struct {
	Count   int // connections or subscriptions that it was done to, on all nodes
	Refused int // of SubscribeSessions: those that do not hear the channel

	Nodes   int      // that have done it, this one among them: 1 without a cluster
	Missing []string // names of the nodes that are known and have not said that they did
}

// ErrNoAnswer says that a node which may have a connection has not answered, and no other
// one has it.
var ErrNoAnswer = hub.ErrNoAnswer

// Caller is a Broker that also carries what one node asks the others to do.
type Caller = hub.Caller

// nodesTopic is what servers of one cluster ask each other about.
const nodesTopic = "server"

// nodesWait is how long the answers of other nodes are waited for.
const nodesWait = 1500 * time.Millisecond

// An order is what one node asks the others to do. Which fields it has depends on Do.
type order struct {
	Do string `json:"do"` // of doings

	Hub     string    `json:"hub,omitempty"` // path or name
	Who     *Sessions `json:"who,omitempty"`
	Channel string    `json:"channel,omitempty"`

	Connection string `json:"connection,omitempty"`
	Code       uint16 `json:"code,omitempty"`
	Reason     string `json:"reason,omitempty"`

	User   string    `json:"user,omitempty"`
	Before time.Time `json:"before,omitzero"`
	ID     string    `json:"id,omitempty"` // of a token
}

// outcome is what another node says. Other errors than that there is no such connection are
// those of the Caller.
type outcome struct {
	Count, Refused int
	NoConnection   bool `json:",omitempty"`
}

// doings are what a node can be asked to do, each for this node alone.
var doings = map[string]func(s *Server, ctx context.Context, o *order) (outcome, error){
	"disconnect":  (*Server).disconnectHere,
	"subscribe":   (*Server).subscribeHere,
	"unsubscribe": (*Server).unsubscribeHere,
	"revoke":      (*Server).revokeHere,
}

// serveNodes makes the server do what other nodes ask, beginning with what they have asked all
// to do that stands. Those are revocations, of which there may be many: the connections that they
// end are looked for once.
func (s *Server) serveNodes() {
	caller, ok := s.Broker.(Caller)
	if !ok {
		return
	}
	s.replays.Store(true)
	defer func() {
		s.replays.Store(false)
		s.CheckTokens()
	}()
	caller.Serve(nodesTopic, func(ctx context.Context, question []byte) ([]byte, error) {
		var o order
		if err := json.Unmarshal(question, &o); err != nil {
			return nil, err
		}
		do := doings[o.Do]
		if do == nil {
			return nil, fmt.Errorf("this version cannot %q", o.Do)
		}
		done, err := do(s, ctx, &o)
		if done.NoConnection = errors.Is(err, ErrNoConnection); done.NoConnection {
			err = nil
		}
		if err != nil {
			return nil, err
		}
		return json.Marshal(done)
	})
}

// everywhere does something here, and then asks the other nodes to do it. What goes wrong
// here they are not asked, nor what is done to one connection that is here. If keep is positive,
// nodes that are away do it when they are back within that time. The error is
// ErrNoConnection only if no node has that connection, and ErrNoAnswer if one that is known
// does not say.
func (s *Server) everywhere(ctx context.Context, o *order, keep time.Duration) (Done, error) {
	here, err := doings[o.Do](s, ctx, o)
	done := Done{Count: here.Count, Refused: here.Refused, Nodes: 1}
	caller, ok := s.Broker.(Caller)
	if !ok || err == nil && o.one() || err != nil && !errors.Is(err, ErrNoConnection) {
		return done, err
	}
	question, failed := json.Marshal(o)
	if failed != nil {
		return done, failed
	}
	ctx, cancel := context.WithTimeout(ctx, nodesWait)
	defer cancel()
	answers, failed := caller.Call(ctx, nodesTopic, question, keep)
	if failed != nil {
		return done, failed
	}
	for _, a := range answers {
		var there outcome
		if a.Err == nil {
			a.Err = json.Unmarshal(a.Data, &there)
		}
		if a.Err != nil {
			done.Missing = append(done.Missing, a.Node)
			s.log().Warn("another node has not done what it was asked", "node", a.Node, "do", o.Do, "error", a.Err)
			continue
		}
		done.Nodes++
		done.Count += there.Count
		done.Refused += there.Refused
		if o.one() && !there.NoConnection {
			err = nil
		}
	}
	if err != nil && len(done.Missing) > 0 {
		err = fmt.Errorf("%w, and no other one has the connection: %s", ErrNoAnswer, strings.Join(done.Missing, ", "))
	}
	return done, err
}

// one reports whether it is done to one connection at most.
func (o *order) one() bool { return o.Connection != "" || o.Who != nil && o.Who.Client != "" }
