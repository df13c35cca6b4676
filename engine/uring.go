package engine

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ring sends to many sockets in one system call, through io_uring: each send is
// an entry in a queue that the kernel shares with the process, and one
// io_uring_enter has the kernel go through them. It is used for nothing else:
// epoll waits, and gnet reads.
//
// The sends have MSG_DONTWAIT. So the kernel does each of them during the call, in
// order, on the caller's thread, and puts its result into a second queue, that of
// completions, before the call returns. No send is under way afterwards, no buffer
// is kept, and nobody has to wait. A result is what send(2) would have returned.
//
// What else may happen is handled here, and callers need not know of it:
//
//   - The kernel takes only some of the entries: it is asked again for the others.
//   - It takes none, for lack of memory for example: the entries are withdrawn, and
//     sent by send(2).
//   - A completion is missing after the call: the ring waits for it.
//   - If that fails too, nobody knows what has been sent: the sends get errUnknown,
//     which ends their connections, and the ring is not used again.
//
// Beside as many calls of send(2) it saves the entries into the kernel and what these
// cost in caches and branch prediction: a send of 168 bytes to one of 1,000 sockets
// took 1.6 µs in batches of 128 instead of 2.2 (BenchmarkRing). send (send.go) is the
// plain version: it sends what the ring does not, and the ring's tests compare the two.
//
// A ring belongs to one loop. The thread under a loop may change, as goroutines'
// threads do, so that the flags for rings of a single thread cannot be set; a batch
// of sends gains nothing from them.
type ring struct {
	fd     int
	broken bool // a send may still be under way

	// Shared with the kernel. Heads and tails count on without end.
	sqes           []sqe
	sqHead, sqTail *uint32
	cqes           []cqe
	cqHead, cqTail *uint32
	maps           [][]byte

	enter func(r *ring, submit, wait int) unix.Errno // enterRing, but in tests
}

// ringEntries is how many sends one call can take. It lasts for 0.2 to 1 ms then,
// which a garbage collection waits for in the worst case, and larger batches gain
// little. The queues are 16 KiB.
const ringEntries = 128

// ringMin is the smallest batch that the ring sends sooner than send(2) does.
const ringMin = 4

// errUnknown says that the kernel has not told what became of a send.
var errUnknown = errors.New("engine: io_uring did not complete a send")

var errNoneTaken = errors.New("engine: io_uring takes nothing")

// sqe is struct io_uring_sqe, as IORING_OP_SEND has it.
type sqe struct {
	opcode   uint8
	_        [3]uint8
	fd       int32
	_        uint64
	addr     uint64
	len      uint32
	msgFlags uint32
	userData uint64
	_        [3]uint64
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	res      int32
	_        uint32
}

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, _, _, _, features uint32
	_                                       [4]uint32
	sq                                      struct {
		head, tail, _, _, _, _, array, _ uint32
		_                                uint64
	}
	cq struct {
		head, tail, _, _, _, cqes, _, _ uint32
		_                               uint64
	}
}

// Of the kernel's include/uapi/linux/io_uring.h.
const (
	opSend        = 26          // IORING_OP_SEND: Linux 5.6
	getEvents     = 1 << 0      // IORING_ENTER_GETEVENTS
	ringFeatures  = 1<<0 | 1<<1 // IORING_FEAT_SINGLE_MMAP, IORING_FEAT_NODROP: Linux 5.5
	offsetQueues  = 0           // IORING_OFF_SQ_RING
	offsetSubmits = 1 << 28     // IORING_OFF_SQES
)

// newRing returns a ring that has sent something, or why there is none: the kernel
// has no io_uring (ENOSYS), or it is forbidden (EPERM).
func newRing() (*ring, error) {
	var p ringParams
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, ringEntries, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &ring{fd: int(fd), enter: enterRing}
	err := r.share(&p)
	if err == nil {
		err = r.try()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// share maps the queues.
func (r *ring) share(p *ringParams) error {
	if p.features&ringFeatures != ringFeatures {
		return errors.New("io_uring_setup: the io_uring of this kernel is too old")
	}
	queues, err := r.mmap(offsetQueues, max(
		uintptr(p.sq.array)+uintptr(p.sqEntries)*unsafe.Sizeof(uint32(0)),
		uintptr(p.cq.cqes)+uintptr(p.cqEntries)*unsafe.Sizeof(cqe{})))
	if err != nil {
		return err
	}
	submits, err := r.mmap(offsetSubmits, uintptr(p.sqEntries)*unsafe.Sizeof(sqe{}))
	if err != nil {
		return err
	}
	r.sqHead, r.sqTail = within[uint32](queues, p.sq.head), within[uint32](queues, p.sq.tail)
	r.cqHead, r.cqTail = within[uint32](queues, p.cq.head), within[uint32](queues, p.cq.tail)
	r.cqes = unsafe.Slice(within[cqe](queues, p.cq.cqes), p.cqEntries)
	r.sqes = unsafe.Slice(within[sqe](submits, 0), p.sqEntries)
	array := unsafe.Slice(within[uint32](queues, p.sq.array), p.sqEntries)
	for i := range array {
		array[i] = uint32(i) // which entry is at a place of the queue: always the same
	}
	r.prepare()
	return nil
}

// prepare sets what never changes in the entries.
func (r *ring) prepare() {
	for i := range r.sqes {
		r.sqes[i] = sqe{opcode: opSend, msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, userData: uint64(i)}
	}
}

func (r *ring) mmap(offset int64, size uintptr) ([]byte, error) {
	b, err := unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("io_uring: mmap: %w", err)
	}
	r.maps = append(r.maps, b)
	return b, nil
}

func within[T any](b []byte, offset uint32) *T { return (*T)(unsafe.Pointer(&b[offset])) }

// try sends something: a filter of system calls may let a ring be made and not used.
func (r *ring) try() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("io_uring: socketpair: %w", err)
	}
	defer func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) }()
	batch := []sending{{fd: int32(fds[0]), bytes: []byte("one")}, {fd: int32(fds[1]), bytes: []byte("two")}}
	if _, err := r.submit(batch); err != nil {
		return fmt.Errorf("io_uring_enter: %w", err)
	}
	for i := range batch {
		if err := batch[i].err; err != nil {
			return fmt.Errorf("io_uring: send: %w", err)
		}
		got := make([]byte, 4)
		n, _ := unix.Read(fds[1-i], got)
		if want := string(batch[i].bytes); string(got[:max(n, 0)]) != want {
			return fmt.Errorf("io_uring: send: %q arrived as %q", want, got[:max(n, 0)])
		}
	}
	return nil
}

// close gives the ring back.
func (r *ring) close() {
	for _, b := range r.maps {
		_ = unix.Munmap(b)
	}
	_ = unix.Close(r.fd)
}

// enterRing makes the kernel take entries, and wait for completions. It is a raw
// system call, as in send: Go's scheduler would look after a call that lasts longer
// than 20 µs, and wake up for that all the time.
func enterRing(r *ring, submit, wait int) unix.Errno {
	flags := uintptr(0)
	if wait > 0 {
		flags = getEvents
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), flags, 0, 0)
	return errno
}

// send is send(2) for each of a batch: of at most ringEntries, whose sockets all
// differ and whose bytes are not empty.
func (r *ring) send(batch []sending) {
	taken := 0
	if !r.broken {
		taken, _ = r.submit(batch)
	}
	sendEach(batch[taken:])
}

// submit has the kernel send a batch and returns how many of it have been taken and
// have their results, and the error that was the reason if those are not all.
func (r *ring) submit(batch []sending) (taken int, err error) {
	first := *r.sqTail
	for i := range batch {
		s := &batch[i]
		e := &r.sqes[(first+uint32(i))%uint32(len(r.sqes))]
		e.fd, e.len = s.fd, uint32(len(s.bytes))
		e.addr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.bytes))))
		s.n, s.err = 0, errUnknown
	}
	atomic.StoreUint32(r.sqTail, first+uint32(len(batch)))
	reaped := 0
	for taken < len(batch) && err == nil {
		before := taken
		errno := r.enter(r, len(batch)-taken, 0)
		taken = int(atomic.LoadUint32(r.sqHead) - first)
		reaped += r.reap(batch, first)
		switch {
		case taken > before || errno == unix.EINTR: // there may be more that it takes
		case errno != 0:
			err = errno
		default:
			err = errNoneTaken
		}
	}
	// The kernel looks at the tail only when it is called: what it has not taken, it
	// never will.
	atomic.StoreUint32(r.sqTail, first+uint32(taken))
	for reaped < taken {
		if errno := r.enter(r, 0, taken-reaped); errno != 0 && errno != unix.EINTR {
			r.broken = true
			break
		}
		reaped += r.reap(batch, first)
	}
	runtime.KeepAlive(batch)
	return taken, err
}

// reap takes the results of a batch whose first entry had that number, and returns
// how many there were.
func (r *ring) reap(batch []sending, first uint32) int {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		c := &r.cqes[head%uint32(len(r.cqes))]
		s := &batch[(uint32(c.userData)-first)%uint32(len(r.sqes))]
		switch errno := unix.Errno(-c.res); {
		case c.res >= 0:
			s.n, s.err = int(c.res), nil
		case errno == unix.EINTR:
			s.n, s.err = send(s.fd, s.bytes)
		default:
			s.err = errno
		}
	}
	n := head - *r.cqHead
	atomic.StoreUint32(r.cqHead, head)
	return int(n)
}

// notUsed is logged where the kernel refuses io_uring.
const notUsed = "io_uring is not used"

// rings are one for each loop, or none.
type rings []*ring

// TryIOUring tells why this process cannot send through io_uring, nil if it can.
func TryIOUring() error {
	r, err := newRing()
	if err == nil {
		r.close()
	}
	return err
}

// newRings returns the rings that the config asks for.
func newRings(c Config) (rings, error) {
	if c.IOUring == IOUringOff {
		return nil, nil
	}
	all := make(rings, 0, c.Loops)
	for range c.Loops {
		r, err := newRing()
		if err != nil && c.IOUring == IOUringOn {
			all.close()
			return nil, fmt.Errorf("engine: %w", err)
		}
		if err != nil {
			all.close()
			c.Log.Info(notUsed, "reason", err)
			return nil, nil
		}
		all = append(all, r)
	}
	return all, nil
}

func (all rings) close() {
	for _, r := range all {
		r.close()
	}
}
