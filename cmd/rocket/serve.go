package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/build"
	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// runServe is the command serve, and what rocket does without a command.
func runServe(ctx context.Context, p *program, args []string) error {
	fs := newFlags("serve")
	version := fs.Bool("version", false, "")
	given := settingFlags(fs)
	file, err := parseServeArgs(fs, args)
	if err != nil {
		return err
	}
	if *version {
		return runVersion(ctx, p, nil)
	}
	src := sources{file: file, getenv: p.getenv, environ: p.environ, flags: given}
	c, err := src.load()
	if err != nil {
		return err
	}
	return p.serve(ctx, c, src)
}

// parseServeArgs returns the file among the flags, or "".
func parseServeArgs(fs *flag.FlagSet, args []string) (file string, err error) {
	files, err := parseFlags(fs, args)
	if err != nil || len(files) == 0 {
		return "", err
	}
	if _, err := os.Stat(files[0]); err != nil {
		if _, ok := findCommand(files[0]); ok {
			return "", usageError(fmt.Sprintf("%s: no such file; a command comes before its flags: rocket %s ...", files[0], files[0]))
		}
	}
	if len(files) > 1 {
		return "", usageError("want one file, not " + strings.Join(files, " "))
	}
	return files[0], nil
}

// serve runs a server until ctx is done or it fails. To reload it reads src again.
func (p *program) serve(ctx context.Context, c *config, src sources) error {
	// Go ends a process that writes to a standard error whose reader is gone. A
	// server goes on without its log; a client ends.
	signal.Ignore(syscall.SIGPIPE)
	logs := newLogs(p.stderr, c.logLevel)
	defer logs.close()
	s, err := p.newService(c, src, logs)
	if err != nil {
		return err
	}
	defer s.keys.close()
	defer s.member.leave(s.log)
	defer s.apps.close()
	defer s.obeySignals()()
	if err := s.server.Start(); err != nil {
		return c.startError(err)
	}
	s.addProcessor(p.getenv)
	console, err := startAdmin(c, s)
	if err != nil {
		return errors.Join(err, s.server.Shutdown(alreadyDone()))
	}
	defer console.close()
	removePID, err := writePID(c.pidFile)
	if err != nil {
		return errors.Join(err, s.server.Shutdown(alreadyDone()))
	}
	defer removePID()
	p.announce(s, console.address())
	s.manager.ready()
	defer keepTelling(ctx, s.manager, s.server)()
	return s.wait(ctx)
}

// newService returns a server that can be started, in a process that is ready for it.
func (p *program) newService(c *config, src sources, logs *logs) (*service, error) {
	log, err := logs.to(c.log)
	if err != nil {
		return nil, err
	}
	files, err := raiseOpenFiles()
	if err != nil {
		log.Warn(err.Error())
	}
	gcSettingsFor(p.getenv, readMachine(p.root)).apply(log)
	memory := debug.SetMemoryLimit(-1)
	applyMemoryLimit(c.server.MemoryLimit, memory)
	certs, err := c.certificates(log)
	if err != nil {
		return nil, err
	}
	keys := &keyRing{log: log}
	apps := &applications{table: pusher.Apps{Prefix: c.appsPrefix}}
	server, err := newServer(c, log, logs, keys, apps)
	if err != nil {
		keys.close()
		return nil, err
	}
	api, err := c.mount(server, apps)
	if err != nil {
		keys.close()
		return nil, err
	}
	member, err := c.join(log)
	if err != nil {
		keys.close()
		apps.close()
		return nil, err
	}
	if member != nil {
		server.Broker = member
	}
	keys.server.Store(server)
	c.listen(server, certs)
	s := &service{
		server: server, api: api, log: log, logs: logs, sources: src, started: c, certs: certs, keys: keys, member: member, apps: apps,
		manager: newNotifier(p.getenv), goodbye: shutdownTimeout, files: files, memory: memory,
	}
	s.config.Store(c)
	return s, nil
}

// announce says that the server has started: in the log, and on a terminal.
// Elsewhere, as in a container, the output is read by programs together with
// the log.
func (p *program) announce(s *service, admin string) {
	c := s.started
	s.log.Info("serving", "version", webrocket.Version, "commit", build.Commit(), "address", s.server.Addr().String(), "admin", admin,
		"loops", s.server.Loops(), "openFiles", s.files, "maxConnections", s.server.MaxConnections())
	s.certs.logFingerprint(s.log)
	s.warn()
	if !isTerminal(p.stdout) {
		return
	}
	printStart(p.stdout, c, s.server, s.files, admin)
	s.printHowToLock(p.stdout)
	s.certs.printFingerprint(p.stdout)
	fmt.Fprintln(p.stdout, "Ready. Ctrl-C stops it.")
}

// keepTelling tells the service manager that s is alive, and when it is to stop.
// What it returns ends that.
func keepTelling(ctx context.Context, manager *notifier, s *webrocket.Server) (stop func()) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var telling sync.WaitGroup
	telling.Go(func() { manager.watch(running, s.Check) })
	telling.Go(func() {
		select {
		case <-ctx.Done():
		case <-running.Done(): // after ctx, or because the server has ended by itself
		}
		if ctx.Err() != nil {
			manager.stopping()
		}
	})
	return func() {
		cancel()
		telling.Wait()
	}
}

// startError adds to an error of Start how the commonest one is mended.
func (c *config) startError(err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	mend := "choose another port with -port or Port"
	var listen *net.OpError
	if errors.As(err, &listen) {
		switch at := listen.Addr.(type) {
		case *net.UnixAddr:
			mend = inTheWay(at.Name) + " with -unix or Unix"
		case *net.TCPAddr:
			if at.Port == c.tlsPort {
				mend = "choose another port with -tls-port or TLSPort"
			}
		}
	}
	return fmt.Errorf("%w; %s", err, mend)
}

// inTheWay says why a socket's file cannot be made.
func inTheWay(name string) string {
	if info, err := os.Lstat(name); err == nil && info.Mode()&os.ModeSocket == 0 {
		return "there is a file that is no socket: remove it, or choose another"
	}
	return "another process listens there: choose another file"
}

// newServer returns the server of a configuration, with its hubs.
func newServer(c *config, log *slog.Logger, logs *logs, keys *keyRing, apps *applications) (*webrocket.Server, error) {
	if err := keys.equip(c); err != nil {
		return nil, err
	}
	s := webrocket.NewServer(c.address())
	s.Log = log
	s.Config = c.server
	handlers, change, err := c.handlers(logs, apps, nil)
	if err != nil {
		return nil, err
	}
	for path, handler := range handlers {
		if err := s.Handle(path, handler); err != nil {
			change.giveUp()
			return nil, err
		}
	}
	return s, change.install()
}

// handlers returns the handlers of all hubs and applications, by path, and what the
// applications will be. server is the one that runs, nil if there is none yet.
func (c *config) handlers(logs *logs, apps *applications, server *webrocket.Server) (map[string]webrocket.Handler, *change, error) {
	all := make(map[string]webrocket.Handler)
	for _, h := range c.hubs {
		own, err := h.handlers(logs)
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(all, own)
	}
	change, own, err := apps.prepare(c, all, server)
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(all, own)
	return all, change, nil
}

// printStart says what runs.
func printStart(w io.Writer, c *config, s *webrocket.Server, files uint64, admin string) {
	fmt.Fprintln(w, "Rocket", webrocket.Version)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, base := range c.baseURLs(s.Addrs()) {
		for _, h := range c.hubs {
			for _, path := range h.paths() {
				fmt.Fprintf(t, "  hub\t%s%s\t%s\t%s\n", base, path, h.codec, h.access())
			}
		}
		for _, a := range c.apps {
			fmt.Fprintf(t, "  app\t%s%s\tPusher\t%s\n", base, c.appsPrefix, a.ID)
		}
	}
	fmt.Fprintf(t, "  admin\t%s\n", admin)
	fmt.Fprintf(t, "  loops\t%d\n", s.Loops())
	fmt.Fprintf(t, "  open files\tat most %d\n", files)
	fmt.Fprintf(t, "  connections\tat most %d\n", s.MaxConnections())
	t.Flush()
}

// printHowToLock says how an only hub that is open to everyone is locked.
func (s *service) printHowToLock(w io.Writer) {
	if len(s.started.hubs) != 1 {
		return
	}
	only := s.started.hubs[0]
	if only.access() != open || only.codec == codecEcho {
		return
	}
	fmt.Fprint(w, "Everyone who can reach the hub may read and publish. To lock it, give it secrets")
	if s.sources.file == "" {
		fmt.Fprint(w, ":\n  ROCKET_READ_ONLY_SECRET=... ROCKET_READ_WRITE_SECRET=... rocket\n")
	} else {
		fmt.Fprintf(w, " in %s:\n  \"Secrets\": {\"ReadOnly\": \"...\", \"ReadWrite\": \"...\"}\n", s.sources.file)
	}
}

// baseURLs returns where clients find the server, at each of its ports.
func (c *config) baseURLs(addrs []net.Addr) []string {
	var urls []string
	for i, addr := range addrs {
		tcp, ok := addr.(*net.TCPAddr)
		if !ok {
			continue // a socket's file has no URL
		}
		scheme := "ws://"
		if c.secure() && (i > 0 || c.tlsPort == 0) {
			scheme = "wss://"
		}
		urls = append(urls, scheme+hostPort(c.host, tcp.Port))
	}
	return urls
}

// hostPort returns a host as configured with a port as bound.
func hostPort(host string, port int) string {
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		// Every address of the machine will do; this one works from here.
		host = "localhost"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
