package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// reachTimeout is how long an address of a cluster may take to answer.
const reachTimeout = 2 * time.Second

// A reached is an address that the server needs in its cluster, and what is wrong with it.
type reached struct {
	Address string `json:"address"`
	Error   string `json:"error,omitempty"`
}

// addresses returns those of the other nodes, or of the servers of NATS.
func (c *clusterConfig) addresses() (all []string) {
	for _, address := range c.routes {
		if address != c.listen && !(everyAddress(c.listen) && c.isOwn(address)) {
			all = append(all, address)
		}
	}
	for _, server := range c.servers {
		u, err := url.Parse(server)
		if err != nil {
			continue // checkNATS has refused it
		}
		port := u.Port()
		if port == "" {
			port = "4222"
		}
		all = append(all, net.JoinHostPort(u.Hostname(), port))
	}
	return all
}

// isOwn reports whether an address is one of this machine, with the port of this node.
func (c *clusterConfig) isOwn(address string) bool {
	host, port, _ := net.SplitHostPort(address)
	if _, own, _ := net.SplitHostPort(c.listen); port != own {
		return false
	}
	there, _ := net.LookupIP(host)
	here, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(here, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && slices.ContainsFunc(there, n.IP.Equal)
	})
}

// reach connects to the addresses of the cluster, all at the same time.
func (c *clusterConfig) reach(ctx context.Context) []reached {
	addresses := c.addresses()
	all := make([]reached, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			all[i].Address = address
			d := net.Dialer{Timeout: reachTimeout}
			conn, err := d.DialContext(ctx, "tcp", address)
			if err != nil {
				all[i].Error = innermost(err).Error()
				return
			}
			_ = conn.Close()
		})
	}
	asking.Wait()
	return all
}

// printReached writes which addresses answer.
func printReached(w io.Writer, all []reached) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w, "\nThe cluster, from here:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range all {
		state := "answers"
		if r.Error != "" {
			state = "CANNOT BE REACHED: " + r.Error + "; is it running, and is the port open between the machines?"
		}
		fmt.Fprintf(t, "  %s\t%s\n", r.Address, state)
	}
	t.Flush()
}

// unreached returns how many addresses do not answer.
func unreached(all []reached) (n int) {
	for _, r := range all {
		if r.Error != "" {
			n++
		}
	}
	return n
}
