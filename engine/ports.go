package engine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// ports are the listening sockets of the loops. gnet accepts from them and keeps
// them to itself until it ends; here they close before that, and newcomers wait
// while they cannot be accepted. The clock's goroutine only, but for forget and
// shut.
type ports struct {
	mu      sync.Mutex
	doors   []door // guarded by mu
	failing bool   // nobody has been accepted of late; guarded by mu
	waiting bool   // nobody is, until the next tick; guarded by mu
	calls   int    // of leave
}

// lastCall is for how many ticks those who knocked before leave are let in: what
// a handshake of TCP takes, and less than the second after which one that was
// dropped is tried again, at another process perhaps.
const lastCall = 3

// watch is called once, with the sockets.
func (p *ports) watch(doors []door) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doors = doors
}

// leave is called on each tick once nobody is to be let in any more. It tells
// whether nobody comes any more.
func (p *ports) leave() (gone bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doors == nil {
		return true, nil
	}
	if p.calls++; p.calls == 1 {
		return false, p.filter()
	}
	if p.calls <= lastCall || !p.empty() {
		return false, nil
	}
	return false, p.close()
}

// noSYN lets a listening socket drop the packets that ask for a new connection
// (RFC 9293 §3.5); those whose handshake has begun come through. The other side
// asks again after a second.
var noSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},                  // flags
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},               // SYN and ACK
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1}, // SYN alone
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
}

// filter lets nobody knock any more. mu is held.
func (p *ports) filter() error {
	program := unix.SockFprog{Len: uint16(len(noSYN)), Filter: &noSYN[0]}
	for _, d := range p.doors {
		if err := unix.SetsockoptSockFprog(d.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
			return fmt.Errorf("engine: attach a filter: %w", err)
		}
	}
	return nil
}

// forget leaves the sockets alone from now on: gnet is about to close them, and
// their numbers will be those of others.
func (p *ports) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doors = nil
}

// empty tells whether nobody waits to be accepted.
func (p *ports) empty() bool {
	for _, d := range p.doors {
		waiting := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(waiting, 0); n > 0 && err == nil {
			return false
		}
	}
	return true
}

// close closes the sockets. gnet may be about to accept from one and ends if that
// fails, so each gives its number to a socket at which nobody can knock.
func (p *ports) close() error {
	deaf, err := deafSocket()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(deaf) }()
	for _, d := range p.doors {
		if err := unix.Dup3(deaf, d.fd, unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("engine: dup3: %w", err)
		}
	}
	p.doors = nil
	return nil
}

// deafSocket returns a listening socket under a name that the kernel makes up
// and nobody is told.
func deafSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("engine: socket: %w", err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{}), unix.Listen(fd, 1)); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("engine: listen: %w", err)
	}
	return fd, nil
}

// listening returns the sockets of this process that listen on one of the ports.
func listening(ports ...int) ([]int, error) {
	names, err := openFiles()
	if err != nil {
		return nil, err
	}
	var fds []int
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || !slices.Contains(ports, listensOn(fd)) {
			continue
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// listensOn returns the port that a file listens on, -1 if it does not.
func listensOn(fd int) int {
	if yes, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || yes == 0 {
		return -1
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return -1
	}
	return portOf(name)
}

// portsOf returns the ports of the listeners that have one.
func portsOf(listeners []*listener) (ports []int) {
	for _, l := range listeners {
		if addr, ok := l.addr.(*net.TCPAddr); ok {
			ports = append(ports, addr.Port)
		}
	}
	return ports
}

// openFiles returns the numbers of the files that the process has open, the one
// that it takes to learn them among them.
func openFiles() ([]string, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return names, nil
}

// reserve tells which address addr is, and keeps others from it until release.
// gnet's loops share a port, each with a listener of its own, and would share it
// with another process too: that the port is taken shows only here, unless
// sharing it is what is wanted.
func reserve(addr string, share bool) (bound net.Addr, release func(), err error) {
	if share {
		return reserveShared(addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	return l.Addr(), func() { _ = l.Close() }, nil
}

// reserveShared binds without listening: who connected would be lost.
func reserveShared(addr string) (bound net.Addr, release func(), err error) {
	want, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	if want.IP == nil {
		want.IP = net.IPv6unspecified // both families, as net.Listen has it
	}
	family, name := sockaddr(want)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("listen tcp %s: %w", addr, err)
	}
	release = func() { _ = unix.Close(fd) }
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err == nil {
		err = unix.Bind(fd, name)
	}
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		release()
		return nil, nil, &net.OpError{Op: "listen", Net: "tcp", Addr: want, Err: os.NewSyscallError("bind", err)}
	}
	return &net.TCPAddr{IP: want.IP, Port: portOf(name), Zone: want.Zone}, release, nil
}

// sockaddr returns an address as the kernel wants it.
func sockaddr(addr *net.TCPAddr) (family int, name unix.Sockaddr) {
	if ip := addr.IP.To4(); ip != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}
	}
	name6 := &unix.SockaddrInet6{Port: addr.Port}
	copy(name6.Addr[:], addr.IP.To16())
	return unix.AF_INET6, name6
}

// portOf returns the port of an address, -1 if it has none.
func portOf(name unix.Sockaddr) int {
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return name.Port
	case *unix.SockaddrInet6:
		return name.Port
	}
	return -1
}
