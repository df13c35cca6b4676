package webrocket_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nu7hatch/webrocket"

// inLibrary is what a user of the root package gets with it.
var inLibrary = []string{
	"protocol/native", "protocol", "engine", "hub", "presence", "pubsub", "pubsub/delivery", "auth", "codec", "measure", "rate",
}

// imports says which packages of this module each one may import, whether
// directly or through others. "." is the root package.
var imports = map[string][]string{
	".":                  inLibrary,
	"protocol":           {"engine", "hub", "presence", "pubsub", "pubsub/delivery", "auth", "codec", "measure", "rate"},
	"protocol/pusher":    {"protocol", "engine", "hub", "presence", "pubsub", "pubsub/delivery", "auth", "codec", "measure", "rate"},
	"protocol/native":    {"protocol", "engine", "hub", "presence", "pubsub", "pubsub/delivery", "auth", "codec", "measure", "rate"},
	"hub":                {"presence", "pubsub", "pubsub/delivery", "auth", "codec", "measure", "rate"},
	"engine":             {"codec", "measure", "rate", "pubsub/delivery"},
	"rate":               {},
	"presence":           {},
	"pubsub":             {"measure", "pubsub/delivery"},
	"pubsub/delivery":    {},
	"measure":            {},
	"auth":               {},
	"codec":              {},
	"build":              {},
	"cluster":            {"hub", "presence", "pubsub", "pubsub/delivery", "auth", "codec", "measure", "rate"},
	"cluster/embedded":   {},
	"js":                 {},
	"httpapi":            append([]string{".", "js"}, inLibrary...),
	"webrockettest":      append([]string{"."}, inLibrary...),
	"conformance":        {},
	"cmd/rocket":         append([]string{".", "cmd/rocket/console", "httpapi", "js", "cluster", "cluster/embedded", "build", "protocol/pusher"}, inLibrary...),
	"cmd/rocket/console": append([]string{".", "httpapi", "js", "cluster", "build", "protocol/pusher"}, inLibrary...),
	"bench":              {"codec", "build"},
	"cmd/rocket-bench":   {"bench", "codec", "build"},
	"faults":             {"codec"},
	"cmd/rocket-faults":  {"faults", "bench", "codec", "build"},
}

// importers says which packages may import a module of somebody else.
var importers = map[string][]string{
	"github.com/panjf2000/gnet":               {"engine"},
	"github.com/gobwas/ws":                    {"codec"},
	"github.com/goccy/go-json":                {"codec"},
	"github.com/klauspost/compress":           {"codec"},
	"github.com/golang-jwt/jwt":               {"auth"}, // it needs nothing but the standard library
	"github.com/coder/websocket":              {"cmd/rocket"},
	"github.com/nats-io/nats.go":              {"cluster"},
	"github.com/nats-io/nats-server":          {"cluster/embedded"},
	"github.com/prometheus/client_golang":     {"cmd/rocket/console"},
	"github.com/prometheus/common":            {"faults"},
	"github.com/prometheus/client_model":      {"faults"},
	"github.com/HdrHistogram/hdrhistogram-go": {"bench", "faults"},
	"github.com/go-echarts/go-echarts":        {"bench"},
	"github.com/Shopify/toxiproxy":            {"faults"},
	"github.com/rs/zerolog":                   {"faults"},     // keeps toxiproxy quiet
	"github.com/joho/godotenv":                {"cmd/rocket"}, // it needs nothing but the standard library
	"golang.org/x/net":                        {"cmd/rocket"}, // for the library it would be much to download
	"golang.org/x/sys":                        {"engine", "cmd/rocket", "bench", "faults"},
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestImports(t *testing.T) {
	for _, p := range listPackages(t) {
		name := nameOf(p.ImportPath)
		allowed, ok := imports[name]
		if !ok {
			t.Errorf("%s is not in the map of imports", name)
		}
		for _, path := range p.Deps {
			if !strings.HasPrefix(path+"/", module+"/") {
				continue
			}
			if dep := nameOf(path); !slices.Contains(allowed, dep) {
				t.Errorf("%s imports %s, which is not for it", name, dep)
			}
		}
		for _, path := range p.Imports {
			checkForeign(t, name, path)
		}
	}
}

// A program that imports the library downloads these modules and no others: those of a
// cluster come with package cluster only, and nats-server with cluster/embedded only.
func TestModulesOfTheLibrary(t *testing.T) {
	client := []string{"github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/nuid", "golang.org/x/crypto"}
	library := []string{
		"github.com/gobwas/httphead", "github.com/gobwas/ws", "github.com/goccy/go-json",
		"github.com/golang-jwt/jwt/v5", "github.com/klauspost/compress", "github.com/panjf2000/ants/v2",
		"github.com/panjf2000/gnet/v2", "go.uber.org/multierr", "go.uber.org/zap",
		"golang.org/x/sync", "golang.org/x/sys", "gopkg.in/natefinch/lumberjack.v2",
	}
	if got := modulesOf(t, "."); !slices.Equal(got, library) {
		t.Errorf("the library needs %q, want %q", got, library)
	}
	for _, module := range modulesOf(t, "./cluster") {
		if !slices.Contains(library, module) && !slices.Contains(client, module) {
			t.Errorf("package cluster needs %s", module)
		}
	}
}

// modulesOf returns the modules, sorted, whose packages a package needs.
func modulesOf(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pkg).Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	return slices.DeleteFunc(slices.Compact(modules), func(path string) bool { return path == module })
}

func checkForeign(t *testing.T, name, path string) {
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") || strings.HasPrefix(path+"/", module+"/") {
		return // the standard inLibrary, or our own
	}
	for foreign, allowed := range importers {
		if strings.HasPrefix(path+"/", foreign+"/") {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s, which is for %v only", name, path, allowed)
			}
			return
		}
	}
	t.Errorf("%s imports %s, which nobody may", name, path)
}

// nameOf returns where in the module a package is.
func nameOf(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// listPackages returns the packages of this module, without their tests.
func listPackages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
