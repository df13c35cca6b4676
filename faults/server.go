package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a rocket that is tried.
type server struct {
	t     *trial
	addr  string // of its clients
	admin string // of its operator
	args  []string
	limit int      // open files; 0: as many as we may have
	on    *machine // nil: this one

	*process
}

// process is one life of a server.
type process struct {
	cmd    *exec.Cmd
	log    *logs
	ended  chan struct{}
	status int // after ended
}

// logs keeps what a process writes.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// contains reports whether the log has a text.
func (l *logs) contains(text string) bool { return strings.Contains(l.String(), text) }

// isCalm reports whether there are records in the log, and no warnings.
func (l *logs) isCalm() bool {
	log := l.String()
	return strings.Contains(log, `"level":"INFO"`) && !strings.Contains(log, `"level":"WARN"`) && !strings.Contains(log, `"level":"ERROR"`)
}

// startServer starts rocket with two loops and waits until it is ready. args are more of its arguments.
func (t *trial) startServer(ctx context.Context, args ...string) (*server, error) {
	return t.startLimited(ctx, 0, args...)
}

// startLimited starts rocket with a hard limit on its open files.
func (t *trial) startLimited(ctx context.Context, files int, args ...string) (*server, error) {
	s := &server{t: t, args: args, limit: files, addr: freeAddr(), admin: freeAddr()}
	return s, s.start(ctx)
}

// freeAddr is an address that nothing listens on. Its port is below those that the kernel gives to clients: a client
// that connects to a server which is down could otherwise be given the server's own port, and talk to itself.
func freeAddr() string {
	for {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+rand.IntN(20_000)))
		if l, err := net.Listen("tcp4", addr); err == nil {
			l.Close()
			return addr
		}
	}
}

// start gives the server a life, at the address that it has had before.
func (s *server) start(ctx context.Context) error {
	return s.startUntil(ctx, "rocket is ready", s.isReady)
}

// startUntil is start for a server that is not waited for until it is ready, but until ok says so.
func (s *server) startUntil(ctx context.Context, what string, ok func() bool) error {
	host, port, _ := net.SplitHostPort(s.addr)
	args := append([]string{s.t.binary}, s.args...)
	args = append(args, "-host", host, "-port", port, "-admin", s.admin, "-loops", "2")
	if s.limit > 0 {
		args = append([]string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, s.limit)}, args...)
	}
	p, err := s.on.launch(args)
	if err != nil {
		return err
	}
	s.process = p
	err = s.t.until(ctx, patience, what, func() bool { return ok() || p.hasEnded() })
	if err == nil && p.hasEnded() {
		err = errors.New("rocket ended at once")
	}
	if err != nil {
		s.stop()
		return fmt.Errorf("%w:\n%s", err, p.log)
	}
	return nil
}

// launch starts a process on a machine; nil is this one. It ends with us.
func (m *machine) launch(args []string) (*process, error) {
	if m != nil {
		args = append([]string{"ip", "netns", "exec", m.name}, args...)
	}
	p := &process{cmd: exec.Command(args[0], args[1:]...), log: &logs{}, ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "ROCKET_ADMIN_TOKEN="+adminToken)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // its status says it
		p.status = p.cmd.ProcessState.ExitCode()
		close(p.ended)
	}()
	return p, nil
}

// port is the port of its clients.
func (s *server) port() int {
	_, port, _ := net.SplitHostPort(s.addr)
	n, _ := strconv.Atoi(port) // freeAddr has made it
	return n
}

const adminToken = "a-token-for-tests"

// stop ends the server, however it is.
func (s *server) stop() {
	s.process.stop()
}

// stop ends the process, however it is. nil has ended.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it fails if it has ended
	<-p.ended
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// waitEnd returns the exit status.
func (p *process) waitEnd(ctx context.Context, limit time.Duration) (int, error) {
	select {
	case <-p.ended:
		return p.status, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(limit):
		return 0, fmt.Errorf("%w after %v: rocket ends", errTimeout, limit)
	}
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

func (p *process) pid() int { return p.cmd.Process.Pid }

// resident is the memory of the process that is in RAM, in bytes.
func (p *process) resident() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid()))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// files is how many files the process has open.
func (p *process) files() int {
	list, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.pid()), "fd"))
	if err != nil {
		return 0
	}
	return len(list)
}

// operator asks the admin port. It has patience: a server that is busy answers late.
var operator = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// get asks the admin port for a path.
func (s *server) get(path string) (*http.Response, error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	return operator.Do(r)
}

// isReady reports whether the server says that it accepts clients.
func (s *server) isReady() bool { return s.says("/readyz") == http.StatusOK }

// says is the status of a probe, 0 if there is no answer.
func (s *server) says(path string) int {
	resp, err := s.get(path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
