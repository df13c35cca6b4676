package bench

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uringBatch is how many sends one io_uring_enter(2) carries at most. More gain nothing.
const uringBatch = 256

// Numbers of linux/io_uring.h.
const (
	uringOpSend     = 26         // IORING_OP_SEND
	uringGetEvents  = 1          // IORING_ENTER_GETEVENTS
	uringOffsetSQEs = 0x10000000 // IORING_OFF_SQES; the queues are at 0
	uringSingleMmap = 1          // IORING_FEAT_SINGLE_MMAP: both queues are in one mapping, since Linux 5.4
)

// uringParams is struct io_uring_params. The kernel fills it in: how long the queues are, and where in the mapping they are.
type uringParams struct {
	sqEntries, cqEntries, flags, threadCPU, threadIdle, features, workers uint32

	_  [3]uint32
	sq struct {
		head, tail, mask, entries, flags, dropped, array uint32

		_ [3]uint32
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes uint32

		_ [4]uint32
	}
}

// sqe is struct io_uring_sqe: what to do.
type sqe struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset        uint64
	addr          uint64
	len           uint32
	msgFlags      uint32
	user          uint64
	_             [3]uint64
}

// cqe is struct io_uring_cqe: what became of it.
type cqe struct {
	user  uint64
	res   int32
	flags uint32
}

// ring is an io_uring that sends and does nothing else. It is the floor's own: the floor must not depend on the server that
// is compared to it. One thread uses it.
type ring struct {
	fd                     int
	queues, entries        []byte // memory shared with the kernel
	sqes                   []sqe
	cqes                   []cqe
	sqTail, cqHead, cqTail *uint32
	submitted              uint32
}

func newRing() (*ring, error) {
	var p uringParams
	fd, _, errno := syscall.RawSyscall(unix.SYS_IO_URING_SETUP, uringBatch, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &ring{fd: int(fd)}
	if p.features&uringSingleMmap == 0 {
		r.close()
		return nil, errors.New("io_uring_setup: the kernel is older than Linux 5.4")
	}
	size := max(p.sq.array+4*p.sqEntries, p.cq.cqes+uint32(unsafe.Sizeof(cqe{}))*p.cqEntries)
	var err error
	if r.queues, err = r.share(0, int(size)); err == nil {
		r.entries, err = r.share(uringOffsetSQEs, int(unsafe.Sizeof(sqe{}))*int(p.sqEntries))
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("map the io_uring: %w", err)
	}
	at := func(offset uint32) unsafe.Pointer { return unsafe.Pointer(&r.queues[offset]) }
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.entries[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(at(p.cq.cqes)), p.cqEntries)
	r.sqTail, r.cqHead, r.cqTail = (*uint32)(at(p.sq.tail)), (*uint32)(at(p.cq.head)), (*uint32)(at(p.cq.tail))
	for i, array := uint32(0), unsafe.Slice((*uint32)(at(p.sq.array)), p.sqEntries); i < p.sqEntries; i++ {
		array[i] = i // each place of the queue has its own entry for ever
	}
	return r, nil
}

func (r *ring) share(offset int64, size int) ([]byte, error) {
	return unix.Mmap(r.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
}

func (r *ring) close() {
	for _, b := range [][]byte{r.queues, r.entries} {
		if b != nil {
			_ = unix.Munmap(b) // it is ours
		}
	}
	unix.Close(r.fd)
}

// send sends b to each of at most uringBatch different sockets in one system call, and tells done for each what send(2)
// would have returned. With MSG_DONTWAIT the kernel is through with all of them, and with b, when the call returns.
func (r *ring) send(fds []int, b []byte, done func(fd, n int, errno syscall.Errno) error) error {
	mask := uint32(len(r.sqes) - 1)
	for i, fd := range fds {
		r.sqes[(r.submitted+uint32(i))&mask] = sqe{
			opcode: uringOpSend, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), len: uint32(len(b)),
			msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, user: uint64(i),
		}
	}
	r.submitted += uint32(len(fds))
	atomic.StoreUint32(r.sqTail, r.submitted)
	toSubmit := len(fds)
	for left := len(fds); left > 0; {
		n, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(toSubmit), uintptr(left), uringGetEvents, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return fmt.Errorf("io_uring_enter: %w", errno)
		}
		if errno == 0 {
			toSubmit -= int(n)
		}
		took, err := r.reap(fds, done)
		if err != nil {
			return err
		}
		left -= took
	}
	runtime.KeepAlive(b)
	return nil
}

// reap takes the results that are there.
func (r *ring) reap(fds []int, done func(fd, n int, errno syscall.Errno) error) (took int, err error) {
	mask := uint32(len(r.cqes) - 1)
	head, tail := atomic.LoadUint32(r.cqHead), atomic.LoadUint32(r.cqTail)
	for ; head != tail && err == nil; head++ {
		c := r.cqes[head&mask]
		if c.res < 0 {
			err = done(fds[c.user], 0, syscall.Errno(-c.res))
		} else {
			err = done(fds[c.user], int(c.res), 0)
		}
		took++
	}
	atomic.StoreUint32(r.cqHead, head)
	return took, err
}

// tryRing sends one byte, to find out whether the kernel allows and knows that. The error says why not.
func tryRing() error {
	r, err := newRing()
	if err != nil {
		return err
	}
	defer r.close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	return r.send(pair[:1], []byte{1}, func(_, _ int, errno syscall.Errno) error {
		if errno != 0 {
			return fmt.Errorf("send through io_uring: %w", errno)
		}
		return nil
	})
}
