package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
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
	if _, err := c.certificates(slog.Default()); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: ok\n", file)
	printSummary(p.stdout, c)
	for _, w := range c.warnings() {
		fmt.Fprintf(p.stdout, "%s: warning: %s\n", file, w)
	}
	return nil
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
