package engine

import (
	"reflect"

	"github.com/nu7hatch/webrocket/codec"
)

// A table has the endpoints by path. It is not modified once it is in use.
type table map[string]*Endpoint

func newTable(endpoints map[string]Endpoint) *table {
	t := make(table, len(endpoints))
	for path, endpoint := range endpoints {
		endpoint.path = path
		t[path] = endpoint.withDefaults()
	}
	return &t
}

// caps are the settings that anybody may ask for and Reload may replace.
type caps struct {
	connections     int
	memory          int64 // bytes, 0 for any
	rate, perSource int   // of connecting
}

func capsOf(c Config) (*caps, error) {
	connections, err := connectionLimit(c.MaxConnections, c.Loops)
	if err != nil {
		return nil, err
	}
	return &caps{
		connections: connections,
		memory:      memoryLimit(c),
		rate:        min(c.ConnectRate, BucketMax),
		perSource:   min(c.ConnectRatePerAddress, BucketMax),
	}, nil
}

// Reload replaces the endpoints, and of the Config the limits and times; the
// rest of it stays. A connection stays if there is an endpoint for its path with
// the same Handler, and has its limits from then on; others are closed with 1001
// (RFC 6455 §7.4.1). If it returns an error nothing has changed. Any goroutine
// but a loop's; after Start.
func (e *Engine) Reload(config Config, endpoints map[string]Endpoint) error {
	e.life.Lock()
	defer e.life.Unlock()
	config.Loops = len(e.loops)
	config = config.withDefaults()
	caps, err := capsOf(config)
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

// rehome gives the connections the endpoints of a new table.
func (l *Loop) rehome(t *table) {
	for _, c := range l.conns {
		if c == nil || c.endpoint == nil {
			continue
		}
		next := (*t)[c.endpoint.path]
		if next == nil || !same(next.Handler, c.endpoint.Handler) {
			c.Close(codec.StatusGoingAway, "what was here is not served any more")
			continue
		}
		c.endpoint = next
	}
}

// same tells whether two handlers are one.
func same(a, b Handler) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// Each calls f for every open connection of the loop. Loop only.
func (l *Loop) Each(f func(*Conn)) {
	l.own("Loop.Each")
	for _, c := range l.conns {
		if c != nil && c.state == open {
			f(c)
		}
	}
}
