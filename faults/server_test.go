package faults

import "testing"

// An empty log is not calm, nor is one that is written in another form.
func TestLogIsCalm(t *testing.T) {
	for log, want := range map[string]bool{
		"":                                  false,
		"INFO Ready":                        false,
		`{"level":"INFO"}`:                  true,
		`{"level":"INFO"}{"level":"WARN"}`:  false,
		`{"level":"INFO"}{"level":"ERROR"}`: false,
	} {
		l := &logs{}
		l.b.WriteString(log)
		if got := l.isCalm(); got != want {
			t.Errorf("%q: got %v, want %v", log, got, want)
		}
	}
}
