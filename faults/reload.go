package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// reloaded is a server whose configuration changes under load. Each good file is a version; the differences between two
// of them are all that a reload can change.
type reloaded struct {
	t       *trial
	s       *server
	file    string // the configuration
	pid     string
	pair    pair
	tlsAddr string

	version int // in force
	serial  int64
	staying []*client // at /keys, with the secret that stays; and one over TLS
	keys    []*client // at /keys, with the secret of the version
	extra   []*client // at the hub of the version

	lost  float64 // sessions that have been ended because their secret is gone
	gone  float64 // those because their hub is
	tries map[string]int
	wrong map[string][]string // by what must hold
	crowd int
}

// What must hold while the configuration changes.
const (
	goodInForce = "a good file is in force at once: secrets, limits, origins, hubs"
	badNothing  = "a bad one changes nothing and harms no client"
	badSays     = "the log says what is wrong with it, with file, line and key"
	asked       = "rocket reload tells the process to read a good file, and refuses a bad one itself"
	sentAway    = "clients whose secret is gone are closed with 4401, those whose hub is gone with 1001, and no others"
	certChanges = "newcomers over TLS get the new certificate, and the old one while the new one is broken"
)

// reload gives a server good and bad files in turn.
func reload(ctx context.Context, t *trial) error {
	r := &reloaded{
		t: t, file: filepath.Join(t.dir, "rocket.json"), pid: filepath.Join(t.dir, "pid"), pair: newPair(t.dir),
		tlsAddr: freeAddr(), version: 1, serial: 1, crowd: scaled(t, 50, 10),
		tries: map[string]int{}, wrong: map[string][]string{},
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	defer r.s.stop()
	defer r.abort()
	d := dialer{addr: r.s.addr}
	a, err := t.gather(ctx, gathering{channel: "c", members: scaled(t, 500, 200), dialer: d, secret: "r"})
	if err != nil {
		return err
	}
	defer a.end()
	if err := a.load.publish(ctx, pace{dialer: d, secret: "w", rate: 50, size: 200}); err != nil {
		return err
	}
	window := scaled(t, 3*time.Second, time.Second)
	rest(ctx, window/2)
	calm := a.listenFor(ctx, window)
	for i := range scaled(t, 24, 6) {
		if err := r.round(ctx, i); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
	}
	r.report(ctx, a, calm)
	return nil
}

// start starts the server with the first version, and connects the clients that are to stay.
func (r *reloaded) start(ctx context.Context) error {
	if err := r.pair.write(r.serial); err != nil {
		return err
	}
	if err := r.write(config(r.version)); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(r.tlsAddr)
	var err error
	r.s, err = r.t.startServer(ctx, r.file, "-pid-file", r.pid,
		"-tls-cert", r.pair.cert, "-tls-key", r.pair.key, "-tls-port", port)
	if err != nil {
		return err
	}
	for range r.crowd {
		c, err := pace{dialer: r.at("/keys"), secret: "w"}.open(ctx)
		if err != nil {
			return err
		}
		r.staying = append(r.staying, c)
	}
	c, err := dialer{addr: r.tlsAddr, secure: true}.open(ctx)
	if err != nil {
		return err
	}
	r.staying = append(r.staying, c)
	return c.do(login("read-write", "w"))
}

func (r *reloaded) write(text string) error { return os.WriteFile(r.file, []byte(text), 0o600) }

func (r *reloaded) at(path string) dialer { return dialer{addr: r.s.addr, path: path} }

// config is the configuration of a version. The lines that bad files change stand first.
func config(version int) string {
	return fmt.Sprintf(`{
  "MaxSubscriptions": %d,
  "Hubs": [
    {"Path": "/", "Secrets": {"ReadOnly": "r", "ReadWrite": "w"}},
    {"Path": "/keys", "Secrets": {"ReadOnly": "key %[2]d", "ReadWrite": "w"}},
    {"Path": "/news", "Origins": ["%[3]s"]},
    {"Path": "%[4]s"}
  ]
}
`, most(version), version, origin(version), extra(version))
}

// most, origin and extra are what a version allows and has: subscriptions, origin, hub.
func most(version int) int      { return 1 + version%3 }
func origin(version int) string { return fmt.Sprintf("https://v%d.example", version) }
func extra(version int) string  { return fmt.Sprintf("/extra-%d", version) }

// badFile is a way to break a good file.
type badFile struct {
	name   string
	broken func(good string) string // nil: there is no file
	says   string                   // after the file's name
}

var badFiles = []badFile{
	{"a missing file", nil, ": cannot read it"},
	{"an empty file", func(string) string { return "" }, ": the file is empty"},
	{"a truncated file", func(good string) string { return good[:strings.Index(good, "/news")] }, ":6:15: unexpected end"},
	{"a wrong type", replaced(`"MaxSubscriptions": `, `"MaxSubscriptions": "many`, ",\n", "\",\n"), ":2: MaxSubscriptions: want a whole number"},
	{"an unknown key", replaced("Subscriptions", "Subscripions"), ":2: MaxSubscripions: unknown key"},
	{"a hub twice", replaced(`"Path": "/news"`, `"Path": "/keys"`), ":6: Hubs[2]: the path /keys is taken by the hub on line 5"},
}

// replaced returns what replaces the first of each pair of texts by the second, once.
func replaced(pairs ...string) func(string) string {
	return func(s string) string {
		for i := 0; i < len(pairs); i += 2 {
			s = strings.Replace(s, pairs[i], pairs[i+1], 1)
		}
		return s
	}
}

// round tries a bad file, a good one and a certificate.
func (r *reloaded) round(ctx context.Context, i int) error {
	if err := r.fillHubs(ctx); err != nil {
		return err
	}
	if err := r.tryBad(ctx, badFiles[i%len(badFiles)], i%2 == 0); err != nil {
		return err
	}
	if err := r.tryGood(ctx, i%2 == 0); err != nil {
		return err
	}
	return r.tryPair(ctx, i)
}

// fillHubs connects the clients that the next version closes.
func (r *reloaded) fillHubs(ctx context.Context) error {
	for range r.crowd {
		key, err := r.at("/keys").join(ctx, "c", r.key(r.version))
		if err != nil {
			return err
		}
		r.keys = append(r.keys, key)
		extra, err := r.at(extra(r.version)).join(ctx, "c", "")
		if err != nil {
			return err
		}
		r.extra = append(r.extra, extra)
	}
	return nil
}

func (r *reloaded) key(version int) string { return fmt.Sprintf("key %d", version) }

// judge counts a try of what must hold, and keeps what was wrong.
func (r *reloaded) judge(must, what string, err error) {
	r.tries[must]++
	if err != nil {
		r.wrong[must] = append(r.wrong[must], fmt.Sprintf("%s: %v", what, err))
		r.t.notef("%s: %s: %v", must, what, err)
	}
}

// tryBad gives the server a bad file.
func (r *reloaded) tryBad(ctx context.Context, b badFile, ask bool) error {
	var err error
	if b.broken == nil {
		err = os.Remove(r.file)
	} else {
		err = r.write(b.broken(config(r.version + 1)))
	}
	if err != nil {
		return err
	}
	if ask {
		r.judge(asked, b.name, r.refuses(ctx, b))
	}
	log, err := r.hangUp(ctx, "not reloaded")
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	r.judge(badSays, b.name, wants(log, filepath.Base(r.file)+b.says))
	r.judge(badNothing, b.name, errors.Join(r.inForce(ctx), answers(r.staying), answers(r.keys), answers(r.extra)))
	return nil
}

// refuses runs rocket reload with a bad file.
func (r *reloaded) refuses(ctx context.Context, b badFile) error {
	out, status, err := r.ask(ctx)
	if err != nil {
		return err
	}
	if status != 1 {
		return fmt.Errorf("status %d: %s", status, out)
	}
	return wants(out, filepath.Base(r.file)+b.says)
}

// ask runs rocket reload.
func (r *reloaded) ask(ctx context.Context) (out string, status int, err error) {
	var b bytes.Buffer
	cmd := exec.CommandContext(ctx, r.t.binary, "reload", r.file, "-pid-file", r.pid)
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return b.String(), cmd.ProcessState.ExitCode(), err
}

func wants(text, want string) error {
	if strings.Contains(text, want) {
		return nil
	}
	return fmt.Errorf("%q lacks %q", text, want)
}

// hangUp sends SIGHUP and waits for a word in the log. It returns what the log says since.
func (r *reloaded) hangUp(ctx context.Context, word string) (string, error) {
	return r.awaitLog(ctx, word, func() error { return r.s.signal(syscall.SIGHUP) })
}

// awaitLog does something and waits for a word in the log.
func (r *reloaded) awaitLog(ctx context.Context, word string, do func() error) (string, error) {
	before := len(r.s.log.String())
	if err := do(); err != nil {
		return "", err
	}
	since := func() string { return r.s.log.String()[before:] }
	err := r.t.until(ctx, patience, word, func() bool { return strings.Contains(since(), `"msg":"`+word) })
	return since(), err
}

// tryGood gives the server the next version.
func (r *reloaded) tryGood(ctx context.Context, ask bool) error {
	if err := r.write(config(r.version + 1)); err != nil {
		return err
	}
	tell := func() error { return r.s.signal(syscall.SIGHUP) }
	if ask {
		tell = func() error {
			out, status, err := r.ask(ctx)
			if err == nil && status != 0 {
				err = fmt.Errorf("status %d: %s", status, out)
			}
			r.judge(asked, "a good file", err)
			return err
		}
	}
	if _, err := r.awaitLog(ctx, "reloaded", tell); err != nil {
		return err
	}
	r.version++
	r.judge(sentAway, "a secret is gone", endWith(r.keys, 4401))
	r.judge(sentAway, "a hub is gone", endWith(r.extra, 1001))
	r.judge(sentAway, "others", answers(r.staying))
	r.judge(goodInForce, fmt.Sprintf("version %d", r.version), r.inForce(ctx))
	if wrong := r.wrong[sentAway]; len(wrong) > 0 {
		return fmt.Errorf("%s: %s", sentAway, wrong[0])
	}
	r.lost += float64(len(r.keys))
	r.gone += float64(len(r.extra))
	r.keys, r.extra = nil, nil
	return nil
}

// answers asks all of them for a reply.
func answers(clients []*client) error {
	for _, c := range clients {
		if err := c.do(`{"unsubscribe":{"channel":"nowhere"}}`); err != nil {
			return err
		}
	}
	return nil
}

// endWith reads until each connection has ended, and wants a code.
func endWith(clients []*client, code uint16) error {
	var all error
	limit := time.Now().Add(patience)
	for _, c := range clients {
		err := c.conn.SetReadDeadline(limit)
		for err == nil {
			_, err = c.receive()
		}
		c.abort()
		var end *closed
		if !errors.As(err, &end) || end.code != code {
			all = fmt.Errorf("%w, not %d", err, code)
		}
	}
	return all
}

// inForce tells how the server differs from the version.
func (r *reloaded) inForce(ctx context.Context) error {
	v := r.version
	return errors.Join(
		r.wantLogin(ctx, r.key(v), nil),
		r.wantLogin(ctx, r.key(v-1), replyError("invalid_credentials")),
		r.wantLogin(ctx, r.key(v+1), replyError("invalid_credentials")),
		r.wantStatus(ctx, "/news", origin(v), http.StatusSwitchingProtocols),
		r.wantStatus(ctx, "/news", origin(v-1), http.StatusForbidden),
		r.wantStatus(ctx, "/news", origin(v+1), http.StatusForbidden),
		r.wantStatus(ctx, extra(v), "", http.StatusSwitchingProtocols),
		r.wantStatus(ctx, extra(v-1), "", http.StatusNotFound),
		r.wantStatus(ctx, extra(v+1), "", http.StatusNotFound),
		r.wantMost(ctx, most(v)),
	)
}

// wantLogin logs in at /keys.
func (r *reloaded) wantLogin(ctx context.Context, key string, want error) error {
	c, err := r.at("/keys").open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	if err := c.do(login("read-only", key)); !errors.Is(err, want) {
		return fmt.Errorf("a login with %q: got %w, not %w", key, err, want)
	}
	return nil
}

// wantStatus shakes hands.
func (r *reloaded) wantStatus(ctx context.Context, path, origin string, want int) error {
	d := r.at(path)
	if origin != "" {
		d.header = "Origin: " + origin + "\r\n"
	}
	c, err := d.open(ctx)
	status := http.StatusSwitchingProtocols
	var no *refused
	switch {
	case err == nil:
		c.abort()
	case errors.As(err, &no):
		status = no.status
	default:
		return err
	}
	if status != want {
		return fmt.Errorf("%s from %q: %d, not %d", path, origin, status, want)
	}
	return nil
}

// wantMost subscribes until that is too much.
func (r *reloaded) wantMost(ctx context.Context, most int) error {
	c, err := r.at(extra(r.version)).join(ctx, "channel 1", "")
	if err != nil {
		return err
	}
	defer c.abort()
	for i := 2; i <= most; i++ {
		if err := c.do(subscribe(fmt.Sprintf("channel %d", i))); err != nil {
			return err
		}
	}
	if err := c.do(subscribe("one too many")); !errors.Is(err, replyError("limit_exceeded")) {
		return fmt.Errorf("subscription %d: got %w, not limit_exceeded", most+1, err)
	}
	return nil
}

// tryPair replaces the certificate by another one, and that by a broken one.
func (r *reloaded) tryPair(ctx context.Context, i int) error {
	if err := r.pair.write(r.serial + 1); err != nil {
		return err
	}
	if _, err := r.hangUp(ctx, "reloaded"); err != nil {
		return err
	}
	r.serial++
	r.judge(certChanges, "a good pair", r.wantSerial(ctx))
	if err := r.pair.spoil(i, r.serial+1); err != nil {
		return err
	}
	log, err := r.hangUp(ctx, "not reloaded: the new certificate is refused")
	if err != nil {
		return err
	}
	r.judge(certChanges, "a broken pair", errors.Join(r.wantSerial(ctx), wants(log, ".pem")))
	return r.pair.write(r.serial)
}

// spoil breaks the files, in one of several ways.
func (p pair) spoil(way int, serial int64) error {
	switch way % 3 {
	case 0:
		return os.WriteFile(p.cert, []byte("no certificate"), 0o600)
	case 1:
		return os.Remove(p.key)
	}
	key, err := os.ReadFile(p.key)
	if err != nil {
		return err
	}
	if err := p.write(serial); err != nil {
		return err
	}
	return os.WriteFile(p.key, key, 0o600) // that of another certificate
}

// wantSerial connects with TLS.
func (r *reloaded) wantSerial(ctx context.Context) error {
	c, err := dialer{addr: r.tlsAddr, secure: true}.open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	if serial := c.serial(); serial != r.serial {
		return fmt.Errorf("certificate %d, not %d", serial, r.serial)
	}
	return nil
}

// report leaves the findings.
func (r *reloaded) report(ctx context.Context, a *audience, calm latency) {
	with := summarize(a.forget())
	for _, must := range []string{goodInForce, badNothing, badSays, asked, sentAway, certChanges} {
		wrong := r.wrong[must]
		saw := fmt.Sprintf("%d tried, %d wrong", r.tries[must], len(wrong))
		if len(wrong) > 0 {
			saw += ": " + wrong[0]
		}
		r.t.check(r.tries[must] > 0 && len(wrong) == 0, must, "%s", saw)
	}
	lost, away := r.s.read("rocket_disconnects_total", "code", "4401"), r.s.read("rocket_disconnects_total", "code", "1001")
	r.t.check(lost == r.lost && away == r.gone, "the metrics have counted as many", "4401: %v of %v; 1001: %v of %v", lost, r.lost, away, r.gone)
	a.checkHeard(ctx, "the others")
	r.t.checkSpeed(unharmed(with, calm), "they have "+unharmedText, "without: %v; with: %v", calm, with)
}

// abort ends what is left.
func (r *reloaded) abort() {
	for _, c := range slices.Concat(r.staying, r.keys, r.extra) {
		c.abort()
	}
}
