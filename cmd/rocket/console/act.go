package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
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

// decode reads the body of a request, which is an object with these fields.
func decode(r *http.Request, f fields) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, bodyMax))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", bodyMax)}
	case err == nil && !utf8.Valid(body):
		err = errors.New("it is not UTF-8")
	case err == nil:
		err = f.read(body)
	}
	if err != nil {
		return badRequest("the body: %v", err)
	}
	return nil
}

type publishRequest struct{ messages []json.RawMessage }

func (p *publishRequest) fields() fields {
	return fields{{"messages", &p.messages, required}}
}

type event struct {
	hub, channel, event string
	data                json.RawMessage
	key                 eventKey
}

// An eventKey is the key of a publish, "" for none.
type eventKey string

func (k *eventKey) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, (*string)(k)); err != nil || *k == "" || len(*k) > codec.MaxKey {
		return fmt.Errorf("want a string of 1 to %d bytes", codec.MaxKey)
	}
	return nil
}

func (e *event) fields() fields {
	return fields{
		{"hub", &e.hub, required},
		{"channel", &e.channel, required},
		{"event", &e.event, required},
		{"data", &e.data, optional},
		{"key", &e.key, optional},
	}
}

// events returns the events of a batch, if all of them are whole.
func (p *publishRequest) events() ([]event, error) {
	n := len(p.messages)
	if n == 0 || n > batchMax {
		return nil, badRequest("messages: want 1 to %d, not %d", batchMax, n)
	}
	events := make([]event, n)
	for i, message := range p.messages {
		if err := events[i].fields().read(message); err != nil {
			return nil, badRequest("messages[%d]: %v", i, err)
		}
	}
	return events, nil
}

type publishAnswer struct {
	Published int             `json:"published"`
	Results   []publishResult `json:"results"`
}

// publishResult is as the protocol's reply to a publish.
type publishResult struct {
	OK        bool   `json:"ok,omitempty"`
	Err       string `json:"err,omitempty"`
	Offset    uint64 `json:"offset,omitempty"`
	Duplicate *bool  `json:"duplicate,omitempty"`
}

// publish publishes the events of a batch in their order. One that is refused
// does not keep back the others.
func (c *console) publish(r *http.Request) (any, error) {
	var ask publishRequest
	if err := decode(r, ask.fields()); err != nil {
		return nil, err
	}
	events, err := ask.events()
	if err != nil {
		return nil, err
	}
	answer := publishAnswer{Results: make([]publishResult, len(events))}
	for i, e := range events {
		published, err := c.Server.PublishKeyed(e.hub, e.channel, e.event, e.data, string(e.key))
		if err != nil {
			answer.Results[i].Err = codeOf(err)
			continue
		}
		answer.Results[i] = publishResult{OK: true, Offset: published.Offset}
		if e.key != "" {
			answer.Results[i].Duplicate = &published.Duplicate
		}
		if !published.Duplicate {
			answer.Published++
		}
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
	case errors.Is(err, webrocket.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, webrocket.ErrFull):
		return "limit_exceeded"
	default:
		return "invalid_data"
	}
}

// reach is which nodes have done what was asked of all.
type reach struct {
	Nodes   int      `json:"nodes"`
	Missing []string `json:"missing,omitempty"`
}

func reachOf(d webrocket.Done) reach { return reach{d.Nodes, d.Missing} }

type disconnectRequest struct {
	connection, hub, channel, user, client string
	code                                   uint16
	reason                                 string
}

func (d *disconnectRequest) fields() fields {
	return fields{
		{"connection", &d.connection, optional},
		{"hub", &d.hub, optional},
		{"channel", &d.channel, optional},
		{"user", &d.user, optional},
		{"client", &d.client, optional},
		{"code", &d.code, optional},
		{"reason", &d.reason, optional},
	}
}

type disconnectAnswer struct {
	Disconnected int `json:"disconnected"`
	reach
}

// check fills in the defaults of the request, and returns what is wrong with
// it.
func (d *disconnectRequest) check() error {
	if d.code == 0 {
		d.code = 1008
	}
	given := 0
	for _, name := range []string{d.connection, d.channel, d.user, d.client} {
		if name != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return badRequest("want either connection, or hub and one of channel, user and client")
	case !sendable(d.code):
		return badRequest("code: %d is not for a Close frame; want 1000, 1001, 1008, 1011 to 1013, or 3000 to 4999", d.code)
	case len(d.reason) > reasonMax:
		return badRequest("reason: want at most %d bytes of UTF-8, not %d", reasonMax, len(d.reason))
	}
	return nil
}

// sendable reports whether an operator may end a connection with a code
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
	if err := decode(r, ask.fields()); err != nil {
		return nil, err
	}
	if err := ask.check(); err != nil {
		return nil, err
	}
	ctx := r.Context()
	done := webrocket.Done{Count: 1, Nodes: 1}
	var err error
	switch {
	case ask.connection != "":
		err = c.Server.Disconnect(ctx, ask.connection, ask.code, ask.reason)
	case ask.channel != "":
		done, err = c.Server.DisconnectChannel(ctx, ask.hub, ask.channel, ask.code, ask.reason)
	default:
		done, err = c.Server.DisconnectSessions(ctx, ask.hub, webrocket.Sessions{User: ask.user, Client: ask.client}, ask.code, ask.reason)
	}
	if err != nil {
		return nil, err
	}
	c.Log.Info("connections were closed through the admin API", "connections", done.Count, "connection", ask.connection,
		"hub", ask.hub, "channel", ask.channel, "user", ask.user, "client", ask.client, "code", ask.code, "nodes", done.Nodes)
	return disconnectAnswer{done.Count, reachOf(done)}, nil
}

type revokeRequest struct {
	user, jti string
	before    int
}

func (d *revokeRequest) fields() fields {
	return fields{
		{"user", &d.user, optional},
		{"jti", &d.jti, optional},
		{"before", &d.before, optional},
	}
}

type revokeAnswer struct {
	Revoked bool `json:"revoked"`
	reach
}

// revoke takes back the tokens of a user, or one token.
func (c *console) revoke(r *http.Request) (any, error) {
	var ask revokeRequest
	if err := decode(r, ask.fields()); err != nil {
		return nil, err
	}
	switch {
	case (ask.user == "") == (ask.jti == ""):
		return nil, badRequest("want either user or jti")
	case ask.before < 0 || ask.before > 0 && ask.jti != "":
		return nil, badRequest("before: want seconds since 1970, and only with user")
	case int64(ask.before) > time.Now().Add(time.Minute).Unix():
		return nil, badRequest("before: want seconds since 1970, and no time in the future")
	}
	var done webrocket.Done
	var err error
	if ask.jti != "" {
		done, err = c.Server.RevokeToken(r.Context(), ask.jti)
	} else {
		var before time.Time
		if ask.before > 0 {
			before = time.Unix(int64(ask.before), 0)
		}
		done, err = c.Server.RevokeUser(r.Context(), ask.user, before)
	}
	if err != nil {
		return nil, err
	}
	c.Log.Info("tokens were revoked through the admin API", "user", ask.user, "jti", ask.jti, "before", ask.before, "nodes", done.Nodes)
	return revokeAnswer{true, reachOf(done)}, nil
}

type sessionsRequest struct{ hub, user, client, channel string }

func (q *sessionsRequest) fields() fields {
	return fields{
		{"hub", &q.hub, required},
		{"user", &q.user, optional},
		{"client", &q.client, optional},
		{"channel", &q.channel, required},
	}
}

// read reads whose sessions are meant.
func (q *sessionsRequest) read(r *http.Request) (webrocket.Sessions, error) {
	if err := decode(r, q.fields()); err != nil {
		return webrocket.Sessions{}, err
	}
	if (q.user == "") == (q.client == "") {
		return webrocket.Sessions{}, badRequest("want either user or client")
	}
	return webrocket.Sessions{User: q.user, Client: q.client}, nil
}

type subscribeAnswer struct {
	Subscribed int `json:"subscribed"`
	Refused    int `json:"refused"`
	reach
}

// subscribe subscribes the open sessions of a user, or a client, to a channel.
func (c *console) subscribe(r *http.Request) (any, error) {
	var ask sessionsRequest
	who, err := ask.read(r)
	if err != nil {
		return nil, err
	}
	done, err := c.Server.SubscribeSessions(r.Context(), ask.hub, who, ask.channel)
	if err != nil {
		return nil, err
	}
	c.Log.Info("sessions were subscribed through the admin API", "hub", ask.hub, "user", ask.user,
		"client", ask.client, "channel", ask.channel, "subscribed", done.Count, "refused", done.Refused, "nodes", done.Nodes)
	return subscribeAnswer{done.Count, done.Refused, reachOf(done)}, nil
}

type unsubscribeAnswer struct {
	Unsubscribed int `json:"unsubscribed"`
	reach
}

// unsubscribe ends such subscriptions.
func (c *console) unsubscribe(r *http.Request) (any, error) {
	var ask sessionsRequest
	who, err := ask.read(r)
	if err != nil {
		return nil, err
	}
	done, err := c.Server.UnsubscribeSessions(r.Context(), ask.hub, who, ask.channel)
	if err != nil {
		return nil, err
	}
	c.Log.Info("sessions were unsubscribed through the admin API", "hub", ask.hub, "user", ask.user,
		"client", ask.client, "channel", ask.channel, "unsubscribed", done.Count, "nodes", done.Nodes)
	return unsubscribeAnswer{done.Count, reachOf(done)}, nil
}

type debugRequest struct {
	connection, hub, channel string
	every, seconds           int
}

func (d *debugRequest) fields() fields {
	return fields{
		{"connection", &d.connection, optional},
		{"hub", &d.hub, optional},
		{"channel", &d.channel, optional},
		{"every", &d.every, optional},
		{"seconds", &d.seconds, optional},
	}
}

type debugAnswer struct {
	Seconds int `json:"seconds"`
}

// debug logs a sample of what one connection does, or of what is done to one
// channel, for a while.
func (c *console) debug(r *http.Request) (any, error) {
	ask := debugRequest{seconds: 60}
	if err := decode(r, ask.fields()); err != nil {
		return nil, err
	}
	switch {
	case (ask.connection == "") == (ask.channel == ""):
		return nil, badRequest("want either connection, or hub and channel")
	case ask.seconds < 0 || ask.seconds > debugMax:
		return nil, badRequest("seconds: want 0 to %d, not %d", debugMax, ask.seconds)
	case ask.every < 0:
		return nil, badRequest("every: want 0 or more, not %d", ask.every)
	}
	err := c.Server.Watch(r.Context(), webrocket.Watch{
		Hub: ask.hub, Channel: ask.channel, Connection: ask.connection,
		Every: ask.every, For: time.Duration(ask.seconds) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	c.Log.Info("watching commands", "hub", ask.hub, "channel", ask.channel,
		"connection", ask.connection, "every", max(ask.every, 1), "seconds", ask.seconds)
	return debugAnswer{ask.seconds}, nil
}
