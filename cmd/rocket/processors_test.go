package main

import (
	"regexp"
	"testing"
)

func TestProcessors(t *testing.T) {
	for _, tt := range []struct {
		name       string
		clustered  bool
		env        map[string]string
		loops, now int
		want       int
	}{
		{"without a cluster", false, nil, 2, 2, 0},
		{"a loop for each", true, nil, 2, 2, 3},
		{"more loops", true, nil, 8, 2, 9},
		{"fewer loops", true, nil, 1, 2, 0},
		{"GOMAXPROCS", true, map[string]string{"GOMAXPROCS": "2"}, 2, 2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := processorsFor(env(tt.env), tt.clustered, tt.loops, tt.now); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// A server has a processor for what is no loop if it is a node of a cluster, and only then.
func TestProcessorsEndToEnd(t *testing.T) {
	node := []string{"-loops", "64", "-cluster-listen", freeAddresses(t, 1)[0]}
	for _, tt := range []struct {
		name string
		vars []string
		args []string
		more bool
	}{
		{"a node", nil, node, true},
		{"a node with GOMAXPROCS", []string{"GOMAXPROCS=3"}, node, false},
		{"no node", nil, node[:2], false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, _ := startServer(t, tt.vars, tt.args...)
			text, err := (&adminClient{address: adminOf(server)}).get(t.Context(), "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			m := regexp.MustCompile(`(?m)^go_sched_gomaxprocs_threads (.*)$`).FindSubmatch(text)
			if m == nil || (string(m[1]) == "65") != tt.more {
				t.Errorf("got %s, want 65: %v", m, tt.more)
			}
		})
	}
}
