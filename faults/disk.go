package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// disk fills the disk that the log is written to.
func disk(ctx context.Context, t *trial) error {
	for _, part := range []func(context.Context, *trial) error{fullDisk, fullFromTheStart, logToNowhere} {
		if err := part(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// smallDisk mounts a file system of so many bytes and files, 0 for any number, in the case's own namespace.
func (t *trial) smallDisk(name string, size, files int) (dir string, end func(), err error) {
	dir = filepath.Join(t.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,nr_inodes=%d", size, files)); err != nil {
		return "", nil, fmt.Errorf("mount tmpfs: %w", err)
	}
	return dir, func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }, nil
}

// logged is a server that logs each login and each end of a connection.
type logged struct {
	t    *trial
	s    *server
	a    *audience
	end  func()
	file string // the log
	made int    // records of refused logins
}

// startLogged starts a server that writes to a log, and an audience.
func (t *trial) startLogged(ctx context.Context, file string, args ...string) (*logged, error) {
	l := &logged{t: t, file: file}
	args = append(args, "-log", file, "-log-level", "debug", "-read-only-secret", "r", "-read-write-secret", "w")
	var err error
	l.s, l.a, l.end, err = t.serve(ctx, gathering{channel: "c", members: scaled(t, 500, 200), secret: "r"},
		pace{secret: "w", rate: 50, size: 200}, args...)
	return l, err
}

// knock connects clients that are refused. Each makes two records in the log: its refused login, and its end.
func (l *logged) knock(ctx context.Context, times int) error {
	for range times {
		c, err := dialer{addr: l.s.addr}.open(ctx)
		if err != nil {
			return err
		}
		err = c.do(login("read-only", "not the secret"))
		c.abort()
		if err == nil {
			return fmt.Errorf("a login with a wrong secret was taken")
		}
		l.made++
	}
	return nil
}

const aRefusal = `"a login was refused"`

// records returns how many refused logins are in the log, and how many of its lines are not whole.
func (l *logged) records() (refusals, broken int, err error) {
	b, err := os.ReadFile(l.file)
	if err != nil {
		return 0, 0, err
	}
	refusals, broken = countRecords(string(b))
	return refusals, broken, nil
}

// countRecords counts the refused logins in a log, and lines that are no record.
func countRecords(log string) (refusals, broken int) {
	for line := range strings.Lines(log) {
		switch {
		case line == "\n": // in front of the first record of a file that was emptied behind half a one
		case !strings.HasSuffix(line, "\n"), !json.Valid([]byte(line)):
			broken++
		case strings.Contains(line, aRefusal):
			refusals++
		}
	}
	return refusals, broken
}

// checkServes looks at the probes, at newcomers, and at the audience.
func (l *logged) checkServes(ctx context.Context, when string) {
	live, ready, metrics := l.s.says("/livez"), l.s.says("/readyz"), l.s.says("/metrics")
	c, err := dialer{addr: l.s.addr}.join(ctx, "c", "r")
	if err == nil {
		c.abort()
	}
	l.t.check(err == nil && live == http.StatusOK && ready == http.StatusOK && metrics == http.StatusOK,
		when+": newcomers are served, and the admin port answers", "livez %d, readyz %d, metrics %d; a newcomer: %s", live, ready, metrics, said(err, "accepted"))
}

// checkUnharmed ends the load and looks at what the audience has heard.
func (l *logged) checkUnharmed(ctx context.Context, when string) {
	l.a.checkHeard(ctx, when+": clients")
}

// fullDisk fills the disk while the server runs, and makes room in two ways.
func fullDisk(ctx context.Context, t *trial) error {
	dir, unmount, err := t.smallDisk("disk", 64<<10, 0)
	if err != nil {
		return err
	}
	defer unmount()
	l, err := t.startLogged(ctx, filepath.Join(dir, "rocket.log"))
	if err != nil {
		return err
	}
	defer l.end()
	window := scaled(t, 3*time.Second, time.Second/2)
	calm := l.a.listenFor(ctx, window)
	if err := l.fill(ctx); err != nil {
		return err
	}
	with := l.a.listenFor(ctx, window)
	t.checkSpeed(unharmed(with, calm), "the disk is full: clients have "+unharmedText, "without: %v; with: %v", calm, with)
	l.checkServes(ctx, "the disk is full")
	if err := os.Truncate(l.file, 0); err != nil {
		return err
	}
	if err := l.checkGoesOn(ctx, "the log has been emptied"); err != nil {
		return err
	}
	if err := l.fill(ctx); err != nil {
		return err
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1048576"); err != nil {
		return fmt.Errorf("remount: %w", err)
	}
	if err := l.checkGoesOn(ctx, "the disk has become larger"); err != nil {
		return err
	}
	l.checkUnharmed(ctx, "the disk was full")
	return l.checkEnds(ctx, "the disk was full")
}

// fill makes so many records that most of them are not written any more.
func (l *logged) fill(ctx context.Context) error {
	l.made = 0
	if err := l.knock(ctx, 600); err != nil {
		return err
	}
	refusals, broken, err := l.records()
	if err != nil {
		return err
	}
	l.t.check(refusals > 0 && refusals < l.made && broken <= 1, "the disk is full: records are left out, and those that are there are whole but for the last",
		"%d of %d records of refused logins are in the log, %d lines are not whole", refusals, l.made, broken)
	return nil
}

// checkGoesOn makes records while there is room.
func (l *logged) checkGoesOn(ctx context.Context, when string) error {
	before, halves, err := l.records()
	if err != nil {
		return err
	}
	const times = 20
	if err := l.knock(ctx, times); err != nil {
		return err
	}
	refusals, broken, err := l.records()
	if err != nil {
		return err
	}
	l.t.check(refusals-before == times && broken == halves, when+": logging goes on, and every new line is whole",
		"%d of %d records are there, %d lines are not whole", refusals-before, times, broken-halves)
	return nil
}

// checkEnds ends the server in order.
func (l *logged) checkEnds(ctx context.Context, when string) error {
	if err := l.s.signal(syscall.SIGINT); err != nil {
		return err
	}
	status, err := l.s.waitEnd(ctx, patience)
	if err != nil {
		return err
	}
	l.t.check(status == 0, when+": it ends in order", "status %d", status)
	return nil
}

// fullFromTheStart starts a server while the disk is full already.
func fullFromTheStart(ctx context.Context, t *trial) error {
	dir, unmount, err := t.smallDisk("full", 64<<10, 0)
	if err != nil {
		return err
	}
	defer unmount()
	config := filepath.Join(dir, "rocket.json")
	if err := os.WriteFile(config, []byte(`{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": "r", "ReadWrite": "w"}}]}`), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 64<<10), 0o600); err == nil {
		return fmt.Errorf("the disk has more room than it should have")
	}
	pid := filepath.Join(dir, "pid")
	t.wantNoStart(ctx, "the pid file cannot be written", pid, config, "-pid-file", pid)
	noFiles, unmountFiles, err := t.smallDisk("no-files", 64<<10, 1)
	if err != nil {
		return err
	}
	defer unmountFiles()
	log := filepath.Join(noFiles, "rocket.log")
	t.wantNoStart(ctx, "the log cannot be created", log, config, "-log", log)
	s, err := t.startServer(ctx, config, "-log", filepath.Join(dir, "rocket.log"), "-log-level", "debug")
	if err != nil {
		return err
	}
	defer s.stop()
	c, err := dialer{addr: s.addr}.join(ctx, "c", "r")
	if err == nil {
		c.abort()
	}
	t.check(err == nil && s.isReady(), "the disk is full at the start: the server serves, without a log", "a client: %s", said(err, "accepted"))
	return nil
}

// wantNoStart runs a server that should end at once and name a file.
func (t *trial) wantNoStart(ctx context.Context, when, file string, args ...string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, port, _ := strings.Cut(freeAddr(), ":")
	cmd := exec.CommandContext(ctx, t.binary, append(args, "-port", port, "-admin", freeAddr())...)
	out, _ := cmd.CombinedOutput() // its status says it
	status, said := cmd.ProcessState.ExitCode(), string(out)
	plain := strings.Contains(said, file+": no space left on device") && !strings.Contains(said, "serving")
	t.check(status == 1 && plain, when+": the server does not start, and names the file",
		"status %d: %s", status, strings.TrimSpace(said))
}

// logToNowhere writes the log to a device that is always full.
func logToNowhere(ctx context.Context, t *trial) error {
	l, err := t.startLogged(ctx, "/dev/full")
	if err != nil {
		return err
	}
	defer l.end()
	if err := l.knock(ctx, 300); err != nil {
		return err
	}
	l.checkServes(ctx, "-log /dev/full")
	l.checkUnharmed(ctx, "-log /dev/full")
	return l.checkEnds(ctx, "-log /dev/full")
}
