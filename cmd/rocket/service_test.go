package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket/httpapi"
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

func TestDrainWindow(t *testing.T) {
	for _, tt := range []struct {
		name, given string
		connections int
		shared      bool
		want        time.Duration
	}{
		{"nobody", "", 0, true, 0},
		{"few", "", 99, true, 0},
		{"a hundred", "", 100, true, time.Second},
		{"some", "", 1999, true, 19 * time.Second},
		{"many", "", 1_000_000, true, 30 * time.Second},
		{"few, alone", "", 99, false, 0},
		{"some, alone", "", 1999, false, time.Second / 2},
		{"many, alone", "", 1_000_000, false, time.Second / 2},
		{"few, given", "5s", 2, true, 5 * time.Second},
		{"many, given", "5s", 1_000_000, true, 5 * time.Second},
		{"the default, given", "30s", 2, true, 30 * time.Second},
		{"given, alone", "30s", 2, false, 30 * time.Second},
		{"off", "off", 2, true, -1},
	} {
		if got := drainConfig(t, tt.given).window(tt.connections, tt.shared); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A server that is alone on its port is gone after about a second, whoever does not
// answer its Close frame.
func TestParting(t *testing.T) {
	const long = shutdownTimeout
	for _, tt := range []struct {
		name, given   string
		connections   int
		drain, shared bool
		want          parting
	}{
		{"alone", "", 2000, true, false, parting{time.Second / 2, time.Second * 6 / 10, false}},
		{"alone, many", "", 200_000, true, false, parting{time.Second / 2, long, false}},
		{"alone, interrupted", "", 1, false, false, parting{-1, time.Second/2 + time.Second/20_000, false}},
		{"alone, off", "off", 0, true, false, parting{-1, time.Second / 2, false}},
		{"alone, given", "30s", 2000, true, false, parting{30 * time.Second, long, false}},
		{"alone, given, interrupted", "30s", 0, false, false, parting{-1, time.Second / 2, false}},
		{"shared", "", 2000, true, true, parting{20 * time.Second, long, true}},
		{"shared, interrupted", "", 2000, false, true, parting{-1, long, true}},
	} {
		if got := drainConfig(t, tt.given).parting(tt.connections, tt.drain, tt.shared, shutdownTimeout); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// drainConfig returns a configuration with that Drain.
func drainConfig(t *testing.T, given string) *config {
	t.Helper()
	vars := map[string]string{}
	if given != "" {
		vars["ROCKET_DRAIN"] = given
	}
	c, err := sources{getenv: env(vars)}.load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// SIGTERM closes the connections one after the other, and ends with status 0.
func TestDrainEndToEnd(t *testing.T) {
	// Each loop begins a little before the next.
	server, url := startServer(t, nil, "-drain", "2s", "-loops", "1")
	var clients []*process
	for range 4 {
		c := start(t, nil, "subscribe", "-once", "-url", url, "c")
		c.stderr.want(`^subscribed`)
		clients = append(clients, c)
	}
	begin := time.Now()
	server.signal(syscall.SIGTERM)
	server.stderr.want(`"shutting down","connections":4,"window":"2s"`)
	for _, c := range clients {
		c.stderr.want(`1001`)
		c.wantStatus(statusClosed)
	}
	server.wantStatus(0)
	if took := time.Since(begin); took < time.Second {
		t.Errorf("all were closed within %v", took)
	}
}

// While it drains the server is well, but not ready.
func TestNotReadyWhileDrainingEndToEnd(t *testing.T) {
	server, url := startServer(t, nil, "-drain", "1h")
	c := start(t, nil, "subscribe", "-once", "-url", url, "c")
	c.stderr.want(`^subscribed`)
	if _, stderr, status := call("health", "-ready", "-admin", adminOf(server)); status != 0 {
		t.Errorf("before: %s", stderr)
	}
	server.signal(syscall.SIGTERM)
	server.stderr.want(`shutting down`)
	waitFor(t, "it is not ready", func() bool {
		_, _, status := call("health", "-ready", "-admin", adminOf(server))
		return status == 1
	})
	if _, stderr, status := call("health", "-admin", adminOf(server)); status != 0 {
		t.Errorf("it is not well: %s", stderr)
	}
	waitFor(t, "after the last call nobody is let in", func() bool {
		_, stderr, status := call("publish", "-url", url, "c", "1")
		return status == statusUnreachable && strings.Contains(stderr, "nothing listens")
	})
	server.signal(syscall.SIGTERM)
	server.wantStatus(1)
}

// newService starts a server whose clients have no time to say goodbye when it
// ends.
func newService(t *testing.T, log io.Writer) *service {
	t.Helper()
	c, err := sources{flags: map[string]string{"port": "0", "close-timeout": "1h"}}.load()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{log: slog.New(slog.NewTextHandler(log, nil)), started: c, api: new(httpapi.API), apps: new(applications), goodbye: 1}
	s.config.Store(c)
	if s.server, err = newServer(c, s.log, nil, new(keyRing), new(applications)); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Clients that do not say goodbye are cut off when the time for that is over.
func TestEndGivesUp(t *testing.T) {
	for _, window := range []time.Duration{-1, 0} { // SIGINT, SIGTERM
		var log strings.Builder
		s := newService(t, &log)
		dialDeaf(t, s.server.Addr().String())
		s.end(t.Context(), parting{window: window, goodbye: s.goodbye})
		if err := s.server.Wait(); err != nil || !strings.Contains(log.String(), "not every") {
			t.Errorf("window %v: got %v and the log %s", window, err, &log)
		}
	}
	if shutdownTimeout != 10*time.Second {
		t.Errorf("clients have %v, and docs/configuration.md says 10 s", shutdownTimeout)
	}
}

// After SIGUSR2 the server waits for them, however long that takes.
func TestLeaveWaits(t *testing.T) {
	var log strings.Builder
	s := newService(t, &log)
	deaf := dialDeaf(t, s.server.Addr().String())
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.leave(0)
	}()
	frame := make([]byte, 4)
	if _, err := io.ReadFull(deaf, frame); err != nil || string(frame[2:]) != "\x03\xe9" {
		t.Errorf("got %q, %v, want a Close frame with 1001", frame, err)
	}
	_ = deaf.Close()
	<-left
	if strings.Contains(log.String(), "not ever") {
		t.Errorf("got the log %s", &log)
	}
}

// A signal that comes with the end is not obeyed any more.
func TestNoReloadAfterTheEnd(t *testing.T) {
	over := make(chan struct{})
	close(over)
	for range 100 { // select takes either
		var log strings.Builder
		s := &service{
			log: slog.New(slog.NewJSONHandler(&log, nil)), manager: newNotifier(env(nil)),
			sources: sources{file: "/nowhere.json"}, reloads: make(chan os.Signal, 1),
		}
		s.reloads <- syscall.SIGHUP
		s.reloadUntil(over)
		if log.Len() > 0 {
			t.Fatalf("got the log %s", &log)
		}
	}
}

// The signals are explained in docs/configuration.md and in the manual alike.
func TestSignalsAreExplained(t *testing.T) {
	_, table, _ := strings.Cut(readDocs(t), "| signal | does |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	// Without emphasis, backticks and links.
	table = regexp.MustCompile("[*`]|\\[|\\]\\([^)]*\\)").ReplaceAllString(table, "")
	var want strings.Builder
	manual, _, _ := call("man")
	for _, s := range signalDocs() {
		fmt.Fprintf(&want, "| %s | %s |\n", s.name, s.does)
		if entry := "\n.B " + roff(capital(s.name)) + "\n" + roff(capital(s.does)) + ".\n"; !strings.Contains(manual, entry) {
			t.Errorf("the manual lacks %s", entry)
		}
	}
	if table+"\n" != want.String() {
		t.Errorf("docs/configuration.md has\n%s\nwant\n%s", table, &want)
	}
}

// Each signal that the program listens to is among them.
func TestEverySignalIsExplained(t *testing.T) {
	explained := ""
	for _, s := range signalDocs() {
		explained += " " + s.name + " "
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"os.Interrupt": "SIGINT"}
	heard := 0
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`signal\.Notify\([^,]+, (.*)\)\n`).FindAllStringSubmatch(string(code), -1) {
			for s := range strings.SplitSeq(m[1], ", ") {
				heard++
				if name := cmp.Or(names[s], strings.TrimPrefix(s, "syscall.")); !strings.Contains(explained, " "+name+" ") {
					t.Errorf("%s: %s is not explained", file, name)
				}
			}
		}
	}
	if heard < 4 {
		t.Errorf("%d signals are listened to", heard)
	}
}

// A server with few connections does not take the whole default time.
func TestDrainOfFewEndToEnd(t *testing.T) {
	server, url := startServer(t, nil)
	var clients []*process
	for range 2 {
		c := start(t, nil, "subscribe", "-once", "-url", url, "c")
		c.stderr.want(`^subscribed`)
		clients = append(clients, c)
	}
	begin := time.Now()
	server.signal(syscall.SIGTERM)
	server.stderr.want(`"shutting down","connections":2,"window":"0s"`)
	for _, c := range clients {
		c.stderr.want(`1001`)
		c.wantStatus(statusClosed)
	}
	server.wantStatus(0)
	// Far from the 30 s, and with room for a busy machine.
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

// An empty server waits for nobody, however long it may drain.
func TestDrainOfNobodyEndToEnd(t *testing.T) {
	server, _ := startServer(t, nil, "-drain", "1h")
	server.signal(syscall.SIGTERM)
	server.stderr.want(`"shutting down","connections":0,"window":"1h0m0s"`)
	server.wantStatus(0)
}

// SIGUSR2 takes as long as SIGTERM to send everybody away.
func TestLeaveEndToEnd(t *testing.T) {
	server, _ := startServer(t, nil, "-drain", "1h")
	server.signal(syscall.SIGUSR2)
	server.stderr.want(`"draining","connections":0,"window":"1h0m0s"`)
	server.wantStatus(0)
}

// SIGINT closes all connections at once, however long a drain would take.
func TestInterruptEndToEnd(t *testing.T) {
	server, url := startServer(t, nil, "-drain", "1h")
	c := start(t, nil, "subscribe", "-once", "-url", url, "c")
	c.stderr.want(`^subscribed`)
	server.signal(syscall.SIGINT)
	server.stderr.want(`"shutting down","connections":1,"window":"0s"`)
	c.stderr.want(`1001`)
	c.wantStatus(statusClosed)
	server.wantStatus(0)
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
					if err := visit(ctx, url); err != nil && ctx.Err() == nil {
						t.Errorf("%v: %v", signal, err)
						return
					}
				}
			})
		}
		next := start(t, nil, "-reuse-port", "-port", port, "-admin", adminOf(old))
		next.stdout.want(`^Ready`)
		old.signal(signal)
		old.wantStatus(0)
		for range 5 {
			if _, stderr, status := call("health", "-ready", "-admin", adminOf(next)); status != 0 {
				t.Errorf("%v: the admin port after the change: %s", signal, stderr)
			}
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

// The real thing under a limit of 512 open files, of which some are taken by
// others: a flood of twice as many connections does not stop it.
func TestFloodEndToEnd(t *testing.T) {
	var dials []net.Conn
	defer func() {
		for _, c := range dials {
			_ = c.Close()
		}
	}()
	server := startUnder(t, 512, 100, "-port", "0", "-admin", "off")
	url := server.stdout.want(`(ws://localhost:\d+)/ `)[1]
	server.stdout.want(`^Ready`)
	address := strings.TrimPrefix(url, "ws://")
	good := start(t, nil, "subscribe", "-url", url, "c")
	good.stderr.want(`^subscribed`)
	refused := 0
	for range 1024 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		dials = append(dials, conn)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		status, _ := bufio.NewReader(conn).ReadString('\n')
		if !strings.Contains(status, "101") {
			refused++
		}
	}
	if refused < 1024-512 || refused == 1024 {
		t.Errorf("%d of 1024 are refused", refused)
	}
	for _, c := range dials {
		_ = c.Close()
	}
	start(t, nil, "publish", "-url", url, "c", "1").wantStatus(0)
	good.stdout.want(`"data":1`)
	server.signal(syscall.SIGINT)
	server.wantStatus(0)
}

// More connections than the open-file limit allows are not promised in silence, at
// the start or by a reload.
func TestFewerConnectionsEndToEnd(t *testing.T) {
	const warning = `the open-file limit allows fewer connections than MaxConnections","openFiles":512`
	many, few := `{"MaxConnections": 10000, "Hubs": [{"Path": "/"}]}`, `{"MaxConnections": 10, "Hubs": [{"Path": "/"}]}`
	file := writeFile(t, many)
	server := startUnder(t, 512, 0, file, "-port", "0", "-admin", "off")
	server.stderr.want(warning)
	server.stdout.want(`^Ready`)
	for _, config := range []string{few, many} {
		rewrite(t, file, config)
		server.signal(syscall.SIGHUP)
		server.stderr.want(`"reloaded"`)
	}
	server.stderr.want(warning)
	if got := strings.Count(server.stderr.all(), warning); got != 2 {
		t.Errorf("the log warns %d times, want 2", got)
	}
}

// startUnder runs a server under a limit of open files, with files that it
// inherits.
func startUnder(t *testing.T, limit, inherited int, args ...string) *process {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	script := fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, limit)
	cmd := exec.Command("sh", append([]string{"-c", script, rocket}, args...)...)
	for range inherited {
		cmd.ExtraFiles = append(cmd.ExtraFiles, null)
	}
	return startCommand(t, cmd, nil)
}
