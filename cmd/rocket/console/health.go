package console

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/engine"
)

// live reports whether every event loop makes progress. Restarting the process
// is the remedy where one does not.
func (c *console) live(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), c.timeout)
	defer cancel()
	// A server that has ended its loops is about to end the process.
	if err := c.Server.Check(ctx); errors.Is(err, engine.ErrBusy) {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// ready reports whether new connections are welcome.
func (c *console) ready(w http.ResponseWriter, _ *http.Request) {
	if !c.Server.Ready() {
		http.Error(w, "not ready: the server is starting or shutting down, is full or short of memory, or cannot accept connections", http.StatusServiceUnavailable)
		return
	}
	if c.Cluster != nil {
		if why := unready(c.Cluster()); why != "" {
			http.Error(w, "not ready: "+why, http.StatusServiceUnavailable)
			return
		}
	}
	for _, set := range c.keySets() {
		select {
		case <-set.Loaded():
		default:
			http.Error(w, "not ready: the keys for tokens have not been fetched yet", http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = io.WriteString(w, "ok\n")
}

// unready returns why a node of a cluster is not ready, "" if it is.
func unready(s cluster.Stats) string {
	switch {
	case !s.Connected:
		return "there is no connection to NATS, so clients would not hear what other nodes publish"
	case s.Denied != "":
		return "NATS does not permit what a node needs, so clients may not hear what other nodes publish, or these may not hear this one: " + s.Denied
	case s.CutOff:
		return "the logs with the histories of channels are not followed, so clients could not publish to these or recover"
	case s.Copying:
		return "what the nodes store is being copied to this one; until it is, no other one should be stopped"
	default:
		return ""
	}
}

// keySets returns the keys for tokens that are fetched.
func (c *console) keySets() []*auth.KeySet {
	if c.KeySets == nil {
		return nil
	}
	return c.KeySets()
}

// statusOf returns the HTTP status that says what went wrong.
func statusOf(err error) int {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f.status
	case errors.Is(err, webrocket.ErrNoHub), errors.Is(err, webrocket.ErrNoConnection),
		errors.Is(err, webrocket.ErrNoHistory), errors.Is(err, webrocket.ErrNoPresence), errors.Is(err, webrocket.ErrNoTokens):
		return http.StatusNotFound
	case errors.Is(err, webrocket.ErrNotRecovered):
		return http.StatusGone
	case errors.Is(err, webrocket.ErrBadCursor), errors.Is(err, auth.ErrBadRevocation),
		errors.Is(err, webrocket.ErrBadChannelName):
		return http.StatusBadRequest
	case errors.Is(err, engine.ErrBusy), errors.Is(err, engine.ErrStopped), errors.Is(err, auth.ErrTooManyRevocations),
		errors.Is(err, webrocket.ErrNoAnswer):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
