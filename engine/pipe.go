package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/panjf2000/gnet/v2"
)

// pipes is the listener of the connections within the process.
var pipes = &listener{network: "unix", address: "pipe", addr: &net.UnixAddr{Net: "unix", Name: "pipe"}}

// piped is what gnet is given with one.
type piped struct{ remote *net.TCPAddr }

// Pipe connects a client within the process, for what brings the clients of another
// transport to an Endpoint: what is returned is the client's end of a pair of sockets,
// on which it has to shake hands as others do. To the endpoint the client has the
// address from, an "address:port", or none if it is not one. The connection counts
// among MaxConnections, but is not checked for ConnectRate. Any goroutine; after
// Listen.
func (e *Engine) Pipe(from string) (net.Conn, error) {
	if e.simulation != nil || len(e.loops) == 0 {
		return nil, errors.New("engine: there are no sockets for a pipe")
	}
	events := e.loops[int(e.piped.Add(1))%len(e.loops)].events.Load()
	if events == nil || e.life.stopping.Load() {
		return nil, ErrStopped
	}
	fd, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("engine: socketpair: %w", err)
	}
	if e.config.SendBuffer > 0 {
		_ = theirs.(*net.UnixConn).SetWriteBuffer(e.config.SendBuffer)
	}
	file := os.NewFile(uintptr(fd), "pipe")
	defer file.Close()
	ours, err := net.FileConn(file)
	if err != nil {
		_ = theirs.Close()
		return nil, fmt.Errorf("engine: pipe: %w", err)
	}
	p := &piped{}
	if addr, err := netip.ParseAddrPort(from); err == nil {
		p.remote = net.TCPAddrFromAddrPort(addr)
	}
	// gnet duplicates theirs, and closes it.
	result, err := (*events).Enroll(gnet.NewContext(context.Background(), p), theirs)
	if err != nil {
		_ = theirs.Close()
		_ = ours.Close()
		return nil, fmt.Errorf("engine: pipe: %w", err)
	}
	select {
	case r := <-result:
		err = r.Err
	case <-e.life.loopsEnded: // then there will be no result
		err = ErrStopped
	}
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("engine: pipe: %w", err)
	}
	return ours, nil
}

// transportOf returns what a connection within the process has for a transport.
func (p *piped) transportOf(c *Conn) *transport {
	return &transport{conn: c, listener: pipes, remote: p.remote, stage: established}
}

// isPipe reports whether the client is within the process.
func (t *transport) isPipe() bool { return t != nil && t.listener == pipes }

// Allows reports whether pages of an origin may connect to the endpoint of a path.
// Any goroutine; after Listen.
func (e *Engine) Allows(path, origin string) bool {
	endpoint := e.endpoints.Load().find([]byte(path))
	return endpoint != nil && endpoint.allows([]byte(origin))
}
