package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// membersRules gives a channel presence. The limits are the defaults.
const membersRules = `{"Hubs": [{"Path": "/", "Rules": [{"Match": "room:*", "Presence": {"Mode": "clients"}}]}]}`

const room = "room:1"

// members lets very many join and leave a channel with presence while others watch it, kills the processes of some, and
// cuts the cables of others. Nobody may be left on the list.
func members(ctx context.Context, t *trial) error {
	file := filepath.Join(t.dir, "members.json")
	if err := os.WriteFile(file, []byte(membersRules), 0o600); err != nil {
		return err
	}
	// Many that wait for their turn read nothing meanwhile, and answer no ping.
	ping, pong := scaled(t, 20*time.Second, 5*time.Second), scaled(t, 10*time.Second, 2*time.Second)
	s, err := t.startServer(ctx, file, "-ping-interval", ping.String(), "-pong-timeout", pong.String())
	if err != nil {
		return err
	}
	defer s.stop()
	w, err := t.watch(ctx, s, scaled(t, 50, 10))
	if err != nil {
		return err
	}
	defer w.end()
	if err := w.herd(ctx); err != nil {
		return err
	}
	if err := w.killed(ctx); err != nil {
		return err
	}
	if err := w.cut(ctx, ping+pong); err != nil {
		return err
	}
	w.report()
	return ctx.Err()
}

// watchers are members that are told who comes and goes.
type watchers struct {
	t   *trial
	s   *server
	all []*watcher

	running sync.WaitGroup
}

// A watcher keeps the numbers of the last notice.
type watcher struct {
	conn    *client
	notices atomic.Int64
	bytes   atomic.Int64
	clients atomic.Int64
	version atomic.Int64
	gaps    atomic.Int64 // notices that did not go on where the one before had ended
}

// presenceOf is what a reply and a notice have in common.
type presenceOf struct {
	From    int64 `json:"from"`
	Version int64 `json:"version"`
	Clients int64 `json:"clients"`
	Users   int64 `json:"users"`
	Members []struct {
		Client string `json:"client"`
	} `json:"members"`
}

// watch lets n watchers begin.
func (t *trial) watch(ctx context.Context, s *server, n int) (*watchers, error) {
	w := &watchers{t: t, s: s}
	for range n {
		c, err := (dialer{addr: s.addr}).open(ctx)
		if err != nil {
			return w, err
		}
		one := &watcher{conn: c}
		w.all = append(w.all, one)
		if err := c.do(login("read-only", "")); err != nil {
			return w, err
		}
		if err := c.send(`{"subscribe":{"channel":"` + room + `","presence":true}}`); err != nil {
			return w, err
		}
		w.running.Go(one.listen)
	}
	return w, t.until(ctx, patience, "the watchers see each other", func() bool { return w.agree(int64(n)) })
}

// listen deals with notices until the connection ends.
func (w *watcher) listen() {
	for {
		_ = w.conn.conn.SetReadDeadline(time.Now().Add(2 * time.Minute)) // it fails if the connection has ended
		b, err := w.conn.receive()
		if err != nil {
			return
		}
		var m struct {
			presenceOf
			Presence *presenceOf `json:"presence"`
		}
		if json.Unmarshal(b, &m) != nil {
			w.gaps.Add(1)
			continue
		}
		n := m.presenceOf
		if m.Presence != nil {
			n = *m.Presence
			w.notices.Add(1)
			w.bytes.Add(int64(len(b)))
			if n.From > w.version.Load() {
				w.gaps.Add(1)
			}
		}
		w.clients.Store(n.Clients)
		w.version.Store(max(n.Version, w.version.Load()))
	}
}

// agree reports whether all have been told that so many are there.
func (w *watchers) agree(n int64) bool {
	for _, one := range w.all {
		if one.clients.Load() != n {
			return false
		}
	}
	return true
}

func (w *watchers) end() {
	for _, one := range w.all {
		one.conn.abort()
	}
	w.running.Wait()
}

// present asks the admin port for the whole list.
func (w *watchers) present() (p presenceOf, err error) {
	resp, err := w.s.get("/api/presence?hub=/&limit=1000&channel=" + room)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	return p, json.NewDecoder(resp.Body).Decode(&p)
}

// herd lets very many join and leave within 5 s.
func (w *watchers) herd(ctx context.Context) error {
	n, length := scaled(w.t, 10_000, 1000), scaled(w.t, 5*time.Second, 2*time.Second)
	c := newCrowd(dialer{addr: w.s.addr}, "elsewhere", n)
	defer c.scatter()
	if err := c.gather(ctx); err != nil {
		return err
	}
	notices, bytes := w.heard()
	join, leave := subscribe(room), `{"unsubscribe":{"channel":"`+room+`"}}`
	began := now()
	// Each begins its half at another time.
	step := length / 2 / time.Duration(n)
	for half, command := range []string{join, leave} {
		err := each(n, func(i int) error {
			rest(ctx, began+time.Duration(half)*length/2+time.Duration(i)*step-now())
			return c.clients[i].do(command)
		})
		if err != nil {
			return err
		}
		if half == 0 {
			if err := w.settle(ctx, int64(n+len(w.all))); err != nil {
				return err
			}
		}
	}
	took := now() - began
	err := w.settle(ctx, int64(len(w.all)))
	p, failed := w.present()
	if failed != nil {
		return failed
	}
	w.t.check(err == nil && len(p.Members) == len(w.all) && p.Clients == int64(len(w.all)),
		"when very many have joined and left, all that watch know how many are there, and the list has them and nobody else",
		"%d joined and left in %.1f s; %d on the list, %d of them watch: %s", n, took.Seconds(), len(p.Members), len(w.all), said(err, "all are told"))
	after, more := w.heard()
	each, size := float64(after-notices)/float64(len(w.all)), float64(more-bytes)/float64(len(w.all))
	// Numbers alone are 100 bytes; while there are at most 1,000 members 100 changes have 70 bytes each.
	most := 2 + (now()-began).Seconds()*4
	w.t.check(each <= most && size <= each*8000,
		"at most one notice in 250 ms, of at most 8 kB, comes of all that",
		"each that watches had %.0f notices with %.1f kB, for %d changes", each, size/1000, 2*n)
	return nil
}

// settle waits until all are told that so many are there.
func (w *watchers) settle(ctx context.Context, n int64) error {
	return w.t.until(ctx, patience, fmt.Sprintf("%d members", n), func() bool { return w.agree(n) })
}

// heard returns how many notices have come, and their bytes.
func (w *watchers) heard() (notices, bytes int64) {
	for _, one := range w.all {
		notices += one.notices.Load()
		bytes += one.bytes.Load()
	}
	return notices, bytes
}

// killed kills the processes of members.
func (w *watchers) killed(ctx context.Context) error {
	n := scaled(w.t, 20, 5)
	var processes []*exec.Cmd
	defer func() {
		for _, p := range processes {
			_ = p.Process.Kill() // it fails if it has ended
			_ = p.Wait()         // it was killed
		}
	}()
	for range n {
		p := exec.Command(w.t.binary, "subscribe", "-url", "ws://"+w.s.addr+"/", room)
		p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := p.Start(); err != nil {
			return err
		}
		processes = append(processes, p)
	}
	if err := w.settle(ctx, int64(n+len(w.all))); err != nil {
		return err
	}
	began := now()
	for _, p := range processes {
		if err := p.Process.Signal(syscall.SIGKILL); err != nil {
			return err
		}
	}
	err := w.settle(ctx, int64(len(w.all)))
	took := now() - began
	w.t.check(err == nil, "members whose process is killed are gone, and the others are told", "%d killed, all told after %s", n, millis(took))
	w.t.checkSpeed(took < time.Second, "within a second", "%s", millis(took))
	return nil
}

// cut cuts the cables of members.
func (w *watchers) cut(ctx context.Context, limit time.Duration) error {
	n := scaled(w.t, 1000, 100)
	c := newCrowd(dialer{addr: w.s.addr, from: elsewhere}, room, n)
	defer c.scatter()
	if err := c.gather(ctx); err != nil {
		return err
	}
	if err := w.settle(ctx, int64(n+len(w.all))); err != nil {
		return err
	}
	before := w.s.count(abnormal)
	if err := cutOff(elsewhere); err != nil {
		return err
	}
	began := now()
	err := w.t.until(ctx, limit+patience, "they are gone", func() bool { return w.agree(int64(len(w.all))) })
	took, ended := now()-began, w.s.count(abnormal)-before
	p, failed := w.present()
	if failed != nil {
		return failed
	}
	w.t.check(err == nil && len(p.Members) == len(w.all) && ended == float64(n),
		"members that are cut off are gone when the server finds that out, and the others are told",
		"%d cut off, %.0f ends found, all told after %.1f s, with PingInterval and PongTimeout of %.0f s; %d on the list, %d of them watch",
		n, ended, took.Seconds(), limit.Seconds(), len(p.Members), len(w.all))
	return nil
}

// report says whether the notices went on one after the other, and whether the server's metric agrees.
func (w *watchers) report() {
	var gaps int64
	for _, one := range w.all {
		gaps += one.gaps.Load()
	}
	notices, _ := w.heard()
	w.t.check(gaps == 0, "each notice goes on where the one before ended", "%d notices, %d gaps", notices, gaps)
	left := w.s.read("rocket_presence_members")
	w.t.check(left == float64(len(w.all)), "the metric has as many members", "%.0f of %d", left, len(w.all))
}
