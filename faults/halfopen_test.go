package faults

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What is left half of a ClientHello must be half of all of it.
func TestClientHelloIsOneRecord(t *testing.T) {
	b := clientHello()
	if len(b) < 5 || b[0] != 22 || int(b[3])<<8|int(b[4]) != len(b)-5 {
		t.Errorf("got %d bytes, %x", len(b), b[:min(len(b), 5)])
	}
}

// Everybody in a crowd sends the text, in order, a byte a second.
func TestDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const text = "abcde"
		crowd := make([]laggard, 2*dripSteps+1)
		var reading sync.WaitGroup
		for i := range crowd {
			near, far := net.Pipe()
			crowd[i].conn = near
			reading.Go(func() {
				for j := range text {
					b := make([]byte, 1)
					if _, err := io.ReadFull(far, b); err != nil || b[0] != text[j] {
						t.Errorf("%d: got %q, %v; want %q", i, b, err, text[j])
					}
				}
				far.Close()
			})
		}
		began := time.Now()
		drip(t.Context(), crowd, text)
		reading.Wait()
		if took := time.Since(began); took < 4*time.Second || took > 5*time.Second {
			t.Errorf("it took %v, want 5 s", took)
		}
	})
}

// A laggard notices what a server must not do to it.
func TestLaggardsWant(t *testing.T) {
	const timeout = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow"
	tests := []struct {
		name   string
		want   func(*laggard) error
		answer string
		right  bool
	}{
		{"408", (*laggard).wantTimeout, timeout, true},
		{"408 and more", (*laggard).wantTimeout, timeout + "!", false},
		{"another status", (*laggard).wantTimeout, strings.Replace(timeout, "408", "400", 1), false},
		{"no answer", (*laggard).wantTimeout, "", false},
		{"the end", (*laggard).wantEnd, "", true},
		{"not the end", (*laggard).wantEnd, "x", false},
		{"4408", (*laggard).wantClose, "\x88\x02\x11\x38", true},
		{"1002", (*laggard).wantClose, "\x88\x02\x03\xea", false},
		{"no Close frame", (*laggard).wantClose, "", false},
	}
	for _, test := range tests {
		near, far := net.Pipe()
		go func() {
			_, _ = io.WriteString(far, test.answer)
			far.Close()
		}()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		err := test.want(&laggard{conn: near, in: bufio.NewReader(near)})
		if right := err == nil; right != test.right {
			t.Errorf("%s: got %v", test.name, err)
		}
		near.Close()
	}
}
