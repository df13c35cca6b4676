package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

const subscribeHelp = `
Each event is a line of JSON on standard output. It ends when the server closes
the connection, or with Ctrl-C.

  -url URL         server and hub (default ws://localhost:9772/)
  -secret SECRET   secret for reading, if the hub has one; better in ROCKET_SECRET,
                   where other users of the machine cannot see it
` + clientFlagsHelp + `
Example:
  rocket subscribe news weather
`

// runSubscribe is the command subscribe.
func runSubscribe(ctx context.Context, p *program, args []string) error {
	fs := newFlags("subscribe")
	var flags clientFlags
	flags.register(fs)
	channels, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(channels) == 0 {
		return usageError("want a CHANNEL")
	}
	for _, channel := range channels {
		if !utf8.ValidString(channel) {
			return usageError(fmt.Sprintf("CHANNEL %q is not UTF-8", channel))
		}
	}
	err = p.subscribe(ctx, flags, channels)
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // the user has seen enough
	case errors.Is(err, errServerClosed):
		fmt.Fprintln(p.stderr, err)
		return nil
	}
	return err
}

// subscribe prints the events of the channels until the connection ends.
func (p *program) subscribe(ctx context.Context, flags clientFlags, channels []string) error {
	c, err := p.connect(ctx, flags, "read-only")
	if err != nil {
		return err
	}
	defer c.close()
	for _, channel := range channels {
		if err := c.do(ctx, request{Subscribe: &subscribeArgs{channel}}, p.printEvent); err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "subscribed to %s at %s\n", channel, c.url)
	}
	for {
		message, err := c.receive(ctx)
		if err != nil {
			return err
		}
		if err := p.printEvent(message); err != nil {
			return err
		}
	}
}

// printEvent prints a message as it came, on one line.
func (p *program) printEvent(message []byte) error {
	if bytes.ContainsAny(message, "\r\n") {
		// In valid JSON they stand only between the tokens.
		var line bytes.Buffer
		if json.Compact(&line, message) == nil {
			message = line.Bytes()
		}
	}
	if _, err := fmt.Fprintf(p.stdout, "%s\n", message); err != nil {
		return fmt.Errorf("cannot write to standard output: %s", reason(err))
	}
	return nil
}
