package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newTestRing returns a ring, or skips the test where there is none.
func newTestRing(tb testing.TB) *ring {
	tb.Helper()
	r, err := newRing()
	if err != nil {
		tb.Skip(err)
	}
	tb.Cleanup(r.close)
	return r
}

// tcpPairs returns n connections over loopback, our ends first. Somebody reads
// from the other ends if drain is set.
func tcpPairs(tb testing.TB, n int) (ours, theirs []int) {
	tb.Helper()
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(tb, err)
	defer unix.Close(l)
	must(tb, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(tb, unix.Listen(l, n))
	name, err := unix.Getsockname(l)
	must(tb, err)
	for range n {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(tb, err)
		must(tb, unix.Connect(c, name))
		s, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		must(tb, err)
		must(tb, unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		ours, theirs = append(ours, s), append(theirs, c)
	}
	tb.Cleanup(func() {
		for i := range ours {
			_, _ = unix.Close(ours[i]), unix.Close(theirs[i])
		}
	})
	return ours, theirs
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// The setting is obeyed. Where the tests run, IO_URING may say whether it works.
func TestIOUringSetting(t *testing.T) {
	works := TryIOUring() == nil
	if want := os.Getenv("IO_URING"); want == "works" && !works || want == "refused" && works {
		t.Fatalf("IO_URING=%s, but: %v", want, TryIOUring())
	}
	for _, tt := range []struct {
		setting IOUring
		used    bool
		fails   bool
	}{
		{IOUringAuto, works, false},
		{IOUringOn, works, !works},
		{IOUringOff, false, false},
	} {
		e := New(Config{Loops: 2, IOUring: tt.setting, Log: slog.New(slog.DiscardHandler)}, nil)
		err := e.Start("127.0.0.1:0")
		if (err != nil) != tt.fails {
			t.Errorf("setting %d: %v, want an error: %t", tt.setting, err, tt.fails)
		}
		if err != nil {
			continue
		}
		must(t, e.Each(t.Context(), func(l *Loop) {
			if s := l.Stats(); s.IOUring != tt.used {
				t.Errorf("setting %d: used %t, want %t", tt.setting, s.IOUring, tt.used)
			}
		}))
		must(t, e.Shutdown(t.Context()))
	}
}

// A dealt socket is one in a state that a send may find it in.
type dealt struct {
	name string
	deal func(t *testing.T, tcp bool) (fd, peer int)
	want error // of the second send
}

// connected returns both ends of a connection, with a small send buffer.
func connected(t *testing.T, tcp bool) (fd, peer int) {
	t.Helper()
	if tcp {
		ours, theirs := tcpPairs(t, 1)
		fd, peer = ours[0], theirs[0]
	} else {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(t, err)
		t.Cleanup(func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) })
		fd, peer = fds[0], fds[1]
	}
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10))
	return fd, peer
}

// dealtSockets are the states.
var dealtSockets = []dealt{
	{"reads", connected, nil},
	{"is full", func(t *testing.T, tcp bool) (fd, peer int) {
		fd, peer = connected(t, tcp)
		for b := make([]byte, 64<<10); ; {
			if _, err := send(int32(fd), b); err != nil {
				break
			}
		}
		return fd, peer
	}, unix.EAGAIN},
	{"has shut down", func(t *testing.T, tcp bool) (fd, peer int) {
		fd, peer = connected(t, tcp)
		must(t, unix.Shutdown(fd, unix.SHUT_WR))
		return fd, peer
	}, unix.EPIPE},
	{"was reset", func(t *testing.T, tcp bool) (fd, peer int) {
		fd, peer = connected(t, tcp)
		if tcp {
			must(t, unix.SetsockoptLinger(peer, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
		}
		must(t, unix.Dup3(null(t), peer, unix.O_CLOEXEC)) // closes it; the number stays ours
		return fd, peer
	}, unix.EPIPE},
	{"is no socket", func(t *testing.T, _ bool) (fd, peer int) { return null(t), null(t) }, unix.ENOTSOCK},
}

// null returns a file that is no socket.
func null(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// The ring tells of each socket what send(2) tells, wherever in a batch a fault is,
// and the bytes that it tells of arrive.
func TestRingSendsAsSendDoes(t *testing.T) {
	r := newTestRing(t)
	const size = 5
	for _, tcp := range []bool{true, false} {
		for _, fault := range dealtSockets {
			for position := range size {
				t.Run(fmt.Sprintf("tcp=%t/%s/%d", tcp, fault.name, position), func(t *testing.T) {
					outcome := func(sendAll func([]sending)) string {
						var fds, peers []int
						for i := range size {
							deal := connected
							if i == position {
								deal = fault.deal
							}
							fd, peer := deal(t, tcp)
							fds, peers = append(fds, fd), append(peers, peer)
						}
						var seen strings.Builder
						for round := range 2 { // the first may get what is left of an error
							batch := make([]sending, size)
							for i, fd := range fds {
								batch[i] = sending{fd: int32(fd), bytes: fmt.Appendf(nil, "%d of round %d", i, round)}
							}
							sendAll(batch)
							for i, s := range batch {
								fmt.Fprintln(&seen, i, s.n, s.err)
								if i == position && round == 1 && s.err != fault.want {
									t.Errorf("the second send: %v, want %v", s.err, fault.want)
								}
							}
						}
						for i, peer := range peers {
							b := make([]byte, 100)
							n, _, err := unix.Recvfrom(peer, b, unix.MSG_DONTWAIT)
							if i != position {
								fmt.Fprintf(&seen, "%q %v\n", b[:max(n, 0)], err)
							}
						}
						return seen.String()
					}
					if got, want := outcome(r.send), outcome(sendEach); got != want {
						t.Errorf("the ring:\n%s\nsend(2):\n%s", got, want)
					}
				})
			}
		}
	}
}

// What a socket takes of too much is what it takes from send(2) too.
func TestRingSendsAPart(t *testing.T) {
	r := newTestRing(t)
	for _, tcp := range []bool{true, false} {
		var taken [2]int
		for i, sendAll := range []func([]sending){r.send, sendEach} {
			fd, peer := connected(t, tcp)
			other, _ := connected(t, tcp)
			much := bytes.Repeat([]byte("0123456789"), 1<<20)
			batch := []sending{{fd: int32(fd), bytes: much}, {fd: int32(other), bytes: []byte("a little")}}
			sendAll(batch)
			if taken[i] = batch[0].n; batch[0].err != nil || taken[i] == 0 || taken[i] == len(much) {
				t.Fatalf("tcp=%t: %d bytes of %d, %v, want a part", tcp, taken[i], len(much), batch[0].err)
			}
			if batch[1].n != len(batch[1].bytes) || batch[1].err != nil {
				t.Errorf("the next in the batch: %d, %v", batch[1].n, batch[1].err)
			}
			got := make([]byte, 64)
			n, err := unix.Read(peer, got)
			if err != nil || !bytes.Equal(got[:n], much[:n]) {
				t.Errorf("%q arrived, %v", got[:max(n, 0)], err)
			}
		}
	}
}

// A batch may have any size, again and again, and leaves nothing behind.
func TestRingGoesRound(t *testing.T) {
	r := newTestRing(t)
	ours, theirs := tcpPairs(t, ringEntries)
	want := make([][]byte, len(ours))
	for _, size := range []int{1, 2, 3, 100, ringEntries - 1, ringEntries, ringEntries, 7} {
		batch := make([]sending, size)
		for i := range batch {
			b := fmt.Appendf(nil, "%d of %d;", i, size)
			batch[i] = sending{fd: int32(ours[i]), bytes: b}
			want[i] = append(want[i], b...)
		}
		r.send(batch)
		for i, s := range batch {
			if s.n != len(s.bytes) || s.err != nil {
				t.Fatalf("%d of %d: %d bytes, %v", i, size, s.n, s.err)
			}
		}
	}
	for i, fd := range theirs {
		got := make([]byte, len(want[i])+1)
		n, _, err := unix.Recvfrom(fd, got, unix.MSG_DONTWAIT)
		if err != nil || string(got[:n]) != string(want[i]) {
			t.Errorf("socket %d got %q, %v, want %q", i, got[:max(n, 0)], err, want[i])
		}
	}
	if *r.cqHead != *r.cqTail || *r.sqHead != *r.sqTail {
		t.Errorf("the queues are not empty")
	}
}

// For a few sends the ring is not worth while.
func TestSmallBatches(t *testing.T) {
	k := &kernel{ring: newTestRing(t)}
	ours, _ := tcpPairs(t, ringMin)
	for size := 1; size <= ringMin; size++ {
		batch := make([]sending, size)
		for i := range batch {
			batch[i] = sending{fd: int32(ours[i]), bytes: []byte("hello")}
		}
		if once := k.writeAll(batch); once != (size == ringMin) {
			t.Errorf("%d sends in one system call: %t", size, once)
		}
		for i, s := range batch {
			if s.n != len(s.bytes) || s.err != nil {
				t.Errorf("send %d of %d: %d bytes, %v", i, size, s.n, s.err)
			}
		}
	}
}

// A loop with a ring has 32 KiB more than one without.
func TestRingMemory(t *testing.T) {
	r := newTestRing(t)
	bytes := ringEntries*int(unsafe.Sizeof(sending{})) + runsMax*int(unsafe.Sizeof(run{}))
	for _, m := range r.maps {
		bytes += len(m)
	}
	t.Log(bytes)
	if bytes > 33<<10 {
		t.Errorf("%d bytes, want about 32 KiB", bytes)
	}
}

// A fakeKernel is what a ring has instead of the kernel: a script says which of the
// things happens that may.
type fakeKernel struct {
	t       *testing.T
	script  []byte
	pending []sqe           // taken, and not completed
	sent    map[int32][]int // results by file, in order
}

func (k *fakeKernel) next() (b byte) {
	if len(k.script) > 0 {
		b, k.script = k.script[0], k.script[1:]
	}
	return b
}

// results are what a send may end with, as the kernel puts it; 0 stands for some
// of the bytes.
var results = []unix.Errno{0, 0, 0, unix.EAGAIN, unix.EPIPE, unix.ECONNRESET, unix.ENOBUFS, unix.EBADF, unix.EINTR, unix.ENOMEM, unix.ECANCELED}

// enter is io_uring_enter.
func (k *fakeKernel) enter(r *ring, submit, wait int) unix.Errno {
	if *r.sqTail-*r.sqHead < uint32(submit) {
		k.t.Errorf("%d submitted of %d", submit, *r.sqTail-*r.sqHead)
	}
	how := k.next()
	switch how % 8 {
	case 1:
		return unix.EINTR
	case 2:
		return []unix.Errno{unix.EAGAIN, unix.EBUSY, unix.ENOMEM, unix.EBADF}[how/8%4]
	case 3:
		submit = min(submit, int(how/8))
	}
	for range submit {
		k.pending = append(k.pending, r.sqes[*r.sqHead%uint32(len(r.sqes))])
		*r.sqHead++
	}
	late := 0
	if how%8 == 4 {
		late = int(how / 8)
	}
	for len(k.pending) > min(late, max(len(k.pending)-wait, 0)) {
		i := int(k.next()) % min(len(k.pending), 3) // not always in order
		e := k.pending[i]
		k.pending = append(k.pending[:i], k.pending[i+1:]...)
		res := int32(e.len)
		if x := k.next(); x > 0 {
			if errno := results[int(x)%len(results)]; errno != 0 {
				res = -int32(errno)
			} else {
				res = int32(int(x) % int(e.len+1))
			}
		}
		if e.opcode != opSend || e.msgFlags != unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL {
			k.t.Errorf("not a send that does not wait: %+v", e)
		}
		if *r.cqTail-*r.cqHead == uint32(len(r.cqes)) {
			k.t.Fatal("more completions than there is room for")
		}
		r.cqes[*r.cqTail%uint32(len(r.cqes))] = cqe{userData: e.userData, res: res}
		*r.cqTail++
		k.sent[e.fd] = append(k.sent[e.fd], int(res))
	}
	return 0
}

// newFakeRing returns a ring with so many entries whose kernel is k.
func newFakeRing(entries int, k *fakeKernel) *ring {
	r := &ring{
		sqes: make([]sqe, entries), sqHead: new(uint32), sqTail: new(uint32),
		cqes: make([]cqe, 2*entries), cqHead: new(uint32), cqTail: new(uint32),
		enter: k.enter,
	}
	r.prepare()
	return r
}

// A ring that does not tell what it has sent ends the connections in question, is
// logged, and is not used again.
func TestRingBreaks(t *testing.T) {
	var log strings.Builder
	late := byte(4 + 8*31) // nothing is completed
	fails := byte(2 + 8*3)
	k := &kernel{
		ring: newFakeRing(8, &fakeKernel{t: t, script: []byte{late, fails}, sent: map[int32][]int{}}),
		log:  slog.New(slog.NewTextHandler(&log, nil)),
	}
	ours, _ := tcpPairs(t, 5)
	for _, want := range []error{errUnknown, nil} {
		batch := make([]sending, len(ours))
		for i, fd := range ours {
			batch[i] = sending{fd: int32(fd), bytes: []byte("hello")}
		}
		k.writeAll(batch)
		for i, s := range batch {
			if s.err != want {
				t.Errorf("send %d: %v, want %v", i, s.err, want)
			}
		}
	}
	if n := strings.Count(log.String(), "io_uring has failed"); n != 1 {
		t.Errorf("it is logged %d times: %s", n, log.String())
	}
}

// FuzzRing lets the kernel answer as it may. Each socket of a batch is sent to once,
// by the ring or by send(2), and its result is that of this send; where the ring
// does not know, it says so.
func FuzzRing(f *testing.F) {
	f.Add([]byte{}, uint8(3))
	f.Add([]byte{1, 2, 10, 1, 0, 0, 0, 5}, uint8(5))
	f.Add([]byte{3 + 8*2, 0, 4, 0, 5, 3, 0, 6}, uint8(4))
	f.Add([]byte{4 + 8*3, 0, 0, 1, 1, 2, 2, 2 + 8*3}, uint8(6))
	f.Add(bytes.Repeat([]byte{7, 8}, 40), uint8(7))
	f.Fuzz(func(t *testing.T, script []byte, size uint8) {
		const entries = 8
		k := &fakeKernel{t: t, script: script, sent: map[int32][]int{}}
		r := newFakeRing(entries, k)
		*r.sqHead -= entries / 2 // it goes on behind the last number
		*r.sqTail = *r.sqHead
		var pairs [entries][2]int
		for i := range pairs {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			must(t, err)
			defer func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) }()
			pairs[i] = fds
		}
		for range 3 {
			clear(k.sent)
			batch := make([]sending, 1+size%entries)
			for i := range batch {
				batch[i] = sending{fd: int32(pairs[i][0]), bytes: fmt.Appendf(nil, "to %d", i)}
			}
			r.send(batch)
			for i, s := range batch {
				got := make([]byte, 64)
				n, _ := unix.Read(pairs[i][1], got) // what came by send(2)
				plain := string(got[:max(n, 0)])
				ringed := k.sent[s.fd]
				switch {
				case len(ringed) == 0 && s.err == errUnknown && r.broken && plain == "":
				case len(ringed) == 0 && plain == string(s.bytes) && s.n == n && s.err == nil:
				case len(ringed) == 1 && ringed[0] >= 0 && plain == "" && s.n == ringed[0] && s.err == nil:
				case len(ringed) == 1 && ringed[0] == -int(unix.EINTR) && plain == string(s.bytes) && s.n == n && s.err == nil:
				case len(ringed) == 1 && ringed[0] < 0 && plain == "" && s.n == 0 && s.err == unix.Errno(-ringed[0]):
				default:
					t.Fatalf("send %d of %d: %d, %v; by the ring %v, by send(2) %q", i, len(batch), s.n, s.err, ringed, plain)
				}
			}
			if r.broken {
				break
			}
			if *r.cqHead != *r.cqTail || *r.sqHead != *r.sqTail || len(k.pending) > 0 {
				t.Fatalf("the queues are not empty")
			}
		}
	})
}

// What a send of 168 bytes to one of 1,000 sockets costs the sender's thread, through
// send(2) and in batches through the ring, in turns. A reader on another thread has
// read all before the next turn.
func BenchmarkRing(b *testing.B) {
	for _, sockets := range []int{1000, 8000} {
		b.Run(fmt.Sprintf("to %d sockets", sockets), func(b *testing.B) { benchmarkRing(b, sockets) })
	}
}

func benchmarkRing(b *testing.B, sockets int) {
	const size = 168
	r := newTestRing(b)
	ours, theirs := tcpPairs(b, sockets)
	arrived := reader(b, theirs)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	modes := []struct {
		batch int
		send  func([]sending)
		name  string
		took  time.Duration
	}{
		{256, sendEach, "send(2)", 0},
		{1, r.send, "ring-1", 0},
		{2, r.send, "ring-2", 0},
		{4, r.send, "ring-4", 0},
		{10, r.send, "ring-10", 0},
		{16, r.send, "ring-16", 0},
		{32, r.send, "ring-32", 0},
		{64, r.send, "ring-64", 0},
		{128, r.send, "ring-128", 0},
	}
	batch := make([]sending, 0, ringEntries)
	payload := make([]byte, size)
	total := 0
	rounds := 0
	for b.Loop() {
		for i := range modes {
			m := &modes[i]
			before := threadTime(b)
			for rest := ours; len(rest) > 0; {
				batch = batch[:0]
				for _, fd := range rest[:min(m.batch, len(rest))] {
					batch = append(batch, sending{fd: int32(fd), bytes: payload})
				}
				m.send(batch)
				for j := range batch {
					if batch[j].n != size {
						b.Fatalf("%d bytes of %d: %v", batch[j].n, size, batch[j].err)
					}
				}
				rest = rest[len(batch):]
			}
			m.took += threadTime(b) - before
			for total += sockets * size; int(arrived.Load()) < total; {
				time.Sleep(100 * time.Microsecond)
			}
		}
		rounds++
	}
	for _, m := range modes {
		b.ReportMetric(float64(m.took.Nanoseconds())/float64(rounds*sockets), m.name+"-ns")
	}
}

// threadTime returns the CPU time of the calling thread.
func threadTime(tb testing.TB) time.Duration {
	var t unix.Timespec
	must(tb, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t))
	return time.Duration(t.Nano())
}

// reader reads what arrives at the sockets, until the test ends, and counts it.
func reader(tb testing.TB, fds []int) *atomic.Int64 {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must(tb, err)
	for _, fd := range fds {
		must(tb, unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
	}
	arrived := new(atomic.Int64)
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	must(tb, err)
	must(tb, unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, stop, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(stop)}))
	var wg sync.WaitGroup
	wg.Go(func() {
		b, events := make([]byte, 64<<10), make([]unix.EpollEvent, 256)
		for {
			n, _ := unix.EpollWait(epoll, events, -1)
			for _, e := range events[:max(n, 0)] {
				if int(e.Fd) == stop {
					return
				}
				n, _, _ := unix.Recvfrom(int(e.Fd), b, unix.MSG_DONTWAIT)
				arrived.Add(int64(max(n, 0)))
			}
		}
	})
	tb.Cleanup(func() {
		_, err := unix.Write(stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		must(tb, err)
		wg.Wait()
		_, _ = unix.Close(epoll), unix.Close(stop)
	})
	return arrived
}
