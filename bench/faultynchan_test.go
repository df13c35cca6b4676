package bench

import (
	"context"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// acceptNchan takes a connection as nchan does: the path says what it is for. A subscriber is one before it has the answer
// to its handshake.
func (s *faultyServer) acceptNchan(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	ws, err := websocket.Accept(w, r, nil)
	channel, subscribes := strings.CutPrefix(r.URL.Path, "/sub/")
	if err == nil && subscribes {
		s.subs[channel] = append(s.subs[channel], ws)
	}
	s.mu.Unlock()
	if err != nil {
		return
	}
	defer ws.CloseNow()
	channel, publishes := strings.CutPrefix(r.URL.Path, "/pub/")
	for {
		_, b, err := ws.Read(context.Background())
		if err != nil || !publishes {
			return
		}
		s.mu.Lock()
		s.deliver(channel, b)
		s.mu.Unlock()
		s.send(ws, []byte("queued messages: 1\r\nlast requested: 0 sec. ago\r\nactive subscribers: 10\r\nlast message id: 1796005158:0"))
	}
}
