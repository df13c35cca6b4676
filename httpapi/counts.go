package httpapi

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
)

// Requests counts the requests of one route with one status.
type Requests struct {
	Route  string // the path, without what stands for a channel; "none" for others
	Status int
	Count  uint64
}

// statusGone counts the requests whose clients had gone before the answer began. It is
// never sent; nginx logs these in the same way.
const statusGone = 499

// counts are the requests that have been answered. The zero value has none.
type counts struct {
	mu sync.Mutex
	m  map[Requests]uint64 // Count is 0 in the keys; guarded by mu
}

func (c *counts) add(route string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[Requests]uint64)
	}
	c.m[Requests{Route: route, Status: status}]++
}

// Requests returns how many requests have been answered, by route and status. A
// stream counts when it has ended. Any goroutine.
func (a *API) Requests() []Requests {
	a.counts.mu.Lock()
	defer a.counts.mu.Unlock()
	var all []Requests
	for r, n := range a.counts.m {
		r.Count = n
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Requests) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Status, b.Status))
	})
	return all
}

// countedWriter remembers the status of an answer.
type countedWriter struct {
	http.ResponseWriter
	status int
}

func (w *countedWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *countedWriter) Write(b []byte) (int, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
