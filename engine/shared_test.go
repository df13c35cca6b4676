package engine

import (
	"context"
	"fmt"
	"testing"
)

// An engine knows whether another one listens on its ports.
func TestShared(t *testing.T) {
	one := start(t, Config{Loops: 2, ReusePort: true}, Endpoint{Protocol: echo})
	want := func(e *Engine, when string, want bool) {
		t.Helper()
		if got, err := e.Shared(); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", when, got, err, want)
		}
	}
	want(one, "alone", false)
	two := New(Config{Loops: 2, ReusePort: true}, at("/", Endpoint{Protocol: echo}))
	want(two, "before the start", false)
	if err := two.Start(one.Addr().String()); err != nil {
		t.Fatal(err)
	}
	want(one, "with another one", true)
	want(two, "with the first one", true)
	if err := one.Drain(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	want(two, "when the other one has left", false)
	if err := two.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	want(two, "after the end", false)
}

func TestSharedWith(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	row := func(local, remote, state, inode string) string {
		return fmt.Sprintf("   0: %s %s %s 00000000:00000000 00:00000000 00000000  1000        0 %s 1 0 100 0 0 10 0\n", local, remote, state, inode)
	}
	const port, every = "0100007F:262C", "00000000:0000"
	ours := row(port, every, "0A", "11") + row(port, every, "0A", "12")
	tests := []struct {
		name, others string
		want         bool
	}{
		{"alone", "", false},
		{"the same address", row(port, every, "0A", "99"), true},
		{"another port", row("0100007F:262D", every, "0A", "99"), false},
		{"another address", row("0200007F:262C", every, "0A", "99"), false},
		{"every address", row("00000000:262C", every, "0A", "99"), true},
		{"every address, of IPv6 too", row("00000000000000000000000000000000:262C", every, "0A", "99"), true},
		{"a connection", row(port, "0100007F:9999", "01", "99"), false},
		{"one of two ports", row(port, every, "0A", "99") + row("0100007F:01BB", every, "0A", "13"), false},
	}
	own := map[uint64]bool{11: true, 12: true, 13: true}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sharedWith(own, listedIn([]byte(heading+ours+tt.others))); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
