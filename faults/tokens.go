package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A tokenHolder is a client with a token, which renews it when it is told to, or never.
type tokenHolder struct {
	conn   *client
	renews bool
	told   []time.Duration // when it was told that its token expires
	closed uint16          // code of the Close frame, 0: none
	ended  time.Duration   // when
	wrong  string          // what it heard and should not have
}

const tokenSecret = "0123456789abcdef0123456789abcdef" // for tests

// tokens lets very many tokens expire at the same moment.
func tokens(ctx context.Context, t *trial) error {
	file := filepath.Join(t.dir, "rocket.json")
	config := fmt.Sprintf(`{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": "r", "ReadWrite": "w"},
		"Tokens": {"Audience": "rocket", "Leeway": "2s", "Keys": [{"Secret": %q}]}}]}`, tokenSecret)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	s, err := t.startServer(ctx, file)
	if err != nil {
		return err
	}
	defer s.stop()
	d := dialer{addr: s.addr}
	others, err := t.gather(ctx, gathering{channel: "others", members: scaled(t, 200, 50), dialer: d, secret: "r"})
	if err != nil {
		return err
	}
	defer others.end()
	if err := others.load.publish(ctx, pace{dialer: d, secret: "w", rate: 50, size: 100}); err != nil {
		return err
	}
	h := &holding{t: t, d: d, others: others, lifetime: scaled(t, 205*time.Second, 12*time.Second), sign: secretSigner(tokenSecret)}
	defer h.end()
	if err := h.gather(ctx, scaled(t, 15_000, 500)); err != nil {
		return err
	}
	return h.expire(ctx, s)
}

// holding is clients whose tokens expire at the same moment.
type holding struct {
	t        *trial
	d        dialer
	others   *audience
	sign     signer
	lifetime time.Duration
	expires  time.Time
	at       time.Duration // the same, since epoch
	all      []*tokenHolder
	reading  sync.WaitGroup
	over     atomic.Int64 // connections that have ended
}

// gather connects all, each with a token. Every second one is to renew it.
func (h *holding) gather(ctx context.Context, n int) error {
	h.all = make([]*tokenHolder, n)
	h.expires = time.Now().Add(h.lifetime).Truncate(time.Second)
	h.at = now() + time.Until(h.expires)
	for i := range h.all {
		h.all[i] = &tokenHolder{renews: i%2 == 0}
	}
	steps := []func(i int, c *tokenHolder) error{
		func(_ int, c *tokenHolder) (err error) {
			c.conn, err = h.d.knock(ctx)
			return err
		},
		func(_ int, c *tokenHolder) error { return c.conn.enter() },
		func(i int, c *tokenHolder) error {
			return c.conn.send(tokenLogin(h.sign.token(fmt.Sprint(i), h.expires)))
		},
		func(_ int, c *tokenHolder) error { return c.conn.reply("auth") },
		func(_ int, c *tokenHolder) error { return c.conn.send(subscribe("tokens")) },
		func(_ int, c *tokenHolder) error { return c.conn.reply("subscribe") },
	}
	for _, step := range steps {
		if err := each(n, func(i int) error { return step(i, h.all[i]) }); err != nil {
			return err
		}
	}
	return nil
}

// listen reads until the connection ends, and renews the token when that is asked for.
func (h *holding) listen(i int, c *tokenHolder) {
	for {
		_ = c.conn.conn.SetReadDeadline(time.Now().Add(2 * h.lifetime)) // it fails if the connection has ended, and so does receive
		b, err := c.conn.receive()
		if err != nil {
			var end *closed
			if errors.As(err, &end) {
				c.closed, c.ended = end.code, now()
			}
			h.over.Add(1)
			return
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil || m.Err != "" {
			c.wrong = string(b)
			continue
		}
		if m.Expires == 0 || m.OK {
			continue
		}
		c.told = append(c.told, now())
		if c.renews {
			_ = c.conn.send(tokenLogin(h.sign.token(fmt.Sprint(i), h.expires.Add(time.Hour)))) // if it fails, so does receive
		}
	}
}

// expire waits until the tokens are over, and leaves findings.
func (h *holding) expire(ctx context.Context, s *server) error {
	for i, c := range h.all {
		h.reading.Go(func() { h.listen(i, c) })
	}
	begin := now()
	calm := h.others.listenFor(ctx, (h.at-begin)/2) // nothing happens until a fifth is left
	h.others.forget()
	const leeway = 2 * time.Second
	renewing := len(h.all) / 2
	rest(ctx, h.at+leeway-now())
	err := h.t.until(ctx, patience, "those that did not renew are closed", func() bool {
		return h.over.Load() >= int64(len(h.all)-renewing)
	})
	if err != nil {
		return err
	}
	with := summarize(h.others.forget())
	counted := s.read("rocket_disconnects_total", "code", "4001")
	there := int(s.read("rocket_connections")) - len(h.others.members) - 1
	h.end()
	h.report(begin, leeway, counted, there)
	h.t.checkSpeed(unharmed(with, calm), "others have "+unharmedText, "without: %v; with: %v", calm, with)
	h.others.checkHeard(ctx, "the others")
	return nil
}

func (h *holding) report(begin, leeway time.Duration, counted float64, there int) {
	var told []time.Duration
	var once, stayed, closedInTime, wrong int
	first, last := patience, time.Duration(0)
	for _, c := range h.all {
		told = append(told, c.told...)
		if len(c.told) == 1 {
			once++
		}
		switch {
		case c.wrong != "":
			wrong++
			h.t.notef("a client heard %s", c.wrong)
		case c.renews && c.closed == 0:
			stayed++
		case !c.renews && c.closed == 4001 && c.ended > h.at:
			closedInTime++
			first, last = min(first, c.ended-h.at), max(last, c.ended-h.at)
		}
	}
	n, renewing := len(h.all), len(h.all)/2
	h.t.check(once == n && wrong == 0, "each client is told once that its token expires", "%d of %d once; %d heard something wrong", once, n, wrong)
	if len(told) > 0 {
		slices.Sort(told)
		lifetime := h.at - begin
		most, share := busiest(told, time.Second), float64(n)/(0.15*lifetime.Seconds())
		h.t.checkSpeed(told[len(told)-1] < h.at && float64(most) < 2*share,
			"they are told when 5 to 20 % of the token's time are left, and no second has twice its share of them",
			"from %.1f to %.1f s before the end, of %.0f s; at most %d in one second, of %d", (h.at - told[0]).Seconds(),
			(h.at - told[len(told)-1]).Seconds(), lifetime.Seconds(), most, n)
	}
	h.t.check(stayed == renewing && there == renewing, "those that renew stay", "%d of %d; the server counts %d", stayed, renewing, there)
	h.t.check(closedInTime == n-renewing && counted == float64(n-renewing),
		fmt.Sprintf("the others are closed with 4001 when their token and the leeway of %v are over, and counted", leeway),
		"%d of %d, %.1f to %.1f s after the token's end; the server counts %.0f", closedInTime, n-renewing, first.Seconds(), last.Seconds(), counted)
}

// busiest is how many of the moments, in order, lie within d of each other.
func busiest(moments []time.Duration, d time.Duration) int {
	most, first := 0, 0
	for i := range moments {
		for moments[i]-moments[first] > d {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// end ends all connections.
func (h *holding) end() {
	for _, c := range h.all {
		if c.conn != nil {
			c.conn.abort()
		}
	}
	h.reading.Wait()
}
