package engine

import (
	"reflect"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/rate"
)

// caps are the limits that Reload may replace, and any goroutine may read.
type caps struct {
	connections     int
	http            int   // connections, beside those
	memory          int64 // bytes, 0 for any
	rate, perSource int   // of connecting
}

func capsOf(c Config, withHTTP bool) (*caps, error) {
	most := 0
	if withHTTP {
		var err error
		if most, err = httpLimit(c.MaxHTTPConnections); err != nil {
			return nil, err
		}
	}
	connections, err := connectionLimit(c.MaxConnections, c.Loops, most)
	if err != nil {
		return nil, err
	}
	return &caps{
		connections: connections,
		http:        most,
		memory:      memoryLimit(c),
		rate:        min(c.ConnectRate, rate.Max),
		perSource:   min(c.ConnectRatePerAddress, rate.Max),
	}, nil
}

// Reload replaces the endpoints, and of the Config the limits and times; the
// rest of it stays. A connection stays if there is an endpoint for its path
// with the same Protocol, and has its limits from then on; others are closed
// with 1001 (RFC 6455 §7.4.1). If it returns an error nothing has changed. Any
// goroutine but a loop's; after Start.
func (e *Engine) Reload(config Config, endpoints map[string]Endpoint) error {
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	config.Loops = len(e.loops)
	config = config.withDefaults()
	caps, err := capsOf(config, e.web != nil)
	if err != nil {
		return err
	}
	t, times := newTable(endpoints), ticksOf(config)
	e.caps.Store(caps)
	e.endpoints.Store(t)
	for _, l := range e.loops {
		l.Post(func() {
			l.retime(times)
			l.rehome(t)
		})
	}
	return nil
}

// rehome gives each connection its endpoint in the new table, or closes it.
func (l *Loop) rehome(t *table) {
	for _, c := range l.conns {
		if c == nil || c.endpoint == nil {
			continue
		}
		next := t.paths[c.endpoint.path]
		if next == nil || !same(next.Protocol, c.endpoint.Protocol) {
			c.Close(codec.StatusGoingAway, "what was here is not served any more")
			continue
		}
		c.endpoint = next
	}
}

// same reports whether two protocols are known to be one.
func same(a, b Protocol) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}
