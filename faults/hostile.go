package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// hostile sends a server everything that it should not get.
func hostile(ctx context.Context, t *trial) error {
	file := filepath.Join(t.dir, "rocket.json")
	// A hub of its own for what is thrown at it: the good clients share its loops and not its channels.
	const config = `{"Compression": "on", "Hubs": [{"Path": "/"}, {"Path": "/target"}, {"Path": "/echo", "Codec": "Echo"}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	s, a, end, err := t.serve(ctx, gathering{channel: "good", members: 50}, pace{rate: 50, size: 200},
		file, "-admin-profiling", "on", "-handshake-timeout", "2s", "-message-timeout", "2s")
	if err != nil {
		return err
	}
	defer end()
	calm := a.listenFor(ctx, scaled(t, 5*time.Second, time.Second))
	h := &hostility{t: t, s: s, seed: uint64(time.Now().UnixNano()), rounds: scaled(t, 4000, 200)}
	t.notef("the seed is %d", h.seed)
	// The first time round fills pools and caches, which are there to stay.
	h.all(ctx, func(attack) {})
	before, err := s.live()
	if err != nil {
		return err
	}
	h.seed++
	a.forget()
	h.all(ctx, func(a attack) {
		t.check(a.tries.Load() > 0 && a.failed.Load() == 0, a.must, "%d tries, %d not so%s", a.tries.Load(), a.failed.Load(), a.why())
	})
	meanwhile := summarize(a.forget())
	t.checkSpeed(unharmed(meanwhile, calm), "good clients have "+unharmedText, "without: %v; with: %v", calm, meanwhile)
	a.checkHeard(ctx, "good clients")
	return h.aftermath(ctx, a, before)
}

// aftermath looks at what the attacks have left.
func (h *hostility) aftermath(ctx context.Context, a *audience, before int64) error {
	const allowed = 2 << 20
	connections := func() float64 { return h.s.read("rocket_connections") }
	err := h.t.until(ctx, patience, "attackers are gone", func() bool { return connections() == float64(len(a.members)) })
	h.t.check(err == nil, "no connection of an attacker is left", "%.0f connections, %d of them good clients", connections(), len(a.members))
	after, err := h.s.live()
	if err != nil {
		return err
	}
	h.t.check(after < before+allowed, fmt.Sprintf("live memory returns to where it was, within %d MiB", allowed>>20),
		"%.1f MiB before, %.1f after; %.1f resident", mib(before), mib(after), mib(h.s.resident()))
	m, err := h.s.metrics()
	if err != nil {
		return err
	}
	h.t.check(!h.s.hasEnded() && m.sum("rocket_panics_total") == 0 && m.sum("rocket_loop_stalls_total") == 0,
		"the process lives; no panic, no stalled loop",
		"%.0f panics, %.0f stalls", m.sum("rocket_panics_total"), m.sum("rocket_loop_stalls_total"))
	return nil
}

// live is the memory that is left after a garbage collection, in bytes.
func (s *server) live() (int64, error) {
	resp, err := s.get("/debug/pprof/heap?gc=1")
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if err != nil {
		return 0, err
	}
	m, err := s.metrics()
	if err != nil {
		return 0, err
	}
	return int64(m.sum("go_memstats_heap_alloc_bytes")), nil
}

// hostility is attacks on one server. A seed makes them repeatable.
type hostility struct {
	t      *trial
	s      *server
	seed   uint64
	rounds int
}

// attack is one way to be hostile, with what must hold for every try.
type attack struct {
	*outcome
	must string
	try  func(ctx context.Context, r *rand.Rand, n int) error
	n    int
}

// outcome is what came of the tries.
type outcome struct {
	tries  atomic.Int64
	failed atomic.Int64
	first  atomic.Pointer[error]
}

func (o *outcome) why() string {
	if err := o.first.Load(); err != nil {
		return fmt.Sprintf(", the first: %v", *err)
	}
	return ""
}

// all runs every attack, one after the other, and reports each.
func (h *hostility) all(ctx context.Context, report func(attack)) {
	d := dialer{addr: h.s.addr, path: "/target", silence: patience}
	wrong := wrongCommands()
	bombs := inflateBombs()
	attacks := []attack{
		{must: "random bytes instead of a handshake: an HTTP error, or the end", n: h.rounds, try: d.throwBytes},
		{must: "random bytes instead of frames: the end of the connection", n: h.rounds, try: d.throwFrames},
		{must: "random valid frames with random JSON: each message has its reply, or the connection ends", n: h.rounds, try: d.throwJSON},
		{
			must: "every command with every JSON type in every place: an error or ok for each", n: len(wrong),
			try: func(ctx context.Context, _ *rand.Rand, n int) error { return d.answered(ctx, wrong[n]) },
		},
		{
			must: "compressed messages that inflate a thousandfold: closed with 1009", n: h.rounds / 4,
			try: func(ctx context.Context, _ *rand.Rand, n int) error { return d.bomb(ctx, bombs[n%len(bombs)]) },
		},
		{must: "a dialogue in writes of 1 byte: served", n: h.rounds / 4, try: d.dribble},
		{must: "the same at an Echo hub: random frames come back, or the connection ends", n: h.rounds, try: d.at("/echo").throwJSON},
	}
	for _, a := range attacks {
		a.outcome = &outcome{}
		h.run(ctx, a)
		report(a)
	}
}

// run makes the tries of one attack, some at the same time.
func (h *hostility) run(ctx context.Context, a attack) {
	const atOnce = 16
	var running sync.WaitGroup
	next := make(chan int)
	for range atOnce {
		running.Go(func() {
			for n := range next {
				a.tries.Add(1)
				if err := a.try(ctx, rand.New(rand.NewPCG(h.seed, uint64(n))), n); err != nil && ctx.Err() == nil {
					a.failed.Add(1)
					a.first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	for n := range a.n {
		next <- n
	}
	close(next)
	running.Wait()
}

func (d dialer) at(path string) dialer {
	d.path = path
	return d
}

// throwBytes sends random bytes, some of which begin like a handshake, and waits for the end.
func (d dialer) throwBytes(ctx context.Context, r *rand.Rand, n int) error {
	conn, err := d.dialTCP(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	b := randomBytes(r, r.IntN(8<<10))
	if request := d.request(); n%2 == 0 {
		b = append([]byte(request[:r.IntN(len(request))]), b...)
	}
	_, _ = conn.Write(b) // the server may have ended the connection meanwhile
	return awaitEOF(conn)
}

// awaitEOF reads until the other side ends the connection.
func awaitEOF(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the server does not end the connection")
	}
	return nil // with EOF or a reset
}

// throwFrames sends random bytes behind a handshake. Most are no frame; a frame that claims to be long runs into the
// time that a message may take.
func (d dialer) throwFrames(ctx context.Context, r *rand.Rand, _ int) error {
	c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	_, _ = c.conn.Write(randomBytes(r, 2+r.IntN(8<<10))) // the server may have ended the connection meanwhile
	return awaitEOF(c.conn)
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// throwJSON sends random messages, cut into frames at random, and pings in between. Each has to be answered until the
// connection ends.
func (d dialer) throwJSON(ctx context.Context, r *rand.Rand, _ int) error {
	c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	for range 10 {
		_, err := c.conn.Write(randomFrames(r, randomJSON(r, 4)))
		if err == nil {
			_, err = c.receive()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("no reply")
		}
		if err != nil {
			return nil // ended by the server
		}
	}
	return nil
}

// randomFrames is a message as a random number of frames.
func randomFrames(r *rand.Rand, message []byte) []byte {
	var b []byte
	op := codec.OpText
	if r.IntN(20) == 0 {
		op = codec.OpBinary
	}
	for cuts := r.IntN(4); cuts > 0 && len(message) > 0; cuts-- {
		n := r.IntN(len(message))
		part := codec.AppendMaskedFrame(nil, op, message[:n], mask)
		part[0] &^= 0x80 // not the last one
		b, op, message = append(b, part...), codec.OpContinuation, message[n:]
		if r.IntN(3) == 0 {
			b = codec.AppendMaskedFrame(b, codec.OpPing, randomBytes(r, r.IntN(126)), mask)
		}
	}
	return codec.AppendMaskedFrame(b, op, message, mask)
}

// randomJSON is a value that is nested up to depth. Now and then it is broken.
func randomJSON(r *rand.Rand, depth int) []byte {
	b, err := json.Marshal(randomValue(r, depth))
	if err != nil || r.IntN(4) > 0 {
		return b
	}
	b[r.IntN(len(b))] = byte(r.Uint32())
	return b
}

var words = []string{
	"auth", "subscribe", "unsubscribe", "publish", "logout", "disconnect", "access", "secret", "channel", "event", "data", "id",
	"read-only", "read-write", "c", "", "\x00", "é", "\u2028", "%s%n",
}

func randomValue(r *rand.Rand, depth int) any {
	kinds := 7
	if depth == 0 {
		kinds = 5
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return r.NormFloat64() * 1e9
	case 3, 4:
		return words[r.IntN(len(words))]
	case 5:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = randomValue(r, depth-1)
		}
		return list
	default:
		object := map[string]any{}
		for range r.IntN(4) {
			object[words[r.IntN(len(words))]] = randomValue(r, depth-1)
		}
		return object
	}
}

// answered sends a command that may be wrong in any way, and then one that is right: the session must still work.
func (d dialer) answered(ctx context.Context, message string) error {
	c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	var refusal replyError
	err = c.do(message)
	if err != nil && !errors.As(err, &refusal) {
		return fmt.Errorf("%.80s: %w", message, err)
	}
	if err := c.do(login("read-only", "")); err != nil {
		return fmt.Errorf("after %.80s: %w", message, err)
	}
	return nil
}

// dribble talks byte by byte.
func (d dialer) dribble(ctx context.Context, _ *rand.Rand, n int) error {
	conn, err := d.dialTCP(ctx)
	if err != nil {
		return err
	}
	c := newClient(slowly{conn})
	defer c.abort()
	if err := c.upgrade(d); err != nil {
		return err
	}
	for _, command := range []string{login("read-write", ""), subscribe("dribble"), `{"unsubscribe":{"channel":"dribble"}}`} {
		if err := c.do(command); err != nil {
			return err
		}
	}
	return nil
}

// slowly writes one byte at a time.
type slowly struct{ net.Conn }

func (s slowly) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := s.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}
