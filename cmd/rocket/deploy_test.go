package main

import (
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
	known := map[string]bool{}
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
	paths := regexp.MustCompile(`httpGet: \{path: (\S+),`).FindAllStringSubmatch(readDeploy(t, "kubernetes.yaml"), -1)
	if len(paths) != 3 {
		t.Errorf("got the probes %v, want 3", paths)
	}
	for _, m := range paths {
		if !strings.Contains(string(console.OpenAPI), "\n  "+m[1]+":\n") {
			t.Errorf("there is no %s", m[1])
		}
	}
}

// Who stops the server leaves it the time that it takes.
func TestDeployedTimes(t *testing.T) {
	c, err := sources{}.load()
	if err != nil {
		t.Fatal(err)
	}
	needed := c.drain + shutdownTimeout
	for _, tt := range []struct{ file, expr string }{
		{"kubernetes.yaml", `terminationGracePeriodSeconds: (\d+)`},
		{"rocket.service", `TimeoutStopSec=(\d+)s`},
	} {
		m := regexp.MustCompile(tt.expr).FindStringSubmatch(readDeploy(t, tt.file))
		if m == nil {
			t.Fatalf("%s does not match %s", tt.file, tt.expr)
		}
		seconds, _ := strconv.Atoi(m[1])
		if given := time.Duration(seconds) * time.Second; given < needed+5*time.Second {
			t.Errorf("%s leaves %v, and %v may be needed", tt.file, given, needed)
		}
	}
}
