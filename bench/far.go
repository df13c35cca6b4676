package bench

import (
	"context"
	"fmt"
	"time"
)

// A clusterDialect is a Dialect whose servers can act as one, through a server of NATS.
type clusterDialect interface {
	// ServeNode is Serve for one of them. nats is the URL of the server of NATS.
	ServeNode(binary, dir string, port, loops int, nats string) ([]string, error)
}

// checkNodes tells what does not go with two nodes.
func (o *Options) checkNodes(sc *Scenario, d Dialect) error {
	if o.Nodes < 2 && o.Near {
		return fmt.Errorf("%w: -near needs -nodes 2", ErrUsage)
	}
	if o.Nodes < 2 {
		return nil
	}
	if _, ok := d.(clusterDialect); !ok {
		return fmt.Errorf("%w: servers for dialect %s are started alone only", ErrUsage, d.Name())
	}
	if o.Target != "" || o.TLS || o.History > 0 || sc.Name == "chat" {
		return fmt.Errorf("%w: -nodes 2 is for servers that are started without TLS and without a history, and not for chat", ErrUsage)
	}
	return nil
}

// startBeside starts a server of NATS and the node that publishers use, on the CPUs of the generator: those of the
// server are for the node that is measured.
func (s *session) startBeside(ctx context.Context, d Dialect) error {
	program, err := findServer(&Options{}, nats{})
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	broker := natsFor(program, port)
	if err := broker.start(ctx, s.opts.CPUs); err != nil {
		return err
	}
	s.broker, s.opts.nats = broker, "nats://"+broker.addr
	beside := s.opts
	beside.ServerCPUs = s.opts.CPUs
	if s.other, err = startServer(ctx, &beside, d); err != nil {
		return err
	}
	if !s.opts.Near {
		s.opts.publishTo = s.other.addr
	}
	return nil
}

// natsFor is a server of NATS that is not started yet.
func natsFor(program string, port int) *server {
	return &server{addr: fmt.Sprintf("127.0.0.1:%d", port), args: []string{program, "-a", "127.0.0.1", "-p", fmt.Sprint(port)}}
}

// stopAll ends what reach has started.
func (s *session) stopAll() {
	for _, started := range []*server{s.server, s.other, s.broker} {
		if started != nil {
			started.stop()
		}
	}
}

// besideCPU is what the server of NATS and the publishers' node have used.
func (s *session) besideCPU() (other, broker time.Duration) {
	if s.broker == nil || s.other == nil {
		return 0, 0
	}
	other, _ = cpuTime(s.other.cmd.Process.Pid) // one that has ended is found out by what does not come
	broker, _ = cpuTime(s.broker.cmd.Process.Pid)
	return other, broker
}
