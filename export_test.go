package webrocket

import (
	"context"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/protocol"
)

// EndpointAt returns what is served at a path.
func (s *Server) EndpointAt(path string) Endpoint {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.endpoints[path]
}

// Starting makes the server one that Start is at work on, until done is called.
func (s *Server) Starting() (done func()) {
	s.life.Lock()
	return s.life.Unlock
}

// Metered returns how many sessions have a meter.
func (s *Server) Metered(ctx context.Context) (n int, err error) {
	meters := make([]int, len(s.running().Loops()))
	err = s.running().Each(ctx, func(l *engine.Loop) { meters[l.Index()] = protocol.WorkerOf(l).Metered() })
	for _, m := range meters {
		n += m
	}
	return n, err
}
