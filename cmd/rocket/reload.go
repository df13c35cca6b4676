package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// reload opens the logs again, reads the configuration and the certificate, and
// puts both in force or neither. The logs are opened again in either case: a
// program that has renamed them, such as logrotate, depends on it.
func (s *service) reload() {
	if err := s.logs.reopen(s.usedLogs()); err != nil {
		s.log.Error("a log cannot be opened again; its old file is kept", "error", err)
	}
	c, certs, wrong, refused := s.load()
	if wrong != nil {
		s.log.Error("not reloaded: the configuration is wrong; the old one stays", "error", wrong)
	}
	if refused != nil {
		s.log.Error("not reloaded: the new certificate is refused; the old one stays, and so does the old configuration", "error", refused)
	}
	if wrong != nil || refused != nil {
		return
	}
	defer func() { s.keys.keep(s.config.Load()) }() // whichever it is then
	if err := s.apply(c); err != nil {
		s.log.Error("not reloaded; the old configuration and certificate stay", "error", err)
		return
	}
	s.certs.replace(certs, s.log)
	names := s.started.needRestart(c)
	if s.certs.otherAuthorities(certs) {
		names = append(names, "TLSClientCA")
	}
	for _, name := range names {
		s.log.Warn("a setting has changed that only a restart puts in force", "setting", name)
	}
	s.config.Store(c)
	s.log.Info("reloaded", "hubs", len(c.hubs), "connections", s.server.Connections())
	s.warn()
}

// usedLogs returns the names of the logs that are in use.
func (s *service) usedLogs() []string {
	names := []string{s.started.log}
	for _, h := range s.config.Load().hubs {
		names = append(names, h.log)
	}
	return names
}

// load reads the configuration and the certificate. It returns what is wrong
// with the configuration and why the certificate is refused as two errors.
func (s *service) load() (c *config, certs *certificates, wrong, refused error) {
	c, err := s.sources.load()
	wrong, refused = c.splitPair(err)
	// Files that are not there are among the problems already.
	if refused == nil && (wrong == nil || c.hasPair() && checkReadable(c.clientCA) == nil) {
		certs, refused = c.certificates(s.log)
	}
	return c, certs, wrong, refused
}

// hasPair reports whether certificate and key are both named.
func (c *config) hasPair() bool { return c.certFile != "" && c.keyFile != "" }

// splitPair takes the files of certificate and key that cannot be read out of err.
func (c *config) splitPair(err error) (wrong, refused error) {
	var found problems
	if !c.hasPair() || !errors.As(err, &found) {
		return err, nil
	}
	var others, pair problems
	for _, p := range found {
		if p.where == c.origin["tls-cert"] || p.where == c.origin["tls-key"] {
			pair = append(pair, p)
		} else {
			others = append(others, p)
		}
	}
	return others.asError(), pair.asError()
}

// apply makes the server obey c.
func (s *service) apply(c *config) error {
	if err := s.keys.equip(c); err != nil {
		return err
	}
	handlers, change, err := c.handlers(s.logs, s.apps, s.server)
	if err != nil {
		return err
	}
	// The server looks at the runtime's limit, so that comes first. Nothing else is
	// left to fail after Reload.
	before := applyMemoryLimit(c.server.MemoryLimit, s.memory)
	if err := s.server.Reload(c.server, handlers); err != nil {
		debug.SetMemoryLimit(before)
		change.giveUp()
		return err
	}
	if err := change.install(); err != nil {
		return err
	}
	s.logs.setLevel(c.logLevel)
	return s.api.SetKeys(c.keys()) // which have been checked
}

// needRestart names the settings that differ in next and cannot be reloaded.
func (c *config) needRestart(next *config) []string {
	var names []string
	for _, st := range settings() {
		if st.when == restart && !reflect.DeepEqual(st.at(c).get(), st.at(next).get()) {
			names = append(names, st.key)
		}
	}
	return names
}

// writePID writes the number of this process to a file, if there is to be one.
// remove removes it, unless another process has taken over.
func writePID(name string) (remove func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	pid := strconv.Itoa(os.Getpid())
	if err := os.WriteFile(name, []byte(pid+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	return func() {
		if text, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(text)) == pid {
			_ = os.Remove(name)
		}
	}, nil
}

// readPID returns the number in a pid file.
func readPID(name string) (int, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("%s: %s; is the server running?", name, reason(err))
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s: it has no number of a process", name)
	}
	return pid, nil
}

// runReload is the command reload: it checks the configuration, and tells the
// server to read it.
func runReload(_ context.Context, p *program, args []string) error {
	fs := newFlags("reload")
	given := settingFlags(fs)
	file, err := parseServeArgs(fs, args)
	if err != nil {
		return err
	}
	c, err := sources{file: file, getenv: p.getenv, environ: p.environ, flags: given}.load()
	if err != nil {
		return err
	}
	certs, err := c.certificates(slog.Default())
	if err != nil {
		return err
	}
	for _, w := range certs.unusable(time.Now()) {
		fmt.Fprintf(p.stderr, "rocket: warning: %s\n", w)
	}
	if c.pidFile == "" {
		return usageError("want -pid-file FILE, or PidFile in the configuration, as the server has it")
	}
	pid, err := readPID(c.pidFile)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: there is no process %d; the server did not end in order", c.pidFile, pid)
	} else if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	fmt.Fprintf(p.stdout, "told process %d to reload; its log says what came of it\n", pid)
	return nil
}

// settingFlags defines a flag for each setting, and returns where they will be.
func settingFlags(fs *flag.FlagSet) map[string]string {
	given := map[string]string{}
	for _, st := range settings() {
		give := func(s string) error { given[st.flag] = s; return nil }
		if st.at(&config{}).truth {
			fs.BoolFunc(st.flag, "", give)
		} else {
			fs.Func(st.flag, "", give)
		}
	}
	return given
}

const reloadHelp = `
It checks the configuration, which is given as for the server, and sends SIGHUP
to the process in the pid file. The server then reads its own configuration again
and obeys all of it, or says in its log what is wrong and changes nothing.

  -pid-file FILE             file with the number of the server's process

The other flags are those of serve.

Example:
  rocket reload my.json -pid-file /run/rocket.pid
`
