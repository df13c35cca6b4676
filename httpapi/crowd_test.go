package httpapi

import (
	"fmt"
	"testing"
	"time"
)

// Addresses that have been silent are forgotten, so that a crowd takes no more memory than
// those need that publish at the moment.
func TestCrowdForgets(t *testing.T) {
	var c crowd
	within := func(now time.Duration, address string) bool {
		return c.within(now, source{"/", addressOf(address)}, 10, 1, 0)
	}
	for i := range 1000 {
		if !within(time.Minute, fmt.Sprintf("192.0.%d.%d:80", 2+i/250, i%250)) {
			t.Fatalf("the %d. address is limited by the others", i)
		}
	}
	if within(time.Minute, "192.0.2.7:81") {
		t.Error("another port of an address has a rate of its own")
	}
	if !within(time.Minute+2*time.Second, "192.0.2.7:81") || len(c.meters) != 1 {
		t.Errorf("two seconds later %d addresses are remembered, want 1", len(c.meters))
	}
}

func TestAddressOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80":              "192.0.2.1",
		"192.0.2.1":                 "192.0.2.1", // as a proxy names it
		"[::ffff:192.0.2.1]:80":     "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::",
		"2001:db8:1:2::9":           "2001:db8:1:2::",
		"[fe80::1%eth0]:80":         "fe80::",
		"@":                         "invalid IP",
		"":                          "invalid IP",
	} {
		if got := addressOf(remote).String(); got != want {
			t.Errorf("%q: got %s, want %s", remote, got, want)
		}
	}
}
