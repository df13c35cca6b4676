package faults

import "testing"

func TestCountRecords(t *testing.T) {
	for _, tt := range []struct {
		name, log        string
		refusals, broken int
	}{
		{"empty", "", 0, 0},
		{"whole", "{\"msg\":\"a login was refused\"}\n{\"msg\":\"x\"}\n", 1, 0},
		{"half a line, then a whole one", "{\"msg\":\"a lo{\"msg\":\"a login was refused\"}\n", 0, 1},
		{"a blank line", "\n{\"msg\":\"a login was refused\"}\n", 1, 0},
		{"half a line at the end", "{\"msg\":\"x\"}\n{\"msg\":\"a login was refused\"", 0, 1},
	} {
		if refusals, broken := countRecords(tt.log); refusals != tt.refusals || broken != tt.broken {
			t.Errorf("%s: got %d, %d; want %d, %d", tt.name, refusals, broken, tt.refusals, tt.broken)
		}
	}
}
