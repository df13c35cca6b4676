package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// A server without an admin port is asked where its clients connect.
func TestHealthWithoutAdminEndToEnd(t *testing.T) {
	cert, key := writePair(t, t.TempDir())
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"PROXY header", []string{"-proxy-from", "127.0.0.0/8,::1"}},
		{"TLS with a PROXY header", []string{"-tls-cert", cert, "-tls-key", key, "-proxy-from", "127.0.0.0/8,::1"}},
		{"PROXY header of others", []string{"-proxy-from", "192.0.2.0/24"}},
		{"TLS", []string{"-tls-cert", cert, "-tls-key", key}},
		{"certificates of clients", []string{"-tls-cert", cert, "-tls-key", key, "-tls-client-ca", cert}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := freePort(t)
			server := start(t, nil, append(tt.args, "-port", port, "-admin", "off")...)
			server.stderr.want(`"msg":"serving"`)
			vars := []string{"ROCKET_ADMIN=off", "ROCKET_PORT=" + port}
			for i := 0; i < len(tt.args); i += 2 {
				vars = append(vars, "ROCKET_"+strings.ToUpper(strings.ReplaceAll(tt.args[i][1:], "-", "_"))+"="+tt.args[i+1])
			}
			file := writeFile(t, `{"Admin": "off", "Port": `+port+`, "Hubs": [{"Path": "/"}]}`)
			start(t, vars, "health").wantStatus(0)
			start(t, vars, "health", "-ready").wantStatus(0)
			start(t, vars, "health", "-ready", file).wantStatus(0)
			server.signal(syscall.SIGINT)
			server.wantStatus(0)
			down := start(t, vars, "health")
			down.wantStatus(1)
			down.stderr.want(`is the server running\?`)
		})
	}
}

// The flag counts more than the file.
func TestHealthAdminFlagBesideAFileEndToEnd(t *testing.T) {
	server, _ := startServer(t, nil)
	admin := server.stderr.want(`"admin":"http://([^"]+)"`)[1]
	file := writeFile(t, `{"Admin": "127.0.0.1:1", "Hubs": [{"Path": "/"}]}`)
	start(t, nil, "health", "-admin", admin, file).wantStatus(0)
	start(t, nil, "health", file).wantStatus(1)
}

// A path that is served by nobody, or a server that is full, is not ready.
func TestHealthOfAPortThatRefuses(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	port := other.URL[strings.LastIndex(other.URL, ":")+1:]
	vars := []string{"ROCKET_ADMIN=off", "ROCKET_PORT=" + port}
	start(t, vars, "health").wantStatus(0)
	p := start(t, vars, "health", "-ready")
	p.wantStatus(1)
	p.stderr.want("404 Not Found")
}

// Servers are asked where they are, whatever proxy the environment names.
func TestNoProxyEndToEnd(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	vars := []string{"HTTP_PROXY=" + proxy.URL, "HTTPS_PROXY=" + proxy.URL, "http_proxy=" + proxy.URL, "https_proxy=" + proxy.URL}
	for _, args := range [][]string{
		{"health", "-admin", "rocket.invalid:9773"},
		{"top", "-admin", "rocket.invalid:9773"},
		{"publish", "-url", "ws://rocket.invalid/", "c", "1"},
		{"publish", "-url", "wss://rocket.invalid/", "c", "1"},
	} {
		start(t, vars, args...).wantStatus(map[string]int{"health": 1, "top": 1, "publish": statusUnreachable}[args[0]])
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
}
