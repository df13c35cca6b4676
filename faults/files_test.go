package faults

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
)

func TestSights(t *testing.T) {
	var s sights
	for _, err := range []error{
		nil, nil,
		&refused{503, "5"},
		&refused{503, ""}, // it must say when to come again
		fmt.Errorf("read: %w", syscall.ECONNRESET),
		io.ErrUnexpectedEOF,
		errLate,
		errors.New("anything else"),
	} {
		s.note(err)
	}
	if s.served != 2 || s.told != 1 || s.turnedAway != 2 || s.late != 1 || s.odd != 2 {
		t.Errorf("got %v", &s)
	}
}
