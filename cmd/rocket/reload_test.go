package main

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// rewrite replaces a file.
func rewrite(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReloadEndToEnd(t *testing.T) {
	file := writeFile(t, `{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": "old", "ReadWrite": "w"}}, {"Path": "/gone"}]}`)
	pid := filepath.Join(t.TempDir(), "rocket.pid")
	server, url := startServer(t, nil, file, "-pid-file", pid)
	reload := []string{"reload", file, "-pid-file", pid}
	a := start(t, []string{"ROCKET_SECRET=old"}, "subscribe", "-url", url, "c")
	a.stderr.want(`^subscribed`)
	b := start(t, nil, "subscribe", "-url", url+"/gone", "c")
	b.stderr.want(`^subscribed`)
	c := start(t, []string{"ROCKET_SECRET=w"}, "subscribe", "-url", url, "c") // reads with the read-write secret
	c.stderr.want(`^subscribed`)

	// A file that is wrong changes nothing.
	rewrite(t, file, `{"Port": "x", "Hubs": []}`)
	r := start(t, nil, reload...)
	r.wantStatus(1)
	r.stderr.want(`:1: Port: want a whole number`)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`not reloaded: the configuration is wrong.*Port: want a whole number`)
	publish := start(t, []string{"ROCKET_SECRET=w"}, "publish", "-url", url, "c", "1")
	publish.wantStatus(0)
	a.stdout.want(`"data":1`)
	c.stdout.want(`"data":1`)

	rewrite(t, file, `{"LogLevel": "debug", "Loops": 1, "Hubs": [
		{"Path": "/", "Secrets": {"ReadOnly": "new", "ReadWrite": "w"}}, {"Path": "/added"}]}`)
	r = start(t, nil, reload...)
	r.stdout.want(`^told process \d+ to reload`)
	r.wantStatus(0)
	server.stderr.want(`only a restart puts in force.*Loops`)
	server.stderr.want(`"reloaded","hubs":2`)
	a.stderr.want(`4401 the secret of this login is not valid any more`)
	a.wantStatus(statusClosed)
	b.stderr.want(`1001`)
	b.wantStatus(statusRefused) // it comes back, and there is no such hub
	start(t, []string{"ROCKET_SECRET=w"}, "publish", "-url", url, "c", "2").wantStatus(0)
	c.stdout.want(`"data":2`) // its secret is still there
	d := start(t, []string{"ROCKET_SECRET=new"}, "subscribe", "-url", url, "c")
	d.stderr.want(`^subscribed`)
	start(t, nil, "subscribe", "-url", url+"/added", "c").stderr.want(`^subscribed`)
	start(t, []string{"ROCKET_SECRET=old"}, "subscribe", "-url", url, "c").wantStatus(statusRefused)
	server.stderr.want(`"level":"DEBUG","msg":"a login was refused"`)

	server.signal(syscall.SIGINT)
	server.wantStatus(0)
	if _, err := os.Stat(pid); !os.IsNotExist(err) {
		t.Errorf("the pid file is left: %v", err)
	}
	r = start(t, nil, reload...)
	r.wantStatus(1)
	r.stderr.want(`is the server running`)
}

// A limit of memory that is gone from the configuration is gone from the server.
func TestReloadMemoryLimitEndToEnd(t *testing.T) {
	file := writeFile(t, `{"MemoryLimit": 1, "Hubs": [{"Path": "/"}]}`)
	server, url := startServer(t, nil, file)
	server.stderr.want(`memory is short`)
	start(t, nil, "publish", "-url", url, "c", "1").wantStatus(statusRefused)
	rewrite(t, file, `{"Hubs": [{"Path": "/"}]}`)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`memory is no longer short`)
	start(t, nil, "subscribe", "-url", url, "c").stderr.want(`^subscribed`)
	server.signal(syscall.SIGTERM)
}

// Each setting is obeyed when the configuration is read again, or the log says
// that it takes a restart. docs/configuration.md names the latter.
func TestNeedRestart(t *testing.T) {
	_, table, _ := strings.Cut(readDocs(t), "| what | what becomes of connections |")
	table, _, _ = strings.Cut(table, "\n\n")
	_, row, _ := strings.Cut(table, "\n| `Host`")
	documented := map[string]bool{"Host": true}
	for _, m := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(row, -1) {
		documented[m[1]] = true
	}
	others := map[string]string{ // values other than the default, where 7 is none
		"admin": "127.0.0.1:1", "admin-profiling": "on", "admin-token": "t", "host": "127.0.0.1", "log-level": "debug",
		"proxy-from": "10.0.0.0/8", "forwarded-from": "10.0.0.0/8", "slow-readers": "conflate", "io-uring": "off", "compression": "on", "patterns": "on", "origins": "https://example.com",
		"apps-prefix": "/7", "cluster-sync": "interval", "cluster-replicas": "5", "cluster-max-bytes": "2MiB",
		"cluster-listen": "127.0.0.1:1", "cluster-routes": "127.0.0.1:1", "nats-servers": "nats://localhost", "nats-credentials": "/dev/null",
		"cluster-tls-cert": "/dev/null", "cluster-tls-key": "/dev/null", "cluster-tls-ca": "/dev/null",
		"nats-tls-cert": "/dev/null", "nats-tls-key": "/dev/null", "nats-tls-ca": "/dev/null",
		"tls-cert": "/dev/null", "tls-key": "/dev/null", "tls-client-ca": "/dev/null",
	}
	before, err := sources{flags: nil}.load()
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range settings() {
		if st.key == "" {
			continue // of a hub
		}
		after := *before
		value := st.at(&after)
		text := cmp.Or(others[st.flag], "7")
		switch {
		case value.truth:
			text = "true"
		case st.meta == "TIME":
			text = "7s"
		}
		if found := value.fromText("test", text); found != nil {
			t.Fatalf("-%s %s: %v", st.flag, text, found)
		}
		names := before.needRestart(&after)
		object, _, _ := strings.Cut(st.key, ".")                                               // "all of Cluster"
		inDocs := documented[st.key] || documented[object] || strings.HasPrefix(st.key, "TLS") // "the settings of TLS"
		if got := slices.Contains(names, st.key); got != inDocs || len(names) > 1 {
			t.Errorf("%s: told of %q, and docs/configuration.md says a restart: %t", st.key, names, inDocs)
		}
	}
}

// The log names what takes a restart as long as the file has something else than
// what is in force, and not any more when it has that again.
func TestRestartIsNeededEndToEnd(t *testing.T) {
	const hubs = `"Hubs": [{"Path": "/"}]}`
	file := writeFile(t, `{"SendBuffer": 4096, `+hubs)
	server, _ := startServer(t, nil, file)
	warnings := 0
	for _, tt := range []struct {
		config string
		needed bool
	}{
		{`{"SendBuffer": 8192, `, true},
		{`{"SendBuffer": 8192, "LogLevel": "debug", `, true},
		{`{"SendBuffer": 4096, "LogLevel": "debug", `, false},
		{`{"SendBuffer": 4096, `, false},
	} {
		rewrite(t, file, tt.config+hubs)
		server.signal(syscall.SIGHUP)
		server.stderr.want(`"reloaded"`)
		before := warnings
		warnings = strings.Count(server.stderr.all(), `only a restart puts in force","setting":"SendBuffer"`)
		if got := warnings > before; got != tt.needed {
			t.Errorf("%s: the log says that a restart is needed: %t, want %t", tt.config, got, tt.needed)
		}
	}
}

// Other authorities in the file of TLSClientCA are not in force before a restart, and
// the log says so as long as they differ.
func TestOtherAuthoritiesEndToEnd(t *testing.T) {
	first, _ := issue(t, "first.example", -day, 90*day)
	second, _ := issue(t, "second.example", -day, 90*day)
	file := writeFile(t, string(first))
	server, _ := startSecure(t, "-tls-self-signed", "-tls-client-ca", file)
	warnings := 0
	for _, tt := range []struct {
		authorities string
		needed      bool
	}{
		{string(first), false},
		{string(first) + string(second), true},
		{string(second), true},
		{"# a comment\n" + string(first), false},
	} {
		rewrite(t, file, tt.authorities)
		server.signal(syscall.SIGHUP)
		server.stderr.want(`"reloaded"`)
		before := warnings
		warnings = strings.Count(server.stderr.all(), `only a restart puts in force","setting":"TLSClientCA"`)
		if got := warnings > before; got != tt.needed {
			t.Errorf("the log says that a restart is needed: %t, want %t, with\n%s", got, tt.needed, tt.authorities)
		}
	}
}

func TestPIDFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pid")
	remove, err := writePID(name)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := readPID(name); pid != os.Getpid() || err != nil {
		t.Errorf("got %d, %v", pid, err)
	}
	rewrite(t, name, "4711\n") // another process has taken over
	remove()
	if pid, err := readPID(name); pid != 4711 || err != nil {
		t.Errorf("after remove: got %d, %v, want the other's", pid, err)
	}
	for _, nonsense := range []string{"", "x", "1", "-5"} {
		rewrite(t, name, nonsense)
		if pid, err := readPID(name); err == nil {
			t.Errorf("%q: got %d", nonsense, pid)
		}
	}
	if _, err := writePID("/nowhere/pid"); err == nil || !strings.Contains(err.Error(), "/nowhere/pid") {
		t.Errorf("got %v", err)
	}
	if _, stderr, status := call("reload"); status != 2 || !strings.Contains(stderr, "-pid-file") {
		t.Errorf("without a pid file: got %d, %s", status, stderr)
	}
}

// The runtime has the limit that is in force: the one of a configuration that is
// obeyed, and otherwise the one that it had.
func TestReloadMemoryLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	const own = 1 << 42
	s := newService(t, io.Discard)
	defer s.end(t.Context(), parting{window: -1, goodbye: s.goodbye})
	s.logs, s.memory = newLogs(io.Discard, "info"), own
	for _, tt := range []struct {
		name        string
		limit, want int64
		hubs        []hub
	}{
		{"a limit", 1 << 40, 1 << 40, s.started.hubs},
		{"another, with hubs that cannot be served", 1 << 41, 1 << 40, nil},
		{"none, with hubs that cannot be served", 0, 1 << 40, nil},
		{"another", 1 << 41, 1 << 41, s.started.hubs},
		{"none", 0, own, s.started.hubs},
	} {
		c := *s.started
		c.server.MemoryLimit, c.hubs = tt.limit, tt.hubs
		if err := s.apply(&c); (err != nil) != (tt.hubs == nil) {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if got := debug.SetMemoryLimit(-1); got != tt.want {
			t.Errorf("%s: the runtime has the limit %d, want %d", tt.name, got, tt.want)
		}
	}
}

// How long a drain takes is what the configuration said when it was last read.
func TestReloadDrainEndToEnd(t *testing.T) {
	file := writeFile(t, `{"Drain": "1h", "Hubs": [{"Path": "/"}]}`)
	server, _ := startServer(t, nil, file)
	rewrite(t, file, `{"Drain": "2s", "Hubs": [{"Path": "/"}]}`)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	server.signal(syscall.SIGTERM)
	server.stderr.want(`"shutting down","connections":0,"window":"2s"`)
	server.wantStatus(0)
}
