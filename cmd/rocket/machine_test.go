package main

import (
	"errors"
	"io/fs"
	"maps"
	"testing"
	"testing/fstest"
)

// files are a machine's, by name.
type files map[string]string

// with returns the files with some replaced.
func (f files) with(others files) files {
	all := maps.Clone(f)
	maps.Copy(all, others)
	return all
}

// uring tells why there is no io_uring: if there is a "file" that says so.
func (f files) uring() error {
	if why := f["io_uring"]; why != "" {
		return errors.New(why)
	}
	return nil
}

func (f files) fs() fs.FS {
	root := fstest.MapFS{}
	for name, text := range f {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

// plain is a machine as it comes.
var plain = files{
	"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units\n" +
		"Max open files            1024                 524288               files\n",
	"proc/sys/fs/nr_open":                     "1073741816\n",
	"proc/sys/fs/file-max":                    "9223372036854775807\n",
	"proc/sys/net/core/somaxconn":             "4096\n",
	"proc/sys/net/ipv4/tcp_max_syn_backlog":   "2048\n",
	"proc/sys/net/ipv4/tcp_mem":               "190881\t254508\t381762\n",
	"proc/sys/net/ipv4/tcp_rmem":              "4096\t131072\t6291456\n",
	"proc/sys/net/ipv4/tcp_wmem":              "4096\t16384\t4194304\n",
	"proc/sys/net/ipv4/ip_local_port_range":   "32768\t60999\n",
	"proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
	"proc/meminfo":                            "MemTotal:       16384000 kB\nMemFree: 1 kB\n",
	"proc/cpuinfo":                            "processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n\nprocessor\t: 2\n\nprocessor\t: 3\n",
	"proc/self/cgroup":                        "0::/system.slice/rocket.service\n",
	"sys/fs/cgroup/system.slice/memory.max":   "max\n",
}

func TestReadMachine(t *testing.T) {
	m := readMachine(plain.fs())
	if m.openFiles != 524288 || m.memory != 16384000<<10 || m.cores != 4 || m.ports[1] != 60999 ||
		m.tcpMem[1] != 254508 || m.conntrack != 262144 || m.cgroupMemory != 0 || m.quota != 0 || m.loops() != 4 {
		t.Errorf("got %+v", m)
	}
	if m := readMachine(files{}.fs()); m.openFiles != 0 || m.cgroupMemory != 0 || m.tcpMem != nil || m.loops() != 1 {
		t.Errorf("without files: got %+v", m)
	}
}

func TestCgroups(t *testing.T) {
	for _, tt := range []struct {
		name   string
		files  files
		memory uint64
		quota  float64
		loops  int
	}{
		{"version 2", files{
			"proc/self/cgroup":                   "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max":       "2000000\n",
			"sys/fs/cgroup/a/b/cpu.max":          "150000 100000\n",
			"sys/fs/cgroup/unrelated/memory.max": "1\n",
		}, 2000000, 1.5, 2},
		{"the group around it is smaller", files{
			"proc/self/cgroup":             "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n",
			"sys/fs/cgroup/a/memory.max":   "1000000\n",
			"sys/fs/cgroup/a/b/cpu.max":    "max 100000\n",
			"sys/fs/cgroup/a/cpu.max":      "50000 100000\n",
		}, 1000000, 0.5, 2},
		{"in a container with the path outside", files{
			"proc/self/cgroup":         "0::/../../docker/0123\n",
			"sys/fs/cgroup/memory.max": "3000000\n",
		}, 3000000, 0, 4},
		{"version 1", files{
			"proc/self/cgroup": "4:memory:/a\n1:cpu,cpuacct:/b\n0::/\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes":  "4000000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":    "9223372036854771712\n",
			"sys/fs/cgroup/cpu/b/cpu.cfs_quota_us":          "200000\n",
			"sys/fs/cgroup/cpu/b/cpu.cfs_period_us":         "100000\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":            "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":           "100000\n",
			"sys/fs/cgroup/memory/other/limit_in_bytes":     "5\n",
			"sys/fs/cgroup/memory/a/memory.max_usage_in_by": "5\n",
		}, 4000000, 2, 2},
		{"version 1 without a limit", files{
			"proc/self/cgroup":                           "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0, 0, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := readMachine(files{"proc/cpuinfo": plain["proc/cpuinfo"]}.with(tt.files).fs())
			if m.cgroupMemory != tt.memory || m.quota != tt.quota || m.loops() != tt.loops {
				t.Errorf("got %d bytes, %v cores, %d loops, want %d, %v, %d", m.cgroupMemory, m.quota, m.loops(), tt.memory, tt.quota, tt.loops)
			}
		})
	}
}
