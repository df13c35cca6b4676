package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// examined runs doctor on a machine.
func examined(f files, args ...string) (stdout, stderr string, status int) {
	var out, errs strings.Builder
	p := &program{root: f.fs(), stdout: &out, stderr: &errs, uring: func() error { return f.uring() }}
	status = p.run(context.Background(), append([]string{"doctor"}, args...))
	return out.String(), errs.String(), status
}

// roomy is a machine for millions.
var roomy = plain.with(files{
	"proc/self/limits":                        "Max open files            1024                 unlimited            files\n",
	"proc/sys/net/core/somaxconn":             "65535\n",
	"proc/sys/net/ipv4/tcp_max_syn_backlog":   "65535\n",
	"proc/sys/net/ipv4/tcp_mem":               "3000000 4000000 6000000\n",
	"proc/sys/net/netfilter/nf_conntrack_max": "10000000\n",
	"proc/meminfo":                            "MemTotal:       64000000 kB\n",
})

func TestDoctorFindsWhatIsLow(t *testing.T) {
	for _, tt := range []struct {
		name   string
		files  files
		first  string // what limits the connections, if they do not fit
		report string // in what is printed
	}{
		{"nothing", nil, "", "\nThis machine allows 4000000 connections; the first limit is net.ipv4.tcp_mem.\n"},
		{
			"the shell's open files",
			files{"proc/self/limits": "Max open files 1024 20000 files\n"},
			"19712, by open files", "\nLimitNOFILE=1000288\n\n# /etc/security/limits.d/60-rocket.conf, without systemd; then log in again:\n* hard nofile 1000288\n",
		},
		{
			"the most open files",
			files{"proc/sys/fs/nr_open": "1000287\n"},
			"999999, by fs.nr_open", "\nfs.nr_open = 1000288\n",
		},
		{
			"just enough open files",
			files{"proc/sys/fs/nr_open": "1000288\n"},
			"", "This machine allows 1000000 connections; the first limit is fs.nr_open.",
		},
		{
			"the machine's open files",
			files{"proc/sys/fs/file-max": "100000\n"},
			"89712, by fs.file-max", "\nfs.file-max = 1010288\n",
		},
		{
			"RAM",
			files{"proc/meminfo": "MemTotal: 4000000 kB\n"},
			"579285, by memory", "\na machine with 7 GiB of memory, or several machines\n",
		},
		{
			"the cgroup's memory",
			files{"sys/fs/cgroup/system.slice/memory.max": "1000000000\n"},
			"75379, by memory of the cgroup", "\nMemoryMax=7G\n",
		},
		{
			"less than nothing",
			files{"sys/fs/cgroup/system.slice/memory.max": "1000000\n"},
			"0, by memory of the cgroup", "TOO LOW",
		},
		{
			"TCP's memory",
			files{"proc/sys/net/ipv4/tcp_mem": "100000 200000 300000\n"},
			"200000, by net.ipv4.tcp_mem", "\nnet.ipv4.tcp_mem = 750336 1000448 1500672\n",
		},
		{
			"io_uring",
			files{"io_uring": "operation not permitted"},
			"", "the server uses send(2) instead (operation not permitted)",
		},
		{
			"tracked connections",
			files{"proc/sys/net/netfilter/nf_conntrack_max": "65536\n"},
			"52428, by net.netfilter.nf_conntrack_max", "\nnet.netfilter.nf_conntrack_max = 1250304\n",
		},
		{
			"the backlog",
			files{"proc/sys/net/core/somaxconn": "4096\n"},
			"", "low: that wait to be accepted, for each of 4 loops",
		},
		{
			"the backlog of handshakes",
			files{"proc/sys/net/ipv4/tcp_max_syn_backlog": "4096\n"},
			"", "\nnet.ipv4.tcp_max_syn_backlog = 65535\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, status := examined(roomy.with(tt.files), "-connections", "1000000")
			want := ""
			if tt.first != "" {
				want = "rocket: 1000000 connections do not fit: this machine allows " + tt.first + "\n"
			}
			if stderr != want || (status != 0) != (want != "") {
				t.Errorf("got status %d: %q, want %q", status, stderr, want)
			}
			if !strings.Contains(stdout, tt.report) {
				t.Errorf("got\n%s\nwant in it\n%s", stdout, tt.report)
			}
		})
	}
}

// What is advised is enough.
func TestDoctorIsContent(t *testing.T) {
	for _, wanted := range []string{"1", "1000", "524000", "3000000"} {
		f := plain.with(files{"proc/meminfo": roomy["proc/meminfo"]})
		stdout, _, _ := examined(f, "-connections", wanted)
		for _, l := range strings.Split(stdout, "\n") {
			name, value, ok := strings.Cut(l, " = ")
			if files, isFiles := strings.CutPrefix(l, "LimitNOFILE="); isFiles {
				f["proc/self/limits"] = "Max open files 1024 " + files + " files\n"
			} else if ok {
				f["proc/sys/"+strings.ReplaceAll(name, ".", "/")] = value + "\n"
			}
		}
		if stdout, stderr, status := examined(f, "-connections", wanted); status != 0 || strings.Contains(stdout, "#") || strings.Contains(strings.ToLower(stdout), "low:") {
			t.Errorf("%s, after what was advised: got status %d, %s\n%s", wanted, status, stderr, stdout)
		}
	}
}

func TestDoctorInJSON(t *testing.T) {
	stdout, _, status := examined(plain, "-json", "-connections", "600000")
	var got diagnosis
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if status != 1 || got.Fits || got.Wanted != 600000 || got.Allowed != 209712 || got.First != "net.netfilter.nf_conntrack_max" {
		t.Errorf("got status %d, %+v", status, got)
	}
	if f := got.Findings[0]; *f.Allows != 524000 || !f.Low || f.Set[0].Line != "LimitNOFILE=600288" {
		t.Errorf("got %+v", f)
	}
}

func TestDoctorCommandLines(t *testing.T) {
	for _, tt := range []struct {
		files  files
		args   string
		stderr string
		status int
	}{
		{plain, "", "", 0},
		{plain, "-connections 209712", "", 0},
		{plain, "-connections -1", "rocket: invalid value", 2},
		{plain, "-connections 3000000000", "rocket: -connections: want at most 2000000000", 2},
		{plain, "1000", "1000: cannot read it: no such file or directory", 1},
		{plain, "a.json b.json", "rocket: want one file, not a.json b.json", 2},
		{nil, "", "rocket: cannot read the limit of open files; is /proc mounted?\n", 1},
	} {
		if _, stderr, status := examined(tt.files, strings.Fields(tt.args)...); !begins(stderr, tt.stderr) || status != tt.status {
			t.Errorf("%q: got status %d, %q, want %d, %q", tt.args, status, stderr, tt.status, tt.stderr)
		}
	}
}

// docs/scaling.md shows what doctor says of a machine as it comes.
func TestDocsShowDoctor(t *testing.T) {
	docs, err := os.ReadFile("../../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, _ := examined(plain, "-connections", "1000000")
	if want := "$ rocket doctor -connections 1000000\n" + stdout + stderr; !strings.Contains(string(docs), want) {
		t.Errorf("docs/scaling.md lacks\n%s", want)
	}
}

// With the configuration of a node, doctor connects to the others, and says which does not
// answer. The address of the node itself is not asked: it has not started.
func TestDoctorReachesTheCluster(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	free := freeAddresses(t, 2)
	there, own, gone := l.Addr().String(), free[0], free[1]
	config := func(routes ...string) string {
		text, _ := json.Marshal(routes)
		return writeFile(t, fmt.Sprintf(`{"Cluster": {"Listen": %q, "Routes": %s}, "Hubs": [{"Path": "/"}]}`, own, text))
	}
	out, _, status := examined(roomy, config(there, own))
	if status != 0 || !strings.Contains(out, there+"  answers\n") || strings.Contains(out, own) {
		t.Errorf("all others answer: got %d\n%s", status, out)
	}
	_, port, _ := net.SplitHostPort(own)
	everywhere := writeFile(t, fmt.Sprintf(`{"Cluster": {"Listen": "0.0.0.0:%s", "Secret": "sixteen characters", "Routes": [%q, %q]}, "Hubs": [{"Path": "/"}]}`, port, there, own))
	if out, _, status := examined(roomy, everywhere); status != 0 || strings.Contains(out, own) {
		t.Errorf("a node that listens at every address: got %d\n%s", status, out)
	}
	out, errs, status := examined(roomy, config(there, own, gone))
	if status != 1 || !strings.Contains(out, gone+"  CANNOT BE REACHED: connection refused") || !strings.Contains(errs, "1 of 2 addresses of the cluster cannot be reached") {
		t.Errorf("one does not: got %d\n%s%s", status, out, errs)
	}
	servers := writeFile(t, `{"NATS": {"Servers": ["nats://`+gone+`"]}, "Hubs": [{"Path": "/"}]}`)
	if out, _, status := examined(roomy, "-json", servers); status != 1 || !strings.Contains(out, `"address": "`+gone+`"`) {
		t.Errorf("servers of NATS: got %d\n%s", status, out)
	}
	if out, _, status := examined(roomy, writeFile(t, `{"Hubs": [{"Path": "/"}]}`)); status != 0 || strings.Contains(out, "cluster") {
		t.Errorf("no cluster: got %d\n%s", status, out)
	}
}
