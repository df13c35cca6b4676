package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"
)

// runCheck is the command check: it reads a file, and nothing else.
func runCheck(_ context.Context, p *program, args []string) error {
	files, err := parseFlags(newFlags("check"), args)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return usageError("want one FILE")
	}
	file := files[0]
	c, err := sources{file: file}.load()
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
	fmt.Fprintf(p.stdout, "%s: ok\n", file)
	printSummary(p.stdout, c)
	for _, w := range append(c.warnings(), certs.expiring(now)...) {
		fmt.Fprintf(p.stdout, "%s: warning: %s\n", file, w)
	}
	return nil
}

// unusable returns what clients would find wrong with the certificates.
func (c *config) unusable(certs *certificates, now time.Time) error {
	var found problems
	for _, what := range certs.unusable(now) {
		found = append(found, problem{where: c.origin["tls-cert"], what: what})
	}
	return found.asError()
}

// printSummary says what would be served.
func printSummary(w io.Writer, c *config) {
	fmt.Fprintf(w, "  address  %s\n", c.address())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, h := range c.hubs {
		fmt.Fprintf(t, "  hub\t%s\t%s\t%s\n", h.path, h.codec, h.access())
	}
	t.Flush()
}
