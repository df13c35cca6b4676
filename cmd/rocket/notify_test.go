package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is what listens to a service, as systemd does.
type manager struct {
	t      *testing.T
	socket string
	conn   *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, socket: filepath.Join(t.TempDir(), "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	m.conn = conn
	return m
}

// want waits for a state that matches.
func (m *manager) want(expr string) {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 1000)
	n, err := m.conn.Read(b)
	if err != nil || !regexp.MustCompile("^(?:"+expr+")$").Match(b[:n]) {
		m.t.Fatalf("got %q, %v, want %s", b[:n], err, expr)
	}
}

// wantNothing looks whether there is another state. Who sends them has ended.
func (m *manager) wantNothing() {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	b := make([]byte, 1000)
	if n, err := m.conn.Read(b); err == nil {
		m.t.Errorf("got %q, want nothing", b[:n])
	}
}

func TestNotifyStates(t *testing.T) {
	m := newManager(t)
	n := newNotifier(env(map[string]string{"NOTIFY_SOCKET": m.socket}))
	n.reload(func() { m.want(`RELOADING=1\nMONOTONIC_USEC=\d+`) })
	m.want("READY=1")
	newNotifier(env(nil)).ready() // tells nobody
	newNotifier(env(map[string]string{"NOTIFY_SOCKET": "/nowhere"})).ready()
}

func TestWatchdogInterval(t *testing.T) {
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0},
		{"30000000", "", 15 * time.Second},
		{"30000000", "1", 0},
		{"30000000", strconv.Itoa(syscall.Getpid()), 15 * time.Second},
		{"soon", "", 0},
	} {
		n := newNotifier(env(map[string]string{"WATCHDOG_USEC": tt.usec, "WATCHDOG_PID": tt.pid}))
		if n.every != tt.want {
			t.Errorf("%q for %q: got %v, want %v", tt.usec, tt.pid, n.every, tt.want)
		}
	}
}

// A server that makes no progress gives no sign of life.
func TestWatchdogChecks(t *testing.T) {
	m := newManager(t)
	n := &notifier{socket: m.socket, every: time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	n.watch(ctx, func(context.Context) error {
		if calls++; calls == 3 {
			cancel()
		}
		if calls == 1 {
			return nil
		}
		return errors.New("stuck")
	})
	n.tell("the end")
	m.want("WATCHDOG=1")
	m.want("the end")
	(&notifier{every: time.Millisecond}).watch(t.Context(), nil) // nobody listens
}

// A server that ends at once, since nobody is connected, has told so before.
func TestStoppingIsToldBeforeTheEnd(t *testing.T) {
	m := newManager(t)
	for range 100 {
		n := &notifier{socket: m.socket}
		ctx, cancel := context.WithCancel(t.Context())
		stop := keepTelling(ctx, n, nil)
		cancel()
		stop()
		n.tell("the end")
		m.want("STOPPING=1")
		m.want("the end")
	}
	n := &notifier{socket: m.socket}
	keepTelling(t.Context(), n, nil)() // it ends by itself
	n.tell("the end")
	m.want("the end")
}

func TestNotifyEndToEnd(t *testing.T) {
	m := newManager(t)
	server, _ := startServer(t, []string{"NOTIFY_SOCKET=" + m.socket, "WATCHDOG_USEC=3600000000"})
	m.want("READY=1")
	m.want("WATCHDOG=1")
	server.signal(syscall.SIGHUP)
	m.want(`RELOADING=1\nMONOTONIC_USEC=\d+`)
	m.want("READY=1")
	server.signal(syscall.SIGTERM)
	m.want("STOPPING=1")
	server.wantStatus(0)
}

// A manager that has stopped reading keeps the server from nothing.
func TestNotifyDeafEndToEnd(t *testing.T) {
	m := newManager(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for err == nil {
		err = unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrUnix{Name: m.socket})
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	server, url := startServer(t, []string{"NOTIFY_SOCKET=" + m.socket, "WATCHDOG_USEC=1000"})
	reader := start(t, nil, "subscribe", "-url", url, "c")
	reader.stderr.want(`^subscribed`)
	server.signal(syscall.SIGTERM)
	reader.stderr.want(`1001`)
	server.wantStatus(0)
}

// What is read at a reload may keep it waiting. The server obeys other signals
// meanwhile, whatever else has come before them, and tells the manager nothing
// after it has told that it stops.
func TestEndWhileReloadingEndToEnd(t *testing.T) {
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR2, syscall.SIGINT} {
		m := newManager(t)
		file := writeFile(t, `{"Hubs": [{"Path": "/"}]}`)
		server, url := startServer(t, []string{"NOTIFY_SOCKET=" + m.socket}, file)
		m.want("READY=1")
		reader := start(t, nil, "subscribe", "-url", url, "c")
		reader.stderr.want(`^subscribed`)
		if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
			t.Fatal(err)
		}
		server.signal(syscall.SIGHUP)
		m.want(`RELOADING=1\nMONOTONIC_USEC=\d+`)
		server.signal(syscall.SIGHUP)
		server.signal(end)
		reader.stderr.want(`1001`)
		server.wantStatus(0)
		if end != syscall.SIGUSR2 {
			m.want("STOPPING=1")
		}
		m.wantNothing()
	}
}

// A SIGHUP that comes during a reload is obeyed after it.
func TestReloadWhileReloadingEndToEnd(t *testing.T) {
	m := newManager(t)
	file := writeFile(t, `{"Hubs": [{"Path": "/"}]}`)
	server, url := startServer(t, []string{"NOTIFY_SOCKET=" + m.socket}, file)
	m.want("READY=1")
	if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	server.signal(syscall.SIGHUP)
	m.want(`RELOADING=1\nMONOTONIC_USEC=\d+`)
	server.signal(syscall.SIGHUP)
	for _, hubs := range []string{`{"Path": "/a"}`, `{"Path": "/b"}, {"Path": "/c"}`} {
		rewrite(t, file, `{"Hubs": [`+hubs+`]}`) // waits until it is read
		m.want("READY=1")
		if hubs == `{"Path": "/a"}` {
			m.want(`RELOADING=1\nMONOTONIC_USEC=\d+`)
		}
	}
	start(t, nil, "subscribe", "-url", url+"/b", "c").stderr.want(`^subscribed`)
	start(t, nil, "subscribe", "-url", url+"/a", "c").wantStatus(statusRefused)
}
