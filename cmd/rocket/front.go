package main

import (
	"net/http"
	"strings"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/httpapi"
)

// front answers the requests on the ports for clients that open no WebSocket
// connection: those below a prefix by its handler, others as a server without HTTP.
type front struct {
	server *webrocket.Server
	under  map[string]http.Handler // by the first segment of the path
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if h := f.under[first]; h != nil && strings.HasPrefix(r.URL.Path, "/"+first+"/") {
		h.ServeHTTP(w, r)
		return
	}
	f.server.RefuseHTTP(w, r)
}

// reserved are the first segments of paths that are for HTTP, so that no hub may have
// them.
var reserved = []string{"v1"}

// mount makes a server answer HTTP.
func (c *config) mount(s *webrocket.Server, apps *applications) (*httpapi.API, error) {
	api, err := httpapi.New(httpapi.Config{Server: s, Keys: c.keys(), Log: s.Log})
	if err != nil {
		return nil, err
	}
	s.HTTP = &front{s, map[string]http.Handler{"v1": api, "apps": &apps.table}}
	return api, nil
}
