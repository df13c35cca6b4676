package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"slices"
	"strings"
)

// httpPublisher publishes to one channel by HTTP (docs/http.md).
type httpPublisher struct {
	to     string // where to POST
	base   string // what the user has given
	key    string // "" where everybody may publish
	id     string // published once for it; "" for any number of times
	client *http.Client
}

// httpPublisher returns how to publish to the server at api, whose path may be that of a
// hub.
func (p *program) httpPublisher(api, key string, flags clientFlags, channel, event, id string) (*httpPublisher, error) {
	if !strings.Contains(api, "://") {
		api = "http://" + api
	}
	u, err := neturl.Parse(api)
	switch {
	case err != nil:
		return nil, usageError(fmt.Sprintf("-api %q: %v", api, innermost(err)))
	case !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Hostname() == "":
		return nil, usageError(fmt.Sprintf("-api %q: want http:// or https:// and a host, as in http://localhost:9772", api))
	}
	options, err := flags.options()
	if err != nil {
		return nil, err
	}
	query := neturl.Values{"event": {event}}
	if hub := u.Path; hub != "" && hub != "/" {
		query.Set("hub", hub)
	}
	return &httpPublisher{
		to:     u.Scheme + "://" + u.Host + "/v1/publish/" + neturl.PathEscape(channel) + "?" + query.Encode(),
		base:   api,
		key:    cmp.Or(key, strings.TrimRight(p.getenv("ROCKET_KEY"), "\r\n")),
		id:     id,
		client: options.HTTPClient,
	}, nil
}

// httpAnswer is the server's answer to a publish.
type httpAnswer struct {
	OK        bool   `json:"ok"`
	Heard     bool   `json:"heard"`
	Duplicate bool   `json:"duplicate"`
	Err       string `json:"err"`
	Message   string `json:"message"`
}

// publish publishes an event.
func (h *httpPublisher) publish(ctx context.Context, data json.RawMessage) (httpAnswer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer within %s", dialTimeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.to, bytes.NewReader(data))
	if err != nil {
		return httpAnswer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if h.key != "" {
		request.Header.Set("Authorization", "Bearer "+h.key)
	}
	if h.id != "" {
		request.Header.Set("Idempotency-Key", h.id)
	}
	response, err := h.client.Do(request)
	if err != nil {
		return httpAnswer{}, dialError(h.base, nil, cmp.Or(context.Cause(ctx), err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return httpAnswer{}, dialError(h.base, nil, err)
	}
	var answer httpAnswer
	switch err := json.Unmarshal(text, &answer); {
	case err == nil && answer.OK:
		return answer, nil
	case err == nil && answer.Err != "":
		return answer, refused("%s refuses: %s: %s", h.base, answer.Err, answer.Message)
	}
	return answer, refused("%s refuses: %s: %.200s", h.base, response.Status, bytes.TrimSpace(text))
}
