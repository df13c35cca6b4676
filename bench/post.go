package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// An apiDialect is a Dialect whose server also takes publishes by HTTP.
type apiDialect interface {
	Dialect
	// ServeAPI returns the command line of a server whose HTTP API takes a key.
	ServeAPI(binary, dir string, port, loops int, key string) ([]string, error)
	// AppendPost appends a whole request that publishes data, which is a JSON value.
	AppendPost(dst []byte, host, key, channel string, data []byte) []byte
	// Posted reports whether the body of an answer says that it is published.
	Posted(body []byte) bool
}

// apiKey is the key that backends have in a run.
const apiKey = "rk_bench_0123456789abcdef0123456789abcdef"

// PostOptions say how backends publish by HTTP.
type PostOptions struct {
	Options           // Publishers, Payload, Warmup, Duration, Drain, Loops, Server, ServerArgs, CPUs and ServerCPUs count
	Dialects []string // of the servers, which run in turns
	Repeat   int      // runs of each
}

// PostResult is what one run with one server has shown.
type PostResult struct {
	Dialect      string  `json:"dialect"`
	PerSecond    float64 `json:"perSecond"`
	ServerMicros float64 `json:"serverMicros"` // CPU time for each publish
	Latency      Latency `json:"latency"`
	Check        Check   `json:"check"`
}

// RunPosts has keep-alive connections publish by HTTP to one channel, each one event after the other, while a subscriber
// looks at the order of each.
func RunPosts(ctx context.Context, o PostOptions) ([]*PostResult, error) {
	if o.Publishers < 1 || o.Publishers > 10_000 || o.Payload < minPayload || o.Payload > maxPayload || o.Repeat < 1 || o.Duration <= 0 {
		return nil, fmt.Errorf("%w: want 1 to 10000 publishers, %d to %d bytes, a repeat and a duration", ErrUsage, minPayload, maxPayload)
	}
	pinProcess(o.CPUs)
	var all []*PostResult
	for range o.Repeat {
		for _, name := range o.Dialects {
			d, err := DialectNamed(name)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrUsage, err)
			}
			api, ok := d.(apiDialect)
			if !ok {
				return nil, fmt.Errorf("%w: no HTTP API of %s is known here", ErrUsage, name)
			}
			r, err := runPost(ctx, o.Options, api)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// runPost is one run with one server.
func runPost(ctx context.Context, o Options, d apiDialect) (*PostResult, error) {
	o.Dialect, o.api = d.Name(), true
	s, err := startServer(ctx, &o, d)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ear, err := listenTo(d, s.addr, o.Publishers, o.Payload)
	if err != nil {
		return nil, err
	}
	defer ear.conn.Close()
	heard := make(chan error, 1)
	go func() { heard <- ear.listen(o.Drain) }()

	backends := make([]*backend, o.Publishers)
	ended := make(chan error, o.Publishers)
	var p phases
	for i := range backends {
		backends[i] = newBackend(d, s.addr, uint32(i), o.Payload)
		go func() { ended <- backends[i].publish(ctx, &p) }()
	}
	r := &PostResult{Dialect: d.Name()}
	err = p.measure(ctx, o, s)
	for range backends {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		return nil, errors.Join(err, s.ended())
	}
	all, published := newHistogram(), int64(0)
	for _, b := range backends {
		all.Merge(b.took)
		published += b.sent - b.refused
		r.Check.Refused += b.refused
	}
	r.Latency = summarize(all)
	r.PerSecond = float64(r.Latency.Count) / p.took.Seconds()
	r.ServerMicros = p.used.Seconds() * 1e6 / float64(max(r.Latency.Count, 1))
	ear.owed.Store(max(published, 1))
	if err := <-heard; err != nil {
		return nil, errors.Join(err, s.ended())
	}
	r.Check.add(ear.Check)
	r.Check.Lost = max(published-ear.Delivered, 0)
	return r, nil
}

// phases says which phase of a run it is, and what the measurement has taken.
type phases struct {
	now        atomic.Int32
	took, used time.Duration // used: CPU time of the server
}

const (
	phaseWarmup = iota
	phaseMeasured
	phaseOver
)

// measure lets the phases pass.
func (p *phases) measure(ctx context.Context, o Options, s *server) error {
	defer p.now.Store(phaseOver)
	pass(ctx, o.Warmup)
	before, err := cpuTime(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	from := time.Now()
	p.now.Store(phaseMeasured)
	pass(ctx, o.Duration)
	p.now.Store(phaseOver)
	p.took = time.Since(from)
	after, err := cpuTime(s.cmd.Process.Pid)
	p.used = after - before
	return errors.Join(err, ctx.Err())
}

func pass(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// WritePosts writes the medians of each server's runs as a table.
func WritePosts(w io.Writer, results []*PostResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "server\tpublishes/s\tspread\tserver µs each\tp50 ms\tp99 ms\tdeliveries\twrong\t")
	var names []string
	for _, r := range results {
		if !slices.Contains(names, r.Dialect) {
			names = append(names, r.Dialect)
		}
	}
	for _, name := range names {
		of := func(value func(*PostResult) float64) (all []float64) {
			for _, r := range results {
				if r.Dialect == name {
					all = append(all, value(r))
				}
			}
			slices.Sort(all)
			return all
		}
		middle := func(value func(*PostResult) float64) float64 {
			all := of(value)
			return all[len(all)/2]
		}
		var check Check
		for _, r := range results {
			if r.Dialect == name {
				check.add(r.Check)
			}
		}
		rates := of(func(r *PostResult) float64 { return r.PerSecond })
		fmt.Fprintf(t, "%s\t%.0f\t%.0f to %.0f\t%.1f\t%.2f\t%.2f\t%d\t%d\t\n", name, rates[len(rates)/2], rates[0], rates[len(rates)-1],
			middle(func(r *PostResult) float64 { return r.ServerMicros }),
			middle(func(r *PostResult) float64 { return r.Latency.P50 }), middle(func(r *PostResult) float64 { return r.Latency.P99 }),
			check.Delivered, check.wrong())
	}
	return t.Flush()
}
