package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what all threads of a process have used, dead ones too, to the nanosecond. It is the clock of
// clock_getcpuclockid(3), and contains what the kernel did in the name of the process: also the TCP input of the other
// end of a loopback connection, which runs in the sender's system call.
func cpuTime(pid int) (time.Duration, error) {
	const schedClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

func ownCPUTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// threadCPUTime is that of the calling thread.
func threadCPUTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// residentBytes is the memory of a process that is in RAM.
func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	kb, err := fieldOf(b, "VmRSS:")
	return kb << 10, err
}

// kernelBytes is the kernel's slab memory and TCP buffers, of the whole machine.
func kernelBytes() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	slab, err := fieldOf(b, "Slab:")
	if err != nil {
		return 0, err
	}
	return slab<<10 + tcpPages()*int64(os.Getpagesize()), nil
}

func tcpPages() int64 {
	b, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "TCP:" && f[len(f)-2] == "mem" {
			n, _ := strconv.ParseInt(f[len(f)-1], 10, 64)
			return n
		}
	}
	return 0
}

var errNoField = errors.New("no such field")

// fieldOf reads the number behind name at the start of a line.
func fieldOf(b []byte, name string) (int64, error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) >= 2 && f[0] == name {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s %w", name, errNoField)
}

// machineTime is what all CPUs have worked, and what they wanted to work while the host ran other guests.
func machineTime() (worked, stolen time.Duration) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return parseMachineTime(line)
}

// parseMachineTime reads "cpu user nice system idle iowait irq softirq steal …".
func parseMachineTime(line string) (worked, stolen time.Duration) {
	f := strings.Fields(line)
	if len(f) < 9 {
		return 0, 0
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all that Go runs on
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, _ := strconv.ParseInt(f[i], 10, 64)
		if i == 8 {
			return worked, time.Duration(n) * tick
		}
		worked += time.Duration(n) * tick
	}
	return worked, 0
}

// backlogDrops is how many packets the kernel has dropped because a CPU's queue of net.core.netdev_max_backlog was full.
// On loopback that happens when more sockets than that are written to while the CPU has no time for its queue, and each
// is a stop of 200 ms until TCP sends again.
func backlogDrops() int64 {
	b, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0
	}
	var total int64
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 16, 64)
			total += n
		}
	}
	return total
}

// segmentsIn is how many TCP segments with data a socket has received. On loopback that is how often the peer wrote.
func segmentsIn(fd int) int64 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int64(info.Data_segs_in)
}

// splitCPUs gives the server the last of the CPUs that this process may use and the generator the others: CPU 0 has the
// machine's housekeeping. With one CPU both share it.
func splitCPUs() (generator, server []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil, nil
	}
	var all []int
	for cpu := 0; len(all) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	if len(all) < 2 {
		return all, all
	}
	return all[:len(all)-1], all[len(all)-1:]
}

func cpuSet(cpus []int) *unix.CPUSet {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return &set
}

// pinThread keeps the calling thread on one of the CPUs. If that is not allowed, the thread stays free.
func pinThread(cpus []int, i int) {
	if len(cpus) > 0 {
		_ = unix.SchedSetaffinity(0, cpuSet(cpus[i%len(cpus):][:1]))
	}
}

// pinProcess keeps the threads of this process, and those that they start, on the CPUs, if that is allowed.
func pinProcess(cpus []int) {
	if len(cpus) == 0 {
		return
	}
	threads, _ := os.ReadDir("/proc/self/task") // none if there is no /proc
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.SchedSetaffinity(id, cpuSet(cpus))
		}
	}
}

// pinned calls f on a thread that is pinned to cpus: processes that f starts inherit it.
func pinned(cpus []int, f func() error) error {
	errs := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		if len(cpus) > 0 {
			if err := unix.SchedSetaffinity(0, cpuSet(cpus)); err != nil {
				errs <- fmt.Errorf("pin to CPUs %v: %w", cpus, err)
				return
			}
		}
		errs <- f()
	}()
	return <-errs
}

// allowFiles gives a process all the open files that it may have. Programs in Go take them by themselves, others do not.
// A process that cannot get them refuses connections, which the run finds out.
func allowFiles(pid int) {
	var lim unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &lim) == nil {
		lim.Cur = lim.Max
		_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &lim, nil)
	}
}

// raiseFileLimit lets this process open n connections and a few files, or says why not.
func raiseFileLimit(n int) error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("open-file limit: %w", err)
	}
	const others = 64
	want := uint64(n + others)
	if lim.Cur < want && lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return fmt.Errorf("raise the open-file limit: %w", err)
		}
	}
	if lim.Cur < want {
		return fmt.Errorf("%d connections need %d open files, the limit is %d: see ulimit -Hn", n, want, lim.Cur)
	}
	return nil
}
