package faults

import (
	"encoding/json"
	"strings"
	"testing"
)

// Versions are good files that differ; every bad file differs from the good one.
func TestConfigs(t *testing.T) {
	for version := range 5 {
		good := config(version)
		if !json.Valid([]byte(good)) {
			t.Errorf("version %d is not JSON:\n%s", version, good)
		}
		if good == config(version+1) {
			t.Errorf("versions %d and %d are the same", version, version+1)
		}
		for _, b := range badFiles {
			if b.broken != nil && (b.broken(good) == good || strings.Contains(b.broken(good), "%!")) {
				t.Errorf("%s is not broken:\n%s", b.name, b.broken(good))
			}
		}
	}
}
