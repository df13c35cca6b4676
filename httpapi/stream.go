package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

const (
	// beginMax is how many bytes of messages wait for the end of a stream's beginning.
	beginMax = 256 << 10

	// streamChannels is how many channels the query of a stream may name.
	streamChannels = 1000
)

// quiet is the silence after which a comment is sent: proxies cut a connection that is
// silent for 30 to 60 s.
var quiet = 25 * time.Second

// A stream is a connection for clients that WebSocket does not reach: what the server
// says comes as Server-Sent Events, what the client says with POST /v1/commands.
type stream struct {
	pipe   *pipe
	beat   bool
	forget func() // makes the session unknown

	// Of the goroutine of the request.
	out     []byte
	at      positions
	mark    string // what the ids of the stream's own commands begin with
	asked   []*own // whose replies have not come
	begun   bool   // the answer has begun
	ended   bool   // there is a Close frame
	refused error  // why the answer must not begin

	mu  sync.Mutex // held while commands are sent
	seq uint64     // of the last POST; guarded by mu
}

// own is a command that a stream sends by itself.
type own struct {
	channel string // "" for the login
	since   bool
	token   bool // there is a login that must succeed
}

// stream is GET /v1/stream.
func (a *API) stream(w http.ResponseWriter, r *http.Request, _ string) error {
	query, err := queryOf(r)
	if err != nil {
		return err
	}
	channels := query["channel"]
	if len(channels) > streamChannels {
		return invalid("channel: there are more than %d", streamChannels)
	}
	p, err := a.dial(r, a.hubOr(query.Get("hub")))
	if err != nil {
		return err
	}
	defer p.Close()
	if err := r.Context().Err(); err != nil {
		return err
	}
	s := &stream{pipe: p, beat: query.Get("beat") == "1", mark: rand.Text()}
	s.at = positions{names: channels, at: make(map[string]webrocket.Position)}
	defer context.AfterFunc(r.Context(), func() { _ = p.Close() })()
	if err := p.send(s.begin(r, query, channels)...); err != nil {
		return errStopping
	}
	id := rand.Text()
	s.forget = func() { a.unregister(id) }
	a.register(id, s)
	defer s.forget()
	return s.serve(w, id)
}

// begin returns the commands that a stream sends by itself: a login, and the
// subscriptions of its query.
func (s *stream) begin(r *http.Request, query url.Values, channels []string) (commands [][]byte) {
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = query.Get("since")
	}
	since := parseID(last)
	token := bearer(r)
	switch {
	case token != "":
		commands = append(commands, s.command(&own{token: true}, "auth", map[string]any{"token": token}))
	case len(channels) > 0:
		commands = append(commands, s.command(&own{}, "auth", map[string]any{"access": "read-only", "secret": ""}))
	}
	for i, channel := range channels {
		if slices.Index(channels, channel) < i {
			continue
		}
		subscribe := map[string]any{"channel": channel}
		position, ok := since[channel]
		if ok {
			subscribe["since"] = map[string]any{"epoch": position.Epoch, "offset": position.Offset}
		}
		commands = append(commands, s.command(&own{channel: channel, since: ok}, "subscribe", subscribe))
	}
	return commands
}

// command returns a command of the stream's own, whose reply is awaited.
func (s *stream) command(o *own, name string, what any) []byte {
	s.asked = append(s.asked, o)
	b, _ := json.Marshal(map[string]any{name: what, "id": s.mark}) // it cannot fail
	return b
}

// serve sends what comes, until one of the sides ends it.
func (s *stream) serve(w http.ResponseWriter, id string) error {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the client sends nothing more
	for {
		if !s.begun && (len(s.asked) == 0 || len(s.out) > beginMax) {
			s.open(w, id)
		}
		if s.begun && !s.flush(w, control) || s.ended {
			return nil
		}
		_ = s.pipe.SetReadDeadline(time.Now().Add(quiet))
		err := s.pipe.next(s.take)
		switch {
		case s.refused != nil:
			return s.refused
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.rest()
		case err != nil && !s.begun:
			return errStopping
		case err != nil:
			return nil //nolint:nilerr // the answer has begun, so there is nothing to say any more
		}
	}
}

// flush sends what there is, and reports whether the client is still there.
func (s *stream) flush(w http.ResponseWriter, control *http.ResponseController) bool {
	if len(s.out) == 0 {
		return true
	}
	_, err := w.Write(s.out)
	if s.out = s.out[:0]; cap(s.out) > readMin {
		s.out = nil
	}
	return err == nil && control.Flush() == nil
}

// open begins the answer.
func (s *stream) open(w http.ResponseWriter, id string) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back to its end
	w.WriteHeader(http.StatusOK)
	// EventSource connects again after just this time, so it must differ.
	first := fmt.Appendf(nil, "retry: %d\n", 1000+mathrand.IntN(4000))
	hello, _ := json.Marshal(map[string]any{"session": id}) // it cannot fail
	first = appendEvent(first, "", "open", hello)
	s.out, s.begun = append(first, s.out...), true
}

// rest says that there is nothing to say.
func (s *stream) rest() {
	switch {
	case !s.begun:
	case s.beat:
		s.out = append(s.out, "event: beat\ndata: {}\n\n"...)
	default:
		s.out = append(s.out, ":\n\n"...)
	}
}

// take takes a frame of the hub.
func (s *stream) take(op codec.Opcode, payload []byte) (more bool) {
	switch op {
	case codec.OpText:
		s.message(payload)
	case codec.OpPing:
		// The answer is for the hub alone. If the client does not read, this waits too.
		_, _ = s.pipe.Write(codec.AppendMaskedFrame(nil, codec.OpPong, payload, [4]byte{}))
	case codec.OpClose:
		s.close(payload)
	}
	return s.refused == nil && !s.ended
}

// close passes on that the hub ends the connection.
func (s *stream) close(payload []byte) {
	code, reason, _ := codec.ParseClose(payload)
	b, _ := json.Marshal(map[string]any{"code": code, "reason": reason}) // it cannot fail
	s.out = appendEvent(s.out, "", "close", b)
	s.ended = true
	s.forget()
	if !s.begun {
		s.refused = closedBy(code, reason)
	}
}

// closedBy is the answer where a connection is closed before it has begun.
func closedBy(code uint16, reason string) *problem {
	switch code {
	case codec.StatusGoingAway:
		return errStopping
	case codec.StatusTryAgainLater:
		return &problem{http.StatusServiceUnavailable, "overloaded", reason, 1}
	}
	return denied("closed with %d: %s", code, reason)
}

// message passes on a message of the hub.
func (s *stream) message(m []byte) {
	if len(s.asked) > 0 && bytes.Contains(m, []byte(s.mark)) {
		s.replied(m)
		return
	}
	id := ""
	if len(s.at.at) > 0 {
		id = s.moved(m)
	}
	s.out = appendEvent(s.out, id, "", m)
}

// moved notes how far the stream has come with a message, and returns its id.
func (s *stream) moved(m []byte) string {
	if !bytes.Contains(m, []byte(`,"offset":`)) {
		return ""
	}
	var e struct {
		Channel *string `json:"channel"`
		Offset  uint64  `json:"offset"`
	}
	if err := json.Unmarshal(m, &e); err != nil || e.Channel == nil {
		return ""
	}
	at, ok := s.at.at[*e.Channel]
	if !ok || e.Offset < at.Offset {
		return ""
	}
	at.Offset = e.Offset
	s.at.at[*e.Channel] = at
	return s.at.id(*e.Channel)
}

// replied takes the reply to a command of the stream's own. That to a subscription is
// an event of its own kind, which says whether something is missing.
func (s *stream) replied(m []byte) {
	o := s.asked[0]
	s.asked = s.asked[1:]
	var r struct {
		OK        bool   `json:"ok"`
		Err       string `json:"err,omitempty"`
		Reason    string `json:"reason,omitempty"`
		Channel   string `json:"channel"`
		Epoch     string `json:"epoch,omitempty"`
		Offset    uint64 `json:"offset,omitempty"`
		Top       uint64 `json:"top,omitempty"`
		Lost      uint64 `json:"lost,omitempty"`
		Recovered *bool  `json:"recovered,omitempty"`
	}
	if err := json.Unmarshal(m, &r); err != nil {
		r.Err = "internal_error"
	}
	switch {
	case r.Err != "" && o.channel == "" && !o.token:
		return // who may subscribe without a login does
	case r.Err != "" && !s.begun:
		s.refused = refusedCommand(o, r.Err, r.Reason)
		return
	case o.channel == "":
		return
	}
	if r.Epoch != "" {
		s.at.at[o.channel] = webrocket.Position{Epoch: r.Epoch, Offset: r.Offset}
	}
	r.Channel = o.channel
	b, _ := json.Marshal(r) // it cannot fail
	s.out = appendEvent(s.out, s.at.id(o.channel), "subscribed", b)
}

// refusedCommand is the answer where the login or a subscription of the query fails.
func refusedCommand(o *own, code, reason string) *problem {
	p := &problem{http.StatusBadRequest, code, reason, 0}
	switch code {
	case "invalid_credentials":
		p.status = http.StatusUnauthorized
	case "access_denied":
		p.status = http.StatusForbidden
	case "rate_limited":
		p.status, p.retry = http.StatusTooManyRequests, 1
	}
	switch {
	case p.message != "":
	case code == "limit_exceeded":
		p.message = fmt.Sprintf("the channel %.100q is one more than MaxSubscriptions, or than MaxChannels of the hub", o.channel)
	case o.channel == "":
		p.message = "the login failed"
	default:
		p.message = fmt.Sprintf("the channel %.100q cannot be subscribed to with this login", o.channel)
	}
	return p
}
