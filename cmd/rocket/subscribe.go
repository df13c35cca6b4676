package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/pubsub"
)

const subscribeHelp = `
Each event is a line of JSON on standard output, until Ctrl-C. If the server
restarts or the connection is lost, it connects again, after pauses that grow from
a second to half a minute, and says so on standard error. Events that are published
meanwhile are printed too if the channel keeps a history of them, and otherwise are
missing. It ends if the first attempt fails, and if another would not
help: the server refuses the secret, for instance.

  -url URL         server and hub (default ws://localhost:9772/)
  -secret SECRET   secret for reading, if the hub has one; better in ROCKET_SECRET,
                   where other users of the machine cannot see it
  -token TOKEN     token to log in with instead; better in ROCKET_TOKEN
  -rewind N        begin with so many of the events that the channels keep
  -since POSITION  begin behind a position of the one CHANNEL, EPOCH:OFFSET
  -once            end when the connection ends
  -names           every CHANNEL is a name, also one that looks like a pattern

A CHANNEL that is * or ends in :* is a pattern: every channel whose name begins so
is heard, if the server's Patterns are on. After a lost connection the events of a
pattern that were published meanwhile are missing.
` + clientFlagsHelp + `
` + exitStatusHelp + `
Examples:
  rocket subscribe news weather
  rocket subscribe 'chat:*'          (every channel whose name begins with chat:)
  rocket subscribe -- -news          (a name that begins with a dash)
`

// runSubscribe is the command subscribe.
func runSubscribe(ctx context.Context, p *program, args []string) error {
	fs := newFlags("subscribe")
	s := subscription{program: p, since: map[string]position{}}
	since := fs.String("since", "", "")
	s.register(fs)
	var err error
	if s.channels, err = parseFlags(fs, args); err != nil {
		return err
	}
	if len(s.channels) == 0 {
		return usageError("want a CHANNEL")
	}
	if s.rewind < 0 {
		return usageError("-rewind: want 1 or more")
	}
	if err := s.begin(*since); err != nil {
		return err
	}
	for _, channel := range s.channels {
		switch {
		case !utf8.ValidString(channel):
			return usageError(fmt.Sprintf("CHANNEL %q is not UTF-8", channel))
		case s.isPattern(channel) && (s.rewind > 0 || len(s.since) > 0):
			return usageError(fmt.Sprintf("-rewind and -since are for channels, and %q is a pattern; -names makes it a name", channel))
		}
	}
	if err = s.follow(ctx); ctx.Err() != nil {
		return nil //nolint:nilerr // the user has seen enough
	}
	return err
}

// subscription is what one rocket subscribe prints.
type subscription struct {
	*program
	flags    clientFlags
	once     bool
	rewind   int  // events that channels without a position begin with
	names    bool // no channel is a pattern
	channels []string
	since    map[string]position // where it is in those of the channels that have a history
}

func (s *subscription) register(fs *flag.FlagSet) {
	s.flags.register(fs)
	fs.BoolVar(&s.once, "once", false, "")
	fs.IntVar(&s.rewind, "rewind", 0, "")
	fs.BoolVar(&s.names, "names", false, "")
}

// isPattern reports whether a CHANNEL is a pattern.
func (s *subscription) isPattern(channel string) bool {
	return !s.names && pubsub.ValidPattern([]byte(channel))
}

// begin makes the subscription begin behind a position, "" for none.
func (s *subscription) begin(since string) error {
	if since == "" {
		return nil
	}
	epoch, offset, _ := strings.Cut(since, ":")
	n, err := strconv.ParseUint(offset, 10, 64)
	if err != nil || epoch == "" || len(s.channels) != 1 {
		return usageError(fmt.Sprintf("-since %q: want EPOCH:OFFSET, and one CHANNEL", since))
	}
	s.since[s.channels[0]] = position{epoch, n}
	return nil
}

// follow prints the events of the channels, over as many connections as it
// takes, until it would not help to connect again.
func (s *subscription) follow(ctx context.Context) error {
	subscribed, err := s.connection(ctx, "")
	if s.once || !subscribed {
		return err
	}
	for failures := 0; passes(err) && ctx.Err() == nil; failures++ {
		wait := backoff(failures, rand.Float64())
		fmt.Fprintf(s.stderr, "%s; connecting again in %.1f s\n", err, wait.Seconds())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		if subscribed, err = s.connection(ctx, " again"); subscribed {
			failures = -1
		}
	}
	return err
}

// Pauses between two attempts to connect.
const (
	firstPause = time.Second
	mostPause  = 30 * time.Second
)

// backoff returns how long to wait after so many failures in a row. It doubles,
// and random, in [0, 1), takes up to half of it off: clients that have lost their
// server at the same time do not come back at the same time.
func backoff(failures int, random float64) time.Duration {
	pause := min(firstPause<<min(failures, 10), mostPause)
	return pause - time.Duration(random/2*float64(pause))
}

// connection prints the events of one connection until it ends. It reports
// whether all channels were subscribed to. again follows that on standard error.
func (s *subscription) connection(ctx context.Context, again string) (subscribed bool, err error) {
	c, err := s.connect(ctx, s.flags, "read-only")
	if err != nil {
		return false, err
	}
	defer c.close()
	for _, channel := range s.channels {
		_, asked := s.since[channel]
		missed, err := s.subscribe(ctx, c, channel)
		if err != nil {
			return false, err
		}
		if again == "" && !asked {
			missed = ""
		}
		fmt.Fprintf(s.stderr, "subscribed to %s at %s%s%s\n", channel, c.url, again, missed)
	}
	for {
		message, err := c.receive(ctx)
		if err != nil {
			return true, err
		}
		if err := s.take(message); err != nil {
			return true, err
		}
	}
}

// subscribe goes on in a channel where the connection before has ended. missed says
// what has become of the events since then.
func (s *subscription) subscribe(ctx context.Context, c *client, channel string) (missed string, err error) {
	args := &subscribeArgs{Channel: &channel}
	if s.isPattern(channel) {
		args = &subscribeArgs{Pattern: channel}
	}
	if at, ok := s.since[channel]; ok {
		args.Since = &at
	} else {
		args.Rewind = s.rewind
	}
	got, err := c.ask(ctx, request{Subscribe: args}, s.take)
	if err != nil {
		return "", err
	}
	delete(s.since, channel)
	if got.Epoch != "" {
		s.since[channel] = got.position
	}
	if got.Recovered {
		return "; nothing is missing", nil
	}
	return "; events published meanwhile are missing", nil
}

// take prints a message and keeps the position behind it.
func (s *subscription) take(message []byte) error {
	for _, kind := range []string{"subscribed", "unsubscribed", "expires"} {
		if bytes.HasPrefix(message, []byte(`{"`+kind+`":`)) { // it is no event
			fmt.Fprintf(s.stderr, "%s\n", message)
			return nil
		}
	}
	if err := s.printEvent(message); err != nil || len(s.since) == 0 {
		return err
	}
	var got struct {
		Channel string  `json:"channel"`
		Offset  *uint64 `json:"offset"`
	}
	if err := json.Unmarshal(message, &got); err != nil {
		return nil //nolint:nilerr // it is printed as it came
	}
	if at, ok := s.since[got.Channel]; ok && got.Offset != nil {
		at.Offset = *got.Offset
		s.since[got.Channel] = at
	}
	return nil
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
