package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Whatever makes accept(2) fail, the server lives, says why, and serves those
// who are there. A process of its own has the kernel fail, by a seccomp filter,
// which it cannot get rid of.
func TestAcceptFails(t *testing.T) {
	const variable = "ROCKET_TEST_ACCEPT"
	if errno, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		failAccept(t, unix.Errno(errno))
		return
	}
	for _, errno := range []unix.Errno{
		unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.EPERM, unix.EACCES, unix.EPROTO, unix.ENETDOWN,
	} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestAcceptFails$", "-test.timeout", "1m")
			child.Env = append(os.Environ(), variable+"="+strconv.Itoa(int(errno)))
			if output, err := child.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// failAccept is what the process of TestAcceptFails does.
func failAccept(t *testing.T, errno unix.Errno) {
	log := newLines(t)
	e := New(Config{Loops: 2, Log: slog.New(log)}, at("/", Endpoint{Protocol: echo}))
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Shutdown(context.Background()) }()
	ws := dial(t, e)
	failFromNowOn(t, unix.SYS_ACCEPT4, errno)
	conn, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	log.want(t, "accept failed; new connections wait")
	if e.Accepting() {
		t.Error("it says that newcomers are accepted")
	}
	for range 10 {
		roundTrip(t, ws, []byte("hello"))
	}
	_ = ws.CloseNow()
}

// failFromNowOn makes a system call fail on all threads of the process.
func failFromNowOn(t *testing.T, call uint32, errno unix.Errno) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); err != 0 {
		t.Fatalf("seccomp: %v", err)
	}
}

// Each listening socket is found in the epoll instance of its loop, and in no
// other's.
func TestListenSockets(t *testing.T) {
	const loops = 3
	e := start(t, Config{Loops: loops}, Endpoint{Protocol: echo})
	epolls := make(map[int]bool)
	for _, d := range e.ports.sockets {
		if d.epoll < 0 || d.event.Events&unix.EPOLLIN == 0 || int(d.event.Fd) != d.fd {
			t.Errorf("got %+v", d)
		}
		epolls[d.epoll] = true
	}
	if len(e.ports.sockets) != loops || len(epolls) != loops {
		t.Errorf("got %d sockets in %d instances, want %d in as many", len(e.ports.sockets), len(epolls), loops)
	}
}

// If a loop ends after all, Wait tells why.
func TestLoopEnds(t *testing.T) {
	e := New(Config{Loops: 2}, at("/", Endpoint{Protocol: echo}))
	if err := e.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	e.ports.mu.Lock()
	epoll := e.ports.sockets[0].epoll
	e.ports.mu.Unlock()
	secret, err := secretSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(secret)
	if err := unix.Dup3(secret, epoll, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := e.Wait(); !errors.Is(err, ErrStopped) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v, want that epoll_wait failed", err)
	}
	if err := e.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}
