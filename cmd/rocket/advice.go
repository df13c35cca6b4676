package main

import (
	"fmt"
	"math"

	"github.com/nu7hatch/webrocket/engine"
)

// What a connection takes, in bytes. docs/scaling.md says how that was measured.
const (
	processPerConnection = 1 << 10 // resident: the engine, the hub, gnet, the collector's room
	kernelPerConnection  = 5 << 10 // socket, file, epoll entry
	memoryForOthers      = 512 << 20
)

const (
	filesForOthers = 10_000         // of the whole machine
	backlogOfMany  = math.MaxUint16 // where very many may come back at once
	many           = 100_000
)

// finding is one limit of the machine.
type finding struct {
	Name   string   `json:"name"`
	Value  string   `json:"value"`
	Allows *uint64  `json:"allows,omitempty"` // connections; nil if it does not limit them
	Low    bool     `json:"low"`              // for the connections that are wanted
	Note   string   `json:"note"`
	Set    []remedy `json:"set,omitempty"` // what to do about it
}

// remedy is a line to put somewhere.
type remedy struct {
	Where string `json:"where"`
	Line  string `json:"line"`
}

// Places for lines.
const (
	inSysctl  = "/etc/sysctl.d/60-rocket.conf, then sysctl --system"
	inLimits  = "/etc/security/limits.d/60-rocket.conf, without systemd; then log in again"
	inService = "the [Service] of the systemd unit"
	byHand    = "by hand"
)

// doctor examines a machine for a number of connections, 0 for as many as
// possible.
type doctor struct {
	machine
	wanted uint64
	found  []finding
}

// examine returns the findings, those that limit the connections first.
func examine(m machine, wanted uint64) []finding {
	d := &doctor{machine: m, wanted: wanted}
	d.files()
	d.memories()
	d.packets()
	d.backlogs()
	d.rest()
	return d.found
}

// limits adds what allows so many connections.
func (d *doctor) limits(name, value string, allows uint64, note string, set ...remedy) {
	low := d.wanted > allows
	if !low {
		set = nil
	}
	d.found = append(d.found, finding{name, value, &allows, low, note, set})
}

// tells adds findings that do not limit the number of connections.
func (d *doctor) tells(name, value string, low bool, note string, set ...remedy) {
	if !low {
		set = nil
	}
	d.found = append(d.found, finding{name, value, nil, low, note, set})
}

// files are one for each connection, and some more.
func (d *doctor) files() {
	reserved := uint64(engine.ReservedFiles(d.loops()))
	needed := d.wanted + reserved
	if d.openFiles > 0 {
		d.limits("open files", number(d.openFiles), less(d.openFiles, reserved), "hard limit of this shell; a service has its own",
			remedy{inService, fmt.Sprint("LimitNOFILE=", needed)},
			remedy{inLimits, fmt.Sprint("* hard nofile ", needed)})
	}
	if d.nrOpen > 0 {
		d.limits("fs.nr_open", number(d.nrOpen), less(d.nrOpen, reserved), "the most that a hard limit can be",
			sysctl("fs.nr_open", needed))
	}
	if d.fileMax > 0 {
		d.limits("fs.file-max", number(d.fileMax), less(d.fileMax, reserved+filesForOthers), "of the whole machine",
			sysctl("fs.file-max", needed+filesForOthers))
	}
}

// memories are the RAM and the limit of the control group. The process and the
// kernel share them.
func (d *doctor) memories() {
	const each = processPerConnection + kernelPerConnection
	note := fmt.Sprintf("%d bytes each, %d MiB for others", each, memoryForOthers>>20)
	needed := (d.wanted*each + memoryForOthers + 1<<30 - 1) >> 30
	if d.memory > 0 {
		d.limits("memory", gib(d.memory), less(d.memory, memoryForOthers)/each, note,
			remedy{byHand, fmt.Sprintf("a machine with %d GiB of memory, or several machines", needed)})
	}
	if d.cgroupMemory > 0 {
		d.limits("memory of the cgroup", gib(d.cgroupMemory), less(d.cgroupMemory, memoryForOthers)/each, note,
			remedy{inService, fmt.Sprintf("MemoryMax=%dG", needed)},
			remedy{byHand, fmt.Sprintf("for a container: %d GiB of memory", needed)})
	}
}

// packets are what the kernel holds of the streams.
func (d *doctor) packets() {
	if len(d.tcpMem) > 0 {
		n := roundUp(d.wanted, 1024)
		d.limits("net.ipv4.tcp_mem", numbers(d.tcpMem), d.tcpMem[1], "a page of unread bytes each, before the kernel saves",
			sysctl("net.ipv4.tcp_mem", n/4*3, n, n/2*3))
	}
	if d.conntrack > 0 {
		d.limits("net.netfilter.nf_conntrack_max", number(d.conntrack), d.conntrack/5*4, "the firewall remembers each; a fifth for others",
			sysctl("net.netfilter.nf_conntrack_max", roundUp(d.wanted/4*5+4, 1024)))
	}
}

// backlogs are the queues for clients that connect at the same time.
func (d *doctor) backlogs() {
	needed := uint64(4096)
	if d.wanted > many {
		needed = backlogOfMany
	}
	for _, b := range []struct {
		name  string
		value uint64
		note  string
	}{
		{"net.core.somaxconn", d.somaxconn, fmt.Sprintf("that wait to be accepted, for each of %d loops", d.loops())},
		{"net.ipv4.tcp_max_syn_backlog", d.synBacklog, "that have not finished TCP's handshake"},
	} {
		if b.value > 0 {
			d.tells(b.name, number(b.value), d.wanted > 0 && b.value < needed, b.note, sysctl(b.name, needed))
		}
	}
}

// rest is for information.
func (d *doctor) rest() {
	if len(d.tcpRmem) > 0 {
		d.tells("net.ipv4.tcp_rmem", numbers(d.tcpRmem), false, "bytes of one connection that wait for the server: least, at first, most")
	}
	if len(d.tcpWmem) > 0 {
		d.tells("net.ipv4.tcp_wmem", numbers(d.tcpWmem), false, "the same for a slow reader, if -send-buffer is -1")
	}
	if len(d.ports) > 0 {
		d.tells("net.ipv4.ip_local_port_range", numbers(d.ports), false,
			fmt.Sprintf("%d connections that go out to one address and port, of a proxy for instance", less(d.ports[1]+1, d.ports[0])))
	}
	d.sends()
	cores := fmt.Sprint(d.cores)
	if d.quota > 0 {
		cores = fmt.Sprintf("%d, of which the cgroup may use %.4g", d.cores, d.quota)
	}
	d.tells("cores", cores, false, fmt.Sprintf("%d loops", d.loops()))
}

// sends says how the server sends.
func (d *doctor) sends() {
	value, note := "works", "the server sends in batches, for less CPU time; -io-uring off: it does not"
	if d.ioURing != nil {
		value, note = "refused", fmt.Sprintf("the server uses send(2) instead (%v); docs/scaling.md has the reasons", d.ioURing)
	}
	d.tells("io_uring", value, false, note)
}

// allowed returns how many connections the findings allow together, and which of
// them allows least.
func allowed(found []finding) (n uint64, first string) {
	n = unlimited
	for _, f := range found {
		if f.Allows != nil && *f.Allows < n {
			n, first = *f.Allows, f.Name
		}
	}
	return n, first
}

func sysctl(name string, values ...uint64) remedy {
	return remedy{inSysctl, name + " = " + numbers(values)}
}

// less returns a - b, or 0.
func less(a, b uint64) uint64 {
	if a == unlimited {
		return unlimited
	}
	return a - min(a, b)
}

func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }

func number(n uint64) string {
	if n == unlimited {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

func numbers(list []uint64) string {
	s := fmt.Sprint(list)
	return s[1 : len(s)-1]
}

func gib(n uint64) string { return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30)) }
