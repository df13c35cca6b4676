package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// acceptPause is how long a fileListener waits after an accept that failed.
const acceptPause = 100 * time.Millisecond

// A fileListener accepts connections to a unix socket and assigns them to the
// loops in turn. Only a port can have a listening socket in each loop
// (SO_REUSEPORT).
type fileListener struct {
	*listener
	socket *net.UnixListener
}

// newFileListener listens on the unix socket. It replaces a file on which no
// process listens.
func newFileListener(l *listener) (*fileListener, error) {
	addr := &net.UnixAddr{Net: "unix", Name: l.address}
	socket, err := net.ListenUnix("unix", addr)
	if errors.Is(err, unix.EADDRINUSE) && abandoned(addr) {
		if err := os.Remove(l.address); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		socket, err = net.ListenUnix("unix", addr)
	}
	if err != nil {
		return nil, err
	}
	l.addr = addr
	return &fileListener{l, socket}, nil
}

// abandoned reports whether a file is the unix socket of a process that has
// ended.
func abandoned(addr *net.UnixAddr) bool {
	info, err := os.Lstat(addr.Name)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return false // not a socket: never removed
	}
	conn, err := net.DialUnix("unix", nil, addr)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

// accept runs on a goroutine of its own, and accepts connections until close.
func (f *fileListener) accept(e *Engine) {
	for next := 0; ; next++ {
		conn, err := f.socket.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			e.log().Warn("accept failed on a unix socket", "address", f.address, "error", err)
			time.Sleep(acceptPause)
		default:
			f.enrol(e, e.loops[next%len(e.loops)], conn)
		}
	}
}

// enrol gives a connection to a loop. gnet duplicates its file descriptor, and
// closes conn.
func (f *fileListener) enrol(e *Engine, l *Loop, conn *net.UnixConn) {
	events := l.events.Load()
	if events == nil || e.Connections() > e.MaxConnections()+refusalMax {
		_ = conn.Close()
		return
	}
	if e.config.SendBuffer > 0 {
		_ = conn.SetWriteBuffer(e.config.SendBuffer)
	}
	ctx := gnet.NewContext(context.Background(), f.listener)
	result, err := (*events).Enroll(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return
	}
	select {
	case <-result:
	case <-e.life.loopsEnded: // then there will be no result
	}
}

// close ends accept. It may still enrol a connection that it has accepted.
func (f *fileListener) close() { _ = f.socket.Close() }

// closeFiles closes the unix sockets, and waits until accept has returned for
// each.
func (e *Engine) closeFiles() {
	for _, f := range e.files {
		f.close()
	}
	e.accepting.Wait()
}
