package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// visit connects, is served, and leaves. To be sent away later is no error.
func visit(ctx context.Context, url string) error {
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"logout":true}`)); err != nil {
		return err
	}
	_, _, err = ws.Read(ctx)
	if websocket.CloseStatus(err) == websocket.StatusGoingAway {
		return nil
	}
	return err
}

// SIGTERM closes the connections one after the other, and ends with status 0.
func TestDrainEndToEnd(t *testing.T) {
	server, url := startServer(t, nil, "-drain", "2s")
	var clients []*process
	for range 4 {
		c := start(t, nil, "subscribe", "-url", url, "c")
		c.stderr.want(`^subscribed`)
		clients = append(clients, c)
	}
	begin := time.Now()
	server.signal(syscall.SIGTERM)
	server.stderr.want(`"shutting down","connections":4,"window":"2s"`)
	for _, c := range clients {
		c.stderr.want(`1001`)
		c.wantStatus(0)
	}
	server.wantStatus(0)
	if took := time.Since(begin); took < time.Second {
		t.Errorf("all were closed within %v", took)
	}
}

// A process that takes over the port of another, which is told to leave: no
// client is refused at any time.
func TestRollingRestartEndToEnd(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR2} {
		old, url := startServer(t, nil, "-reuse-port")
		port := url[strings.LastIndex(url, ":")+1:]
		ctx, stop := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for ctx.Err() == nil {
					if err := visit(ctx, url); err != nil && !errors.Is(err, context.Canceled) {
						t.Errorf("%v: %v", signal, err)
						return
					}
				}
			})
		}
		next := start(t, nil, "-reuse-port=true", "-port", port)
		next.stdout.want(`^Ready`)
		old.signal(signal)
		old.wantStatus(0)
		for range 5 {
			if err := visit(ctx, url); err != nil {
				t.Errorf("%v: after the change: %v", signal, err)
			}
		}
		stop()
		clients.Wait()
		next.signal(syscall.SIGINT)
		next.wantStatus(0)
	}
}
