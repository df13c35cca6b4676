package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells the service manager how the server is doing (sd_notify(3)).
// Without a socket it does nothing.
type notifier struct {
	socket string
	every  time.Duration // how often it wants a sign of life; 0: not at all

	mu   sync.Mutex
	left bool // it has been told that the server stops; guarded by mu
}

// newNotifier reads what systemd has set.
func newNotifier(getenv func(string) string) *notifier {
	n := &notifier{socket: getenv("NOTIFY_SOCKET")}
	pid := getenv("WATCHDOG_PID")
	if pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n
	}
	if micros, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && micros > 0 {
		n.every = time.Duration(micros) * time.Microsecond / 2
	}
	return n
}

// tellTimeout is how long a service manager may be too busy to be told something.
const tellTimeout = time.Second

// tell sends a state. A state that cannot be sent is dropped: systemd has
// time-outs of its own.
func (n *notifier) tell(state string) {
	if n.socket == "" {
		return
	}
	conn, err := net.Dial("unixgram", n.socket)
	if err != nil {
		return
	}
	defer conn.Close()
	// States that are not read yet wait in the socket, which has room for a
	// few.
	_ = conn.SetWriteDeadline(time.Now().Add(tellTimeout))
	_, _ = conn.Write([]byte(state))
}

func (n *notifier) ready()    { n.change("READY=1", false) }
func (n *notifier) stopping() { n.change("STOPPING=1", true) }

// change tells what the server does now. That it stops is the last of it.
func (n *notifier) change(state string, last bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.left {
		n.left = last
		n.tell(state)
	}
}

// reload calls f between the two states that Type=notify-reload wants to see.
func (n *notifier) reload(f func()) {
	var now unix.Timespec
	// CLOCK_MONOTONIC is always there.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	n.change(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000), false)
	f()
	n.ready()
}

// watch gives signs of life until ctx is done, as long as check finds that the
// server makes progress.
func (n *notifier) watch(ctx context.Context, check func(context.Context) error) {
	if n.socket == "" || n.every == 0 {
		return
	}
	ticker := time.NewTicker(n.every)
	defer ticker.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, n.every)
		if check(bounded) == nil {
			n.tell("WATCHDOG=1")
		}
		cancel()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
