package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

const clusterHelp = `
It makes the other nodes of a cluster, which store histories together, forget one that
does not come back: it does not count any more when most of them must agree, and another
one stores what it has stored. A new machine that takes the name of the old one
(Cluster.Node) needs none of this. The server that is asked may be any of the others. It
must have an admin token, which is read from ROCKET_ADMIN_TOKEN.

  -admin ADDRESS   where the server has its admin port (default
                   127.0.0.1:9773, or ROCKET_ADMIN)

Example:
  rocket cluster remove rocket-3-9774
`

// runCluster is the command cluster.
func runCluster(ctx context.Context, p *program, args []string) error {
	fs := newFlags("cluster")
	var remote adminClient
	remote.register(fs, p)
	words, err := parseFlags(fs, args)
	switch {
	case err != nil:
		return err
	case len(words) != 2 || words[0] != "remove":
		return usageError("want remove and the name of a node: rocket cluster remove rocket-3-9774")
	}
	body, err := encodeJSON(map[string]any{"node": words[1]})
	if err != nil {
		return err
	}
	answer, err := remote.ask(ctx, http.MethodPost, "/api/cluster/remove", body)
	if err != nil {
		return err
	}
	var done struct{ Whole bool }
	if err := json.Unmarshal(answer, &done); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s does not count any more\n", words[1])
	if done.Whole {
		fmt.Fprintln(p.stdout, "each log has all its replicas")
	} else {
		fmt.Fprintln(p.stdout, "logs lack a replica: another node is not there, or has not copied them yet")
	}
	return nil
}
