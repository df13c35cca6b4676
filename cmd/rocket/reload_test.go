package main

import (
	"os"
	"path/filepath"
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
	c := start(t, []string{"ROCKET_SECRET=w"}, "subscribe", "-url", url, "c") // for reading: refused
	c.wantStatus(1)

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

	rewrite(t, file, `{"LogLevel": "debug", "Loops": 1, "Hubs": [
		{"Path": "/", "Secrets": {"ReadOnly": "new", "ReadWrite": "w"}}, {"Path": "/added"}]}`)
	r = start(t, nil, reload...)
	r.stdout.want(`^told process \d+ to reload`)
	r.wantStatus(0)
	server.stderr.want(`only a restart puts in force.*Loops`)
	server.stderr.want(`"reloaded","hubs":2`)
	a.stderr.want(`1008 the secret of this login is not valid any more`)
	a.wantStatus(1)
	b.stderr.want(`1001`)
	b.wantStatus(0)
	d := start(t, []string{"ROCKET_SECRET=new"}, "subscribe", "-url", url, "c")
	d.stderr.want(`^subscribed`)
	start(t, nil, "subscribe", "-url", url+"/added", "c").stderr.want(`^subscribed`)
	start(t, []string{"ROCKET_SECRET=old"}, "subscribe", "-url", url, "c").wantStatus(1)
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
