package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/faults"
)

// What cannot be run is refused with what is wrong, before anything is tried.
func TestRefusals(t *testing.T) {
	nothing := filepath.Join(t.TempDir(), "rocket")
	tests := []struct {
		name, args, want string
	}{
		{"a case that does not exist", "kill nonsense", `there is no case "nonsense"`},
		{"a server that does not exist", "-rocket " + nothing + " kill", "make build makes one"},
		{"findings of several cases", "-findings kill drain", "-findings takes one case"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if status := run(context.Background(), strings.Fields(test.args), &out, &errs); status != exitUsage {
				t.Errorf("got status %d, want %d", status, exitUsage)
			}
			if !strings.Contains(errs.String(), test.want) {
				t.Errorf("got %q, want %q in it", errs.String(), test.want)
			}
		})
	}
}

func TestHelpNamesEveryCase(t *testing.T) {
	var out, errs bytes.Buffer
	if status := run(context.Background(), []string{"-h"}, &out, &errs); status != exitGood {
		t.Errorf("got status %d, want %d", status, exitGood)
	}
	for _, c := range faults.Cases {
		if !strings.Contains(errs.String(), "  "+c.Name+" ") {
			t.Errorf("the help lacks %s", c.Name)
		}
	}
}
