package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// unlimited is a limit that is switched off.
const unlimited = math.MaxUint64

// machine has the limits of the computer for this process, as read from its
// files. A limit that cannot be read is 0.
type machine struct {
	openFiles    uint64 // the hard limit; the soft one can be raised to it
	nrOpen       uint64
	fileMax      uint64
	somaxconn    uint64
	synBacklog   uint64
	tcpMem       []uint64 // low, pressure, high; in pages
	tcpRmem      []uint64 // least, default, most; in bytes
	tcpWmem      []uint64
	ports        []uint64 // first, last
	conntrack    uint64   // 0 also where connections are not tracked
	memory       uint64   // bytes of RAM
	cgroupMemory uint64   // bytes
	cores        int
	quota        float64 // cores' worth of time that the cgroup may use
	ioURing      error   // why the server cannot send through io_uring, nil if it can
}

// readMachine reads the files under root, as they are on Linux.
func readMachine(root fs.FS) machine {
	f := machineFiles{root}
	return machine{
		openFiles:    f.field("proc/self/limits", "Max open files", 1),
		nrOpen:       first(f.numbers("proc/sys/fs/nr_open")),
		fileMax:      first(f.numbers("proc/sys/fs/file-max")),
		somaxconn:    first(f.numbers("proc/sys/net/core/somaxconn")),
		synBacklog:   first(f.numbers("proc/sys/net/ipv4/tcp_max_syn_backlog")),
		tcpMem:       f.several("proc/sys/net/ipv4/tcp_mem", 3),
		tcpRmem:      f.several("proc/sys/net/ipv4/tcp_rmem", 3),
		tcpWmem:      f.several("proc/sys/net/ipv4/tcp_wmem", 3),
		ports:        f.several("proc/sys/net/ipv4/ip_local_port_range", 2),
		conntrack:    first(f.numbers("proc/sys/net/netfilter/nf_conntrack_max")),
		memory:       f.field("proc/meminfo", "MemTotal:", 0) << 10,
		cgroupMemory: f.cgroupMemory(),
		cores:        len(f.lines("proc/cpuinfo", "processor")),
		quota:        f.cgroupQuota(),
	}
}

// loops returns how many event loops a server has here by default: Go counts a
// quota as two cores at least.
func (m machine) loops() int {
	n := max(m.cores, 1)
	if m.quota > 0 {
		n = min(n, max(int(math.Ceil(m.quota)), 2))
	}
	return n
}

// machineFiles reads what may not be there.
type machineFiles struct{ root fs.FS }

func (f machineFiles) text(name string) string {
	b, err := fs.ReadFile(f.root, name)
	if err != nil {
		return ""
	}
	return string(b)
}

// numbers returns the numbers in a file, nil if it has anything else.
func (f machineFiles) numbers(name string) []uint64 {
	return parseNumbers(strings.Fields(f.text(name)))
}

// several returns the numbers in a file, nil if they are not n.
func (f machineFiles) several(name string, n int) []uint64 {
	if list := f.numbers(name); len(list) == n {
		return list
	}
	return nil
}

// lines returns what follows the key in the lines that begin with it.
func (f machineFiles) lines(name, key string) []string {
	var found []string
	for s := bufio.NewScanner(bytes.NewReader([]byte(f.text(name)))); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), key); ok {
			found = append(found, rest)
		}
	}
	return found
}

// field returns the number at an index behind a key.
func (f machineFiles) field(name, key string, index int) uint64 {
	for _, line := range f.lines(name, key) {
		if fields := strings.Fields(line); index < len(fields) {
			return first(parseNumbers(fields[index : index+1]))
		}
	}
	return 0
}

func parseNumbers(fields []string) []uint64 {
	var list []uint64
	for _, s := range fields {
		n, err := strconv.ParseUint(s, 10, 64)
		switch {
		case s == "max" || s == "unlimited":
			n = unlimited
		case err != nil:
			return nil
		}
		list = append(list, n)
	}
	return list
}

func first(list []uint64) uint64 {
	if len(list) == 0 {
		return 0
	}
	return list[0]
}

// cgroupMemory returns the lowest limit of the process's control groups, 0 if
// there is none.
func (f machineFiles) cgroupMemory() uint64 {
	lowest := uint64(unlimited)
	see := func(name string) {
		if n := first(f.numbers(name)); n > 0 {
			lowest = min(lowest, n)
		}
	}
	for _, dir := range f.cgroups("") {
		see(path.Join("sys/fs/cgroup", dir, "memory.max"))
	}
	for _, dir := range f.cgroups("memory") {
		see(path.Join("sys/fs/cgroup/memory", dir, "memory.limit_in_bytes"))
	}
	if lowest >= math.MaxInt64&^(1<<20-1) { // how version 1 says that there is none
		return 0
	}
	return lowest
}

// cgroupQuota returns how many cores' worth of time the control groups allow, 0
// for all.
func (f machineFiles) cgroupQuota() float64 {
	lowest := 0.0
	see := func(quota, period uint64) {
		if quota == 0 || quota == unlimited || period == 0 {
			return
		}
		if cores := float64(quota) / float64(period); lowest == 0 || cores < lowest {
			lowest = cores
		}
	}
	for _, dir := range f.cgroups("") {
		if list := f.several(path.Join("sys/fs/cgroup", dir, "cpu.max"), 2); list != nil {
			see(list[0], list[1])
		}
	}
	for _, dir := range f.cgroups("cpu") {
		dir = path.Join("sys/fs/cgroup/cpu", dir)
		see(first(f.numbers(dir+"/cpu.cfs_quota_us")), first(f.numbers(dir+"/cpu.cfs_period_us")))
	}
	return lowest
}

// cgroups returns the directories of the process's control group and of those
// around it: of a controller of version 1, or of version 2 for "". In a container
// the path may be the one outside; the root is the container's own then.
func (f machineFiles) cgroups(controller string) []string {
	var dirs []string
	for _, line := range strings.Split(strings.TrimSpace(f.text("proc/self/cgroup")), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 || !hasController(parts[1], controller) {
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			dirs = append(dirs, dir)
			if dir == "/" {
				break
			}
		}
	}
	return dirs
}

func hasController(list, controller string) bool {
	for _, c := range strings.Split(list, ",") {
		if c == controller {
			return true
		}
	}
	return false
}
