package bench

import (
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func needRing(t *testing.T) *ring {
	t.Helper()
	if err := tryRing(); err != nil {
		t.Skip(err)
	}
	r, err := newRing()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// streamPair is two ends of a connection, of which the first has a small buffer.
func streamPair(t *testing.T) [2]int {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4096); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(pair[0])
		unix.Close(pair[1])
	})
	return pair
}

// Each send of a batch has the result that send(2) has: all, a part, no place, nobody there, not a socket.
func TestRingResultsAreThoseOfSend(t *testing.T) {
	r := needRing(t)
	kinds := []struct {
		name  string
		setUp func() int
	}{
		{"all", func() int { return streamPair(t)[0] }},
		{"full", func() int {
			pair := streamPair(t)
			for {
				if _, errno := send(pair[0], make([]byte, 64<<10)); errno != 0 {
					return pair[0]
				}
			}
		}},
		{"the other end has gone", func() int {
			pair := streamPair(t)
			if err := unix.Shutdown(pair[1], unix.SHUT_RDWR); err != nil {
				t.Fatal(err)
			}
			return pair[0]
		}},
		{"closed", func() int { return -1 }},
	}
	message := make([]byte, 1000)
	var fds []int
	for range uringBatch / len(kinds) {
		for _, k := range kinds {
			fds = append(fds, k.setUp())
		}
	}
	seen := map[int]bool{}
	for range 3 { // the queues go round
		i := 0
		err := r.send(fds, message, func(fd, n int, errno syscall.Errno) error {
			want := []syscall.Errno{0, unix.EAGAIN, unix.EPIPE, unix.EBADF}[i%len(kinds)]
			if fd != fds[i] || errno != want || errno == 0 && n != len(message) {
				t.Errorf("%d, %s: socket %d: %d, %v, want socket %d: %v", i, kinds[i%len(kinds)].name, fd, n, errno, fds[i], want)
			}
			seen[i] = true
			i++
			return nil
		})
		if err != nil || len(seen) != len(fds) {
			t.Fatalf("%d of %d results, %v", len(seen), len(fds), err)
		}
	}
}

// What the ring says to be sent is there.
func TestRingSends(t *testing.T) {
	r := needRing(t)
	pair := streamPair(t)
	message := []byte(strings.Repeat("0123456789", 10_000))
	sent := 0
	err := r.send(pair[:1], message, func(_, n int, errno syscall.Errno) error {
		sent = n
		return nil
	})
	if err != nil || sent == 0 || sent == len(message) {
		t.Fatalf("%d of %d bytes sent, %v, want a part", sent, len(message), err)
	}
	got := make([]byte, len(message))
	n := 0
	for n < sent {
		m, err := unix.Read(pair[1], got[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	if n != sent || string(got[:n]) != string(message[:n]) {
		t.Errorf("%d bytes came, %d were sent", n, sent)
	}
}

// refuseUring makes the kernel answer io_uring_setup(2) as it does in Docker, for the calling thread and for ever.
func refuseUring(t *testing.T) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_IO_URING_SETUP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Skip(err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		t.Skip(err)
	}
}

// Where the kernel refuses io_uring, the report says so and why, and everything else is measured.
func TestFloorWhereTheKernelRefuses(t *testing.T) {
	runtime.LockOSThread() // not unlocked: the thread ends with the test
	refuseUring(t)
	spec := withUring([]FloorSpec{{Mode: FloorPaced, Sockets: 4, PerWrite: 1, PerRound: 4, Rounds: 1000, Bytes: 168, For: time.Millisecond}})[1]
	f, err := measureFloor(t.Context(), &Options{}, spec)
	if err != nil {
		t.Fatal(err)
	}
	if f.Writes != 0 || f.NotMeasured != "io_uring_setup: operation not permitted" {
		t.Errorf("floor %+v", f)
	}
	r := sample("rocket", 3)
	r.Floor = append(r.Floor, *f)
	const want = "n/a: io_uring_setup: operation not permitted"
	var text, table, page strings.Builder
	for _, err := range []error{
		WriteText(&text, r), WriteTable(&table, ByDialect([]*Result{r})), WriteHTML(&page, ByDialect([]*Result{r})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]string{"text": text.String(), "table": table.String(), "page": page.String()} {
		if !strings.Contains(s, want) {
			t.Errorf("the %s lacks %q", name, want)
		}
	}
}

// Every floor is measured through io_uring too, right behind that which the result is compared to, also where the rest is
// left out.
func TestEveryFloorHasUring(t *testing.T) {
	for _, sc := range Scenarios {
		if sc.floor == nil {
			continue
		}
		o := sc.Defaults()
		for _, all := range [][]FloorSpec{sc.floor(&o), sc.withFirstFloor().floor(&o)} {
			u := all[1]
			if u.Mode != FloorUring || u.Of != all[0].Mode {
				t.Errorf("%s: floor %+v behind %+v", sc.Name, u, all[0])
			}
			u.Mode, u.Of = u.Of, ""
			if u != all[0] || slices.ContainsFunc(all[2:], func(s FloorSpec) bool { return s.Mode == FloorUring }) {
				t.Errorf("%s: floors %+v", sc.Name, all)
			}
		}
	}
}
