package pusher

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nu7hatch/webrocket/hub"
)

// publish sends an event of the HTTP API to its channels. A channel without subscribers
// is no error. If it returns one, channels in the list before the one that failed have
// got the event.
func (a *App) publish(rules *settings, e event) error {
	var except *hub.Session
	elsewhere := ""
	if e.socketID != "" {
		if except = a.session(e.socketID); except == nil {
			elsewhere = e.socketID
		}
	}
	for _, channel := range e.channels {
		err := a.publishTo(rules, channel, &e, except, elsewhere)
		switch {
		case err == nil, errors.Is(err, hub.ErrInvalidChannel):
		case errors.Is(err, hub.ErrOverloaded), errors.Is(err, hub.ErrFull), errors.Is(err, hub.ErrUnavailable):
			return &refused{http.StatusServiceUnavailable, fmt.Sprintf("channel %s: %v", channel, err)}
		default:
			return err
		}
	}
	return nil
}

func (a *App) publishTo(rules *settings, channel string, e *event, except *hub.Session, elsewhere string) error {
	if KindOf(channel).is(Cached) {
		if a.hub.Waits([]byte(channel)) {
			a.cache.waiting.Lock() // so that the last one in the cache is the last one that is stored
			defer a.cache.waiting.Unlock()
			a.remember(rules, channel, e)
		} else {
			a.cache.mu.Lock()
			defer a.cache.mu.Unlock()
			a.cache.put(time.Now(), rules, channel, e.name, e.data)
		}
	}
	return a.hub.PublishExcept([]byte(channel), []byte(e.name), e.data, except, elsewhere)
}

// remember keeps the last event of a channel.
func (a *App) remember(rules *settings, channel string, e *event) {
	a.cache.mu.Lock()
	defer a.cache.mu.Unlock()
	a.cache.put(time.Now(), rules, channel, e.name, e.data)
}
