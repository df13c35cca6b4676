package faults

import (
	"testing"
	"time"
)

func TestMillis(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{1234 * time.Microsecond, "1.2 ms"},
		{12340 * time.Microsecond, "12 ms"},
		{99900 * time.Microsecond, "100 ms"},
		{1234 * time.Millisecond, "1234 ms"},
	} {
		if got := millis(test.d); got != test.want {
			t.Errorf("%v: got %q, want %q", test.d, got, test.want)
		}
	}
}
