package console

import (
	"net/http"
	"net/url"

	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// Apps is the answer of GET /api/apps.
type Apps struct {
	Apps []App `json:"apps"`
}

// App is what is known of one application for Pusher clients.
type App struct {
	App         string    `json:"app"`
	Hub         string    `json:"hub"`
	Connections int       `json:"connections"`
	Channels    int       `json:"channels"`
	CachedBytes int       `json:"cachedBytes"`
	Webhooks    []Webhook `json:"webhooks"`
}

// Webhook is what became of the events for one webhook.
type Webhook struct {
	Endpoint string `json:"endpoint"`
	Queued   int    `json:"queued"`
	Sent     uint64 `json:"sent"`
	Failures uint64 `json:"failures"` // requests that were not taken, and are sent again
	Lost     uint64 `json:"lost"`
}

func (c *console) apps(*http.Request) (any, error) {
	answer := Apps{[]App{}}
	for _, a := range c.appStats() {
		hooks := []Webhook{}
		for _, w := range a.Webhooks {
			hooks = append(hooks, Webhook{w.Endpoint, w.Queued, w.Delivered, w.Failures, w.Lost})
		}
		answer.Apps = append(answer.Apps, App{a.App, a.Hub, a.Connections, a.Channels, a.CachedBytes, hooks})
	}
	return answer, nil
}

// appStats returns what the applications hold, nil if there are none.
func (c *console) appStats() []pusher.AppStats {
	if c.Apps == nil {
		return nil
	}
	return c.Apps()
}

// perApp is a number of an application.
func perApp(get func(*pusher.AppStats) int) func(*reading, yield) {
	return func(r *reading, y yield) {
		for i := range r.apps {
			y(float64(get(&r.apps[i])), r.apps[i].App)
		}
	}
}

// perHost is a number of the webhooks of an application that are at one host. The rest of
// a URL may be secret, and the metrics want no token.
func perHost(get func(*pusher.HookStats) float64) func(*reading, yield) {
	return func(r *reading, y yield) {
		for _, a := range r.apps {
			sums := map[string]float64{}
			for i := range a.Webhooks {
				if u, err := url.Parse(a.Webhooks[i].Endpoint); err == nil {
					sums[u.Host] += get(&a.Webhooks[i])
				}
			}
			for host, n := range sums {
				y(n, a.App, host)
			}
		}
	}
}
