package main

import (
	"io"
	"log/slog"
	"math"
	"regexp"
	"runtime/debug"
	"testing"
)

func TestGCSettings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		env    map[string]string
		memory uint64
		want   gcSettings
	}{
		{"without a control group", nil, 0, gcSettings{gcPercent, 0}},
		{"with one", nil, 4 << 30, gcSettings{gcPercent, 3 << 30}},
		{"GOGC", map[string]string{"GOGC": "100"}, 4 << 30, gcSettings{0, 3 << 30}},
		{"GOMEMLIMIT", map[string]string{"GOMEMLIMIT": "off"}, 4 << 30, gcSettings{gcPercent, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := gcSettingsFor(env(tt.env), machine{cgroupMemory: tt.memory}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestGCSettingsAreApplied(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	gcSettings{}.apply(log)
	gcSettings{50, 1 << 40}.apply(log)
	if percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1); percent != 50 || limit != 1<<40 {
		t.Errorf("got %d %%, %d bytes", percent, limit)
	}
}

// A server that has started collects garbage as docs/scaling.md says, or as GOGC
// does.
func TestGarbageCollectionEndToEnd(t *testing.T) {
	for want, vars := range map[string][]string{"75": nil, "200": {"GOGC=200"}} {
		server, _ := startServer(t, vars)
		text, err := (&adminClient{address: adminOf(server)}).get(t.Context(), "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?m)^go_gc_gogc_percent (.*)$`).FindSubmatch(text); m == nil || string(m[1]) != want {
			t.Errorf("%v: got %s, want %s %%", vars, m, want)
		}
	}
}
