package pusher

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A Webhook is an endpoint of the application that is told what happens. It gets one
// request after the other, so that it hears things in their order.
type Webhook struct {
	// URL is where requests are sent: http or https.
	URL string

	// Events are the names of what it is told, of HookEvents. If empty, all.
	Events []string

	// Prefix and Suffix say of which channels it is told. If empty, of all.
	Prefix, Suffix string

	// Header has further fields of the requests.
	Header map[string]string

	// Batch is for how long events are gathered that go into one request, of at most
	// 100 events. If zero, each goes alone.
	Batch time.Duration

	// Timeout is how long the endpoint may take. If zero, 5 s.
	Timeout time.Duration

	// PublicOnly refuses to connect to addresses that are not of the public network:
	// for URLs that the operator has not written.
	PublicOnly bool

	// MaxQueued is how many events may wait, in 64 MiB at most; further ones are lost. If
	// zero, 10,000.
	MaxQueued int
}

// How webhooks are delivered.
const (
	DefaultWebhookTimeout = 5 * time.Second
	DefaultMaxQueued      = 10_000

	queuedBytesMax = 64 << 20 // of the events that wait

	batchMax   = 100
	retryFor   = 5 * time.Minute // after the first attempt
	retryFirst = time.Second     // doubled each time
	retryMost  = time.Minute
)

// Check returns what is wrong with the settings, nil if they can be obeyed.
func (w *Webhook) Check() error {
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is not the URL of an endpoint", w.URL)
	}
	for _, name := range w.Events {
		if !slices.Contains(HookEvents, name) {
			return fmt.Errorf("there is no event %q; want one of %s", name, strings.Join(HookEvents, ", "))
		}
	}
	return nil
}

// wants reports whether the webhook is told of an event.
func (w *Webhook) wants(name, channel string) bool {
	return strings.HasPrefix(channel, w.Prefix) && strings.HasSuffix(channel, w.Suffix) &&
		(len(w.Events) == 0 || slices.Contains(w.Events, name))
}

// HookStats is what became of the events for a webhook.
type HookStats struct {
	Endpoint        string // the URL without what may be secret
	Delivered, Lost uint64 // events
	Failures        uint64 // requests that were not answered with 2xx
	Queued          int    // events that wait
}

// hookStats returns what became of the events for each webhook, in the order of the
// settings.
func (a *App) hookStats() []HookStats {
	var all []HookStats
	for _, q := range a.hooks.list() {
		all = append(all, HookStats{q.name(), q.delivered.Load(), q.lost.Load(), q.failures.Load(), int(q.waiting.Load())})
	}
	return all
}

// An endpointQueue delivers the events of a webhook, on one goroutine.
type endpointQueue struct {
	app    *App
	hook   Webhook
	events chan []byte // JSON objects
	client *http.Client
	ctx    context.Context // done when the webhook is not wanted any more
	cancel context.CancelFunc

	delivered, lost, failures atomic.Uint64
	waiting                   atomic.Int64 // events, those of the request in progress too
	bytes                     atomic.Int64 // of those events
	full                      atomic.Bool  // and the log knows it
}

func newEndpointQueue(a *App, w Webhook) *endpointQueue {
	q := &endpointQueue{app: a, hook: w, events: make(chan []byte, cmp.Or(w.MaxQueued, DefaultMaxQueued))}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	dialer := &net.Dialer{}
	if w.PublicOnly {
		dialer.Control = refusePrivate
	}
	q.client = &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConns: 1, IdleConnTimeout: time.Minute},
		Timeout:   cmp.Or(w.Timeout, DefaultWebhookTimeout),
		// A redirect could lead to an address that nobody has allowed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return q
}

var errPrivate = errors.New("the address is not one of the public network")

// refusePrivate refuses to connect to an address that only this machine, its network or
// nobody has.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return errPrivate
	}
	return nil
}

// notPublic are further addresses that are not of the public network, or stand for an address
// of IPv4 that may be one of those.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this network (RFC 791)
	netip.MustParsePrefix("100.64.0.0/10"),  // of carriers (RFC 6598)
	netip.MustParsePrefix("192.0.0.0/24"),   // of protocols (RFC 6890)
	netip.MustParsePrefix("198.18.0.0/15"),  // of networks under test (RFC 2544)
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved (RFC 1112)
	netip.MustParsePrefix("::/96"),          // IPv4-compatible (RFC 4291)
	netip.MustParsePrefix("64:ff9b::/96"),   // translated (RFC 6052)
	netip.MustParsePrefix("64:ff9b:1::/48"), // translated in one network (RFC 8215)
	netip.MustParsePrefix("2001::/32"),      // Teredo (RFC 4380)
	netip.MustParsePrefix("2002::/16"),      // 6to4 (RFC 3056)
	netip.MustParsePrefix("fec0::/10"),      // of a site (RFC 3879)
}

// push queues an event, or loses it.
func (q *endpointQueue) push(event []byte) {
	q.waiting.Add(1)
	if q.bytes.Add(int64(len(event))) <= queuedBytesMax {
		select {
		case q.events <- event:
			if len(q.events) <= cap(q.events)/2 && q.bytes.Load() <= queuedBytesMax/2 {
				q.full.Store(false)
			}
			return
		default:
		}
	}
	q.done(event)
	q.lost.Add(1)
	if !q.full.Swap(true) {
		q.app.log().Error("webhook events are lost: too many wait", "endpoint", q.name(), "queued", len(q.events), "bytes", q.bytes.Load())
	}
}

// done notes that events do not wait any more.
func (q *endpointQueue) done(events ...[]byte) {
	for _, e := range events {
		q.bytes.Add(-int64(len(e)))
	}
	q.waiting.Add(-int64(len(events)))
}

// name is the endpoint in logs: a URL may have a password.
func (q *endpointQueue) name() string {
	u, err := url.Parse(q.hook.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + u.Path
}

// run delivers what is queued until the webhook is not wanted any more.
func (q *endpointQueue) run() {
	defer q.client.CloseIdleConnections()
	for {
		batch := q.gather()
		if batch == nil {
			if n := len(q.events); n > 0 {
				q.lost.Add(uint64(n))
				q.app.log().Error("webhook events are lost: the webhook has ended", "endpoint", q.name(), "count", n)
			}
			return
		}
		err := q.deliver(batch)
		q.done(batch...)
		if err == nil {
			q.delivered.Add(uint64(len(batch)))
			continue
		}
		q.lost.Add(uint64(len(batch)))
		// The events themselves, so that somebody can make up for them.
		q.app.log().Error("webhook events are lost", "endpoint", q.name(), "count", len(batch), "error", err, "events", string(list(batch)))
	}
}

// list returns events as a JSON array.
func list(events [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(events, []byte(","))...), ']')
}

// gather waits for events, and returns those of the next request; nil at the end.
func (q *endpointQueue) gather() (batch [][]byte) {
	select {
	case <-q.ctx.Done():
		return nil
	case event := <-q.events:
		batch = append(batch, event)
	}
	if q.hook.Batch <= 0 {
		return batch
	}
	over := time.NewTimer(q.hook.Batch)
	defer over.Stop()
	for len(batch) < batchMax {
		select {
		case event := <-q.events:
			batch = append(batch, event)
		case <-over.C:
			return batch
		case <-q.ctx.Done():
			return batch
		}
	}
	return batch
}

// deliver sends events until the endpoint has taken them, or it is too late.
func (q *endpointQueue) deliver(batch [][]byte) error {
	began, pause := time.Now(), retryFirst
	for {
		err := q.post(batch)
		if err == nil {
			return nil
		}
		q.failures.Add(1)
		if time.Since(began)+pause > retryFor {
			return err
		}
		select {
		case <-time.After(pause):
		case <-q.ctx.Done():
			return err
		}
		pause = min(2*pause, retryMost)
	}
}

// post sends one request. The signature is of the bytes that are sent.
func (q *endpointQueue) post(batch [][]byte) error {
	body := strconv.AppendInt([]byte(`{"time_ms":`), time.Now().UnixMilli(), 10)
	body = append(append(append(body, `,"events":`...), list(batch)...), '}')
	r, err := http.NewRequestWithContext(q.ctx, http.MethodPost, q.hook.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range q.hook.Header {
		r.Header.Set(name, value)
	}
	key := q.app.settings.Load().keys[0].Key
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Rocket")
	r.Header.Set("X-Pusher-Key", key.Key)
	r.Header.Set("X-Pusher-Signature", key.sign(body))
	answer, err := q.client.Do(r)
	if err != nil {
		return err
	}
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10) // so that the connection can be used again
	_ = answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("the endpoint answers %s", answer.Status)
	}
	return nil
}
