package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/nu7hatch/webrocket/httpapi"
	"github.com/nu7hatch/webrocket/rate"
)

// keys returns the keys of the HTTP API, by the hub's path.
func (c *config) keys() map[string][]httpapi.Key {
	all := make(map[string][]httpapi.Key)
	for _, h := range c.hubs {
		for _, path := range h.paths() {
			if h.codec != codecEcho {
				all[path] = h.keys
			}
		}
	}
	return all
}

// apiKeyList is the list of a hub's keys for the HTTP API.
func apiKeyList(p *[]httpapi.Key) value {
	return value{get: func() any { return *p }, objects: func(n *node) problems {
		items, ok := n.value.([]*node)
		if !ok {
			return problems{n.problem(`want a list of keys such as rocket key new prints, not %s`, n.show())}
		}
		*p = make([]httpapi.Key, len(items))
		var found problems
		for i, item := range items {
			found = append(found, readAPIKey(&(*p)[i], item)...)
			for j := range i {
				if (*p)[j].Name == (*p)[i].Name {
					found = append(found, item.problem("there is a key of the name %q already; give it another", (*p)[i].Name))
				}
			}
		}
		return found
	}}
}

// readAPIKey fills a key from an object of the file.
func readAPIKey(k *httpapi.Key, n *node) problems {
	found := fill(n, []field{
		{"Name", text(&k.Name, "a name of 1 to 32 letters, digits, _, - and .", nothingWrong).fromNode},
		{"SHA256", text(&k.SHA256, "the 64 hexadecimal digits that rocket key new prints", nothingWrong).fromNode},
		{"Channels", list(&k.Channels, `a channel, or a pattern such as "orders:*"`, nothingWrong).fromNode},
		{"May", list(&k.May, "publish or read", nothingWrong).fromNode},
		{"Rate", integer(&k.Rate, 1, rate.Max).fromNode},
	})
	if len(found) > 0 {
		return found
	}
	if err := k.Check(); err != nil {
		return problems{n.problem("%v", err)}
	}
	return nil
}

// nothingWrong leaves a value to a check of the whole.
func nothingWrong(string) error { return nil }

const keyHelp = `
Prints a new key for a backend that publishes by HTTP (docs/http.md), and what to put into
Keys of the hub. The server's file has the digest alone, so keep the key where the backend
finds it: it is not shown again.

  -channels LIST  channels and patterns that the key is for, with commas between them
                  (default *)
  -may LIST       what it may do there: publish, read, or both (default publish)
  -rate N         events that may be published with it in a second (default any number)

Example:
  rocket key new shop -channels 'orders:*' -may publish,read
`

// runKey is the command key.
func runKey(_ context.Context, p *program, args []string) error {
	fs := newFlags("key")
	channels, may := fs.String("channels", "*", ""), fs.String("may", "publish", "")
	perSecond := fs.Int("rate", 0, "")
	arguments, err := parseFlags(fs, args)
	switch {
	case err != nil:
		return err
	case len(arguments) != 2 || arguments[0] != "new":
		return usageError("want new and a name: rocket key new shop -channels 'orders:*'")
	}
	key, digest, err := httpapi.NewKey(arguments[1])
	if err != nil {
		return usageError(err.Error())
	}
	k := httpapi.Key{
		Name: arguments[1], SHA256: digest, Channels: strings.Split(*channels, ","), May: strings.Split(*may, ","), Rate: *perSecond,
	}
	if err := k.Check(); err != nil {
		return usageError(err.Error())
	}
	limit := ""
	if k.Rate > 0 {
		limit = fmt.Sprintf(`, "Rate": %d`, k.Rate)
	}
	fmt.Fprintf(p.stdout, "The key, for the backend, which is not shown again:\n  %s\nIn the file of the server, for Keys of the hub:\n  {\"Name\": %q, \"SHA256\": %q, \"Channels\": [%s], \"May\": [%s]%s}\n",
		key, k.Name, k.SHA256, jsonStrings(k.Channels), jsonStrings(k.May), limit)
	return nil
}

func jsonStrings(list []string) string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(all, ", ")
}
