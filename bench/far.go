package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A clusterDialect is a Dialect whose servers can act as one, through another server.
type clusterDialect interface {
	// Between is the server that nodes need which keep so many events of each channel, perhaps none.
	Between(events int) between
	// ServeNode is Serve for one of them. url is that of the server between them.
	ServeNode(binary, dir string, port, loops, events int, url string) ([]string, error)
}

// A meshDialect is a Dialect whose servers can act as one by themselves, and store together what they keep.
type meshDialect interface {
	// ServeMesh is ServeHistory for one of them. nodes are the addresses at which they reach each other, and that of this
	// one is the first.
	ServeMesh(binary, dir string, port, loops, events int, nodes []string) ([]string, error)
}

// between is a kind of server through which others act as one.
type between struct {
	program, scheme string
	args            func(port, dir string) []string // behind the program
}

// The servers between nodes.
var (
	natsBetween = between{"nats-server", "nats", func(port, _ string) []string {
		return []string{"-a", "127.0.0.1", "-p", port}
	}}
	streamsBetween = between{"nats-server", "nats", func(port, dir string) []string {
		return []string{"-a", "127.0.0.1", "-p", port, "-js", "-sd", dir}
	}}
	redisBetween = between{"redis-server", "redis", func(port, dir string) []string { // in memory alone
		return []string{"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "no"}
	}}
)

// meshNodes is how many servers act as one by themselves, so that each event is stored by all.
const meshNodes = 3

// checkNodes tells what does not go with several nodes.
func (o *Options) checkNodes(sc *Scenario, d Dialect) error {
	if o.Nodes != 2 && o.Near {
		return fmt.Errorf("%w: -near needs -nodes 2", ErrUsage)
	}
	if o.Nodes < 2 {
		return nil
	}
	if why := unableNodes(d, o); why != "" {
		return fmt.Errorf("%w: servers for dialect %s: %s", ErrUsage, d.Name(), why)
	}
	if o.Target != "" || o.TLS || sc.Name == "chat" {
		return fmt.Errorf("%w: -nodes %d is for servers that are started without TLS, and not for chat", ErrUsage, o.Nodes)
	}
	if o.Nodes == meshNodes && o.History == 0 {
		return fmt.Errorf("%w: -nodes %d needs a -history, which they store together", ErrUsage, o.Nodes)
	}
	return nil
}

// unableNodes says why servers cannot be started as so many nodes.
func unableNodes(d Dialect, o *Options) string {
	_, joins := d.(clusterDialect)
	_, meshes := d.(meshDialect)
	switch {
	case o.Nodes == meshNodes && !meshes:
		return "they do not store events together by themselves"
	case o.Nodes == 2 && !joins:
		return "they are started alone only"
	}
	return ""
}

// startBeside starts the server between the nodes, and the node that publishers use, on the CPUs of the generator: those of
// the server are for the node that is measured.
func (s *session) startBeside(ctx context.Context, d Dialect) error {
	kind := d.(clusterDialect).Between(s.opts.History)
	program, err := findProgram(kind.program)
	if err != nil {
		return err
	}
	if s.broker, err = newBetween(kind, program); err != nil {
		return err
	}
	if err := s.broker.start(ctx, s.opts.CPUs); err != nil {
		s.broker = nil
		return err
	}
	s.opts.between = kind.scheme + "://" + s.broker.addr
	beside := s.opts
	beside.ServerCPUs = s.opts.CPUs
	other, err := startServer(ctx, &beside, d)
	if err != nil {
		return err
	}
	s.others = append(s.others, other)
	if !s.opts.Near {
		s.opts.publishTo = []string{other.addr}
	}
	return nil
}

// startMesh starts nodes that need nothing between them. They and the generator share all CPUs. Clients are spread over
// them: what is published at one of them is heard at another one.
func (s *session) startMesh(ctx context.Context, d Dialect) error {
	ports, err := freePorts(meshNodes)
	if err != nil {
		return err
	}
	var nodes []string
	for _, port := range ports {
		nodes = append(nodes, fmt.Sprintf("127.0.0.1:%d", port))
	}
	s.opts.CPUs, s.opts.ServerCPUs = nil, nil
	s.others = make([]*server, meshNodes)
	err = each(meshNodes, meshNodes, func(i int) (err error) {
		one := s.opts
		one.mesh = slices.Concat(nodes[i:], nodes[:i])
		s.others[i], err = startServer(ctx, &one, d)
		return err
	})
	if err != nil {
		return err
	}
	for i := range s.others {
		s.opts.subscribeTo = append(s.opts.subscribeTo, s.others[i].addr)
		s.opts.publishTo = append(s.opts.publishTo, s.others[(i+1)%meshNodes].addr)
	}
	return nil
}

// newBetween is a server that is not started yet.
func newBetween(kind between, program string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := newDir()
	if err != nil {
		return nil, err
	}
	return &server{
		addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir, args: append([]string{program}, kind.args(fmt.Sprint(port), dir)...),
	}, nil
}

// stopAll ends what reach has started.
func (s *session) stopAll() {
	for _, started := range slices.Concat([]*server{s.server}, s.others, []*server{s.broker}) { // what nodes need ends last
		if started != nil {
			started.stop()
		}
	}
}

// besideCPU is what the server between the nodes and the nodes beside the one that is measured have used.
func (s *session) besideCPU() (others, broker time.Duration) {
	for _, one := range s.others {
		used, _ := cpuTime(one.cmd.Process.Pid) // one that has ended is found out by what does not come
		others += used
	}
	if s.broker != nil {
		broker, _ = cpuTime(s.broker.cmd.Process.Pid)
	}
	return others, broker
}
