package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
)

// What a service manager does to restart a server that is alone on its port: it
// stops one process, and starts another when that has ended. The first one does not
// take the time that a drain has elsewhere, nor wait for a client that never answers
// its Close frame: nobody is served before it has ended.
func TestRestartAloneEndToEnd(t *testing.T) {
	server, url := startServer(t, nil, "-close-timeout", "1h", "-reuse-port")
	port := url[strings.LastIndex(url, ":")+1:]
	clients := make([]*websocket.Conn, 150)
	for i := range clients {
		ws, _, err := websocket.Dial(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ws.CloseNow() }()
		clients[i] = ws
	}
	dialDeaf(t, "localhost:"+port)
	server.signal(syscall.SIGTERM)
	server.stderr.want(`"shutting down","connections":151,"window":"500ms","goodbye":"507.55ms","shared":false`)
	for _, ws := range clients {
		if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("got %v, want a Close frame with 1001", err)
		}
	}
	server.stderr.want(`connections are still open after the drain`)
	server.wantStatus(0)

	next := start(t, nil, "-port", port, "-admin", "off")
	next.stdout.want(`^Ready`)
	for range clients {
		if err := visit(t.Context(), url); err != nil {
			t.Errorf("after the restart: %v", err)
		}
	}
}

// Where another process listens on the port the drain takes its time.
func TestRestartSharedEndToEnd(t *testing.T) {
	server, url := startServer(t, nil, "-reuse-port")
	port := url[strings.LastIndex(url, ":")+1:]
	for range 100 {
		ws, _, err := websocket.Dial(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _, _ = ws.Read(t.Context()) }() // answers the Close frame
	}
	next := start(t, nil, "-reuse-port", "-port", port, "-admin", "off")
	next.stdout.want(`^Ready`)
	server.signal(syscall.SIGTERM)
	server.stderr.want(`"shutting down","connections":100,"window":"1s","goodbye":"10s","shared":true`)
	server.wantStatus(0)
}

// SIGUSR2 is for an operator whose clients find others: a server that is alone takes
// all the time that a drain has.
func TestLeaveAloneEndToEnd(t *testing.T) {
	server, url := startServer(t, nil)
	for range 100 {
		ws, _, err := websocket.Dial(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _, _ = ws.Read(t.Context()) }() // answers the Close frame
	}
	server.signal(syscall.SIGUSR2)
	server.stderr.want(`"draining","connections":100,"window":"1s"`)
	server.wantStatus(0)
}
