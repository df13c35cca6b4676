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

// ports are the listening sockets of the loops. gnet accepts from them and
// would close them only when it ends. The engine closes them earlier, in a
// drain, and pauses them while accept fails (acceptfail.go). The methods are
// for the clock's goroutine only, except forget and pause.
type ports struct {
	mu      sync.Mutex
	sockets []listenSocket // guarded by mu
	failing bool           // the last accept failed; guarded by mu
	paused  bool           // nothing is accepted until the next tick; guarded by mu
	calls   int            // of leave
}

// lastCall is for how many ticks after the filter is attached connections are
// still accepted whose TCP handshake had begun before: long enough for that
// handshake, and shorter than the second after which a client repeats a SYN
// that was discarded, which may then reach another process.
const lastCall = 3

// watch is called once, with the sockets.
func (p *ports) watch(sockets []listenSocket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets = sockets
}

// leave is called on each tick while the engine drains: it discards SYNs, then
// waits for the connections that had begun, then closes the sockets. It reports
// whether the sockets were closed by an earlier call.
func (p *ports) leave() (gone bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sockets == nil {
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

// noSYN is a filter with which a listening socket discards packets that ask for
// a new connection (RFC 9293 §3.5). A TCP handshake that has begun goes on. The
// client repeats a discarded SYN after a second.
var noSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},                  // flags
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},               // SYN and ACK
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1}, // SYN alone
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
}

// filter attaches noSYN to the sockets. mu is held.
func (p *ports) filter() error {
	program := unix.SockFprog{Len: uint16(len(noSYN)), Filter: &noSYN[0]}
	for _, s := range p.sockets {
		if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
			return fmt.Errorf("engine: attach a filter: %w", err)
		}
	}
	return nil
}

// forget makes p use the sockets no more: gnet is about to close them, and
// their file descriptors may then be those of other files.
func (p *ports) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets = nil
}

// empty reports whether no connection waits to be accepted.
func (p *ports) empty() bool {
	for _, s := range p.sockets {
		waiting := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(waiting, 0); n > 0 && err == nil {
			return false
		}
	}
	return true
}

// close closes the sockets. gnet may be about to call accept on one of them,
// and ends if that fails. So each file descriptor is given to another listening
// socket, to which nobody can connect.
func (p *ports) close() error {
	secret, err := secretSocket()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(secret) }()
	for _, s := range p.sockets {
		if err := unix.Dup3(secret, s.fd, unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("engine: dup3: %w", err)
		}
	}
	p.sockets = nil
	return nil
}

// secretSocket returns a listening unix socket that nobody can connect to: the
// kernel chooses its name.
func secretSocket() (int, error) {
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

// listening returns the sockets of this process that listen on one of the
// ports.
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

// listensOn returns the port of a listening TCP socket, -1 for other files.
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

// openFiles returns the numbers of the process's open files. One of them is the
// directory that openFiles itself reads, which is closed when it returns.
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

// reserve resolves addr, with port 0 to a free port, and keeps other processes
// from it until release is called. gnet's loops share a port (SO_REUSEPORT),
// each with a listening socket of its own, and would share it with another
// process too. So a port that is taken is found only here. If share is true it
// is no error.
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

// reserveShared binds but does not listen: connections that came meanwhile
// would be lost.
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

// portOf returns the port of an address, -1 if it has no port.
func portOf(name unix.Sockaddr) int {
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return name.Port
	case *unix.SockaddrInet6:
		return name.Port
	}
	return -1
}
