package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// waitFor returns when something has come true.
func waitFor(t *testing.T, what string, come func() bool) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; runtime.Gosched() {
		if come() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

// process is a running rocket.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	ended  chan struct{}
}

// start runs the built command. A server has a terminal as its standard output, where it
// says what it serves; its standard error is a pipe. Secrets and other settings come from vars only.
func start(t testing.TB, vars []string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(rocket, args...), vars)
}

func startCommand(t testing.TB, cmd *exec.Cmd, vars []string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	p.cmd.Env = append(vars, "HOME="+t.TempDir())
	started := func() {}
	if isServer(cmd) {
		screen, terminal := openTerminal(t)
		p.stdout = newOutput(t, func() (io.ReadCloser, error) { return screen, nil })
		p.cmd.Stdout = terminal
		started = func() { _ = terminal.Close() } // so that the screen has an end
	} else {
		p.stdout = newOutput(t, p.cmd.StdoutPipe)
	}
	p.stderr = newOutput(t, p.cmd.StderrPipe)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started()
	var reading sync.WaitGroup
	reading.Go(p.stdout.read)
	reading.Go(p.stderr.read)
	go func() {
		defer close(p.ended)
		reading.Wait() // Wait closes the pipes: all is to be read before
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// isServer reports whether a command line runs a server.
func isServer(cmd *exec.Cmd) bool {
	if cmd.Args[0] != rocket || len(cmd.Args) < 2 {
		return true // a shell that starts one
	}
	c, other := findCommand(commandOf(cmd.Args[1]))
	return !other || c.name == "serve"
}

// wantStatus waits for the end.
func (p *process) wantStatus(want int) {
	p.t.Helper()
	select {
	case <-p.ended:
		if got := p.cmd.ProcessState.ExitCode(); got != want {
			p.t.Errorf("%v: got %v, want status %d\n%s", p.cmd.Args[1:], p.cmd.ProcessState, want, p.stderr.all())
		}
	case <-time.After(patience):
		p.t.Fatalf("%v does not end\n%s%s", p.cmd.Args[1:], p.stdout.all(), p.stderr.all())
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// output collects the lines that a process writes.
type output struct {
	t     testing.TB
	pipe  io.Reader
	lines chan string

	mu   sync.Mutex
	text strings.Builder
}

func newOutput(t testing.TB, pipe func() (io.ReadCloser, error)) *output {
	t.Helper()
	r, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	return &output{t: t, pipe: r, lines: make(chan string, 1000)}
}

func (o *output) read() {
	defer close(o.lines)
	s := bufio.NewScanner(o.pipe)
	for s.Scan() {
		o.mu.Lock()
		o.text.WriteString(s.Text() + "\n")
		o.mu.Unlock()
		o.lines <- s.Text()
	}
}

func (o *output) all() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// want waits for a line that matches the expression, skips those before it, and
// returns the submatches.
func (o *output) want(expr string) []string {
	o.t.Helper()
	re := regexp.MustCompile(expr)
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-o.lines:
			if !ok {
				o.t.Fatalf("no line matches %s in\n%s", expr, o.all())
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m
			}
		case <-timeout:
			o.t.Fatalf("no line matches %s in\n%s", expr, o.all())
		}
	}
}

// startServer runs a server on a free port and returns the URL without a path.
func startServer(t *testing.T, vars []string, args ...string) (p *process, url string) {
	t.Helper()
	p = start(t, vars, append([]string{"-port", "0", "-admin", "127.0.0.1:0"}, args...)...)
	url = p.stdout.want(`(ws://localhost:\d+)/ `)[1]
	p.stdout.want(`^Ready`)
	return p, url
}

func TestExampleEndToEnd(t *testing.T) {
	server, url := startServer(t, nil, "../../example.json")
	server.stderr.want(`"level":"INFO","msg":"serving"`)
	reader := []string{"ROCKET_SECRET=change me"}
	writer := []string{"ROCKET_SECRET=change me too"}

	a := start(t, reader, "subscribe", "-once", "-url", url, "news", "weather")
	a.stderr.want(`^subscribed to news at ws://`)
	a.stderr.want(`^subscribed to weather at ws://`)
	// The channel is there before anybody subscribes to it, and pages come only
	// from where they may.
	start(t, writer, "publish", "-url", url+"/news", "headlines", "nobody hears it").wantStatus(0)
	for origin, want := range map[string]int{"https://example.com": 101, "https://example.org": 403} {
		ws, response, err := websocket.Dial(t.Context(), url+"/news", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		if response == nil || response.StatusCode != want {
			t.Errorf("a page of %s: got %v, want %d", origin, err, want)
		}
		if err == nil {
			_ = ws.CloseNow()
		}
	}
	b := start(t, nil, "subscribe", "-once", "-url", url+"/news", "-secret", "any", "headlines")
	b.stderr.want(`^subscribed to headlines`)

	for _, p := range []*process{
		start(t, writer, "publish", "-url", url, "news", `{"title": "hello"}`),
		start(t, writer, "publish", "-url", url+"/news", "-event", "flash", "headlines", "big <news>"),
	} {
		p.wantStatus(0)
	}
	a.stdout.want(`^\{"event":"message","channel":"news","data":\{"title":"hello"\}\}$`)
	b.stdout.want(`^\{"event":"flash","channel":"headlines","data":"big <news>"\}$`)

	for _, tt := range []struct {
		name, want string
		vars, args []string
	}{
		{"wrong secret", "refuses the secret for read-only", []string{"ROCKET_SECRET=wrong"}, []string{"subscribe", "-url", url, "news"}},
		{"no secret", "refuses the secret for read-write", nil, []string{"publish", "-url", url, "news", "1"}},
		{"no channel", `there is no channel "nobody"`, writer, []string{"publish", "-url", url, "nobody", "1"}},
		{"no name", "cannot be a channel", reader, []string{"subscribe", "-url", url, ""}},
		{"no event", "must not be empty", writer, []string{"publish", "-url", url, "-event", "", "news", "1"}},
		{"no hub", "404", writer, []string{"publish", "-url", url + "/nowhere", "news", "1"}},
		{"too large", "1009", writer, []string{"publish", "-url", url + "/news", "headlines", strings.Repeat("x", 5000)}},
	} {
		p := start(t, tt.vars, tt.args...)
		if tt.want == "1009" {
			p.wantStatus(statusClosed)
		} else {
			p.wantStatus(statusRefused)
		}
		if got := p.stderr.all(); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s want %s", tt.name, got, tt.want)
		}
	}

	server.signal(syscall.SIGTERM)
	a.stderr.want(`^rocket: the server closed the connection: 1001`)
	b.stderr.want(`^rocket: the server closed the connection: 1001`)
	a.wantStatus(statusClosed)
	b.wantStatus(statusClosed)
	server.wantStatus(0)
}

func TestRocketAloneEndToEnd(t *testing.T) {
	server, url := startServer(t, nil)
	for _, want := range []string{"Rocket 0.", "open to everyone", "To lock it", "loops ", "open files ", "connections "} {
		if !strings.Contains(server.stdout.all(), want) {
			t.Errorf("the start does not say %q:\n%s", want, server.stdout.all())
		}
	}
	reader := start(t, nil, "subscribe", "-url", url, "c")
	reader.stderr.want(`^subscribed`)

	writer := exec.Command(rocket, "publish", "-url", url, "c", "-")
	writer.Stdin = strings.NewReader("one\n2\n")
	if out, err := writer.CombinedOutput(); err != nil {
		t.Errorf("publish: %v %s", err, out)
	}
	reader.stdout.want(`"data":"one"`)
	reader.stdout.want(`"data":2`)

	reader.signal(syscall.SIGINT)
	reader.wantStatus(0)
	server.signal(syscall.SIGINT)
	server.wantStatus(0)
}

// Where the output is no terminal, as in a container, nothing mixes with the records of the log.
func TestNoBannerEndToEnd(t *testing.T) {
	var out bytes.Buffer
	cmd := exec.Command(rocket, "-port", "0", "-admin", "127.0.0.1:0", "-tls-self-signed")
	cmd.Stdout = &out
	stderr := newOutput(t, cmd.StderrPipe)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go stderr.read()
	stderr.want(`"msg":"serving",.*"address":"127\.0\.0\.1:\d+","admin":"http://127\.0\.0\.1:\d+","loops":\d+,"openFiles":\d+,"maxConnections":\d+`)
	stderr.want(`"msg":"self-signed certificate","sha256":"[0-9a-f]{64}"`)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for line := range stderr.lines { // until its end
		if !json.Valid([]byte(line)) {
			t.Errorf("got %s", line)
		}
	}
	if err := cmd.Wait(); err != nil || out.Len() > 0 {
		t.Errorf("got %v, and on standard output %s", err, out.String())
	}
}

// The start says how an open hub is locked, in a way that does it.
func TestHowToLockEndToEnd(t *testing.T) {
	for _, tt := range []struct{ hubs, want string }{
		{`{"Path": "/"}`, "To lock it, give it secrets in FILE:\n  \"Secrets\": {\"ReadOnly\": "},
		{`{"Path": "/", "Secrets": {"ReadOnly": "...", "ReadWrite": "..."}}`, ""},
		{`{"Path": "/", "Codec": "Echo"}`, ""},
		{`{"Path": "/"}, {"Path": "/b"}`, ""},
	} {
		file := writeFile(t, `{"Hubs": [`+tt.hubs+`]}`)
		server, _ := startServer(t, nil, file)
		want := strings.ReplaceAll(tt.want, "FILE", file)
		if got := server.stdout.all(); !strings.Contains(got, want) || strings.Contains(got, "To lock it") != (want != "") {
			t.Errorf("%s: got\n%s\nwant %q", tt.hubs, got, want)
		}
	}
}

func TestLockedByEnvironmentEndToEnd(t *testing.T) {
	log := filepath.Join(t.TempDir(), "rocket.log")
	server, url := startServer(t, []string{"ROCKET_READ_ONLY_SECRET=r", "ROCKET_READ_WRITE_SECRET=w", "ROCKET_LOG=" + log}, "-host", "localhost")
	if out := server.stdout.all(); !strings.Contains(out, " locked") || strings.Contains(out, "To lock it") {
		t.Errorf("got %s", out)
	}
	start(t, nil, "subscribe", "-url", url, "c").wantStatus(statusRefused)
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "shutting down") {
		t.Errorf("the log has %s, %v", text, err)
	}
	if text := server.stderr.all(); text != "" {
		t.Errorf("with a log file standard error has %s", text)
	}
}

// The server inside the test's process is under the race detector with it.
func TestServeInProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	screen, terminal := openTerminal(t)
	status := make(chan int, 1)
	go func() {
		p := &program{getenv: env(nil), root: files{}.fs(), stdout: terminal, stderr: io.Discard}
		status <- p.run(ctx, []string{"-port", "0", "-max-connections", "10", "-admin", "off"})
	}()
	stdout := newOutput(t, func() (io.ReadCloser, error) { return screen, nil })
	go stdout.read()
	url := stdout.want(`(ws://localhost:\d+/) `)[1]
	stdout.want(`^  connections +at most 10$`)
	stdout.want(`^Ready`)

	reader := start(t, nil, "subscribe", "-url", url, "c")
	reader.stderr.want(`^subscribed`)
	if _, stderr, status := call("publish", "-url", url, "c", "1"); status != 0 {
		t.Errorf("publish: status %d, %s", status, stderr)
	}
	reader.stdout.want(`"data":1`)
	cancel()
	reader.stderr.want(`1001`)
	if got := <-status; got != 0 {
		t.Errorf("got status %d", got)
	}
}

// dialDeaf connects a client that reads nothing once it is welcome.
func dialDeaf(t *testing.T, address string) net.Conn {
	t.Helper()
	deaf, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	if _, err := io.WriteString(deaf, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for end := ""; !strings.HasSuffix(end, "\r\n\r\n"); { // not a byte more
		b := make([]byte, 1)
		if _, err := deaf.Read(b); err != nil {
			t.Fatal(err)
		}
		end += string(b)
	}
	return deaf
}

// The second signal does not wait for clients that are slow to say goodbye.
func TestSecondSignalEndToEnd(t *testing.T) {
	server, url := startServer(t, []string{"ROCKET_CLOSE_TIMEOUT=1m"})
	dialDeaf(t, strings.TrimPrefix(url, "ws://"))
	server.signal(syscall.SIGTERM)
	server.stderr.want(`shutting down`)
	server.signal(syscall.SIGTERM)
	server.wantStatus(1)
}

func TestStartFailsEndToEnd(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "rocket.sock"), filepath.Join(dir, "file")
	rewrite(t, file, "mine")
	_, url := startServer(t, nil, "-reuse-port", "-unix", socket)
	port := url[strings.LastIndex(url, ":")+1:]
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"port taken", "address already in use; choose another port with -port or Port", []string{"-port", port}},
		{"port for TLS taken", "choose another port with -tls-port or TLSPort", []string{"-port", "0", "-tls-self-signed", "-tls-port", port}},
		{
			"socket's file taken", socket + ": bind: address already in use; another process listens there: choose another file with -unix or Unix",
			[]string{"-port", port, "-reuse-port", "-unix", socket},
		},
		{"no certificate", "failed to find any PEM data", []string{"-tls-cert", "/dev/null", "-tls-key", "/dev/null", "-port", "0"}},
	} {
		p := start(t, nil, tt.args...)
		p.wantStatus(1)
		if got := p.stderr.all(); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s want %s", tt.name, got, tt.want)
		}
	}
	// What rocket check finds is refused like any other value of a flag.
	p := start(t, nil, "-port", "0", "-unix", file)
	p.wantStatus(statusUsage)
	if got, want := p.stderr.all(), "-unix: cannot listen at "+file+": there is a file that is no socket: remove it"; !strings.Contains(got, want) {
		t.Errorf("no socket's file: got %s want %s", got, want)
	}
}

// A server in a pod beside the service "rocket" starts, and says what is odd in its environment.
func TestVariablesInTheLogEndToEnd(t *testing.T) {
	server := start(t, []string{"ROCKET_PORT=tcp://10.0.0.1:9772", "ROCKET_PORT_9772_TCP_PORT=9772", "ROCKET_READWRITE_SECRET=s"},
		writeFile(t, `{"Port": 0, "Admin": "off", "Hubs": [{"Path": "/"}]}`))
	server.stderr.want(`"msg":"serving"`)
	server.stderr.want(`"level":"WARN","msg":"ROCKET_READWRITE_SECRET: unknown variable; did you mean ROCKET_READ_WRITE_SECRET\?"`)
	server.stderr.want(`"level":"INFO","msg":"ROCKET_PORT=tcp://10.0.0.1:9772 comes from Kubernetes`)
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
	if all := server.stderr.all(); strings.Contains(all, "ROCKET_PORT_9772") {
		t.Errorf("got\n%s", all)
	}
}

func TestWarningsAreLoggedEndToEnd(t *testing.T) {
	server, _ := startServer(t, []string{"ROCKET_READ_ONLY_SECRET=r"})
	server.stderr.want(`"level":"WARN","msg":"the hub at / has a secret for reading but none for publishing`)
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
}
