package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// runCheck is the command check: it reads what a server would, and nothing else.
func runCheck(_ context.Context, p *program, args []string) error {
	fs := newFlags("check")
	given := settingFlags(fs)
	var ask question
	fs.StringVar(&ask.channel, "channel", "", "")
	fs.StringVar(&ask.user, "user", "", "")
	fs.StringVar(&ask.hub, "hub", "/", "")
	file, err := parseServeArgs(fs, args)
	if err != nil {
		return err
	}
	c, err := sources{file: file, getenv: p.getenv, environ: p.environ, flags: given}.load()
	if err != nil {
		return err
	}
	certs, err := c.certificates(slog.Default())
	if err != nil {
		return err
	}
	now := time.Now()
	if err := c.unusable(certs, now); err != nil {
		return err
	}
	name := cmp.Or(file, "rocket")
	fmt.Fprintf(p.stdout, "%s: ok\n", name)
	printSummary(p.stdout, c)
	for _, w := range append(c.warnings(), certs.expiring(now)...) {
		fmt.Fprintf(p.stdout, "%s: warning: %s\n", name, w)
	}
	for _, note := range c.notes {
		fmt.Fprintf(p.stdout, "%s: note: %s\n", name, note)
	}
	if ask == (question{hub: "/"}) {
		return nil
	}
	return ask.answer(p.stdout, c)
}

// unusable returns what clients would find wrong with the certificates.
func (c *config) unusable(certs *certificates, now time.Time) error {
	var found problems
	for _, what := range certs.unusable(now) {
		found = append(found, problem{where: c.origin["tls-cert"], what: what, content: true})
	}
	return found.asError()
}

// printSummary says what would be served.
func printSummary(w io.Writer, c *config) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, a := range c.addresses() {
		fmt.Fprintf(t, "  address\t%s\t%s\n", a.at, a.scheme)
	}
	fmt.Fprintf(t, "  admin\t%s\n", c.admin)
	if c.cluster.on() {
		fmt.Fprintf(t, "  cluster\t%s\t%s\n", c.cluster.name, c.clusterSummary())
	}
	for _, h := range c.hubs {
		fmt.Fprintf(t, "  hub\t%s\t%s\t%s\n", strings.Join(h.paths(), ", "), h.codec, h.access())
		for _, k := range h.keys {
			fmt.Fprintf(t, "  key\t%s\t%s\t%s\n", k.Name, strings.Join(k.May, ", "), strings.Join(k.Channels, ", "))
		}
	}
	for _, a := range c.apps {
		state := "enabled"
		if !a.enabled {
			state = "disabled"
		}
		fmt.Fprintf(t, "  app\t%s\tPusher\t%s\n", a.ID, state)
	}
	t.Flush()
}

// listening is an address for clients.
type listening struct{ at, scheme string }

// addresses returns where the server would listen for clients.
func (c *config) addresses() []listening {
	first := listening{c.address(), "ws://"}
	if c.secure() && c.tlsPort == 0 {
		first.scheme = "wss://"
	}
	all := []listening{first}
	if c.secure() && c.tlsPort != 0 {
		all = append(all, listening{net.JoinHostPort(c.host, strconv.Itoa(c.tlsPort)), "wss://"})
	}
	if c.unix != "" {
		all = append(all, listening{"unix:" + c.unix, "ws://"})
	}
	return all
}
