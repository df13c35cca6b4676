package faults

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A receiver is the endpoint of a webhook.
type receiver struct {
	addr     string
	pause    time.Duration // before each answer
	fails    atomic.Bool   // it answers 500
	requests atomic.Int64  // that it took
	server   *http.Server

	mu    sync.Mutex
	order []string                 // channels of the events as they came, guarded by mu
	times map[string]time.Duration // when each came first, guarded by mu
}

func newReceiver() *receiver {
	return &receiver{addr: freeAddr(), times: make(map[string]time.Duration)}
}

// start begins to listen.
func (r *receiver) start() error {
	l, err := net.Listen("tcp4", r.addr)
	if err != nil {
		return err
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: patience}
	go func() { _ = r.server.Serve(l) }() // until stop
	return nil
}

func (r *receiver) stop() { _ = r.server.Close() }

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var body struct{ Events []struct{ Channel string } }
	err := json.NewDecoder(request.Body).Decode(&body)
	time.Sleep(r.pause)
	if err != nil || r.fails.Load() {
		http.Error(w, "broken", http.StatusInternalServerError)
		return
	}
	r.requests.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range body.Events {
		r.order = append(r.order, e.Channel)
		if _, again := r.times[e.Channel]; !again {
			r.times[e.Channel] = now()
		}
	}
}

// distinct returns how many events have come, each counted once.
func (r *receiver) distinct() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// again returns how many have come again.
func (r *receiver) again() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.order) - len(r.times)
}

// first returns when the event of a channel came.
func (r *receiver) first(channel string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[channel]
}

// inOrder reports whether the events of the channels c0 to those below n have come in this order, but for those that came again.
func (r *receiver) inOrder(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := 0
	for _, channel := range r.order {
		if next < n && channel == fmt.Sprintf("c%d", next) {
			next++
		}
	}
	return next == n
}
