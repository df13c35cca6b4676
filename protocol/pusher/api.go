package pusher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/measure"
)

// A refused is an error of the HTTP API with the status of its answer.
type refused struct {
	status int
	why    string
}

func (r *refused) Error() string { return r.why }

func badRequest(format string, args ...any) error {
	return &refused{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// A call is a request of the HTTP API whose signature is good.
type call struct {
	app   *App
	rules *settings
	body  []byte
	query func(name string) string
}

// serveAPI answers a request of the HTTP API. rest is the path below that of the
// application.
func (a *App) serveAPI(w http.ResponseWriter, r *http.Request, prefix, rest string) {
	answer, err := a.answer(w, r, prefix, rest)
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
		return
	}
	var no *refused
	if !errors.As(err, &no) {
		no = &refused{http.StatusInternalServerError, err.Error()}
	}
	switch no.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, no.why, no.status)
}

func (a *App) answer(w http.ResponseWriter, r *http.Request, prefix, rest string) ([]byte, error) {
	method, handle, args := route(rest)
	if handle == nil {
		return nil, &refused{http.StatusNotFound, "there is nothing at this path"}
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		return nil, &refused{http.StatusMethodNotAllowed, "the method here is " + method}
	}
	rules := a.settings.Load()
	// A text may have six bytes for each of its own, and there are names around it.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(rules.MaxBatch*(6*rules.MaxEventData+4096))))
	if err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			return nil, &refused{http.StatusRequestEntityTooLarge, "the body is too large"}
		}
		return nil, badRequest("the body cannot be read")
	}
	signed, now := signedRequest{method: r.Method, paths: pathsOf(r, prefix), query: r.URL.RawQuery, body: body}, time.Now()
	if err := signed.verify(rules.keys, now, rules.AuthWindow); err != nil {
		return nil, &refused{http.StatusUnauthorized, err.Error()}
	}
	if rules.RefuseRepeats && r.Method == http.MethodPost {
		if err := a.repeats.take(now, rules.AuthWindow, signed.at, signed.signature); err != nil {
			return nil, err
		}
	}
	if !a.withinRate(rules) {
		return nil, &refused{http.StatusTooManyRequests, fmt.Sprintf("more than %d requests in a second", rules.RequestRate)}
	}
	return handle(&call{a, rules, body, valuesOf(r.URL.RawQuery)}, args)
}

// pathsOf returns the paths that a client may have signed: with the prefix or without,
// and with or without the escapes.
func pathsOf(r *http.Request, prefix string) []string {
	var all []string
	for _, path := range []string{r.URL.EscapedPath(), r.URL.Path} {
		all = append(all, path, strings.TrimPrefix(path, prefix))
	}
	return all
}

// withinRate reports whether the application may have another request now.
func (a *App) withinRate(rules *settings) bool {
	if rules.RequestRate <= 0 {
		return true
	}
	a.requests.mu.Lock()
	defer a.requests.mu.Unlock()
	return a.requests.bucket.Take(measure.Now(), 1, rules.RequestRate)
}

// route finds what answers a path, which has its escapes, with the segments of it that are
// names.
func route(path string) (method string, handle func(c *call, args []string) ([]byte, error), args []string) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		var err error
		if parts[i], err = url.PathUnescape(part); err != nil || part == "" {
			return "", nil, nil
		}
	}
	switch {
	case path == "events":
		return http.MethodPost, postEvent, nil
	case path == "batch_events":
		return http.MethodPost, postBatch, nil
	case path == "channels":
		return http.MethodGet, getChannels, nil
	case path == "connections":
		return http.MethodGet, getConnections, nil
	case len(parts) == 2 && parts[0] == "channels":
		return http.MethodGet, getChannel, parts[1:]
	case len(parts) == 3 && parts[0] == "channels" && parts[2] == "users":
		return http.MethodGet, getUsers, parts[1:2]
	case len(parts) >= 3 && parts[0] == "users" && parts[len(parts)-1] == "terminate_connections":
		// Not all libraries escape the id of a user.
		return http.MethodPost, terminate, []string{strings.Join(parts[1:len(parts)-1], "/")}
	}
	return "", nil, nil
}

// An event of the API: what is to be published, and what the publisher wants to know.
type event struct {
	name     string
	data     []byte // as the hub has it
	channels []string
	socketID string
	info     []string
}

// parse reads an event. several says that it may go to several channels.
func (c *call) parse(o object, several bool) (e event, err error) {
	var ok bool
	if e.name, ok = o.string("name"); !ok || e.name == "" || !validText(e.name, c.rules.MaxEventName) {
		return event{}, badRequest("name must be a text of 1 to %d bytes without control characters", c.rules.MaxEventName)
	}
	if ownEvent(e.name) {
		return event{}, badRequest("name begins with pusher: or pusher_internal:, which is for what the server itself tells")
	}
	if err := c.parseData(o, &e); err != nil {
		return event{}, err
	}
	if err := c.parseChannels(o, several, &e); err != nil {
		return event{}, err
	}
	if o.get("socket_id") != nil && string(o.get("socket_id")) != "null" {
		if e.socketID, ok = o.string("socket_id"); !ok || !validSocketID(e.socketID) {
			return event{}, badRequest("socket_id is not that of a connection")
		}
	}
	if o.get("info") != nil && string(o.get("info")) != "null" {
		info, ok := o.string("info")
		if !ok {
			return event{}, badRequest("info is not a text")
		}
		e.info, err = parseInfo(info, "user_count", "subscription_count")
	}
	return e, err
}

func (c *call) parseData(o object, e *event) error {
	data := o.get("data")
	if data == nil || string(data) == "null" {
		return badRequest("data is missing; it is a text, which publishers encode as JSON first")
	}
	if size := dataSize(data); size > c.rules.MaxEventData {
		return &refused{http.StatusRequestEntityTooLarge, fmt.Sprintf("the data has %d bytes, more than %d", size, c.rules.MaxEventData)}
	}
	e.data = toHub(data)
	return nil
}

func (c *call) parseChannels(o object, several bool, e *event) error {
	if list := o.get("channels"); several && list != nil {
		if o.get("channel") != nil {
			return badRequest("there are channel and channels; want one of them")
		}
		var ok bool
		if e.channels, ok = textsOf(list); !ok {
			return badRequest("channels is not a list of names")
		}
	} else if name, ok := o.string("channel"); ok {
		e.channels = []string{name}
	}
	if n := len(e.channels); n == 0 || n > c.rules.MaxEventChannels {
		return badRequest("want 1 to %d channels", c.rules.MaxEventChannels)
	}
	for _, name := range e.channels {
		if !validChannel(name, c.rules.MaxChannelName) {
			return badRequest("%q cannot be the name of a channel: 1 to %d letters, digits and _-=@,.;", name, c.rules.MaxChannelName)
		}
	}
	slices.Sort(e.channels)
	e.channels = slices.Compact(e.channels) // none gets the event twice
	return nil
}

// validSocketID reports whether a text is a socket id: digits, a point, digits.
func validSocketID(text string) bool {
	first, second, ok := strings.Cut(text, ".")
	isNumber := func(s string) bool {
		return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
	}
	return ok && isNumber(first) && isNumber(second)
}

// parseInfo reads a list of attributes, each of which must be one of the known.
func parseInfo(text string, known ...string) (all []string, err error) {
	if text == "" {
		return nil, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(known, name) {
			return nil, badRequest("info has %q; here it may have %s", name, strings.Join(known, ", "))
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all, nil
}

// object reads the body.
func (c *call) object() (object, error) {
	if !utf8.Valid(c.body) {
		return nil, badRequest("the body is not UTF-8")
	}
	o, err := parseObject(nil, c.body)
	if err != nil {
		return nil, badRequest("the body is not a JSON object")
	}
	return o, nil
}

// postEvent is POST /apps/{id}/events.
func postEvent(c *call, _ []string) ([]byte, error) {
	o, err := c.object()
	if err != nil {
		return nil, err
	}
	e, err := c.parse(o, true)
	if err != nil {
		return nil, err
	}
	if err := c.app.publish(c.rules, e); err != nil {
		return nil, err
	}
	if e.info == nil {
		return []byte("{}"), nil
	}
	answer := []byte(`{"channels":{`)
	for i, name := range e.channels {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = append(appendString(answer, name), ':')
		answer = c.app.appendInfo(answer, c.rules, name, e.info)
	}
	return append(answer, "}}"...), nil
}

// postBatch is POST /apps/{id}/batch_events. All events are looked at before one is
// published.
func postBatch(c *call, _ []string) ([]byte, error) {
	o, err := c.object()
	if err != nil {
		return nil, err
	}
	list, err := objectsOf(o.get("batch"))
	if err != nil || len(list) == 0 || len(list) > c.rules.MaxBatch {
		return nil, badRequest("batch must be a list of 1 to %d events", c.rules.MaxBatch)
	}
	var events []event
	asked := false
	for i, o := range list {
		e, err := c.parse(o, false)
		if err != nil {
			var no *refused
			errors.As(err, &no)
			return nil, &refused{no.status, fmt.Sprintf("event %d: %s", i+1, no.why)}
		}
		asked = asked || e.info != nil
		events = append(events, e)
	}
	answer := []byte(`{"batch":[`)
	for i, e := range events {
		if err := c.app.publish(c.rules, e); err != nil {
			return nil, err
		}
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = c.app.appendInfo(answer, c.rules, e.channels[0], e.info)
	}
	if !asked {
		return []byte("{}"), nil
	}
	return append(answer, "]}"...), nil
}

// getChannels is GET /apps/{id}/channels.
func getChannels(c *call, _ []string) ([]byte, error) {
	prefix := c.query("filter_by_prefix")
	info, err := parseInfo(c.query("info"), "user_count", "subscription_count")
	if err != nil {
		return nil, err
	}
	if slices.Contains(info, "user_count") && !strings.HasPrefix(prefix, "presence-") {
		return nil, badRequest("user_count is for presence channels: filter_by_prefix must begin with presence-")
	}
	if slices.Contains(info, "subscription_count") && !c.rules.SubscriptionCounts {
		return nil, badRequest("the application does not count subscriptions")
	}
	names, ok := c.app.channels.names(prefix, c.rules.MaxListedChannels)
	if !ok {
		return nil, badRequest("there are more than %d such channels; ask for fewer by filter_by_prefix", c.rules.MaxListedChannels)
	}
	answer := []byte(`{"channels":{`)
	for i, name := range names {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = append(appendString(answer, name), ':')
		answer = c.app.appendInfo(answer, c.rules, name, info)
	}
	return append(answer, "}}"...), nil
}

// getChannel is GET /apps/{id}/channels/{name}.
func getChannel(c *call, args []string) ([]byte, error) {
	name := args[0]
	if !validChannel(name, c.rules.MaxChannelName) {
		return nil, badRequest("this cannot be the name of a channel")
	}
	kind := KindOf(name)
	known := []string{}
	switch {
	case kind.is(Presence):
		known = append(known, "user_count")
	case c.rules.SubscriptionCounts:
		known = append(known, "subscription_count")
	}
	if kind.is(Cached) {
		known = append(known, "cache")
	}
	info, err := parseInfo(c.query("info"), known...)
	if err != nil {
		return nil, err
	}
	subscribers, _ := c.app.channels.counts(name)
	answer := strconv.AppendBool([]byte(`{"occupied":`), subscribers > 0)
	if rest := c.app.appendInfo(nil, c.rules, name, info); len(rest) > len("{}") {
		return append(append(answer, ','), rest[1:]...), nil
	}
	return append(answer, '}'), nil
}

// appendInfo extends dst by an object with those of the attributes that a channel has.
func (a *App) appendInfo(dst []byte, rules *settings, name string, info []string) []byte {
	dst = append(dst, '{')
	if info == nil {
		return append(dst, '}')
	}
	kind := KindOf(name)
	subscribers, members := a.channels.counts(name)
	empty := true
	add := func(key string) {
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
		dst = append(appendString(dst, key), ':')
	}
	for _, attribute := range info {
		switch {
		case attribute == "user_count" && kind.is(Presence):
			add(attribute)
			dst = strconv.AppendInt(dst, int64(members), 10)
		case attribute == "subscription_count" && !kind.is(Presence) && rules.SubscriptionCounts:
			add(attribute)
			dst = strconv.AppendInt(dst, int64(subscribers), 10)
		case attribute == "cache" && kind.is(Cached):
			add(attribute)
			dst = a.cache.append(dst, time.Now(), name)
		}
	}
	return append(dst, '}')
}

// getUsers is GET /apps/{id}/channels/{name}/users.
func getUsers(c *call, args []string) ([]byte, error) {
	name := args[0]
	if !validChannel(name, c.rules.MaxChannelName) || !KindOf(name).is(Presence) {
		return nil, badRequest("users are those of a presence channel")
	}
	answer := []byte(`{"users":[`)
	for i, id := range c.app.channels.users(name) {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = append(appendString(append(answer, `{"id":`...), id), '}')
	}
	return append(answer, "]}"...), nil
}

// terminate is POST /apps/{id}/users/{user_id}/terminate_connections.
func terminate(c *call, args []string) ([]byte, error) {
	if !validUser(args[0], maxSignedIn) {
		return nil, badRequest("this cannot be the id of a user")
	}
	ctx, cancel := context.WithTimeout(context.Background(), terminateWait)
	defer cancel()
	if err := c.app.Terminate(ctx, args[0]); err != nil {
		return nil, &refused{http.StatusServiceUnavailable, "some connections may be open still: " + err.Error()}
	}
	return []byte("{}"), nil
}

// getConnections is GET /apps/{id}/connections.
func getConnections(c *call, _ []string) ([]byte, error) {
	return append(strconv.AppendInt([]byte(`{"connections":`), c.app.open.Load(), 10), '}'), nil
}
