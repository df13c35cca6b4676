package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/nu7hatch/webrocket"
)

const (
	bodyMax   = 8 << 20
	batchMax  = 1000
	reasonMax = 123 // bytes beside the code in a Close frame (RFC 6455 §5.5)
	debugMax  = 600 // seconds
)

// badRequest says what is wrong with a request.
func badRequest(format string, args ...any) error {
	return &failure{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// decode reads the body of a request.
func decode(r *http.Request, to any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, bodyMax))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", bodyMax)}
	case err != nil:
		return badRequest("the body: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return badRequest("the body: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body: something follows the object")
	}
	return nil
}

type publishRequest struct {
	Messages []event `json:"messages"`
}

type event struct {
	Hub     string          `json:"hub"`
	Channel string          `json:"channel"`
	Event   string          `json:"event"`
	Data    json.RawMessage `json:"data"`
}

type publishAnswer struct {
	Published int             `json:"published"`
	Results   []publishResult `json:"results"`
}

// publishResult is as the protocol's reply to a publish.
type publishResult struct {
	OK  bool   `json:"ok,omitempty"`
	Err string `json:"err,omitempty"`
}

// publish publishes the events of a batch in their order. One that is refused
// does not keep back the others.
func (c *console) publish(r *http.Request) (any, error) {
	var ask publishRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	if n := len(ask.Messages); n == 0 || n > batchMax {
		return nil, badRequest("messages: want 1 to %d, not %d", batchMax, n)
	}
	answer := publishAnswer{Results: make([]publishResult, len(ask.Messages))}
	for i, e := range ask.Messages {
		if err := c.Server.PublishJSON(e.Hub, e.Channel, e.Event, e.Data); err != nil {
			answer.Results[i].Err = codeOf(err)
			continue
		}
		answer.Results[i].OK = true
		answer.Published++
	}
	return answer, nil
}

// codeOf returns the error code of a publish: the protocol's, where it has one.
func codeOf(err error) string {
	switch {
	case errors.Is(err, webrocket.ErrNoHub):
		return "invalid_hub"
	case errors.Is(err, webrocket.ErrInvalidChannel):
		return "invalid_channel"
	case errors.Is(err, webrocket.ErrTooLarge):
		return "too_large"
	case errors.Is(err, webrocket.ErrOverloaded):
		return "overloaded"
	default:
		return "invalid_data"
	}
}

type disconnectRequest struct {
	Connection string `json:"connection"`
	Hub        string `json:"hub"`
	Channel    string `json:"channel"`
	Code       uint16 `json:"code"`
	Reason     string `json:"reason"`
}

type disconnectAnswer struct {
	Disconnected int `json:"disconnected"`
}

// check tells what is wrong with the request, which gets its defaults.
func (d *disconnectRequest) check() error {
	if d.Code == 0 {
		d.Code = 1008
	}
	switch {
	case (d.Connection == "") == (d.Channel == ""):
		return badRequest("want either connection, or hub and channel")
	case !sendable(d.Code):
		return badRequest("code: %d is not for a Close frame; want 1000, 1001, 1008, 1011 to 1013, or 3000 to 4999", d.Code)
	case len(d.Reason) > reasonMax:
		return badRequest("reason: want at most %d bytes", reasonMax)
	}
	return nil
}

// sendable tells whether an operator may end a connection with a code
// (RFC 6455 §7.4).
func sendable(code uint16) bool {
	switch code {
	case 1000, 1001, 1008, 1011, 1012, 1013:
		return true
	}
	return code >= 3000 && code <= 4999
}

func (c *console) disconnect(r *http.Request) (any, error) {
	var ask disconnectRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	if err := ask.check(); err != nil {
		return nil, err
	}
	n := 1
	var err error
	if ask.Connection != "" {
		err = c.Server.Disconnect(r.Context(), ask.Connection, ask.Code, ask.Reason)
	} else {
		n, err = c.Server.DisconnectChannel(r.Context(), ask.Hub, ask.Channel, ask.Code, ask.Reason)
	}
	if err != nil {
		return nil, err
	}
	c.Log.Info("connections were closed through the admin API", "connections", n,
		"connection", ask.Connection, "hub", ask.Hub, "channel", ask.Channel, "code", ask.Code)
	return disconnectAnswer{n}, nil
}

type debugRequest struct {
	Connection string `json:"connection"`
	Hub        string `json:"hub"`
	Channel    string `json:"channel"`
	Every      int    `json:"every"`
	Seconds    *int   `json:"seconds"`
}

type debugAnswer struct {
	Seconds int `json:"seconds"`
}

// debug logs a sample of what one connection does, or of what is done to one
// channel, for a while.
func (c *console) debug(r *http.Request) (any, error) {
	var ask debugRequest
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	seconds := 60
	if ask.Seconds != nil {
		seconds = *ask.Seconds
	}
	switch {
	case (ask.Connection == "") == (ask.Channel == ""):
		return nil, badRequest("want either connection, or hub and channel")
	case seconds < 0 || seconds > debugMax:
		return nil, badRequest("seconds: want 0 to %d, not %d", debugMax, seconds)
	case ask.Every < 0:
		return nil, badRequest("every: want 0 or more, not %d", ask.Every)
	}
	err := c.Server.Watch(r.Context(), webrocket.Watch{
		Hub: ask.Hub, Channel: ask.Channel, Connection: ask.Connection,
		Every: ask.Every, For: time.Duration(seconds) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	c.Log.Info("watching commands", "hub", ask.Hub, "channel", ask.Channel,
		"connection", ask.Connection, "every", max(ask.Every, 1), "seconds", seconds)
	return debugAnswer{seconds}, nil
}
