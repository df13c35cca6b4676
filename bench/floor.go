package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// FloorMode is how the floor's writes follow each other.
type FloorMode string

const (
	// FloorClosed writes to all sockets, then waits until all is read: what a fan-out with a bounded number of
	// publishes in flight comes down to.
	FloorClosed FloorMode = "closed"
	// FloorPaced writes to PerRound sockets Rounds times per second, whoever has read.
	FloorPaced FloorMode = "paced"
	// FloorEcho answers each read by one write of the same size.
	FloorEcho FloorMode = "echo"
	// FloorUring does what another mode does, with up to uringBatch writes in one io_uring_enter(2).
	FloorUring FloorMode = "uring"
)

// FloorSpec says what to write.
type FloorSpec struct {
	Mode     FloorMode     `json:"mode"`
	Of       FloorMode     `json:"of,omitempty"` // whose writes uring makes
	Sockets  int           `json:"sockets"`
	PerWrite int           `json:"perWrite"` // messages
	Bytes    int           `json:"bytes"`    // of a message
	PerRound int           `json:"perRound"` // sockets written to in a round
	Rounds   float64       `json:"rounds"`   // per second, if paced
	For      time.Duration `json:"for"`
}

// pattern is how the writes follow each other, however they are made.
func (s *FloorSpec) pattern() FloorMode {
	if s.Mode == FloorUring {
		return s.Of
	}
	return s.Mode
}

// FloorResult is what the kernel alone costs.
type FloorResult struct {
	FloorSpec
	Writes           int64   `json:"writes"`
	PartialWrites    int64   `json:"partialWrites"`
	MicrosPerWrite   float64 `json:"microsPerWrite"` // CPU of the writer, which is where the server is otherwise
	MicrosPerMessage float64 `json:"microsPerMessage"`
	MessagesPerSec   float64 `json:"messagesPerSecond"`
	NotMeasured      string  `json:"notMeasured,omitempty"` // why there are no numbers
}

const floorFor = 1500 * time.Millisecond

// fanoutFloor is for many hot sockets that get the same.
func fanoutFloor(o *Options) []FloorSpec {
	spec := FloorSpec{Mode: FloorClosed, Sockets: o.Conns, PerWrite: 1, PerRound: o.Conns, For: floorFor}
	if o.Rate > 0 {
		spec.Mode, spec.Rounds = FloorPaced, o.Rate
	}
	var all []FloorSpec
	steps, best := []int{1, 4, 16, 64}, 0
	if o.Saturate >= 256 {
		steps = append(steps, 256)
	}
	for i, n := range steps {
		s := spec
		s.PerWrite = n
		if n > 1 {
			s.Mode, s.Rounds = FloorClosed, 0
		}
		all = append(all, s)
		if o.Saturate >= n {
			best = i
		}
	}
	all[0], all[best] = all[best], all[0]
	return withUring(all)
}

// coldFloor is for sockets that are written to now and then: one message each time, in batches of a millisecond at
// most, at the rate of the load.
func coldFloor(o *Options) []FloorSpec {
	subscribers := max(o.Conns/o.Channels, 1)
	spec := FloorSpec{Mode: FloorPaced, Sockets: o.Conns, PerWrite: 1, PerRound: subscribers, Rounds: o.Rate, For: 2 * time.Second}
	switch {
	case o.Rate == 0:
		spec.Mode, spec.PerRound = FloorClosed, o.Conns
	case o.Rate > 1000:
		spec.Rounds, spec.PerRound = 1000, max(int(o.Rate)*subscribers/1000, 1)
	case o.Rate < 2:
		spec.For = time.Duration(float64(4*time.Second) / o.Rate)
	}
	return withUring([]FloorSpec{spec})
}

func echoFloor(o *Options) []FloorSpec {
	return withUring([]FloorSpec{{Mode: FloorEcho, Sockets: o.Conns, PerWrite: 1, PerRound: o.Conns, For: floorFor}})
}

// withUring puts behind the first, which is what the result is compared to, the same through io_uring.
func withUring(all []FloorSpec) []FloorSpec {
	u := all[0]
	u.Mode, u.Of = FloorUring, u.Mode
	return slices.Insert(all, 1, u)
}

// floorEnv tells a copy of this program to be the floor's writer.
const floorEnv = "ROCKET_BENCH_FLOOR"

// BeFloor is the first thing that a program which measures the floor must call: the writer is a process of its own, so
// that its CPU time can be measured alone, and it is the same program again. In that process BeFloor does not return.
func BeFloor() {
	raw := os.Getenv(floorEnv)
	if raw == "" {
		return
	}
	var spec FloorSpec
	err := json.Unmarshal([]byte(raw), &spec)
	if err == nil {
		err = writeFloor(spec, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// measureFloor starts the writer on the server's CPUs and reads what it sends on the generator's.
func measureFloor(ctx context.Context, opts *Options, spec FloorSpec) (*FloorResult, error) {
	if spec.Sockets < 1 || spec.PerRound < 1 || spec.PerWrite < 1 || spec.Bytes < 1 || spec.For <= 0 {
		return nil, fmt.Errorf("%w: %+v", ErrUsage, spec)
	}
	if spec.Mode == FloorUring {
		if err := tryRing(); err != nil {
			return &FloorResult{FloorSpec: spec, NotMeasured: err.Error()}, nil
		}
	}
	if err := raiseFileLimit(spec.Sockets + 1); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, spec.For+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), floorEnv+"="+string(raw))
	var log tail
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := pinned(opts.ServerCPUs, cmd.Start); err != nil {
		return nil, err
	}
	res, err := readFloor(opts, spec, bufio.NewReader(out))
	if waitErr := cmd.Wait(); err == nil && waitErr != nil {
		err = waitErr
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, log.String())
	}
	return res, nil
}

func readFloor(opts *Options, spec FloorSpec, out *bufio.Reader) (*FloorResult, error) {
	line, err := out.ReadString('\n')
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return nil, err
	}
	var over atomic.Bool
	drained := make(chan error, 1)
	go func() { drained <- drainFloor(opts, spec, port, &over) }()
	var res FloorResult
	err = json.NewDecoder(out).Decode(&res)
	over.Store(true)
	if drainErr := <-drained; drainErr != nil {
		return nil, drainErr
	}
	return &res, err
}

// drainFloor is the reader: it takes all that comes, and says so on the first connection whenever a round is complete.
func drainFloor(opts *Options, spec FloorSpec, port int, over *atomic.Bool) error {
	runtime.LockOSThread()
	pinThread(opts.CPUs, 0)
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(ep)
	fds, err := connectFloor(spec, port, ep)
	defer func() {
		for _, fd := range fds {
			reset(fd)
		}
	}()
	if err != nil {
		return err
	}
	if _, errno := send(fds[0], []byte{1}); errno != 0 {
		return errno
	}
	message := make([]byte, spec.Bytes*spec.PerWrite)
	if spec.pattern() == FloorEcho {
		for _, fd := range fds[1:] {
			if _, errno := send(fd, message); errno != 0 {
				return errno
			}
		}
	}
	return drainRounds(spec, ep, fds[0], message, over)
}

// connectFloor opens the control connection, which is the first, and all others, which ep watches.
func connectFloor(spec FloorSpec, port, ep int) (fds []int, err error) {
	sources := loopbackSources(spec.Sockets + 1)
	for i := range spec.Sockets + 1 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
		if len(sources) > 0 {
			source, _ := sockaddr(net.ParseIP(sources[i%len(sources)]), 0)
			if err := bindSource(fd, source); err != nil {
				return fds, err
			}
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return fds, fmt.Errorf("connect: %w", err)
		}
		if err := noDelay(fd); err != nil {
			return fds, err
		}
		if i == 0 {
			continue
		}
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return fds, err
		}
	}
	return fds, nil
}

func drainRounds(spec FloorSpec, ep, control int, message []byte, over *atomic.Bool) error {
	buf := make([]byte, readBuffer)
	events := make([]unix.EpollEvent, turnEvents)
	round := spec.PerRound * spec.PerWrite * spec.Bytes
	got, l, start := 0, newLatency(), time.Now()
	for !over.Load() {
		n, errno := epollWait(ep, events, int64(10*time.Millisecond))
		if errno != 0 && errno != unix.EINTR {
			return errno
		}
		for _, ev := range events[:max(n, 0)] {
			n, errno := recv(int(ev.Fd), buf)
			if errno == unix.EAGAIN {
				continue
			}
			if writerEnded := errno != 0 || n == 0; writerEnded {
				return nil
			}
			// The generator reads the clock, too. A reader that is quicker sleeps more often, and it is the writer who has
			// to wake it: that would be a floor above the ground.
			l.record(0, int64(time.Since(start)), 1)
			if spec.pattern() == FloorEcho {
				_, _ = send(int(ev.Fd), message) // fails only if the writer has ended, which the next read tells
				continue
			}
			for got += n; got >= round; got -= round {
				_, _ = send(control, message[:1])
			}
		}
	}
	return nil
}
