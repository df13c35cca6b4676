package faults

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// A page is a client of the Pusher protocol that does as pusher-js does: it comes back at once, or after a second, without
// a random part, or never, as the close code says.
type page struct {
	dialer  dialer
	channel string
	user    string // of a presence channel

	inside  atomic.Bool  // it is subscribed
	arrived atomic.Int64 // time.Duration since epoch: when it last was
	heard   atomic.Int64 // events

	mu    sync.Mutex
	view  map[string]bool // the members that it knows of, guarded by mu
	codes []uint16        // of the Close frames that it got, guarded by mu
}

// The application of the pages.
const (
	appID     = "shop"
	appKey    = "shop-key"
	appSecret = "shop-secret"
)

// serveApp starts a server with the application. settings are more of its keys in the file.
func (t *trial) serveApp(ctx context.Context, settings string, args ...string) (*server, error) {
	file := filepath.Join(t.dir, fmt.Sprintf("app%d.json", now()))
	text := fmt.Sprintf(`{"Apps": [{"ID": %q, "Keys": [{"Key": %q, "Secret": %q}]%s}]}`, appID, appKey, appSecret, settings)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return t.startServer(ctx, append(args, file)...)
}

func appDialer(s *server) dialer { return dialer{addr: s.addr, path: "/app/" + appKey + "?protocol=7"} }

// signed is the signature of the application for a text.
func signed(text string) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// ask sends a request to the HTTP API of the application.
func (s *server) ask(method, path, body string) ([]byte, error) {
	path = "/apps/" + appID + "/" + path
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0", appKey, time.Now().Unix())
	if body != "" {
		query += fmt.Sprintf("&body_md5=%x", md5.Sum([]byte(body)))
	}
	signature := signed(method + "\n" + path + "\n" + query)
	r, err := http.NewRequest(method, "http://"+s.addr+path+"?"+query+"&auth_signature="+signature, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	resp, err := operator.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return text, err
}

// pusherMessage is a message of the server.
type pusherMessage struct {
	Event string
	Data  string
}

// next returns the next message.
func (p *page) next(c *client) (m pusherMessage, err error) {
	b, err := c.receive()
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(b, &m)
}

// come connects and subscribes.
func (p *page) come(ctx context.Context) (*client, error) {
	c, err := p.dialer.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.subscribe(c); err != nil {
		c.abort()
		return nil, err
	}
	p.arrived.Store(int64(now()))
	p.inside.Store(true)
	return c, nil
}

func (p *page) subscribe(c *client) error {
	m, err := p.next(c)
	if err != nil {
		return err
	}
	var greeting struct {
		Socket string `json:"socket_id"`
	}
	if err := json.Unmarshal([]byte(m.Data), &greeting); err != nil || m.Event != "pusher:connection_established" {
		return fmt.Errorf("the first message is %s %s: %w", m.Event, m.Data, err)
	}
	args := map[string]string{"channel": p.channel}
	if p.user != "" {
		data, _ := json.Marshal(map[string]string{"user_id": p.user}) // strings always encode
		args["channel_data"] = string(data)
		args["auth"] = appKey + ":" + signed(greeting.Socket+":"+p.channel+":"+string(data))
	}
	text, _ := json.Marshal(map[string]any{"event": "pusher:subscribe", "data": args})
	if err := c.send(string(text)); err != nil {
		return err
	}
	for {
		m, err := p.next(c)
		if err != nil {
			return err
		}
		switch m.Event {
		case "pusher_internal:subscription_succeeded":
			return p.see(m)
		case "pusher:subscription_error", "pusher:error":
			return fmt.Errorf("the subscription is refused: %s", m.Data)
		}
	}
}

// see notes what a message says about who is there.
func (p *page) see(m pusherMessage) error {
	if p.user == "" {
		return nil
	}
	var data struct {
		User     string `json:"user_id"`
		Presence struct{ Ids []string }
	}
	if err := json.Unmarshal([]byte(m.Data), &data); err != nil {
		return fmt.Errorf("%s %s: %w", m.Event, m.Data, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Event {
	case "pusher_internal:subscription_succeeded":
		p.view = make(map[string]bool)
		for _, id := range data.Presence.Ids {
			p.view[id] = true
		}
	case "pusher_internal:member_added":
		p.view[data.User] = true
	case "pusher_internal:member_removed":
		delete(p.view, data.User)
	}
	return nil
}

// knows returns how many members the page knows of.
func (p *page) knows() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.view)
}

// listen reads until the connection ends.
func (p *page) listen(c *client) error {
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(2 * time.Minute)) // it fails if the connection has ended, and so does next
		m, err := p.next(c)
		if err != nil {
			return err
		}
		switch m.Event {
		case "e":
			p.heard.Add(1)
		case "pusher_internal:member_added", "pusher_internal:member_removed":
			if err := p.see(m); err != nil {
				return err
			}
		}
	}
}

// stay keeps a page there until ctx is done, or a close code says that it must not come back. c is its first connection.
func (p *page) stay(ctx context.Context, c *client) {
	err := error(nil)
	for {
		if c != nil {
			over := context.AfterFunc(ctx, c.abort)
			err = p.listen(c)
			over()
			c.abort()
			p.inside.Store(false)
		}
		wait, back := p.comesBack(err)
		if !back {
			return
		}
		rest(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		c, err = p.come(ctx)
	}
}

// comesBack says when pusher-js comes back after the end of a connection, if it does.
func (p *page) comesBack(err error) (after time.Duration, back bool) {
	var end *closed
	if !errors.As(err, &end) {
		return time.Second, true
	}
	p.mu.Lock()
	p.codes = append(p.codes, end.code)
	p.mu.Unlock()
	switch {
	case end.code < 4000, end.code >= 4100 && end.code < 4200:
		return time.Second, true
	case end.code >= 4200 && end.code < 4300:
		return 0, true
	}
	return 0, false
}

// pages are several, each with a goroutine.
type pages struct {
	all     []*page
	leave   []context.CancelFunc
	running sync.WaitGroup
}

// openPages lets all come for the first time.
func openPages(ctx context.Context, all []*page) (*pages, error) {
	ps := &pages{all: all, leave: make([]context.CancelFunc, len(all))}
	err := each(len(all), func(i int) error {
		c, err := all[i].come(ctx)
		if err != nil {
			return err
		}
		var one context.Context
		one, ps.leave[i] = context.WithCancel(ctx)
		ps.running.Go(func() { all[i].stay(one, c) })
		return nil
	})
	if err != nil {
		ps.end()
	}
	return ps, err
}

// end closes all of them.
func (ps *pages) end() {
	for _, leave := range ps.leave {
		if leave != nil {
			leave()
		}
	}
	ps.running.Wait()
}

// count returns how many are as told.
func (ps *pages) count(is func(p *page) bool) int {
	n := 0
	for _, p := range ps.all {
		if is(p) {
			n++
		}
	}
	return n
}

// codes returns how many Close frames there were of each code.
func (ps *pages) codes() map[uint16]int {
	sum := map[uint16]int{}
	for _, p := range ps.all {
		p.mu.Lock()
		for _, code := range p.codes {
			sum[code]++
		}
		p.mu.Unlock()
	}
	return sum
}
