package faults

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// epoch is what stamps count from, by a clock that never jumps.
var epoch = time.Now()

// now is the time since epoch.
func now() time.Duration { return time.Since(epoch) }

// A stamp is what a load puts into an event: a number from 1, and when it was due.
type stamp struct {
	number int64
	due    time.Duration
}

// stampLen is the length of a stamp without what fills it up.
const stampLen = 10 + 1 + 19

// publishCommand is a publish of a stamp, filled up to size bytes of data.
func publishCommand(channel string, s stamp, fill []byte) string {
	return fmt.Sprintf(`{"publish":{"event":"e","channel":%q,"data":"%010d %019d%s"}}`, channel, s.number, int64(s.due), fill)
}

var beforeStamp = []byte(`"data":"`)

// parseStamp finds the stamp of an event.
func parseStamp(event []byte) (stamp, bool) {
	at := bytes.Index(event, beforeStamp)
	if at < 0 || len(event) < at+len(beforeStamp)+stampLen {
		return stamp{}, false
	}
	b := event[at+len(beforeStamp):]
	number, err := strconv.ParseInt(string(b[:10]), 10, 64)
	if err != nil {
		return stamp{}, false
	}
	due, err := strconv.ParseInt(string(b[11:stampLen]), 10, 64)
	return stamp{number, time.Duration(due)}, err == nil
}
