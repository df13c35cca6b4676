package faults

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// fetchPause is the least time between two fetches of the keys, as docs/tokens.md has it.
const fetchPause = 30 * time.Second

// keys lets the place of a server's keys fail in several ways, each with a server of its own, at the same time.
func keys(ctx context.Context, t *trial) error {
	ways := []func(context.Context, *keyPlace) error{keysDown, keysSlow, keysEmpty}
	trials, failed := make([]*trial, len(ways)), make([]error, len(ways))
	var running sync.WaitGroup
	for i, way := range ways {
		trials[i] = t.aside()
		running.Go(func() { failed[i] = withKeys(ctx, trials[i], fmt.Sprintf("keys-%d.json", i), way) })
	}
	running.Wait()
	for _, one := range trials {
		t.adopt(one)
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return withKeys(ctx, t, "keys.json", keysAtRandom) // alone, because it is a load
}

// keyPlace is where a server fetches its keys, and the server.
type keyPlace struct {
	t    *trial
	s    *server
	good signer
	set  []byte

	door    net.Listener                     // open, and nothing answers yet
	handler atomic.Pointer[http.HandlerFunc] // what it answers
	fetches atomic.Int64
	web     *http.Server
}

// withKeys starts a server whose keys are at a place that nobody serves yet.
func withKeys(ctx context.Context, t *trial, name string, try func(context.Context, *keyPlace) error) error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	p := &keyPlace{t: t, good: keySigner("good", private), set: keySet("good", public)}
	if p.door, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		return err
	}
	defer p.shut()
	file := filepath.Join(t.dir, name)
	config := fmt.Sprintf(`{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": "r", "ReadWrite": "w"},
		"Tokens": {"Audience": "rocket", "JWKS": "http://%s/keys.json"}}]}`, p.door.Addr())
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	p.s = &server{t: t, args: []string{file}, addr: freeAddr(), admin: freeAddr()}
	defer p.s.stop()
	return try(ctx, p)
}

// serve lets the place answer with f.
func (p *keyPlace) serve(f http.HandlerFunc) {
	p.handler.Store(&f)
	p.web = &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		(*p.handler.Load())(w, r)
	})}
	go func() { _ = p.web.Serve(p.door) }() // until shut
}

func (p *keyPlace) shut() {
	p.door.Close()
	if p.web != nil {
		p.web.Close()
	}
}

func (p *keyPlace) answer(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(p.set) }

// try logs in with a token of a key, and returns the error code and how long the answer took.
func (p *keyPlace) try(ctx context.Context, s signer) (code string, took time.Duration, err error) {
	return p.login(ctx, tokenLogin(s.token("42", time.Now().Add(time.Hour))))
}

func (p *keyPlace) login(ctx context.Context, command string) (code string, took time.Duration, err error) {
	c, err := dialer{addr: p.s.addr}.open(ctx)
	if err != nil {
		return "", 0, err
	}
	defer c.abort()
	began := now()
	err = c.do(command)
	took = now() - began
	var no replyError
	if errors.As(err, &no) {
		return string(no), took, nil
	}
	return "ok", took, err
}

// checkWaiting checks what a server does that has no keys yet.
func (p *keyPlace) checkWaiting(ctx context.Context, when string) error {
	code, took, err := p.try(ctx, p.good)
	if err != nil {
		return err
	}
	secret, _, err := p.login(ctx, login("read-only", "r"))
	if err != nil {
		return err
	}
	ready := p.s.says("/readyz")
	p.t.check(code == "unavailable" && secret == "ok" && ready == http.StatusServiceUnavailable && took < fetchPause/10,
		when+": tokens get unavailable at once, secrets are taken, and /readyz says 503",
		"token: %s after %s; secret: %s; /readyz: %d", code, millis(took), secret, ready)
	return nil
}

// untilOK waits until a token is taken.
func (p *keyPlace) untilOK(ctx context.Context) error {
	return p.s.until(ctx, fetchPause+patience, "a token is taken", func() bool {
		code, _, err := p.try(ctx, p.good)
		return err == nil && code == "ok"
	})
}

// alive starts the server, which is not ready without its keys.
func (p *keyPlace) alive(ctx context.Context) error {
	return p.s.startUntil(ctx, "rocket listens", func() bool { return p.s.says("/livez") == http.StatusOK })
}

// keysDown has no place at first.
func keysDown(ctx context.Context, p *keyPlace) error {
	began := now()
	p.door.Close()
	if err := p.alive(ctx); err != nil {
		return err
	}
	if err := p.checkWaiting(ctx, "the place of the keys is down"); err != nil {
		return err
	}
	if p.t.short {
		return nil
	}
	var err error
	if p.door, err = net.Listen("tcp4", p.door.Addr().String()); err != nil {
		return err
	}
	p.serve(p.answer)
	err = p.untilOK(ctx)
	p.t.check(err == nil && p.fetches.Load() == 1 && p.s.isReady(), "it is there again: the next fetch, at most 30 s later, lets tokens in, and /readyz says 200",
		"after %.1f s, with %d fetches%s", (now() - began).Seconds(), p.fetches.Load(), said(err, ""))
	return nil
}

// others are clients with a secret, who are published to.
func (p *keyPlace) others(ctx context.Context) (*audience, error) {
	a, err := p.t.gather(ctx, gathering{channel: "c", members: scaled(p.t, 200, 50), dialer: dialer{addr: p.s.addr}, secret: "r"})
	if err != nil {
		return nil, err
	}
	if err := a.load.publish(ctx, pace{dialer: dialer{addr: p.s.addr}, secret: "w", rate: 50, size: 100}); err != nil {
		a.end()
		return nil, err
	}
	return a, nil
}

// keysSlow has a place that takes a connection and does not answer.
func keysSlow(ctx context.Context, p *keyPlace) error {
	release := make(chan struct{})
	silent := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}
	p.serve(silent)
	defer close(release)
	if err := p.alive(ctx); err != nil {
		return err
	}
	a, err := p.others(ctx)
	if err != nil {
		return err
	}
	defer a.end()
	if err := p.t.until(ctx, patience, "a fetch", func() bool { return p.fetches.Load() > 0 }); err != nil {
		return err
	}
	if err := p.checkWaiting(ctx, "the place of the keys does not answer"); err != nil {
		return err
	}
	if !p.t.short {
		good := http.HandlerFunc(p.answer)
		p.handler.Store(&good)
		err := p.untilOK(ctx)
		p.t.check(err == nil && p.fetches.Load() == 2, "it answers again: the second fetch lets tokens in", "%d fetches%s", p.fetches.Load(), said(err, ""))
	}
	a.checkHeard(ctx, "clients with secrets")
	return nil
}

// keysEmpty has a place that loses its keys.
func keysEmpty(ctx context.Context, p *keyPlace) error {
	empty := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) })
	if p.t.short {
		p.serve(empty)
		if err := p.alive(ctx); err != nil {
			return err
		}
		return p.checkWaiting(ctx, "the set of keys is empty")
	}
	p.serve(p.answer)
	if err := p.alive(ctx); err != nil {
		return err
	}
	if err := p.untilOK(ctx); err != nil {
		return err
	}
	p.handler.Store(&empty)
	other := p.good
	other.kid = "unknown"
	err := p.s.until(ctx, fetchPause+patience, "a second fetch", func() bool {
		_, _, err := p.try(ctx, other) // its key is not in the set, so the set is asked for again
		return err != nil || p.fetches.Load() > 1
	})
	if err != nil {
		return err
	}
	err = p.s.until(ctx, patience, "the fetch is counted", func() bool { return p.s.read("rocket_token_key_fetches_total", "result", "invalid") == 1 })
	code, _, tried := p.try(ctx, p.good)
	p.t.check(err == nil && tried == nil && code == "ok", "the set of keys is empty all at once: the keys that it had stay good",
		"token: %s, after %d fetches, of which %.0f without a key%s", code, p.fetches.Load(),
		p.s.read("rocket_token_key_fetches_total", "result", "invalid"), said(errors.Join(err, tried), ""))
	return nil
}

// keysAtRandom is asked for keys that are not there, by very many tokens.
func keysAtRandom(ctx context.Context, p *keyPlace) error {
	p.serve(p.answer)
	began := now()
	if err := p.alive(ctx); err != nil {
		return err
	}
	if err := p.untilOK(ctx); err != nil {
		return err
	}
	a, err := p.others(ctx)
	if err != nil {
		return err
	}
	defer a.end()
	n := scaled(p.t, 20_000, 500)
	var answered, taken atomic.Int64
	err = each(n, func(i int) error {
		other := p.good
		other.kid = fmt.Sprintf("random %d", i)
		code, _, err := p.try(ctx, other)
		if err != nil {
			return err
		}
		if code == "ok" {
			taken.Add(1)
		}
		answered.Add(1)
		return nil
	})
	if err != nil {
		return err
	}
	took := now() - began
	code, _, err := p.try(ctx, p.good)
	if err != nil {
		return err
	}
	most := int64(took/fetchPause) + 1
	p.t.check(answered.Load() == int64(n) && taken.Load() == 0 && p.fetches.Load() <= most && code == "ok",
		"tokens with random keys are refused, and the keys are fetched once in 30 s at most; a good token is taken",
		"%d tokens in %.1f s, %d taken; %d fetches, of at most %d; the good one: %s", n, took.Seconds(), taken.Load(), p.fetches.Load(), most, code)
	a.checkHeard(ctx, "clients with secrets")
	return nil
}
