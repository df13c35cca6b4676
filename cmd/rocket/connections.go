package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/nu7hatch/webrocket/cmd/rocket/console"
)

const connectionsHelp = `
It asks the admin port of a server for its open connections, and prints one line
for each: how many channels it subscribes to, how many bytes wait to be written to
it, its hub, its node with -node, its ID for "rocket disconnect" and, if it has one,
its subprotocol.
The token is read from ROCKET_ADMIN_TOKEN.

  -admin ADDRESS   where the server has its admin port (default
                   127.0.0.1:9773, or ROCKET_ADMIN)
  -hub PATH        only those of the hub at this path (default / with -channel)
  -channel NAME    only those that subscribe to this channel of the hub
  -n N             at most so many (default all)
  -node NAME       those of another node of the server's cluster; "*": of all nodes

Examples:
  rocket connections
  rocket connections -channel news -n 20
`

// pageSize is how many connections are asked for at a time: what the API allows.
const pageSize = 1000

// runConnections is the command connections.
func runConnections(ctx context.Context, p *program, args []string) error {
	fs := newFlags("connections")
	var remote adminClient
	remote.register(fs, p)
	hub, channel := fs.String("hub", "", ""), fs.String("channel", "", "")
	n := fs.Int("n", 0, "")
	node := fs.String("node", "", "")
	if err := parseOnlyFlags(fs, args); err != nil {
		return err
	}
	if *n < 0 {
		return usageError("-n: want 0 or more connections")
	}
	query := url.Values{}
	if *channel != "" && *hub == "" {
		*hub = "/"
	}
	for name, value := range map[string]string{"hub": *hub, "channel": *channel} {
		if value != "" {
			query.Set(name, value)
		}
	}
	nodes := []string{*node}
	if *node == "*" {
		var err error
		if nodes, err = remote.nodes(ctx); err != nil {
			return err
		}
	}
	left := *n
	for _, name := range nodes {
		if name != "" {
			query.Set("node", name)
		}
		query.Del("after")
		if err := remote.listConnections(ctx, p.stdout, query, *n > 0, &left); err != nil {
			return err
		}
	}
	return nil
}

// nodes returns the names of the nodes that are there: [""] without a cluster.
func (a *adminClient) nodes(ctx context.Context) (all []string, err error) {
	var c console.Cluster
	answer, err := a.get(ctx, "/api/cluster")
	if err == nil {
		err = json.Unmarshal(answer, &c)
	}
	all = append(all, c.Node)
	for _, n := range c.Nodes {
		if n.Alive {
			all = append(all, n.Node)
		}
	}
	return all, err
}

// listConnections prints all pages of a list, left connections at most if it is limited.
func (a *adminClient) listConnections(ctx context.Context, w io.Writer, query url.Values, limited bool, left *int) error {
	for !limited || *left > 0 {
		size := pageSize
		if limited {
			size = min(size, *left)
		}
		query.Set("limit", fmt.Sprint(size))
		var page console.Connections
		answer, err := a.get(ctx, "/api/connections?"+query.Encode())
		if err == nil {
			err = json.Unmarshal(answer, &page)
		}
		if err != nil {
			return err
		}
		if err := viewConnections(w, query.Get("node"), page.Connections); err != nil {
			return err
		}
		*left -= len(page.Connections)
		if page.Next == "" {
			return nil
		}
		query.Set("after", page.Next)
	}
	return nil
}

// viewConnections prints a page of a list that may be very long: each line is whole
// in itself. The node is "" if none was asked for.
func viewConnections(w io.Writer, node string, page []console.Connection) error {
	var b bytes.Buffer
	if node != "" {
		node = " node=" + node
	}
	for _, c := range page {
		fmt.Fprintf(&b, "subscriptions=%d queued=%d hub=%s%s connection=%s", c.Subscriptions, c.QueuedBytes, c.Hub, node, c.Connection)
		if c.Subprotocol != "" {
			fmt.Fprintf(&b, " subprotocol=%s", c.Subprotocol)
		}
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}

const disconnectHelp = `
It makes a server close a connection, with the ID that "rocket connections" and
"rocket top" print. The server must have an admin token; it is read from
ROCKET_ADMIN_TOKEN.

  -admin ADDRESS   where the server has its admin port (default
                   127.0.0.1:9773, or ROCKET_ADMIN)
  -code N          close code (default 1008): 1000, 1001, 1008, 1011 to 1013, or
                   3000 to 4999
  -reason TEXT     what the client is told, at most 123 bytes

Example:
  rocket disconnect -code 4000 -reason "please log in again" 0-400000007-8@192.0.2.1:54321
`

// runDisconnect is the command disconnect.
func runDisconnect(ctx context.Context, p *program, args []string) error {
	fs := newFlags("disconnect")
	var remote adminClient
	remote.register(fs, p)
	code, reason := fs.Int("code", 1008, ""), fs.String("reason", "", "")
	ids, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return usageError(`want the ID of one connection, as "rocket connections" prints it`)
	}
	body, err := encodeJSON(map[string]any{"connection": ids[0], "code": *code, "reason": *reason})
	if err != nil {
		return err
	}
	_, err = remote.ask(ctx, http.MethodPost, "/api/disconnect", body)
	return err
}
