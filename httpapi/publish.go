package httpapi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

const batchMax = 100

// defaultEvent is the name of an event for which none is given.
const defaultEvent = "message"

// message is an event that a backend publishes.
type message struct {
	hub, channel, event, id string

	data json.RawMessage
}

// read takes a member of a message.
func (m *message) read(name string, value json.RawMessage) error {
	switch name {
	case "hub":
		return text(name, value, &m.hub)
	case "channel":
		return text(name, value, &m.channel)
	case "event":
		return text(name, value, &m.event)
	case "id":
		return text(name, value, &m.id)
	case "data":
		m.data = value
		return nil
	}
	return unknown(name)
}

// readMessages reads what POST /v1/publish gets: one message, or several in messages,
// which then is not nil.
func readMessages(body []byte) (one message, messages []message, err error) {
	alone := true
	err = members(body, func(name string, value json.RawMessage) error {
		if name == "messages" {
			messages, err = readBatch(value)
			return err
		}
		alone = false
		return one.read(name, value)
	})
	switch {
	case err != nil:
		return one, nil, invalid("the body: %s", err)
	case messages != nil && !alone:
		return one, nil, invalid("messages stands alone: hub, channel, event, data and id belong into each of them")
	}
	return one, messages, nil
}

// readBatch reads the messages of a batch.
func readBatch(list json.RawMessage) ([]message, error) {
	var all []json.RawMessage
	if list[0] != '[' || json.Unmarshal(list, &all) != nil {
		return nil, fmt.Errorf("messages: want an array of objects, not %s", typeOf(list))
	}
	messages := make([]message, len(all))
	for i, one := range all {
		if err := members(one, messages[i].read); err != nil {
			return nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
	}
	return messages, nil
}

// result is what became of a message.
type result struct {
	OK        bool   `json:"ok,omitempty"`
	Heard     *bool  `json:"heard,omitempty"`
	Offset    uint64 `json:"offset,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
	*refusal
}

// publishData is POST /v1/publish/{channel}: the body is the data.
func (a *API) publishData(w http.ResponseWriter, r *http.Request, channel string) error {
	query, err := strictQueryOf(r, "hub", "event")
	if err != nil {
		return err
	}
	c, err := a.callerOf(r, query.Get("hub"))
	if err != nil {
		return err
	}
	m := message{channel: channel, event: query.Get("event"), id: r.Header.Get("Idempotency-Key")}
	if err := c.mayUse(a, mayPublish, m.channel); err != nil { // before the body is read
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	m.data = bytes.Trim(body, " \t\r\n") // what is white space in JSON
	err = a.publishOne(w, r, c, m)
	if errors.Is(err, webrocket.ErrInvalidData) && !json.Valid(m.data) { // the hub has looked
		return invalid("the body is not JSON (%s); a text needs quotes around it", whyNotJSON(m.data))
	}
	return err
}

// publishBody is POST /v1/publish: an event, or a batch of events.
func (a *API) publishBody(w http.ResponseWriter, r *http.Request, _ string) error {
	if _, err := strictQueryOf(r); err != nil {
		return err
	}
	given, err := a.credentialsOf(r)
	if err != nil {
		return err
	}
	if err := a.mayPublishSomewhere(given); err != nil { // before the body is read
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	m, messages, err := readMessages(body)
	switch {
	case err != nil:
		return err
	case messages == nil:
		c, err := a.in(given, m.hub)
		if err != nil {
			return err
		}
		m.id = cmp.Or(m.id, r.Header.Get("Idempotency-Key"))
		return a.publishOne(w, r, c, m)
	case r.Header.Get("Idempotency-Key") != "":
		return invalid("Idempotency-Key is for one event: give each of messages an id")
	}
	return a.publishBatch(w, r, given, messages)
}

// publishOne publishes an event and answers.
func (a *API) publishOne(w http.ResponseWriter, r *http.Request, c *caller, m message) error {
	if err := a.ofOrigin(r, c.hub); err != nil {
		return err
	}
	answer, err := a.publish(c, m)
	if err != nil {
		return err
	}
	if answer.Duplicate {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return send(w, http.StatusOK, answer.append(nil))
}

// append extends dst by the result of an event that has been published, as JSON.
func (r *result) append(dst []byte) []byte {
	dst = append(append(dst, `{"ok":true,"heard":`...), strconv.FormatBool(*r.Heard)...)
	if r.Offset > 0 {
		dst = strconv.AppendUint(append(dst, `,"offset":`...), r.Offset, 10)
	}
	if r.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	return append(dst, '}')
}

// publishBatch publishes events in their order. One that is refused does not keep
// back the others.
func (a *API) publishBatch(w http.ResponseWriter, r *http.Request, given *credentials, messages []message) error {
	if n := len(messages); n == 0 || n > batchMax {
		return invalid("messages: want 1 to %d, not %d", batchMax, n)
	}
	answer := struct {
		Results []*result `json:"results"`
	}{}
	for _, m := range messages {
		c, err := a.in(given, m.hub)
		if err == nil {
			err = a.ofOrigin(r, c.hub)
		}
		var one *result
		if err == nil {
			one, err = a.publish(c, m)
		}
		if err != nil {
			p := problemOf(err)
			one = &result{refusal: &refusal{p.code, p.message}}
		}
		answer.Results = append(answer.Results, one)
	}
	return reply(w, http.StatusOK, answer)
}

// publish publishes an event, if the caller may.
func (a *API) publish(c *caller, m message) (*result, error) {
	m.event = cmp.Or(m.event, defaultEvent)
	if len(m.id) > codec.MaxKey {
		return nil, invalid("the id has more than %d bytes", codec.MaxKey)
	}
	if !codec.ValidChannelName([]byte(m.channel)) {
		return nil, &problem{http.StatusBadRequest, "invalid_channel_name", "the name of a channel has 1 to 255 bytes of UTF-8 without control characters", 0}
	}
	if err := c.mayUse(a, mayPublish, m.channel); err != nil {
		return nil, err
	}
	if err := c.tooFast(a, len(m.data)); err != nil {
		return nil, err
	}
	published, err := a.server.PublishKeyed(c.hub, m.channel, m.event, m.data, c.keyOf(m.id))
	heard := err == nil
	if err != nil && !errors.Is(err, webrocket.ErrInvalidChannel) {
		return nil, err
	}
	return &result{OK: true, Heard: &heard, Offset: published.Offset, Duplicate: published.Duplicate}, nil
}

// keyOf returns the key by which the hub knows an id: those of two callers never
// collide, nor with those of clients.
func (c *caller) keyOf(id string) string {
	if id == "" {
		return ""
	}
	name := ""
	if c.key != nil {
		name = c.key.Name
	}
	sum := sha256.Sum256([]byte("http\x00" + name + "\x00" + id))
	return hex.EncodeToString(sum[:])
}

// ofOrigin returns why a page may not publish, nil if it may, or if the request is of
// no page.
func (a *API) ofOrigin(r *http.Request, hub string) error {
	if origin := r.Header.Get("Origin"); origin != "" && !a.server.AllowsOrigin(hub, origin) {
		return denied("pages of the origin %.100s may not use the hub %s; its Origins decide", origin, hub)
	}
	return nil
}

func whyNotJSON(b []byte) string {
	var syntax *json.SyntaxError
	if err := json.Unmarshal(b, new(json.RawMessage)); errors.As(err, &syntax) {
		return fmt.Sprintf("%v, at byte %d", syntax, syntax.Offset)
	}
	return "it cannot be read"
}
