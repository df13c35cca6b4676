package httpapi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

const batchMax = 100

// defaultEvent is the name of an event for which none is given.
const defaultEvent = "message"

// message is an event that a backend publishes.
type message struct {
	Hub     string          `json:"hub"`
	Channel string          `json:"channel"`
	Event   string          `json:"event"`
	Data    json.RawMessage `json:"data"`
	ID      string          `json:"id"`
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
func (a *API) publishData(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	c, err := a.callerOf(r, query.Get("hub"))
	if err != nil {
		return err
	}
	m := message{Channel: r.PathValue("channel"), Event: query.Get("event"), ID: r.Header.Get("Idempotency-Key")}
	if err := c.mayUse(a, mayPublish, m.Channel); err != nil { // before the body is read
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	m.Data = bytes.Trim(body, " \t\r\n") // what is white space in JSON
	if len(m.Data) > 0 && !json.Valid(m.Data) {
		return invalid("the body is not JSON (%s); a text needs quotes around it", whyNotJSON(m.Data))
	}
	return a.publishOne(w, r, c, m)
}

// publishBody is POST /v1/publish: an event, or a batch of events.
func (a *API) publishBody(w http.ResponseWriter, r *http.Request) error {
	if token := bearer(r); token != "" && a.keys.Load().find(token, "") == nil { // before the body is read
		_, err := a.callerOf(r, "")
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var ask struct {
		Messages *[]message `json:"messages"`
		message
	}
	if err := decode(body, &ask); err != nil {
		return err
	}
	if ask.Messages == nil {
		c, err := a.callerOf(r, ask.Hub)
		if err != nil {
			return err
		}
		ask.ID = cmp.Or(ask.ID, r.Header.Get("Idempotency-Key"))
		return a.publishOne(w, r, c, ask.message)
	}
	if ask.Channel+ask.Event+ask.Hub+ask.ID != "" || ask.Data != nil {
		return invalid("messages stands alone: hub, channel, event, data and id belong into each of them")
	}
	if r.Header.Get("Idempotency-Key") != "" {
		return invalid("Idempotency-Key is for one event: give each of messages an id")
	}
	return a.publishBatch(w, r, *ask.Messages)
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
	return reply(w, http.StatusOK, answer)
}

// publishBatch publishes events in their order. One that is refused does not keep
// back the others.
func (a *API) publishBatch(w http.ResponseWriter, r *http.Request, messages []message) error {
	if n := len(messages); n == 0 || n > batchMax {
		return invalid("messages: want 1 to %d, not %d", batchMax, n)
	}
	answer := struct {
		Results []*result `json:"results"`
	}{}
	for _, m := range messages {
		c, err := a.callerOf(r, m.Hub)
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
	m.Event = cmp.Or(m.Event, defaultEvent)
	if len(m.ID) > codec.MaxKey {
		return nil, invalid("the id has more than %d bytes", codec.MaxKey)
	}
	if !codec.ValidChannelName([]byte(m.Channel)) {
		return nil, &problem{http.StatusBadRequest, "invalid_channel_name", "the name of a channel has 1 to 255 bytes of UTF-8 without control characters", 0}
	}
	if err := c.mayUse(a, mayPublish, m.Channel); err != nil {
		return nil, err
	}
	if err := c.tooFast(1); err != nil {
		return nil, err
	}
	published, err := a.server.PublishKeyed(c.hub, m.Channel, m.Event, m.Data, c.keyOf(m.ID))
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

// decode reads a JSON object with known members.
func decode(body []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(to)
	if err == nil && len(bytes.Trim(body[d.InputOffset():], " \t\r\n")) > 0 {
		err = errors.New("something follows the object")
	}
	if err != nil {
		return invalid("the body: %s", whyInvalid(err))
	}
	return nil
}

// whyInvalid says what is wrong, without the words of Go.
func whyInvalid(err error) string {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it is not JSON: it ends too early"
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON: %v, at byte %d", syntax, syntax.Offset)
	case errors.As(err, &wrong):
		return fmt.Sprintf("%s: want another type than %s", cmp.Or(wrong.Field, "it"), wrong.Value)
	}
	return string(bytes.TrimPrefix([]byte(err.Error()), []byte("json: ")))
}

func whyNotJSON(b []byte) string {
	var syntax *json.SyntaxError
	if err := json.Unmarshal(b, new(json.RawMessage)); errors.As(err, &syntax) {
		return fmt.Sprintf("%v, at byte %d", syntax, syntax.Offset)
	}
	return "it cannot be read"
}
