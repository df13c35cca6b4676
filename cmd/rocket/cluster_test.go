package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/cmd/rocket/console"
)

// freeAddresses returns addresses of this machine that nobody listens on.
func freeAddresses(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// A running node is a server, its URL, and its admin port.
type runningNode struct {
	*process
	url, admin string
}

// startNodes starts servers at the same time, each with its own arguments.
func startNodes(t *testing.T, vars []string, args ...[]string) []runningNode {
	t.Helper()
	nodes := make([]runningNode, len(args))
	for i := range args {
		p := start(t, vars, append([]string{"-port", "0", "-admin", "127.0.0.1:0"}, args[i]...)...)
		nodes[i] = runningNode{process: p}
	}
	for i := range nodes {
		nodes[i].url = nodes[i].stdout.want(`(ws://localhost:\d+)/ `)[1]
		nodes[i].admin = nodes[i].stdout.want(`admin +(http://\S+)`)[1]
		nodes[i].stdout.want(`^Ready`)
	}
	return nodes
}

// cluster returns what a node says of its cluster.
func (n *runningNode) cluster() (c console.Cluster) {
	n.t.Helper()
	_, text := ask(n.t, n.admin+"/api/cluster")
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		n.t.Fatal(err)
	}
	return c
}

// hearEachOther publishes at each node, and looks whether all hear it.
func hearEachOther(t *testing.T, nodes []runningNode) {
	t.Helper()
	readers := make([]*process, len(nodes))
	for i, n := range nodes {
		readers[i] = start(t, nil, "subscribe", "-url", n.url, "news")
		readers[i].stderr.want(`^subscribed`)
	}
	for i, n := range nodes {
		start(t, nil, "publish", "-url", n.url, "news", fmt.Sprint(i)).wantStatus(0)
		for _, r := range readers {
			r.stdout.want(fmt.Sprintf(`^{"event":"message","channel":"news","data":%d}$`, i))
		}
	}
}

// The commands of docs/cluster.md, one after the other, in an empty folder: three nodes, of which one hears what is
// published at another. Only the ports are others than in the text. Its files are good, too.
func TestClusterInFiveMinutes(t *testing.T) {
	text, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Five minutes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var ports []string
	for i, address := range freeAddresses(t, 9) {
		_, port, _ := net.SplitHostPort(address)
		ports = append(ports, []string{"9001", "9002", "9003", "9101", "9102", "9103", "9774", "9775", "9776"}[i], port)
	}
	commands := regexp.MustCompile(`(?m)^\$ rocket (.+)$`).FindAllStringSubmatch(strings.NewReplacer(ports...).Replace(section), -1)
	if len(commands) != 6 {
		t.Fatalf("got %d commands, want 6", len(commands))
	}
	t.Chdir(t.TempDir())
	var all []*process
	for i, c := range commands {
		all = append(all, start(t, nil, strings.Fields(strings.ReplaceAll(c[1], "'", ""))...))
		switch p := all[i]; i {
		case 2:
			for _, node := range all {
				node.stdout.want(`^Ready`)
			}
		case 3:
			p.stderr.want(`^subscribed`)
		case 4:
			p.wantStatus(0)
			all[3].stdout.want(`^{"event":"message","channel":"news","data":{"title":"hello"}}$`)
		case 5:
			for range 3 {
				p.stdout.want(`^ *yes `)
			}
			p.wantStatus(0)
		}
	}
	files := regexp.MustCompile("(?s)\n```json\n(.*?)```\n").FindAllStringSubmatch(section, -1)
	if len(files) != 2 {
		t.Fatalf("got %d files, want 2", len(files))
	}
	credentials := writeFile(t, "-----BEGIN NATS USER JWT-----\n-----BEGIN USER NKEY SEED-----\n")
	for _, f := range files {
		stdout, stderr, status := call("check", writeFile(t, strings.ReplaceAll(f[1], "/etc/rocket/nats.creds", credentials)))
		if status != 0 || strings.Contains(stdout, "warning") {
			t.Errorf("%s%s%s", f[1], stdout, stderr)
		}
	}
}

// With a directory each the nodes keep the histories of channels together: an event that is
// published on one is in the history of all, with one offset, also after all were killed.
func TestClusterKeepsHistories(t *testing.T) {
	addresses := freeAddresses(t, 3)
	name := writeFile(t, `{"Hubs": [{"Path": "/", "Rules": [{"Match": "**", "History": {"Size": 10, "TTL": "1h"}}]}]}`)
	var args [][]string
	for i := range addresses {
		args = append(args, []string{
			"-cluster-listen", addresses[i], "-cluster-routes", strings.Join(addresses, ","), "-cluster-node", fmt.Sprint("n", i),
			"-cluster-dir", t.TempDir(), "-cluster-logs", "1", name,
		})
	}
	vars := []string{"ROCKET_CLUSTER_SECRET=sixteen characters"}
	var kept []string
	for round := range 2 {
		nodes := startNodes(t, vars, args...)
		for _, n := range nodes {
			waitFor(t, "the node is ready", func() bool { _, text := ask(t, n.admin+"/readyz"); return text == "ok\n" })
		}
		if round == 0 {
			for i, n := range nodes {
				start(t, nil, "publish", "-url", n.url, "news", fmt.Sprint(i)).wantStatus(0)
			}
		}
		for i, n := range nodes {
			r := start(t, nil, "subscribe", "-url", n.url, "-rewind", "9", "news")
			for k := range nodes {
				line := r.stdout.want(`^{"event":"message","channel":"news","data":\d,"offset":\d+}$`)[0]
				if len(kept) < len(nodes) {
					kept = append(kept, line)
				} else if line != kept[k] {
					t.Errorf("round %d, node %d: got %s, want %s", round, i, line, kept[k])
				}
			}
			r.signal(syscall.SIGKILL)
		}
		c := nodes[0].cluster()
		if !c.Following || len(c.Logs) != 1 || !c.Logs[0].Live || c.Logs[0].Events != uint64(len(nodes)) {
			t.Errorf("got %+v", c)
		}
		if _, got := ask(t, nodes[0].admin+"/metrics"); !strings.Contains(got, "\n"+`rocket_cluster_log_live{hub="/",log="0"} 1`+"\n") {
			t.Errorf("the metrics lack the log:\n%s", got)
		}
		if stdout, _, _ := call("top", "-interval", "1ms", "-admin", strings.TrimPrefix(nodes[0].admin, "http://")); !strings.Contains(stdout, "1 logs, followed") {
			t.Errorf("top: got %s", stdout)
		}
		for _, n := range nodes {
			n.signal(syscall.SIGKILL)
		}
		for _, n := range nodes {
			<-n.ended
		}
	}
}

// A node that does not come back is replaced by one at another address: of the same name, which
// needs nothing else, or of another name, and then the old one is removed. After that any of the
// others may be lost: what was stored before is there, and more can be.
func TestClusterReplacesANode(t *testing.T) {
	file := writeFile(t, `{"Hubs": [{"Path": "/", "Rules": [{"Match": "**", "History": {"Size": 10, "TTL": "1h"}}]}]}`)
	for _, tt := range []struct{ name, replacement string }{{"the same name", "c"}, {"another name", "d"}} {
		t.Run(tt.name, func(t *testing.T) {
			addresses := freeAddresses(t, 3)
			node := func(name string, at int) []string {
				return []string{
					"-cluster-listen", addresses[at], "-cluster-routes", strings.Join(addresses, ","), "-cluster-node", name,
					"-cluster-dir", t.TempDir(), "-cluster-logs", "2", file,
				}
			}
			vars := []string{"ROCKET_CLUSTER_SECRET=sixteen characters", "ROCKET_ADMIN_TOKEN=token"}
			nodes := startNodes(t, vars, node("a", 0), node("b", 1), node("c", 2))
			wantReady := func(n runningNode) {
				waitFor(t, "the node is ready", func() bool { _, text := ask(t, n.admin+"/readyz"); return text == "ok\n" })
			}
			for _, n := range nodes {
				wantReady(n)
			}
			publish := func(n runningNode, data string) { // again, with the same key, while there is no leader
				t.Helper()
				for begin := time.Now(); exec.Command(rocket, "publish", "-url", n.url, "-key", data, "news", data).Run() != nil; {
					if time.Since(begin) > 3*patience { // elections take up to 9 s each where nothing else runs
						t.Fatalf("%s is not acknowledged", data)
					}
				}
			}
			remove := func(name string) string {
				cmd := exec.Command(rocket, "cluster", "remove", "-admin", strings.TrimPrefix(nodes[0].admin, "http://"), name)
				cmd.Env = vars[1:]
				out, err := cmd.CombinedOutput()
				if err != nil {
					out = append(out, err.Error()...)
				}
				return string(out)
			}
			publish(nodes[2], "1")
			if got := remove("c"); !strings.Contains(got, "end it first") || !strings.Contains(got, "exit status") {
				t.Errorf("remove a node that is there: %s", got)
			}
			nodes[2].signal(syscall.SIGKILL)
			<-nodes[2].ended
			publish(nodes[0], "2")

			addresses[2] = freeAddresses(t, 1)[0]
			fresh := startNodes(t, vars, node(tt.replacement, 2))[0]
			wantReady(fresh)
			if tt.replacement != "c" {
				if got := remove("x"); !strings.Contains(got, "no such node") || !strings.Contains(got, "exit status") {
					t.Errorf("remove an unknown node: %s", got)
				}
				var got string
				waitFor(t, "c is not heard any more", func() bool { got = remove("c"); return !strings.Contains(got, "end it first") })
				if got != "c does not count any more\neach log has all its replicas\n" {
					t.Fatalf("remove: %s", got)
				}
			}
			publish(fresh, "3")
			nodes[0].signal(syscall.SIGKILL)
			<-nodes[0].ended
			publish(nodes[1], "4")
			for _, n := range []runningNode{nodes[1], fresh} {
				r := start(t, nil, "subscribe", "-url", n.url, "-rewind", "9", "news")
				for i := range 4 {
					r.stdout.want(fmt.Sprintf(`"data":%d,`, i+1))
				}
			}
		})
	}
}

// Three servers with one line of configuration each are a cluster: what is published on one
// is heard on all. One that is killed and started again is a part of it again, and one that
// ends in order leaves nothing to tell.
func TestClusterEndToEnd(t *testing.T) {
	addresses := freeAddresses(t, 3)
	args := func(i int) []string {
		return []string{"-cluster-listen", addresses[i], "-cluster-routes", strings.Join(addresses, ","), "-cluster-node", fmt.Sprint("n", i)}
	}
	vars := []string{"ROCKET_CLUSTER_SECRET=sixteen characters"}
	nodes := startNodes(t, vars, args(0), args(1), args(2))
	hearEachOther(t, nodes)
	for i := range nodes {
		c := nodes[i].cluster()
		if !c.Connected || len(c.Nodes) != 2 || c.ReceivedEvents != 2 || c.SentEvents != 1 {
			t.Errorf("node %d: got %+v", i, c)
		}
	}
	for path, want := range map[string]string{
		"/metrics": "\nrocket_cluster_nodes 3\n",
		"/readyz":  "ok\n",
	} {
		if _, got := ask(t, nodes[0].admin+path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, got)
		}
	}
	if out, err := exec.Command(rocket, "top", "-admin", strings.TrimPrefix(nodes[0].admin, "http://"), "-interval", "1ms").Output(); err != nil || !strings.Contains(string(out), "cluster rocket, node n0, connected") {
		t.Errorf("top: %v\n%s", err, out)
	}
	reader := start(t, nil, "subscribe", "-url", nodes[1].url, "there")
	reader.stderr.want(`^subscribed`)
	admin := strings.TrimPrefix(nodes[0].admin, "http://")
	for _, tt := range []struct{ args, want string }{
		{"top -interval 1ms -admin " + admin, "  n1\n"},
		{"top -interval 1ms -admin " + admin, " channels at all nodes, the busiest:\n"},
		{"top -interval 1ms -admin " + admin, " 1  / there\n"},
		{"connections -channel there -node * -admin " + admin, " node=n1 connection="},
		{"connections -channel there -node n1 -admin " + admin, " node=n1 connection="},
		{"connections -channel there -node n2 -admin " + admin, ""},
	} {
		stdout, stderr, status := call(strings.Fields(tt.args)...)
		if status != 0 || !strings.Contains(stdout, tt.want) || tt.want == "" && stdout != "" {
			t.Errorf("%s: got\n%s%s", tt.args, stdout, stderr)
		}
	}
	if stdout, _, _ := call("top", "-interval", "1ms", "-admin", admin); !regexp.MustCompile(`(?m)^ *yes +\S+ +0 +2 +2 +.* n1$`).MatchString(stdout) {
		t.Errorf("top shows no connection at n1:\n%s", stdout)
	}

	nodes[1].signal(syscall.SIGKILL)
	<-nodes[1].ended
	nodes[2].signal(syscall.SIGTERM)
	nodes[2].wantStatus(0)
	started := startNodes(t, vars, args(1), args(2))
	nodes[1], nodes[2] = started[0], started[1]
	waitFor(t, "the nodes that began anew", func() bool { return alive(nodes[0].cluster()) == 2 })
	hearEachOther(t, nodes)
}

// alive counts the other nodes that are there.
func alive(c console.Cluster) (n int) {
	for _, node := range c.Nodes {
		if node.Alive {
			n++
		}
	}
	return n
}

// With servers of NATS that are there already the nodes need no port of their own. Without
// them a node serves its own clients, and says that it is not ready.
func TestClusterWithNATSEndToEnd(t *testing.T) {
	program := filepath.Join(t.TempDir(), "nats-server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("nats-server: %v\n%s", err, out)
	}
	address := freeAddresses(t, 1)[0]
	startNATS := func() (stop func()) {
		_, port, _ := net.SplitHostPort(address)
		nats := exec.Command(program, "-a", "127.0.0.1", "-p", port, "--user", "rocket", "--pass", "password")
		if err := nats.Start(); err != nil {
			t.Fatal(err)
		}
		stop = sync.OnceFunc(func() {
			_ = nats.Process.Kill()
			_ = nats.Wait()
		})
		t.Cleanup(stop)
		return stop
	}
	stop := startNATS()
	vars := []string{"ROCKET_NATS_SERVERS=nats://" + address, "ROCKET_NATS_USER=rocket", "ROCKET_NATS_PASSWORD=password"}
	nodes := startNodes(t, vars, []string{"-cluster-node", "a"}, []string{"-cluster-node", "b"}, []string{"-cluster-node", "c"})
	hearEachOther(t, nodes)

	stop()
	ready := func(n *runningNode) bool {
		status, _ := ask(t, n.admin+"/readyz")
		return status == http.StatusOK
	}
	waitFor(t, "a node that is not ready", func() bool { return !ready(&nodes[0]) })
	hearEachOther(t, nodes[:1])
	startNATS()
	waitFor(t, "nodes that are ready again", func() bool { return ready(&nodes[0]) && ready(&nodes[1]) && ready(&nodes[2]) })
	hearEachOther(t, nodes)
}

// What is wrong with the settings of a cluster is said with the place and the remedy.
func TestCheckCluster(t *testing.T) {
	cert, key := writePair(t, t.TempDir())
	_, otherKey := writePair(t, t.TempDir())
	creds := writeFile(t, "-----BEGIN NATS USER JWT-----\nx\n-----BEGIN USER NKEY SEED-----\nx\n")
	for _, tt := range []struct{ settings, want string }{
		{`"Cluster": {"Listen": "127.0.0.1:9774"}`, "ok"},
		{`"Cluster": {"Listen": "10.0.0.1:9774", "Routes": ["10.0.0.1:9774", "10.0.0.2:9774"], "Secret": "sixteen characters"}`, "ok"},
		{`"NATS": {"Servers": ["nats://127.0.0.1:4222"], "Token": "t"}`, "ok"},
		{`"Cluster": {"Listen": "10.0.0.1:9774"}`, "Cluster.Listen: other machines reach this address; give the nodes a Cluster.Secret, or certificates"},
		{`"Cluster": {"Listen": ":9774"}`, "other machines reach this address"},
		{`"Cluster": {"Listen": "10.0.0.1"}`, `Cluster.Listen: want an address such as "10.0.0.1:9774", not "10.0.0.1"`},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Secret": "short"}`, "Cluster.Secret: whoever guesses it reads everything; give at least 16 characters"},
		{`"Cluster": {"Routes": ["10.0.0.1:9774"]}`, "Cluster.Routes: routes need Cluster.Listen"},
		{`"Cluster": {"Secret": "sixteen characters"}, "NATS": {"Servers": ["nats://h"]}`, "Cluster.Secret: a secret needs Cluster.Listen"},
		{`"Cluster": {"Listen": "127.0.0.1:9774"}, "NATS": {"Servers": ["nats://h"]}`, "NATS.Servers: there is a server of NATS in this process already"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Node": "a b"}`, "Cluster.Node: "},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "TLSCertFile": "../../go.mod"}`, "Cluster.TLSCertFile: want all three of TLSCertFile, TLSKeyFile and TLSCAFile"},
		{`"NATS": {"Servers": ["http://h"]}`, `NATS.Servers[0]: want a URL such as "nats://10.0.0.1:4222"`},
		{`"NATS": {"Servers": ["nats://h"], "Password": "p"}`, "NATS.Password: a password needs its user"},
		{`"Cluster": {"Lisen": "127.0.0.1:9774"}`, "Cluster.Lisen: unknown key; did you mean Listen?"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Routes": ["127.0.0.1:9775"]}`, "warning: Cluster.Routes lack the address of this node, 127.0.0.1:9774"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Routes": ["127.0.0.1:9774"], "Dir": "/dev/shm/rocket"}`, "warning: Cluster.Dir /dev/shm/rocket is in memory (tmpfs)"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Routes": ["127.0.0.1:9774"], "Dir": "/tmp"}`, "warning: the nodes can store histories together, and no rule of a hub has a History"},
		{`"MaxMessageSize": "2MB", "NATS": {"Servers": ["nats://h"]}`, "warning: the hub at / takes messages of more than 1 MiB"},
		{`"Cluster": {"Name": "prod"}`, "warning: Cluster.Name does nothing: there is no cluster; give Cluster.Listen, or NATS.Servers"},
		{`"Cluster": {"TLSCAFile": "` + cert + `"}`, "Cluster.TLSCAFile: it is for Cluster.Listen, which is not given"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Sync": "interval"}`, "warning: Cluster.Sync does nothing: the nodes store no events; give Cluster.Dir, or NATS.Streams"},
		{`"NATS": {"Servers": ["nats://h"]}, "Cluster": {"Logs": 4}`, "warning: Cluster.Logs does nothing"},
		{`"NATS": {"User": "u", "Password": "p"}`, "NATS.Password: there is no server of NATS to connect to; give NATS.Servers"},
		{`"NATS": {"Servers": ["nats://h"], "User": "u", "Token": "t"}`, "NATS.Token: there is a NATS.User already; give one of the two"},
		{`"NATS": {"Servers": ["nats://h"], "Credentials": "` + creds + `", "Token": "t"}`, "NATS.Credentials: there is a NATS.User or NATS.Token already"},
		{`"NATS": {"Servers": ["nats://h"], "Credentials": "` + cert + `"}`, "cert.pem has no JWT and seed of a user; nsc generate creds prints one that has"},
		{`"NATS": {"Servers": ["nats://h"], "TLSCAFile": "` + key + `"}`, "NATS.TLSCAFile: " + key + ": there is no certificate in PEM in it"},
		{`"NATS": {"Servers": ["nats://h"], "TLSCertFile": "` + cert + `", "TLSKeyFile": "` + otherKey + `"}`, "NATS.TLSCertFile: " + cert + " and " + otherKey + " are no certificate and its key: tls: private key does not match public key"},
		{`"NATS": {"Servers": ["nats://:4222"]}`, `NATS.Servers[0]: want a URL such as`},
		{`"NATS": {"Servers": ["nats://g:4222,nats://h:4222"]}`, `NATS.Servers[0]: want a URL such as`},
		{`"NATS": {"Servers": ["nats://h:70000"]}`, `NATS.Servers[0]: the port 70000 is none from 1 to 65535`},
		{`"NATS": {"Servers": ["nats://h:4222/x"]}`, `NATS.Servers[0]: a server of NATS has no path; leave /x out`},
		{`"NATS": {"Servers": ["nats://h:4222", "ws://h:80"]}`, `NATS.Servers: want either ws:// and wss:// or nats:// and tls://, not both`},
		{`"NATS": {"Servers": ["nat://u:hidden@h:4222"]}`, "NATS.Servers[0]: want a URL such as \"nats://user:password@10.0.0.1:4222\"\n"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Routes": ["127.0.0.1:9774", "0.0.0.0:9775"]}`, "Cluster.Routes[1]: other nodes cannot reach 0.0.0.0:9775; give the address or the name"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Routes": ["127.0.0.1:9774", "127.0.0.1:9775", "127.0.0.1:9775"]}`, "Cluster.Routes: 127.0.0.1:9775 is there twice; name each node once"},
		{`"Cluster": {"Listen": "10.0.0.1:9774", "Secret": "sixteen characters"}`, "warning: there are no Cluster.Routes: this node looks for no others"},
		{`"Cluster": {"Listen": "127.0.0.1:9772"}`, "Cluster.Listen: clients have this port already; give the nodes another"},
		{`"Cluster": {"Listen": "127.0.0.1:9773"}`, "Cluster.Listen: it is the admin port; give the nodes another"},
	} {
		file := writeFile(t, fmt.Sprintf(`{%s, "Hubs": [{"Path": "/"}]}`, tt.settings))
		stdout, stderr, _ := call("check", file)
		if got := stdout + stderr; !strings.Contains(got, tt.want) || (tt.want == "ok") != (!strings.Contains(got, "warning") && stderr == "") {
			t.Errorf("%s: got\n%swant %s", tt.settings, got, tt.want)
		}
	}
}

// What is right with them is said, too: which node it is, how it finds the others, and where histories are.
func TestCheckShowsCluster(t *testing.T) {
	for _, tt := range []struct{ settings, want string }{
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Node": "n"}`, "  cluster  rocket  node n at 127.0.0.1:9774, 0 in Routes; each node keeps histories for itself, in memory\n"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Node": "n", "Routes": ["127.0.0.1:9774", "127.0.0.1:9775", "127.0.0.1:9776"], "Dir": "/tmp"}`, "node n at 127.0.0.1:9774, 3 in Routes; histories in /tmp, replicas: 3\n"},
		{`"Cluster": {"Listen": "127.0.0.1:9774", "Node": "n", "Routes": ["127.0.0.1:9774"], "Dir": "/tmp/nowhere"}`, "histories in /tmp/nowhere, replicas: 1\n"},
		{`"NATS": {"Servers": ["nats://h", "nats://i"], "Streams": true}, "Cluster": {"Node": "n"}`, "node n, through nats://h, nats://i; histories in JetStream, replicas: 3\n"},
		{`"NATS": {"Servers": ["nats://u:hidden@h"]}, "Cluster": {"Node": "n"}`, "through nats://u:xxxxx@h; each node keeps"},
	} {
		stdout, stderr, status := call("check", writeFile(t, fmt.Sprintf(`{%s, "Hubs": [{"Path": "/"}]}`, tt.settings)))
		if status != 0 || !strings.Contains(stdout, tt.want) {
			t.Errorf("%s: got\n%s%swant %s", tt.settings, stdout, stderr, tt.want)
		}
	}
	if stdout, _, _ := call("check"); strings.Contains(stdout, "cluster") {
		t.Errorf("alone: got\n%s", stdout)
	}
}

// Machines whose long names differ at the end have nodes of different names.
func TestNodeNameOf(t *testing.T) {
	long := strings.Repeat("websocket-gateway-", 3)
	a, b := nodeNameOf(long+"7c9d-aaaaa", "9774"), nodeNameOf(long+"7c9d-bbbbb", "9774")
	if a == b || cluster.CheckName(a) != nil || !strings.HasSuffix(a, "-9774") {
		t.Errorf("got %q and %q", a, b)
	}
	if got := nodeNameOf("a.example.org", "1"); got != "a-example-org-1" {
		t.Errorf("got %q", got)
	}
}

// ask asks an admin port.
func ask(t testing.TB, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
