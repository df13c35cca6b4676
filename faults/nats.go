package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A broker is a nats-server that nodes use.
type broker struct {
	t    *trial
	on   *machine
	args []string
	*process
}

// brokers does to a cluster whose nodes use servers of NATS what may happen to nodes and servers. Each machine has one
// of both.
func brokers(ctx context.Context, t *trial) error {
	program := filepath.Join(filepath.Dir(t.binary), "nats-server")
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("%w; make bin/nats-server makes one", err)
	}
	s := &served{union: &union{t: t}}
	file, err := t.keeping(guestsRules)
	if err != nil {
		return err
	}
	if s.machines, err = buildMachines(nodesCount); err != nil {
		return err
	}
	var routes, servers []string
	for _, m := range s.machines {
		routes = append(routes, "nats://"+m.between+":6222")
		servers = append(servers, "nats://"+m.between+":4222")
	}
	defer s.stop()
	for i, m := range s.machines {
		s.brokers = append(s.brokers, &broker{t: t, on: m, args: []string{
			program, "-a", m.between, "-p", "4222", "--name", fmt.Sprintf("s%d", i),
			"--cluster_name", "c", "--cluster", routes[i], "--routes", strings.Join(routes, ","),
		}})
	}
	if err := s.startBrokers(ctx); err != nil {
		return err
	}
	defer s.stopBrokers()
	if err := s.start(ctx, func(int) []string { return []string{file, "-nats-servers", strings.Join(servers, ",")} }); err != nil {
		return err
	}
	return s.try(ctx, s.calm, s.gone, s.restarted, s.brokerPaused, s.paused, s.slowLink, s.oneApart, s.rolling, s.killed, s.allKilled)
}

// served is a union with its servers of NATS.
type served struct {
	*union
	brokers []*broker
}

func (s *served) startBrokers(ctx context.Context) error {
	for _, b := range s.brokers {
		if err := b.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *served) stopBrokers() {
	for _, b := range s.brokers {
		b.stop()
	}
}

// start gives the server a life, and waits until it listens.
func (b *broker) start(ctx context.Context) error {
	var err error
	if b.process, err = b.on.launch(b.args); err != nil {
		return err
	}
	err = b.t.until(ctx, patience, "nats-server listens", func() bool {
		conn, err := net.DialTimeout("tcp4", b.on.between+":4222", time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil || b.hasEnded()
	})
	if err == nil && b.hasEnded() {
		err = errors.New("nats-server ended at once")
	}
	if err != nil {
		b.stop()
		return fmt.Errorf("%w:\n%s", err, b.log)
	}
	return nil
}

// gone ends all servers of NATS at the same time, for a minute, and starts them again.
func (s *served) gone(ctx context.Context) error {
	length := scaled(s.t, time.Minute, 4*time.Second)
	s.stopBrokers()
	rest(ctx, length)
	if err := s.startBrokers(ctx); err != nil {
		return err
	}
	return s.report(ctx, fmt.Sprintf("NATS is gone for %v, all servers at once, by kill -9", length), allowedFor(length))
}

// restarted kills the servers of NATS one after the other.
func (s *served) restarted(ctx context.Context) error {
	for _, b := range s.brokers {
		b.stop()
		rest(ctx, scaled(s.t, 2*time.Second, time.Second))
		if err := b.start(ctx); err != nil {
			return err
		}
		if err := s.t.until(ctx, patience, "all nodes are ready", func() bool { return all(s.nodes, (*server).isReady) }); err != nil {
			return err
		}
	}
	return s.report(ctx, "the servers of NATS are killed with kill -9 and started again, one after the other", exactly)
}

// brokerPaused stops the process of a server of NATS for a while.
func (s *served) brokerPaused(ctx context.Context) error {
	length := scaled(s.t, 8*time.Second, 3*time.Second)
	b := s.brokers[0]
	if err := b.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	rest(ctx, length)
	if err := b.signal(syscall.SIGCONT); err != nil {
		return err
	}
	return s.report(ctx, fmt.Sprintf("a server of NATS is stopped for %v", length), exactly)
}
