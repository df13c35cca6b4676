package faults

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// wall is the time of the machine's clock at a moment when it was right, so that it can be set back later.
type wall struct {
	real time.Duration // since 1970
	mono time.Duration // the clock that never jumps, at that time
}

// takeWall notes what time it is.
func takeWall() (*wall, error) {
	real, err := readClock(unix.CLOCK_REALTIME)
	if err != nil {
		return nil, err
	}
	mono, err := readClock(unix.CLOCK_MONOTONIC)
	return &wall{real, mono}, err
}

func readClock(which int32) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(which, &ts); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// set sets the clock so far from what is right.
func (w *wall) set(off time.Duration) error {
	mono, err := readClock(unix.CLOCK_MONOTONIC)
	if err != nil {
		return err
	}
	ts := unix.NsecToTimespec(int64(w.real + (mono - w.mono) + off))
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// restore sets the clock right. It has been set before, so it can be.
func (w *wall) restore() { _ = w.set(0) }
