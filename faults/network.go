package faults

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// network lets audiences listen through networks that are bad, each in its own way, beside one whose network is good.
func network(ctx context.Context, t *trial) error {
	config, err := t.writeHubs(networks)
	if err != nil {
		return err
	}
	s, good, end, err := t.serve(ctx, gathering{channel: "c", members: scaled(t, 200, 50)}, pace{rate: 20, size: 200},
		config, "-max-queued-bytes", "131072", "-send-buffer", "16384")
	if err != nil {
		return err
	}
	defer end()
	bad := make([]*badNetwork, len(networks))
	for i, b := range networks {
		if bad[i], err = b.open(ctx, t, s); err != nil {
			return err
		}
		defer bad[i].end()
	}
	rest(ctx, scaled(t, time.Second, time.Second/2))
	calm := good.listenFor(ctx, scaled(t, 8*time.Second, time.Second))
	good.forget()
	err = inParallel(len(bad), len(bad), func(i int) error { return bad[i].try(ctx, bad[i]) })
	for _, b := range bad {
		t.adopt(b.t)
	}
	if err != nil {
		return err
	}
	with := summarize(good.forget())
	t.checkSpeed(unharmed(with, calm), "clients with a good network hear events with "+unharmedText, "without: %v; with: %v", calm, with)
	good.checkHeard(ctx, "clients with a good network")
	return nil
}

// badNetwork is a way to a hub that goes wrong.
type badNetwork struct {
	path   string
	policy string // of the hub, for slow readers; "" is the server's
	size   int    // of events
	try    func(ctx context.Context, b *badNetwork) error

	t *trial
	s *server
	a *audience
	p *proxy
}

// networks are tried at the same time.
var networks = []badNetwork{
	{path: "/latency", size: 200, try: tryLatency},
	{path: "/slicer", size: 1000, try: trySlicer},
	{path: "/disconnect", policy: "disconnect", size: 4000, try: tryDisconnect},
	{path: "/drop-oldest", policy: "drop-oldest", size: 4000, try: tryDrop},
	{path: "/conflate", policy: "conflate", size: 4000, try: tryDrop},
	{path: "/reset", size: 200, try: tryReset},
	{path: "/blackhole", size: 200, try: tryBlackhole},
	{path: "/slow-close", size: 200, try: trySlowClose},
}

// writeHubs writes a configuration with a hub for each network, and one at / for clients with a good network.
func (t *trial) writeHubs(networks []badNetwork) (config string, err error) {
	type hub struct {
		Path        string
		SlowReaders string `json:",omitempty"`
	}
	hubs := []hub{{Path: "/"}}
	for _, b := range networks {
		hubs = append(hubs, hub{b.path, b.policy})
	}
	text, err := json.Marshal(map[string]any{"Hubs": hubs})
	if err != nil {
		return "", err
	}
	config = filepath.Join(t.dir, "rocket.json")
	return config, os.WriteFile(config, text, 0o600)
}

// silentFor is how long a client waits for a sign of life before it comes again.
const silentFor = 3 * time.Second

// open connects an audience through a proxy that is good for now. Its load comes by another way.
func (b badNetwork) open(ctx context.Context, t *trial, s *server) (*badNetwork, error) {
	b.t, b.s = t.aside(), s
	var err error
	if b.p, err = startProxy(b.path, s.addr); err != nil {
		return nil, err
	}
	d := dialer{addr: b.p.Listen, path: b.path, silence: silentFor}
	b.a, err = b.t.gather(ctx, gathering{channel: "c", members: scaled(t, 30, 10), dialer: d, returns: true})
	if err != nil {
		b.p.Stop()
		return nil, err
	}
	if err = b.a.load.publish(ctx, pace{dialer: dialer{addr: s.addr, path: b.path}, rate: scaled(t, 10.0, 40.0), size: b.size}); err != nil {
		b.end()
		return nil, err
	}
	return &b, nil
}

func (b *badNetwork) end() {
	b.a.end()
	b.p.Stop()
}

// window is how long the network is bad, at least.
func (b *badNetwork) window() time.Duration { return scaled(b.t, 5*time.Second, time.Second) }

// tryLatency makes everything come late, and not evenly so.
func tryLatency(ctx context.Context, b *badNetwork) error {
	const attributes = `{"latency":200,"jitter":50}`
	for _, way := range []string{toServer, toClients} {
		if err := b.p.add("latency", way, attributes); err != nil {
			return err
		}
	}
	rest(ctx, 300*time.Millisecond) // for what was on its way
	late := b.a.listenFor(ctx, b.window())
	b.t.check(late.p50 >= 150*time.Millisecond, "latency 200 ms ± 50: events are late by that", "%v", late)
	b.a.checkHeard(ctx, "latency: all")
	return nil
}

// trySlicer cuts everything into small pieces.
func trySlicer(ctx context.Context, b *badNetwork) error {
	for _, way := range []string{toServer, toClients} {
		if err := b.p.add("slicer", way, `{"average_size":100,"size_variation":20,"delay":500}`); err != nil {
			return err
		}
	}
	rest(ctx, b.window())
	b.a.checkHeard(ctx, "pieces of 100 bytes or so: all")
	return nil
}

// throttle makes the network slower than what is published.
func (b *badNetwork) throttle() error {
	return b.p.add("bandwidth", toClients, `{"rate":5}`)
}

func (b *badNetwork) slow() float64 {
	return b.s.count(counter{"rocket_slow_readers_total", "policy", b.policy})
}

// tryDisconnect throttles an audience whose hub closes slow readers.
func tryDisconnect(ctx context.Context, b *badNetwork) error {
	if err := b.throttle(); err != nil {
		return err
	}
	if err := b.s.until(ctx, patience, "slow readers are closed", func() bool { return b.slow() >= float64(b.a.gathering.members) }); err != nil {
		return err
	}
	if err := b.p.remove(ctx, "bandwidth", toClients); err != nil {
		return err
	}
	return b.checkReturn(ctx, "throttled, disconnect", func(heard tally) {
		b.t.check(heard.code[1013] == int64(b.slow()) && heard.code[1013] == heard.ended,
			"throttled, disconnect: slow clients are closed with 1013, and counted", "%d connections ended, %d with 1013, %.0f counted", heard.ended, heard.code[1013], b.slow())
	})
}

// tryDrop throttles an audience whose hub drops what slow readers have no time for.
func tryDrop(ctx context.Context, b *badNetwork) error {
	if err := b.throttle(); err != nil {
		return err
	}
	if err := b.s.until(ctx, patience, "events are dropped", func() bool { return b.slow() >= float64(b.a.gathering.members) }); err != nil {
		return err
	}
	if err := b.p.remove(ctx, "bandwidth", toClients); err != nil {
		return err
	}
	heard := b.a.settle(ctx)
	behind := b.a.missing(b.a.load.sent.Load())
	b.t.check(heard.ended == 0 && heard.doubled == 0 && heard.lost > 0 && behind == 0,
		"throttled, "+b.policy+": slow clients stay, hear in order what they have time for, and the newest",
		"%d events heard, %d left out, %d doubled, %d behind, %d connections ended", heard.delivered, heard.lost, heard.doubled, behind, heard.ended)
	return nil
}

// tryReset breaks connections, and resets those that try again.
func tryReset(ctx context.Context, b *badNetwork) error {
	if err := b.p.add("reset_peer", toClients, `{"timeout":0}`); err != nil {
		return err
	}
	if err := b.awaitEnds(ctx); err != nil {
		return err
	}
	rest(ctx, b.window())
	b.t.check(b.a.connected.Load() == 0, "resets: the network lets no client in", "%d connected", b.a.connected.Load())
	if err := b.p.remove(ctx, "reset_peer", toClients); err != nil {
		return err
	}
	return b.checkReturn(ctx, "resets", nil)
}

// tryBlackhole takes everything and gives nothing.
func tryBlackhole(ctx context.Context, b *badNetwork) error {
	for _, way := range []string{toServer, toClients} {
		if err := b.p.add("timeout", way, `{"timeout":0}`); err != nil {
			return err
		}
	}
	if err := b.awaitEnds(ctx); err != nil {
		return err
	}
	for _, way := range []string{toServer, toClients} {
		if err := b.p.remove(ctx, "timeout", way); err != nil {
			return err
		}
	}
	return b.checkReturn(ctx, "black hole", nil)
}

// trySlowClose lets the server learn late that clients have gone.
func trySlowClose(ctx context.Context, b *badNetwork) error {
	if err := b.p.add("slow_close", toServer, `{"delay":2000}`); err != nil {
		return err
	}
	connections := func() float64 { return b.s.count(counter{"rocket_hub_connections", "hub", b.path}) }
	before := connections()
	for _, m := range b.a.members {
		m.drop()
	}
	if err := b.awaitEnds(ctx); err != nil {
		return err
	}
	err := b.s.until(ctx, patience, "they are there twice", func() bool { return connections() >= 2*before-2 })
	b.t.check(err == nil, "ends come late: the server has old and new connections for a while", "%.0f, then %.0f", before, connections())
	err = b.s.until(ctx, patience, "the old ones have gone", func() bool { return connections() <= before })
	b.t.check(err == nil, "ends come late: and then the new ones alone", "%.0f", connections())
	return b.checkReturn(ctx, "ends come late", nil)
}

// awaitEnds waits until the connection of every member has ended.
func (b *badNetwork) awaitEnds(ctx context.Context) error {
	return b.t.until(ctx, patience, "connections end", func() bool { return b.a.everyoneEnded() })
}

// checkReturn wants everybody to be there again and served. more is checked with what they have heard then.
func (b *badNetwork) checkReturn(ctx context.Context, name string, more func(tally)) error {
	members := int64(b.a.gathering.members)
	err := b.t.until(ctx, patience, "they come back", func() bool { return b.a.connected.Load() == members })
	back := b.a.connected.Load()
	rest(ctx, scaled(b.t, 2*time.Second, time.Second/2))
	heard := b.a.settle(ctx)
	b.t.check(err == nil && heard.right(), name+": all come back, and hear each event once, in order, while they are connected",
		"%d of %d; %d events heard, %d lost, %d doubled", back, members, heard.delivered, heard.lost, heard.doubled)
	if more != nil {
		more(heard)
	}
	return ctx.Err()
}
