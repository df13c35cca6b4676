package engine

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// A pump is a pair of connected sockets, one of them a connection of the loop.
// A byte written to the other gives the loop its next turn after one round of
// input and output; gnet would run a task that posts itself again and again
// before it reads anything.
type pump struct {
	fd int // our end, -1 until known
}

func (p *pump) push() { _, _ = unix.Write(p.fd, []byte{0}) }

func (p *pump) close() { _ = unix.Close(p.fd) }

// newPump enrols one with whichever loop gnet chooses next.
func newPump(events gnet.Engine) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return fmt.Errorf("engine: socketpair: %w", err)
	}
	p := &pump{fd: ours}
	ctx := gnet.NewNetConnContext(gnet.NewContext(context.Background(), p), theirs)
	result, err := events.Register(ctx)
	if err == nil {
		err = (<-result).Err
	}
	if err != nil {
		p.close()
		return fmt.Errorf("engine: enrol: %w", err)
	}
	return nil
}

func socketPair() (ours int, theirs net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, nil, err
	}
	f := os.NewFile(uintptr(fds[1]), "pump")
	defer f.Close()
	theirs, err = net.FileConn(f)
	if err != nil {
		_ = unix.Close(fds[0])
		return -1, nil, err
	}
	return fds[0], theirs, nil
}
