package cluster

import (
	"reflect"
	"testing"
)

// What is read as a batch is the same when it is written again, and what is no batch has no
// events.
func FuzzLogEvents(f *testing.F) {
	all := appendLogEvent(nil, &logEvent{channel: []byte("c"), event: []byte("e"), data: []byte("1"), key: []byte("k"), user: []byte("u"), except: []byte("x")})
	f.Add(all)
	f.Add(appendLogEvent(all, &logEvent{channel: []byte("c"), event: []byte("e")}))
	f.Add(all[:len(all)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := parseLogEvents(nil, b)
		if err != nil {
			if len(events) > 0 {
				t.Errorf("%v, and %d events", err, len(events))
			}
			return
		}
		var again []byte
		for i := range events {
			again = appendLogEvent(again, &events[i])
		}
		if same, err := parseLogEvents(nil, again); err != nil || !reflect.DeepEqual(same, events) {
			t.Errorf("got %v, %v, want %v", same, err, events)
		}
	})
}

// A head that is written is read.
func TestLogHead(t *testing.T) {
	want := logHead{batchHead: batchHead{1, 2, 6}, epoch: epoch{3, 4, 5}, after: 7}
	b := appendLogHead(nil, want)
	if got, rest, err := parseLogHead(append(b, 9)); err != nil || got != want || len(b) != logHeadSize || len(rest) != 1 {
		t.Errorf("got %+v, %v, %v", got, rest, err)
	}
	if _, _, err := parseLogHead(b[:len(b)-1]); err == nil {
		t.Error("a head that is cut is read")
	}
}
