package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/cmd/rocket/console"
)

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The nodes that are deployed find each other: the addresses in their routes are those of
// the services or pods, at the port on which each listens, and there is a secret.
func TestDeployedCluster(t *testing.T) {
	for file, want := range map[string]struct {
		routes, listen, names string
		nodes                 int
	}{
		"compose.yaml":            {`ROCKET_CLUSTER_ROUTES: (\S+)`, `ROCKET_CLUSTER_LISTEN: (\S+)`, "  %s:\n    <<: *rocket\n    hostname: %[1]s\n", 3},
		"kubernetes-cluster.yaml": {`ROCKET_CLUSTER_ROUTES, value: "(\S+)"`, `ROCKET_CLUSTER_LISTEN, value: (\S+)}`, "", 3},
	} {
		text := readDeploy(t, file)
		routes := strings.Split(regexp.MustCompile(want.routes).FindStringSubmatch(text)[1], ",")
		listen := regexp.MustCompile(want.listen).FindStringSubmatch(text)[1]
		c := &config{origin: map[string]string{}, cluster: clusterConfig{name: "rocket", listen: listen, routes: routes, secret: "sixteen characters"}}
		if found := c.checkCluster(); found != nil || len(c.clusterWarnings()) > 0 || len(routes) != want.nodes {
			t.Errorf("%s: %v, %v, %d nodes", file, found, c.clusterWarnings(), len(routes))
		}
		for i, route := range routes {
			host, port, _ := strings.Cut(route, ":")
			if listen != "0.0.0.0:"+port || !strings.Contains(text, "ROCKET_CLUSTER_SECRET: ") {
				t.Errorf("%s: the route %s, and each node listens at %s", file, route, listen)
			}
			if want.names != "" && !strings.Contains(text, fmt.Sprintf(want.names, host)) || want.names == "" && host != fmt.Sprintf("rocket-%d.rocket-nodes", i) {
				t.Errorf("%s: there is no %s", file, host)
			}
		}
	}
}

// What is deployed names settings that exist.
func TestDeployedSettings(t *testing.T) {
	known := map[string]bool{"ROCKET_SECRET": true} // a client's
	for _, st := range settings() {
		known[st.env()] = true
	}
	files, err := os.ReadDir("../../deploy")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, name := range regexp.MustCompile(`\bROCKET_[A-Z_]+\b`).FindAllString(readDeploy(t, f.Name()), -1) {
			if !known[name] {
				t.Errorf("%s: there is no setting %s", f.Name(), name)
			}
		}
	}
	if stdout, stderr, status := call("check", "../../deploy/rocket.json"); status != 0 || strings.Contains(stdout, "warning") {
		t.Errorf("rocket.json: %s%s", stdout, stderr)
	}
	// The nodes of a cluster store something in the directories that they have.
	manifest := readDeploy(t, "kubernetes-cluster.yaml")
	_, inManifest, found := strings.Cut(manifest, "  rocket.json: |\n")
	inManifest, _, ended := strings.Cut(inManifest, "---\n")
	if !found || !ended {
		t.Fatal("kubernetes-cluster.yaml has no rocket.json")
	}
	for _, file := range []string{"../../deploy/cluster.json", writeFile(t, inManifest)} {
		stdout, stderr, status := call("check", "-cluster-listen", "10.0.0.1:9774", "-cluster-routes", "10.0.0.1:9774,10.0.0.2:9774,10.0.0.3:9774",
			"-cluster-secret", "sixteen characters", "-cluster-dir", "/var/lib/rocket", file)
		if status != 0 || strings.Contains(stdout, "warning") {
			t.Errorf("%s: %s%s", file, stdout, stderr)
		}
	}
	// What is mounted is what the server is told to read, and to write to. The image has the
	// directory, which belongs to the user of the image: a volume gets that from it.
	for file, texts := range map[string][]string{
		"compose.yaml": {
			"command: [/etc/rocket.json]", "ROCKET_CLUSTER_DIR: /store",
			`volumes: ["./cluster.json:/etc/rocket.json:ro", "store-one:/store"]`, `volumes: ["./cluster.json:/etc/rocket.json:ro", "store-two:/store"]`,
			`volumes: ["./cluster.json:/etc/rocket.json:ro", "store-three:/store"]`,
		},
		"Dockerfile": {"COPY --from=build --chown=65532:65532 /store /store", "USER 65532:65532"},
		"kubernetes-cluster.yaml": {
			"args: [/etc/rocket/rocket.json]", "{name: file, mountPath: /etc/rocket, readOnly: true}",
			"{name: ROCKET_CLUSTER_DIR, value: /store}", "{name: store, mountPath: /store}",
		},
	} {
		for _, text := range texts {
			if !strings.Contains(readDeploy(t, file), text) {
				t.Errorf("%s lacks %s", file, text)
			}
		}
	}
}

// The probes are requests that there are.
func TestDeployedProbes(t *testing.T) {
	for _, file := range manifests {
		paths := regexp.MustCompile(`httpGet: \{path: (\S+), port: admin\}`).FindAllStringSubmatch(readDeploy(t, file), -1)
		if len(paths) != 3 {
			t.Errorf("%s: got the probes %v, want 3", file, paths)
		}
		for _, m := range paths {
			if !strings.Contains(string(console.OpenAPI), "\n  "+m[1]+":\n") {
				t.Errorf("%s: there is no %s", file, m[1])
			}
		}
	}
}

// manifests are for Kubernetes.
var manifests = []string{"kubernetes.yaml", "kubernetes-cluster.yaml"}

// The ports that are opened and probed are those that the server has.
func TestDeployedPorts(t *testing.T) {
	c, err := sources{}.load()
	if err != nil {
		t.Fatal(err)
	}
	_, admin, err := net.SplitHostPort(c.admin)
	if err != nil {
		t.Fatal(err)
	}
	websocket := strconv.Itoa(c.port)
	wanted := map[string][]string{
		"Dockerfile":   {"EXPOSE " + websocket},
		"compose.yaml": {`["9001:` + websocket + `"]`, `["9002:` + websocket + `"]`, `["9003:` + websocket + `"]`},
	}
	for _, file := range manifests {
		wanted[file] = []string{
			"{name: websocket, containerPort: " + websocket + "}", "{name: websocket, port: " + websocket + ", targetPort: websocket}",
			"{name: admin, containerPort: " + admin + "}", "{name: ROCKET_ADMIN, value: 0.0.0.0:" + admin + "}",
			`prometheus.io/port: "` + admin + `"`,
		}
	}
	for file, texts := range wanted {
		for _, text := range texts {
			if !strings.Contains(readDeploy(t, file), text) {
				t.Errorf("%s lacks %s", file, text)
			}
		}
	}
}

// The image is built with the Go that go.mod wants.
func TestDeployedGo(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	wants := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if from := "FROM golang:" + string(wants[1]) + " "; !strings.Contains(readDeploy(t, "Dockerfile"), from) {
		t.Errorf("the Dockerfile lacks %q", from)
	}
}

// Who stops the server leaves it the time that it takes.
func TestDeployedTimes(t *testing.T) {
	c, err := sources{}.load()
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(file, expr string) time.Duration {
		m := regexp.MustCompile(expr).FindStringSubmatch(readDeploy(t, file))
		if m == nil {
			t.Fatalf("%s does not match %s", file, expr)
		}
		n, _ := strconv.Atoi(m[1])
		return time.Duration(n) * time.Second
	}
	drained := c.drain + shutdownTimeout + 5*time.Second // some more
	if given := seconds("rocket.service", `TimeoutStopSec=(\d+)s`); given < drained {
		t.Errorf("rocket.service leaves %v, and %v may be needed", given, drained)
	}
	// Kubernetes counts from before preStop.
	for _, file := range manifests {
		needed := seconds(file, `ROCKET_DRAIN, value: (\d+)s`) + shutdownTimeout + 5*time.Second +
			seconds(file, `sleep: \{seconds: (\d+)\}`)
		if given := seconds(file, `terminationGracePeriodSeconds: (\d+)`); given < needed {
			t.Errorf("%s leaves %v, and %v may be needed", file, given, needed)
		}
	}
	// Docker kills after 10 s if nobody says otherwise.
	const docker = 10 * time.Second
	alone := c.parting(50_000, true, false, shutdownTimeout)
	if needed := alone.window + alone.goodbye + 5*time.Second; needed > docker {
		t.Errorf("Docker leaves %v, and %v may be needed", docker, needed)
	}
}
