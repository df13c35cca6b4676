package main

import (
	"net/http"
	"strings"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/httpapi"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// front answers the requests on the ports for clients that open no WebSocket
// connection: those of the HTTP APIs, and others as a server without HTTP.
type front struct {
	server *webrocket.Server
	api    http.Handler
	apps   *pusher.Apps
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/"):
		f.api.ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, f.apps.APIPath()):
		f.apps.ServeHTTP(w, r)
	default:
		f.server.RefuseHTTP(w, r)
	}
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
	s.HTTP = &front{s, api, &apps.table}
	return api, nil
}
