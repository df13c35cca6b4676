package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a process that we started to measure it.
type server struct {
	cmd    *exec.Cmd
	args   []string
	addr   string
	pair   keyPair // if it speaks TLS
	dir    string
	exited chan struct{}
	err    error // why it ended; read after exited is closed
	log    tail
}

// tail keeps the end of what a process says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}

var errNoServer = errors.New("no server")

// findServer returns the program to start: the one asked for, or the one of this dialect beside our own, or in PATH.
func findServer(opts *Options, d Dialect) (string, error) {
	if opts.Server != "" {
		return opts.Server, nil
	}
	return findProgram(cmp.Or(map[string]string{"nats": "nats-server", "nchan": "nginx", "pusher": "rocket"}[d.Name()], d.Name()))
}

// findProgram returns the program of this name beside our own, or in PATH.
func findProgram(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && !info.IsDir() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: there is no %s beside rocket-bench or in PATH; name one with -server or -target", errNoServer, name)
	}
	return path, nil
}

// startServer starts a server for this dialect on a free port, pinned to the server's CPUs, and waits until it listens.
func startServer(ctx context.Context, opts *Options, d Dialect) (*server, error) {
	binary, err := findServer(opts, d)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := newDir()
	if err != nil {
		return nil, err
	}
	args, pair, err := commandLine(opts, d, binary, dir, port)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	s := &server{args: args, pair: pair, dir: dir, addr: fmt.Sprintf("127.0.0.1:%d", port)}
	if err := s.start(ctx, opts.ServerCPUs); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts the program, pinned to CPUs if some are named, and waits until it listens. If it fails, nothing of the
// server is left.
func (s *server) start(ctx context.Context, cpus []int) error {
	s.exited = make(chan struct{})
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	// The server ends with us, and ^C on the terminal is for us alone.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := pinned(cpus, s.cmd.Start); err != nil {
		os.RemoveAll(s.dir)
		return fmt.Errorf("%w: %w", errNoServer, err)
	}
	allowFiles(s.cmd.Process.Pid)
	go func() {
		if s.err = s.cmd.Wait(); s.err == nil {
			s.err = errors.New("exit status 0")
		}
		close(s.exited)
	}()
	if err := s.listening(ctx); err != nil {
		s.stop()
		return err
	}
	return nil
}

// newDir makes a directory for a server, which is removed when that stops.
func newDir() (string, error) { return os.MkdirTemp("", "rocket-bench-") }

func commandLine(opts *Options, d Dialect, binary, dir string, port int) (args []string, pair keyPair, err error) {
	switch {
	case opts.between != "":
		args, err = d.(clusterDialect).ServeNode(binary, dir, port, opts.Loops, opts.History, opts.between)
	case len(opts.mesh) > 0:
		args, err = d.(meshDialect).ServeMesh(binary, dir, port, opts.Loops, opts.History, opts.mesh)
	case opts.api:
		args, err = d.(apiDialect).ServeAPI(binary, dir, port, opts.Loops, apiKey)
	case opts.History > 0:
		args, err = d.(historyDialect).ServeHistory(binary, dir, port, opts.Loops, opts.History)
	default:
		args, err = d.Serve(binary, dir, port, opts.Loops)
	}
	if err != nil {
		return nil, pair, err
	}
	if opts.TLS {
		if pair, err = newKeyPair(dir); err != nil {
			return nil, pair, err
		}
		args = append(args, d.(tlsDialect).ServeTLS(pair)...)
	}
	return append(args, strings.Fields(opts.ServerArgs)...), pair, nil
}

func freePort() (int, error) {
	ports, err := freePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// freePorts returns n ports that nothing listens on. They are below those that the kernel gives to clients, of which
// another could take one before its server starts.
func freePorts(n int) ([]int, error) {
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		port := 10_000 + rand.IntN(20_000)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		switch {
		case err == nil:
			defer l.Close() // all of them, so that no port is found twice
			ports = append(ports, port)
		case tries > 10*n+100:
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return ports, nil
}

func (s *server) listening(ctx context.Context) error {
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		if c, err := net.Dial("tcp4", s.addr); err == nil {
			c.Close()
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("%w: %s does not listen on %s: %s", errNoServer, s.args[0], s.addr, s.log.String())
		case <-s.exited:
			return fmt.Errorf("%w: %s ended at once (%w): %s", errNoServer, s.args[0], s.err, s.log.String())
		}
	}
}

// ended describes how the server ended, if it did.
func (s *server) ended() error {
	select {
	case <-s.exited:
		return fmt.Errorf("%w: it ended during the run (%w): %s", errClosed, s.err, s.log.String())
	default:
		return nil
	}
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it fails if it has ended
	patience := time.NewTimer(3 * time.Second)
	defer patience.Stop()
	select {
	case <-s.exited:
	case <-patience.C:
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	os.RemoveAll(s.dir)
}
