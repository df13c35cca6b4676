package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/hub"
)

// Nodes is the answer of a request with node=*: that of each node of the cluster.
type Nodes struct {
	Nodes []NodeAnswer `json:"nodes"`
}

// NodeAnswer is what one node answers, or why it does not.
type NodeAnswer struct {
	Node   string          `json:"node"` // "" without a cluster
	Answer json.RawMessage `json:"answer,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// everyNode is the value of the parameter node that means all of them.
const everyNode = "*"

// nodesTopic is what the consoles of a cluster ask each other, nodesWait how long they wait.
const (
	nodesTopic = "admin"
	nodesWait  = 1500 * time.Millisecond
)

// A nodeQuestion is what a console asks those of other nodes.
type nodeQuestion struct {
	Node  string // whose answer is wanted, or everyNode
	Path  string
	Query url.Values
}

type getter = func(*http.Request) (any, error)

// errOtherNode is the answer of a node that was not meant.
var errOtherNode = errors.New("another node was asked")

// perNode answers what other nodes can be asked too: with the parameter node. If wrap is not nil, the answer is
// a list, and those of all nodes become one.
func (c *console) perNode(path string, get getter, wrap wrapper) getter {
	c.local[path] = get
	return func(r *http.Request) (any, error) {
		query := r.URL.Query()
		node := query.Get("node")
		query.Del("node")
		switch {
		case !r.URL.Query().Has("node"):
			return get(r)
		case node != everyNode && node == c.nodeName():
			return get(r)
		case node == everyNode && query.Has("after"):
			return nil, badRequest("after: a page is of one node; want its name, not *")
		case node == everyNode && wrap != nil:
			return c.askForList(r, nodeQuestion{node, path, query}, get, wrap)
		case node == everyNode:
			return c.askAll(r, nodeQuestion{node, path, query}, get)
		}
		return c.askOne(r, nodeQuestion{node, path, query})
	}
}

// nodeName returns the name of this node, "" without a cluster.
func (c *console) nodeName() string {
	if c.Cluster == nil {
		return ""
	}
	return c.Cluster().Node
}

// serveNodes answers the consoles of other nodes.
func (c *console) serveNodes() {
	caller, ok := c.Server.Broker.(webrocket.Caller)
	if !ok {
		return
	}
	caller.Serve(nodesTopic, func(ctx context.Context, text []byte) ([]byte, error) {
		var q nodeQuestion
		if err := json.Unmarshal(text, &q); err != nil {
			return nil, err
		}
		get := c.local[q.Path]
		switch {
		case get == nil:
			return nil, errors.New("this version does not answer " + q.Path)
		case q.Node != everyNode && q.Node != c.nodeName():
			return nil, errOtherNode
		}
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		return c.answerOf(ctx, q, get)
	})
}

// answerOf returns the answer of this node as JSON. That of the longest list has room in a message of NATS (1 MiB by
// default), because characters of HTML stay as they are: escaped, one would be six bytes.
func (c *console) answerOf(ctx context.Context, q nodeQuestion, get getter) (json.RawMessage, error) {
	u := url.URL{Path: q.Path, RawQuery: q.Query.Encode()}
	answer, err := get((&http.Request{Method: http.MethodGet, URL: &u}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false)
	err = to.Encode(answer)
	return text.Bytes(), err
}

// ask asks the other nodes.
func (c *console) ask(r *http.Request, q nodeQuestion) ([]hub.Answer, error) {
	caller, ok := c.Server.Broker.(webrocket.Caller)
	if !ok {
		return nil, nil
	}
	text, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), nodesWait)
	defer cancel()
	return caller.Call(ctx, nodesTopic, text, 0)
}

// askAll answers with what all nodes say, this one first.
func (c *console) askAll(r *http.Request, q nodeQuestion, get getter) (Nodes, error) {
	here, err := c.answerOf(r.Context(), q, get)
	if err != nil {
		return Nodes{}, err
	}
	answers, err := c.ask(r, q)
	if err != nil {
		return Nodes{}, err
	}
	all := Nodes{[]NodeAnswer{{Node: c.nodeName(), Answer: here}}}
	for _, a := range answers {
		one := NodeAnswer{Node: a.Node, Answer: a.Data}
		if a.Err != nil {
			one = NodeAnswer{Node: a.Node, Error: a.Err.Error()}
		}
		all.Nodes = append(all.Nodes, one)
	}
	return all, nil
}

// askOne answers with what one other node says.
func (c *console) askOne(r *http.Request, q nodeQuestion) (any, error) {
	answers, err := c.ask(r, q)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		switch {
		case a.Node != q.Node:
		case a.Err != nil:
			return nil, &failure{http.StatusServiceUnavailable, "node " + a.Node + ": " + a.Err.Error()}
		default:
			return json.RawMessage(a.Data), nil
		}
	}
	return nil, &failure{http.StatusNotFound, fmt.Sprintf("there is no node %q", q.Node)}
}
