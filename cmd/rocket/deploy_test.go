package main

import (
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
}

// The probes are requests that there are.
func TestDeployedProbes(t *testing.T) {
	paths := regexp.MustCompile(`httpGet: \{path: (\S+), port: admin\}`).FindAllStringSubmatch(readDeploy(t, "kubernetes.yaml"), -1)
	if len(paths) != 3 {
		t.Errorf("got the probes %v, want 3", paths)
	}
	for _, m := range paths {
		if !strings.Contains(string(console.OpenAPI), "\n  "+m[1]+":\n") {
			t.Errorf("there is no %s", m[1])
		}
	}
}

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
	for _, tt := range []struct{ file, want string }{
		{"Dockerfile", "EXPOSE " + websocket},
		{"kubernetes.yaml", "{name: websocket, containerPort: " + websocket + "}"},
		{"kubernetes.yaml", "{name: websocket, port: " + websocket + ", targetPort: websocket}"},
		{"kubernetes.yaml", "{name: admin, containerPort: " + admin + "}"},
		{"kubernetes.yaml", "{name: ROCKET_ADMIN, value: 0.0.0.0:" + admin + "}"},
		{"kubernetes.yaml", `prometheus.io/port: "` + admin + `"`},
	} {
		if !strings.Contains(readDeploy(t, tt.file), tt.want) {
			t.Errorf("%s lacks %s", tt.file, tt.want)
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
	needed := seconds("kubernetes.yaml", `ROCKET_DRAIN, value: (\d+)s`) + shutdownTimeout + 5*time.Second +
		seconds("kubernetes.yaml", `sleep: \{seconds: (\d+)\}`)
	if given := seconds("kubernetes.yaml", `terminationGracePeriodSeconds: (\d+)`); given < needed {
		t.Errorf("kubernetes.yaml leaves %v, and %v may be needed", given, needed)
	}
	// Docker kills after 10 s if nobody says otherwise.
	const docker = 10 * time.Second
	alone := c.parting(50_000, true, false, shutdownTimeout)
	if needed := alone.window + alone.goodbye + 5*time.Second; needed > docker {
		t.Errorf("Docker leaves %v, and %v may be needed", docker, needed)
	}
}
