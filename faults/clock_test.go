package faults

import "testing"

func TestThreadState(t *testing.T) {
	for stat, want := range map[string]string{
		"4711 (rocket) T 1 4711 0": "T",
		"4711 (a (name) S) R 1 2":  "R",
		"":                         "",
	} {
		if got := threadState(stat); got != want {
			t.Errorf("%q: got %q, want %q", stat, got, want)
		}
	}
}
