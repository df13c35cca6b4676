package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/codec"
)

const publishHelp = `
DATA is JSON; what is not JSON is sent as a JSON string. With - for DATA every
line of standard input is one event.

  -url URL         server and hub (default ws://localhost:9772/)
  -secret SECRET   secret for publishing, if the hub has one; better in
                   ROCKET_SECRET, where other users of the machine cannot see it
  -token TOKEN     token to log in with instead; better in ROCKET_TOKEN
  -event NAME      name of the event (default message)
  -key KEY         publish once for this key: again within the server's
                   IdempotencyWindow, as after a lost connection, it is not published
  -api URL         publish by HTTP instead, as a backend does; the path of the URL, if
                   it has one, is the hub
  -api-key KEY     key of the HTTP API, as rocket key new prints; better in ROCKET_KEY
` + clientFlagsHelp + `
` + exitStatusHelp + `
A channel exists while it has a subscriber, or if the server's configuration names
it. To publish to another channel is an error, but with -api only a remark.

Examples:
  rocket publish news '{"title": "hello"}'
  rocket publish -event alarm news "the sky is falling"
  rocket publish temperature -- -5   (DATA that begins with a dash)
  tail -f access.log | rocket publish log -
  ROCKET_KEY=rk_shop_… rocket publish -api https://rt.example.com orders:42 '{"paid": true}'
`

// runPublish is the command publish.
func runPublish(ctx context.Context, p *program, args []string) error {
	fs := newFlags("publish")
	var flags clientFlags
	flags.register(fs)
	event, key := fs.String("event", "message", ""), fs.String("key", "", "")
	api, apiKey := fs.String("api", "", ""), fs.String("api-key", "", "")
	arguments, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(arguments) != 2 {
		return usageError("want CHANNEL and DATA; quote DATA that has spaces")
	}
	channel, data := arguments[0], arguments[1]
	if !utf8.ValidString(channel) {
		return usageError(fmt.Sprintf("CHANNEL %q is not UTF-8", channel))
	}
	if !utf8.ValidString(*event) {
		return usageError(fmt.Sprintf("-event %q is not UTF-8", *event))
	}
	switch {
	case !utf8.ValidString(*key) || len(*key) > codec.MaxKey:
		return usageError(fmt.Sprintf("-key %q: want at most %d bytes of UTF-8", *key, codec.MaxKey))
	case *key != "" && data == "-":
		return usageError("-key is for one event; with - for DATA each line would have the same")
	}
	if *api != "" {
		if flags.url != defaultURL || flags.secret+flags.token != "" {
			return usageError("-url, -secret and -token are for WebSocket; with -api give -api-key")
		}
		h, err := p.httpPublisher(*api, *apiKey, flags, channel, *event, *key)
		if err != nil {
			return err
		}
		return p.publishByHTTP(ctx, h, channel, data)
	}
	if *apiKey != "" {
		return usageError("-api-key is for -api; over WebSocket there is -token or -secret")
	}
	c, err := p.connect(ctx, flags, "read-write")
	if err != nil {
		return err
	}
	defer c.close()
	send := func(data string) error {
		raw, err := asJSON(data)
		if err != nil {
			return err
		}
		got, err := c.ask(ctx, request{Publish: &publishArgs{*event, channel, raw, *key}}, ignore)
		if err == nil && got.Duplicate {
			p.tellDuplicate(*key)
		}
		return err
	}
	if data != "-" {
		return send(data)
	}
	return publishLines(ctx, p.stdin, c, send)
}

// publishByHTTP is runPublish with -api.
func (p *program) publishByHTTP(ctx context.Context, h *httpPublisher, channel, data string) error {
	defer h.client.CloseIdleConnections()
	send := func(data string) error {
		raw, err := asJSON(data)
		if err != nil {
			return err
		}
		answer, err := h.publish(ctx, raw)
		switch {
		case err != nil:
			return err
		case answer.Duplicate:
			p.tellDuplicate(h.id)
		case !answer.Heard:
			fmt.Fprintf(p.stderr, "there is no channel %q: nobody is subscribed, and the server's configuration does not name it\n", channel)
		}
		return nil
	}
	if data != "-" {
		return send(data)
	}
	return publishLines(ctx, p.stdin, nil, send)
}

func (p *program) tellDuplicate(key string) {
	fmt.Fprintf(p.stderr, "an event with the key %s has been published before; this one is not\n", key)
}

// asJSON returns data if it is JSON, and otherwise as a JSON string.
func asJSON(data string) (json.RawMessage, error) {
	if !utf8.ValidString(data) {
		return nil, errors.New("the data is not UTF-8")
	}
	if json.Valid([]byte(data)) {
		return json.RawMessage(data), nil
	}
	if tooDeep(data) {
		return nil, fmt.Errorf("the data has too many arrays and objects inside one another: more than %d", maxDepth)
	}
	return encodeJSON(data)
}

// maxDepth is how many arrays and objects inside one another are JSON for json.Valid.
const maxDepth = 10000

// tooDeep reports whether data is valid JSON except for its depth, which
// json.Valid limits. Reading token by token has no limit.
func tooDeep(data string) bool {
	d := json.NewDecoder(strings.NewReader(data))
	for depth, deepest := 0, 0; ; {
		token, err := d.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
		if depth == 0 {
			_, err := d.Token()
			return deepest > maxDepth && errors.Is(err, io.EOF)
		}
	}
}

// publishLines sends the lines of r until its end, until the user stops it, or
// until the server closes the connection of c, if there is one.
func publishLines(ctx context.Context, r io.Reader, c *client, send func(string) error) error {
	lines := readLines(r)
	var inbox chan []byte
	if c != nil {
		inbox = c.inbox
	}
	for {
		select {
		case l := <-lines:
			if l.err != nil {
				return ignoreEOF(l.err)
			}
			if err := send(l.text); err != nil {
				return err
			}
		case _, ok := <-inbox:
			if !ok {
				return c.ended()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// line is a line without its end, or the error that ended the reading.
type line struct {
	text string
	err  error
}

// readLines reads lines in a goroutine, which is not waited for: nothing can
// interrupt the reading of a terminal but the end of the process.
func readLines(r io.Reader) <-chan line {
	lines := make(chan line)
	go func() {
		b := bufio.NewReader(r)
		for {
			s, err := b.ReadString('\n')
			if s != "" {
				lines <- line{text: strings.TrimRight(s, "\r\n")}
			}
			if err != nil {
				lines <- line{err: err}
				return
			}
		}
	}()
	return lines
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
